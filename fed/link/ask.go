package link

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"tresor/fed/wire"
)

// Transport is HTTP over one link; any host in a request's URL is the peer. What brings
// a body goes through net/http's own transport. A question without one, which is nearly
// all that a hub sends, is written and read by the goroutine that asks: on a link that
// saves two hand-overs between goroutines out of eight.
type Transport struct {
	orders *http.Transport
	open   func(context.Context) (net.Conn, error)
	limits Limits
	places chan struct{} // one per stream of this kind
	queue  atomic.Int32  // callers who wait for a place: each takes a stream over

	mu   sync.Mutex
	idle []*asking // newest last
}

const (
	mostIdle = 4
	mostInfo = 5 // answers 1xx before the answer
)

// RoundTrip sends the request and reads the head of its answer.
func (t *Transport) RoundTrip(r *http.Request) (*http.Response, error) {
	plain := r.Body == nil || r.Body == http.NoBody
	if !plain || r.Method != http.MethodGet && r.Method != http.MethodHead {
		return t.orders.RoundTrip(r)
	}
	for {
		a, err := t.take(r.Context())
		if err != nil {
			return nil, err
		}
		used := a.used
		resp, err := a.ask(r)
		if err == nil {
			return resp, nil
		}
		nothing := a.got.Load() == 0
		a.end(false)
		if ctxErr := r.Context().Err(); ctxErr != nil {
			return nil, ctxErr
		}
		if !used || !nothing { // else the peer had closed it, idle as it was
			return nil, err
		}
	}
}

// CloseIdleConnections closes the streams that nobody uses.
func (t *Transport) CloseIdleConnections() {
	t.orders.CloseIdleConnections()
	t.mu.Lock()
	all := t.idle
	t.idle = nil
	t.mu.Unlock()
	for _, a := range all {
		a.conn.Close()
	}
}

// take gives an idle stream or opens one, when there is a place.
func (t *Transport) take(ctx context.Context) (*asking, error) {
	t.queue.Add(1)
	select {
	case t.places <- struct{}{}:
		t.queue.Add(-1)
	case <-ctx.Done():
		t.queue.Add(-1)
		return nil, ctx.Err()
	}
	if a := t.waiting(); a != nil {
		a.got.Store(0)
		return a, nil
	}
	conn, err := t.open(ctx)
	if err != nil {
		<-t.places
		return nil, err
	}
	a := &asking{t: t, conn: conn}
	a.r, a.w = bufio.NewReaderSize(a, 4<<10), bufio.NewWriterSize(conn, 4<<10)
	return a, nil
}

// waiting gives the stream that was used last; those that are idle for so long that the
// peer may be about to close them are closed.
func (t *Transport) waiting() *asking {
	t.mu.Lock()
	defer t.mu.Unlock()
	if len(t.idle) == 0 {
		return nil
	}
	last := t.idle[len(t.idle)-1]
	if time.Since(last.since) < t.limits.Idle/2 {
		t.idle = t.idle[:len(t.idle)-1]
		return last
	}
	for _, a := range t.idle {
		go a.conn.Close()
	}
	t.idle = nil
	return nil
}

// keep takes a stream back after a whole answer; false when there are enough.
func (t *Transport) keep(a *asking) bool {
	a.used, a.since = true, time.Now()
	t.mu.Lock()
	defer t.mu.Unlock()
	if len(t.idle) >= mostIdle+int(t.queue.Load()) {
		return false
	}
	t.idle = append(t.idle, a)
	return true
}

// asking is one stream on which one question at a time is asked.
type asking struct {
	t     *Transport
	conn  net.Conn
	r     *bufio.Reader
	w     *bufio.Writer
	left  int64        // bytes of a head that may still be read; < 0: no bound, it is the body
	got   atomic.Int64 // bytes of this answer
	used  bool         // has answered before
	since time.Time    // idle
}

// Read is what the buffer reads from: a head is bounded.
func (a *asking) Read(p []byte) (int, error) {
	if a.left == 0 {
		return 0, wire.Refuse(wire.CodeSize, "the head of the peer's answer has more than %d bytes", a.t.limits.HeaderBytes)
	}
	if a.left > 0 {
		p = p[:min(int64(len(p)), a.left)]
	}
	n, err := a.conn.Read(p)
	a.got.Add(int64(n))
	if a.left > 0 {
		a.left -= int64(n)
	}
	return n, err
}

// ask writes the question and reads the head of the answer. When ctx ends, so does the
// stream, in whatever state it is.
func (a *asking) ask(r *http.Request) (*http.Response, error) {
	stop := context.AfterFunc(r.Context(), func() {
		_ = a.conn.SetReadDeadline(time.Unix(1, 0)) // a stream that is closed here still reads
		a.conn.Close()
	})
	resp, err := a.exchange(r)
	if err != nil {
		stop()
		return nil, err
	}
	body := &answer{ReadCloser: resp.Body, a: a, ctx: r.Context(), stop: stop, whole: !resp.Close && !r.Close}
	if resp.Body == http.NoBody {
		body.finish(true)
		return resp, nil
	}
	resp.Body = body
	return resp, nil
}

func (a *asking) exchange(r *http.Request) (*http.Response, error) {
	a.left = int64(a.t.limits.HeaderBytes)
	err := r.Write(a.w)
	if err == nil {
		err = a.w.Flush()
	}
	if err != nil {
		return nil, err
	}
	for range mostInfo {
		resp, err := http.ReadResponse(a.r, r)
		if err != nil {
			if errors.Is(err, io.EOF) {
				err = io.ErrUnexpectedEOF
			}
			return nil, err
		}
		if resp.StatusCode >= 200 {
			a.left = -1
			return resp, nil
		}
		if resp.StatusCode == http.StatusSwitchingProtocols {
			break
		}
	}
	return nil, fmt.Errorf("the peer does not come to its answer")
}

// end gives the place back, and the stream if it can be used again.
func (a *asking) end(again bool) {
	if !again || a.r.Buffered() > 0 || !a.t.keep(a) {
		a.conn.Close()
	}
	<-a.t.places
}

// answer is a body; with its last byte its stream is free.
type answer struct {
	io.ReadCloser
	a     *asking
	ctx   context.Context
	stop  func() bool
	whole bool // the stream is still good when the body has ended
	once  sync.Once
}

func (b *answer) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	if err != nil {
		b.finish(err == io.EOF)
		if ctxErr := b.ctx.Err(); ctxErr != nil && err != io.EOF {
			err = ctxErr
		}
	}
	return n, err
}

// Close ends a stream whose answer was not read to its end.
func (b *answer) Close() error {
	b.finish(false)
	return nil
}

func (b *answer) finish(read bool) {
	b.once.Do(func() { b.a.end(b.stop() && read && b.whole) })
}
