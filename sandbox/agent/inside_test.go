package agent

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/hashicorp/yamux"

	"tresor/sandbox"
)

// quick makes a clock of the task service short for one test: the one that it waits for,
// since a loaded machine misses any other.
func quick(t *testing.T, clock *time.Duration) {
	old := *clock
	*clock = 200 * time.Millisecond
	t.Cleanup(func() { *clock = old })
}

// rogue is an agent that answers the log honestly and does what a test wants with streams.
func rogue(t *testing.T, l *Link, socket string) *yamux.Session {
	t.Helper()
	conn, err := net.Dial("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	_, _ = io.WriteString(conn, greeting(testRef, testToken))
	s, err := yamux.Server(conn, muxConfig())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	h := answers(func(w http.ResponseWriter) { _ = frameWriter{w}.put(frameOut, []byte("log goes on")) })
	go func() { _ = (&http.Server{Handler: h}).Serve(s) }()
	if !l.Connected(t.Context(), time.Minute) {
		t.Fatal("not connected")
	}
	return s
}

func logGoesOn(t *testing.T, l *Link) {
	t.Helper()
	got := ""
	err := l.Log(t.Context(), 0, 1000, func(c sandbox.Chunk) error { got += string(c.Data); return nil })
	if err != nil || got != "log goes on" {
		t.Fatalf("log %q, %v", got, err)
	}
}

func opened(t *testing.T, s *yamux.Session, hello string) *yamux.Stream {
	t.Helper()
	st, err := s.OpenStream()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { st.Close() })
	_, _ = io.WriteString(st, hello)
	return st
}

// ends waits until the host has closed its side.
func ends(t *testing.T, st *yamux.Stream) string {
	t.Helper()
	got := make(chan string, 1)
	go func() { b, _ := io.ReadAll(st); got <- string(b) }()
	select {
	case b := <-got:
		return b
	case <-time.After(time.Minute):
		t.Fatal("the stream is not ended")
		return ""
	}
}

func echo(_ context.Context, c net.Conn) { _, _ = io.Copy(c, c) }

func TestInsideStreams(t *testing.T) {
	for _, c := range []struct {
		name  string
		serve func(context.Context, net.Conn)
		hello string
		want  string         // everything that the host says
		clock *time.Duration // that ends it; nil: none
	}{
		{"served", func(_ context.Context, c net.Conn) { fmt.Fprint(c, "hi") }, insideHello, "+hi", &insideClose},
		{"nobody serves", nil, insideHello, "", nil},
		{"another greeting", echo, "log\n", "", nil},
		{"noise", echo, strings.Repeat("\x00\xff", 100), "", nil},
		{"silence", echo, "", "", &insideGreet},
		{"half a greeting", echo, "te", "", &insideGreet},
		{"idle", echo, insideHello, "+", &insideIdle},
	} {
		t.Run(c.name, func(t *testing.T) {
			if c.clock != nil {
				quick(t, c.clock)
			}
			l, socket := listenInside(t, anyUID, c.serve)
			s := rogue(t, l, socket)
			if got := ends(t, opened(t, s, c.hello)); got != c.want {
				t.Fatalf("%q", got)
			}
			logGoesOn(t, l)
		})
	}
}

// TestInsideTooManyStreams: no agent of ours opens so many; this one loses its connection and may dial again.
func TestInsideTooManyStreams(t *testing.T) {
	var most, now atomic.Int64
	l, socket := listenInside(t, anyUID, func(ctx context.Context, c net.Conn) {
		most.Store(max(most.Load(), now.Add(1)))
		defer now.Add(-1)
		_, _ = io.Copy(io.Discard, c)
	})
	s := rogue(t, l, socket)
	for i := 0; i < 10_000 && !s.IsClosed(); i++ {
		if st, err := s.OpenStream(); err == nil {
			_, _ = io.WriteString(st, insideHello)
		}
	}
	select {
	case <-s.CloseChan():
	case <-time.After(time.Minute):
		t.Fatal("ten thousand streams are borne")
	}
	if most.Load() > maxInside {
		t.Errorf("%d at once", most.Load())
	}
	for range 6000 {
		if !l.Connected(t.Context(), 0) {
			break
		}
		time.Sleep(20 * time.Millisecond)
	}
	logGoesOn(t, func() *Link { rogue(t, l, socket); return l }())
}

// TestInsideHalfClosed: streams that the agent never closes cost it slots, for a while.
func TestInsideHalfClosed(t *testing.T) {
	quick(t, &insideClose)
	l, socket := listenInside(t, anyUID, func(context.Context, net.Conn) {})
	s := rogue(t, l, socket)
	for round := range 3 {
		for range maxInside - 1 {
			st, err := s.OpenStream() // never closed
			if err != nil {
				t.Fatal(round, err)
			}
			_, _ = io.WriteString(st, insideHello)
			if _, err := io.ReadFull(st, make([]byte, 1)); err != nil {
				t.Fatal(round, err)
			}
		}
		for i := 0; len(l.inside.slots) > 0; i++ {
			if i > 6000 {
				t.Fatalf("round %d: %d slots are held", round, len(l.inside.slots))
			}
			time.Sleep(20 * time.Millisecond)
		}
		logGoesOn(t, l)
	}
}

// TestInsideUnread: what nobody reads fills a window and no more, and the log passes beside it.
func TestInsideUnread(t *testing.T) {
	l, socket := listenInside(t, anyUID, func(ctx context.Context, c net.Conn) { <-ctx.Done() })
	s := rogue(t, l, socket)
	for range agentInside {
		st := opened(t, s, insideHello)
		go func() { _, _ = io.Copy(st, endless{}) }()
	}
	time.Sleep(300 * time.Millisecond)
	logGoesOn(t, l)
}

func TestInsideEnds(t *testing.T) {
	l, socket := listenInside(t, anyUID, echo)
	s := rogue(t, l, socket)
	st := opened(t, s, insideHello+"x")
	if _, err := io.ReadFull(st, make([]byte, 2)); err != nil {
		t.Fatal(err)
	}
	l.EndInside()
	ends(t, st)
	if got := ends(t, opened(t, s, insideHello)); got != "" {
		t.Errorf("let in after the end: %q", got)
	}
	if use := l.InsideUse(); use.Connections != 1 || use.In != 1 || use.Out != 1 {
		t.Errorf("%+v", use)
	}
	logGoesOn(t, l)
}

// TestInsideByteLimit: one connection carries so much and no more.
func TestInsideByteLimit(t *testing.T) {
	in := newInside(nil)
	a, b := net.Pipe()
	defer a.Close()
	defer b.Close()
	sa, err := yamux.Client(a, muxConfig())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := yamux.Server(b, muxConfig()); err != nil {
		t.Fatal(err)
	}
	st, err := sa.OpenStream()
	if err != nil {
		t.Fatal(err)
	}
	c := &insideConn{Stream: st, use: in, idle: time.AfterFunc(time.Hour, func() {})}
	c.count(&in.in, insideBytes)
	if _, err := c.Write([]byte("x")); err != nil {
		t.Fatal("ended too early:", err)
	}
	if _, err := c.Write([]byte("x")); err == nil {
		t.Fatal("not ended")
	}
}

// TestDoor passes connections of a program through agent and host, and none after the command.
func TestDoor(t *testing.T) {
	l, socket := listenInside(t, anyUID, echo)
	s := rogue(t, l, socket)
	d := newDoor()
	url, err := d.open("127.0.0.1:0", nil)
	if err != nil {
		t.Fatal(err)
	}
	addr := strings.Replace(strings.TrimPrefix(url, "http://"), InsideName, "127.0.0.1", 1)
	early, err := net.Dial("tcp", addr) // before the host is there
	if err != nil {
		t.Fatal(err)
	}
	defer early.Close()
	d.attach(s)
	fmt.Fprint(early, "ping")
	got := make([]byte, 4)
	if _, err := io.ReadFull(early, got); err != nil || string(got) != "ping" {
		t.Fatal(string(got), err)
	}
	_ = early.(*net.TCPConn).CloseWrite()
	if rest, err := io.ReadAll(early); err != nil || len(rest) != 0 {
		t.Fatal("the end does not pass through:", err)
	}
	held, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	defer held.Close()
	d.close()
	if _, err := io.ReadAll(held); err != nil && !strings.Contains(err.Error(), "reset") {
		t.Fatal(err)
	}
	if c, err := net.Dial("tcp", addr); err == nil {
		c.Close()
		t.Fatal("still listening after the command")
	}
}
