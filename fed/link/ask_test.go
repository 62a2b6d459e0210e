package link

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"tresor/fed/wire"
)

// peerOf is a Transport whose streams are TCP connections to a peer that does with each
// what serve says, counted from 1.
func peerOf(t *testing.T, limits Limits, serve func(n int, c net.Conn)) (*Transport, *atomic.Int64) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var opened atomic.Int64
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			n := int(opened.Add(1))
			wg.Go(func() { defer c.Close(); serve(n, c) })
		}
	})
	limits = limits.filled()
	tr := &Transport{orders: &http.Transport{}, limits: limits, places: make(chan struct{}, max(1, limits.Streams/4)),
		open: func(ctx context.Context) (net.Conn, error) {
			return (&net.Dialer{}).DialContext(ctx, "tcp", l.Addr().String())
		}}
	t.Cleanup(func() { l.Close(); tr.CloseIdleConnections(); wg.Wait() })
	return tr, &opened
}

// saying answers every question on a connection with the same bytes.
func saying(text string) func(int, net.Conn) {
	return func(_ int, c net.Conn) {
		for r := bufio.NewReader(c); ; {
			if _, err := http.ReadRequest(r); err != nil {
				return
			}
			if _, err := io.WriteString(c, text); err != nil {
				return
			}
		}
	}
}

func ask(ctx context.Context, t *Transport, method string) (int, string, error) {
	r, err := http.NewRequestWithContext(ctx, method, "http://n/x", nil)
	if err != nil {
		return 0, "", err
	}
	resp, err := t.RoundTrip(r)
	if err != nil {
		return 0, "", err
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	return resp.StatusCode, string(b), err
}

const good = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"

func TestAnswersToAQuestion(t *testing.T) {
	for _, c := range []struct {
		name, method, says string
		status             int
		body               string
		fails              bool
		streams            int64 // for two questions
	}{
		{"whole", "GET", good, 200, "ok", false, 1},
		{"in chunks", "GET", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n", 200, "ok", false, 1},
		{"without a body", "GET", "HTTP/1.1 204 No Content\r\n\r\n", 204, "", false, 1},
		{"not modified", "GET", "HTTP/1.1 304 Not Modified\r\nETag: \"x\"\r\n\r\n", 304, "", false, 1},
		{"to HEAD", "HEAD", "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n", 200, "", false, 1},
		{"after another word", "GET", "HTTP/1.1 102 Processing\r\n\r\n" + good, 200, "ok", false, 1},
		{"it says that it closes", "GET", "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok", 200, "ok", false, 2},
		{"something comes after it", "GET", good + "HTTP/1.1 200 OK\r\n", 200, "ok", false, 2},
		{"endless other words", "GET", strings.Repeat("HTTP/1.1 102 Processing\r\n\r\n", 100), 0, "", true, 2},
		{"another protocol", "GET", "HTTP/1.1 101 Switching Protocols\r\n\r\n", 0, "", true, 2},
		{"no HTTP", "GET", "hello\r\n\r\n", 0, "", true, 2},
		{"a head of 1 MB", "GET", "HTTP/1.1 200 OK\r\nX: " + strings.Repeat("x", 1<<20), 0, "", true, 2},
	} {
		t.Run(c.name, func(t *testing.T) {
			tr, opened := peerOf(t, Limits{}, saying(c.says))
			for range 2 {
				status, body, err := ask(t.Context(), tr, c.method)
				if (err != nil) != c.fails || status != c.status || body != c.body {
					t.Errorf("%d %q %v", status, body, err)
				}
				if c.name == "a head of 1 MB" && !errors.Is(err, wire.For(wire.CodeSize)) {
					t.Errorf("%v", err)
				}
			}
			if opened.Load() != c.streams || len(tr.places) != 0 {
				t.Errorf("%d streams, %d places taken", opened.Load(), len(tr.places))
			}
		})
	}
}

// TestAStreamThatThePeerClosed: idle, it is replaced unseen; in an answer, it is an error.
func TestAStreamThatThePeerClosed(t *testing.T) {
	gone := make(chan struct{})
	tr, opened := peerOf(t, Limits{}, func(n int, c net.Conn) {
		r := bufio.NewReader(c)
		if _, err := http.ReadRequest(r); err != nil {
			return
		}
		if n == 3 {
			io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 20\r\n\r\nhalf")
			return
		}
		io.WriteString(c, good)
		c.Close()
		gone <- struct{}{}
	})
	for range 2 {
		if status, body, err := ask(t.Context(), tr, "GET"); err != nil || status != 200 || body != "ok" {
			t.Fatalf("%d %q %v", status, body, err)
		}
		<-gone
	}
	if _, body, err := ask(t.Context(), tr, "GET"); !errors.Is(err, io.ErrUnexpectedEOF) || body != "half" {
		t.Errorf("%q %v", body, err)
	}
	if opened.Load() != 3 {
		t.Errorf("%d streams", opened.Load())
	}
}

// TestAQuestionEndsWithItsContext, whatever the peer is at: nothing stays taken.
func TestAQuestionEndsWithItsContext(t *testing.T) {
	for name, says := range map[string]string{"before the head": "", "in the head": "HTTP/1.1 200 OK\r\nX: ", "in the body": "HTTP/1.1 200 OK\r\nContent-Length: 20\r\n\r\nhalf"} {
		t.Run(name, func(t *testing.T) {
			said := make(chan struct{}, 1)
			tr, _ := peerOf(t, Limits{}, func(_ int, c net.Conn) {
				io.WriteString(c, says)
				said <- struct{}{}
				io.Copy(io.Discard, c)
			})
			ctx, cancel := context.WithCancel(t.Context())
			go func() { <-said; cancel() }()
			if _, _, err := ask(ctx, tr, "GET"); !errors.Is(err, context.Canceled) {
				t.Errorf("%v", err)
			}
			if len(tr.places) != 0 || len(tr.idle) != 0 {
				t.Errorf("%d places taken, %d streams kept", len(tr.places), len(tr.idle))
			}
		})
	}
	tr, _ := peerOf(t, Limits{Streams: 4}, func(_ int, c net.Conn) { io.Copy(io.Discard, c) })
	held, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() { defer close(done); ask(held, tr, "GET") }()
	for end := time.Now().Add(time.Minute); len(tr.places) == 0 && time.Now().Before(end); time.Sleep(time.Millisecond) {
	}
	short, stop := context.WithTimeout(t.Context(), 10*time.Millisecond)
	defer stop()
	if _, _, err := ask(short, tr, "GET"); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("a question without a place: %v", err)
	}
	cancel()
	<-done
}

// TestAnAnswerThatNobodyReads costs its stream and nothing else.
func TestAnAnswerThatNobodyReads(t *testing.T) {
	tr, opened := peerOf(t, Limits{}, saying("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nmore"))
	for range 3 {
		r, _ := http.NewRequestWithContext(t.Context(), "GET", "http://n/", nil)
		resp, err := tr.RoundTrip(r)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		resp.Body.Close()
	}
	if opened.Load() != 3 || len(tr.places) != 0 {
		t.Errorf("%d streams, %d places taken", opened.Load(), len(tr.places))
	}
}

// TestFewStreamsStayIdle, and those that were idle for long are not used.
func TestFewStreamsStayIdle(t *testing.T) {
	tr, opened := peerOf(t, Limits{Streams: 4 * 64}, saying(good))
	var wg sync.WaitGroup
	for range 64 {
		wg.Go(func() {
			if _, body, err := ask(t.Context(), tr, "GET"); err != nil || body != "ok" {
				t.Errorf("%q %v", body, err)
			}
		})
	}
	wg.Wait()
	if len(tr.idle) > mostIdle || len(tr.places) != 0 {
		t.Errorf("%d idle", len(tr.idle))
	}
	before := opened.Load()
	tr.mu.Lock()
	for _, a := range tr.idle {
		a.since = time.Now().Add(-time.Hour)
	}
	tr.mu.Unlock()
	if _, _, err := ask(t.Context(), tr, "GET"); err != nil || opened.Load() != before+1 || len(tr.idle) != 1 {
		t.Errorf("%v, %d streams more, %d idle", err, opened.Load()-before, len(tr.idle))
	}
}
