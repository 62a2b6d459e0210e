package workload

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"syscall"
)

// extend adds to a file that must exist.
func (w World) extend(p, text string) error {
	f, err := os.OpenFile(w.Path(p), os.O_WRONLY|os.O_APPEND, 0)
	if err != nil {
		return err
	}
	_, err = f.WriteString(text)
	return errors.Join(err, f.Close())
}

// pwd says the working directory; under the fake it has none and says what it should be.
func (w World) pwd(ctx context.Context, want string) error {
	dir := want
	if !inFake(ctx) {
		var err error
		if dir, err = os.Getwd(); err != nil {
			return err
		}
	}
	_, err := fmt.Fprintln(w.Out, dir)
	return err
}

// gone removes whatever has the name.
func (w World) gone(p string) (string, error) {
	p = w.Path(p)
	return p, errors.Join(os.RemoveAll(p), os.MkdirAll(filepath.Dir(p), 0o755))
}

// link replaces a name by a symbolic link to a path of the container.
func (w World) link(target, p string) error {
	p, err := w.gone(p)
	if err != nil {
		return err
	}
	return os.Symlink(target, p)
}

func (w World) fifo(p string) error {
	p, err := w.gone(p)
	if err != nil {
		return err
	}
	return syscall.Mkfifo(p, 0o644)
}

// links fills a folder with links of both kinds, to inside and outside.
func (w World) links(dir string, n int) error {
	dir = w.Path(dir)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	real := filepath.Join(dir, "real.txt")
	if err := os.WriteFile(real, []byte("real"), 0o644); err != nil {
		return err
	}
	for i := range n {
		target := []string{"/etc/passwd", "real.txt", "..", "/proc/self/root", "/run/tresor/config.json"}[i%5]
		if err := os.Symlink(target, filepath.Join(dir, fmt.Sprintf("s%05d", i))); err != nil {
			return err
		}
	}
	return nil
}
