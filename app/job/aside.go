package job

import (
	"context"
	"errors"

	"tresor/app/access"
	"tresor/app/fault"
	"tresor/app/store"
)

// aside is a job that waits although the host may have room: whoever sent it is paused.
// It takes no place, is in nobody's way, and is looked at again when that changes.
type aside struct {
	entry
	holder string // who is paused
	why    string // for people
}

// look begins a look at who stands aside and numbers it: what was seen before a pause
// or a resume must not decide after it.
func (q *scheduler) look() int64 {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.looks++
	return q.looks
}

// put takes a job that waits, or was about to start, aside. looks is the number of the
// newest look when it was seen to be held: when another has begun since, the job goes back
// in line, and is asked about again before it starts.
func (q *scheduler) put(e entry, holder, why string, looks int64) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if old := q.known[e.id]; old != nil {
		e = *old
		q.drop(old)
	}
	if e.seq == 0 {
		q.seq++
		e.seq = q.seq
	}
	if q.looks != looks {
		q.enter(&e)
		return
	}
	q.aside[e.id] = &aside{entry: e, holder: holder, why: why}
	q.nudge()
}

// back puts a job that stands aside in line again, where it stood.
func (q *scheduler) back(id string) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if a := q.aside[id]; a != nil {
		delete(q.aside, id)
		q.enter(&a.entry)
	}
}

// looked is the number of the newest look.
func (q *scheduler) looked() int64 {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.looks
}

// holders are those for whom jobs stand aside, each with one of these jobs.
func (q *scheduler) holders() map[string]string {
	q.mu.Lock()
	defer q.mu.Unlock()
	all := map[string]string{}
	for id, a := range q.aside {
		all[a.holder] = id
	}
	return all
}

// Recheck has Run look soon at every job that waits and came through a door: one whose
// sender was paused stands aside, one whose sender was resumed goes on, and one that
// may not start any more is refused. What runs is left alone. It never blocks.
func (s *Service) Recheck() {
	select {
	case s.recheck <- struct{}{}:
	default:
	}
}

const queuedByDoor = `SELECT id FROM job WHERE state = 'queued' AND via <> '' AND id > ? ORDER BY id LIMIT ?`

// recheckAll is what Recheck asks for.
func (s *Service) recheckAll(ctx context.Context) {
	looks := s.sched.look()
	for after := ""; ; {
		var ids []string
		err := s.DB.View(ctx, func(tx *store.Tx) error {
			var err error
			ids, err = texts(tx, queuedByDoor, after, waitBatch)
			return err
		})
		for _, id := range ids {
			err = errors.Join(err, s.recheckOne(ctx, id, looks))
		}
		if err != nil && ctx.Err() == nil {
			s.Logger.Warn("jobs: looking again at jobs that wait", "err", err)
		}
		if len(ids) < waitBatch || ctx.Err() != nil {
			return
		}
		after = ids[len(ids)-1]
	}
}

func (s *Service) recheckOne(ctx context.Context, id string, looks int64) error {
	var j Job
	var holder, why string
	var refusal error
	err := s.DB.View(ctx, func(tx *store.Tx) (err error) {
		if j, err = load(tx, id); err != nil {
			return err
		}
		if holder, why, err = s.held(tx, j); err != nil || holder != "" || s.Allowed == nil {
			return err
		}
		refusal = s.Allowed(tx, j)
		return nil
	})
	switch {
	case fault.KindOf(err) == fault.NotFound && err != nil || err == nil && j.State != Queued:
		return nil
	case err != nil:
		return err
	case holder != "":
		s.setAside(j, holder, why, looks)
	case refusal != nil && fault.KindOf(refusal) != fault.Internal:
		return s.refuseQueued(ctx, id, refusal)
	default:
		s.sched.back(id)
	}
	return nil
}

// setAside puts a job aside unless a run has it: that one asks for itself.
func (s *Service) setAside(j Job, holder, why string, looks int64) {
	if !s.alive(j.ID) {
		s.sched.put(j.entry(), holder, why, looks)
	}
}

// refuseQueued ends a job that waits and may not start any more.
func (s *Service) refuseQueued(ctx context.Context, id string, why error) error {
	return s.update(ctx, func(tx *store.Tx) error {
		j, err := load(tx, id)
		if err != nil || j.State != Queued {
			return err
		}
		tx.AfterCommit(func() { s.sched.remove(id) })
		return s.move(tx, &j, mayNot(why))
	})
}

// mayNot is the step of a job that may not start any more.
func mayNot(why error) step {
	return step{to: Refused, by: access.System, reason: "It may not start any more. " + fault.Message(why),
		next: "Have this put right, then submit it again.", detail: []string{"cause", "not-allowed-any-more"}}
}

// held asks who keeps a queued job from starting, and why; "": nobody.
func (s *Service) held(tx *store.Tx, j Job) (holder, why string, err error) {
	if s.Held == nil || j.Via == "" {
		return "", "", nil
	}
	return s.Held(tx, j)
}

// recheckHolders looks, now and then, whether the jobs that stand aside still have to:
// a Recheck that was lost must not keep them there for ever.
func (s *Service) recheckHolders(ctx context.Context) {
	for _, id := range s.sched.holders() {
		var holder string
		waits := false
		err := s.DB.View(ctx, func(tx *store.Tx) error {
			j, err := find(tx, id)
			if waits = err == nil && j.State == Queued; waits {
				holder, _, err = s.held(tx, j)
			}
			return err
		})
		if err == nil && !waits { // it was cancelled while it was put aside
			s.sched.remove(id)
		} else if err == nil && holder == "" {
			s.Logger.Warn("jobs: a job stands aside that nobody holds; looking at all of them", "job", id)
			s.recheckAll(ctx)
			return
		}
	}
}
