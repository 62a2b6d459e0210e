package gateway

import (
	"context"
	"time"

	"tresor/app/access"
	"tresor/app/airlock"
	"tresor/app/audit"
	"tresor/app/fault"
	"tresor/app/live"
	"tresor/app/store"
)

// How far Run has come with the way out of a task's outputs; empty: not looked at yet.
const (
	waySponsor   = "sponsor" // left to the sponsor: by policy, or because it cannot be done for them
	wayBlocked   = "blocked" // a draft that the checks hold back
	waySubmitted = "submitted"
)

// What callers read of the way out.
const (
	noteSubmitted = "The outputs are held: a request for their release is under review by the output checkers."
	noteBlocked   = "The outputs are held: the checks or the reviewers ask for something that the person in the project who answers for this task has to do."
	noteSponsor   = "The outputs are held: the person in the project who answers for this task has to ask for their release."
)

// Run drafts, submits and releases the airlock requests of principals whose policy
// says so, and writes counts, until ctx ends.
func (s *Service) Run(ctx context.Context) error {
	way, flush := time.NewTicker(s.times.way), time.NewTicker(s.times.flush)
	defer way.Stop()
	defer flush.Stop()
	news, stop := s.news() // a vote or a new request: do not wait for the clock
	defer func() { stop() }()
	s.wayOut(ctx)
	for {
		select {
		case e, ok := <-news:
			if !ok { // a look took long, and too much happened meanwhile
				news, stop = s.news()
			}
			if !ok || e.Type == "airlock" {
				s.nudge()
			}
		case <-ctx.Done():
			return s.flush(context.WithoutCancel(ctx))
		case <-flush.C:
			if err := s.flush(ctx); err != nil {
				s.Logger.Error("gateway: writing counts", "err", err)
			}
			s.sweep(ctx)
		case <-way.C:
			s.wayOut(ctx)
		case <-s.wake:
			s.wayOut(ctx)
		}
	}
}

// news are the events of what waits for people, until stop is called.
func (s *Service) news() (events <-chan live.Event, stop func()) {
	if s.Live == nil {
		return nil, func() {}
	}
	return s.Live.Subscribe("home", 256)
}

// sweep removes counts of reading that are old.
func (s *Service) sweep(ctx context.Context) {
	err := s.update(ctx, func(tx *store.Tx) error {
		_, err := tx.Exec(`DELETE FROM gateway_ledger WHERE seq IN (SELECT seq FROM gateway_ledger WHERE what = 'task.read' AND at < ? LIMIT 1000)`,
			store.Millis(tx.Now().Add(-91*day)))
		return err
	})
	if err != nil {
		s.Logger.Error("gateway: sweeping the ledger", "err", err)
	}
}

// held is a task whose outputs wait.
type held struct {
	task
	policy  string
	sponsor string
	hub     string // name of the principal
	over    bool   // it was revoked
}

// wayOut looks at every held task of a machine and does the next step.
func (s *Service) wayOut(ctx context.Context) {
	list, err := s.held(ctx)
	if err != nil {
		s.Logger.Error("gateway: looking for held tasks", "err", err)
		return
	}
	for _, t := range list {
		if ctx.Err() != nil {
			return
		}
		if err := s.onward(ctx, t); err != nil {
			s.Logger.Warn("gateway: the way out of a task", "job", t.id, "err", err)
		}
	}
}

func (s *Service) held(ctx context.Context) ([]held, error) {
	var list []held
	err := s.DB.View(ctx, func(tx *store.Tx) error {
		rows, err := tx.Query(`SELECT t.id, t.principal, t.kind, t.plugin, t.project, t.name, t.state, t.tags, t.request_sha256, t.way_out, t.way_note, t.created_at, 0,
			p.airlock, p.name, coalesce(u.sponsor, ''), p.state = 'revoked' FROM gateway_task t JOIN gateway_principal p ON p.id = t.principal
			LEFT JOIN gateway_use u ON u.principal = t.principal AND u.project = t.project
			WHERE t.state = 'held' AND t.way_out <> 'sponsor' ORDER BY t.id`)
		if err != nil {
			return err
		}
		defer rows.Close()
		for rows.Next() {
			var h held
			h.task, err = scanTask(extra{rows, []any{&h.policy, &h.hub, &h.sponsor, &h.over}})
			if err != nil {
				return err
			}
			list = append(list, h)
		}
		return rows.Err()
	})
	return list, err
}

// extra scans columns behind those of a task.
type extra struct {
	row  scanner
	more []any
}

func (e extra) Scan(to ...any) error { return e.row.Scan(append(to, e.more...)...) }

// onward does the next step for one task. Every step may be done again: what it
// made is found by the job, not remembered. For one that was revoked nothing is done any
// more: what its task left is the sponsor's.
func (s *Service) onward(ctx context.Context, t held) error {
	if t.policy != AirlockSubmit || t.sponsor == "" || t.over {
		return s.mark(ctx, t, waySponsor, noteSponsor, "")
	}
	actor, j, err := s.answering(ctx, t)
	if err != nil {
		return err
	}
	if actor.ID == "" {
		return s.mark(ctx, t, waySponsor, noteSponsor, "")
	}
	if j.request == "" {
		r, err := s.Airlock.Draft(ctx, actor, t.id, words(t, j))
		if err != nil {
			return s.givenUp(ctx, t, err)
		}
		j.request = r.ID
	}
	r, err := s.Airlock.Get(ctx, actor, j.request)
	if err != nil {
		return err
	}
	switch {
	case r.Requester.ID != actor.ID: // somebody else has taken it in hand
		return s.mark(ctx, t, waySponsor, "", r.ID)
	case r.State == airlock.Draft && t.wayOut != wayBlocked:
		if _, err := s.Airlock.Submit(ctx, actor, r.ID); err != nil {
			return s.blocked(ctx, t, r.ID, err)
		}
		return s.mark(ctx, t, waySubmitted, noteSubmitted, r.ID)
	case r.State.UnderReview():
		return s.mark(ctx, t, waySubmitted, noteSubmitted, r.ID)
	case r.State == airlock.Approved:
		_, err := s.Releases.Make(ctx, actor, r.ID)
		return err
	case r.State == airlock.Returned, r.State == airlock.Draft:
		return s.mark(ctx, t, wayBlocked, noteBlocked, r.ID)
	}
	return s.mark(ctx, t, waySponsor, noteSponsor, r.ID)
}

// onJob is what the way out needs of the job.
type onJob struct{ request, name, purpose, onBehalf, via string }

// answering is the sponsor as an actor, and the job; no actor when nobody who may
// work in the project answers any more, or somebody else than the submitter does.
func (s *Service) answering(ctx context.Context, t held) (access.Actor, onJob, error) {
	var a access.Actor
	var oj onJob
	err := s.DB.View(ctx, func(tx *store.Tx) error {
		j, err := s.Jobs.Find(tx, t.id)
		if err != nil {
			return err
		}
		oj = onJob{j.AirlockRequest, j.Name, j.Purpose, j.OnBehalf, j.Via}
		a, err = s.ActorOf(tx, j.Submitter.ID)
		if k := fault.KindOf(err); err != nil && k != fault.Denied && k != fault.NotFound {
			return err
		}
		if err != nil || t.sponsor != j.Submitter.ID || !access.Can(a, access.AirlockCreate, access.Thing{Project: t.project}) {
			a = access.Actor{}
		}
		return nil
	})
	a.Via = oj.via
	return a, oj, err
}

// words are the request's texts. They say what the appliance knows, and that nobody
// in the project wrote them.
func words(t held, j onJob) airlock.Text {
	who := t.hub
	if j.onBehalf != "" {
		who += ", for " + j.onBehalf + " there"
	}
	about := " It came without a description."
	if j.purpose != "" {
		about = " Its description: " + j.purpose
	}
	return airlock.Text{Title: cut(j.name, 200),
		Context:    paragraph("This task was sent by "+who+"."+about, 4900),
		Population: "Not described by who sent the task (" + t.hub + "). Judge it from the files and the code of the job.",
		Controls:   "None is known: the files are as the task wrote them. Only the automatic checks of this server have looked at them.",
	}
}

// givenUp leaves a task to its sponsor when a draft is refused for a reason that
// trying again would not change.
func (s *Service) givenUp(ctx context.Context, t held, err error) error {
	switch fault.KindOf(err) {
	case fault.Invalid, fault.Denied:
		return s.mark(ctx, t, waySponsor, noteSponsor, "")
	}
	return err
}

// blocked keeps a request that the checks hold back as a draft for the sponsor.
func (s *Service) blocked(ctx context.Context, t held, request string, err error) error {
	if fault.KindOf(err) != fault.Invalid {
		return err
	}
	return s.mark(ctx, t, wayBlocked, noteBlocked, request)
}

// mark notes how far the way out has come, once.
func (s *Service) mark(ctx context.Context, t held, way, note, request string) error {
	if t.wayOut == way && t.wayNote == note {
		return nil
	}
	return fault.Wrap("gateway.mark", s.update(ctx, func(tx *store.Tx) error {
		if _, err := tx.Exec(`UPDATE gateway_task SET way_out = ?, way_note = ? WHERE id = ?`, way, note, t.id); err != nil {
			return err
		}
		if s.Live != nil {
			at := tx.Now()
			tx.AfterCommit(func() { s.Live.Publish("home", live.Event{Type: "job", At: at}) })
		}
		kv := []string{"principal", t.principal, "way", way}
		if request != "" {
			kv = append(kv, "request", request)
		}
		_, err := s.Log.Append(tx, audit.By(access.System, "gateway.way-out", "job:"+t.id, t.project, kv...))
		return err
	}))
}
