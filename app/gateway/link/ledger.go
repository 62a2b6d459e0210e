package link

import (
	"context"
	"database/sql"
	"math"
	"time"

	"tresor/app/store"
	"tresor/fed/node"
	"tresor/fed/wire"
)

// ledger keeps claimed envelopes in the database; a node.Ledger.
type ledger struct{ db *store.DB }

var _ node.Ledger = ledger{}

// Mark implements node.Ledger.
func (l ledger) Mark(ctx context.Context, hub wire.KeyID) (m node.Mark, err error) {
	err = l.db.View(ctx, func(tx *store.Tx) error {
		var floor, highest int64
		err := tx.QueryRow(`SELECT floor, highest FROM link_mark WHERE hub = ?`, string(hub)).Scan(&floor, &highest)
		if store.NotFound(err) {
			return nil
		}
		m = node.Mark{Floor: uint64(floor), Highest: uint64(highest)}
		return err
	})
	return m, err
}

// Claim implements node.Ledger.
func (l ledger) Claim(ctx context.Context, e node.Entry) (prior *node.Entry, err error) {
	if e.Seq > math.MaxInt64 {
		return nil, wire.Refuse(wire.CodeMalformed, "the sequence %d is over the largest that a node counts", e.Seq)
	}
	err = l.db.Update(ctx, func(tx *store.Tx) error {
		prior, err = readEntry(tx, e)
		if err != nil || prior != nil {
			return err
		}
		if _, err := tx.Exec(`INSERT INTO link_envelope (hub, id, seq, digest, kind, claimed_at, expires_at) VALUES (?, ?, ?, ?, ?, ?, ?)`,
			string(e.Hub), e.ID, int64(e.Seq), e.Digest[:], e.Kind, store.Millis(e.Claimed), store.Millis(e.Expires)); err != nil {
			return err
		}
		_, err = tx.Exec(`INSERT INTO link_mark (hub, highest) VALUES (?, ?) ON CONFLICT (hub) DO UPDATE SET highest = max(highest, excluded.highest)`,
			string(e.Hub), int64(e.Seq))
		return err
	})
	if err != nil {
		return nil, err
	}
	return prior, nil
}

func readEntry(tx *store.Tx, e node.Entry) (*node.Entry, error) {
	p := &node.Entry{Hub: e.Hub}
	var seq, claimed, expires int64
	var done sql.NullInt64
	var digest []byte
	var code string
	// With its id first: an envelope that comes again is that, whatever its sequence.
	err := tx.QueryRow(`SELECT id, seq, digest, kind, claimed_at, expires_at, done_at, code, text, result FROM link_envelope
		WHERE hub = ?1 AND (id = ?2 OR seq = ?3) ORDER BY id <> ?2 LIMIT 1`, string(e.Hub), e.ID, int64(e.Seq)).
		Scan(&p.ID, &seq, &digest, &p.Kind, &claimed, &expires, &done, &code, &p.Text, &p.Result)
	if store.NotFound(err) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	p.Seq, p.Claimed, p.Expires, p.Code = uint64(seq), store.Time(claimed), store.Time(expires), wire.Code(code)
	copy(p.Digest[:], digest)
	if done.Valid {
		p.Done = store.Time(done.Int64)
	}
	return p, nil
}

// Finish implements node.Ledger.
func (l ledger) Finish(ctx context.Context, e node.Entry) error {
	if e.Result == nil {
		e.Result = []byte{}
	}
	return l.db.Update(ctx, func(tx *store.Tx) error {
		_, err := tx.Exec(`UPDATE link_envelope SET done_at = ?, code = ?, text = ?, result = ? WHERE hub = ? AND id = ?`,
			store.Millis(e.Done), string(e.Code), e.Text, e.Result, string(e.Hub), e.ID)
		return err
	})
}

// Kept implements node.Ledger.
func (l ledger) Kept(ctx context.Context, hub wire.KeyID) (kept int64, err error) {
	err = l.db.View(ctx, func(tx *store.Tx) error {
		return tx.QueryRow(`SELECT count(*) * ? + coalesce(sum(length(text) + length(result)), 0) FROM link_envelope WHERE hub = ?`, node.EntrySize, string(hub)).Scan(&kept)
	})
	return kept, err
}

// Sweep implements node.Ledger. The floor is raised with what is dropped.
func (l ledger) Sweep(ctx context.Context, t time.Time) error {
	return l.db.Update(ctx, func(tx *store.Tx) error {
		if _, err := tx.Exec(`UPDATE link_mark SET floor = max(floor, (SELECT coalesce(max(seq), 0) FROM link_envelope e WHERE e.hub = link_mark.hub AND e.expires_at < ?))`,
			store.Millis(t)); err != nil {
			return err
		}
		_, err := tx.Exec(`DELETE FROM link_envelope WHERE expires_at < ?`, store.Millis(t))
		return err
	})
}
