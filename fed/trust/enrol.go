package trust

import (
	"context"
	"time"

	"tresor/fed/wire"
)

// Admit is the hub's half of an enrolment: e has been checked against the
// connection. It finds the code, checks the proof, uses the code up and pins the
// node in one durable step. The same key may ask again with the same code, as
// after an answer that was lost; any other key is refused.
func (b *Book) Admit(ctx context.Context, e wire.Enrol) (Peer, Code, error) {
	b.change.Lock()
	defer b.change.Unlock()
	c, ok, err := b.code(ctx, e.CodeID)
	if err != nil {
		return Peer{}, c, err
	}
	if !ok {
		return Peer{}, c, wire.Refuse(wire.CodeNoCode, "the hub does not know the code: make one at the hub, or type this one there first")
	}
	if err := e.Proves(c.Secret); err != nil {
		return Peer{}, c, err
	}
	if c.UsedBy == e.Node.ID() {
		p, _, err := b.ByKey(c.UsedBy)
		return p, c, err
	}
	name := c.Name
	if name == "" {
		name = e.Name
	}
	p, err := b.redeem(ctx, &c, e.Node, name, "")
	return p, c, err
}

// Join is the node's half: a has been checked against the request that was made
// with code c. It pins the hub.
func (b *Book) Join(ctx context.Context, c Code, a wire.Enrolled) (Peer, error) {
	b.change.Lock()
	defer b.change.Unlock()
	if p, key, err := b.ByKey(a.Hub.ID()); err == nil && key == a.Hub {
		c.Used, c.UsedBy = b.now(), a.Hub.ID()
		p.URL = c.URL
		err := b.store.Redeem(ctx, c, p)
		if err == nil {
			b.believe(p)
		}
		return p, err
	}
	return b.redeem(ctx, &c, a.Hub, a.Name, c.URL)
}

func (b *Book) redeem(ctx context.Context, c *Code, key wire.Key, name, url string) (Peer, error) {
	switch {
	case !c.Used.IsZero():
		return Peer{}, wire.Refuse(wire.CodeCodeUsed, "this code was used: make a new one")
	case b.now().After(c.Expires):
		return Peer{}, wire.Refuse(wire.CodeCodeExpired, "this code is older than %v: make a new one", CodeLife)
	case b.taken(key.ID()):
		// Enrolled before, as when the other end lost what it pinned: the code is
		// used up, one that had left is back, and nothing else changes.
		p, _, err := b.holder(key.ID())
		if err != nil {
			return Peer{}, err
		}
		p.Left = time.Time{}
		c.Used, c.UsedBy = b.now(), key.ID()
		if err = b.store.Redeem(ctx, *c, p); err == nil {
			b.believe(p)
		}
		return p, err
	}
	p := Peer{ID: key.ID(), Name: name, URL: url, Pins: []Pin{{Key: key, From: b.now()}}, Enrolled: b.now()}
	c.Used, c.UsedBy = b.now(), key.ID()
	if err := b.store.Redeem(ctx, *c, p); err != nil {
		return Peer{}, err
	}
	b.believe(p)
	return p, nil
}
