package hub

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"tresor/app/store"
	"tresor/fed/link"
	"tresor/fed/wire"
)

const (
	orderLife    = wire.MaxLife
	ordersAtOnce = 16 // to one node: those that wait together share what it costs to write them down
)

// orders is the loop that brings signed orders to a node: ends, then tasks in the order of
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
			oldest, err = parts(tx, toSend, w.node, 1)
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

// bring sends what waits, ends first. What keeps the node from taking anything
// ends the pass; what holds up one order does not hold up the next.
func (w *worker) bring(ctx context.Context) error {
	for {
		var next, ends []part
		err := w.s.DB.View(ctx, func(tx *store.Tx) (err error) {
			if next, err = parts(tx, toSend, w.node, 100); err != nil {
				return err
			}
			ends, err = parts(tx, toStop, w.node, 100)
			return err
		})
		if err != nil || len(next)+len(ends) == 0 {
			return err
		}
		if err := errors.Join(w.each(ctx, ends, w.stop), w.each(ctx, next, w.offer)); err != nil {
			return err
		}
	}
}

// each does a few at a time: an order may wait for as long as its node works at it.
func (w *worker) each(ctx context.Context, all []part, do func(context.Context, part) error) error {
	var mu sync.Mutex
	var first error
	var stop atomic.Bool
	var wg sync.WaitGroup
	slots := make(chan struct{}, ordersAtOnce)
	for _, p := range all {
		slots <- struct{}{}
		if stop.Load() || ctx.Err() != nil {
			break
		}
		wg.Go(func() {
			defer func() { <-slots }()
			err := do(ctx, p)
			if err == nil {
				return
			}
			mu.Lock()
			defer mu.Unlock()
			if first == nil {
				first = err
			}
			if !onlyThis(err) {
				stop.Store(true)
			}
		})
	}
	wg.Wait()
	return first
}

// onlyThis reports whether err is about one order and says nothing of the others.
func onlyThis(err error) bool {
	var r *wire.Refusal
	if !errors.As(err, &r) {
		return false
	}
	switch r.Code {
	case wire.CodeRunning, wire.CodeInterrupted, wire.CodeInternal, wire.CodeFailed, wire.CodeBody, wire.CodeStale:
		return true
	}
	return false
}

// offer sends one part. Before the first time it is noted as offered, so that a
// crash in between is never taken for "surely not sent".
func (w *worker) offer(ctx context.Context, p part) error {
	if p.body != "" { // one at a time: what a link holds in memory is bounded
		w.large.Lock()
		defer w.large.Unlock()
	}
	e, err := w.s.load(ctx, p)
	var damaged *wire.Refusal
	if errors.As(err, &damaged) {
		return w.refuse(ctx, p, string(wire.CodeMalformed), "The order is damaged in the hub's database: send the task again.", "")
	}
	if err != nil {
		return err
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
	patience := w.s.Pace.Call
	if e.Large() {
		patience *= 4 // its bytes need their time on a slow line
	}
	call, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	receipt, err := w.s.fed().Send(call, e)
	if err != nil {
		return w.failed(ctx, p, err, first)
	}
	return w.answered(ctx, p, receipt.Result)
}
