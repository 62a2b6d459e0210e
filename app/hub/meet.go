package hub

import (
	"context"
	"encoding/json"
	"errors"

	"tresor/app/store"
	"tresor/fed/task"
	"tresor/fed/wire"
)

// touch notes when a link began or ended.
func (w *worker) touch(ctx context.Context, at int64) {
	err := w.s.DB.Update(ctx, func(tx *store.Tx) error {
		_, err := tx.Exec(`UPDATE hub_node SET seen_at = ? WHERE id = ?`, at, w.node)
		if w.s.Live != nil {
			w.s.tellNodes(tx)
		}
		return err
	})
	if err != nil && ctx.Err() == nil {
		w.s.Logger.Error("the last contact was not noted", "node", w.node, "error", err)
	}
}

// meet reads how the node is and what it publishes.
func (w *worker) meet(ctx context.Context) {
	var f facts
	body, err := w.get(ctx, task.PathPing, wire.MaxMessage)
	if err == nil {
		var p task.Ping
		if p, err = task.DecodePing(body); err == nil {
			f = factsOf(p)
		}
	}
	var c task.Catalogue
	if err == nil {
		if body, err = w.get(ctx, task.PathCatalogue, task.MaxCatalogue); err == nil {
			c, err = task.DecodeCatalogue(body)
		}
	}
	if ctx.Err() != nil {
		return
	}
	if err != nil {
		f.Trouble, f.Paused = trouble(err), f.Paused || errors.Is(err, wire.For(wire.CodePaused))
	}
	werr := w.s.DB.Update(ctx, func(tx *store.Tx) error { return w.s.putFacts(tx, w.node, f, c, err == nil) })
	if werr != nil {
		w.s.Logger.Error("a node's pages were not kept", "node", w.node, "error", werr)
	}
}

func (s *Service) putFacts(tx *store.Tx, node string, f facts, c task.Catalogue, published bool) error {
	text, err := json.Marshal(f)
	if err != nil {
		return err
	}
	now := store.Millis(tx.Now())
	if _, err := tx.Exec(`UPDATE hub_node SET facts = ?, seen_at = ? WHERE id = ?`, string(text), now, node); err != nil {
		return err
	}
	if published {
		text, err := json.Marshal(tidy(c))
		if err != nil {
			return err
		}
		if _, err := tx.Exec(`UPDATE hub_node SET catalogue = ?, catalogue_at = ? WHERE id = ?`, string(text), now, node); err != nil {
			return err
		}
	}
	s.tellNodes(tx)
	return nil
}
