package agent

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path"

	"golang.org/x/sys/unix"

	"tresor/sandbox"
)

// plain is an error whose text is already for people.
type plain struct{ text string }

func (e plain) Error() string { return e.text }

func refuse(p, format string, args ...any) error {
	return plain{sandbox.Printable(p) + ": " + fmt.Sprintf(format, args...)}
}

// copier copies one tree between two open directories.
type copier struct {
	ctx     context.Context
	limit   int64
	entries int
}

// put copies what src shows to name in dir; shown is its path for people.
func (k *copier) put(src, dir *os.File, name, shown string) error {
	if err := k.ctx.Err(); err != nil {
		return err
	}
	if k.entries++; k.entries > maxEntries {
		return refuse(shown, "more than %d files", maxEntries)
	}
	st, err := src.Stat()
	switch {
	case err != nil:
		return refuse(shown, "%s", reason(err))
	case st.IsDir():
		return k.tree(src, dir, name, shown)
	case !st.Mode().IsRegular():
		return refuse(shown, "%s", kindOf(st, nil))
	case st.Size() > k.limit:
		return refuse(shown, "%d bytes are more than the file size limit of %d", st.Size(), k.limit)
	}
	return k.file(src, dir, name, shown, st)
}

func (k *copier) file(src, dir *os.File, name, shown string, st os.FileInfo) error {
	mode := uint32(0o644)
	if st.Mode()&0o111 != 0 {
		mode = 0o755
	}
	dst, err := createIn(dir, name, mode)
	if err != nil {
		return err
	}
	n, err := k.bytes(dst, src)
	if cerr := dst.Close(); err == nil {
		err = cerr
	}
	if err == nil && n != st.Size() {
		return refuse(shown, "%d of %d bytes could be read", n, st.Size())
	}
	return err
}

// bytes copies in pieces, so that a stop is noticed in a large file too.
func (k *copier) bytes(dst, src *os.File) (total int64, err error) {
	for total < k.limit {
		n, err := io.CopyN(dst, src, min(64<<20, k.limit-total))
		total += n
		if err == io.EOF {
			break
		}
		if err == nil {
			err = k.ctx.Err()
		}
		if err != nil {
			return total, err
		}
	}
	return total, nil
}

// tree copies a directory into one of that name, which may exist. A link or special file in the place of the folder gives way.
func (k *copier) tree(src, dir *os.File, name, shown string) error {
	if len(shown) > 8*sandbox.MaxPath {
		return refuse(shown, "folders too deep")
	}
	if err := unix.Unlinkat(int(dir.Fd()), name, 0); err != nil && err != unix.ENOENT && err != unix.EISDIR {
		return err
	}
	dst, err := subfolder(dir, name)
	if err != nil {
		return err
	}
	defer dst.Close()
	for {
		names, err := src.Readdirnames(1024)
		for _, n := range names {
			if err := k.child(src, dst, n, path.Join(shown, n)); err != nil {
				return err
			}
		}
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return refuse(shown, "%s", reason(err))
		}
	}
}

func (k *copier) child(src, dst *os.File, name, shown string) error {
	f, err := open2(src, name, reading, 0, strictly)
	if errors.Is(err, unix.ELOOP) {
		return refuse(shown, "a symbolic link, and links are not followed")
	}
	if err != nil {
		return refuse(shown, "%s", reason(err))
	}
	defer f.Close()
	return k.put(f, dst, name, shown)
}
