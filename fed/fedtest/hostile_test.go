package fedtest

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"io"
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

func ok(w http.ResponseWriter, r *http.Request) { io.WriteString(w, "ok") }

func TestHalfOpenIsNoticedOnBothSides(t *testing.T) {
	h, n := enrolled(t, Quick())
	connect(t, n)
	h.Online(t, n.ID)
	h.Relay.Stall(true)
	Until(t, "the hub notices", func() bool { return !h.IsOnline(n.ID) })
	Until(t, "the node notices", func() bool { return n.Health()[0].State != node.Online })
	h.Relay.Stall(false)
	h.Relay.Cut()
	h.Online(t, n.ID)
}

func TestReorderedReplayedAndDroppedFrames(t *testing.T) {
	var c tally
	h, n := pair(t, Quick(), node.Door{Execute: c.execute})
	var hold []byte
	var mu sync.Mutex
	faults := map[string]func(Message) [][]byte{
		"reorder": func(m Message) [][]byte {
			if m.Text {
				return [][]byte{m.Data}
			}
			if hold == nil && m.N%7 == 3 {
				hold = m.Data
				return nil
			}
			if hold != nil {
				out := [][]byte{m.Data, hold}
				hold = nil
				return out
			}
			return [][]byte{m.Data}
		},
		"replay": func(m Message) [][]byte { return [][]byte{m.Data, m.Data} },
		"drop": func(m Message) [][]byte {
			if m.N%9 == 5 {
				return nil
			}
			return [][]byte{m.Data}
		},
		"garbage": func(m Message) [][]byte {
			if m.N%5 == 4 {
				return [][]byte{bytes.Repeat([]byte{0xff}, len(m.Data))}
			}
			return [][]byte{m.Data}
		},
	}
	for name, f := range faults {
		h.Relay.Change(func(m Message) [][]byte { mu.Lock(); defer mu.Unlock(); return f(m) })
		for i := range 10 {
			e, err := h.Issue(context.Background(), n.ID, hub.Order{ID: name + "-" + string(rune('a'+i)), Kind: "k"})
			if err != nil {
				t.Fatal(err)
			}
			short, cancel := context.WithTimeout(context.Background(), 100*time.Millisecond)
			_, _ = h.Deliver(short, e)
			cancel()
			h.Relay.Change(nil)
			if name == "garbage" || i%3 == 0 {
				h.Relay.Cut()
			}
			if _, err := h.Deliver(ctx5(t), e); err != nil {
				t.Errorf("%s: %v", name, err)
			}
			if c.of(e.ID) != 1 {
				t.Errorf("%s: executed %d times", name, c.of(e.ID))
			}
			h.Relay.Change(func(m Message) [][]byte { mu.Lock(); defer mu.Unlock(); return f(m) })
		}
	}
}

// evil is a hub with a good key that speaks yamux by hand, once: later attempts of the
// node hang, so that its health keeps why the first one ended.
func evil(t *testing.T, h *Hub, limits link.Limits, attack func(ws *websocket.Conn)) *Node {
	t.Helper()
	limits.Handshake = 2 * time.Minute
	n := NewNode(t, limits)
	h.Enrol(t, n, "Victim")
	over := make(chan struct{})
	var up websocket.Upgrader
	up.Subprotocols = []string{link.Protocol}
	var tried atomic.Bool
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if tried.Swap(true) {
			<-over
			return
		}
		ws, err := up.Upgrade(w, r, nil)
		if err != nil {
			return
		}
		defer ws.Close()
		ws.WriteMessage(websocket.TextMessage, wire.NewChallenge(wire.KeyOf(h.Key), wire.Nonce{5}, time.Now()).Encode())
		_, data, err := ws.ReadMessage()
		if err != nil {
			return
		}
		hello, _ := wire.DecodeHello(data)
		ws.WriteMessage(websocket.TextMessage, wire.NewWelcome(hello, h.Key, time.Now(), nil).Encode())
		attack(ws)
	}))
	t.Cleanup(func() { close(over); srv.Close() })
	h.Relay.Target("ws" + strings.TrimPrefix(srv.URL, "http"))
	connect(t, n)
	return n
}

func frame(kind byte, flags uint16, stream, size uint32) []byte {
	b := []byte{0, kind}
	b = binary.BigEndian.AppendUint16(b, flags)
	b = binary.BigEndian.AppendUint32(b, stream)
	return binary.BigEndian.AppendUint32(b, size)
}

func TestAHostileHub(t *testing.T) {
	send := func(ws *websocket.Conn, b []byte) bool {
		ws.SetWriteDeadline(time.Now().Add(time.Minute))
		return ws.WriteMessage(websocket.BinaryMessage, b) == nil
	}
	drain := func(ws *websocket.Conn, cut chan struct{}) {
		defer close(cut)
		ws.SetReadDeadline(time.Now().Add(time.Minute))
		for {
			if _, _, err := ws.ReadMessage(); err != nil {
				return
			}
		}
	}
	cases := []struct {
		name   string
		attack func(ws *websocket.Conn)
		code   wire.Code
	}{
		{"10,000 stream opens", func(ws *websocket.Conn) {
			for i := uint32(1); i < 20000 && send(ws, frame(1, 1, i, 0)); i += 2 {
			}
		}, wire.CodeFlood},
		{"flood of pings", func(ws *websocket.Conn) {
			for i := uint32(0); i < 10000 && send(ws, frame(2, 1, 0, i)); i++ {
			}
		}, wire.CodeFlood},
		{"flood of empty frames", func(ws *websocket.Conn) {
			for i := 0; i < 10000 && send(ws, frame(0, 0, 1, 0)); i++ {
			}
		}, wire.CodeFlood},
		{"frame over the window", func(ws *websocket.Conn) { send(ws, frame(0, 1, 1, 1<<30)) }, wire.CodeSize},
		{"message over the limit", func(ws *websocket.Conn) { send(ws, make([]byte, 1<<20)) }, wire.CodeSize},
		{"frame of an unknown type", func(ws *websocket.Conn) { send(ws, frame(9, 0, 1, 0)) }, wire.CodeMalformed},
		{"text on an open link", func(ws *websocket.Conn) { ws.WriteMessage(websocket.TextMessage, []byte("{}")) }, wire.CodeMalformed},
		{"goes silent", func(ws *websocket.Conn) {}, ""},
	}
	for _, tc := range cases {
		t.Run(tc.name, func(t *testing.T) {
			NoLeaks(t)
			h := StartHub(t, link.Limits{})
			limits := link.Limits{OpenRate: 50} // a machine that is busy attacks more slowly
			if tc.code == "" {
				limits = Quick()
			}
			n := evil(t, h, limits, func(ws *websocket.Conn) {
				cut := make(chan struct{})
				go drain(ws, cut)
				tc.attack(ws)
				<-cut
			})
			Until(t, "the node cuts the link", func() bool {
				hl := n.Health()[0]
				return !hl.LastSeen.IsZero() && hl.State != node.Online && hl.Code == tc.code
			})
		})
	}
}

func TestHalfClosedAndStalledStreamsCostOnlyThemselves(t *testing.T) {
	big := bytes.Repeat([]byte("x"), 1<<20)
	mux := http.NewServeMux()
	mux.HandleFunc("/big", func(w http.ResponseWriter, r *http.Request) {
		for range 20 {
			if _, err := w.Write(big); err != nil {
				return
			}
		}
	})
	mux.HandleFunc("/", ok)
	h, n := pair(t, link.Limits{Stall: 500 * time.Millisecond}, node.Door{Routes: mux})
	c := &http.Client{Transport: h.RoundTripper(n.ID)}
	var stalled []*http.Response
	for range 5 {
		resp, err := c.Get("http://n/big")
		if err != nil {
			t.Fatal(err)
		}
		stalled = append(stalled, resp) // nobody reads it
	}
	for range 50 {
		if _, body, err := get(h, n.ID, "/"); err != nil || body != "ok" {
			t.Fatalf("beside stalled streams: %q %v", body, err)
		}
	}
	for _, r := range stalled {
		time.Sleep(50 * time.Millisecond)
		r.Body.Close()
	}
	if _, _, err := get(h, n.ID, "/"); err != nil {
		t.Error(err)
	}
}

func TestTenThousandHonestRequestsAndAThousandAtOnce(t *testing.T) {
	h, n := pair(t, link.Limits{}, node.Door{Routes: http.HandlerFunc(ok)})
	var wg sync.WaitGroup
	var bad atomic.Int64
	total := 10000
	if testing.Short() {
		total = 2000
	}
	for range 1000 {
		wg.Go(func() {
			for range total / 1000 {
				if _, body, err := get(h, n.ID, "/"); err != nil || body != "ok" {
					bad.Add(1)
				}
			}
		})
	}
	wg.Wait()
	if bad.Load() != 0 {
		t.Errorf("%d of %d requests failed", bad.Load(), total)
	}
}

func TestDialThroughAnHTTPProxy(t *testing.T) {
	NoLeaks(t)
	h := StartHub(t, link.Limits{})
	p := newProxy(t)
	c, host, err := link.Dial(ctx5(t), link.DialOptions{URL: h.Relay.URL(), Proxy: p.ask})
	if err != nil {
		t.Fatal(err)
	}
	data, err := c.ReadMessage()
	if _, cerr := wire.DecodeChallenge(data); err != nil || cerr != nil || host != h.Relay.Host() || p.tunnels.Load() != 1 {
		t.Errorf("%v %v %s %d", err, cerr, host, p.tunnels.Load())
	}
	c.Close()
	if _, err := c.Read(make([]byte, 1)); !errors.Is(err, net.ErrClosed) {
		t.Errorf("read after close: %v", err)
	}
}
