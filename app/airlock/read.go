package airlock

import (
	"context"
	"strings"

	"tresor/app/access"
	"tresor/app/airlock/check"
	"tresor/app/audit"
	"tresor/app/fault"
	"tresor/app/job"
	"tresor/app/store"
)

// Get returns a request as this actor may see it: other people's votes and
// private comments of a round that lacks votes are not in it, in any form.
func (s *Service) Get(ctx context.Context, actor access.Actor, id string) (Request, error) {
	var r Request
	err := s.DB.View(ctx, func(tx *store.Tx) error {
		var err error
		if r, err = s.allowed(tx, actor, access.AirlockRead, id); err != nil {
			return err
		}
		return s.fill(tx, actor, &r)
	})
	if err != nil {
		return Request{}, fault.Wrap("airlock.Get", err)
	}
	return r, nil
}

func (s *Service) fill(tx *store.Tx, actor access.Actor, r *Request) error {
	p, err := s.Projects.Lookup(tx, r.Project)
	if err != nil {
		return err
	}
	r.ProjectName = p.Name
	if r.onlySent(actor) {
		_, err = s.asSent(tx, r)
	} else {
		r.Items, err = itemsOf(tx, r.ID, r.shownRound())
	}
	if err != nil {
		return err
	}
	if err := markSeen(tx, actor, r); err != nil {
		return err
	}
	if err := s.fillChecks(tx, actor, r, p.Threshold, p.Reviewers); err != nil {
		return err
	}
	return s.fillReviews(tx, actor, r)
}

func markSeen(tx *store.Tx, actor access.Actor, r *Request) error {
	for i := range r.Items {
		err := tx.QueryRow(`SELECT EXISTS (SELECT 1 FROM airlock_seen WHERE item = ? AND person = ? AND sha256 = ?)`,
			r.Items[i].ID, actor.ID, r.Items[i].SHA256).Scan(&r.Items[i].Seen)
		if err != nil {
			return err
		}
	}
	return nil
}

// fillChecks takes the numbers from the submitted round, or from the project's
// present policy for those who see a draft.
func (s *Service) fillChecks(tx *store.Tx, actor access.Actor, r *Request, threshold, reviewers int) error {
	row := roundRow{needed: reviewers, threshold: threshold, version: check.Version, rulesSHA: check.RulesSHA256(s.profile(threshold))}
	if r.onlySent(actor) || !r.State.Editable() && r.Round > 0 {
		var err error
		if row, err = findRound(tx, r.ID, r.Round); err != nil {
			return err
		}
	}
	r.manifest, r.ReviewsNeeded = row.manifest, row.needed
	r.Checks = Checks{Version: row.version, RulesSHA256: row.rulesSHA, FindingsSHA256: row.findingsSHA, ManifestSHA256: row.manifestSHA, Threshold: row.threshold,
		Blocks: countFindings(r.Findings, r.Items, check.Block), Warnings: countFindings(r.Findings, r.Items, check.Warn)}
	return nil
}

func (s *Service) fillReviews(tx *store.Tx, actor access.Actor, r *Request) error {
	votes, err := reviewsOf(tx, r.ID)
	if err != nil {
		return err
	}
	b, err := s.blindOf(tx, r.ID, actor.ID, votes)
	if err != nil {
		return err
	}
	r.Reviews, r.ReviewsDone = b.reviews(votes), b.done[r.Round]
	voted := false
	for _, v := range r.Reviews {
		voted = voted || v.Round == r.Round && b.mine(v.Reviewer.ID)
	}
	comments, err := commentsOf(tx, r.ID)
	if err != nil {
		return err
	}
	r.Comments = b.comments(comments)
	events, err := s.Log.Timeline(tx, Subject(r.ID))
	if err != nil {
		return err
	}
	r.Timeline = timeline(events, b)
	r.Turn, r.Can = r.turn(actor, voted), r.can(actor, voted)
	return nil
}

// timeline turns audit events into steps. Who votes, comments or looks, and
// when, stays out of it while the round lacks votes; looking always.
func timeline(events []audit.Event, b blind) []Step {
	steps := []Step{}
	round := 0
	for _, e := range events {
		what := strings.TrimPrefix(e.Verb, "airlock.")
		step := Step{State: what, At: e.At, Actor: e.ActorName}
		switch what {
		case "drafted":
			step.State = string(Draft)
		case "submitted":
			round++
		case "returned", "approved", "rejected", "released", "withdrawn":
		case "voted":
			if !b.open(round) && !b.mine(e.Actor) {
				continue
			}
		default:
			continue
		}
		step.Round = round
		steps = append(steps, step)
	}
	return steps
}

// Filter narrows List.
type Filter struct {
	Project string  // id or slug; empty: all that the actor sees
	States  []State // none: all
	Before  string  // the last id of the page before
	Limit   int     // at most 500; 0: 100
}

// List returns requests that the actor may see, newest first, as summaries:
// without items, reviews, comments and timeline. A full page means that there
// may be more.
func (s *Service) List(ctx context.Context, actor access.Actor, f Filter) ([]Request, error) {
	const op = "airlock.List"
	for _, st := range f.States {
		if !st.Valid() {
			return nil, fault.New(op, fault.Invalid, "%q is not a state of a request.", clip(string(st), 20))
		}
	}
	list := []Request{}
	err := s.DB.View(ctx, func(tx *store.Tx) error {
		where, args, err := s.visible(tx, actor, f)
		if err != nil || where == "" {
			return err
		}
		list, err = s.page(tx, actor, where, args, f)
		return err
	})
	return list, fault.Wrap(op, err)
}

// visible is the condition for what the actor sees; "" for nothing.
func (s *Service) visible(tx *store.Tx, actor access.Actor, f Filter) (string, []any, error) {
	project := ""
	if f.Project != "" {
		p, err := s.Projects.Lookup(tx, f.Project)
		if err != nil {
			return "", nil, err
		}
		if err := access.May(actor, access.AirlockRead, access.Thing{Project: p.ID}); err != nil {
			return "", nil, err
		}
		project = p.ID
	}
	var args []any
	for id := range actor.Projects {
		args = append(args, id)
	}
	member := "project IN (" + strings.TrimSuffix(strings.Repeat("?,", len(args)), ",") + ")"
	where := member
	if access.Can(actor, access.AirlockRead, access.Thing{}) { // a role for the whole site: all that was ever submitted
		where = "(round > 0 OR " + member + ")"
	} else if len(args) == 0 {
		return "", nil, nil
	}
	if project != "" {
		where, args = where+" AND project = ?", append(args, project)
	}
	return where, args, nil
}

func (s *Service) page(tx *store.Tx, actor access.Actor, where string, args []any, f Filter) ([]Request, error) {
	if len(f.States) > 0 {
		where += " AND state IN (" + strings.TrimSuffix(strings.Repeat("?,", len(f.States)), ",") + ")"
		for _, st := range f.States {
			args = append(args, string(st))
		}
	}
	if f.Before != "" {
		where, args = where+" AND id < ?", append(args, f.Before)
	}
	if f.Limit <= 0 {
		f.Limit = 100
	}
	list, err := query(tx, "WHERE "+where+" ORDER BY id DESC LIMIT ?", append(args, min(f.Limit, 500))...)
	if err != nil {
		return nil, err
	}
	for i := range list {
		if err := s.summary(tx, actor, &list[i]); err != nil {
			return nil, err
		}
	}
	return list, nil
}

func query(tx *store.Tx, rest string, args ...any) ([]Request, error) {
	rows, err := tx.Query(`SELECT `+requestColumns+` FROM airlock_request `+rest, args...)
	list := []Request{}
	err = each(rows, err, func() error {
		r, err := scanRequest(rows)
		list = append(list, r)
		return err
	})
	return list, err
}

// summary adds what a line of a list shows.
func (s *Service) summary(tx *store.Tx, actor access.Actor, r *Request) error {
	p, err := s.Projects.Lookup(tx, r.Project)
	if err != nil {
		return err
	}
	r.ProjectName, r.ReviewsNeeded = p.Name, p.Reviewers
	switch {
	case r.onlySent(actor):
		row, err := s.asSent(tx, r)
		if err != nil {
			return err
		}
		r.ReviewsNeeded = row.needed
	case r.Round > 0 && !r.State.Editable():
		row, err := findRound(tx, r.ID, r.Round)
		if err != nil {
			return err
		}
		r.ReviewsNeeded = row.needed
	}
	var voted bool
	err = tx.QueryRow(`SELECT count(*), coalesce(max(reviewer = ?), 0) FROM airlock_review WHERE request = ? AND round = ?`, actor.ID, r.ID, r.Round).Scan(&r.ReviewsDone, &voted)
	r.Items, r.Reviews, r.Comments, r.Timeline = []Item{}, []Review{}, []Comment{}, []Step{}
	r.Turn, r.Can = r.turn(actor, voted), r.can(actor, voted)
	return err
}

const maxTurns = 100

// Waiting returns the requests that wait for this person, oldest first.
func (s *Service) Waiting(tx *store.Tx, actor access.Actor) ([]job.Turn, error) {
	turns := []job.Turn{}
	list, err := query(tx, `WHERE state IN ('draft', 'submitted', 'in-review', 'returned', 'approved') ORDER BY turned_at, id LIMIT ?`, maxTurns*10)
	if err != nil {
		return nil, fault.Wrap("airlock.Waiting", err)
	}
	for i := range list {
		r := &list[i]
		if r.Round == 0 && actor.In(r.Project) == "" {
			continue
		}
		if err := s.summary(tx, actor, r); err != nil {
			return nil, fault.Wrap("airlock.Waiting", err)
		}
		if kind, action, ok := r.waits(actor); ok && len(turns) < maxTurns {
			turns = append(turns, job.Turn{Kind: kind, Title: r.Title, Project: r.ProjectName, ProjectID: r.Project,
				Href: "/airlock/" + r.ID, WaitingSince: r.turnedAt, Action: action})
		}
	}
	return turns, nil
}

// waits says what a request asks of an actor. A release waits for the members
// of the project, although reviewers may make it too.
func (r Request) waits(actor access.Actor) (kind, action string, ok bool) {
	if !r.Turn.Yours {
		return "", "", false
	}
	switch r.State {
	case Draft:
		return "airlock-draft", "Submit", true
	case Returned:
		return "airlock-returned", "Change and submit again", true
	case Approved:
		return "airlock-approved", "Make the release", actor.In(r.Project) != ""
	}
	return "airlock-review", "Review", true
}
