package job

import (
	"time"

	"tresor/app/access"
	"tresor/app/audit"
	"tresor/app/fault"
	"tresor/app/live"
	"tresor/app/store"
)

// step is one change of state, with who made it and what people should read.
type step struct {
	to     State
	by     access.Actor
	reason string   // for people; kept with the job, never in the audit log
	next   string   // for people
	why    string   // a person's own words, in one line; the audit log keeps them beside its event
	detail []string // for the audit log: pairs from a fixed vocabulary
}

// move makes one step: the row and its audit event, in the caller's transaction.
// j is brought up to date. It is the only writer of job.state.
func (s *Service) move(tx *store.Tx, j *Job, st step) error {
	if err := checkStep(j.State, st.to); err != nil {
		return err
	}
	fresh := j.State.waits() && st.to.Terminal() // never touched the host: nothing to clean
	j.stamp(st, tx.Now())
	j.WaitingImage = ""
	res, err := tx.Exec(`UPDATE job SET state = ?, reason = ?, next = ?, queued_at = ?, started_at = ?, finished_at = ?, held_at = ?,
		waits_image = '', cleaned = max(cleaned, ?) WHERE id = ?`,
		string(j.State), j.Reason, j.storedNext, millis(j.QueuedAt), millis(j.StartedAt), millis(j.FinishedAt), millis(j.HeldAt), fresh, j.ID)
	if err != nil {
		return fault.Wrap("job.move", err)
	}
	if n, err := res.RowsAffected(); err != nil || n != 1 {
		return fault.Kinded("job.move", fault.NotFound, err, "There is no such job.")
	}
	if _, err := s.Log.Append(tx, audit.By(st.by, "job."+verb(st.to), Subject(j.ID), j.Project, st.detail...).Because(st.why)); err != nil {
		return fault.Wrap("job.move", err)
	}
	s.publish(tx, *j)
	return s.moved(tx, *j)
}

// moved tells whoever mirrors jobs, in the same transaction.
func (s *Service) moved(tx *store.Tx, j Job) error {
	if s.Moved == nil {
		return nil
	}
	return fault.Wrap("job.move", s.Moved(tx, j))
}

// verb is the audit verb of entering a state.
func verb(to State) string {
	switch to {
	case Running:
		return "started"
	case Collecting:
		return "ended"
	}
	return string(to)
}

func (j *Job) stamp(st step, now time.Time) {
	j.State, j.Reason, j.storedNext = st.to, st.reason, st.next
	switch st.to {
	case Queued:
		j.QueuedAt = &now
	case Preparing:
		j.StartedAt = &now
	case Held:
		j.HeldAt, j.FinishedAt = &now, &now
	}
	if st.to.Terminal() && j.FinishedAt == nil {
		j.FinishedAt = &now
	}
}

// publish tells open browsers, once the step is durable.
func (s *Service) publish(tx *store.Tx, j Job) {
	now := tx.Now()
	tx.AfterCommit(func() {
		s.Live.Publish(Subject(j.ID), live.Event{Type: "state", At: now,
			Data: map[string]any{"id": j.ID, "state": j.State, "reason": j.Reason, "next": j.storedNext}})
		s.Live.Publish("home", live.Event{Type: "job", At: now}) // everybody hears it: not even an id
	})
}
