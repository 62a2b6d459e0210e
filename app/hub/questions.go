package hub

import (
	"context"
	"errors"
	"net/http"
	"reflect"
	"sync"
	"time"

	"tresor/app/access"
	"tresor/app/store"
	"tresor/fed/link"
	"tresor/fed/task"
	"tresor/plugins/builtin/tes/model"
)

// asked is when a task is asked about again.
type asked struct {
	next time.Time
	back link.Backoff
}

const questionsAtOnce = 4 // to one node

// questions is the loop that asks a node: how it is, what it publishes, where its
// tasks stand. When a link begins everything is asked at once.
func (w *worker) questions() func(context.Context) time.Duration {
	paces := map[string]*asked{}
	var again time.Time // when the node's own pages are read again
	return func(ctx context.Context) time.Duration {
		if at := w.link.Swap(0); at != 0 {
			w.touch(ctx, at)
		}
		if w.news.Swap(false) {
			clear(paces)
			again = time.Time{}
		}
		if !w.ready(ctx) {
			return idle
		}
		now := w.s.Now()
		if !now.Before(again) {
			again = now.Add(w.s.Pace.Glance)
			if w.meet(ctx) && w.tag == "" {
				again = now.Add(w.s.Pace.Catalogue)
			}
		}
		next := w.ask(ctx, paces)
		return max(min(next, again.Sub(w.s.Now())), 10*time.Millisecond)
	}
}

// ask asks about every open task that is due, and says when the next one is.
func (w *worker) ask(ctx context.Context, paces map[string]*asked) time.Duration {
	var open []part
	err := w.s.DB.View(ctx, func(tx *store.Tx) (err error) {
		open, err = openParts(tx, w.node)
		return err
	})
	if err != nil {
		return time.Second
	}
	w.forget(paces, open)
	for id := range w.hurried() {
		delete(paces, id)
	}
	now, next := w.s.Now(), idle
	slots := make(chan struct{}, questionsAtOnce)
	var wg sync.WaitGroup
	for _, p := range open {
		a := paces[p.task]
		if a == nil {
			a = &asked{back: link.Backoff{Min: w.s.Pace.PollMin, Max: w.s.Pace.PollMax}}
			paces[p.task] = a
		}
		if now.Before(a.next) {
			continue
		}
		slots <- struct{}{}
		wg.Go(func() {
			defer func() { <-slots }()
			if w.look(ctx, p) {
				a.back.Reset()
			}
			a.next = w.s.Now().Add(a.back.Next())
		})
	}
	wg.Wait()
	for _, a := range paces {
		next = min(next, a.next.Sub(w.s.Now()))
	}
	return max(next, 0)
}

const toAsk = `SELECT p.task, p.remote FROM hub_part p WHERE p.node = ? AND ` + goesOn + ` AND p.state = 'accepted' AND NOT EXISTS
	(SELECT 1 FROM hub_result r WHERE r.task = p.task AND r.node = p.node)`

// openParts lists what a node is to be asked about: only task and remote are read.
func openParts(tx *store.Tx, node string) ([]part, error) {
	rows, err := tx.Query(toAsk, node)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var all []part
	for rows.Next() {
		p := part{node: node}
		if err := rows.Scan(&p.task, &p.remote); err != nil {
			return nil, err
		}
		all = append(all, p)
	}
	return all, rows.Err()
}

func (w *worker) forget(paces map[string]*asked, open []part) {
	if len(paces) == len(open) {
		return
	}
	still := make(map[string]bool, len(open))
	for _, p := range open {
		still[p.task] = true
	}
	for id := range paces {
		if !still[id] {
			delete(paces, id)
		}
	}
}

// look asks where one task stands; true when something changed.
func (w *worker) look(ctx context.Context, p part) bool {
	body, err := w.get(ctx, task.PluginPath("tes")+"/v1/tasks/"+p.remote+"?view=FULL", maxAnswer)
	var r report
	if err == nil {
		r, err = readReport(body, p.remote)
	}
	if ctx.Err() != nil {
		return false
	}
	if err == nil && w.same(ctx, p, r) {
		return false
	}
	changed := false
	werr := w.change(ctx, p, func(tx *store.Tx, now *part) error {
		if now.state != accepted {
			return nil
		}
		was := *now
		if err != nil {
			if now.trouble = trouble(err); now.left && unknownThere(err) {
				now.state = ended // nobody waits, and the node has nothing to stop
			}
		} else {
			now.trouble, now.log = "", r
			changed = !reflect.DeepEqual(was.log, r)
			now.seen = now.at(tx)
			return w.s.settlePart(tx, now)
		}
		return nil
	})
	if werr != nil && ctx.Err() == nil {
		w.s.Logger.Error("a node's answer was not kept", "node", w.node, "task", p.task, "error", werr)
	}
	return changed
}

// unknownThere reports whether a node says that it has no such task.
func unknownThere(err error) bool {
	var status *statusError
	return errors.As(err, &status) && status.status == http.StatusNotFound
}

// same reports whether a node said again what is written down, not long ago: most
// answers are such, and none of them costs a commit.
func (w *worker) same(ctx context.Context, p part, r report) bool {
	var all []part
	err := w.s.DB.View(ctx, func(tx *store.Tx) (err error) {
		all, err = parts(tx, `WHERE p.task = ? AND p.node = ?`, p.task, p.node)
		return err
	})
	if err != nil || len(all) != 1 {
		return false
	}
	now := all[0]
	return now.trouble == "" && now.seen != nil && store.Millis(w.s.Now())-*now.seen < time.Minute.Milliseconds() && reflect.DeepEqual(now.log, r)
}

// settlePart lets the part follow the node's report. A task whose results are
// released runs on here until they have been fetched, so that COMPLETE means that
// they can be read.
func (s *Service) settlePart(tx *store.Tx, p *part) error {
	if !p.log.State.Over() {
		p.tes = p.log.State
		return nil
	}
	if p.log.State == model.Complete && p.log.Release != "" && !p.left {
		p.tes = model.Running
		_, err := tx.Exec(`INSERT INTO hub_result (task, node, release, state) VALUES (?, ?, ?, 'wanted') ON CONFLICT DO NOTHING`, p.task, p.node, p.log.Release)
		tx.AfterCommit(func() { s.wake(p.node) })
		return err
	}
	p.state, p.tes = ended, p.log.State
	return s.note(tx, access.System, "part.ended", "task:"+p.task, "", "node", p.node, "state", string(p.tes))
}
