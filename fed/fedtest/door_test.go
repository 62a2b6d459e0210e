package fedtest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gorilla/websocket"
	"tresor/fed/hub"
	"tresor/fed/link"
	"tresor/fed/node"
	"tresor/fed/wire"
)

func TestAPlainRequestOverTheLinkOnlyReads(t *testing.T) {
	var reached atomic.Int64
	h, n := pair(t, link.Limits{}, node.Door{Routes: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		reached.Add(1)
		ok(w, r)
	})})
	c := &http.Client{Transport: h.RoundTripper(n.ID), Timeout: time.Minute}
	for _, tc := range []struct {
		method string
		body   io.Reader
		status int
	}{
		{"GET", nil, 200}, {"HEAD", nil, 200},
		{"POST", nil, 405}, {"POST", strings.NewReader("{}"), 405}, {"PUT", strings.NewReader("{}"), 405}, {"PATCH", nil, 405},
		{"DELETE", nil, 405}, {"OPTIONS", nil, 405}, {"BREW", nil, 405},
		{"GET", strings.NewReader("a body"), 413},
		{"GET", io.MultiReader(strings.NewReader("of unknown "), strings.NewReader("length")), 413},
		{"GET", io.LimitReader(zeros{}, 50<<20), 413},
	} {
		r, err := http.NewRequest(tc.method, "http://n/ga4gh/tes/v1/tasks", tc.body)
		if err != nil {
			t.Fatal(err)
		}
		before := reached.Load()
		resp, err := c.Do(r)
		if err != nil {
			// The node answers before it took 50 MB, and the client may see the cut first.
			if tc.status != 413 {
				t.Errorf("%s: %v", tc.method, err)
			}
			continue
		}
		b, _ := io.ReadAll(resp.Body)
		resp.Body.Close()
		if resp.StatusCode != tc.status {
			t.Errorf("%s with body %v: got %d, want %d", tc.method, tc.body != nil, resp.StatusCode, tc.status)
		}
		if tc.status != 200 && (!strings.Contains(string(b), "signed order") || reached.Load() != before) {
			t.Errorf("%s: reached the routes, or answered without a next step: %q", tc.method, b)
		}
	}
	if _, body, err := get(h, n.ID, "/"); err != nil || body != "ok" {
		t.Errorf("the link afterwards: %q %v", body, err)
	}
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) { clear(p); return len(p), nil }

func TestAClosedDoorTakesNothingAndClaimsNothing(t *testing.T) {
	var c tally
	var closed atomic.Bool
	closed.Store(true)
	h, n := pair(t, link.Limits{}, node.Door{Routes: http.HandlerFunc(ok), Execute: c.execute, Closed: func() *wire.Refusal {
		if closed.Load() {
			return wire.Refuse(wire.CodePaused, "nobody has compared the words yet")
		}
		return nil
	}})
	e, err := h.Issue(ctx5(t), n.ID, hub.Order{ID: "early", Kind: "k"})
	if err != nil {
		t.Fatal(err)
	}
	_, err = h.Send(ctx5(t), e)
	wantCode(t, err, wire.CodePaused)
	if code, body, err := get(h, n.ID, "/"); err != nil || code != 503 || !strings.Contains(body, "compared the words") {
		t.Errorf("got %d %q %v", code, body, err)
	}
	if n.Ledger.Len(n.Hub) != 0 {
		t.Error("an envelope was claimed behind a closed door")
	}
	closed.Store(false)
	if _, err := h.Send(ctx5(t), e); err != nil || c.of("early") != 1 {
		t.Errorf("once open: %v, executed %d times", err, c.of("early"))
	}
}

func TestAnInterruptedOrderIsTakenUpAgainWhereThatIsSafe(t *testing.T) {
	var c tally
	began := make(chan struct{}, 1)
	h, n := pair(t, link.Limits{}, node.Door{Execute: func(ctx context.Context, o node.Order) ([]byte, error) {
		c.execute(ctx, o)
		began <- struct{}{}
		<-ctx.Done()
		return nil, ctx.Err()
	}})
	e, _ := h.Issue(ctx5(t), n.ID, hub.Order{ID: "killed", Kind: "k", Body: []byte("it")})
	sent := make(chan error, 1)
	go func() { _, err := h.Send(context.Background(), e); sent <- err }()
	<-began
	n.Restart(t)
	<-sent
	var again tally
	if err := n.Connect(n.Hub, node.Door{Execute: c.execute, Again: again.execute}); err != nil {
		t.Fatal(err)
	}
	for range 3 {
		if r, err := h.Deliver(ctx5(t), e); err != nil || string(r.Result) != "did it" {
			t.Fatalf("%q %v", r.Result, err)
		}
	}
	if c.of("killed") != 1 || again.of("killed") != 1 {
		t.Errorf("executed %d times and taken up %d times, want 1 and 1", c.of("killed"), again.of("killed"))
	}
	after, _ := h.Issue(ctx5(t), n.ID, hub.Order{ID: "after", Kind: "k"})
	if _, err := h.Deliver(ctx5(t), after); err != nil || c.of("after") != 1 || again.of("after") != 0 {
		t.Errorf("a new order: %v, %d and %d", err, c.of("after"), again.of("after"))
	}
}

func TestRedialAndPing(t *testing.T) {
	h, n := enrolled(t, link.Limits{})
	if _, err := n.Ping(n.Hub); !errors.Is(err, wire.For(wire.CodeOffline)) {
		t.Errorf("ping without a link: %v", err)
	}
	n.Redial(n.Hub) // nothing there: nothing happens
	connect(t, n)
	h.Online(t, n.ID)
	Until(t, "the link is up here", func() bool { return n.Health()[0].State == node.Online })
	if d, err := n.Ping(n.Hub); err != nil || d <= 0 {
		t.Errorf("%v %v", d, err)
	}
	dials := h.Relay.Dials.Load()
	n.Redial(n.Hub)
	Until(t, "a new connection", func() bool { return h.Relay.Dials.Load() > dials && h.IsOnline(n.ID) })
}

func TestOneAddressCannotTakeAllHandshakes(t *testing.T) {
	NoLeaks(t)
	h := StartHub(t, link.Limits{})
	one := hub.New(hub.Options{Name: "x", Identity: func() hub.Identity { return hub.Identity{Key: h.Key} }, Book: h.Book, Sequences: NewStore(),
		Now: time.Now, Log: Log(), Handshakes: 8, PerAddress: 2, Limits: link.Limits{Handshake: time.Minute}})
	serve := func(addr string) (*httptest.Server, error) {
		l, err := net.Listen("tcp", addr)
		if err != nil {
			return nil, err
		}
		s := &httptest.Server{Listener: l, Config: &http.Server{Handler: one}}
		s.Start()
		return s, nil
	}
	srv, err := serve("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer srv.Close()
	dial := func(from string) (*websocket.Conn, *http.Response, error) {
		d := websocket.Dialer{Subprotocols: []string{link.Protocol}, NetDialContext: (&net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(from)}}).DialContext}
		return d.Dial("ws"+srv.URL[len("http"):], nil)
	}
	var open []*websocket.Conn
	defer func() {
		for _, ws := range open {
			ws.Close()
		}
	}()
	for i := range 3 {
		ws, resp, err := dial("127.0.0.1")
		if i < 2 && err != nil || i == 2 && (err == nil || resp.StatusCode != http.StatusServiceUnavailable) {
			t.Fatalf("handshake %d: %v", i, err)
		}
		if ws != nil {
			open = append(open, ws)
		}
	}
	ws, _, err := dial("127.0.0.2")
	if err != nil {
		t.Fatalf("another address is shut out: %v", err)
	}
	open = append(open, ws)
	open[0].Close()
	Until(t, "the place is free again", func() bool {
		ws, _, err := dial("127.0.0.1")
		if err == nil {
			open = append(open, ws)
		}
		return err == nil
	})
}

// TestNothingReachesGosOwnLog: net/http and yamux would write what a peer sends
// to the program's standard error.
func TestNothingReachesGosOwnLog(t *testing.T) {
	var std bytes.Buffer
	log.SetOutput(&std)
	defer log.SetOutput(io.Discard)
	h := StartHub(t, link.Limits{})
	n := evil(t, h, link.Limits{}, func(ws *websocket.Conn) {
		ws.WriteMessage(websocket.BinaryMessage, frame(1, 1, 1, 0))
		bad := "GET / HTTP/1.1\r\nHost: planted-4711\r\nContent-Length: -1\r\n\r\nplanted-4711"
		ws.WriteMessage(websocket.BinaryMessage, append(frame(0, 0, 1, uint32(len(bad))), bad...))
		ws.WriteMessage(websocket.BinaryMessage, frame(0, 0, 77, 3))
		ws.WriteMessage(websocket.BinaryMessage, []byte("abc"))
		ws.WriteMessage(websocket.BinaryMessage, frame(7, 0, 0, 0))
		time.Sleep(200 * time.Millisecond)
	})
	Until(t, "the node cuts", func() bool { return n.Health()[0].Code == wire.CodeMalformed })
	if std.Len() > 0 {
		t.Errorf("Go's own log holds %q", std.String())
	}
}

func TestAWholeLinkThroughAnHTTPProxy(t *testing.T) {
	NoLeaks(t)
	var c tally
	h := StartHub(t, link.Limits{})
	p := newProxy(t)
	n := NewNode(t, link.Limits{})
	n.Proxy = p.ask
	n.Restart(t)
	h.Enrol(t, n, "Behind a proxy")
	if err := n.Connect(n.Hub, node.Door{Routes: http.HandlerFunc(ok), Execute: c.execute}); err != nil {
		t.Fatal(err)
	}
	h.Online(t, n.ID)
	e, _ := h.Issue(ctx5(t), n.ID, hub.Order{ID: "proxied", Kind: "k"})
	if _, err := h.Deliver(ctx5(t), e); err != nil || c.of("proxied") != 1 {
		t.Errorf("%v", err)
	}
	if p.tunnels.Load() < 2 {
		t.Errorf("%d tunnels, want one for the enrolment and one for the link", p.tunnels.Load())
	}
	p.refuse.Store(true)
	h.Relay.Cut()
	Until(t, "the proxy's refusal is in the health", func() bool {
		hl := n.Health()[0]
		return hl.State == node.Waiting && hl.Error != ""
	})
	p.refuse.Store(false)
	h.Online(t, n.ID)
}

// TestTooManyOrdersAtOnceAreSentAgain: what one hub can have running is bounded, and
// nothing of the rest is lost or claimed.
func TestTooManyOrdersAtOnceAreSentAgain(t *testing.T) {
	var c tally
	var most, now atomic.Int64
	gate := make(chan struct{})
	NoLeaks(t)
	limits := link.Limits{Streams: 1024}
	h, n := StartHub(t, limits), NewNode(t, limits)
	n.Patience = 20 * time.Millisecond
	n.Restart(t)
	h.Enrol(t, n, "North")
	err := n.Connect(n.Hub, node.Door{Execute: func(ctx context.Context, o node.Order) ([]byte, error) {
		for n, m := now.Add(1), most.Load(); n > m && !most.CompareAndSwap(m, n); m = most.Load() {
		}
		defer now.Add(-1)
		<-gate
		return c.execute(ctx, o)
	}})
	if err != nil {
		t.Fatal(err)
	}
	h.Online(t, n.ID)
	var wg sync.WaitGroup
	total := node.MaxRunning + 40
	for i := range total {
		wg.Go(func() {
			e, err := h.Issue(ctx5(t), n.ID, hub.Order{ID: fmt.Sprint("many-", i), Kind: "k"})
			if err != nil {
				t.Error(err)
				return
			}
			if _, err := h.Deliver(ctx5(t), e); err != nil {
				t.Error(err)
			}
		})
	}
	Until(t, "as many run as may", func() bool { return now.Load() == node.MaxRunning })
	time.Sleep(100 * time.Millisecond)
	if got := n.Ledger.Len(n.Hub); got != node.MaxRunning {
		t.Errorf("%d orders are claimed, want %d", got, node.MaxRunning)
	}
	close(gate)
	wg.Wait()
	if most.Load() != node.MaxRunning || len(c.runs) != total {
		t.Errorf("%d at once, %d executed", most.Load(), len(c.runs))
	}
}
