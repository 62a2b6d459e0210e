package cli

import (
	"bytes"
	"context"
	"io"
	"net"
	"net/http"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/net/websocket"
)

// liveServer answers the live socket with handle, over a unix socket as the real one.
func liveServer(t *testing.T, handle func(*websocket.Conn)) *env {
	t.Helper()
	socket := filepath.Join(t.TempDir(), "admin.sock")
	l, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	mux := http.NewServeMux()
	mux.Handle("/api/v1/live", websocket.Handler(handle))
	srv := &http.Server{Handler: mux}
	go func() { _ = srv.Serve(l) }()
	t.Cleanup(func() { _ = srv.Close() })
	return &env{err: &bytes.Buffer{}, client: newClient(socket, "rosa")}
}

func TestFollowShowsTheServersProgress(t *testing.T) {
	asked := make(chan *http.Request, 1)
	e := liveServer(t, func(ws *websocket.Conn) {
		asked <- ws.Request()
		for _, m := range []string{`{"type":"hello"}`, `{"type":"progress","data":{"done":1024,"total":2048}}`, `{"type":"progress","data":{"done":2048,"total":2048}}`} {
			_, _ = io.WriteString(ws, m)
		}
	})
	followTopic(t.Context(), e, "dataset:visits", "building tables")
	r := <-asked
	if got := r.URL.Query().Get("topic"); got != "dataset:visits" {
		t.Errorf("topic %q", got)
	}
	if got := r.Header.Get("Tresor-As"); got != "rosa" {
		t.Errorf("Tresor-As %q", got)
	}
	if out := e.err.(*bytes.Buffer).String(); !strings.Contains(out, "building tables") {
		t.Errorf("no bar in %q", out)
	}
}

func TestFollowEndsWithTheWork(t *testing.T) {
	e := liveServer(t, func(ws *websocket.Conn) { _, _ = io.Copy(io.Discard, ws) })
	ctx, cancel := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	wg.Go(func() { followTopic(ctx, e, "image", "preparing") })
	time.Sleep(20 * time.Millisecond)
	cancel()
	wg.Wait() // hangs for ever if the socket outlives the work
}

func TestFollowIsACourtesy(t *testing.T) {
	for name, e := range map[string]*env{
		"no server":       {err: &bytes.Buffer{}, client: newClient(filepath.Join(t.TempDir(), "none.sock"), "")},
		"nobody watches":  {err: &bytes.Buffer{}, client: newClient("/nowhere", "")},
		"a public client": {err: &bytes.Buffer{}, client: newPublicClient("http://127.0.0.1:1", http.DefaultClient)},
	} {
		t.Run(name, func(t *testing.T) {
			follow(t.Context(), e, "image", "preparing")()
			if name == "no server" {
				followTopic(t.Context(), e, "image", "preparing")
			}
			if out := e.err.(*bytes.Buffer).String(); out != "" {
				t.Errorf("printed %q", out)
			}
		})
	}
}

func TestSendingFollowsOnlyAfterTheEnd(t *testing.T) {
	begun, stopped := 0, 0
	s := &sender{r: strings.NewReader("abc"), begin: func() func() { begun++; return func() { stopped++ } }}
	if _, err := s.Read(make([]byte, 2)); err != nil || begun != 0 {
		t.Fatalf("followed while sending: %d, %v", begun, err)
	}
	if b, err := io.ReadAll(s); err != nil || string(b) != "c" {
		t.Fatalf("%q, %v", b, err)
	}
	if _, err := s.Read(make([]byte, 1)); err != io.EOF {
		t.Fatal(err)
	}
	s.finish()
	if begun != 1 || stopped != 1 {
		t.Errorf("begun %d times, stopped %d times", begun, stopped)
	}
	early := &sender{r: strings.NewReader(""), begin: func() func() { t.Error("followed after the answer"); return func() {} }}
	early.finish()
	_, _ = early.Read(make([]byte, 1))
}
