package trust

import (
	"context"
	"slices"
	"time"

	"tresor/fed/wire"
)

// Succeed pins the new key of a statement that current, a good key of a peer,
// brought. Both keys are good until the statement's end. Bringing the same
// statement again changes nothing. Only the newest key names a successor: one that
// was replaced still proves who the peer is while its overlap lasts, but whoever
// stole it must not displace the new key (CodeConflict).
func (b *Book) Succeed(ctx context.Context, current wire.KeyID, s *wire.Succession) error {
	b.change.Lock()
	defer b.change.Unlock()
	p, key, err := b.ByKey(current)
	if err != nil {
		return err
	}
	if p.Current() == s.New {
		return nil
	}
	if err := s.Check(key, b.now()); err != nil {
		return err
	}
	if p.Current() != key {
		return wire.Refuse(wire.CodeConflict, "the key %s was replaced already, and only the newest key names the next one: go on with that key, or enrol again with a new key", key.ID())
	}
	if b.taken(s.New.ID()) {
		return wire.Refuse(wire.CodeConflict, "the new key was used before: make a new one")
	}
	p.Pins = slices.Clone(p.Pins)
	until := time.UnixMilli(s.Until)
	for i := range p.Pins {
		if p.Pins[i].Until.IsZero() || p.Pins[i].Until.After(until) {
			p.Pins[i].Until = until
		}
	}
	p.Pins = append(p.Pins, Pin{Key: s.New, From: b.now()})
	return b.put(ctx, p)
}

func (b *Book) taken(id wire.KeyID) bool {
	b.mu.RLock()
	defer b.mu.RUnlock()
	_, ok := b.byKey[id]
	return ok
}

// Revoke stops believing every key of a peer, for good.
func (b *Book) Revoke(ctx context.Context, id wire.KeyID, reason string) error {
	return b.edit(ctx, id, func(p *Peer) error {
		if p.Revoked.IsZero() {
			p.Revoked, p.Reason = b.now(), reason
		}
		return nil
	})
}

// Leave notes that a peer has revoked this end. Nothing passes from then on; a new
// code enrols the peer again, with the same key if it likes.
func (b *Book) Leave(ctx context.Context, id wire.KeyID) error {
	return b.edit(ctx, id, func(p *Peer) error {
		if p.Left.IsZero() {
			p.Left = b.now()
		}
		return nil
	})
}

// RevokeKey stops believing one key of a peer, for good.
func (b *Book) RevokeKey(ctx context.Context, id, key wire.KeyID) error {
	return b.edit(ctx, id, func(p *Peer) error {
		p.Pins = slices.Clone(p.Pins)
		for i := range p.Pins {
			if p.Pins[i].Key.ID() != key {
				continue
			}
			if p.Pins[i].Revoked.IsZero() {
				p.Pins[i].Revoked = b.now()
			}
			return nil
		}
		return wire.Refuse(wire.CodeUnknown, "%s has no key %s", p.Name, key)
	})
}

// Rename changes what a peer is called here.
func (b *Book) Rename(ctx context.Context, id wire.KeyID, name string) error {
	return b.edit(ctx, id, func(p *Peer) error {
		p.Name = name
		return wire.CheckName(name)
	})
}

func (b *Book) edit(ctx context.Context, id wire.KeyID, f func(*Peer) error) error {
	b.change.Lock()
	defer b.change.Unlock()
	p, ok := b.Peer(id)
	if !ok {
		return wire.Refuse(wire.CodeUnknown, "there is no peer %s here", id)
	}
	if err := f(&p); err != nil {
		return err
	}
	return b.put(ctx, p)
}

// put stores first and believes after. When the store fails, the change may or
// may not be durable; the book goes on with the old state until it is opened
// again, except that a revocation is believed at once.
func (b *Book) put(ctx context.Context, p Peer) error {
	err := b.store.PutPeer(ctx, p)
	if err == nil || !p.Revoked.IsZero() {
		b.believe(p)
	}
	return err
}
