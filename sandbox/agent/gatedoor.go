package agent

import (
	"context"
	"io"
	"log"
	"net"
	"net/http"
	"sync"
	"time"

	"github.com/hashicorp/yamux"
)

// answer lets h answer the requests of the command until that ends.
func (d *door) answer(l net.Listener, h http.Handler) {
	s := &http.Server{Handler: h, ReadHeaderTimeout: time.Minute, IdleTimeout: insideIdle, MaxHeaderBytes: 64 << 10, ErrorLog: log.New(io.Discard, "", 0)}
	defer context.AfterFunc(d.ctx, func() { s.Close() })()
	_ = s.Serve(&slotListener{l, d})
}

// slotListener accepts a connection only when there is room for one, as door.accept does.
type slotListener struct {
	net.Listener
	d *door
}

// Accept implements net.Listener.
func (l *slotListener) Accept() (net.Conn, error) {
	for {
		select {
		case l.d.slots <- struct{}{}:
		case <-l.d.ctx.Done():
			return nil, net.ErrClosed
		}
		conn, err := l.Listener.Accept()
		if err == nil {
			return &slotConn{Conn: conn, slots: l.d.slots}, nil
		}
		<-l.d.slots
		if l.d.ctx.Err() != nil {
			return nil, net.ErrClosed
		}
		time.Sleep(50 * time.Millisecond) // no descriptor is free, say
	}
}

// slotConn gives its place back when it is closed.
type slotConn struct {
	net.Conn
	slots chan struct{}
	once  sync.Once
}

// Close implements net.Conn.
func (c *slotConn) Close() error {
	defer c.once.Do(func() { <-c.slots })
	return c.Conn.Close()
}

// dial makes a connection to the task service for the agent itself. It never holds more
// at once than the host bears.
func (d *door) dial(ctx context.Context) (net.Conn, error) {
	select {
	case d.streams <- struct{}{}:
	case <-d.ctx.Done():
		return nil, ErrGone
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	stream, err := d.stream()
	if err == nil && !welcomed(stream) {
		stream.Close()
		err = ErrGone
	}
	if err != nil {
		<-d.streams
		return nil, err
	}
	return &slotConn{Conn: streamConn{stream}, slots: d.streams}, nil
}

// streamConn hides what net/http must not find in a stream.
type streamConn struct{ *yamux.Stream }
