package hub

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"time"

	"tresor/app/access"
	"tresor/app/fault"
	"tresor/app/release"
	"tresor/app/store"
	"tresor/fed/link"
	"tresor/fed/task"
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
		rows, err := tx.Query(`SELECT task, release, tries FROM hub_result WHERE node = ? AND state = 'wanted' ORDER BY task LIMIT 100`, w.node)
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
	return more || len(all) == 100, err
}

// fetch gets one zip, checks it and keeps it; left says that it is to be tried again.
func (w *worker) fetch(ctx context.Context, x wantedResult) (left bool, err error) {
	got, err := w.download(ctx, x)
	if ctx.Err() != nil {
		return true, nil
	}
	final := isBad(err)
	if err == nil {
		return false, w.keepResult(ctx, x, got)
	}
	counts := !errors.Is(err, wire.For(wire.CodeOffline)) // nothing was asked
	final = final || counts && x.tries+1 >= maxTries
	return !final, w.noResult(ctx, x, trouble(err), counts, final)
}

// badResult is a zip that will not get better.
type badResult struct{ why string }

func (e *badResult) Error() string { return e.why }

func isBad(err error) bool {
	var bad *badResult
	return errors.As(err, &bad)
}

// got is a zip in a file of its own, not yet under its name.
type got struct {
	file   string
	sha256 string
	size   int64
	facts  Verified
}

// Verified is what a check of a released zip found.
type Verified struct {
	Release string
	Root    string // of the audit log that it proves against
	Files   []File
}

// verifyRelease checks the zip as anybody can who holds it. The signature of the
// node's log is left aside: its key is not known here.
func verifyRelease(r io.ReaderAt, size int64) (Verified, error) {
	rep, err := release.Verify(r, size, "")
	if err != nil {
		return Verified{}, err
	}
	v := Verified{Release: rep.Release, Root: rep.LogRoot}
	for _, f := range rep.Files {
		v.Files = append(v.Files, File{Path: f.Path, Size: f.Size, SHA256: f.SHA256})
	}
	return v, nil
}

func (w *worker) download(ctx context.Context, x wantedResult) (g got, err error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	guard := newSlowGuard(w.s.Pace.Call, cancel)
	defer guard.end()
	resp, err := w.open(ctx, task.PluginPath("tes")+"/releases/"+x.release)
	if err != nil {
		return g, guard.or(err)
	}
	defer resp.Body.Close()
	guard.r = resp.Body
	f, err := os.CreateTemp(w.s.Results, ".in-*")
	if err != nil {
		return g, err
	}
	defer func() {
		f.Close()
		if err != nil {
			os.Remove(f.Name())
		}
	}()
	sum := sha256.New()
	g.size, err = io.Copy(io.MultiWriter(f, sum), io.LimitReader(guard, w.s.Pace.MaxResult+1))
	switch {
	case g.size > w.s.Pace.MaxResult:
		return g, &badResult{"The node's result is larger than this hub takes."}
	case err != nil:
		return g, err
	case resp.ContentLength >= 0 && resp.ContentLength != g.size:
		return g, io.ErrUnexpectedEOF
	}
	if g.facts, err = w.s.verify(f, g.size); err != nil {
		return g, &badResult{"What the node sent is not a released zip: " + clip(fault.Message(err), maxMessage)}
	}
	if g.facts.Release != x.release {
		return g, &badResult{"The node sent another release than the one that was asked for."}
	}
	g.file, g.sha256 = f.Name(), hex.EncodeToString(sum.Sum(nil))
	return g, f.Sync()
}

// slowGuard ends a transfer of which nothing comes for a while, from the question on.
type slowGuard struct {
	r     io.Reader
	each  time.Duration
	t     *time.Timer
	ended atomic.Bool
}

func newSlowGuard(each time.Duration, stop func()) *slowGuard {
	s := &slowGuard{each: each}
	s.t = time.AfterFunc(each, func() { s.ended.Store(true); stop() })
	return s
}

// Read never takes the end that it made itself for the end of the zip.
func (s *slowGuard) Read(p []byte) (int, error) {
	s.t.Reset(s.each)
	n, err := s.r.Read(p)
	if s.ended.Load() {
		return 0, context.DeadlineExceeded
	}
	return n, err
}

// or gives the reason for err.
func (s *slowGuard) or(err error) error {
	if s.ended.Load() {
		return context.DeadlineExceeded
	}
	return err
}

func (s *slowGuard) end() { s.t.Stop() }

func (s *Service) resultFile(task, node string) string {
	return filepath.Join(s.Results, task, node+".zip")
}

// keepResult puts the zip under its name and then ends the part, in that order: a
// crash in between fetches it again.
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
	return w.change(ctx, part{task: x.task, node: w.node}, func(tx *store.Tx, now *part) error {
		_, err := tx.Exec(`UPDATE hub_result SET state = 'stored', sha256 = ?, size = ?, files = ?, signer = ?, tries = tries + 1, trouble = '', stored_at = ?
			WHERE task = ? AND node = ?`, g.sha256, g.size, string(files), clip(g.facts.Root, 100), store.Millis(tx.Now()), x.task, w.node)
		if err != nil {
			return err
		}
		now.state, now.tes, now.trouble = ended, model.Complete, ""
		return w.s.note(tx, access.System, "result.stored", "task:"+x.task, "", "node", w.node, "sha256", g.sha256, "release", x.release)
	})
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

// ResultFile is a released zip of one node. The caller closes it.
type ResultFile struct {
	*os.File
	Name   string // for a download
	Size   int64
	SHA256 string
}

// Result opens what a node released of a task. node is an id or a name. Errors:
// NotFound, Unavailable while it is still being fetched, Conflict when it was refused.
func (s *Service) Result(ctx context.Context, actor access.Actor, id, node string) (*ResultFile, error) {
	const op = "hub.Result"
	t, err := s.Task(ctx, actor, id)
	if err != nil {
		return nil, fault.Wrap(op, err)
	}
	if err := access.May(actor, access.HubResults, access.Thing{Project: t.Project, Owner: t.Owner}); err != nil {
		return nil, fault.Wrap(op, err)
	}
	for _, p := range t.Parts {
		if p.Node == node || strings.EqualFold(p.Name, node) {
			return s.openResult(ctx, op, actor, t, p)
		}
	}
	return nil, fault.New(op, fault.NotFound, "The task has no part at a node %q.", clip(node, 60))
}

func (s *Service) openResult(ctx context.Context, op string, actor access.Actor, t Task, p Part) (*ResultFile, error) {
	switch {
	case p.Result == nil:
		return nil, fault.New(op, fault.NotFound, "The node %s has released nothing of this task.", p.Name)
	case p.Result.State == "wanted":
		s.wake(p.Node)
		return nil, fault.New(op, fault.Unavailable, "The result of the node %s is being fetched. Try again in a moment.", p.Name)
	case p.Result.State == "refused":
		return nil, fault.New(op, fault.Conflict, "The result of the node %s could not be taken: %s", p.Name, p.Result.Trouble)
	}
	f, err := os.Open(s.resultFile(t.ID, p.Node))
	if err != nil {
		return nil, fault.Kinded(op, fault.Internal, err, "The result of the node %s is missing on this hub's disk.", p.Name)
	}
	sum, err := hashOf(f)
	if err != nil || sum != p.Result.SHA256 {
		f.Close()
		return nil, fault.Kinded(op, fault.Internal, err, "The result of the node %s is damaged on this hub's disk. The node still has the release %s.", p.Name, p.Result.Release)
	}
	err = s.DB.Update(ctx, func(tx *store.Tx) error {
		return s.note(tx, actor, "result.opened", "task:"+t.ID, t.Project, "node", p.Node)
	})
	if err != nil {
		f.Close()
		return nil, fault.Wrap(op, err)
	}
	return &ResultFile{File: f, Name: t.ID + "-" + p.Name + ".zip", Size: p.Result.Size, SHA256: sum}, nil
}

func hashOf(f *os.File) (string, error) {
	sum := sha256.New()
	if _, err := io.Copy(sum, f); err != nil {
		return "", err
	}
	_, err := f.Seek(0, io.SeekStart)
	return hex.EncodeToString(sum.Sum(nil)), err
}
