package release

import (
	"context"
	"io"

	"tresor/app/access"
	"tresor/app/audit"
	"tresor/app/fault"
	"tresor/app/store"
)

// Open is the only function through which approved bytes leave. The whole zip
// is compared with its recorded hash, and each block again while it is read, and
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
	return f, r, nil
}

// whole opens the zip once all of it is verified.
func (s *Service) whole(ctx context.Context, r Release) (*verified, error) {
	f, err := s.Vault.Open(r.SHA256)
	if err != nil {
		return nil, fault.Kinded("release.whole", fault.Internal, err, "The bytes of this release are missing. Tell the operator, who has them in a backup.")
	}
	v, err := verify(ctx, f, r.Size, r.SHA256)
	if err != nil {
		_ = f.Close()
		return nil, changed(err)
	}
	return v, nil
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
