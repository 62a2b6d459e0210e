package image

import (
	"context"
	"strings"

	"tresor/app/access"
	"tresor/app/fault"
	"tresor/app/store"
)

// List returns every image, the latest import first.
func (s *Service) List(ctx context.Context, actor access.Actor) ([]Image, error) {
	if err := access.May(actor, access.ImageRead, access.Thing{}); err != nil {
		return nil, err
	}
	var list []Image
	err := s.DB.View(ctx, func(tx *store.Tx) error {
		var err error
		list, err = all(tx)
		return err
	})
	return list, fault.Wrap("image.List", err)
}

// Get returns one image by digest or id.
func (s *Service) Get(ctx context.Context, actor access.Actor, digest string) (Image, error) {
	const op = "image.Get"
	list, err := s.List(ctx, actor)
	for _, i := range list {
		if i.Digest == digest || i.ID == digest {
			return i, nil
		}
	}
	if err == nil {
		err = fault.New(op, fault.NotFound, "There is no image with the digest %s.", clip(digest))
	}
	return Image{}, err
}

// Resolve returns the image that a digest or a name stands for, if jobs may run
// it. A name stands for its latest import. Everything else is a refusal with the
// next step: fault.NotFound, fault.Conflict (not approved, revoked) or
// fault.Unavailable (the engine lost it).
func (s *Service) Resolve(tx *store.Tx, refOrDigest string) (Image, error) {
	const op = "image.Resolve"
	list, err := find(tx, refOrDigest)
	if err != nil {
		return Image{}, fault.Wrap(op, err)
	}
	if len(list) == 0 {
		return Image{}, fault.New(op, fault.NotFound, "There is no image %q. Choose one from the list of images, or ask an operator to import it.", clip(refOrDigest))
	}
	i := list[0]
	switch i.State {
	case Approved:
		return i, nil
	case Missing:
		return Image{}, fault.New(op, fault.Unavailable, "The container engine no longer holds the image %s (%s). Ask an operator to import its archive again.", i.Ref, short(i.Digest))
	case Revoked:
		return Image{}, fault.Kinded(op, fault.Conflict, ErrRevoked, "The image %s (%s) was revoked: %s. Choose another image.", i.Ref, short(i.Digest), strings.TrimSuffix(i.Reason, "."))
	}
	return Image{}, notApproved(op, i, list[1:])
}

// Spellings returns how an image that another program names may be called here: as
// it says, then without the registry that such programs leave out or add, with and
// without the tag latest. A name with a digest means that digest and nothing else.
func Spellings(ref string) []string {
	if _, digest, ok := strings.Cut(ref, "@"); ok {
		return []string{digest}
	}
	list := []string{ref}
	for _, registry := range []string{"docker.io/library/", "docker.io/", "localhost/"} {
		if short, ok := strings.CutPrefix(ref, registry); ok {
			list = append(list, short)
			break
		}
	}
	for _, name := range list {
		if short, ok := strings.CutSuffix(name, ":latest"); ok {
			list = append(list, short)
		} else if !strings.Contains(name[strings.LastIndexByte(name, '/')+1:], ":") {
			list = append(list, name+":latest")
		}
	}
	return list
}

func notApproved(op string, i Image, older []Image) error {
	for _, o := range older {
		if o.State == Approved {
			return fault.New(op, fault.Conflict, "The name %s now stands for another image (%s, imported on %s), which is not approved. Ask an operator to approve it, or name the approved one by its digest: %s",
				i.Ref, short(i.Digest), i.ImportedAt.Format("2 January 2006"), o.Digest)
		}
	}
	return fault.New(op, fault.Conflict, "The image %s (%s) is imported but not approved. Ask an operator to approve this digest.", i.Ref, short(i.Digest))
}

// short is a digest that people can compare.
func short(digest string) string { return digest[:min(len(digest), len("sha256:")+12)] }

// Refresh compares the records with what the engine holds, so that Resolve can
// answer without asking the engine. Images whose bytes are not those of their
// digest count as missing.
func (s *Service) Refresh(ctx context.Context) error {
	const op = "image.Refresh"
	held, err := s.Images.ListImages(ctx)
	if err != nil {
		return engineFault(op, err)
	}
	digests := map[string]string{}
	for _, h := range held {
		digests[h.ID] = h.Digest
	}
	err = s.DB.Update(ctx, func(tx *store.Tx) error {
		list, err := all(tx)
		if err != nil {
			return err
		}
		for _, i := range list {
			if err := s.mark(tx, i, digests[i.ID] == i.Digest); err != nil {
				return err
			}
		}
		return nil
	})
	return fault.Wrap(op, err)
}

func (s *Service) mark(tx *store.Tx, i Image, present bool) error {
	if present == (i.State != Missing) {
		return nil
	}
	if _, err := tx.Exec(`UPDATE image SET present = ? WHERE digest = ?`, present, i.Digest); err != nil {
		return err
	}
	verb := "image.lost"
	if present {
		verb = "image.found"
	}
	if err := s.note(tx, access.System, verb, i, ""); err != nil {
		return err
	}
	return s.tell(tx, i)
}
