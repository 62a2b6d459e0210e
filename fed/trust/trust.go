// Package trust is who a hub or a node believes: peers with their pinned keys,
// enrolment codes that work once, and the words with which two people compare
// keys on the telephone.
//
// It promises: a key is believed only after both ends proved that they have the
// same code; a code pins one key and no second one; a replaced key stops being
// believed when its overlap ends; what was revoked stays revoked. Every change
// is in the Store before it is believed, so a crash leaves either the old state
// or the new one.
//
// It never talks to the network and never holds a private key.
package trust

import (
	"context"
	"sync"
	"time"

	"tresor/fed/wire"
)

// Pin is one key of a peer.
type Pin struct {
	Key     wire.Key  `json:"key"`
	From    time.Time `json:"from"`
	Until   time.Time `json:"until,omitzero"`   // end of the overlap; zero: no end
	Revoked time.Time `json:"revoked,omitzero"` // zero: not revoked
}

// Peer is a hub or node at the other end. ID is the id of the first key that was
// pinned and stays when keys are replaced.
type Peer struct {
	ID       wire.KeyID `json:"id"`
	Name     string     `json:"name"`
	URL      string     `json:"url,omitempty"` // of a hub: where this node dials
	Pins     []Pin      `json:"pins"`          // oldest first
	Enrolled time.Time  `json:"enrolled"`
	Revoked  time.Time  `json:"revoked,omitzero"`
	Reason   string     `json:"reason,omitempty"` // why it was revoked
	Left     time.Time  `json:"left,omitzero"`    // when it said that it has revoked this end; zero: it has not
}

// Has reports whether id is or was a key of the peer.
func (p Peer) Has(id wire.KeyID) bool {
	for _, pin := range p.Pins {
		if pin.Key.ID() == id {
			return true
		}
	}
	return false
}

// Gone reports whether nothing passes between the two ends any more: the peer was
// revoked here, or has said that it revoked this end.
func (p Peer) Gone() bool { return !p.Revoked.IsZero() || !p.Left.IsZero() }

// Current gives the newest key.
func (p Peer) Current() wire.Key { return p.Pins[len(p.Pins)-1].Key }

// Store keeps peers and codes. Each call is durable when it returns nil, and
// atomic: an error means that nothing changed or that everything did.
type Store interface {
	// Peers lists all peers, revoked ones too.
	Peers(ctx context.Context) ([]Peer, error)
	// PutPeer inserts or replaces the peer with that ID.
	PutPeer(ctx context.Context, p Peer) error
	// Codes lists the codes that were not swept.
	Codes(ctx context.Context) ([]Code, error)
	// PutCode inserts or replaces the code with that ID.
	PutCode(ctx context.Context, c Code) error
	// Redeem does PutCode(c) and PutPeer(p) in one step.
	Redeem(ctx context.Context, c Code, p Peer) error
}

// Book is the believed state of one Store. Only one Book may use a Store. Its
// methods may be called by many goroutines.
type Book struct {
	store Store
	now   func() time.Time

	change sync.Mutex // held over a read-store-believe change

	mu    sync.RWMutex // guards what follows
	peers map[wire.KeyID]Peer
	byKey map[wire.KeyID]pinAt
}

// pinAt is where a key is: naming one costs a hash, which every request would pay.
type pinAt struct {
	peer wire.KeyID
	pin  int
}

// Open reads the store.
func Open(ctx context.Context, s Store, now func() time.Time) (*Book, error) {
	b := &Book{store: s, now: now, peers: map[wire.KeyID]Peer{}, byKey: map[wire.KeyID]pinAt{}}
	all, err := s.Peers(ctx)
	if err != nil {
		return nil, err
	}
	for _, p := range all {
		if len(p.Pins) > 0 {
			b.believe(p)
		}
	}
	return b, nil
}

func (b *Book) believe(p Peer) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.peers[p.ID] = p
	for i, pin := range p.Pins {
		b.byKey[pin.Key.ID()] = pinAt{p.ID, i}
	}
}

// Peers lists all peers in no order.
func (b *Book) Peers() []Peer {
	b.mu.RLock()
	defer b.mu.RUnlock()
	out := make([]Peer, 0, len(b.peers))
	for _, p := range b.peers {
		out = append(out, p)
	}
	return out
}

// Peer gives the peer with that ID (not key id); ok is false when there is none.
func (b *Book) Peer(id wire.KeyID) (p Peer, ok bool) {
	b.mu.RLock()
	defer b.mu.RUnlock()
	p, ok = b.peers[id]
	return p, ok
}

// ByKey gives the peer that holds the key now. It refuses a key that was never
// enrolled (CodeUnknown), was revoked alone or with its peer, or belongs to one that
// left (CodeRevoked), or was replaced (CodeKeyExpired).
func (b *Book) ByKey(id wire.KeyID) (Peer, wire.Key, error) {
	p, key, err := b.holder(id)
	if err == nil && !p.Left.IsZero() {
		err = wire.Refuse(wire.CodeRevoked, "%s has revoked this end: enrol again with a new code", p.Name)
	}
	return p, key, err
}

// holder is ByKey for a peer that may have left.
func (b *Book) holder(id wire.KeyID) (Peer, wire.Key, error) {
	b.mu.RLock()
	at := b.byKey[id]
	p, ok := b.peers[at.peer]
	b.mu.RUnlock()
	if !ok {
		return Peer{}, wire.Key{}, wire.Refuse(wire.CodeUnknown, "the key %s is not enrolled: enrol with a code first", id)
	}
	if !p.Revoked.IsZero() {
		return Peer{}, wire.Key{}, wire.Refuse(wire.CodeRevoked, "%s was revoked: ask the operator who did it, then enrol again with a new key", p.Name)
	}
	pin := p.Pins[at.pin]
	return p, pin.Key, b.good(pin)
}

func (b *Book) good(pin Pin) error {
	if !pin.Revoked.IsZero() {
		return wire.Refuse(wire.CodeRevoked, "the key %s was revoked: enrol again with a new key", pin.Key.ID())
	}
	if !pin.Until.IsZero() && b.now().After(pin.Until) {
		return wire.Refuse(wire.CodeKeyExpired, "the key %s was replaced: use the new key", pin.Key.ID())
	}
	return nil
}
