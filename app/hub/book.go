package hub

import (
	"context"
	"encoding/json"

	"tresor/app/store"
	"tresor/fed/trust"
	"tresor/fed/wire"
)

// bookStore keeps what the hub believes of nodes, and the sequences of its orders,
// in the database. It implements trust.Store and the hub's Sequences.
type bookStore struct{ s *Service }

// Peers lists all nodes, revoked ones too.
func (b bookStore) Peers(ctx context.Context) (all []trust.Peer, err error) {
	err = b.s.DB.View(ctx, func(tx *store.Tx) error {
		all, err = listJSON[trust.Peer](tx, `SELECT peer FROM hub_node ORDER BY id`)
		return err
	})
	return all, err
}

// PutPeer inserts or replaces a node.
func (b bookStore) PutPeer(ctx context.Context, p trust.Peer) error {
	return b.s.DB.Update(ctx, func(tx *store.Tx) error { return putPeer(tx, p) })
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
	return b.s.DB.Update(ctx, func(tx *store.Tx) error { return putCode(tx, c) })
}

// Redeem uses a code up and pins a node in one step, with its audit event.
func (b bookStore) Redeem(ctx context.Context, c trust.Code, p trust.Peer) error {
	return b.s.DB.Update(ctx, func(tx *store.Tx) error {
		if err := putCode(tx, c); err != nil {
			return err
		}
		if err := putPeer(tx, p); err != nil {
			return err
		}
		return b.s.note(tx, system, "node.enrolled", nodeSubject(p.ID), "", "key", string(p.Current().ID()))
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
