// Package keyfile keeps small secrets of the appliance itself in files of their
// own, and seals secrets of others with them.
//
// It promises: a key file has the mode 0600 and is whole or not there, whatever a
// crash interrupts; one that others can read is refused; what was sealed for one
// purpose does not open for another.
//
// It never prints a key and knows nothing of who uses it.
package keyfile

import (
	"crypto/rand"
	"errors"
	"io/fs"
	"os"
	"path/filepath"

	"tresor/app/fault"
)

// Random returns the n random bytes of the file, making them at first use.
// Errors: Conflict when the file is damaged or readable by others, Unavailable
// when it cannot be made.
func Random(path string, n int) ([]byte, error) {
	const op = "keyfile.Random"
	key, err := Read(path)
	if errors.Is(err, fs.ErrNotExist) {
		key = make([]byte, n)
		rand.Read(key)
		err = Make(path, key)
		if errors.Is(err, fs.ErrExist) { // another start was faster
			key, err = Read(path)
		}
	}
	if err == nil && len(key) != n {
		err = fault.WithNext(fault.New(op, fault.Conflict, "The key file %s is damaged.", path), "Put back the copy from your key backup.")
	}
	if err != nil {
		return nil, fault.Wrap(op, err)
	}
	return key, nil
}

// Read returns the content of a key file. The error is fs.ErrNotExist when there
// is none and Conflict when others can read it.
func Read(path string) ([]byte, error) {
	info, err := os.Lstat(path)
	if err != nil {
		return nil, err
	}
	if info.Mode().Perm()&0o077 != 0 || !info.Mode().IsRegular() {
		return nil, fault.WithNext(fault.New("keyfile.Read", fault.Conflict, "Other accounts can read the key file %s.", path),
			"Run chmod 600 on it and start again.")
	}
	return os.ReadFile(path)
}

// Make puts a new key file there. The error is fs.ErrExist when there is one.
func Make(path string, data []byte) error { return put(path, data, os.Link) }

// Replace puts a key file in the place of the one that is there.
func Replace(path string, data []byte) error { return put(path, data, os.Rename) }

// put writes aside, syncs and moves into place.
func put(path string, data []byte, move func(from, to string) error) error {
	const op = "keyfile.put"
	dir := filepath.Dir(path)
	f, err := os.CreateTemp(dir, ".key-*") // mode 0600
	if err != nil {
		return unwritable(op, path, err)
	}
	defer os.Remove(f.Name())
	_, err = f.Write(data)
	if err := errors.Join(err, f.Sync(), f.Close()); err != nil {
		return unwritable(op, path, err)
	}
	if err := move(f.Name(), path); err != nil {
		if errors.Is(err, fs.ErrExist) {
			return err
		}
		return unwritable(op, path, err)
	}
	d, err := os.Open(dir)
	if err != nil {
		return unwritable(op, path, err)
	}
	if err := errors.Join(d.Sync(), d.Close()); err != nil {
		return unwritable(op, path, err)
	}
	return nil
}

func unwritable(op, path string, err error) error {
	return fault.WithNext(fault.Kinded(op, fault.Unavailable, err, "The key file %s cannot be written.", path),
		"Check the rights of its folder and the free space.")
}
