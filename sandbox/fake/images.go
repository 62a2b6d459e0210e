package fake

import (
	"context"
	"fmt"
	"io"
	"sort"

	"tresor/sandbox"
)

// Load implements sandbox.Images: it checks the archive as the real one does and keeps its names only.
func (r *Runner) Load(_ context.Context, in io.Reader) (img sandbox.Image, err error) {
	err = r.faulty("Load", func() error {
		a, err := sandbox.ReadArchive(in)
		if err != nil {
			return err
		}
		img = sandbox.Image{ID: a.ID, Digest: a.ID, Ref: a.Ref, Size: a.Size, Arch: a.Arch}
		r.AddImage(img)
		return nil
	})
	return img, err
}

// find looks for an id or digest; the caller holds mu.
func (e *engine) find(id string) (sandbox.Image, bool) {
	for _, img := range e.images {
		if img.ID == id || img.Digest == id {
			return img, true
		}
	}
	return sandbox.Image{}, false
}

// Inspect implements sandbox.Images.
func (r *Runner) Inspect(_ context.Context, id string) (img sandbox.Image, err error) {
	err = r.faulty("Inspect", func() error {
		r.mu.Lock()
		defer r.mu.Unlock()
		var ok bool
		if img, ok = r.find(id); !ok {
			return fmt.Errorf("%w: image %s", sandbox.ErrAbsent, sandbox.Printable(id))
		}
		return nil
	})
	return img, err
}

// Warm implements sandbox.Images.
func (r *Runner) Warm(ctx context.Context, id string, progress func(done, total int64)) error {
	img, err := r.Inspect(ctx, id)
	if err != nil {
		return err
	}
	return r.faulty("Warm", func() error {
		if progress != nil {
			progress(img.Size, img.Size)
		}
		return nil
	})
}

// RemoveImage implements sandbox.Images.
func (r *Runner) RemoveImage(_ context.Context, id string) error {
	return r.faulty("RemoveImage", func() error {
		r.mu.Lock()
		defer r.mu.Unlock()
		img, ok := r.find(id)
		if !ok {
			return nil
		}
		for ref, b := range r.boxes {
			if b.spec.Image == img.ID || b.spec.Image == img.Digest {
				return sandbox.Invalid("image %s is in use by %s", id, ref)
			}
		}
		delete(r.images, img.ID)
		return nil
	})
}

// ListImages implements sandbox.Images.
func (r *Runner) ListImages(context.Context) (list []sandbox.Image, err error) {
	err = r.faulty("ListImages", func() error {
		r.mu.Lock()
		defer r.mu.Unlock()
		for _, img := range r.images {
			list = append(list, img)
		}
		sort.Slice(list, func(i, j int) bool { return list[i].ID < list[j].ID })
		return nil
	})
	return list, err
}
