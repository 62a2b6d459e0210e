package protocol

import (
	"context"
	"errors"
	"time"
)

// Remote is the Adapter that the host holds: the other end is a plugin process.
// Beside Adapter it has the optional parts; a part that the plugin lacks answers
// an *Error with CodeUnsupported. The Host of each call is reachable for that
// call only. It is safe for use by many goroutines.
type Remote struct {
	link  *link
	hosts *hosts
	guard Guard
	slots chan struct{}
	ahead []Lookup
}

// Guard is what the host does with every call but Run.
type Guard struct {
	Timeout time.Duration     // of one call; 0: the caller's own deadline only
	Slots   int               // calls at one time; 0: no bound
	Wait    time.Duration     // how long a call waits for a slot
	Begin   func(name string) // a call starts
	End     func(Outcome)     // it ended
	Health  func(Health)      // the plugin reported how it is
}

// Outcome is how a call ended.
type Outcome struct {
	Name   string
	Err    error
	Missed bool // the plugin did not answer within Guard.Timeout
}

func newRemote(ctx context.Context, p pipe) *Remote {
	r := &Remote{hosts: newHosts()}
	r.link = newLink(ctx, p, r.hosts)
	go func() { _ = r.link.run() }() // why it ended is the answer of every call that was open
	return r
}

// Protect sets the guard. It is called once, before the first call.
func (r *Remote) Protect(g Guard) {
	r.guard = g
	r.hosts.health = g.Health
	if g.Slots > 0 {
		r.slots = make(chan struct{}, g.Slots)
	}
}

// LookAhead sets which routes the host looks up before it hands a request over: those
// of a description that CheckDescription has passed. It is called once, before the
// first request.
func (r *Remote) LookAhead(l []Lookup) { r.ahead = l }

// Done is closed when the plugin can no longer be reached.
func (r *Remote) Done() <-chan struct{} { return r.link.ctx.Done() }

// Close ends every call and the connection. why is what a reader of the log sees.
func (r *Remote) Close(why string) { r.link.fail(errors.New(why)) }

// Err says why Done is closed.
func (r *Remote) Err() error { return context.Cause(r.link.ctx) }

// Describe asks the plugin what it is.
func (r *Remote) Describe(ctx context.Context) (d Description, err error) {
	err = r.guarded(ctx, "describe", func(ctx context.Context) error {
		return r.link.call(ctx, "describe", "", nil, &d)
	})
	return d, err
}

// TestConnection asks the plugin to try its settings.
func (r *Remote) TestConnection(ctx context.Context, s Settings, h Host) (steps []Step, err error) {
	err = r.with(ctx, "test", work{Settings: s}, h, &steps)
	return steps, err
}

// ServeRequest hands one HTTP request to the plugin, with what its Lookups name.
func (r *Remote) ServeRequest(ctx context.Context, req Request, h Host) (resp Response, err error) {
	err = r.guarded(ctx, "serve", func(ctx context.Context) error {
		w := work{Request: &req, Ahead: lookAhead(ctx, r.ahead, req, h)}
		err := r.lend(ctx, "serve", w, h, &resp)
		if w.Ahead != nil && errors.Is(err, errLarge) { // together they are too large for one message
			w.Ahead = nil
			err = r.lend(ctx, "serve", w, h, &resp)
		}
		return err
	})
	return resp, err
}

// Run lets the plugin poll until ctx ends. It has no deadline and takes no slot.
func (r *Remote) Run(ctx context.Context, s Settings, h Host) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	return r.lend(ctx, "run", work{Settings: s}, h, nil)
}

// Publish asks the plugin for its documents.
func (r *Remote) Publish(ctx context.Context, s Settings, h Host) ([]Document, error) {
	var docs documents
	err := r.with(ctx, "publish", work{Settings: s}, h, &docs)
	return docs, err
}

// with makes a guarded call that lends h.
func (r *Remote) with(ctx context.Context, name string, w work, h Host, out any) error {
	return r.guarded(ctx, name, func(ctx context.Context) error { return r.lend(ctx, name, w, h, out) })
}

// lend makes a call during which the plugin may use h. ctx ends with the call.
func (r *Remote) lend(ctx context.Context, name string, w work, h Host, out any) error {
	token := r.hosts.lend(ctx, h)
	defer r.hosts.end(token)
	return r.link.call(ctx, name, token, w, out)
}

// forever stands for no deadline of the guard's own.
const forever = 24 * time.Hour

// guarded makes a call within the guard's bounds.
func (r *Remote) guarded(ctx context.Context, name string, call func(context.Context) error) error {
	if err := r.slot(ctx); err != nil {
		return err
	}
	defer r.free()
	limit := r.guard.Timeout
	if limit <= 0 {
		limit = forever
	}
	own, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	if r.guard.Begin != nil {
		r.guard.Begin(name)
	}
	err := call(own)
	if r.guard.End != nil {
		r.guard.End(Outcome{Name: name, Err: err, Missed: err != nil && own.Err() != nil && ctx.Err() == nil && errors.Is(err, context.DeadlineExceeded)})
	}
	return err
}

func (r *Remote) slot(ctx context.Context) error {
	if r.slots == nil {
		return nil
	}
	select {
	case r.slots <- struct{}{}:
		return nil
	default:
	}
	t := time.NewTimer(r.guard.Wait)
	defer t.Stop()
	select {
	case r.slots <- struct{}{}:
		return nil
	case <-t.C:
	case <-ctx.Done():
	case <-r.Done():
	}
	return &Error{Code: CodeExhausted, Text: "this plugin answers as many requests as it may at one time; try again in a moment"}
}

func (r *Remote) free() {
	if r.slots != nil {
		<-r.slots
	}
}

var (
	_ Adapter   = (*Remote)(nil)
	_ Server    = (*Remote)(nil)
	_ Poller    = (*Remote)(nil)
	_ Publisher = (*Remote)(nil)
)
