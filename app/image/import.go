package image

import (
	"bufio"
	"compress/gzip"
	"context"
	"errors"
	"io"
	"os"
	"regexp"
	"strings"
	"syscall"

	"tresor/app/access"
	"tresor/app/fault"
	"tresor/app/store"
	"tresor/sandbox"
)

const spoolPattern = "import-*.tar"

var refForm = regexp.MustCompile(`^[a-z0-9][a-z0-9._/-]{0,127}(:[A-Za-z0-9_][A-Za-z0-9._-]{0,63})?$`)

// Import takes an OCI or docker archive (plain or gzip), looks through it, and
// hands it to the engine. The image cannot run before Approve. ref is the name
// for people; empty takes the name inside the archive. progress gets the bytes
// read so far and a total of 0; it may be nil.
func (s *Service) Import(ctx context.Context, actor access.Actor, r io.Reader, ref string, progress func(done, total int64)) (Image, error) {
	const op = "image.Import"
	if err := access.May(actor, access.ImageImport, access.Thing{}); err != nil {
		return Image{}, err
	}
	if err := checkRef(op, ref); err != nil {
		return Image{}, err
	}
	f, err := s.spool(ctx, r, progress)
	if err != nil {
		return Image{}, err
	}
	defer func() { _ = f.Close(); _ = os.Remove(f.Name()) }()
	seen, err := preflight(ctx, f, s.Arch, s.Max)
	if err != nil {
		return Image{}, err
	}
	if ref == "" {
		ref = nameOf(seen)
	}
	if err := checkRef(op, ref); err != nil {
		return Image{}, err
	}
	if _, err := f.Seek(0, io.SeekStart); err != nil {
		return Image{}, fault.Wrap(op, err)
	}
	loaded, err := s.Images.Load(ctx, f)
	if err != nil {
		return Image{}, engineFault(op, err)
	}
	return s.keep(ctx, op, actor, loaded, Image{Ref: ref, Source: Import, Setuid: seen.setuid})
}

func checkRef(op, ref string) error {
	if ref != "" && !refForm.MatchString(ref) {
		return fault.New(op, fault.Invalid, "%q is not a name for an image. Use lower-case letters, digits and ./_- with an optional :tag, as in tools/jupyter:2026-11.", clip(ref))
	}
	if strings.HasPrefix(ref, "tresor/") {
		return fault.New(op, fault.Invalid, "Names that start with tresor/ are kept for built-in images. Choose another name.")
	}
	return nil
}

// nameOf is the name inside the archive, if it is one we accept.
func nameOf(seen report) string {
	name := strings.TrimPrefix(strings.TrimPrefix(seen.ref, "docker.io/library/"), "localhost/")
	if refForm.MatchString(name) && !strings.HasPrefix(name, "tresor/") {
		return name
	}
	return "imported/" + strings.TrimPrefix(seen.config, "sha256:")[:12]
}

// keep records a loaded image.
func (s *Service) keep(ctx context.Context, op string, actor access.Actor, loaded sandbox.Image, i Image) (Image, error) {
	if loaded.Arch != "" && loaded.Arch != s.Arch {
		return Image{}, fault.New(op, fault.Invalid, "The image is for %s, this host is %s. Save the image for this architecture.", clip(loaded.Arch), s.Arch)
	}
	i.ID, i.Digest, i.Size, i.Arch = loaded.ID, loaded.Digest, loaded.Size, s.Arch
	err := s.DB.Update(ctx, func(tx *store.Tx) error {
		i.ImportedAt, i.ImportedBy = tx.Now(), actor.Name
		if err := put(tx, i); err != nil {
			return err
		}
		if err := s.note(tx, actor, "image.imported", i, ""); err != nil {
			return err
		}
		list, err := find(tx, i.Digest)
		if err == nil && len(list) > 0 {
			i = list[0]
		}
		return err
	})
	return i, fault.Wrap(op, err)
}

// spool writes the archive to a file of ours, unpacking gzip, because it must be
// read twice: once to look, once to load.
func (s *Service) spool(ctx context.Context, r io.Reader, progress func(done, total int64)) (*os.File, error) {
	const op = "image.Import"
	r, err := plain(&meter{ctx: ctx, r: r, report: progress})
	if err != nil {
		return nil, err
	}
	f, err := os.CreateTemp(s.Dir, spoolPattern)
	if err != nil {
		return nil, spoolFault(op, err)
	}
	n, err := io.Copy(f, io.LimitReader(r, s.Max+1))
	if err == nil && n > s.Max {
		err = fault.New(op, fault.Exhausted, "The archive is larger than %d GiB. Make a smaller image.", s.Max>>30)
	}
	if err == nil {
		_, err = f.Seek(0, io.SeekStart)
	}
	if err != nil {
		return nil, errors.Join(spoolFault(op, err), f.Close(), os.Remove(f.Name()))
	}
	return f, nil
}

// plain unpacks gzip and refuses other compression.
func plain(r io.Reader) (io.Reader, error) {
	const op = "image.Import"
	b := bufio.NewReaderSize(r, 1<<16)
	head, err := b.Peek(4) // a short archive is refused as a tar later
	switch {
	case len(head) == 0 && err != io.EOF:
		return nil, fault.Wrap(op, err)
	case len(head) == 0:
		return nil, fault.New(op, fault.Invalid, "The archive is empty. Save the image again, for example with podman save.")
	case strings.HasPrefix(string(head), "\x1f\x8b"):
		z, err := gzip.NewReader(b)
		if err != nil {
			return nil, fault.Kinded(op, fault.Invalid, err, "The archive is damaged: its gzip header cannot be read. Save the image again.")
		}
		return z, nil
	case string(head) == "\x28\xb5\x2f\xfd", strings.HasPrefix(string(head), "BZh"), strings.HasPrefix(string(head), "\xfd7zX"):
		return nil, fault.New(op, fault.Invalid, "The archive is compressed in a way that is not read here. Unpack it, or compress it with gzip.")
	}
	return b, nil
}

func spoolFault(op string, err error) error {
	var known *fault.Error
	switch {
	case errors.As(err, &known):
		return err
	case errors.Is(err, syscall.ENOSPC), errors.Is(err, syscall.EDQUOT):
		return fault.Kinded(op, fault.Exhausted, err, "The disk is full, so the archive was not imported. Free some space and import it again.")
	case errors.Is(err, gzip.ErrChecksum), errors.Is(err, gzip.ErrHeader), errors.Is(err, io.ErrUnexpectedEOF):
		return fault.Kinded(op, fault.Invalid, err, "The archive is cut short or damaged. Save the image again and compare the sizes.")
	}
	return fault.Wrap(op, err)
}

// meter reports what was read and ends with the context.
type meter struct {
	ctx    context.Context
	r      io.Reader
	done   int64
	report func(done, total int64)
}

func (m *meter) Read(p []byte) (int, error) {
	if err := m.ctx.Err(); err != nil {
		return 0, err
	}
	n, err := m.r.Read(p)
	m.done += int64(n)
	if m.report != nil && n > 0 {
		m.report(m.done, 0)
	}
	if err != nil && err != io.EOF && !errors.Is(err, io.ErrUnexpectedEOF) {
		err = fault.Kinded("image.Import", fault.Unavailable, err, "The archive broke off before its end, so nothing was imported. Send it again.")
	}
	return n, err
}
