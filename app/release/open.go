package release

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"io"
	"os"

	"tresor/app/access"
	"tresor/app/audit"
	"tresor/app/fault"
	"tresor/app/store"
)

// Open is the only function through which approved bytes leave. The whole zip
// is compared with its recorded hash, through the file that is then read, and
// the opening stands in the audit log before the first byte is given out.
// Errors: NotFound and Denied for those who may not, Internal when the bytes are
// not those of the release.
func (s *Service) Open(ctx context.Context, actor access.Actor, id string) (io.ReadSeekCloser, Release, error) {
	const op = "release.Open"
	r, err := s.get(ctx, actor, access.ReleaseOpen, id)
	if err != nil {
		return nil, Release{}, fault.Wrap(op, err)
	}
	f, err := s.whole(ctx, r)
	if err != nil {
		return nil, Release{}, fault.Wrap(op, err)
	}
	if err := s.opened(ctx, actor, r); err != nil {
		_ = f.Close()
		return nil, Release{}, fault.Wrap(op, err)
	}
	r.Opened++
	return content{f}, r, nil
}

// whole opens the zip and returns it at its start once all of it is verified.
func (s *Service) whole(ctx context.Context, r Release) (*os.File, error) {
	const op = "release.whole"
	f, err := s.Vault.Open(r.SHA256)
	if err != nil {
		return nil, fault.Kinded(op, fault.Internal, err, "The bytes of this release are missing. Tell the operator, who has them in a backup.")
	}
	h := sha256.New()
	n, err := io.Copy(h, stoppable{ctx, f})
	if err == nil {
		_, err = f.Seek(0, io.SeekStart)
	}
	if err != nil {
		_ = f.Close()
		return nil, fault.Kinded(op, fault.Unavailable, err, "The release could not be read. Try again; if it stays, tell the operator.")
	}
	if n != r.Size || hex.EncodeToString(h.Sum(nil)) != r.SHA256 {
		_ = f.Close()
		return nil, fault.New(op, fault.Internal, "The bytes of this release are not those that were approved, so none are given out. Tell the operator.")
	}
	return f, nil
}

func (s *Service) opened(ctx context.Context, actor access.Actor, r Release) error {
	return s.DB.Update(ctx, func(tx *store.Tx) error {
		_, err := tx.Exec(`INSERT INTO release_opening (id, release, person, opened_at) VALUES (?, ?, ?, ?)`, s.IDs(), r.ID, actor.ID, store.Millis(tx.Now()))
		if err != nil {
			return err
		}
		_, err = s.Log.Append(tx, audit.By(actor, "release.opened", Subject(r.ID), r.Project, "sha256", r.SHA256))
		return err
	})
}

// stoppable reads until its context ends.
type stoppable struct {
	ctx context.Context
	r   io.Reader
}

func (s stoppable) Read(b []byte) (int, error) {
	if err := s.ctx.Err(); err != nil {
		return 0, err
	}
	return s.r.Read(b)
}

// content hides the file's name and everything else that is not reading.
type content struct{ f *os.File }

func (c content) Read(b []byte) (int, error)                { return c.f.Read(b) }
func (c content) Seek(off int64, whence int) (int64, error) { return c.f.Seek(off, whence) }
func (c content) Close() error                              { return c.f.Close() }
