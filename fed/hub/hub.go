// Package hub is the rendezvous: it takes the links that enrolled nodes dial,
// knows which are online, and carries HTTP and signed envelopes to a named one.
//
// It promises: only a pinned, unrevoked key gets a link, and a revoked one loses
// it; one node has one link, the newest; an envelope to a node has a sequence
// that is never given twice. It relays and stores nothing of what passes.
//
// It never reads what it relays and cannot make a node do anything: it asks. A
// crash ends the links; the nodes dial again.
package hub

import (
	"crypto/ed25519"
	"log/slog"
	"sort"
	"sync"
	"time"

	"tresor/fed/link"
	"tresor/fed/trust"
	"tresor/fed/wire"
)

// Identity is the hub's key; Next announces a new one to the nodes, as at a node.
type Identity struct {
	Key  ed25519.PrivateKey
	Next *wire.Succession
}

// Options are what a hub needs. All but Limits, Enrolled, Seen, Handshakes and
// PerAddress are required.
type Options struct {
	Name      string
	Identity  func() Identity // asked at every connection and envelope
	Hosts     []string        // host[:port] under which nodes may dial, as they write it
	Book      *trust.Book
	Sequences Sequences
	Now       func() time.Time
	Log       *slog.Logger
	Limits    link.Limits

	Handshakes int                                 // at once; 512
	PerAddress int                                 // handshakes at once from one address; 64
	Enrolled   func(p trust.Peer)                  // a node was enrolled; may be nil
	Seen       func(node wire.KeyID, at time.Time) // a link began or ended; may be nil
}

// Hub is an http.Handler: the WebSocket endpoint that nodes dial.
type Hub struct {
	o     Options
	slots chan struct{}
	wg    sync.WaitGroup

	mu     sync.Mutex     // guards what follows
	from   map[string]int // handshakes by address
	links  map[wire.KeyID]*nodeLink
	last   map[wire.KeyID]time.Time // when a link was last up
	closed bool
}

// nodeLink is one node online.
type nodeLink struct {
	peer    wire.KeyID
	key     wire.KeyID // with which it proved itself
	version int        // of the protocol that it answered with
	session *link.Session
	http    *link.Transport
	since   time.Time
	next    *wire.Succession // that its welcome announced
}

// New makes a hub without links.
func New(o Options) *Hub {
	if o.Handshakes == 0 {
		o.Handshakes = 512
	}
	if o.PerAddress == 0 {
		o.PerAddress = 64
	}
	return &Hub{o: o, slots: make(chan struct{}, o.Handshakes), from: map[string]int{}, links: map[wire.KeyID]*nodeLink{},
		last: map[wire.KeyID]time.Time{}}
}

// attach makes l the node's link; an older one is closed, as its node has lost it. False:
// the hub is closed, or has a next key since the handshake, when Drop had nothing to end.
func (h *Hub) attach(l *nodeLink) bool {
	h.mu.Lock()
	if h.closed || !h.o.Identity().Next.Same(l.next) {
		h.mu.Unlock()
		return false
	}
	old := h.links[l.peer]
	h.links[l.peer] = l
	h.wg.Add(1)
	h.mu.Unlock()
	if old != nil {
		old.session.Close()
	}
	h.seen(l.peer)
	return true
}

// watch waits for the end of a link, or ends it when its key is no longer good.
func (h *Hub) watch(l *nodeLink) {
	defer h.wg.Done()
	tick := time.NewTicker(5 * time.Second)
	defer tick.Stop()
	for open := true; open; {
		select {
		case <-l.session.Done():
			open = false
		case <-tick.C:
			if _, _, err := h.o.Book.ByKey(l.key); err != nil {
				l.session.Close()
			}
		}
	}
	l.session.Close()
	l.http.CloseIdleConnections()
	h.mu.Lock()
	if h.links[l.peer] == l {
		delete(h.links, l.peer)
	}
	h.mu.Unlock()
	h.seen(l.peer)
	h.o.Log.Info("link of node ended", "node", l.peer, "err", l.session.Err())
}

func (h *Hub) seen(peer wire.KeyID) {
	now := h.o.Now()
	h.mu.Lock()
	h.last[peer] = now
	h.mu.Unlock()
	if h.o.Seen != nil {
		h.o.Seen(peer, now)
	}
}

// find gives the node's link if its key is still good.
func (h *Hub) find(peer wire.KeyID) (*nodeLink, error) {
	h.mu.Lock()
	l := h.links[peer]
	h.mu.Unlock()
	if l == nil {
		return nil, wire.Refuse(wire.CodeOffline, "the node is not connected: it is asked again when it is back")
	}
	if _, _, err := h.o.Book.ByKey(l.key); err != nil {
		l.session.Close()
		return nil, err
	}
	return l, nil
}

// Status is one enrolled node for a page.
type Status struct {
	Peer     trust.Peer `json:"peer"`
	Online   bool       `json:"online"`
	Since    time.Time  `json:"since,omitzero"`     // of the link
	LastSeen time.Time  `json:"last_seen,omitzero"` // now when online; zero: not since the hub started
	Remote   string     `json:"remote,omitempty"`
	Streams  int        `json:"streams"`
	// Announced is the hub's next key that this node has pinned, as far as this
	// link shows; empty: not known. When every node has it, the key may change.
	Announced wire.KeyID `json:"announced,omitempty"`
}

// Nodes lists the enrolled nodes by name.
func (h *Hub) Nodes() []Status {
	peers := h.o.Book.Peers()
	sort.Slice(peers, func(i, j int) bool { return peers[i].Name+string(peers[i].ID) < peers[j].Name+string(peers[j].ID) })
	out := make([]Status, len(peers))
	h.mu.Lock()
	defer h.mu.Unlock()
	for i, p := range peers {
		out[i] = Status{Peer: p, LastSeen: h.last[p.ID]}
		if l := h.links[p.ID]; l != nil {
			out[i].Online, out[i].Since, out[i].LastSeen = true, l.since, h.o.Now()
			out[i].Remote, out[i].Streams = l.session.RemoteAddr(), l.session.Streams()
			// A node speaks on the open link only after it took the welcome.
			if l.next != nil && !l.session.LastSeen().IsZero() {
				out[i].Announced = l.next.New.ID()
			}
		}
	}
	return out
}

// Drop ends the link of a node, which may dial again unless it was revoked.
func (h *Hub) Drop(peer wire.KeyID) {
	h.mu.Lock()
	l := h.links[peer]
	h.mu.Unlock()
	if l != nil {
		l.session.Close()
	}
}

// Close ends all links and waits for them; later ones are refused.
func (h *Hub) Close() {
	h.mu.Lock()
	h.closed = true
	all := make([]*nodeLink, 0, len(h.links))
	for _, l := range h.links {
		all = append(all, l)
	}
	h.mu.Unlock()
	for _, l := range all {
		l.session.Close()
	}
	h.wg.Wait()
}
