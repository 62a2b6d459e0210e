package image

import (
	"archive/tar"
	"context"
	"encoding/json"
	"errors"
	"io"
	"os"
	"path"

	"tresor/app/fault"
	"tresor/sandbox"
)

// report is what was learned about an archive that passed.
type report struct {
	ref    string // first name inside, as it stands there
	config string // "sha256:…" of the configuration
	setuid int
}

// Bounds of what an archive may hold.
const (
	maxJSON    = 4 << 20   // bytes of a manifest or configuration
	maxLayers  = 250       // layers of an image
	maxMembers = 20_000    // files of the archive itself
	maxEntries = 4_000_000 // files of all layers
)

// preflight looks through a whole archive: it is complete, holds one image for
// this host, every part has the hash that it is named by, and no layer holds
// what an engine could stumble over. A refusal is fault.Invalid.
func preflight(ctx context.Context, f *os.File, arch string, max int64) (report, error) {
	members, err := index(ctx, f)
	if err != nil {
		return report{}, err
	}
	a := &archive{ctx: ctx, f: f, members: members, left: max, entries: maxEntries}
	img, err := a.image(arch)
	if err != nil {
		return report{}, err
	}
	return a.check(img, arch)
}

func bad(format string, args ...any) error {
	return fault.New("image.Import", fault.Invalid, format, args...)
}

// member is where a file of the archive lies.
type member struct {
	at, size int64
	link     string // of a symbolic link, as docker save makes for equal layers
}

// index reads the headers of the archive.
func index(ctx context.Context, f *os.File) (map[string]member, error) {
	t := tar.NewReader(f)
	members := map[string]member{}
	for {
		h, err := t.Next()
		if err == io.EOF {
			return members, nil
		}
		if err := tarFault(ctx, err); err != nil {
			return nil, err
		}
		if len(members) == maxMembers {
			return nil, bad("The archive holds more than %d files. Is it an image archive? Save the image with podman save.", maxMembers)
		}
		at, err := f.Seek(0, io.SeekCurrent)
		if err != nil {
			return nil, fault.Wrap("image.index", err)
		}
		switch h.Typeflag {
		case tar.TypeReg:
			members[path.Clean(h.Name)] = member{at: at, size: h.Size}
		case tar.TypeSymlink:
			members[path.Clean(h.Name)] = member{link: h.Linkname}
		case tar.TypeDir, tar.TypeXGlobalHeader:
		default:
			return nil, bad("The archive holds %q, which is neither a file nor a folder. Save the image again with podman save.", sandbox.Printable(h.Name))
		}
	}
}

// tarFault explains why a tar cannot be read on.
func tarFault(ctx context.Context, err error) error {
	switch {
	case err == nil:
		return nil
	case ctx.Err() != nil:
		return fault.Wrap("image.Import", ctx.Err())
	case errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, io.EOF):
		return fault.Kinded("image.Import", fault.Invalid, err, "The archive is cut short. Save the image again and compare the sizes.")
	case errors.Is(err, tar.ErrHeader), errors.Is(err, tar.ErrFieldTooLong), errors.Is(err, tar.ErrInsecurePath):
		return fault.Kinded("image.Import", fault.Invalid, err, "This is not an image archive, or it is damaged. Save the image with `podman save --format oci-archive`.")
	}
	return fault.Kinded("image.Import", fault.Invalid, err, "The archive cannot be read: it is damaged. Save the image again.")
}

// archive is an indexed archive being checked.
type archive struct {
	ctx     context.Context
	f       *os.File
	members map[string]member
	left    int64 // bytes that may still be unpacked
	entries int   // files that layers may still hold
}

// open returns the bytes of a member.
func (a *archive) open(name string) (io.Reader, int64, error) {
	m, ok := a.members[path.Clean(name)]
	if ok && m.link != "" {
		m, ok = a.members[path.Join(path.Dir(name), m.link)]
	}
	if !ok || m.link != "" {
		return nil, 0, bad("The archive is not complete: %q is missing. Save the image again.", sandbox.Printable(name))
	}
	return io.NewSectionReader(a.f, m.at, m.size), m.size, nil
}

// json reads a small member. The bytes come back too, to be hashed.
func (a *archive) json(name string, into any) ([]byte, error) {
	r, size, err := a.open(name)
	if err != nil {
		return nil, err
	}
	if size > maxJSON {
		return nil, bad("%q in the archive is larger than 4 MiB. Save the image again.", sandbox.Printable(name))
	}
	b, err := io.ReadAll(r)
	if err != nil {
		return nil, tarFault(a.ctx, err)
	}
	if err := json.Unmarshal(b, into); err != nil {
		return nil, fault.Kinded("image.Import", fault.Invalid, err, "%q in the archive is not JSON of the form it should have. Save the image again.", sandbox.Printable(name))
	}
	return b, nil
}

func (a *archive) has(name string) bool {
	_, ok := a.members[name]
	return ok
}

// image finds the one image of the archive in either format.
func (a *archive) image(arch string) (candidate, error) {
	switch {
	case a.has("manifest.json"):
		return a.docker()
	case a.has("index.json"):
		return a.oci(arch)
	}
	return candidate{}, bad("The archive holds no manifest (neither manifest.json nor index.json), so it is not an image. Save the image with `podman save --format oci-archive`.")
}
