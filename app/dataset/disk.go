package dataset

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"

	"tresor/app/fault"
)

// disk is what the package does to the file system. Tests let each verb fail,
// before and after it has taken effect.
type disk interface {
	mkdir(path string) error // with parents, mode 0755
	create(path string) (sealable, error)
	rename(from, to string) error
	sync(dir string) error
	remove(path string) error // with everything in it
}

// sealable is a file being written.
type sealable interface {
	io.WriteCloser
	Sync() error
}

// The modes let the sandbox's account and the mapped users of its containers
// read a version through a read-only mount. What keeps others out is the data
// folder above, which only the appliance's accounts can enter.
const (
	folderMode fs.FileMode = 0o755
	fileMode   fs.FileMode = 0o444
)

type realDisk struct{}

func (realDisk) mkdir(path string) error {
	if err := os.MkdirAll(path, folderMode); err != nil {
		return err
	}
	return os.Chmod(path, folderMode) // whatever the umask says
}

func (realDisk) create(path string) (sealable, error) {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
	if err != nil {
		return nil, err
	}
	if err := f.Chmod(fileMode); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}

func (realDisk) rename(from, to string) error { return os.Rename(from, to) }

func (realDisk) sync(dir string) error {
	f, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}

func (realDisk) remove(path string) error { return os.RemoveAll(path) }

// diskFault gives trouble with the disk a kind and a next step.
func diskFault(op string, err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, syscall.ENOSPC), errors.Is(err, syscall.EDQUOT):
		return fault.Kinded(op, fault.Exhausted, err, "The disk that holds the datasets is full, so nothing of this version was kept. Free some space and send the files again.")
	case errors.Is(err, syscall.EIO), errors.Is(err, syscall.EROFS), errors.Is(err, fs.ErrPermission):
		return fault.Kinded(op, fault.Unavailable, err, "The disk that holds the datasets cannot be written, so nothing of this version was kept. Check the disk and the rights of %s, then send the files again.", "the datasets folder")
	}
	return fault.Wrap(op, err)
}

func versionDir(root, id string, n int) string { return filepath.Join(root, id, itoa(n)) }
