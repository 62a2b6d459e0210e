package hub

import (
	"context"

	"tresor/app/access"
	"tresor/app/audit"
	"tresor/app/fault"
	"tresor/app/store"
	"tresor/fed/trust"
	"tresor/fed/wire"
)

// NewCode makes an enrolment code that is typed at the node. name is what to call
// the node; empty: what it calls itself.
func (s *Service) NewCode(ctx context.Context, actor access.Actor, name string) (Code, error) {
	const op = "hub.NewCode"
	c, err := s.code(ctx, op, actor, "code.made", func(ctx context.Context) (trust.Code, error) { return s.book.NewCode(ctx, "", name) })
	if err != nil {
		return Code{}, err
	}
	return Code{Code: c.Text(), ExpiresAt: c.Expires, Address: s.URL()}, nil
}

// TypeCode takes a code that the node's operator made. The node then has a day to
// bring it.
func (s *Service) TypeCode(ctx context.Context, actor access.Actor, code, name string) (Code, error) {
	const op = "hub.TypeCode"
	c, err := s.code(ctx, op, actor, "code.typed", func(ctx context.Context) (trust.Code, error) { return s.book.TypeCode(ctx, code, "", name) })
	if err != nil {
		return Code{}, err
	}
	return Code{ExpiresAt: c.Expires, Address: s.URL()}, nil
}

func (s *Service) code(ctx context.Context, op string, actor access.Actor, verb string, make func(context.Context) (trust.Code, error)) (trust.Code, error) {
	if err := access.May(actor, access.HubManage, access.Thing{}); err != nil {
		return trust.Code{}, fault.Wrap(op, err)
	}
	c, err := make(by(ctx, actor, verb))
	if err != nil {
		return trust.Code{}, refused(op, err)
	}
	return c, nil
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
		return n, fault.WithNext(fault.New(op, fault.Conflict, "The node %s was revoked, or has revoked this hub.", n.Name), "Enrol it again with a new code.")
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
	if reason, err = audit.Reason(op, reason); err != nil {
		return n, err
	}
	if err := s.book.Revoke(by(ctx, actor, ""), wire.KeyID(n.ID), reason); err != nil {
		return n, refused(op, err)
	}
	s.fed().Drop(wire.KeyID(n.ID))
	return s.Node(ctx, actor, n.ID)
}

func (s *Service) manage(ctx context.Context, op string, actor access.Actor, node string) (Node, error) {
	if err := access.May(actor, access.HubManage, access.Thing{}); err != nil {
		return Node{}, fault.Wrap(op, err)
	}
	n, err := s.Node(ctx, actor, node)
	return n, fault.Wrap(op, err)
}
