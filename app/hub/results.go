package hub

import (
	"context"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"time"

	"tresor/app/access"
	"tresor/app/store"
	"tresor/fed/link"
	"tresor/fed/wire"
	"tresor/plugins/builtin/tes/model"
)

const maxTries = 20 // of a result whose transfer breaks or that the node withholds

// results is the loop that fetches what a node has released.
func (w *worker) results() func(context.Context) time.Duration {
	back := link.Backoff{Min: 200 * time.Millisecond, Max: w.s.Pace.Retry}
	return func(ctx context.Context) time.Duration {
		if !w.ready(ctx) {
			return idle
		}
		more, err := w.fetchAll(ctx)
		if err != nil && ctx.Err() == nil {
			w.s.Logger.Warn("a result was not fetched", "node", w.node, "error", err)
		}
		if more {
			return back.Next()
		}
		back.Reset()
		return idle
	}
}

// wantedResult is a release that is to be fetched.
type wantedResult struct {
	task, release string
	tries         int
}

// fetchAll tries every wanted result once; more says that some are still wanted.
func (w *worker) fetchAll(ctx context.Context) (more bool, err error) {
	var all []wantedResult
	err = w.s.DB.View(ctx, func(tx *store.Tx) error {
		rows, err := tx.Query(`SELECT r.task, r.release, r.tries FROM hub_result r JOIN hub_part p ON p.task = r.task AND p.node = r.node
			WHERE r.node = ? AND r.state = 'wanted' AND p.state = 'accepted' ORDER BY r.task LIMIT 100`, w.node)
		if err != nil {
			return err
		}
		defer rows.Close()
		for rows.Next() {
			var x wantedResult
			if err := rows.Scan(&x.task, &x.release, &x.tries); err != nil {
				return err
			}
			all = append(all, x)
		}
		return rows.Err()
	})
	for _, x := range all {
		if ctx.Err() != nil {
			return true, nil
		}
		left, ferr := w.fetch(ctx, x)
		more, err = more || left, errors.Join(err, ferr)
	}
	return more || err != nil || len(all) == 100, err
}

// fetch gets one zip, checks it and keeps it; left says that it is to be tried again.
func (w *worker) fetch(ctx context.Context, x wantedResult) (left bool, err error) {
	got, err := w.download(ctx, x)
	if ctx.Err() != nil {
		return true, nil
	}
	final := isBad(err)
	if err == nil {
		err = w.keepResult(ctx, x, got)
		return err != nil, err
	}
	counts := !errors.Is(err, wire.For(wire.CodeOffline)) && !isLocal(err) // else it is not the node's
	final = final || counts && x.tries+1 >= maxTries
	werr := w.noResult(ctx, x, trouble(err), counts, final)
	return !final || werr != nil, werr
}

// keepResult puts the zip under its name and then ends the part, in that order: a
// crash in between fetches it again. The zip of a part that ended meanwhile goes.
func (w *worker) keepResult(ctx context.Context, x wantedResult, g got) error {
	to := w.s.resultFile(x.task, w.node)
	err := os.MkdirAll(filepath.Dir(to), 0o700)
	if err == nil {
		err = os.Rename(g.file, to)
	}
	if err == nil {
		err = errors.Join(syncFolder(filepath.Dir(to)), syncFolder(w.s.Results))
	}
	if err != nil {
		os.Remove(g.file)
		return err
	}
	files, err := json.Marshal(g.facts.Files)
	if err != nil {
		return err
	}
	kept := false
	err = w.change(ctx, part{task: x.task, node: w.node}, func(tx *store.Tx, now *part) error {
		kept = true
		_, err := tx.Exec(`UPDATE hub_result SET state = 'stored', sha256 = ?, size = ?, files = ?, signer = ?, tries = tries + 1, trouble = '', stored_at = ?
			WHERE task = ? AND node = ?`, g.sha256, g.size, string(files), clip(g.facts.Root, 100), store.Millis(tx.Now()), x.task, w.node)
		if err != nil {
			return err
		}
		now.state, now.tes, now.trouble = ended, model.Complete, ""
		return w.s.note(tx, access.System, "result.stored", "task:"+x.task, "", "node", w.node, "sha256", g.sha256, "release", x.release)
	})
	if err == nil && !kept {
		err = os.Remove(to)
	}
	return err
}

// noResult notes a failed try; the last one ends the part.
func (w *worker) noResult(ctx context.Context, x wantedResult, why string, counts, final bool) error {
	return w.change(ctx, part{task: x.task, node: w.node}, func(tx *store.Tx, now *part) error {
		state := "wanted"
		if final {
			state = "refused"
		}
		_, err := tx.Exec(`UPDATE hub_result SET state = ?, tries = tries + ?, trouble = ? WHERE task = ? AND node = ?`, state, counts, why, x.task, w.node)
		if err != nil || !final {
			now.trouble = "The released result is not here yet: " + why
			return err
		}
		now.state, now.tes, now.trouble = ended, model.SystemError, ""
		now.code, now.text = "result", why
		return w.s.note(tx, access.System, "result.refused", "task:"+x.task, "", "node", w.node, "release", x.release)
	})
}

// sweepResults removes what a crash left half fetched.
func (s *Service) sweepResults() {
	left, _ := filepath.Glob(filepath.Join(s.Results, ".in-*")) // the pattern is sound
	for _, f := range left {
		if err := os.Remove(f); err != nil {
			s.Logger.Warn("a half fetched result stays", "file", f, "error", err)
		}
	}
}
