package protocol

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"
)

// pipe carries frames to the other side and back, in order.
type pipe interface {
	Send([]byte) error
	Recv() (frame, error)
}

// answerer answers the other side's calls.
type answerer interface {
	answer(ctx context.Context, f frame) (any, error)
}

// maxCalls bounds the calls of the other side that are answered at one time, maxSpare
// the goroutines that wait for the next one: their stacks have grown to what a call needs.
const (
	maxCalls = 256
	maxSpare = 8
)

// sendTime is how long the other side may leave a frame unread before the link is given up.
const sendTime = 15 * time.Second

// link is one side of the stream: it sends calls and waits for their answers, and
// answers the calls of the other side, all at the same time.
type link struct {
	pipe   pipe
	answer answerer
	turn   chan struct{} // held while sending
	calls  chan frame    // to a spare goroutine
	spare  atomic.Int32
	ctx    context.Context
	fail   context.CancelCauseFunc // ends the link and every call on it

	mu      sync.Mutex
	last    uint64
	waiting map[uint64]chan frame
	running map[uint64]context.CancelFunc
}

func newLink(ctx context.Context, p pipe, a answerer) *link {
	l := &link{pipe: p, answer: a, turn: make(chan struct{}, 1), calls: make(chan frame), waiting: map[uint64]chan frame{}, running: map[uint64]context.CancelFunc{}}
	l.ctx, l.fail = context.WithCancelCause(ctx)
	return l
}

// run reads frames until the link ends and returns why.
func (l *link) run() error {
	for l.ctx.Err() == nil {
		f, err := l.pipe.Recv()
		if err == nil {
			err = l.take(f)
		}
		if err != nil {
			l.fail(err)
		}
	}
	return context.Cause(l.ctx)
}

// take handles one frame. An error ends the link: the other side does not keep to the contract.
func (l *link) take(f frame) error {
	switch f.Kind {
	case kindCall:
		return l.begin(f)
	case kindAnswer:
		l.mu.Lock()
		c := l.waiting[f.ID]
		delete(l.waiting, f.ID)
		l.mu.Unlock()
		if c != nil { // else its caller has gone
			c <- f
		}
		return nil
	case kindCancel:
		l.mu.Lock()
		cancel := l.running[f.ID]
		l.mu.Unlock()
		if cancel != nil {
			cancel()
		}
		return nil
	}
	return errFrame
}

// begin starts answering a call, or refuses it when too many are being answered.
func (l *link) begin(f frame) error {
	l.mu.Lock()
	if l.running[f.ID] != nil {
		l.mu.Unlock()
		return errFrame
	}
	if len(l.running) >= maxCalls {
		l.mu.Unlock()
		return l.reply(f.ID, nil, &Error{Code: CodeExhausted, Text: "too many calls at one time; wait for an answer before the next call"})
	}
	f.ctx, f.stop = context.WithCancel(l.ctx)
	l.running[f.ID] = f.stop
	l.mu.Unlock()
	select {
	case l.calls <- f:
	default:
		go l.work(f)
	}
	return nil
}

// work answers a call, and those that come while it is spare.
func (l *link) work(f frame) {
	for {
		l.finish(f)
		if l.spare.Add(1) > maxSpare {
			l.spare.Add(-1)
			return
		}
		select {
		case f = <-l.calls:
			l.spare.Add(-1)
		case <-l.ctx.Done():
			return
		}
	}
}

// finish answers one call.
func (l *link) finish(f frame) {
	v, err := guarded(l.answer, f.ctx, f)
	l.mu.Lock()
	delete(l.running, f.ID)
	l.mu.Unlock()
	f.stop()
	if err := l.reply(f.ID, v, err); err != nil {
		l.fail(err)
	}
}

// reply sends an answer. One that cannot be sent as it is becomes a refusal.
func (l *link) reply(id uint64, v any, err error) error {
	h := header{ID: id, Kind: kindAnswer}
	if err != nil {
		h.Error, v = wireError(err), nil
	}
	b, err := pack(h, v)
	if err != nil {
		h.Error = wireError(err)
		if b, err = pack(h, nil); err != nil {
			return err
		}
	}
	return l.send(l.ctx, b)
}

// guarded turns a panic of one call into an error of that call.
func guarded(a answerer, ctx context.Context, f frame) (v any, err error) {
	defer func() {
		if p := recover(); p != nil {
			v, err = nil, fmt.Errorf("panic in %s: %v", f.Name, p)
		}
	}()
	return a.answer(ctx, f)
}

// call makes one call and decodes its answer into out, which may be nil.
func (l *link) call(ctx context.Context, name, token string, in, out any) error {
	reply := make(chan frame, 1)
	l.mu.Lock()
	l.last++
	id := l.last
	l.waiting[id] = reply
	l.mu.Unlock()
	defer l.forget(id)
	b, err := pack(header{ID: id, Kind: kindCall, Name: name, Token: token}, in)
	if err != nil {
		return err
	}
	if err := l.send(ctx, b); err != nil {
		return l.gone(ctx)
	}
	select {
	case f := <-reply:
		if f.Error != nil {
			return f.Error.clean()
		}
		if out == nil {
			return nil
		}
		return f.into(out)
	case <-ctx.Done():
		go l.cancel(id)
	case <-l.ctx.Done():
	}
	return l.gone(ctx)
}

func (l *link) forget(id uint64) {
	l.mu.Lock()
	delete(l.waiting, id)
	l.mu.Unlock()
}

// cancel tells the other side that nobody waits for the call's answer.
func (l *link) cancel(id uint64) {
	if b, err := pack(header{ID: id, Kind: kindCancel}, nil); err == nil {
		_ = l.send(l.ctx, b) // a link that is down has no calls left to end
	}
}

// gone is the error of a call that got no answer. It wraps the context's error, or
// the link's end, for errors.Is on this side of the wire.
func (l *link) gone(ctx context.Context) error {
	text, cause := "the other side ended before it answered; try again", context.Cause(l.ctx)
	if err := ctx.Err(); err != nil {
		text, cause = "the other side did not answer in time; try again", err
	}
	return &unanswered{err: &Error{Code: CodeUnavailable, Text: text}, cause: cause}
}

// unanswered is an *Error with a cause that stays on this side.
type unanswered struct {
	err   *Error
	cause error
}

func (u *unanswered) Error() string   { return u.err.Error() }
func (u *unanswered) Unwrap() []error { return []error{u.err, u.cause} }

var errUnread = errors.New("the other side does not read")

// send sends one frame. It waits for its turn no longer than ctx; a frame that the
// other side then leaves unread for sendTime ends the link.
func (l *link) send(ctx context.Context, b []byte) error {
	select {
	case l.turn <- struct{}{}:
	case <-ctx.Done():
		return ctx.Err()
	case <-l.ctx.Done():
		return context.Cause(l.ctx)
	}
	defer func() { <-l.turn }()
	t := time.AfterFunc(sendTime, func() { l.fail(errUnread) })
	defer t.Stop()
	return l.pipe.Send(b)
}
