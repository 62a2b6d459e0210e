package hub

import (
	"context"
	"encoding/hex"

	"tresor/app/fault"
	"tresor/app/store"
	"tresor/fed/wire"
)

// large is the body of an order that does not lie in its envelope. Parts that get
// the same bytes share them.
type large struct {
	sum  string
	body []byte
}

func largeOf(e *wire.Envelope) *large {
	if !e.Large() {
		return nil
	}
	return &large{sum: hex.EncodeToString(e.Sum[:]), body: e.Content()}
}

// keepBodies stores the bodies of new parts, each once, as long as all that wait for
// their nodes take no more of the database than they may.
func (s *Service) keepBodies(tx *store.Tx, rows []newPart) error {
	const op = "hub.keepBodies"
	done := map[string]bool{}
	var had int64
	for _, r := range rows {
		if r.body == nil || done[r.body.sum] {
			continue
		}
		if len(done) == 0 {
			if err := tx.QueryRow(`SELECT coalesce(sum(length(body)), 0) FROM hub_body`).Scan(&had); err != nil {
				return err
			}
		}
		done[r.body.sum] = true
		if had += int64(len(r.body.body)); had > s.Pace.MaxBodies {
			return fault.WithNext(fault.New(op, fault.Exhausted, "Large tasks that wait for their nodes take all the room that this hub has for them."), "Wait until some have been sent, or put large inputs into a dataset of the nodes.")
		}
		if _, err := tx.Exec(`INSERT INTO hub_body (sum, body) VALUES (?, ?) ON CONFLICT (sum) DO NOTHING`, r.body.sum, r.body.body); err != nil {
			return err
		}
	}
	return nil
}

func (p newPart) sum() string {
	if p.body == nil {
		return ""
	}
	return p.body.sum
}

// dropBody forgets a body that no part has to be sent any more.
func dropBody(tx *store.Tx, p part) error {
	if p.body == "" || p.state == waiting || p.state == offered {
		return nil
	}
	_, err := tx.Exec(`DELETE FROM hub_body WHERE sum = ?1 AND NOT EXISTS
		(SELECT 1 FROM hub_part WHERE body = ?1 AND body <> '' AND state IN ('waiting', 'offered'))`, p.body)
	return err
}

// load reads the signed order of a part, whole. An order that is damaged here is
// refused with CodeMalformed.
func (s *Service) load(ctx context.Context, p part) (*wire.Envelope, error) {
	text, _, err := s.orderOf(ctx, p)
	if err != nil {
		return nil, err
	}
	e, err := wire.DecodeEnvelope([]byte(text))
	if err != nil || !e.Large() {
		return e, err
	}
	var body []byte
	err = s.DB.View(ctx, func(tx *store.Tx) error {
		return tx.QueryRow(`SELECT body FROM hub_body WHERE sum = ?`, p.body).Scan(&body)
	})
	if err != nil && !store.NotFound(err) {
		return nil, err
	}
	if e.Attach(body) != nil {
		return nil, wire.Refuse(wire.CodeMalformed, "the order is damaged in the hub's database")
	}
	return e, nil
}
