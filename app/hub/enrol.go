package hub

import (
	"context"
	"strings"

	"tresor/app/access"
	"tresor/app/fault"
	"tresor/app/store"
	"tresor/fed/trust"
	"tresor/fed/wire"
)

// NewCode makes an enrolment code that is typed at the node. name is what to call
// the node; empty: what it calls itself.
func (s *Service) NewCode(ctx context.Context, actor access.Actor, name string) (Code, error) {
	const op = "hub.NewCode"
	return s.code(ctx, op, actor, "code.made", func() (trust.Code, error) { return s.book.NewCode(ctx, "", name) }, true)
}

// TypeCode takes a code that the node's operator made. The node then has a day to
// bring it.
func (s *Service) TypeCode(ctx context.Context, actor access.Actor, code, name string) (Code, error) {
	const op = "hub.TypeCode"
	return s.code(ctx, op, actor, "code.typed", func() (trust.Code, error) { return s.book.TypeCode(ctx, code, "", name) }, false)
}

func (s *Service) code(ctx context.Context, op string, actor access.Actor, verb string, make func() (trust.Code, error), show bool) (Code, error) {
	if err := access.May(actor, access.HubManage, access.Thing{}); err != nil {
		return Code{}, fault.Wrap(op, err)
	}
	c, err := make()
	if err != nil {
		return Code{}, refused(op, err)
	}
	err = s.DB.Update(ctx, func(tx *store.Tx) error { return s.note(tx, actor, verb, "code:"+c.ID, "") })
	if err != nil {
		return Code{}, fault.Wrap(op, err)
	}
	out := Code{ExpiresAt: c.Expires, Address: s.address()}
	if show {
		out.Code = c.Text()
	}
	return out, nil
}

// ConfirmNode says that somebody compared the words with the node's operator.
// Only then anything is sent to it.
func (s *Service) ConfirmNode(ctx context.Context, actor access.Actor, node string) (Node, error) {
	const op = "hub.ConfirmNode"
	n, err := s.manage(ctx, op, actor, node)
	if err != nil {
		return n, err
	}
	if n.RevokedAt != nil {
		return n, fault.New(op, fault.Conflict, "The node %s was revoked, or has revoked this hub. It has to enrol again.", n.Name)
	}
	if n.ConfirmedAt != nil {
		return n, nil
	}
	err = s.DB.Update(ctx, func(tx *store.Tx) error {
		if _, err := tx.Exec(`UPDATE hub_node SET confirmed_at = ?, confirmed_by = ? WHERE id = ?`, store.Millis(tx.Now()), actor.Handle, n.ID); err != nil {
			return err
		}
		return s.note(tx, actor, "node.confirmed", "node:"+n.ID, "")
	})
	if err != nil {
		return n, fault.Wrap(op, err)
	}
	s.wake(n.ID)
	return s.Node(ctx, actor, n.ID)
}

// RevokeNode stops believing a node for good. Its open parts end as refused.
func (s *Service) RevokeNode(ctx context.Context, actor access.Actor, node, reason string) (Node, error) {
	const op = "hub.RevokeNode"
	n, err := s.manage(ctx, op, actor, node)
	if err != nil {
		return n, err
	}
	reason = strings.TrimSpace(reason)
	if reason == "" || len(reason) > 500 || clean(reason) != reason {
		return n, fault.New(op, fault.Invalid, "Give the reason in one line of at most 500 characters: it is shown on the page of the node.")
	}
	if err := s.book.Revoke(ctx, wire.KeyID(n.ID), reason); err != nil {
		return n, refused(op, err)
	}
	s.fed().Drop(wire.KeyID(n.ID))
	p, _ := s.book.Peer(wire.KeyID(n.ID))
	err = s.DB.Update(ctx, func(tx *store.Tx) error {
		if err := s.endPartsOf(tx, p); err != nil {
			return err
		}
		return s.note(tx, actor, "node.revoked", "node:"+n.ID, "")
	})
	if err != nil {
		return n, fault.Wrap(op, err)
	}
	return s.Node(ctx, actor, n.ID)
}

func (s *Service) manage(ctx context.Context, op string, actor access.Actor, node string) (Node, error) {
	if err := access.May(actor, access.HubManage, access.Thing{}); err != nil {
		return Node{}, fault.Wrap(op, err)
	}
	n, err := s.Node(ctx, actor, node)
	return n, fault.Wrap(op, err)
}
