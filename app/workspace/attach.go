package workspace

import (
	"context"
	"errors"
	"io"

	"tresor/app/access"
	"tresor/app/audit"
	"tresor/app/fault"
	"tresor/app/output"
	"tresor/app/store"
)

// idle is how long an opening lasts without being used: whoever follows a log
// opens it once, not once per line.
const idle = 10 * 60 * 1000 // milliseconds

// saveEvery is how many bytes may be counted in memory only.
const saveEvery = 64 << 10

type openingKey struct {
	person, session string
	kind            Kind
	thing           string
}

// opening is one look that goes on. Guarded by Service.mu.
type opening struct {
	id    string
	bytes int64
	saved int64
	used  int64 // milliseconds
}

// Stream is what somebody sees. Close it. Reading stops after Size bytes: what
// comes after is seen by attaching again with a later From.
type Stream struct {
	Size  int64 // bytes that this stream delivers
	Total int64 // bytes there are in all, before From too
	src   io.ReadCloser
	left  int64
	see   func(int64) error
	save  func() error
}

// Read implements io.Reader. fault.Exhausted when the person has seen all that an
// hour allows.
func (st *Stream) Read(p []byte) (int, error) {
	if st.left <= 0 {
		return 0, io.EOF
	}
	if int64(len(p)) > st.left {
		p = p[:st.left]
	}
	n, err := st.src.Read(p)
	st.left -= int64(n)
	if n == 0 {
		return 0, err
	}
	if over := st.see(int64(n)); over != nil {
		clear(p[:n])
		st.left = 0
		return 0, over
	}
	return n, err
}

// Close implements io.Closer.
func (st *Stream) Close() error { return errors.Join(st.src.Close(), st.save()) }

// Attach opens a target for a member of its project. Errors: NotFound or Denied by
// access, Exhausted when the person has seen all that an hour allows, with the
// time from which on there is more.
func (s *Service) Attach(ctx context.Context, actor access.Actor, t Target) (*Stream, error) {
	const op = "workspace.Attach"
	if t.From < 0 {
		return nil, fault.New(op, fault.Invalid, "The offset %d is negative.", t.From)
	}
	f, err := s.find(ctx, actor, t)
	if err != nil {
		return nil, fault.Wrap(op, err)
	}
	room, err := s.room(ctx, actor)
	if err != nil {
		return nil, fault.Wrap(op, err)
	}
	src, total, limit, err := s.source(ctx, t, f)
	if err != nil {
		return nil, fault.Wrap(op, err)
	}
	size := max(min(total-t.From, limit, room), 0)
	key, err := s.open(ctx, actor, t, f, size)
	if err != nil {
		return nil, errors.Join(fault.Wrap(op, err), src.Close())
	}
	return &Stream{Size: size, Total: total, src: src, left: size,
		see:  func(n int64) error { return s.see(key, n) },
		save: func() error { return s.save(context.WithoutCancel(ctx), key, saveEvery) }}, nil
}

// source opens the bytes behind a target.
func (s *Service) source(ctx context.Context, t Target, f found) (src io.ReadCloser, total, limit int64, err error) {
	if t.Kind == JobLog {
		src, total, err = s.Logs.LogContent(ctx, t.ID, t.From)
		return src, total, s.Limits.Log, err
	}
	c, err := s.Contents.Content(f.output)
	if err != nil {
		return nil, 0, 0, err
	}
	if _, err := c.Seek(min(t.From, f.output.Size), io.SeekStart); err != nil {
		return nil, 0, 0, errors.Join(err, c.Close())
	}
	return c, f.output.Size, s.Limits.Preview, nil
}

// Preview returns a page of an output, parsed: rows of a table or a piece of text.
// limit counts rows. The errors are those of Attach.
func (s *Service) Preview(ctx context.Context, actor access.Actor, id string, offset, limit int64) (output.Page, error) {
	const op = "workspace.Preview"
	t := Target{Kind: OutputPreview, ID: id}
	f, err := s.find(ctx, actor, t)
	if err != nil {
		return output.Page{}, fault.Wrap(op, err)
	}
	if _, err := s.room(ctx, actor); err != nil {
		return output.Page{}, fault.Wrap(op, err)
	}
	p, err := s.page(f.output, offset, limit)
	if err != nil {
		return output.Page{}, fault.Wrap(op, err)
	}
	key, err := s.open(ctx, actor, t, f, p.Bytes)
	if err != nil {
		return output.Page{}, fault.Wrap(op, err)
	}
	if err := s.see(key, p.Bytes); err != nil {
		return output.Page{}, fault.Wrap(op, err)
	}
	return p, s.save(context.WithoutCancel(ctx), key, saveEvery)
}

// page reads a page, with fewer rows where they are so wide that the page would
// show more than one look may.
func (s *Service) page(o output.Output, offset, limit int64) (output.Page, error) {
	c, err := s.Contents.Content(o)
	if err != nil {
		return output.Page{}, err
	}
	defer c.Close()
	p, err := output.ReadPage(o, c, offset, limit)
	for err == nil && p.Bytes > s.Limits.Preview && len(p.Rows) > 1 {
		if _, err = c.Seek(0, io.SeekStart); err != nil {
			break
		}
		p, err = output.ReadPage(o, c, offset, int64(len(p.Rows)/2))
	}
	return p, err
}

// open audits an opening, or finds the one that goes on. size is what it is about
// to show: an opening that would show more than its limit ends and a new one begins.
func (s *Service) open(ctx context.Context, actor access.Actor, t Target, f found, size int64) (openingKey, error) {
	key := openingKey{person: actor.ID, session: actor.Session, kind: t.Kind, thing: t.ID}
	limit := s.Limits.Preview
	if t.Kind == JobLog {
		limit = s.Limits.Log
	}
	now := store.Millis(s.Now())
	s.mu.Lock()
	o := s.openings[key]
	goesOn := o != nil && now-o.used < idle && o.bytes+size <= limit
	if goesOn {
		o.used = now
	}
	s.mu.Unlock()
	if goesOn {
		return key, nil
	}
	return key, s.begin(ctx, actor, t, f, key)
}

func (s *Service) begin(ctx context.Context, actor access.Actor, t Target, f found, key openingKey) error {
	if err := s.save(ctx, key, 1); err != nil {
		return err
	}
	o := &opening{id: s.IDs()}
	err := s.DB.Update(ctx, func(tx *store.Tx) error {
		o.used = store.Millis(tx.Now())
		_, err := tx.Exec(`INSERT INTO opening (id, person, session, kind, thing, project, opened_at, used_at) VALUES (?, ?, ?, ?, ?, ?, ?, ?)`,
			o.id, actor.ID, actor.Session, string(t.Kind), t.ID, f.thing.Project, o.used, o.used)
		if err != nil {
			return err
		}
		_, err = s.Log.Append(tx, audit.By(actor, "workspace.attached", subject(t, f), f.thing.Project, "kind", string(t.Kind), "thing", t.ID))
		return err
	})
	if err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.dropIdle(o.used)
	s.openings[key] = o
	return nil
}

// dropIdle forgets openings that are over and saved, so that memory stays small; the caller holds mu.
func (s *Service) dropIdle(now int64) {
	for k, o := range s.openings {
		if now-o.used >= idle && o.bytes == o.saved {
			delete(s.openings, k)
		}
	}
}

// subject is the job in either case, so that its timeline shows who looked.
func subject(t Target, f found) string {
	if t.Kind == JobLog {
		return "job:" + t.ID
	}
	return "job:" + f.output.JobID
}

// save writes how much an opening has shown, when at least `least` bytes are not saved yet.
func (s *Service) save(ctx context.Context, key openingKey, least int64) error {
	s.mu.Lock()
	o := s.openings[key]
	if o == nil || o.bytes-o.saved < least {
		s.mu.Unlock()
		return nil
	}
	id, bytes, used := o.id, o.bytes, o.used
	o.saved = bytes
	s.mu.Unlock()
	err := s.DB.Update(ctx, func(tx *store.Tx) error {
		_, err := tx.Exec(`UPDATE opening SET bytes = max(bytes, ?), used_at = ? WHERE id = ?`, bytes, used, id)
		return err
	})
	return fault.Wrap("workspace.save", err)
}
