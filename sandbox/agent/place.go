package agent

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path"
	"strings"

	"golang.org/x/sys/unix"

	"tresor/sandbox"
)

// A Placer lays out the files of a task before its command runs: folders, writable copies
// of inputs, the files of the standard streams. It writes only into scratch volumes and
// reads only from mounts and scratch volumes, whatever an earlier task left there.
type Placer struct {
	Scratch  []string // targets
	Binds    []string // targets
	FileSize int64    // bytes of the largest file that is copied
	// Where maps a target to where it is for this process; nil means the target itself.
	Where func(target string) string
}

// within says whether p is dir or lies in it.
func within(p, dir string) bool {
	return p == dir || strings.HasPrefix(p, strings.TrimSuffix(dir, "/")+"/")
}

func holder(targets []string, p string) (string, bool) {
	for _, t := range targets {
		if within(p, t) {
			return t, true
		}
	}
	return "", false
}

func (p Placer) where(target string) string {
	if p.Where == nil {
		return target
	}
	return p.Where(target)
}

// volume opens the scratch volume that at lies in.
func (p Placer) volume(at string) (*volume, error) {
	target, ok := holder(p.Scratch, at)
	if !ok {
		return nil, unix.ENOENT
	}
	return openVolume(target, p.where(target))
}

// in runs fn with the volume of the path and makes its error plain.
func (p Placer) in(at string, fn func(*volume) error) error {
	v, err := p.volume(at)
	if err != nil {
		return plainly(at, err)
	}
	defer v.close()
	if err := fn(v); err != nil {
		return plainly(at, err)
	}
	return nil
}

// Folder makes a directory and those on the way to it. One that is there is kept.
func (p Placer) Folder(at string) error {
	return p.in(at, func(v *volume) error {
		d, err := v.folder(at)
		if err == nil {
			d.Close()
		}
		return err
	})
}

// Create makes a new file, with its folders, in place of whatever has its name.
func (p Placer) Create(at string) (f *os.File, err error) {
	err = p.in(at, func(v *volume) error { f, err = v.create(at, 0o644); return err })
	return f, err
}

// Open opens a regular file for reading. A link, a named pipe or a device is refused, and none is waited for.
func (p Placer) Open(at string) (*os.File, error) {
	f, err := p.open(at)
	if err != nil {
		return nil, plainly(at, err)
	}
	if st, err := f.Stat(); err != nil || !st.Mode().IsRegular() {
		f.Close()
		return nil, fmt.Errorf("%s: %s", sandbox.Printable(at), kindOf(st, err))
	}
	return f, nil
}

func kindOf(st os.FileInfo, err error) string {
	switch {
	case err != nil:
		return reason(err)
	case st.IsDir():
		return "a folder, not a file"
	case st.Mode()&os.ModeSymlink != 0:
		return "a symbolic link, and links are not followed"
	case st.Mode()&os.ModeNamedPipe != 0:
		return "a named pipe, not a file"
	}
	return "not a regular file"
}

const reading = unix.O_RDONLY | unix.O_NONBLOCK

func (p Placer) open(at string) (*os.File, error) {
	if target, ok := holder(p.Binds, at); ok {
		return p.openBind(target, at)
	}
	v, err := p.volume(at)
	if err != nil {
		return nil, err
	}
	defer v.close()
	return open2(v.dir, v.rel(at), reading, 0, strictly)
}

// openBind opens what a mount shows. The way to a mount inside a volume is checked; elsewhere
// it leads through the image, which no task changes.
func (p Placer) openBind(target, at string) (*os.File, error) {
	root, err := p.bindRoot(target)
	if err != nil || at == target {
		return root, err
	}
	defer root.Close()
	return open2(root, strings.TrimPrefix(at, target+"/"), reading, 0, strictly)
}

func (p Placer) bindRoot(target string) (*os.File, error) {
	if _, nested := holder(p.Scratch, target); nested && p.Where == nil {
		v, err := p.volume(target)
		if err != nil {
			return nil, err
		}
		defer v.close()
		return open2(v.dir, v.rel(target), reading, 0, strictly&^unix.RESOLVE_NO_XDEV)
	}
	fd, err := unix.Open(p.where(target), reading|unix.O_CLOEXEC|unix.O_NOFOLLOW, 0)
	if err != nil {
		return nil, err
	}
	return os.NewFile(uintptr(fd), target), nil
}

// Copy places a writable copy. The end of ctx stops it between two files.
func (p Placer) Copy(ctx context.Context, c sandbox.Copy) error {
	src, err := p.open(c.From)
	if err != nil {
		return plainly(c.From, err)
	}
	defer src.Close()
	k := &copier{ctx: ctx, limit: p.FileSize}
	return p.into(c, func(dir *os.File) error { return k.put(src, dir, path.Base(c.To), c.From) })
}

// into opens the folder in which the copy is to lie.
func (p Placer) into(c sandbox.Copy, fn func(dir *os.File) error) error {
	v, err := p.volume(c.To)
	if err != nil {
		return plainly(c.To, err)
	}
	defer v.close()
	dir, err := v.folder(path.Dir(c.To))
	if err != nil {
		return plainly(c.To, err)
	}
	defer dir.Close()
	err = fn(dir)
	if err == nil || errors.As(err, new(plain)) || errors.Is(err, context.Canceled) {
		return err
	}
	return plainly(c.To, err)
}
