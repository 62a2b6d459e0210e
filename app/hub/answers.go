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
	fed "tresor/fed/hub"
	"tresor/fed/task"
	"tresor/fed/wire"
	"tresor/plugins/builtin/tes/model"
)

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
	case r.Code == wire.CodeStale && first:
		return w.overtaken(ctx, p, r)
	case r.Code.Final():
		return w.refuse(ctx, p, string(r.Code), sentence(r.Text), "")
	case first && untouched(r.Code):
		p.state = waiting
	}
	to := p.state
	if werr := w.change(ctx, p, func(_ *store.Tx, now *part) error {
		if now.state == offered {
			now.state = to
		}
		now.trouble = sentence(r.Text)
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
	case wire.CodeOffline, wire.CodePaused, wire.CodeTime, wire.CodeFlood, wire.CodeBody:
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
	if later(a.Status) {
		return w.busy(ctx, p, a)
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
	poke(w.wake[1]) // its state is asked for
	return err
}

// later reports whether an answer says that nothing was made and that another time
// may be better.
func later(status int) bool {
	return status == http.StatusTooManyRequests || status == http.StatusBadGateway || status == http.StatusServiceUnavailable
}

// busy replaces an order that was answered with "later": the same bytes would get the
// same answer for ever.
func (w *worker) busy(ctx context.Context, p part, a task.Answer) error {
	code, why, correlation := problem(a)
	old, err := w.s.load(ctx, p)
	if err != nil {
		return err
	}
	if !w.s.Now().Before(time.UnixMilli(old.Expires)) {
		return w.refuse(ctx, p, code, why, correlation)
	}
	_, err = w.reissue(ctx, p, old, why)
	return errors.Join(err, wire.Refuse(wire.CodeBusy, "%s", why))
}

// overtaken replaces an order that waited here while so many others went before it that
// the node takes it no more; it surely has not. A sequence that helps no better, as of a
// hub whose database is a copy from before, ends the part.
func (w *worker) overtaken(ctx context.Context, p part, stale *wire.Refusal) error {
	old, err := w.s.load(ctx, p)
	if err != nil {
		return err
	}
	fresh, err := w.reissue(ctx, p, old, "")
	if err == nil && fresh.Seq < old.Seq+wire.Window {
		return w.refuse(ctx, p, string(stale.Code), sentence(stale.Text), "")
	}
	return errors.Join(err, stale)
}

// reissue lets a part wait again with a new order for the same, which ends when the
// old one would have.
func (w *worker) reissue(ctx context.Context, p part, old *wire.Envelope, why string) (*wire.Envelope, error) {
	left := time.UnixMilli(old.Expires).Sub(w.s.Now())
	e, err := w.s.fed().Issue(ctx, wire.KeyID(p.node), fed.Order{ID: w.s.IDs(), Kind: old.Kind, Body: old.Content(), Life: left})
	if err != nil {
		return nil, err
	}
	text, err := e.Encode()
	if err != nil {
		return nil, err
	}
	return e, w.change(ctx, p, func(tx *store.Tx, now *part) error {
		if now.trouble = why; now.wanted {
			now.state, now.tes = cancelled, model.Canceled
			return nil
		}
		now.state = waiting
		_, err := tx.Exec(`UPDATE hub_part SET state = 'waiting', seq = ?, envelope = ? WHERE task = ? AND node = ?`, e.Seq, string(text), p.task, p.node)
		return err
	})
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
	return code, strings.TrimSpace(strings.TrimSuffix(text, note(code, correlation))), correlation
}
