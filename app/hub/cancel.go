package hub

import (
	"context"

	"tresor/app/access"
	"tresor/app/fault"
	"tresor/app/store"
	"tresor/plugins/builtin/tes/model"
)

// Cancel asks all nodes for the end of a task, also those that are offline: they
// are told when they are back. A part that was not sent yet never will be.
// Cancelling a task that has ended changes nothing.
func (s *Service) Cancel(ctx context.Context, actor access.Actor, id string) (Task, error) {
	const op = "hub.Cancel"
	var nodes []string
	err := s.DB.Update(ctx, func(tx *store.Tx) error {
		var project, owner string
		var end, cancel *int64
		err := tx.QueryRow(`SELECT project, person, ended_at, cancel_at FROM hub_task WHERE id = ?`, id).Scan(&project, &owner, &end, &cancel)
		if store.NotFound(err) {
			return s.noTask(op, access.NotSeen)
		}
		if err != nil {
			return err
		}
		if err := access.May(actor, access.HubCancel, access.Thing{Project: project, Owner: owner}); err != nil {
			return err
		}
		if end != nil || cancel != nil {
			return nil
		}
		nodes, err = s.stopParts(tx, actor, id, project)
		return err
	})
	if err != nil {
		return Task{}, fault.Wrap(op, err)
	}
	for _, n := range nodes {
		s.wake(n)
	}
	return s.Task(ctx, actor, id)
}

func (s *Service) stopParts(tx *store.Tx, actor access.Actor, id, project string) (nodes []string, err error) {
	if _, err := tx.Exec(`UPDATE hub_task SET cancel_at = ?, cancel_by = ? WHERE id = ?`, store.Millis(tx.Now()), actor.Handle, id); err != nil {
		return nil, err
	}
	if err := s.note(tx, actor, "task.cancelled", "task:"+id, project); err != nil {
		return nil, err
	}
	all, err := parts(tx, `WHERE p.task = ?`, id)
	if err != nil {
		return nil, err
	}
	for _, p := range all {
		nodes = append(nodes, p.node)
		if p.state != waiting {
			continue
		}
		p.state, p.tes, p.trouble = cancelled, model.Canceled, ""
		if err := s.put(tx, p); err != nil {
			return nil, err
		}
	}
	return nodes, s.follow(tx, id)
}
