package hub

import (
	"context"
	"time"

	"tresor/app/access"
	"tresor/app/fault"
	"tresor/app/store"
	"tresor/plugins/builtin/tes/model"
)

// End stops waiting for the nodes that have not ended a cancelled task: the task is
// CANCELED from then on, whether or not they come back. A node that does is still
// told that the task is cancelled; what it says afterwards changes the task no more.
// Errors: NotFound, Denied, Conflict while nobody has cancelled the task.
func (s *Service) End(ctx context.Context, actor access.Actor, id string) (Task, error) {
	const op = "hub.End"
	err := s.DB.Update(ctx, func(tx *store.Tx) error {
		t, err := s.task(tx, actor, id, s.online())
		if err != nil {
			return err
		}
		if err := access.May(actor, access.HubCancel, access.Thing{Project: t.Project, Owner: t.Owner}); err != nil {
			return err
		}
		if t.EndedAt != nil {
			return nil
		}
		if t.CancelAt == nil {
			return fault.WithNext(fault.New(op, fault.Conflict, "The task was not cancelled yet, and its nodes may still end it."), "Cancel it first.")
		}
		if err := s.note(tx, actor, "task.left", "task:"+id, t.Project); err != nil {
			return err
		}
		return s.leaveParts(tx, id)
	})
	if err != nil {
		return Task{}, fault.Wrap(op, err)
	}
	return s.Task(ctx, actor, id)
}

func (s *Service) leaveParts(tx *store.Tx, id string) error {
	all, err := parts(tx, `WHERE p.task = ? AND `+goesOn, id)
	if err != nil {
		return err
	}
	for _, p := range all {
		if _, err := tx.Exec(`UPDATE hub_part SET left_at = ? WHERE task = ? AND node = ?`, store.Millis(tx.Now()), p.task, p.node); err != nil {
			return err
		}
		p.left = true
		if err := s.put(tx, p); err != nil {
			return err
		}
	}
	return nil
}

// away says since when an absent node was not seen, and how to wait no longer: one
// that has revoked this hub while it was down never comes back and is not heard of.
func (p part) away(seen *time.Time) string {
	since := " It was never here."
	if seen != nil {
		since = " It was last here on " + seen.UTC().Format("2006-01-02 at 15:04") + " UTC."
	}
	if p.wanted {
		return since + " \"Stop waiting\" ends it without the node."
	}
	return since + " If it stays away, cancel the task; \"Stop waiting\" then ends it without the node."
}

// turn says whom a part waits for; empty when it waits for nobody.
func (p part) turn(name string, seen *time.Time, online, fetching bool) string {
	switch {
	case p.over():
		return ""
	case p.left:
		return "Nobody waits for " + name + " any more. It is told to stop when it is back."
	case p.state == waiting && !online:
		return name + " has to connect to this hub: the task is sent then." + p.away(seen)
	case p.state == waiting && p.trouble != "":
		return "This hub sends the task again until " + name + " takes it."
	case p.state == waiting:
		return "This hub sends the task next."
	case !online:
		return name + " has to connect to this hub again." + p.away(seen)
	case p.state == offered:
		return name + " has to say whether it takes the task."
	case fetching:
		return "This hub fetches what " + name + " has released."
	case p.wanted && !p.cancelled:
		return "This hub tells " + name + " that the task is cancelled."
	case p.tes == model.Queued:
		return name + " has to start it: it waits there for an approval or for its place."
	}
	return name + " has to end it: it runs there, or people there look at what it made."
}
