package agent

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"strings"

	"golang.org/x/sys/unix"

	"tresor/sandbox"
)

// A volume is one scratch volume, held open. Everything in it may be the work of a hostile
// earlier task, so nothing is reached by way of a link or of another mount.
type volume struct {
	dir    *os.File
	target string
}

func openVolume(target, where string) (*volume, error) {
	fd, err := unix.Open(where, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC|unix.O_NOFOLLOW, 0)
	if err != nil {
		return nil, &fs.PathError{Op: "open", Path: target, Err: err}
	}
	return &volume{os.NewFile(uintptr(fd), target), target}, nil
}

func (v *volume) close() { v.dir.Close() }

// rel is p as seen from the volume; "." for the volume itself.
func (v *volume) rel(p string) string {
	if p == v.target {
		return "."
	}
	return strings.TrimPrefix(p, strings.TrimSuffix(v.target, "/")+"/")
}

// strictly: no links, no mounts, nothing outside.
const strictly = unix.RESOLVE_BENEATH | unix.RESOLVE_NO_SYMLINKS | unix.RESOLVE_NO_MAGICLINKS | unix.RESOLVE_NO_XDEV

func open2(d *os.File, rel string, flags, mode, resolve uint64) (*os.File, error) {
	for try := 0; ; try++ {
		fd, err := unix.Openat2(int(d.Fd()), rel, &unix.OpenHow{Flags: flags | unix.O_NOFOLLOW | unix.O_CLOEXEC | unix.O_NOCTTY, Mode: mode, Resolve: resolve})
		if (err == unix.EINTR || err == unix.EAGAIN) && try < 100 { // EAGAIN: something was renamed meanwhile
			continue
		}
		if err != nil {
			return nil, &fs.PathError{Op: "open", Path: rel, Err: err}
		}
		return os.NewFile(uintptr(fd), rel), nil
	}
}

// folder makes the directories on the way to p, and p, and opens it.
func (v *volume) folder(p string) (*os.File, error) {
	at, err := open2(v.dir, ".", unix.O_RDONLY|unix.O_DIRECTORY, 0, strictly)
	if err != nil {
		return nil, err
	}
	rel := v.rel(p)
	if rel == "." {
		return at, nil
	}
	for name := range strings.SplitSeq(rel, "/") {
		next, err := subfolder(at, name)
		at.Close()
		if err != nil {
			return nil, err
		}
		at = next
	}
	return at, nil
}

// subfolder opens one directory in d and makes it when it is missing.
func subfolder(d *os.File, name string) (*os.File, error) {
	if err := unix.Mkdirat(int(d.Fd()), name, 0o755); err != nil && err != unix.EEXIST {
		return nil, err
	}
	return open2(d, name, unix.O_RDONLY|unix.O_DIRECTORY, 0, strictly)
}

// create makes a new file at p and its folders. What is there already is unlinked, never
// opened or followed: whoever holds the old file does not see the new one.
func (v *volume) create(p string, mode uint32) (*os.File, error) {
	dir, err := v.folder(path.Dir(p))
	if err != nil {
		return nil, err
	}
	defer dir.Close()
	return createIn(dir, path.Base(p), mode)
}

func createIn(dir *os.File, name string, mode uint32) (*os.File, error) {
	if err := unix.Unlinkat(int(dir.Fd()), name, 0); err != nil && err != unix.ENOENT {
		return nil, err
	}
	return open2(dir, name, unix.O_WRONLY|unix.O_CREAT|unix.O_EXCL, uint64(mode), strictly)
}

// point makes the place at which a read-only input is going to be mounted. A file or
// directory that is there already stays; a link or special file gives way.
func (v *volume) point(p string, directory bool) error {
	dir, err := v.folder(path.Dir(p))
	if err != nil {
		return err
	}
	defer dir.Close()
	name := path.Base(p)
	var st unix.Stat_t
	err = unix.Fstatat(int(dir.Fd()), name, &st, unix.AT_SYMLINK_NOFOLLOW)
	kind := st.Mode & unix.S_IFMT
	switch {
	case err != nil && err != unix.ENOENT:
		return err
	case err == nil && (kind == unix.S_IFDIR && directory || kind == unix.S_IFREG && !directory):
		return nil
	}
	if directory {
		if err := unix.Unlinkat(int(dir.Fd()), name, 0); err != nil && err != unix.ENOENT {
			return err
		}
		d, err := subfolder(dir, name)
		if err == nil {
			d.Close()
		}
		return err
	}
	f, err := createIn(dir, name, 0o644)
	if err == nil {
		f.Close()
	}
	return err
}

// plainly says in words what stood in the way of p.
func plainly(p string, err error) error {
	why := reason(err)
	switch {
	case errors.Is(err, unix.ELOOP):
		why = "a symbolic link lies on the way, and links are not followed"
	case errors.Is(err, unix.ENOTDIR):
		why = "a symbolic link or a file lies where a folder belongs, and links are not followed"
	case errors.Is(err, unix.EISDIR):
		why = "a folder is in its place"
	case errors.Is(err, unix.EXDEV):
		why = "another mount lies on the way"
	case errors.Is(err, unix.ENOENT):
		why = "it is not there"
	case errors.Is(err, unix.ENOSPC), errors.Is(err, unix.EDQUOT):
		why = "no space is left"
	}
	return fmt.Errorf("%s: %s", sandbox.Printable(p), why)
}
