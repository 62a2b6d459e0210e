package airlock

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"io"

	"tresor/app/access"
	"tresor/app/airlock/check"
	"tresor/app/fault"
	"tresor/app/live"
	"tresor/app/output"
	"tresor/app/store"
)

// work is what the checks need of a request, read in one snapshot.
type work struct {
	request Request
	items   []Item
	outputs map[string]output.Output
	profile check.Profile
	needed  int
}

func (s *Service) load(tx *store.Tx, r Request) (work, error) {
	w := work{request: r, outputs: map[string]output.Output{}}
	p, err := s.Projects.Lookup(tx, r.Project)
	if err != nil {
		return w, err
	}
	w.profile, w.needed = s.profile(p.Threshold), p.Reviewers
	if w.items, err = itemsOf(tx, r.ID, r.pending()); err != nil {
		return w, err
	}
	for _, it := range w.items {
		if w.outputs[it.Output], err = s.Outputs.Get(tx, it.Output); err != nil {
			return w, err
		}
	}
	return w, nil
}

// preview checks the files of a draft and keeps what was found.
func (s *Service) preview(ctx context.Context, actor access.Actor, id string) error {
	var w work
	err := s.DB.View(ctx, func(tx *store.Tx) error {
		r, err := find(tx, id)
		if err != nil {
			return err
		}
		w, err = s.load(tx, r)
		return err
	})
	if err != nil {
		return err
	}
	if err := s.examine(ctx, &w, false); err != nil {
		return err
	}
	return s.DB.Update(ctx, func(tx *store.Tx) error { return s.keepFindings(tx, actor, w) })
}

// keepFindings stores findings on a draft that nobody has changed meanwhile.
func (s *Service) keepFindings(tx *store.Tx, actor access.Actor, w work) error {
	now, err := find(tx, w.request.ID)
	if err != nil || now.edits != w.request.edits || !now.State.Editable() {
		return err
	}
	if err := putItems(tx, now.ID, now.pending(), w.items); err != nil {
		return err
	}
	if _, err := tx.Exec(`UPDATE airlock_request SET findings = ? WHERE id = ?`, encode(w.request.Findings), now.ID); err != nil {
		return err
	}
	s.announce(tx, now)
	_, err = s.note(tx, actor, "airlock.checked", now, "rules", check.RulesSHA256(w.profile), "blocks", itoa(w.blocks()))
	return err
}

// examine hashes and checks every file in bounded time. With final it also
// writes pictures anew, so that what is reviewed is only pixels, and a file whose
// bytes are not those that the job left is an error; in a draft it is a finding.
func (s *Service) examine(ctx context.Context, w *work, final bool) error {
	ctx, stop := context.WithTimeout(ctx, s.CheckTime)
	defer stop()
	metas := make([]check.Meta, len(w.items))
	for i := range w.items {
		s.progress(w.request, i, len(w.items))
		err := s.one(ctx, w, &w.items[i], final)
		if err != nil && final {
			return err
		}
		if err != nil { // a draft exists whatever its files are like; Submit looks again
			w.items[i].Findings = []check.Finding{check.Unchecked(fault.Message(err))}
		}
		metas[i] = check.Meta{Path: w.items[i].Path, Size: w.items[i].Size}
	}
	w.request.Findings = check.Request(w.profile, metas)
	s.progress(w.request, len(w.items), len(w.items))
	return nil
}

func (s *Service) progress(r Request, done, total int) {
	if s.Live != nil {
		s.Live.Publish(Subject(r.ID), live.Event{Type: "checks", Data: map[string]int{"done": done, "total": total}})
	}
}

func (s *Service) one(ctx context.Context, w *work, it *Item, final bool) error {
	const op = "airlock.examine"
	o := w.outputs[it.Output]
	f, err := s.Outputs.Content(o)
	if err != nil {
		return err
	}
	defer f.Close()
	h := sha256.New()
	res := check.File(ctx, w.profile, it.Path, o.Size, io.TeeReader(f, h))
	if _, err := io.Copy(h, f); err != nil { // what the check did not read
		return fault.Kinded(op, fault.Unavailable, err, "The file %s could not be read. Try again; if it stays, tell the operator.", it.Path)
	}
	if hex.EncodeToString(h.Sum(nil)) != o.SHA256 {
		return fault.New(op, fault.Internal, "The bytes of %s are not those that the job left. Run the job again, and tell the operator.", it.Path)
	}
	it.Kind, it.Rows, it.Cols, it.Findings = res.Kind, res.Rows, res.Cols, res.Findings
	it.SourceSHA256, it.SHA256, it.Size = o.SHA256, o.SHA256, o.Size
	if final && it.Kind == check.KindImage {
		return s.redraw(ctx, f, it)
	}
	return nil
}

// redraw puts the picture's pixels into the vault as a file of their own.
func (s *Service) redraw(ctx context.Context, f io.ReadSeeker, it *Item) error {
	if _, err := f.Seek(0, io.SeekStart); err != nil {
		return err
	}
	var clean bytes.Buffer
	if check.Clean(it.Path, f, &clean) != nil {
		it.Kind = check.KindNone // its finding says why; Submit refuses what nobody can see
		return nil
	}
	size := int64(clean.Len())
	blob, err := s.Vault.Put(ctx, &clean, size)
	if err != nil {
		return err
	}
	it.SHA256, it.Size = blob.SHA256, blob.Size
	return nil
}

func (w work) blocks() int   { return w.count(check.Block) }
func (w work) warnings() int { return w.count(check.Warn) }

func (w work) count(s check.Severity) int { return countFindings(w.request.Findings, w.items, s) }

func countFindings(request []check.Finding, items []Item, s check.Severity) int {
	n := check.Result{Findings: request}
	for _, it := range items {
		n.Findings = append(n.Findings[:len(n.Findings):len(n.Findings)], it.Findings...)
	}
	if s == check.Block {
		return n.Blocks()
	}
	return n.Warnings()
}
