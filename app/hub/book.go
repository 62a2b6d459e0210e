package hub

import (
	"context"
	"encoding/json"
	"errors"

	"tresor/app/access"
	"tresor/app/audit"
	"tresor/app/store"
	"tresor/fed/trust"
	"tresor/fed/wire"
)

// bookStore keeps what the hub believes of nodes, and the sequences of its orders,
// in the database. It implements trust.Store and the hub's Sequences. Each change
// comes with its event and its consequences in one step. Who makes it, and what they
// call it, stands in the context; what a node itself brings is the hub's own doing.
type bookStore struct{ s *Service }

// deed is who changes the book, and the verb of a new code's event.
type deed struct {
	actor access.Actor
	verb  string
}

type deedKey struct{}

func by(ctx context.Context, actor access.Actor, verb string) context.Context {
	return context.WithValue(ctx, deedKey{}, deed{actor, verb})
}

func deedOf(ctx context.Context) deed {
	if d, ok := ctx.Value(deedKey{}).(deed); ok {
		return d
	}
	return deed{access.System, "code.changed"}
}

// Peers lists all nodes, revoked ones too.
func (b bookStore) Peers(ctx context.Context) (all []trust.Peer, err error) {
	err = b.s.DB.View(ctx, func(tx *store.Tx) error {
		all, err = listJSON[trust.Peer](tx, `SELECT peer FROM hub_node ORDER BY id`)
		return err
	})
	return all, err
}

// PutPeer replaces a node. The open parts of one that was revoked, or has revoked this
// hub, end with it.
func (b bookStore) PutPeer(ctx context.Context, p trust.Peer) error {
	return b.s.DB.Update(ctx, func(tx *store.Tx) error {
		was, err := listJSON[trust.Peer](tx, `SELECT peer FROM hub_node WHERE id = ?`, string(p.ID))
		if err != nil {
			return err
		}
		if err := putPeer(tx, p); err != nil {
			return err
		}
		b.s.tellNodes(tx)
		actor, subject := deedOf(ctx).actor, nodeSubject(p.ID)
		switch {
		case len(was) != 1:
			return nil
		case !p.Revoked.IsZero() && was[0].Revoked.IsZero():
			return errors.Join(b.s.because(tx, p.Reason, audit.By(actor, "node.revoked", subject, "")), b.s.endPartsOf(tx, p))
		case !p.Left.IsZero() && was[0].Left.IsZero():
			return errors.Join(b.s.note(tx, actor, "node.left", subject, ""), b.s.endPartsOf(tx, p))
		case len(p.Pins) > len(was[0].Pins):
			return b.s.note(tx, actor, "node.rekeyed", subject, "", "key", string(p.Current().ID()))
		}
		return nil
	})
}

// Codes lists the enrolment codes that were not swept.
func (b bookStore) Codes(ctx context.Context) (all []trust.Code, err error) {
	err = b.s.DB.View(ctx, func(tx *store.Tx) error {
		all, err = listJSON[trust.Code](tx, `SELECT code FROM hub_code ORDER BY id`)
		return err
	})
	return all, err
}

// PutCode inserts or replaces a code.
func (b bookStore) PutCode(ctx context.Context, c trust.Code) error {
	return b.s.DB.Update(ctx, func(tx *store.Tx) error {
		if err := putCode(tx, c); err != nil {
			return err
		}
		d := deedOf(ctx)
		return b.s.note(tx, d.actor, d.verb, "code:"+c.ID, "")
	})
}

// Redeem uses a code up and pins a node.
func (b bookStore) Redeem(ctx context.Context, c trust.Code, p trust.Peer) error {
	return b.s.DB.Update(ctx, func(tx *store.Tx) error {
		if err := putCode(tx, c); err != nil {
			return err
		}
		if err := putPeer(tx, p); err != nil {
			return err
		}
		b.s.tellNodes(tx)
		return b.s.note(tx, access.System, "node.enrolled", nodeSubject(p.ID), "", "key", string(p.Current().ID()))
	})
}

// Next gives the next sequence for a node; it is durable before it is returned.
func (b bookStore) Next(ctx context.Context, node wire.KeyID) (seq uint64, err error) {
	err = b.s.DB.Update(ctx, func(tx *store.Tx) error {
		return tx.QueryRow(`INSERT INTO hub_sequence (node, last) VALUES (?, 1) ON CONFLICT (node) DO UPDATE SET last = last + 1 RETURNING last`,
			string(node)).Scan(&seq)
	})
	return seq, err
}

func putPeer(tx *store.Tx, p trust.Peer) error {
	b, err := json.Marshal(p)
	if err != nil {
		return err
	}
	_, err = tx.Exec(`INSERT INTO hub_node (id, name, peer) VALUES (?, ?, ?) ON CONFLICT (id) DO UPDATE SET name = excluded.name, peer = excluded.peer`,
		string(p.ID), p.Name, string(b))
	return err
}

func putCode(tx *store.Tx, c trust.Code) error {
	b, err := json.Marshal(c)
	if err != nil {
		return err
	}
	_, err = tx.Exec(`INSERT INTO hub_code (id, code, expires) VALUES (?, ?, ?) ON CONFLICT (id) DO UPDATE SET code = excluded.code`,
		c.ID, string(b), store.Millis(c.Expires))
	return err
}

// listJSON reads one column of JSON.
func listJSON[T any](tx *store.Tx, query string, args ...any) ([]T, error) {
	rows, err := tx.Query(query, args...)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var all []T
	for rows.Next() {
		var text string
		var one T
		if err := rows.Scan(&text); err != nil {
			return nil, err
		}
		if err := json.Unmarshal([]byte(text), &one); err != nil {
			return nil, err
		}
		all = append(all, one)
	}
	return all, rows.Err()
}
