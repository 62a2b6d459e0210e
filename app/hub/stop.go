package hub

import (
	"context"
	"errors"
	"net/http"

	"tresor/app/access"
	"tresor/app/store"
	"tresor/fed/task"
	"tresor/fed/wire"
)

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
		if settled(a.Status) || p.left && a.Status == http.StatusNotFound {
			return w.change(ctx, p, func(tx *store.Tx, now *part) error {
				now.cancelled, now.trouble, now.text = true, "", clip("Not cancelled: "+text, maxMessage)
				return w.s.note(tx, access.System, "part.not-cancelled", "task:"+p.task, "", "node", p.node)
			})
		}
		return errors.Join(w.unstopped(ctx, p, text), wire.Refuse(wire.CodeFailed, "the node did not cancel"))
	}
	if err != nil {
		return errors.Join(w.unstopped(ctx, p, "The node's answer cannot be read."), err)
	}
	err = w.change(ctx, p, func(tx *store.Tx, now *part) error {
		now.cancelled, now.trouble = true, ""
		return w.s.note(tx, access.System, "part.cancelling", "task:"+p.task, "", "node", p.node)
	})
	w.soon(p.task)
	return err
}

// settled reports whether a node said for good that it does not cancel, as when the
// outputs are approved for release already: its task goes on to its own end.
func settled(status int) bool {
	return status == http.StatusConflict || status == http.StatusGone
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
