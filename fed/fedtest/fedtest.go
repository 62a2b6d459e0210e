// Package fedtest starts a hub and nodes in one process, joined over loopback TCP
// through a relay that can cut, stall, delay and change what passes.
//
// It promises real parts: the hub, the nodes, the sockets and the handshakes are
// those of the product; only the stores are in memory, and they survive the node
// that used them, so a restart is a new node on the old store.
//
// It never belongs into a program: only tests import it.
package fedtest

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"io"
	"log/slog"
	mrand "math/rand/v2"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"tresor/fed/hub"
	"tresor/fed/link"
	"tresor/fed/node"
	"tresor/fed/trust"
	"tresor/fed/wire"
)

// Clock is a clock that a test can set wrong.
type Clock struct{ skew atomic.Int64 }

// Now gives the real time plus the skew.
func (c *Clock) Now() time.Time { return time.Now().Add(time.Duration(c.skew.Load())) }

// Skew sets how wrong the clock is.
func (c *Clock) Skew(d time.Duration) { c.skew.Store(int64(d)) }

// Hub is a hub that listens.
type Hub struct {
	*hub.Hub
	Book   *trust.Book
	Store  *Store
	Key    ed25519.PrivateKey
	Next   atomic.Pointer[wire.Succession]
	Clock  *Clock
	Server *httptest.Server
	Relay  *Relay
	Limits link.Limits

	mu sync.Mutex // held to change Key, and where handshakes read it
}

// SetKey changes the hub's key; handshakes may be under way.
func (h *Hub) SetKey(key ed25519.PrivateKey) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.Key = key
}

func (h *Hub) identity() hub.Identity {
	h.mu.Lock()
	defer h.mu.Unlock()
	return hub.Identity{Key: h.Key, Next: h.Next.Load()}
}

// Quick are limits for tests that wait for a timeout. A busy machine breaks links that
// have them, so they are for nothing else: Lively is for tests that only wait for a ping.
func Quick() link.Limits {
	return link.Limits{Handshake: 2 * time.Second, Keepalive: 100 * time.Millisecond, WriteTimeout: 300 * time.Millisecond,
		Stall: 500 * time.Millisecond}
}

// Lively are limits of a link that pings often and that a busy machine does not break.
func Lively() link.Limits {
	return link.Limits{Handshake: time.Minute, Keepalive: 100 * time.Millisecond, WriteTimeout: time.Minute}
}

// NewKey makes a private key.
func NewKey(t testing.TB) ed25519.PrivateKey {
	_, priv, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return priv
}

// Log is a log that nobody reads.
func Log() *slog.Logger { return slog.New(slog.NewTextHandler(io.Discard, nil)) }

// StartHub starts a hub and the relay before it, which nodes dial.
func StartHub(t testing.TB, limits link.Limits) *Hub {
	t.Helper()
	h := &Hub{Store: NewStore(), Key: NewKey(t), Clock: &Clock{}, Limits: limits}
	book, err := trust.Open(context.Background(), h.Store, h.Clock.Now)
	if err != nil {
		t.Fatal(err)
	}
	h.Book = book
	h.Server = httptest.NewUnstartedServer(nil)
	h.Relay = NewRelay(t, "ws://"+h.Server.Listener.Addr().String())
	hosts := []string{h.Relay.Host(), h.Server.Listener.Addr().String()}
	h.Hub = hub.New(hub.Options{Name: "Hub of the test", Identity: h.identity,
		Hosts: hosts, Book: book, Sequences: h.Store, Now: h.Clock.Now, Log: Log(), Limits: limits})
	h.Server.Config.Handler = h.Hub
	h.Server.Start()
	t.Cleanup(func() { h.Hub.Close(); h.Relay.Close(); h.Server.Close() })
	return h
}

// Node is a node and what survives it.
type Node struct {
	*node.Node
	Book     *trust.Book
	Store    *Store
	Ledger   *Ledger
	Key      ed25519.PrivateKey
	Next     atomic.Pointer[wire.Succession]
	Past     []wire.KeyID
	Clock    *Clock
	Hub      wire.KeyID                            // as the node knows it
	ID       wire.KeyID                            // as the hub knows it
	Proxy    func(*http.Request) (*url.URL, error) // of the next Restart; nil: none
	Patience time.Duration                         // of the next Restart; 0: as in the product
	limits   link.Limits

	mu sync.Mutex // held to change Key and Past, and where handshakes read them
}

// SetKey changes the node's key, and which it had before; handshakes may be under way.
func (n *Node) SetKey(key ed25519.PrivateKey, past ...wire.KeyID) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.Key, n.Past = key, past
}

func (n *Node) identity() node.Identity {
	n.mu.Lock()
	defer n.mu.Unlock()
	return node.Identity{Key: n.Key, Next: n.Next.Load(), Past: n.Past}
}

// NewNode makes a node that knows no hub.
func NewNode(t testing.TB, limits link.Limits) *Node {
	t.Helper()
	n := &Node{Store: NewStore(), Ledger: NewLedger(), Key: NewKey(t), Clock: &Clock{}, limits: limits}
	n.Restart(t)
	t.Cleanup(func() { n.Node.Close() })
	return n
}

// Restart closes the node, if there is one, and makes a new one on its stores.
func (n *Node) Restart(t testing.TB) {
	t.Helper()
	if n.Node != nil {
		n.Node.Close()
	}
	book, err := trust.Open(context.Background(), n.Store, n.Clock.Now)
	if err != nil {
		t.Fatal(err)
	}
	n.Book = book
	n.Node = node.New(node.Options{Identity: n.identity,
		Book: book, Ledger: n.Ledger, Now: n.Clock.Now, Log: Log(), Rand: mrand.Float64, Limits: n.limits, Proxy: n.Proxy, Patience: n.Patience,
		MinWait: 5 * time.Millisecond, MaxWait: 50 * time.Millisecond})
}

// Enrol pins hub and node to each other with a code made at the hub.
func (h *Hub) Enrol(t testing.TB, n *Node, name string) {
	t.Helper()
	ctx := context.Background()
	code, err := h.Book.NewCode(ctx, "", "")
	if err != nil {
		t.Fatal(err)
	}
	typed, err := n.Book.TypeCode(ctx, strings.ToLower(code.Text()), h.Relay.URL(), "")
	if err != nil {
		t.Fatal(err)
	}
	p, err := n.Enrol(ctx, typed, name)
	if err != nil {
		t.Fatal(err)
	}
	n.Hub, n.ID = p.ID, wire.KeyOf(n.Key).ID()
}

// Online waits until the hub has a link to the node.
func (h *Hub) Online(t testing.TB, id wire.KeyID) {
	t.Helper()
	Until(t, "the node is online", func() bool { return h.IsOnline(id) })
}

// IsOnline reports whether the hub has a link to the node.
func (h *Hub) IsOnline(id wire.KeyID) bool {
	for _, s := range h.Nodes() {
		if s.Peer.ID == id {
			return s.Online
		}
	}
	return false
}

// Until waits at most two minutes for a condition.
func Until(t testing.TB, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(2 * time.Minute); !ok(); time.Sleep(2 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("waited two minutes and not: %s", what)
		}
	}
}
