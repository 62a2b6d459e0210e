package hub

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"tresor/app/access"
	"tresor/app/fault"
	"tresor/app/store"
)

// ErrDeleted is wrapped by what Result answers about a result that was deleted here.
var ErrDeleted = errors.New("the result was deleted")

// byTime stands where a handle would, when the hub deleted a result because its time was over.
const byTime = "retention"

// DeleteResults deletes what one node released of a task, or all nodes when node is
// empty: the bytes go, names and hashes stay. node is an id or a name. A result that
// is deleted already, or still on its way, stays as it is. Errors: NotFound, Denied,
// Conflict when there is nothing to delete.
func (s *Service) DeleteResults(ctx context.Context, actor access.Actor, id, node string) (Task, error) {
	const op = "hub.DeleteResults"
	t, err := s.Task(ctx, actor, id)
	if err != nil {
		return Task{}, fault.Wrap(op, err)
	}
	if err := access.May(actor, access.HubErase, access.Thing{Project: t.Project, Owner: t.Owner}); err != nil {
		return Task{}, fault.Wrap(op, err)
	}
	var chosen []doomed
	for _, p := range t.Parts {
		if node == "" || p.Node == node || strings.EqualFold(p.Name, node) {
			chosen = append(chosen, doomed{task: id, node: p.Node, project: t.Project})
		}
	}
	n, err := s.doom(ctx, actor, actor.Handle, chosen)
	if err == nil && n == 0 {
		err = fault.WithNext(fault.New(op, fault.Conflict, "There is no result of this task here to delete."), "The task says what its nodes have released, and what was deleted already.")
	}
	if err != nil {
		return Task{}, fault.Wrap(op, err)
	}
	s.eraseAll(ctx)
	return s.Task(ctx, actor, id)
}

// doomed is a result that is to be deleted.
type doomed struct{ task, node, project string }

// doom writes down that results are deleted, and says how many. From then on they are
// given out no more; their files go afterwards.
func (s *Service) doom(ctx context.Context, actor access.Actor, by string, all []doomed) (n int, err error) {
	err = s.DB.Update(ctx, func(tx *store.Tx) error {
		n = 0
		for _, d := range all {
			var sum string
			err := tx.QueryRow(`UPDATE hub_result SET deleted_at = ?, deleted_by = ? WHERE task = ? AND node = ? AND state = 'stored' AND deleted_at IS NULL RETURNING sha256`,
				store.Millis(tx.Now()), by, d.task, d.node).Scan(&sum)
			if store.NotFound(err) {
				continue
			}
			if err != nil {
				return err
			}
			n++
			if err := s.note(tx, actor, "result.deleted", "task:"+d.task, d.project, "node", d.node, "sha256", sum, "by", by); err != nil {
				return err
			}
			s.tell(tx, d.task)
		}
		return nil
	})
	return n, err
}

const overdue = `SELECT r.task, r.node, t.project FROM hub_result r JOIN hub_task t ON t.id = r.task
	WHERE r.state = 'stored' AND r.deleted_at IS NULL AND r.stored_at < ?1 AND t.ended_at < ?1 LIMIT ?2`

// retire deletes the results whose time is over.
func (s *Service) retire(ctx context.Context) error {
	if s.Keep <= 0 {
		return nil
	}
	for {
		var all []doomed
		err := s.DB.View(ctx, func(tx *store.Tx) error {
			rows, err := tx.Query(overdue, store.Millis(s.Now().Add(-s.Keep)), 100)
			if err != nil {
				return err
			}
			defer rows.Close()
			for rows.Next() {
				var d doomed
				if err := rows.Scan(&d.task, &d.node, &d.project); err != nil {
					return err
				}
				all = append(all, d)
			}
			return rows.Err()
		})
		if err != nil || len(all) == 0 {
			return err
		}
		if _, err := s.doom(ctx, access.System, byTime, all); err != nil {
			return err
		}
		s.eraseAll(ctx)
	}
}

// eraseAll removes the files of deleted results. What cannot be removed now is tried
// again with the next small work, also after a crash.
func (s *Service) eraseAll(ctx context.Context) {
	var all []doomed
	err := s.DB.View(ctx, func(tx *store.Tx) error {
		rows, err := tx.Query(`SELECT task, node FROM hub_result WHERE deleted_at IS NOT NULL AND erased = 0 LIMIT 1000`)
		if err != nil {
			return err
		}
		defer rows.Close()
		for rows.Next() {
			var d doomed
			if err := rows.Scan(&d.task, &d.node); err != nil {
				return err
			}
			all = append(all, d)
		}
		return rows.Err()
	})
	for _, d := range all {
		err = errors.Join(err, s.erase(ctx, d))
	}
	if err != nil && ctx.Err() == nil {
		s.Logger.Error("deleted results are still on the disk", "error", err)
	}
}

func (s *Service) erase(ctx context.Context, d doomed) error {
	file := s.resultFile(d.task, d.node)
	folder := filepath.Dir(file)
	err := os.Remove(file)
	if err == nil {
		err = syncFolder(folder)
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	_ = os.Remove(folder) // only when nothing else lies in it
	return s.DB.Update(ctx, func(tx *store.Tx) error {
		_, err := tx.Exec(`UPDATE hub_result SET erased = 1 WHERE task = ? AND node = ?`, d.task, d.node)
		return err
	})
}

// keepUntil is when a result is deleted that was stored then, of a task that ended
// then; nil: never, or not known while the task goes on.
func (s *Service) keepUntil(ended, stored *int64) *time.Time {
	if s.Keep <= 0 || ended == nil || stored == nil {
		return nil
	}
	t := store.Time(max(*ended, *stored)).Add(s.Keep)
	return &t
}

// goneText says in one sentence what happened to a deleted result.
func goneText(node string, r *Result) string {
	who := "by " + r.DeletedBy
	if r.DeletedBy == byTime {
		who = "because the time for which this hub keeps results was over"
	}
	return "The result of the node " + node + " was deleted here on " + r.DeletedAt.UTC().Format(time.DateOnly) + " " + who + ". The node still has the release " + r.Release + "."
}
