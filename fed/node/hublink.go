package node

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"tresor/fed/link"
	"tresor/fed/trust"
	"tresor/fed/wire"
)

// State is what a link is doing.
type State string

// The states of a link.
const (
	Connecting State = "connecting"
	Online     State = "online"
	Waiting    State = "waiting" // for the next attempt
	Revoked    State = "revoked" // the hub was revoked here; no attempts
)

// Health is one link for a page.
type Health struct {
	Hub      wire.KeyID `json:"hub"`
	Name     string     `json:"name"`
	URL      string     `json:"url"`
	State    State      `json:"state"`
	Paused   bool       `json:"paused"`
	Since    time.Time  `json:"since"`              // of the state
	LastSeen time.Time  `json:"last_seen,omitzero"` // last time the link was known to be up
	NextTry  time.Time  `json:"next_try,omitzero"`  // while waiting
	Attempts int        `json:"attempts"`           // since it was last online
	Opened   int64      `json:"opened"`             // links since the node was made
	Error    string     `json:"error,omitempty"`    // why the last link or attempt ended
	Code     wire.Code  `json:"code,omitempty"`     // of that error
	// Announced is this node's next key that the hub has pinned; empty: not known.
	Announced wire.KeyID `json:"announced,omitempty"`
}

type hubLink struct {
	n      *Node
	door   Door
	paused atomic.Bool
	ctx    context.Context
	stop   context.CancelFunc
	ended  chan struct{}
	again  chan struct{} // ends a wait

	mu      sync.Mutex // guards what follows
	health  Health
	session *link.Session // nil when not online
}

func newHubLink(n *Node, p trust.Peer, d Door) *hubLink {
	ctx, stop := context.WithCancel(n.ctx)
	return &hubLink{n: n, door: d, ctx: ctx, stop: stop, ended: make(chan struct{}), again: make(chan struct{}, 1),
		health: Health{Hub: p.ID, Name: p.Name, URL: p.URL, State: Connecting, Since: n.o.Now()}}
}

// keep connects again and again until the link is stopped. A hub's refusal is
// not signed, so it only makes the waits long.
func (l *hubLink) keep() {
	defer close(l.ended)
	b := link.Backoff{Min: l.n.o.MinWait, Max: l.n.o.MaxWait, Rand: l.n.o.Rand}
	var last time.Duration
	for l.ctx.Err() == nil {
		began := time.Now()
		online, err := l.once()
		if l.ctx.Err() != nil {
			return
		}
		// Only a link that held for longer than the last wait starts the waits
		// afresh: a hub that accepts and drops at once must not be hammered.
		if online && time.Since(began) > last {
			b.Reset()
		}
		if last = b.Next(); !l.wait(last, err) {
			return
		}
	}
}

// wait sleeps until the next attempt; false when there is none.
func (l *hubLink) wait(d time.Duration, err error) bool {
	state := Waiting
	if p, ok := l.n.o.Book.Peer(l.health.Hub); !ok || !p.Revoked.IsZero() {
		state = Revoked
	}
	l.set(state, err, l.n.o.Now().Add(d))
	l.n.o.Log.Info("link to hub ended", "hub", l.health.Name, "err", err, "wait", d)
	if state == Revoked {
		return false
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-l.ctx.Done():
		return false
	case <-t.C:
	case <-l.again:
	}
	return true
}

// redial asks for a new connection now.
func (l *hubLink) redial() {
	select {
	case l.again <- struct{}{}:
	default:
	}
	if s := l.open(); s != nil {
		s.Close()
	}
}

func (l *hubLink) open() *link.Session {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.session
}

// once connects, shakes hands and serves; online says whether it got that far.
func (l *hubLink) once() (online bool, err error) {
	p, ok := l.n.o.Book.Peer(l.health.Hub)
	if !ok || !p.Revoked.IsZero() {
		return false, wire.Refuse(wire.CodeRevoked, "the hub was revoked here")
	}
	l.set(Connecting, nil, time.Time{})
	conn, host, err := l.n.dial(l.ctx, p.URL)
	if err != nil {
		return false, err
	}
	stop := context.AfterFunc(l.ctx, func() { conn.Close() })
	defer stop()
	id := l.n.o.Identity()
	key, err := l.n.greet(l.ctx, conn, host, p.ID, id)
	if err != nil {
		conn.Close()
		return false, err
	}
	s, err := link.Acceptor(conn)
	if err != nil {
		return false, err
	}
	l.online(s, id.Next)
	if !l.n.o.Identity().Next.Same(id.Next) {
		s.Close() // a Redial during the handshake had nothing to end
	}
	return true, s.Serve(l.ctx, l.handler(key, s), l.n.o.Log)
}

// online: a welcome says that the hub has pinned the next key, if there is one.
func (l *hubLink) online(s *link.Session, next *wire.Succession) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.session = s
	l.health.Opened++
	if next != nil {
		l.health.Announced = next.New.ID()
	}
	l.health.State, l.health.Since, l.health.Attempts = Online, l.n.o.Now(), 0
	l.health.LastSeen, l.health.Error, l.health.Code = l.n.o.Now(), "", ""
}

func (l *hubLink) set(s State, err error, next time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.session != nil {
		l.health.LastSeen = l.n.o.Now()
	}
	l.session = nil
	l.health.State, l.health.Since, l.health.NextTry = s, l.n.o.Now(), next
	if s == Connecting {
		l.health.Attempts++
		return
	}
	l.health.Error, l.health.Code = "the link ended", ""
	var r *wire.Refusal
	if errors.As(err, &r) {
		l.health.Error, l.health.Code = r.Text, r.Code
	} else if err != nil {
		l.health.Error = err.Error()
	}
}

// Health tells how each link is, in no order.
func (n *Node) Health() []Health {
	n.mu.Lock()
	defer n.mu.Unlock()
	out := make([]Health, 0, len(n.links))
	for _, l := range n.links {
		l.mu.Lock()
		h := l.health
		if l.session != nil {
			h.LastSeen = n.o.Now()
		}
		l.mu.Unlock()
		h.Paused = n.paused || l.paused.Load()
		out = append(out, h)
	}
	return out
}
