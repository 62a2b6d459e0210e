package image

import (
	"context"
	"errors"
	"strings"

	"tresor/app/access"
	"tresor/app/audit"
	"tresor/app/fault"
	"tresor/app/store"
	"tresor/sandbox"
)

// Approve lets jobs run the image with exactly this digest. It does the slow
// part of the image's first start before it says yes; progress may be nil.
func (s *Service) Approve(ctx context.Context, actor access.Actor, digest, reason string, progress func(done, total int64)) (Image, error) {
	const op = "image.Approve"
	if err := access.May(actor, access.ImageApprove, access.Thing{}); err != nil {
		return Image{}, err
	}
	reason, err := audit.Reason(op, reason)
	if err != nil {
		return Image{}, err
	}
	i, err := s.known(ctx, op, digest)
	if err != nil {
		return Image{}, err
	}
	if err := s.unchanged(ctx, op, i); err != nil {
		return Image{}, err
	}
	if err := s.Images.Warm(ctx, i.ID, progress); err != nil {
		return Image{}, engineFault(op, err)
	}
	return s.record(ctx, op, actor, i, Approved, reason)
}

// Revoke stops new jobs from using an image. Jobs that run go on.
func (s *Service) Revoke(ctx context.Context, actor access.Actor, digest, reason string) (Image, error) {
	const op = "image.Revoke"
	if err := access.May(actor, access.ImageRevoke, access.Thing{}); err != nil {
		return Image{}, err
	}
	reason, err := audit.Reason(op, reason)
	if err != nil {
		return Image{}, err
	}
	i, err := s.known(ctx, op, digest)
	if err != nil {
		return Image{}, err
	}
	return s.record(ctx, op, actor, i, Revoked, reason)
}

// known finds the image by digest or id; a name is refused, because it may mean
// another image tomorrow.
func (s *Service) known(ctx context.Context, op, digest string) (Image, error) {
	if !strings.HasPrefix(digest, "sha256:") {
		return Image{}, fault.New(op, fault.Invalid, "%q is not a digest. A decision is about exactly one digest, sha256:…; the list of images shows it.", clip(digest))
	}
	var i Image
	err := s.DB.View(ctx, func(tx *store.Tx) error {
		list, err := find(tx, digest)
		if err == nil && len(list) == 0 {
			err = fault.New(op, fault.NotFound, "There is no image with the digest %s. Import its archive first.", clip(digest))
		}
		if err == nil {
			i = list[0]
		}
		return err
	})
	return i, fault.Wrap(op, err)
}

// unchanged asks the engine whether it holds these very bytes.
func (s *Service) unchanged(ctx context.Context, op string, i Image) error {
	held, err := s.Images.Inspect(ctx, i.ID)
	if errors.Is(err, sandbox.ErrAbsent) {
		return fault.Kinded(op, fault.Conflict, err, "The container engine does not hold this image any more. Import its archive again, then approve it.")
	}
	if err != nil {
		return engineFault(op, err)
	}
	if held.ID != i.ID || held.Digest != i.Digest {
		return fault.New(op, fault.Conflict, "The container engine holds another digest (%s) than the one that was imported (%s). Import the archive again and find out who changed the image.", held.Digest, i.Digest)
	}
	return nil
}

func (s *Service) record(ctx context.Context, op string, actor access.Actor, i Image, to State, reason string) (Image, error) {
	err := s.DB.Update(ctx, func(tx *store.Tx) error {
		if err := decide(tx, i.Digest, to, actor.Name, reason); err != nil {
			return err
		}
		if err := s.note(tx, actor, "image."+string(to), i, reason); err != nil {
			return err
		}
		list, err := find(tx, i.Digest)
		if err != nil {
			return err
		}
		if len(list) > 0 {
			i = list[0]
		}
		return s.tell(tx, i)
	})
	return i, fault.Wrap(op, err)
}

func clip(s string) string {
	s = sandbox.Printable(s)
	if len(s) > 100 {
		return s[:100] + "…"
	}
	return s
}
