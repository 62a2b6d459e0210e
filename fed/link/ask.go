package link

import (
	"bufio"
	"context"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"
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
