package agent

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/yamux"

	"tresor/sandbox"
)

const testRef, testToken = "tresor-link-1", "secret"

func anyUID(uint32, int32) bool { return true }

func listen(t *testing.T, allowed func(uint32, int32) bool) (*Link, string) {
	t.Helper()
	return listenInside(t, allowed, nil)
}

func listenInside(t *testing.T, allowed func(uint32, int32) bool, serve func(context.Context, net.Conn)) (*Link, string) {
	t.Helper()
	dir := t.TempDir()
	l, err := Listen(dir, testRef, testToken, allowed, serve)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	return l, filepath.Join(dir, SocketName)
}

// hostile dials with a greeting and serves whatever a test wants an agent to say.
func hostile(t *testing.T, socket, hello string, h http.Handler) {
	t.Helper()
	conn, err := net.Dial("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	_, _ = io.WriteString(conn, hello)
	s, err := yamux.Server(conn, muxConfig())
	if err != nil {
		t.Fatal(err)
	}
	go func() { _ = (&http.Server{Handler: h}).Serve(s) }()
}

func answers(f func(w http.ResponseWriter)) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { f(w) })
}

func TestLinkAdmits(t *testing.T) {
	for _, c := range []struct {
		name    string
		hello   string
		allowed func(uint32, int32) bool
		want    bool
	}{
		{"ok", greeting(testRef, testToken), anyUID, true},
		{"wrong token", greeting(testRef, "guess!"), anyUID, false},
		{"token of another length", greeting(testRef, "guess"), anyUID, false},
		{"wrong container", greeting("tresor-other", testToken), anyUID, false},
		{"silence", "", anyUID, false},
		{"noise", strings.Repeat("\x00\xff", 500), anyUID, false},
		{"uid outside the range", greeting(testRef, testToken), func(uid uint32, _ int32) bool { return uid != uint32(os.Getuid()) }, false},
		{"another process", greeting(testRef, testToken), func(_ uint32, pid int32) bool { return pid != int32(os.Getpid()) }, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			l, socket := listen(t, c.allowed)
			hostile(t, socket, c.hello, answers(func(http.ResponseWriter) {}))
			wait := 300 * time.Millisecond
			if c.want {
				wait = time.Minute
			}
			if got := l.Connected(t.Context(), wait); got != c.want {
				t.Fatalf("connected %v", got)
			}
		})
	}
}

// TestLinkOneAgent: a second one is turned away while the first lives, and let in after.
func TestLinkOneAgent(t *testing.T) {
	l, socket := listen(t, anyUID)
	first, err := net.Dial("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	_, _ = io.WriteString(first, greeting(testRef, testToken))
	if !l.Connected(t.Context(), time.Minute) {
		t.Fatal("first not admitted")
	}
	second, err := net.Dial("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	_, _ = io.WriteString(second, greeting(testRef, testToken))
	_ = second.SetReadDeadline(time.Now().Add(time.Minute))
	if _, err := io.ReadAll(second); err != nil {
		t.Fatal("second was not turned away:", err)
	}
	first.Close()
	for range 3000 { // as the agent does: dial until it is let in
		hostile(t, socket, greeting(testRef, testToken), answers(func(w http.ResponseWriter) { fmt.Fprint(w, `{"ended":true}`) }))
		if s, err := l.Stat(t.Context()); err == nil && s.Ended {
			return
		}
		time.Sleep(20 * time.Millisecond)
	}
	t.Fatal("nobody is admitted after the first has gone")
}

func TestLinkHostileAnswers(t *testing.T) {
	sink := func(_ sandbox.File, r io.Reader) error { _, err := io.Copy(io.Discard, r); return err }
	stat := func(ctx context.Context, l *Link) error { _, err := l.Stat(ctx); return err }
	log := func(ctx context.Context, l *Link) error {
		return l.Log(ctx, 0, 1000, func(sandbox.Chunk) error { return nil })
	}
	outputs := func(ctx context.Context, l *Link) error {
		_, err := l.Outputs(ctx, []string{"/work"}, testLimits, sink)
		return err
	}
	for _, c := range []struct {
		name string
		say  func(http.ResponseWriter)
		ask  func(context.Context, *Link) error
		want error
	}{
		{"stat: no JSON", func(w http.ResponseWriter) { fmt.Fprint(w, "hello") }, stat, ErrHostile},
		{"stat: endless", func(w http.ResponseWriter) { _, _ = io.Copy(w, endless{}) }, stat, ErrHostile},
		{"stat: error", func(w http.ResponseWriter) { w.WriteHeader(500) }, stat, ErrHostile},
		{"stat: redirect", func(w http.ResponseWriter) { w.Header().Set("Location", "http://169.254.169.254/"); w.WriteHeader(302) }, stat, ErrHostile},
		{"stat: endless header", func(w http.ResponseWriter) { w.Header().Set("X", strings.Repeat("x", 1<<20)); w.WriteHeader(200) }, stat, ErrGone},
		{"log: longer than its cap", func(w http.ResponseWriter) { _, _ = io.Copy(w, endless{}) }, log, ErrHostile},
		{"log: breaks off", func(w http.ResponseWriter) { fmt.Fprint(w, "x"); panic(http.ErrAbortHandler) }, log, ErrGone},
		{"log: a frame of no stream", func(w http.ResponseWriter) { fmt.Fprint(w, "F\x00\x00\x00\x01x") }, log, ErrHostile},
		{"log: an empty frame", func(w http.ResponseWriter) { fmt.Fprint(w, "O\x00\x00\x00\x00") }, log, ErrHostile},
		{"log: a frame too large", func(w http.ResponseWriter) { fmt.Fprint(w, "X\x00\x01\x00\x01") }, log, ErrHostile},
		{"log: ends inside a frame", func(w http.ResponseWriter) { fmt.Fprint(w, "O\x00\x00\x00\x05abc") }, log, ErrHostile},
		{"log: ends inside a head", func(w http.ResponseWriter) { fmt.Fprint(w, "O\x00") }, log, ErrHostile},
		{"log: endless in frames", func(w http.ResponseWriter) {
			for range 100 {
				fmt.Fprint(w, "O\x00\x00\x40\x00"+strings.Repeat("a", 0x4000))
			}
		}, log, ErrHostile},
		{"outputs: noise", func(w http.ResponseWriter) { _, _ = io.Copy(w, endless{}) }, outputs, ErrHostile},
		{"outputs: too short", func(w http.ResponseWriter) { fmt.Fprint(w, "F") }, outputs, ErrHostile},
		{"outputs: breaks off", func(w http.ResponseWriter) {
			_ = frameWriter{w}.putJSON(frameFile, fileHead{"/work/a", 10})
			_ = http.NewResponseController(w).Flush()
			panic(http.ErrAbortHandler)
		}, outputs, ErrGone},
	} {
		t.Run(c.name, func(t *testing.T) {
			l, socket := listen(t, anyUID)
			hostile(t, socket, greeting(testRef, testToken), answers(c.say))
			if !l.Connected(t.Context(), time.Minute) {
				t.Fatal("not connected")
			}
			if err := c.ask(t.Context(), l); !errors.Is(err, c.want) {
				t.Fatalf("got %v, want %v", err, c.want)
			}
		})
	}
}

type endless struct{}

func (endless) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = '?'
	}
	return len(p), nil
}

func TestLinkNobodyThere(t *testing.T) {
	l, _ := listen(t, anyUID)
	if _, err := l.Stat(t.Context()); !errors.Is(err, ErrGone) {
		t.Fatal(err)
	}
}

// TestListenReplacesSocket: what a killed process left is no obstacle, and a long path none either.
func TestListenReplacesSocket(t *testing.T) {
	dir := filepath.Join(t.TempDir(), strings.Repeat("long-name-", 12))
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		l, err := Listen(dir, testRef, testToken, anyUID, nil)
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
	}
}
