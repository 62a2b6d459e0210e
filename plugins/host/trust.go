package host

import (
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"syscall"
)

// ErrUntrusted says that a plugin file is not the one an operator trusted, or
// lies where others could change it.
var ErrUntrusted = errors.New("the plugin file is not trusted")

// MaxProgram bounds a plugin's file, in bytes.
const MaxProgram = 512 << 20

// Fingerprint returns the SHA-256, in hexadecimal, and the size of the plugin file
// at path: what an operator trusts. It refuses a file that others could change.
func Fingerprint(path string) (sum string, size int64, err error) {
	f, err := openPrivate(path)
	if err != nil {
		return "", 0, err
	}
	defer f.Close()
	return digest(f, io.Discard)
}

// Trusted copies the external plugin at path into dir, hashes the copy and
// returns the command that runs the copy: the file that was hashed is the file
// that runs. Start hashes the copy again before every start. The source must be a
// plain file, and it and every folder above it must belong to this account or
// root and must not be writable by others. A refusal wraps ErrUntrusted, says
// which hash was trusted and which was found, and leaves no copy behind.
func Trusted(path, sha256Hex, dir string) (Command, error) {
	if b, err := hex.DecodeString(sha256Hex); err != nil || len(b) != sha256.Size {
		return Command{}, fmt.Errorf("%w: no SHA-256 was trusted for %s. Run `tresor plugin trust %s`", ErrUntrusted, path, path)
	}
	src, err := openPrivate(path)
	if err != nil {
		return Command{}, err
	}
	defer src.Close()
	to := filepath.Join(dir, "plugin-"+sha256Hex[:16])
	_ = os.Remove(to) // a copy from an earlier start
	// Others may run it: the plugin's process has an account of its own.
	dst, err := os.OpenFile(to, os.O_CREATE|os.O_EXCL|os.O_WRONLY|syscall.O_NOFOLLOW, 0o755)
	if err != nil {
		return Command{}, err
	}
	found, _, err := digest(src, dst)
	if err == nil {
		err = errors.Join(dst.Chmod(0o755), dst.Sync())
	}
	if cerr := dst.Close(); err == nil {
		err = cerr
	}
	if err == nil {
		err = same(path, sha256Hex, found)
	}
	if err != nil {
		_ = os.Remove(to)
		return Command{}, err
	}
	return Command{Path: to, source: path, sum: sha256Hex}, nil
}

// check hashes the private copy again: a start is of the trusted bytes, however
// long ago they were copied.
func (c Command) check() error {
	if c.sum == "" {
		return nil // our own program
	}
	f, err := openPrivate(c.Path)
	if err != nil {
		return err
	}
	defer f.Close()
	found, _, err := digest(f, io.Discard)
	if err != nil {
		return err
	}
	return same(c.source, c.sum, found)
}

func same(path, trusted, found string) error {
	if subtle.ConstantTimeCompare([]byte(trusted), []byte(found)) == 1 {
		return nil
	}
	return fmt.Errorf("%w: %s has changed. Trusted was SHA-256 %s, found is %s. If the change is yours, run `tresor plugin trust %s` again", ErrUntrusted, path, trusted, found, path)
}

// digest copies r to w and hashes what it copies.
func digest(r io.Reader, w io.Writer) (sum string, size int64, err error) {
	h := sha256.New()
	size, err = io.Copy(io.MultiWriter(w, h), io.LimitReader(r, MaxProgram+1))
	if err == nil && size > MaxProgram {
		err = fmt.Errorf("%w: it is larger than %d MB", ErrUntrusted, MaxProgram>>20)
	}
	return hex.EncodeToString(h.Sum(nil)), size, err
}

// openPrivate opens a plain file that only this account and root can change, by
// itself or through a folder above it.
func openPrivate(path string) (*os.File, error) {
	path, err := filepath.Abs(path)
	if err != nil {
		return nil, err
	}
	f, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NOFOLLOW|syscall.O_NONBLOCK, 0)
	if errors.Is(err, syscall.ELOOP) {
		return nil, fmt.Errorf("%w: %s is a link. Name the file itself", ErrUntrusted, path)
	}
	if err != nil {
		return nil, err
	}
	st, err := f.Stat()
	if err == nil && !st.Mode().IsRegular() {
		err = fmt.Errorf("%w: %s is not a plain file", ErrUntrusted, path)
	}
	if err == nil {
		err = private(path, st)
	}
	for dir := filepath.Dir(path); err == nil; dir = filepath.Dir(dir) {
		if st, err = os.Lstat(dir); err == nil {
			err = private(dir, st)
		}
		if dir == filepath.Dir(dir) {
			break
		}
	}
	if err != nil {
		_ = f.Close()
		return nil, err
	}
	return f, nil
}

// private refuses what others can change. A folder like /tmp, where everybody
// writes but nobody may move what is another's, is let through by its sticky bit:
// what lies in it is judged by itself.
func private(path string, st os.FileInfo) error {
	sys, ok := st.Sys().(*syscall.Stat_t)
	if !ok || st.Mode()&os.ModeSymlink != 0 {
		return fmt.Errorf("%w: %s is a link. Name the real folder", ErrUntrusted, path)
	}
	if sys.Uid != 0 && int(sys.Uid) != os.Geteuid() {
		return fmt.Errorf("%w: %s belongs to account %d, who could change it. Move the file, or change the owner to root", ErrUntrusted, path, sys.Uid)
	}
	if st.Mode().Perm()&0o022 != 0 && !(st.IsDir() && st.Mode()&os.ModeSticky != 0) {
		return fmt.Errorf("%w: others may write to %s. Run `chmod go-w %s`", ErrUntrusted, path, path)
	}
	return nil
}
