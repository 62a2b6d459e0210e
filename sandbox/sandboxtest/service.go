package sandboxtest

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"tresor/sandbox"
)

// server is a task service that says for whom it works, and counts.
type server struct {
	mu          sync.Mutex
	open, most  int
	connections atomic.Int64
}

func (s *server) serve(ctx context.Context, labels map[string]string, conn net.Conn) {
	s.connections.Add(1)
	s.mu.Lock()
	s.open++
	s.most = max(s.most, s.open)
	s.mu.Unlock()
	defer func() {
		s.mu.Lock()
		s.open--
		s.mu.Unlock()
	}()
	l := &once{conn: make(chan net.Conn, 1), done: make(chan struct{})}
	l.conn <- &watchedConn{Conn: conn, done: l.done}
	context.AfterFunc(ctx, func() { conn.Close() })
	_ = (&http.Server{ReadHeaderTimeout: time.Minute, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprintf(w, "%s for %s", r.URL.Path, labels["job"])
	})}).Serve(l)
}

func (s *server) now() (open, most int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.open, s.most
}

// once is a listener with one connection, and an end when that is closed.
type once struct {
	conn chan net.Conn
	done chan struct{}
}

func (l *once) Accept() (net.Conn, error) {
	select {
	case c := <-l.conn:
		return c, nil
	case <-l.done:
		return nil, net.ErrClosed
	}
}

func (l *once) Close() error   { return nil }
func (l *once) Addr() net.Addr { return &net.TCPAddr{} }

type watchedConn struct {
	net.Conn
	once sync.Once
	done chan struct{}
}

func (c *watchedConn) Close() error {
	c.once.Do(func() { close(c.done) })
	return c.Conn.Close()
}

func taskService(t *testing.T, b *box) {
	var s server
	b.Inside(s.serve)
	b.spec.Inside = true
	out := b.argv("env", "then", "get", "/ga4gh/tes/v1/service-info", "then", "get", "/again").runs(0)
	b.contains(out, "TRESOR_TES=http://tes.local\n")
	b.contains(out, "200 /ga4gh/tes/v1/service-info for "+b.spec.Labels["job"]+"\n")
	b.contains(out, "200 /again for "+b.spec.Labels["job"]+"\n")
	b.equal(s.connections.Load(), 2)
}

func taskServiceAbsent(t *testing.T, b *box) {
	var s server
	b.Inside(s.serve)
	b.spec.Env = []string{"TRESOR_TES=http://127.0.0.1"}
	b.contains(b.argv("get", "/x").runs(1), "refused")
	b.equal(s.connections.Load(), 0)
	if !b.Real {
		return
	}
	b.Inside(func(context.Context, map[string]string, net.Conn) {}) // there, and turns everybody away
	n := b.next("get", "/x")
	n.spec.Inside = true
	if out := n.runs(1); !strings.Contains(out, "EOF") && !strings.Contains(out, "reset") {
		t.Errorf("not turned away: %q", out)
	}
}

// taskServiceRestart: the host comes and goes under a command that uses the service.
func taskServiceRestart(t *testing.T, b *box) {
	var s server
	b.Inside(s.serve)
	b.spec.Inside = true
	b.argv("get", "/1", "then", "say", "ready", "then", "sleep", "1000", "then", "get", "/2").start().until("ready")
	b.Runner = b.Reopen()
	out := b.log()
	b.contains(out, "200 /1 for")
	b.contains(out, "200 /2 for")
	b.equal(b.phase(sandbox.Ended).ExitCode, 0)
}

// taskServiceFlood: ten thousand rude connections disturb neither the log nor the outputs, nor those that come after.
func taskServiceFlood(t *testing.T, b *box) {
	var s server
	b.Inside(s.serve)
	b.spec.Inside = true
	n := 1000
	if b.Real && !testing.Short() {
		n = 10_000
	}
	begin := time.Now()
	out := b.argv("dial", fmt.Sprint(n), "then", "get", "/after", "then", "write", "/work/out/a", "kept").runs(0)
	b.contains(out, fmt.Sprintf("connected %d\n", n))
	b.contains(out, "200 /after")
	if d := time.Since(begin); d > 2*time.Minute {
		t.Errorf("took %v", d)
	}
	if _, most := s.now(); b.Real && most > 32 {
		t.Errorf("%d connections at once", most)
	}
	files, _ := b.collect()
	b.equal(files, map[string]string{"/work/out/a": "kept"})
	quiet(t, &s)
}

// quiet: no connection outlives its container's command.
func quiet(t *testing.T, s *server) {
	t.Helper()
	for range 2400 {
		if open, _ := s.now(); open == 0 {
			return
		}
		time.Sleep(50 * time.Millisecond)
	}
	open, _ := s.now()
	t.Errorf("%d connections are still open", open)
}

// taskServiceHeld: more connections than there is room for, held without a word to the end of the command.
func taskServiceHeld(t *testing.T, b *box) {
	var s server
	b.Inside(s.serve)
	b.spec.Inside = true
	out := b.argv("linger", "then", "say", "done").runs(0)
	b.contains(out, "holding\ndone\n")
	if _, most := s.now(); b.Real && most > 16 {
		t.Errorf("%d connections at once", most)
	}
	quiet(t, &s)
	b.equal(b.phase(sandbox.Ended).ExitCode, 0)
}
