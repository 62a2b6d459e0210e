package job

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"tresor/app/access"
	"tresor/app/audit"
	"tresor/app/store"
)

// Step is one entry of a job's timeline, from the audit log.
type Step struct {
	State  string    `json:"state"` // the state entered, or the verb of what happened
	At     time.Time `json:"at"`
	Actor  string    `json:"actor"`
	Detail string    `json:"detail"`
}

// timeline turns audit events into steps. What others record about the job
// (its log was opened, for example) is not a step of its own.
func timeline(events []audit.Event) []Step {
	steps := []Step{}
	for _, e := range events {
		v, ok := strings.CutPrefix(e.Verb, "job.")
		if !ok {
			continue
		}
		steps = append(steps, Step{State: stateOf(v), At: e.At, Actor: e.ActorName, Detail: detail(e.Detail)})
	}
	return steps
}

func stateOf(verb string) string {
	switch verb {
	case "started":
		return string(Running)
	case "ended":
		return string(Collecting)
	case "stopped":
		return "stopping"
	}
	return verb
}

// detail reads the vocabulary of the package's audit events for people.
func detail(d map[string]string) string {
	var parts []string
	if v := d["exit_code"]; v != "" && v != "0" {
		parts = append(parts, "exit code "+v)
	}
	if v := d["attempt"]; v != "" && v != "1" {
		parts = append(parts, "attempt "+v)
	}
	if v := d["outputs"]; v != "" {
		parts = append(parts, counted(v, "output"))
	}
	if v := d["kept"]; v != "" && v != "0" {
		parts = append(parts, counted(v, "file")+" kept inside")
	}
	if v := d["refused"]; v != "" && v != "0" {
		parts = append(parts, counted(v, "output")+" refused")
	}
	if v := d["mode"]; v == "image" {
		parts = append(parts, "all images are approved")
	} else if v == "off" {
		parts = append(parts, "this project approves no jobs")
	}
	return strings.Join(parts, ", ")
}

func counted(n, word string) string {
	if n == "1" {
		return "1 " + word
	}
	return n + " " + word + "s"
}

// next is the one next step for this reader.
func next(j Job, actor access.Actor) string {
	mine := access.Can(actor, access.AirlockCreate, j.thing())
	switch j.State {
	case Submitted:
		if j.WaitingImage != "" {
			return waitingText(j, actor)
		}
		if access.Can(actor, access.JobDecide, j.thing()) {
			return "Approve or refuse this job."
		}
		return "The lead of the project or a data steward has to approve it."
	case Queued:
		return queuedText(j)
	case Preparing, Running, Collecting:
		if j.Cancelling {
			return "It is being stopped. Nothing to do."
		}
		return "It is under way. Follow the log, or come back later."
	case Held:
		return heldText(j, mine)
	case Released:
		return "The outputs were released. Open the release."
	case Completed:
		return completedText(j)
	case Rejected:
		return "Reviewers rejected the outputs. Read their comments and submit a changed job."
	}
	return j.storedNext
}

func waitingText(j Job, actor access.Actor) string {
	if access.Can(actor, access.ImageApprove, access.Thing{}) {
		return "Import and approve the image, or refuse it by revoking it. The job goes on by itself."
	}
	return j.storedNext
}

func queuedText(j Job) string {
	if j.Queue == nil && j.Reason != "" {
		return "It goes on by itself when an operator lets it, on the page Federation."
	}
	if j.Queue == nil {
		return "It starts when the host has room."
	}
	return fmt.Sprintf("It starts when the host has room. It is number %d in the queue.", j.Queue.Position)
}

func completedText(j Job) string {
	inTree := slices.ContainsFunc(j.Wants, func(w WantInfo) bool { return w.Tree != "" })
	for n := range j.Tasks {
		inTree = inTree || j.projectFolder(n) != ""
	}
	if inTree {
		return "What it left is in the project's files."
	}
	return "Nothing to do: it left nothing."
}

func heldText(j Job, mine bool) string {
	switch {
	case j.AirlockRequest != "":
		return "The outputs are in an airlock request. Open the request to see whose turn it is."
	case mine:
		return "Look at the outputs and send them to review."
	}
	return "A member of the project has to send the outputs to review."
}

// Turn is one thing that waits for a person, as Home shows it.
type Turn struct {
	Kind         string    `json:"kind"`
	Title        string    `json:"title"`
	Project      string    `json:"project"` // name
	ProjectID    string    `json:"project_id"`
	Href         string    `json:"href"`
	WaitingSince time.Time `json:"waiting_since"`
	Action       string    `json:"action"`
}

const maxTurns = 100

// Waiting returns the jobs that wait for this person, oldest first: those to
// decide about, and the person's own whose outputs nobody has sent to review.
func (s *Service) Waiting(tx *store.Tx, actor access.Actor) ([]Turn, error) {
	turns := []Turn{}
	decide, err := toDecide(tx, actor)
	if err != nil {
		return nil, err
	}
	held, err := query(tx, `WHERE state = 'held' AND request = '' AND submitter = ? ORDER BY id LIMIT ?`, actor.ID, maxTurns)
	if err != nil {
		return nil, err
	}
	all := append(decide, held...)
	if err := s.nameProjects(tx, all); err != nil {
		return nil, err
	}
	for _, j := range all {
		if t, ok := turn(j, actor); ok && len(turns) < maxTurns {
			turns = append(turns, t)
		}
	}
	if !access.Can(actor, access.ImageApprove, access.Thing{}) {
		return turns, nil
	}
	images, err := s.imageTurns(tx)
	return append(turns, images...), err
}

// toDecide are the oldest jobs that wait for a decision of this person. Those of other
// projects are not even counted: however many there are, they hide none of these.
func toDecide(tx *store.Tx, actor access.Actor) ([]Job, error) {
	where, args := scope(actor, access.JobDecide)
	if where == "" {
		return nil, nil
	}
	return query(tx, `WHERE state = 'submitted' AND waits_image = '' AND submitter <> ? AND `+where+` ORDER BY id LIMIT ?`, append(append([]any{actor.ID}, args...), maxTurns)...)
}

// imageTurns are the images that jobs wait for: an operator imports or approves them.
func (s *Service) imageTurns(tx *store.Tx) ([]Turn, error) {
	rows, err := tx.Query(`SELECT waits_image, min(created_at), count(*), count(DISTINCT project), min(project)
		FROM job WHERE waits_image <> '' GROUP BY waits_image ORDER BY 2 LIMIT ?`, maxTurns)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var turns []Turn
	for rows.Next() {
		t := Turn{Kind: "job-image", Href: "/images", Action: "Import or approve it"}
		var ref string
		var since, jobs, projects int64
		if err := rows.Scan(&ref, &since, &jobs, &projects, &t.ProjectID); err != nil {
			return nil, err
		}
		t.Title, t.WaitingSince = fmt.Sprintf("Image %s, for %s", clip(ref), plural(jobs, "job")), store.Time(since)
		if projects > 1 {
			t.Project, t.ProjectID = fmt.Sprintf("%d projects", projects), ""
		}
		turns = append(turns, t)
	}
	if err := rows.Err(); err != nil {
		return nil, err
	}
	return turns, s.nameTurns(tx, turns)
}

func (s *Service) nameTurns(tx *store.Tx, turns []Turn) error {
	for i := range turns {
		if turns[i].ProjectID == "" {
			continue
		}
		p, err := s.Projects.Head(tx, turns[i].ProjectID)
		if err != nil {
			return err
		}
		turns[i].Project = p.Name
	}
	return nil
}

func turn(j Job, actor access.Actor) (Turn, bool) {
	t := Turn{Title: j.Name, Project: j.ProjectName, ProjectID: j.Project, Href: "/jobs/" + j.ID, WaitingSince: j.CreatedAt}
	if j.State == Submitted {
		t.Kind, t.Action = "job-decide", "Approve or refuse"
		return t, access.Can(actor, access.JobDecide, j.thing())
	}
	t.Kind, t.Action = "job-held", "Send outputs to review"
	if j.HeldAt != nil {
		t.WaitingSince = *j.HeldAt
	}
	return t, access.Can(actor, access.AirlockCreate, j.thing())
}
