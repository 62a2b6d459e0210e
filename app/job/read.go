package job

import (
	"context"
	"strings"

	"tresor/app/access"
	"tresor/app/fault"
	"tresor/app/output"
	"tresor/app/store"
	"tresor/sandbox"
)

// Get returns a job with everything about it. fault.NotFound when the actor may not see it.
func (s *Service) Get(ctx context.Context, actor access.Actor, id string) (Job, error) {
	var j Job
	err := s.DB.View(ctx, func(tx *store.Tx) error {
		var err error
		if j, err = load(tx, id); err != nil {
			return err
		}
		if err := access.May(actor, access.JobRead, j.thing()); err != nil {
			return err
		}
		return s.complete(tx, &j)
	})
	if err != nil {
		return Job{}, fault.Wrap("job.Get", err)
	}
	return s.shown(ctx, actor, j), nil
}

// WaitsFor says what a queued job waits for when that is more than its turn: whoever
// sent it is paused, or its own parent holds what it needs. "" otherwise.
func (s *Service) WaitsFor(id string) string { return s.sched.why(id) }

// complete adds what other packages know of the job.
func (s *Service) complete(tx *store.Tx, j *Job) error {
	p, err := s.Projects.Head(tx, j.Project)
	if err != nil {
		return err
	}
	j.ProjectName = p.Name
	if j.Outputs, err = s.Outputs.ListByJob(tx, j.ID); err != nil {
		return err
	}
	events, err := s.Log.Timeline(tx, Subject(j.ID))
	j.Timeline = timeline(events)
	return err
}

// shown finishes a job for one reader.
func (s *Service) shown(_ context.Context, actor access.Actor, j Job) Job {
	if j.State == Queued {
		if n := s.sched.position(j.ID); n > 0 {
			j.Queue = &Queue{Position: n}
		}
		orElse(&j.Reason, s.sched.why(j.ID))
	}
	if j.State.Active() {
		orElse(&j.Reason, s.trouble(j.ID))
	}
	j.Progress = progress(j)
	j.Next = next(j, actor)
	if j.State == Queued && s.sched.closed() {
		j.Next = "The server's container engine does not answer yet. The job starts when it does; an operator sees why on the System page."
	}
	if !access.Can(actor, access.DatasetValues, j.thing()) {
		j.Outputs, j.Places = withoutShape(j.Outputs), withoutHashes(j.Places)
	}
	j.content = nil
	none(&j.Tasks)
	none(&j.Places)
	none(&j.Wants)
	none(&j.Volumes)
	none(&j.Inputs)
	none(&j.Timeline)
	none(&j.Outputs)
	none(&j.Refused)
	return j
}

// withoutShape takes away what is a figure of the data itself: how many rows an
// output has, and its hash, by which whoever guesses a small table learns that
// the guess is right. What is left says how many files there are and how large.
func withoutShape(all []output.Output) []output.Output {
	list := make([]output.Output, len(all))
	for i, o := range all {
		o.SHA256, o.Rows, o.Cols, o.Kind = "", 0, 0, output.Other
		list[i] = o
	}
	return list
}

// withoutHashes is withoutShape for inputs that a program of the project has made:
// the files of its tree. What came with the submission, or is described in a
// catalogue, is no secret.
func withoutHashes(all []PlaceInfo) []PlaceInfo {
	list := make([]PlaceInfo, len(all))
	for i, p := range all {
		if p.From == FromTree {
			p.SHA256, p.Files = "", nil
		}
		list[i] = p
	}
	return list
}

// none makes an absent list an empty one, as JSON readers expect.
func none[T any](list *[]T) {
	if *list == nil {
		*list = []T{}
	}
}

func progress(j Job) Progress {
	p := Progress{Phase: string(j.State), Total: int64(len(j.Tasks))}
	for _, t := range j.Tasks {
		if t.State == TaskSucceeded || t.State == TaskFailed && t.IgnoreError {
			p.Done++
		}
	}
	return p
}

// Filter narrows List.
type Filter struct {
	Project string  // id or slug; empty: every project the actor sees
	States  []State // none: all
	Before  string  // only jobs older than this one: the last id of the page before
	Limit   int     // at most 500; 0: 100
}

// List returns jobs that the actor may see, newest first, as summaries: without
// tasks, inputs, places, outputs and timeline. A full page means that there may be more.
func (s *Service) List(ctx context.Context, actor access.Actor, f Filter) ([]Job, error) {
	const op = "job.List"
	for _, st := range f.States {
		if !st.Valid() {
			return nil, fault.New(op, fault.Invalid, "%q is not a state of a job. Choose one of %s.", clip(string(st)), stateNames())
		}
	}
	list := []Job{}
	err := s.DB.View(ctx, func(tx *store.Tx) error {
		where, args, err := s.visible(tx, actor, f)
		if err != nil || where == "" {
			return err
		}
		list, err = s.page(tx, where, args, f)
		return err
	})
	for i := range list {
		list[i] = s.shown(ctx, actor, list[i])
	}
	return list, fault.Wrap(op, err)
}

func stateNames() string {
	names := make([]string, len(States))
	for i, st := range States {
		names[i] = string(st)
	}
	return strings.Join(names, ", ")
}

// visible is the condition for the projects that the actor sees; "" when there are none.
func (s *Service) visible(tx *store.Tx, actor access.Actor, f Filter) (string, []any, error) {
	if f.Project != "" {
		p, err := s.Projects.Head(tx, f.Project)
		if err != nil {
			return "", nil, err
		}
		return "project = ?", []any{p.ID}, access.May(actor, access.JobRead, access.Thing{Project: p.ID})
	}
	where, args := scope(actor, access.JobRead)
	return where, args, nil
}

// scope is the condition for the projects in which an actor may do something to jobs of
// others; "" when there are none.
func scope(actor access.Actor, action access.Action) (string, []any) {
	if access.Can(actor, action, access.Thing{}) { // a role for the whole site
		return "1", nil
	}
	var args []any
	for id := range actor.Projects {
		if access.Can(actor, action, access.Thing{Project: id}) {
			args = append(args, id)
		}
	}
	if len(args) == 0 {
		return "", nil
	}
	return "project IN (" + marks(len(args)) + ")", args
}

func marks(n int) string { return strings.TrimSuffix(strings.Repeat("?,", n), ",") }

func (s *Service) page(tx *store.Tx, where string, args []any, f Filter) ([]Job, error) {
	if f.Limit <= 0 {
		f.Limit = 100
	}
	if len(f.States) > 0 {
		where += " AND state IN (" + marks(len(f.States)) + ")"
		for _, st := range f.States {
			args = append(args, string(st))
		}
	}
	if f.Before != "" {
		where, args = where+" AND id < ?", append(args, f.Before)
	}
	list, err := queryOf(tx, summaryColumns, "WHERE "+where+" ORDER BY id DESC LIMIT ?", append(args, min(f.Limit, 500))...)
	if err != nil {
		return nil, err
	}
	return list, s.nameProjects(tx, list)
}

func query(tx *store.Tx, rest string, args ...any) ([]Job, error) {
	return queryOf(tx, jobColumns, rest, args...)
}

func queryOf(tx *store.Tx, columns, rest string, args ...any) ([]Job, error) {
	rows, err := tx.Query(`SELECT `+columns+` FROM job `+rest, args...)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	list := []Job{}
	for rows.Next() {
		j, err := scanJob(rows)
		if err != nil {
			return nil, err
		}
		list = append(list, j)
	}
	return list, rows.Err()
}

func (s *Service) nameProjects(tx *store.Tx, list []Job) error {
	names := map[string]string{}
	for i := range list {
		id := list[i].Project
		if _, ok := names[id]; !ok {
			p, err := s.Projects.Head(tx, id)
			if err != nil {
				return err
			}
			names[id] = p.Name
		}
		list[i].ProjectName = names[id]
	}
	return nil
}

// Lookup returns a job by id without asking who wants it, for airlock and release.
func (s *Service) Lookup(tx *store.Tx, id string) (Job, error) {
	j, err := load(tx, id)
	if err != nil {
		return j, err
	}
	return j, s.complete(tx, &j)
}

// Usage returns what the job's container uses now; zero when none runs.
func (s *Service) Usage(ctx context.Context, actor access.Actor, id string) (sandbox.Usage, error) {
	const op = "job.Usage"
	j, err := s.Get(ctx, actor, id)
	if err != nil {
		return sandbox.Usage{}, fault.Wrap(op, err)
	}
	if j.State != Running && j.State != Preparing {
		return sandbox.Usage{}, nil
	}
	u, err := s.Runner.Usage(ctx, refOf(j.ID, j.task, j.Tasks[j.task].Attempt))
	if err != nil {
		return u, fault.Kinded(op, fault.Unavailable, err, "The use of memory and processors is not known now. Try again in a moment.")
	}
	return u, nil
}

// Counts returns how many jobs are in each state.
func (s *Service) Counts(ctx context.Context) (map[State]int64, error) {
	counts := map[State]int64{}
	err := s.DB.View(ctx, func(tx *store.Tx) error {
		rows, err := tx.Query(`SELECT state, count(*) FROM job GROUP BY state`)
		if err != nil {
			return err
		}
		defer rows.Close()
		for rows.Next() {
			var st State
			var n int64
			if err := rows.Scan(&st, &n); err != nil {
				return err
			}
			counts[st] = n
		}
		return rows.Err()
	})
	return counts, fault.Wrap("job.Counts", err)
}

// ImageRuns returns how many jobs have had a container of the image with this digest.
func (s *Service) ImageRuns(tx *store.Tx, digest string) (int, error) {
	var n int
	err := tx.QueryRow(`SELECT count(DISTINCT job) FROM job_task WHERE image = ? AND attempt > 0`, digest).Scan(&n)
	return n, fault.Wrap("job.ImageRuns", err)
}

// Brief is Lookup without what other packages know: outputs, the project's name
// and the timeline. Next is what the job's end, or what it waits for, left to do.
func (s *Service) Brief(tx *store.Tx, id string) (Job, error) {
	j, err := load(tx, id)
	j.Next = j.storedNext
	return j, err
}

// Find is Lookup without tasks, outputs and timeline, for whoever needs only to
// know what the job is and in which project.
func (s *Service) Find(tx *store.Tx, id string) (Job, error) { return find(tx, id) }

// Thing is what access decides about.
func (j Job) Thing() access.Thing { return j.thing() }
