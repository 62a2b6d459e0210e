package link

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/gorilla/websocket"
	"tresor/fed/wire"
)

// ends gives the two ends of one connection before its handshake.
func ends(t testing.TB, l Limits) (hub, node *Conn) {
	t.Helper()
	got := make(chan *Conn, 1)
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		c, err := Accept(w, r, l)
		if err != nil {
			t.Error(err)
		}
		got <- c
	}))
	t.Cleanup(srv.Close)
	node, _, err := Dial(context.Background(), DialOptions{URL: "ws" + strings.TrimPrefix(srv.URL, "http"), Limits: l})
	if err != nil {
		t.Fatal(err)
	}
	hub = <-got
	t.Cleanup(func() { hub.Close(); node.Close() })
	return hub, node
}

func TestConnIsAStreamWithAnEnd(t *testing.T) {
	hub, node := ends(t, Limits{})
	hub.stream(nil)
	node.stream(nil)
	for _, m := range []string{"one", "", "two and more"} {
		if _, err := hub.Write([]byte(m)); err != nil {
			t.Fatal(err)
		}
	}
	buf := make([]byte, 15)
	if _, err := io.ReadFull(node, buf); err != nil || string(buf) != "onetwo and more" {
		t.Fatalf("%q %v", buf, err)
	}
	hub.Close()
	if _, err := node.Read(buf); err != io.EOF {
		t.Errorf("after the peer's goodbye: %v, want EOF", err)
	}
	if _, err := hub.Read(buf); !errors.Is(err, net.ErrClosed) {
		t.Errorf("read after Close: %v", err)
	}
	if _, err := hub.Write(buf); !errors.Is(err, net.ErrClosed) {
		t.Errorf("write after Close: %v", err)
	}
	if err := hub.Close(); err != nil {
		t.Errorf("second Close: %v", err)
	}
}

func TestACutIsNotAnEnd(t *testing.T) {
	hub, node := ends(t, Limits{})
	node.stream(nil)
	hub.ws.NetConn().Close()
	if _, err := node.Read(make([]byte, 1)); err == nil || err == io.EOF {
		t.Errorf("a cut reads as %v", err)
	}
}

func TestCloseEndsABlockedRead(t *testing.T) {
	_, node := ends(t, Limits{})
	node.stream(nil)
	done := make(chan error, 1)
	go func() { _, err := node.Read(make([]byte, 1)); done <- err }()
	time.Sleep(20 * time.Millisecond)
	node.Close()
	if err := <-done; !errors.Is(err, net.ErrClosed) {
		t.Errorf("got %v", err)
	}
}

func TestAHeaderAndItsBodyAreOneMessage(t *testing.T) {
	hub, node := ends(t, Limits{})
	hub.stream(nil)
	header := []byte{0, typeData, 0, 0, 0, 0, 0, 1, 0, 0, 0, 3}
	if n, err := hub.Write(header); n != headerSize || err != nil {
		t.Fatal(n, err)
	}
	hub.Write([]byte("abc"))
	kind, data, err := node.ws.ReadMessage()
	if err != nil || kind != websocket.BinaryMessage || !bytes.Equal(data, append(header, "abc"...)) {
		t.Errorf("%d %q %v", kind, data, err)
	}
}

func TestHandshakeLimits(t *testing.T) {
	silent, _ := ends(t, Limits{Handshake: 100 * time.Millisecond})
	if _, err := silent.ReadMessage(); err == nil {
		t.Error("a silent node was waited for without end")
	}
	hub, node := ends(t, Limits{})
	node.WriteMessage(make([]byte, wire.MaxMessage+1))
	if _, err := hub.ReadMessage(); !errors.Is(err, wire.For(wire.CodeSize)) {
		t.Errorf("a hello over the limit: %v", err)
	}
	hub, node = ends(t, Limits{})
	node.ws.WriteMessage(websocket.BinaryMessage, []byte("{}"))
	if _, err := hub.ReadMessage(); !errors.Is(err, wire.For(wire.CodeMalformed)) {
		t.Errorf("data before the handshake: %v", err)
	}
}

func TestWhoMayNotDial(t *testing.T) {
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if c, err := Accept(w, r, Limits{}); err == nil {
			c.Close()
			t.Error("was taken")
		}
	}))
	defer srv.Close()
	u := "ws" + strings.TrimPrefix(srv.URL, "http")
	d := websocket.Dialer{Subprotocols: []string{Protocol}}
	if _, resp, err := d.Dial(u, http.Header{"Origin": {"https://evil.example"}}); err == nil || resp.StatusCode != 403 {
		t.Errorf("a browser: %v", err)
	}
	if ws, _, err := (&websocket.Dialer{}).Dial(u, nil); err == nil {
		ws.SetReadDeadline(time.Now().Add(time.Second))
		if _, _, err := ws.ReadMessage(); err == nil {
			t.Error("another protocol")
		}
		ws.Close()
	}
	for _, bad := range []string{"", "https://x/", "ws://", "::", "ws://127.0.0.1:1/"} {
		if _, _, err := Dial(context.Background(), DialOptions{URL: bad}); err == nil {
			t.Errorf("dialled %q", bad)
		}
	}
	web := httptest.NewServer(http.NotFoundHandler())
	defer web.Close()
	_, _, err := Dial(context.Background(), DialOptions{URL: "ws" + strings.TrimPrefix(web.URL, "http")})
	if !errors.Is(err, wire.For(wire.CodeOffline)) || !strings.Contains(err.Error(), "404") {
		t.Errorf("a web server that is no hub: %v", err)
	}
}

func TestBackoff(t *testing.T) {
	for name, tc := range map[string]struct {
		rand   func() float64
		lo, hi time.Duration // of the sixth wait
	}{
		"no jitter": {nil, 10 * time.Second, 10 * time.Second},
		"least":     {func() float64 { return 0 }, 5 * time.Second, 5 * time.Second},
		"most":      {func() float64 { return 0.999 }, 9 * time.Second, 10 * time.Second},
	} {
		b := Backoff{Max: 10 * time.Second, Rand: tc.rand}
		first := b.Next()
		for range 100 {
			b.Next()
		}
		if d := b.Next(); d < tc.lo || d > tc.hi {
			t.Errorf("%s: %v", name, d)
		}
		if b.Reset(); b.Next() != first {
			t.Errorf("%s: Reset does not begin again", name)
		}
	}
}

func TestGuardSeesTheSameFramesHoweverTheyAreCut(t *testing.T) {
	now := time.Now()
	data := append([]byte{0, typeData, 0, flagSYN, 0, 0, 0, 1, 0, 0, 0, 20}, make([]byte, 20)...)
	data = append(data, 0, typeGoAway+1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0)
	for step := 1; step <= len(data); step++ {
		g := newGuard(true, Limits{}.filled())
		var got *wire.Refusal
		for i := 0; i < len(data) && got == nil; i += step {
			got = g.check(data[i:min(i+step, len(data))], now)
		}
		if got == nil || got.Code != wire.CodeMalformed {
			t.Fatalf("pieces of %d: %v", step, got)
		}
	}
	hub := newGuard(false, Limits{}.filled())
	if r := hub.check(data, now); r == nil || r.Code != wire.CodeFlood {
		t.Errorf("a node that opens a stream: %v", r)
	}
}

func TestBucketRefills(t *testing.T) {
	b, now := bucket{rate: 10}, time.Now()
	for i := range 20 {
		if !b.take(now) {
			t.Fatalf("refused number %d of the burst", i)
		}
	}
	if b.take(now) || !b.take(now.Add(200*time.Millisecond)) {
		t.Error("the rate is not kept")
	}
}

func FuzzGuard(f *testing.F) {
	f.Add([]byte{0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0, 2, 'a', 'b', 0, 2, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0}, uint8(3))
	f.Fuzz(func(t *testing.T, data []byte, cut uint8) {
		now := time.Now()
		whole, parts := newGuard(true, Limits{}.filled()), newGuard(true, Limits{}.filled())
		a := whole.check(data, now)
		var b *wire.Refusal
		for step := int(cut)%16 + 1; len(data) > 0 && b == nil; {
			n := min(step, len(data))
			b = parts.check(data[:n], now)
			data = data[n:]
		}
		if (a == nil) != (b == nil) {
			t.Errorf("whole: %v, in parts: %v", a, b)
		}
	})
}
