package hub

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"reflect"
	"time"

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

// meet reads how the node is and what it publishes; false when it could not. What has
// not changed is written down once a minute, so that many looks cost little.
func (w *worker) meet(ctx context.Context) bool {
	var f facts
	var c *task.Catalogue
	body, err := w.get(ctx, task.PathPing, wire.MaxMessage)
	if err == nil {
		var p task.Ping
		if p, err = task.DecodePing(body); err == nil {
			f = factsOf(p)
			c, err = w.published(ctx)
		}
	}
	if ctx.Err() != nil {
		return false
	}
	if err != nil {
		f.Trouble, f.Paused = trouble(err), f.Paused || errors.Is(err, wire.For(wire.CodePaused))
		w.tag = ""
	}
	now := w.s.Now()
	if c == nil && reflect.DeepEqual(f, w.met) && now.Sub(w.kept) < time.Minute {
		return err == nil
	}
	werr := w.s.DB.Update(ctx, func(tx *store.Tx) error { return w.s.putFacts(tx, w.node, f, c, err == nil) })
	if werr != nil {
		w.tag = ""
		w.s.Logger.Error("a node's pages were not kept", "node", w.node, "error", werr)
		return false
	}
	w.met, w.kept = f, now
	return err == nil
}

// published reads the catalogue; nil when it is the one that was read last.
func (w *worker) published(ctx context.Context) (*task.Catalogue, error) {
	ctx, cancel := context.WithTimeout(ctx, w.s.Pace.Call)
	defer cancel()
	resp, err := w.open(ctx, task.PathCatalogue, w.tag)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	if resp.StatusCode == http.StatusNotModified {
		return nil, nil
	}
	body, err := readAll(resp.Body, task.MaxCatalogue)
	if err != nil {
		return nil, err
	}
	c, err := task.DecodeCatalogue(body)
	if w.tag = resp.Header.Get("ETag"); len(w.tag) > maxTag {
		w.tag = ""
	}
	return &c, err
}

const maxTag = 100 // bytes of an entity tag that is given back to its node

// putFacts keeps what a node said; c is nil when its catalogue is still the same.
func (s *Service) putFacts(tx *store.Tx, node string, f facts, c *task.Catalogue, read bool) error {
	text, err := json.Marshal(f)
	if err != nil {
		return err
	}
	now := store.Millis(tx.Now())
	if _, err := tx.Exec(`UPDATE hub_node SET facts = ?, seen_at = ? WHERE id = ?`, string(text), now, node); err != nil {
		return err
	}
	if read {
		if _, err := tx.Exec(`UPDATE hub_node SET catalogue_at = ? WHERE id = ?`, now, node); err != nil {
			return err
		}
	}
	if read && c != nil {
		text, err := json.Marshal(tidy(*c))
		if err != nil {
			return err
		}
		if _, err := tx.Exec(`UPDATE hub_node SET catalogue = ? WHERE id = ?`, string(text), node); err != nil {
			return err
		}
	}
	s.tellNodes(tx)
	return nil
}
