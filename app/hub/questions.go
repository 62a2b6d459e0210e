package hub

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"reflect"
	"sync"
	"time"

	"tresor/app/access"
	"tresor/app/store"
	"tresor/fed/link"
	"tresor/fed/task"
	"tresor/fed/wire"
	"tresor/plugins/builtin/tes/model"
)

// asked is when a task is asked about again.
type asked struct {
	next time.Time
	back link.Backoff
}

const atOnce = 4 // questions to one node at a time

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
			w.meet(ctx)
			again = now.Add(w.s.Pace.Catalogue)
		}
		next := w.ask(ctx, paces)
		return max(min(next, again.Sub(w.s.Now())), 10*time.Millisecond)
	}
}

// touch notes when a link began or ended.
func (w *worker) touch(ctx context.Context, at int64) {
	err := w.s.DB.Update(ctx, func(tx *store.Tx) error {
		_, err := tx.Exec(`UPDATE hub_node SET seen_at = ? WHERE id = ?`, at, w.node)
		if w.s.Live != nil {
			w.s.tellNodes(tx)
		}
		return err
	})
	if err != nil && ctx.Err() == nil {
		w.s.Logger.Error("the last contact was not noted", "node", w.node, "error", err)
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
	now, next := w.s.Now(), idle
	slots := make(chan struct{}, atOnce)
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

// openParts lists what a node is to be asked about: only task and remote are read.
func openParts(tx *store.Tx, node string) ([]part, error) {
	rows, err := tx.Query(`SELECT p.task, p.remote FROM hub_part p WHERE p.node = ? AND p.state = 'accepted' AND NOT EXISTS
		(SELECT 1 FROM hub_result r WHERE r.task = p.task AND r.node = p.node)`, node)
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
	changed := false
	werr := w.change(ctx, p, func(tx *store.Tx, now *part) error {
		if now.state != accepted {
			return nil
		}
		was := *now
		if err != nil {
			now.trouble = trouble(err)
		} else {
			now.trouble, now.log = "", r
			changed = !reflect.DeepEqual(was.log, r)
			if now.seen == nil || changed || store.Millis(tx.Now())-*now.seen > time.Minute.Milliseconds() {
				now.seen = now.at(tx)
			}
			return w.s.settlePart(tx, now)
		}
		return nil
	})
	if werr != nil && ctx.Err() == nil {
		w.s.Logger.Error("a node's answer was not kept", "node", w.node, "task", p.task, "error", werr)
	}
	return changed
}

// settlePart lets the part follow the node's report. A task whose results are
// released runs on here until they have been fetched, so that COMPLETE means that
// they can be read.
func (s *Service) settlePart(tx *store.Tx, p *part) error {
	if !p.log.State.Over() {
		p.tes = p.log.State
		return nil
	}
	if p.log.State == model.Complete && p.log.Release != "" {
		p.tes = model.Running
		_, err := tx.Exec(`INSERT INTO hub_result (task, node, release, state) VALUES (?, ?, ?, 'wanted') ON CONFLICT DO NOTHING`, p.task, p.node, p.log.Release)
		tx.AfterCommit(func() { s.wake(p.node) })
		return err
	}
	p.state, p.tes = ended, p.log.State
	return s.note(tx, access.System, "part.ended", "task:"+p.task, "", "node", p.node, "state", string(p.tes))
}

// trouble is a sentence for the page of a task.
func trouble(err error) string {
	var r *wire.Refusal
	var status *statusError
	var bad *badResult
	switch {
	case errors.As(err, &bad):
		return bad.why
	case errors.As(err, &r):
		return clip(r.Text, maxMessage)
	case errors.As(err, &status):
		return status.Error()
	case errors.Is(err, context.DeadlineExceeded):
		return "The node did not answer in time."
	}
	return "The link ended before the node had answered."
}

// statusError is an answer that is not 200.
type statusError struct {
	status int
	text   string
}

func (e *statusError) Error() string {
	if e.text == "" {
		return fmt.Sprintf("The node answered %d.", e.status)
	}
	return fmt.Sprintf("The node answered %d: %s", e.status, e.text)
}

// get reads one page of the node, at most most bytes of it.
func (w *worker) get(ctx context.Context, path string, most int64) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, w.s.Pace.Call)
	defer cancel()
	resp, err := w.open(ctx, path)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, most+1))
	if err != nil {
		return nil, err
	}
	if int64(len(body)) > most {
		return nil, wire.Refuse(wire.CodeSize, "The node's answer is longer than %d bytes.", most)
	}
	return body, nil
}

// open asks for a page; an answer that is not 200 is a statusError.
func (w *worker) open(ctx context.Context, path string) (*http.Response, error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://node"+path, nil)
	if err != nil {
		return nil, err
	}
	resp, err := w.s.fed().RoundTripper(wire.KeyID(w.node)).RoundTrip(r)
	if err != nil {
		return nil, err
	}
	if resp.StatusCode == http.StatusOK {
		return resp, nil
	}
	defer resp.Body.Close()
	body, _ := io.ReadAll(io.LimitReader(resp.Body, 16<<10)) // only for its words
	if r, err := wire.DecodeRefusal(body); err == nil {
		return nil, r
	}
	_, text, _ := problem(task.Answer{Status: resp.StatusCode, Header: resp.Header, Body: body})
	return nil, &statusError{resp.StatusCode, text}
}

// meet reads how the node is and what it publishes.
func (w *worker) meet(ctx context.Context) {
	var f facts
	body, err := w.get(ctx, task.PathPing, wire.MaxMessage)
	if err == nil {
		var p task.Ping
		if p, err = task.DecodePing(body); err == nil {
			f = factsOf(p)
		}
	}
	var c task.Catalogue
	if err == nil {
		if body, err = w.get(ctx, task.PathCatalogue, task.MaxCatalogue); err == nil {
			c, err = task.DecodeCatalogue(body)
		}
	}
	if ctx.Err() != nil {
		return
	}
	if err != nil {
		f.Trouble, f.Paused = trouble(err), f.Paused || errors.Is(err, wire.For(wire.CodePaused))
	}
	werr := w.s.DB.Update(ctx, func(tx *store.Tx) error { return w.s.putFacts(tx, w.node, f, c, err == nil) })
	if werr != nil {
		w.s.Logger.Error("a node's pages were not kept", "node", w.node, "error", werr)
	}
}

func (s *Service) putFacts(tx *store.Tx, node string, f facts, c task.Catalogue, published bool) error {
	text, err := json.Marshal(f)
	if err != nil {
		return err
	}
	now := store.Millis(tx.Now())
	if _, err := tx.Exec(`UPDATE hub_node SET facts = ?, seen_at = ? WHERE id = ?`, string(text), now, node); err != nil {
		return err
	}
	if published {
		text, err := json.Marshal(tidy(c))
		if err != nil {
			return err
		}
		if _, err := tx.Exec(`UPDATE hub_node SET catalogue = ?, catalogue_at = ? WHERE id = ?`, string(text), now, node); err != nil {
			return err
		}
	}
	s.tellNodes(tx)
	return nil
}
