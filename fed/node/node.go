// Package node is an appliance's end of the federation: it keeps a link to each
// of its hubs, hands what a hub asks to the handler of that hub, and executes
// task envelopes at most once.
//
// It promises: a hub reaches the routes that were given to it and nothing else;
// an envelope is claimed in the Ledger before it is executed and never executed
// again, whatever the hub, the network or a crash does; one hub that is down,
// slow or hostile does not disturb another or any local work.
//
// It never decides what a task may do (the caller's Execute does) and holds no
// data. A crash in the middle of a task leaves its claim: the hub is then told
// that it was interrupted.
package node

import (
	"context"
	"crypto/ed25519"
	"crypto/tls"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"sync"
	"time"

	"tresor/fed/link"
	"tresor/fed/trust"
	"tresor/fed/wire"
)

// Identity is the node's key. While a rotation is under way Next tells the hubs
// of the new key; when all were online, the caller makes it the Key.
type Identity struct {
	Key  ed25519.PrivateKey
	Next *wire.Succession
	Past []wire.KeyID // ids of keys that were replaced: some hub may know the node by one
}

// is reports whether id names this node.
func (i Identity) is(id wire.KeyID) bool {
	for _, past := range i.Past {
		if past == id {
			return true
		}
	}
	return wire.KeyOf(i.Key).ID() == id
}

// Options are what a node needs. Identity, Book, Ledger, Now and Log are required.
type Options struct {
	Identity func() Identity // asked at every connection and envelope
	Book     *trust.Book
	Ledger   Ledger
	Now      func() time.Time
	Log      *slog.Logger
	Rand     func() float64                        // jitter, in [0, 1); nil: none
	Proxy    func(*http.Request) (*url.URL, error) // nil: none
	TLS      *tls.Config
	NetDial  func(ctx context.Context, network, addr string) (net.Conn, error)
	Limits   link.Limits
	MinWait  time.Duration // between attempts to connect; 1 s
	MaxWait  time.Duration // 2 min
	Patience time.Duration // how long a hub's request waits for its task; 20 s
}

// Door is what one hub may reach. Plain requests only read: whatever is not GET
// or HEAD is refused before it reaches Routes, because only an envelope is signed,
// counted and executed once.
type Door struct {
	Routes  http.Handler // nil: none
	Execute Execute      // nil: envelopes are refused
	// Again takes up an order whose execution began before a crash and whose end
	// is not known. It is only for orders that may be repeated without a second
	// effect. nil: the hub is told that the order was interrupted.
	Again Execute
	// Closed says why nothing is taken now, before an envelope is claimed; nil, or
	// giving nil: the door is open. Its code must not be a final one.
	Closed func() *wire.Refusal
}

// Node keeps the links. Its methods may be called by many goroutines.
type Node struct {
	o    Options
	exec *executor

	ctx  context.Context
	stop context.CancelFunc
	wg   sync.WaitGroup

	mu     sync.Mutex // guards what follows
	links  map[wire.KeyID]*hubLink
	paused bool
}

// New makes a node without links.
func New(o Options) *Node {
	ctx, stop := context.WithCancel(context.Background())
	if o.Patience == 0 {
		o.Patience = 20 * time.Second
	}
	return &Node{o: o, exec: newExecutor(ctx, o), ctx: ctx, stop: stop, links: map[wire.KeyID]*hubLink{}}
}

// Connect starts to keep a link to an enrolled hub and returns at once; Health
// says how it goes. It refuses a hub that is not enrolled or has a link already.
func (n *Node) Connect(hub wire.KeyID, d Door) error {
	p, ok := n.o.Book.Peer(hub)
	if !ok {
		return wire.Refuse(wire.CodeUnknown, "the hub %s is not enrolled here: enrol with a code first", hub)
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.ctx.Err() != nil {
		return wire.Refuse(wire.CodeOffline, "the node is closed")
	}
	if n.links[hub] != nil {
		return wire.Refuse(wire.CodeConflict, "the link to %s is kept already", p.Name)
	}
	l := newHubLink(n, p, d)
	n.links[hub] = l
	n.wg.Go(l.keep)
	return nil
}

// Disconnect ends the link to a hub and waits for it; running tasks go on.
func (n *Node) Disconnect(hub wire.KeyID) {
	n.mu.Lock()
	l := n.links[hub]
	delete(n.links, hub)
	n.mu.Unlock()
	if l != nil {
		l.stop()
		<-l.ended
	}
}

// Redial ends the open connection to a hub, so that a new one is made at once, or
// ends the wait for the next attempt. Running tasks go on.
func (n *Node) Redial(hub wire.KeyID) {
	if l := n.link(hub); l != nil {
		l.redial()
	}
}

// Ping measures the way to a hub and back over the open link. CodeOffline when
// there is none.
func (n *Node) Ping(hub wire.KeyID) (time.Duration, error) {
	if l := n.link(hub); l != nil {
		if s := l.open(); s != nil {
			return s.Ping()
		}
	}
	return 0, wire.Refuse(wire.CodeOffline, "there is no link to the hub now: its health says why")
}

func (n *Node) link(hub wire.KeyID) *hubLink {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.links[hub]
}

// Pause makes the node refuse what this hub asks, or take it again. The link
// stays, so the hub sees that the node is there. The caller keeps the setting.
func (n *Node) Pause(hub wire.KeyID, on bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if l := n.links[hub]; l != nil {
		l.paused.Store(on)
	}
}

// PauseAll pauses every hub, whatever Pause said of one.
func (n *Node) PauseAll(on bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.paused = on
}

func (n *Node) allPaused() bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.paused
}

// Close ends all links, cancels the running tasks' context and waits for both.
func (n *Node) Close() {
	n.mu.Lock()
	n.stop()
	n.mu.Unlock()
	n.wg.Wait()
	n.exec.wait()
}
