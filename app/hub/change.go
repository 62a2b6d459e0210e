package hub

import (
	"context"

	"tresor/app/access"
	"tresor/app/store"
	"tresor/fed/trust"
	"tresor/fed/wire"
	"tresor/plugins/builtin/tes/model"
)

// refuse ends a part for good.
func (w *worker) refuse(ctx context.Context, p part, code, text, correlation string) error {
	return w.change(ctx, p, func(tx *store.Tx, now *part) error {
		now.state, now.tes, now.code, now.text, now.correlation, now.trouble = denied, model.SystemError, code, text, correlation, ""
		return w.s.note(tx, access.System, "part.refused", "task:"+p.task, "", "node", p.node, "code", code)
	})
}

// change applies do to the part as it is now. A part that has ended stays.
func (w *worker) change(ctx context.Context, p part, do func(*store.Tx, *part) error) error {
	return w.s.DB.Update(ctx, func(tx *store.Tx) error {
		all, err := parts(tx, `WHERE p.task = ? AND p.node = ?`, p.task, p.node)
		if err != nil || len(all) != 1 || all[0].over() {
			return err
		}
		if err := do(tx, &all[0]); err != nil {
			return err
		}
		return w.s.put(tx, all[0])
	})
}

func (p part) over() bool { return p.state == ended || p.state == denied || p.state == cancelled }

// endGone ends what was sent to nodes that are gone: a task that was being made may
// have come after the revocation.
func (s *Service) endGone(ctx context.Context) error {
	var nodes []string
	err := s.DB.View(ctx, func(tx *store.Tx) (err error) {
		nodes, err = texts(tx, `SELECT DISTINCT p.node FROM hub_part p WHERE `+goesOn)
		return err
	})
	for _, n := range nodes {
		if p, ok := s.book.Peer(wire.KeyID(n)); err == nil && ok && p.Gone() {
			err = s.DB.Update(ctx, func(tx *store.Tx) error { return s.endPartsOf(tx, p) })
		}
	}
	return err
}

// endPartsOf ends everything at a node that was revoked, or has revoked this hub.
func (s *Service) endPartsOf(tx *store.Tx, peer trust.Peer) error {
	why := "The node has revoked this hub"
	if !peer.Revoked.IsZero() {
		why = "The node was revoked at the hub"
	}
	all, err := parts(tx, `WHERE p.node = ? AND `+goesOn, string(peer.ID))
	if err != nil {
		return err
	}
	for _, p := range all {
		was := p.state
		p.state, p.tes, p.code, p.trouble = denied, model.SystemError, string(wire.CodeRevoked), ""
		p.text = why + " before its task had ended."
		if was == waiting {
			p.text = why + " before the task was sent."
		}
		if err := s.note(tx, access.System, "part.refused", "task:"+p.task, "", "node", p.node, "code", p.code); err != nil {
			return err
		}
		if err := s.put(tx, p); err != nil {
			return err
		}
	}
	return nil
}
