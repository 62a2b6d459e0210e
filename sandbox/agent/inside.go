package agent

import (
	"context"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hashicorp/yamux"
)

// A program in the container may speak to the task service: each of its connections is one
// stream that the agent opens, greeted with insideHello and answered with insideWelcome.
const (
	insideHello   = "tes\n"
	insideWelcome = '+'
	agentInside   = 16        // connections that an agent passes on at once; others wait in the kernel
	maxInside     = 32        // streams that the host holds for one container, those that are closing included
	insideBytes   = 256 << 20 // bytes, both ways, after which one connection is ended
)

// Variables, so that a test need not wait.
var (
	insideIdle  = 2 * time.Minute      // without a byte either way
	insideGreet = 10 * time.Second     // for the greeting
	insidePace  = 2 * time.Millisecond // between two streams that the host accepts
	insideClose = 10 * time.Second     // for the other side to close a stream that we have closed
)

// InsideUse is how much a container has used the task service.
type InsideUse struct {
	Connections int64
	In, Out     int64 // bytes from and to the container
}

// inside is the host end of the task service of one container. An agent of ours never
// opens more than half of what is allowed; one that does loses its connection.
type inside struct {
	serve func(context.Context, net.Conn)
	slots chan struct{}

	conns, in, out atomic.Int64

	mu    sync.Mutex
	ended bool
	open  map[*insideConn]struct{}
}

func newInside(serve func(context.Context, net.Conn)) *inside {
	return &inside{serve: serve, slots: make(chan struct{}, maxInside), open: map[*insideConn]struct{}{}}
}

// accept takes the streams of one session until it ends.
func (in *inside) accept(s *yamux.Session) {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	for {
		stream, err := s.AcceptStream()
		if err != nil {
			return
		}
		select {
		case in.slots <- struct{}{}:
			go in.one(ctx, stream)
		default:
			s.Close()
			return
		}
		time.Sleep(insidePace)
	}
}

// one serves a stream. Its slot is free again when both sides have closed it, or when yamux
// has given up waiting for the other, so what is closed by half costs the container a slot.
func (in *inside) one(ctx context.Context, stream *yamux.Stream) {
	defer func() { <-in.slots }()
	c := &insideConn{Stream: stream, use: in}
	c.idle = time.AfterFunc(insideGreet, func() { c.Close() })
	defer c.idle.Stop()
	if in.enter(c) {
		if greeted(stream) {
			in.conns.Add(1)
			c.idle.Reset(insideIdle)
			in.serve(ctx, c)
		}
		in.leave(c)
	}
	c.Close()
	_, _ = io.Copy(io.Discard, stream)
}

func greeted(s *yamux.Stream) bool {
	got := make([]byte, len(insideHello))
	if _, err := io.ReadFull(s, got); err != nil || string(got) != insideHello {
		return false
	}
	_, err := s.Write([]byte{insideWelcome})
	return err == nil
}

func (in *inside) enter(c *insideConn) bool {
	in.mu.Lock()
	defer in.mu.Unlock()
	if in.serve == nil || in.ended {
		return false
	}
	in.open[c] = struct{}{}
	return true
}

func (in *inside) leave(c *insideConn) {
	in.mu.Lock()
	defer in.mu.Unlock()
	delete(in.open, c)
}

// end closes every connection and lets no more in.
func (in *inside) end() {
	in.mu.Lock()
	defer in.mu.Unlock()
	in.ended = true
	for c := range in.open {
		c.Close()
	}
}

// insideConn is a stream that ends when it is idle or has carried too much.
type insideConn struct {
	*yamux.Stream
	use   *inside
	idle  *time.Timer
	moved atomic.Int64
}

// Read implements net.Conn.
func (c *insideConn) Read(p []byte) (int, error) {
	n, err := c.Stream.Read(p)
	c.count(&c.use.in, n)
	return n, err
}

// Write implements net.Conn.
func (c *insideConn) Write(p []byte) (int, error) {
	n, err := c.Stream.Write(p)
	c.count(&c.use.out, n)
	return n, err
}

func (c *insideConn) count(total *atomic.Int64, n int) {
	if n <= 0 {
		return
	}
	total.Add(int64(n))
	if c.moved.Add(int64(n)) > insideBytes {
		c.Close()
		return
	}
	c.idle.Reset(insideIdle)
}

// InsideUse says how much the container has used the task service since this Link listens.
func (l *Link) InsideUse() InsideUse {
	return InsideUse{Connections: l.inside.conns.Load(), In: l.inside.in.Load(), Out: l.inside.out.Load()}
}

// EndInside closes the container's connections to the task service, for good.
func (l *Link) EndInside() { l.inside.end() }
