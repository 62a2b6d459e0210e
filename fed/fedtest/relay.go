package fedtest

import (
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gorilla/websocket"
	"tresor/fed/link"
)

// Message is one WebSocket message on its way.
type Message struct {
	ToHub bool
	N     int // from 0, per connection and direction
	Text  bool
	Data  []byte
}

// Relay stands between nodes and a hub and passes whole messages.
type Relay struct {
	target atomic.Pointer[string]
	server *httptest.Server
	stall  atomic.Bool
	change atomic.Pointer[func(Message) [][]byte]

	mu    sync.Mutex
	conns map[net.Conn]bool
	Dials atomic.Int64 // connections that nodes made
}

// NewRelay starts a relay to a ws:// address.
func NewRelay(t testing.TB, target string) *Relay {
	r := &Relay{conns: map[net.Conn]bool{}}
	r.Target(target)
	r.server = httptest.NewServer(http.HandlerFunc(r.pass))
	return r
}

// Target sends later connections to another ws:// address.
func (r *Relay) Target(url string) { r.target.Store(&url) }

// Host is what a node dials; URL is its address.
func (r *Relay) Host() string { return strings.TrimPrefix(r.server.URL, "http://") }

// URL is the address for a node.
func (r *Relay) URL() string { return "ws://" + r.Host() + "/fed/v1/link" }

// Cut ends every connection without a word on both sides.
func (r *Relay) Cut() {
	r.mu.Lock()
	defer r.mu.Unlock()
	for c := range r.conns {
		if tcp, ok := c.(*net.TCPConn); ok {
			_ = tcp.SetLinger(0)
		}
		c.Close()
	}
}

// Stall stops passing without closing anything, as a lost route does.
func (r *Relay) Stall(on bool) { r.stall.Store(on) }

// Change lets f decide what passes in place of each message; nil: the message.
func (r *Relay) Change(f func(Message) [][]byte) {
	if f == nil {
		r.change.Store(nil)
		return
	}
	r.change.Store(&f)
}

// Close ends the relay.
func (r *Relay) Close() {
	r.Stall(false)
	r.Cut()
	r.server.Close()
}

func (r *Relay) pass(w http.ResponseWriter, req *http.Request) {
	r.Dials.Add(1)
	d := websocket.Dialer{Subprotocols: []string{link.Protocol}, HandshakeTimeout: time.Minute}
	out, _, err := d.Dial(*r.target.Load()+req.URL.Path, nil)
	if err != nil {
		http.Error(w, "the hub is down", http.StatusBadGateway)
		return
	}
	up := websocket.Upgrader{Subprotocols: []string{link.Protocol}}
	in, err := up.Upgrade(w, req, nil)
	if err != nil {
		out.Close()
		return
	}
	r.hold(in.NetConn(), out.NetConn())
	var wg sync.WaitGroup
	wg.Go(func() { r.pump(in, out, true) })
	r.pump(out, in, false)
	wg.Wait()
	r.drop(in.NetConn(), out.NetConn())
}

func (r *Relay) pump(from, to *websocket.Conn, toHub bool) {
	defer to.Close()
	defer from.Close()
	for n := 0; ; n++ {
		kind, data, err := from.ReadMessage()
		if err != nil {
			return
		}
		for r.stall.Load() {
			time.Sleep(5 * time.Millisecond)
		}
		out := [][]byte{data}
		if f := r.change.Load(); f != nil {
			out = (*f)(Message{ToHub: toHub, N: n, Text: kind == websocket.TextMessage, Data: data})
		}
		for _, m := range out {
			if to.WriteMessage(kind, m) != nil {
				return
			}
		}
	}
}

func (r *Relay) hold(all ...net.Conn) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, c := range all {
		r.conns[c] = true
	}
}

func (r *Relay) drop(all ...net.Conn) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, c := range all {
		delete(r.conns, c)
	}
}
