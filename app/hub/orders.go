package hub

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"strings"
	"time"

	"tresor/app/access"
	"tresor/app/store"
	"tresor/fed/link"
	"tresor/fed/task"
	"tresor/fed/wire"
	"tresor/plugins/builtin/tes/model"
)

const orderLife = wire.MaxLife

// orders is the loop that brings signed orders to a node: tasks in the order of
// their sequence, then ends.
func (w *worker) orders() func(context.Context) time.Duration {
	back := link.Backoff{Min: 200 * time.Millisecond, Max: w.s.Pace.Retry}
	return func(ctx context.Context) time.Duration {
		late, err := w.expire(ctx)
		if err == nil && w.ready(ctx) {
			err = w.bring(ctx)
		}
		if err != nil {
			if ctx.Err() == nil {
				w.s.Logger.Debug("orders wait", "node", w.node, "error", err)
			}
			return min(back.Next(), late)
		}
		back.Reset()
		return late
	}
}

// expire ends what can never be brought any more, and says when to look again.
func (w *worker) expire(ctx context.Context) (time.Duration, error) {
	for {
		var oldest []part
		err := w.s.DB.View(ctx, func(tx *store.Tx) (err error) {
			oldest, err = parts(tx, `WHERE p.node = ? AND p.state IN ('waiting', 'offered') ORDER BY p.seq LIMIT 1`, w.node)
			return err
		})
		if err != nil || len(oldest) == 0 {
			return idle, err
		}
		p := oldest[0]
		text, _, err := w.s.orderOf(ctx, p)
		if err != nil {
			return idle, err
		}
		e, err := wire.DecodeEnvelope([]byte(text))
		if err == nil {
			err = e.Fresh(w.s.Now())
		}
		if err == nil || !errors.Is(err, wire.For(wire.CodeExpired)) {
			return time.Minute, nil
		}
		why := "The node was not reached within seven days."
		if p.state == offered {
			why += " It may have the task all the same: ask its operator."
		}
		if err := w.refuse(ctx, p, string(wire.CodeExpired), why, ""); err != nil {
			return idle, err
		}
	}
}

// bring sends what waits, until something keeps the node from taking it.
func (w *worker) bring(ctx context.Context) error {
	for {
		var next, ends []part
		err := w.s.DB.View(ctx, func(tx *store.Tx) (err error) {
			if next, err = parts(tx, `WHERE p.node = ? AND p.state IN ('waiting', 'offered') ORDER BY p.seq LIMIT 1`, w.node); err != nil {
				return err
			}
			ends, err = parts(tx, `WHERE p.node = ? AND p.state = 'accepted' AND p.cancelled = 0
				AND p.task IN (SELECT id FROM hub_task WHERE cancel_at IS NOT NULL AND ended_at IS NULL) ORDER BY p.seq LIMIT 1`, w.node)
			return err
		})
		switch {
		case err != nil:
			return err
		case len(ends) > 0:
			err = w.stop(ctx, ends[0])
		case len(next) > 0:
			err = w.offer(ctx, next[0])
		default:
			return nil
		}
		if err != nil {
			return err
		}
	}
}

// offer sends one part. Before the first time it is noted as offered, so that a
// crash in between is never taken for "surely not sent".
func (w *worker) offer(ctx context.Context, p part) error {
	text, _, err := w.s.orderOf(ctx, p)
	if err != nil {
		return err
	}
	e, err := wire.DecodeEnvelope([]byte(text))
	if err != nil {
		return w.refuse(ctx, p, string(wire.CodeMalformed), "The order is damaged in the hub's database.", "")
	}
	first := p.state == waiting
	if first {
		gone := false
		err := w.change(ctx, p, func(tx *store.Tx, p *part) error {
			if gone = p.state != waiting || p.wanted; !gone {
				p.state = offered
			}
			return nil
		})
		if err != nil || gone {
			return err
		}
		p.state = offered
	}
	call, cancel := context.WithTimeout(ctx, w.s.Pace.Call)
	defer cancel()
	receipt, err := w.s.fed().Send(call, e)
	if err != nil {
		return w.failed(ctx, p, err, first)
	}
	return w.answered(ctx, p, receipt.Result)
}

// failed takes what is not a receipt. After a first attempt that the node surely
// did not take, the part waits again; otherwise it may have it.
func (w *worker) failed(ctx context.Context, p part, err error, first bool) error {
	var r *wire.Refusal
	switch {
	case !errors.As(err, &r):
		r = wire.Refuse(wire.CodeOffline, "The link ended before the node had answered.")
		if !errors.Is(err, context.Canceled) {
			w.s.Logger.Debug("order without an answer", "node", w.node, "task", p.task, "error", err)
		}
	case r.Code == wire.CodeInterrupted: // it takes the same order up again
	case r.Code.Final():
		return w.refuse(ctx, p, string(r.Code), clip(r.Text, maxMessage), "")
	case first && untouched(r.Code):
		p.state = waiting
	}
	to := p.state
	if werr := w.change(ctx, p, func(_ *store.Tx, now *part) error {
		if now.state == offered {
			now.state = to
		}
		now.trouble = clip(r.Text, maxMessage)
		if to == waiting && now.wanted {
			now.state, now.tes = cancelled, model.Canceled
		}
		return nil
	}); werr != nil {
		return werr
	}
	return r
}

// untouched says which refusals come before a node claims an order.
func untouched(c wire.Code) bool {
	switch c {
	case wire.CodeOffline, wire.CodePaused, wire.CodeBusy, wire.CodeTime, wire.CodeFlood:
		return true
	}
	return false
}

// answered takes the node's answer to the create request.
func (w *worker) answered(ctx context.Context, p part, result []byte) error {
	a, err := task.DecodeAnswer(result)
	if err != nil {
		return w.refuse(ctx, p, string(wire.CodeMalformed), "The node's answer cannot be read.", "")
	}
	if a.Status/100 != 2 {
		code, text, correlation := problem(a)
		return w.refuse(ctx, p, code, text, correlation)
	}
	var made model.CreateTaskResponse
	if json.Unmarshal(a.Body, &made) != nil || !remoteID(made.ID) {
		return w.refuse(ctx, p, string(wire.CodeMalformed), "The node took the task but gave no usable id for it.", "")
	}
	err = w.change(ctx, p, func(tx *store.Tx, now *part) error {
		now.state, now.tes, now.remote, now.trouble = accepted, model.Queued, made.ID, ""
		now.seen = now.at(tx)
		return w.s.note(tx, access.System, "part.accepted", "task:"+p.task, "", "node", p.node, "remote", made.ID)
	})
	w.s.wake(w.node)
	return err
}

func (p *part) at(tx *store.Tx) *int64 {
	ms := store.Millis(tx.Now())
	return &ms
}

func remoteID(id string) bool { return wire.CheckID(id) == nil }

// problem reads a refusal of the node's door: what people read, and the two ids
// by which its operator finds it.
func problem(a task.Answer) (code, text, correlation string) {
	h := http.Header(a.Header)
	code, correlation = clip(h.Get("Tresor-Refusal"), 40), clip(h.Get("Tresor-Correlation"), 80)
	var body struct{ Detail, Title, Message, Code, Correlation string }
	if json.Unmarshal(a.Body, &body) == nil {
		for _, s := range []string{body.Detail, body.Message, body.Title} {
			if text == "" {
				text = clip(s, maxMessage)
			}
		}
		if code == "" {
			code = clip(body.Code, 40)
		}
		if correlation == "" {
			correlation = clip(body.Correlation, 80)
		}
	}
	if text == "" && strings.HasPrefix(h.Get("Content-Type"), "text/plain") {
		text = clip(string(a.Body), maxMessage)
	}
	if code == "" {
		code = "refused"
	}
	if text == "" {
		text = "The node refused the task and gave no reason."
	}
	return code, text, correlation
}

// stop sends the order to cancel. It is kept before it is sent, like every order.
func (w *worker) stop(ctx context.Context, p part) error {
	_, text, err := w.s.orderOf(ctx, p)
	if err != nil {
		return err
	}
	e, err := wire.DecodeEnvelope([]byte(text))
	if err != nil || e.Fresh(w.s.Now()) != nil {
		if e, err = w.issueStop(ctx, p); err != nil {
			return err
		}
	}
	call, cancel := context.WithTimeout(ctx, w.s.Pace.Call)
	defer cancel()
	receipt, err := w.s.fed().Send(call, e)
	var r *wire.Refusal
	if err != nil && errors.As(err, &r) && r.Code.Final() && r.Code != wire.CodeInterrupted {
		err = w.unstopped(ctx, p, r.Text)
		return errors.Join(err, r)
	}
	if err != nil {
		return err
	}
	a, err := task.DecodeAnswer(receipt.Result)
	if err == nil && a.Status/100 != 2 {
		_, text, _ := problem(a)
		return errors.Join(w.unstopped(ctx, p, text), wire.Refuse(wire.CodeFailed, "the node did not cancel"))
	}
	if err != nil {
		return errors.Join(w.unstopped(ctx, p, "The node's answer cannot be read."), err)
	}
	err = w.change(ctx, p, func(tx *store.Tx, now *part) error {
		now.cancelled, now.trouble = true, ""
		return w.s.note(tx, access.System, "part.cancelling", "task:"+p.task, "", "node", p.node)
	})
	w.s.wake(w.node)
	return err
}

// unstopped drops an order to cancel that can have no effect: the next try makes another.
func (w *worker) unstopped(ctx context.Context, p part, text string) error {
	return w.change(ctx, p, func(tx *store.Tx, now *part) error {
		now.trouble = clip("Not cancelled: "+text, maxMessage)
		return putCancel(tx, now, "")
	})
}

func (w *worker) issueStop(ctx context.Context, p part) (*wire.Envelope, error) {
	req := task.Request{Plugin: "tes", Method: http.MethodPost, Path: "/v1/tasks/" + p.remote + ":cancel"}
	e, text, err := w.s.issue(ctx, w.node, w.s.IDs(), req)
	if err != nil {
		return nil, err
	}
	return e, w.change(ctx, p, func(tx *store.Tx, now *part) error { return putCancel(tx, now, text) })
}

// refuse ends a part for good.
func (w *worker) refuse(ctx context.Context, p part, code, text, correlation string) error {
	return w.change(ctx, p, func(tx *store.Tx, now *part) error {
		now.state, now.tes, now.code, now.text, now.correlation, now.trouble = denied, model.SystemError, code, text, correlation, ""
		return w.s.note(tx, access.System, "part.refused", "task:"+p.task, "", "node", p.node, "code", code)
	})
}

// change applies do to the part as it is now. A part that has ended stays.
func (w *worker) change(ctx context.Context, p part, do func(*store.Tx, *part) error) error {
	return w.s.DB.Update(ctx, func(tx *store.Tx) error {
		all, err := parts(tx, `WHERE p.task = ? AND p.node = ?`, p.task, p.node)
		if err != nil || len(all) != 1 || all[0].over() {
			return err
		}
		if err := do(tx, &all[0]); err != nil {
			return err
		}
		return w.s.put(tx, all[0])
	})
}

func (p part) over() bool { return p.state == ended || p.state == denied || p.state == cancelled }

// endPartsOf ends everything at a node that was revoked.
func (s *Service) endPartsOf(tx *store.Tx, node string) error {
	all, err := parts(tx, `WHERE p.node = ? AND p.state IN ('waiting', 'offered', 'accepted')`, node)
	if err != nil {
		return err
	}
	for _, p := range all {
		was := p.state
		p.state, p.tes, p.code, p.trouble = denied, model.SystemError, string(wire.CodeRevoked), ""
		p.text = "The node was revoked at the hub before its task had ended."
		if was == waiting {
			p.text = "The node was revoked at the hub before the task was sent."
		}
		if err := s.note(tx, access.System, "part.refused", "task:"+p.task, "", "node", p.node, "code", p.code); err != nil {
			return err
		}
		if err := s.put(tx, p); err != nil {
			return err
		}
	}
	return nil
}
