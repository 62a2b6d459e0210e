package node

import (
	"context"
	"time"

	"tresor/fed/wire"
)

// lastWord bounds the attempt to tell a hub that it was revoked.
const lastWord = 10 * time.Second

// Leave tells a hub that was revoked here that it was: it dials it a last time and
// takes nothing from it. It returns at once and tries once; a hub that cannot be
// reached is not told. The channel gives how it went, and need not be read.
func (n *Node) Leave(hub wire.KeyID) <-chan error {
	told := make(chan error, 1)
	n.mu.Lock()
	defer n.mu.Unlock()
	if err := n.ctx.Err(); err != nil {
		told <- err
		return told
	}
	n.wg.Go(func() {
		ctx, cancel := context.WithTimeout(n.ctx, lastWord)
		defer cancel()
		err := n.leave(ctx, hub)
		if err != nil {
			n.o.Log.Info("a hub was not told that it was revoked", "hub", hub, "err", err)
		}
		told <- err
	})
	return told
}

func (n *Node) leave(ctx context.Context, hub wire.KeyID) error {
	p, ok := n.o.Book.Peer(hub)
	if !ok || p.Revoked.IsZero() {
		return wire.Refuse(wire.CodeConflict, "the hub was not revoked here")
	}
	c, host, err := n.dial(ctx, p.URL)
	if err != nil {
		return err
	}
	defer c.Close()
	stop := context.AfterFunc(ctx, func() { c.Close() })
	defer stop()
	ch, err := n.challenge(c)
	if err != nil {
		return err
	}
	if !p.Has(ch.Hub.ID()) {
		return wire.Refuse(wire.CodeSignature, "another hub than the revoked one answers at %s", host)
	}
	bye := wire.NewFarewell(ch, host, n.o.Identity().Key, nonce(), n.o.Now())
	if err := c.WriteMessage(bye.Encode()); err != nil {
		return err
	}
	data, err := c.ReadMessage()
	if err != nil {
		return err
	}
	w, err := wire.DecodeWelcome(data)
	if err != nil {
		return err
	}
	return w.Check(bye, n.o.Now())
}
