package link

import (
	"context"
	"encoding/json"

	"tresor/app/access"
	"tresor/app/audit"
	"tresor/app/fault"
	"tresor/app/store"
	"tresor/fed/trust"
	"tresor/fed/wire"
)

// peers keeps hubs and codes in the database; a trust.Store. Each change comes with
// its event. Who did it stands in the context; what a hub itself brings, such as
// its next key, is the appliance's own doing.
type peers struct{ s *Service }

var _ trust.Store = peers{}

type actorKey struct{}

func by(ctx context.Context, actor access.Actor) context.Context {
	return context.WithValue(ctx, actorKey{}, actor)
}

func actorOf(ctx context.Context) access.Actor {
	if a, ok := ctx.Value(actorKey{}).(access.Actor); ok {
		return a
	}
	return access.System
}

// Subject is how the audit log names a hub.
func Subject(peer wire.KeyID) string { return "hub:" + string(peer) }

func (p peers) note(tx *store.Tx, verb, subject string, kv ...string) error {
	_, err := p.s.Log.Append(tx, audit.By(actorOf(tx.Context()), verb, subject, "", kv...))
	return err
}

// Peers implements trust.Store.
func (p peers) Peers(ctx context.Context) (out []trust.Peer, err error) {
	err = p.s.DB.View(ctx, func(tx *store.Tx) error {
		rows, err := tx.Query(`SELECT peer FROM link_peer ORDER BY id`)
		if err != nil {
			return err
		}
		defer rows.Close()
		for rows.Next() {
			var text string
			if err := rows.Scan(&text); err != nil {
				return err
			}
			one, err := parse(text)
			if err != nil {
				return err
			}
			out = append(out, one)
		}
		return rows.Err()
	})
	return out, err
}

func parse(text string) (p trust.Peer, err error) {
	if err := json.Unmarshal([]byte(text), &p); err != nil {
		return p, fault.Kinded("link.peers", fault.Internal, err, "A hub's record cannot be read.")
	}
	return p, nil
}

// PutPeer implements trust.Store.
func (p peers) PutPeer(ctx context.Context, peer trust.Peer) error {
	return p.s.DB.Update(ctx, func(tx *store.Tx) error {
		old, err := readPeer(tx, peer.ID)
		if err != nil {
			return err
		}
		if err := writePeer(tx, peer); err != nil {
			return err
		}
		switch {
		case old.Revoked.IsZero() && !peer.Revoked.IsZero():
			return p.note(tx, "hub.revoked", Subject(peer.ID))
		case len(old.Pins) < len(peer.Pins):
			return p.note(tx, "hub.rekeyed", Subject(peer.ID), "key", string(peer.Current().ID()))
		}
		return p.note(tx, "hub.changed", Subject(peer.ID))
	})
}

// Redeem implements trust.Store: the hub, the used code and the place for a
// principal are there together.
func (p peers) Redeem(ctx context.Context, c trust.Code, peer trust.Peer) error {
	return p.s.DB.Update(ctx, func(tx *store.Tx) error {
		if err := p.writeCode(tx, c); err != nil {
			return err
		}
		if err := writePeer(tx, peer); err != nil {
			return err
		}
		name := c.Name
		if name == "" {
			name = peer.Name
		}
		words := trust.PairWords(p.s.keys.public(), peer.Current())
		_, err := tx.Exec(`INSERT INTO link_hub (peer, name, node, words, enrolled_by, enrolled_at) VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT (peer) DO NOTHING`,
			string(peer.ID), name, p.s.Name, words, actorOf(tx.Context()).ID, store.Millis(tx.Now()))
		if err != nil {
			return err
		}
		return p.note(tx, "hub.enrolled", Subject(peer.ID), "key", string(peer.Current().ID()))
	})
}

func readPeer(tx *store.Tx, id wire.KeyID) (trust.Peer, error) {
	var text string
	err := tx.QueryRow(`SELECT peer FROM link_peer WHERE id = ?`, string(id)).Scan(&text)
	if store.NotFound(err) {
		return trust.Peer{}, nil
	}
	if err != nil {
		return trust.Peer{}, err
	}
	return parse(text)
}

func writePeer(tx *store.Tx, peer trust.Peer) error {
	text, err := json.Marshal(peer)
	if err != nil {
		return err
	}
	_, err = tx.Exec(`INSERT INTO link_peer (id, peer, changed_at) VALUES (?, ?, ?) ON CONFLICT (id) DO UPDATE SET peer = excluded.peer, changed_at = excluded.changed_at`,
		string(peer.ID), string(text), store.Millis(tx.Now()))
	return err
}
