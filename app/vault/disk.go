package vault

import (
	"os"
)

// file is a staging file.
type file interface {
	Name() string
	Write([]byte) (int, error)
	Chmod(os.FileMode) error
	Sync() error
	Close() error
}

// disk is every step that changes the folder, so that tests can make each fail,
// before and after it took effect.
type disk interface {
	create(dir string) (file, error)
	mkdir(path string) error
	rename(from, to string) error
	remove(path string) error
	syncDir(path string) error
}

type realDisk struct{}

func (realDisk) create(dir string) (file, error) {
	f, err := os.CreateTemp(dir, "blob-*") // mode 0600
	if err != nil {
		return nil, err
	}
	return f, nil
}

func (realDisk) mkdir(path string) error      { return os.MkdirAll(path, 0o700) }
func (realDisk) rename(from, to string) error { return os.Rename(from, to) }
func (realDisk) remove(path string) error     { return os.Remove(path) }

func (realDisk) syncDir(path string) error {
	d, err := os.Open(path)
	if err != nil {
		return err
	}
	defer d.Close()
	return d.Sync()
}
