package hub

import (
	"context"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"tresor/app/access"
	"tresor/app/fault"
	"tresor/app/store"
	"tresor/plugins/builtin/tes/model"
)

// forgetAtOnce is how many tasks one transaction drops: others wait for it no longer
// than for any other change.
const forgetAtOnce = 100

// forget drops the tasks whose time is over, with all that the hub knows of them: the
// document, the parts with their orders and the rows of deleted results. What the
// audit log says of them stays. A task stays as long as a result of it is here, or a
// node still has to be told of its end.
func (s *Service) forget(ctx context.Context) error {
	if s.KeepTasks <= 0 {
		return nil
	}
	for {
		old, err := s.overTime(ctx)
		if err != nil || len(old) == 0 {
			return err
		}
		if err := s.drop(ctx, old); err != nil {
			return err
		}
	}
}

// oldTask is a task whose time is over.
type oldTask struct {
	id, project string
	state       model.State
}

const gone = `SELECT t.id, t.project, t.state FROM hub_task t WHERE t.ended_at < ?
	AND NOT EXISTS (SELECT 1 FROM hub_part p WHERE p.task = t.id AND ` + goesOn + `)
	AND NOT EXISTS (SELECT 1 FROM hub_result r WHERE r.task = t.id AND r.state = 'stored' AND r.erased = 0)
	ORDER BY t.ended_at LIMIT ?`

// overTime lists some of them, those first that ended first.
func (s *Service) overTime(ctx context.Context) (all []oldTask, err error) {
	err = s.DB.View(ctx, func(tx *store.Tx) error {
		rows, err := tx.Query(gone, store.Millis(s.Now().Add(-s.KeepTasks)), forgetAtOnce)
		if err != nil {
			return err
		}
		defer rows.Close()
		for rows.Next() {
			var t oldTask
			if err := rows.Scan(&t.id, &t.project, &t.state); err != nil {
				return err
			}
			all = append(all, t)
		}
		return rows.Err()
	})
	return all, err
}

// drop removes tasks in one step. Such a task has no result here, so whatever lies in
// its folder is what a crash left of one.
func (s *Service) drop(ctx context.Context, all []oldTask) error {
	for _, t := range all {
		if err := os.RemoveAll(filepath.Join(s.Results, t.id)); err != nil {
			return fault.Wrap("hub.drop", err)
		}
	}
	return s.DB.Update(ctx, func(tx *store.Tx) error {
		for _, t := range all {
			for _, rows := range []string{`DELETE FROM hub_result WHERE task = ?`, `DELETE FROM hub_part WHERE task = ?`,
				`DELETE FROM hub_tag WHERE task = ?`, `DELETE FROM hub_task WHERE id = ?`} {
				if _, err := tx.Exec(rows, t.id); err != nil {
					return err
				}
			}
			if err := s.note(tx, access.System, "task.forgotten", "task:"+t.id, t.project, "state", string(t.state)); err != nil {
				return err
			}
			s.tell(tx, t.id)
		}
		return nil
	})
}

// tasksUntil is when a task is dropped that ended then; nil: never, or not known while
// it goes on.
func (s *Service) tasksUntil(ended *int64) *time.Time {
	if s.KeepTasks <= 0 || ended == nil {
		return nil
	}
	t := store.Time(*ended).Add(s.KeepTasks)
	return &t
}

// noTask refuses an address without a task. Whether there ever was one is not said.
func (s *Service) noTask(op, text string) error {
	err := fault.New(op, fault.NotFound, "%s", text)
	if s.KeepTasks <= 0 {
		return err
	}
	return fault.WithNext(err, "This hub keeps a task for %s after its end; what happened to it stays in the audit log.", span(s.KeepTasks))
}

// span is a time span in words: whole days where it has them.
func span(d time.Duration) string {
	const day = 24 * time.Hour
	if d == day {
		return "a day"
	}
	if d%day == 0 {
		return strconv.FormatInt(int64(d/day), 10) + " days"
	}
	return d.String()
}
