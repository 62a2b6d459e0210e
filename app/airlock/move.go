package airlock

import (
	"tresor/app/access"
	"tresor/app/audit"
	"tresor/app/live"
	"tresor/app/store"
)

// move takes a request to its next state, with the audit event of that step.
// The event's place in the log is returned. It does not announce the first of
// several votes: when somebody votes is theirs until the round is decided.
func (s *Service) move(tx *store.Tx, r *Request, to State, actor access.Actor, detail ...string) (int64, error) {
	if err := checkStep(r.State, to); err != nil {
		return 0, err
	}
	now := store.Millis(tx.Now())
	set := `state = ?, turned_at = ?`
	args := []any{string(to), now}
	switch to {
	case InReview:
		set, args = `state = ?`, args[:1]
	case Submitted:
		set += `, round = round + 1, submitted_at = ?, decided_at = NULL, approved_seq = NULL`
		args = append(args, now)
		r.Round++
	case Returned, Approved, Rejected:
		set += `, decided_at = ?`
		args = append(args, now)
	}
	if _, err := tx.Exec(`UPDATE airlock_request SET `+set+` WHERE id = ?`, append(args, r.ID)...); err != nil {
		return 0, err
	}
	r.State = to
	if to == InReview {
		return 0, nil // airlock.voted says who did it
	}
	s.announce(tx, *r)
	return s.note(tx, actor, "airlock."+string(to), *r, detail...)
}

func (s *Service) note(tx *store.Tx, actor access.Actor, verb string, r Request, detail ...string) (int64, error) {
	return s.Log.Append(tx, audit.By(actor, verb, Subject(r.ID), r.Project, detail...))
}

// announce tells open pages after the commit: identities and numbers only.
func (s *Service) announce(tx *store.Tx, r Request) {
	if s.Live == nil {
		return
	}
	at := tx.Now()
	data := map[string]string{"id": r.ID, "project": r.Project, "state": string(r.State)}
	tx.AfterCommit(func() {
		s.Live.Publish(Subject(r.ID), live.Event{Type: "state", At: at, Data: data})
		s.Live.Publish("home", live.Event{Type: "airlock", At: at}) // everybody hears it: no data
	})
}
