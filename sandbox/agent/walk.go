package agent

import (
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"slices"
	"sort"
	"strings"

	"golang.org/x/sys/unix"

	"tresor/sandbox"
)

// A Walker looks for declared outputs in trees that a hostile program may have made.
// It opens nothing by a path with more than one element, follows no link, never waits
// on a FIFO and hands over only regular files with one name and honest size.
type Walker struct {
	Outputs []string
	Binds   []string // read-only inputs inside the targets, which are never outputs
	Limits  sandbox.Limits
	// Root maps a scratch target to where it is for this process; nil means the target itself.
	Root func(target string) string

	files   int
	bytes   int64
	entries int
	emit    Emitter
}

// Emitter receives what a Walker finds.
type Emitter interface {
	// File is called with a reader of exactly f.Size bytes; done answers what went wrong
	// when the reader ended early.
	File(f sandbox.File, r io.Reader, done func() error) error
	Refuse(path, reason string) error
}

// maxEntries bounds how long a walk can take: a tree with more is not searched further.
const maxEntries = 2_000_000

// Walk searches the scratch targets in order. The error is the Emitter's.
func (w *Walker) Walk(targets []string, emit Emitter) error {
	w.emit, w.files, w.bytes, w.entries = emit, 0, 0, 0
	for _, t := range targets {
		if !w.leads(t) {
			continue
		}
		root := t
		if w.Root != nil {
			root = w.Root(t)
		}
		fd, err := unix.Open(root, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC|unix.O_NOFOLLOW, 0)
		if err != nil {
			if err := emit.Refuse(t, "the scratch volume cannot be opened: "+err.Error()); err != nil {
				return err
			}
			continue
		}
		if err := w.dir(os.NewFile(uintptr(fd), t), t, 0); err != nil {
			return err
		}
	}
	return nil
}

// dir walks one open directory and closes it.
func (w *Walker) dir(d *os.File, at string, depth int) error {
	defer d.Close()
	names, err := w.names(d)
	if err != nil {
		return w.emit.Refuse(at, "the directory cannot be read: "+reason(err))
	}
	for _, name := range names {
		if w.entries >= maxEntries {
			return w.emit.Refuse(at, fmt.Sprintf("the tree holds more than %d entries; the rest was not searched", maxEntries))
		}
		w.entries++
		if err := w.entry(d, at, name, depth); err != nil {
			return err
		}
	}
	return nil
}

func (w *Walker) names(d *os.File) ([]string, error) {
	var names []string
	for len(names) < maxEntries {
		some, err := d.Readdirnames(4096)
		names = append(names, some...)
		if err == io.EOF {
			break
		}
		if err != nil {
			return nil, err
		}
	}
	sort.Strings(names)
	return names, nil
}

func (w *Walker) entry(d *os.File, at, name string, depth int) error {
	p := path.Join(at, name)
	if depth == 0 && name == OwnDir || name != path.Base(p) {
		return nil
	}
	wanted := covered(w.Outputs, p)
	if !wanted && !w.leads(p) {
		return nil
	}
	if slices.Contains(w.Binds, p) {
		if slices.Contains(w.Outputs, p) {
			return w.emit.Refuse(p, "a read-only input, not an output")
		}
		return nil
	}
	var st unix.Stat_t
	if err := unix.Fstatat(int(d.Fd()), name, &st, unix.AT_SYMLINK_NOFOLLOW); err != nil {
		return w.emit.Refuse(p, reason(err))
	}
	if st.Mode&unix.S_IFMT == unix.S_IFDIR {
		return w.descend(d, p, name, depth, wanted)
	}
	if !wanted {
		return nil
	}
	if why := w.refuses(p, &st); why != "" {
		return w.emit.Refuse(p, why)
	}
	return w.file(d, p, name)
}

func (w *Walker) descend(d *os.File, p, name string, depth int, wanted bool) error {
	if depth >= sandbox.MaxDepth {
		return w.emit.Refuse(p, fmt.Sprintf("deeper than %d directories", sandbox.MaxDepth))
	}
	if err := sandbox.CheckPath(p); err != nil && wanted {
		return w.emit.Refuse(p, err.Error())
	}
	sub, err := openAt(d, name, unix.O_DIRECTORY)
	if err != nil {
		return w.emit.Refuse(p, "the directory cannot be opened: "+reason(err))
	}
	return w.dir(sub, p, depth+1)
}

// leads says whether something declared may lie below the directory p.
func (w *Walker) leads(p string) bool {
	depth := strings.Count(p, "/")
	for _, o := range w.Outputs {
		parts := strings.Split(o, "/")
		if len(parts) > depth+1 {
			if ok, _ := path.Match(strings.Join(parts[:depth+1], "/"), p); ok {
				return true
			}
		}
		if sandbox.MatchOutput(o, p) {
			return true
		}
	}
	return false
}

func (w *Walker) refuses(p string, st *unix.Stat_t) string {
	if err := sandbox.CheckPath(p); err != nil {
		return err.Error()
	}
	if why := irregular(st); why != "" {
		return why
	}
	switch {
	case w.files >= w.Limits.OutputFiles:
		return fmt.Sprintf("more than %d files", w.Limits.OutputFiles)
	case st.Size > w.Limits.OutputBytes-w.bytes:
		return fmt.Sprintf("%s%d bytes", sandbox.OutputsTooLarge, w.Limits.OutputBytes)
	}
	return ""
}

// irregular answers why a file is not what it seems to be.
func irregular(st *unix.Stat_t) string {
	switch st.Mode & unix.S_IFMT {
	case unix.S_IFREG:
	case unix.S_IFLNK:
		return "a symbolic link, not a file"
	case unix.S_IFIFO:
		return "a named pipe, not a file"
	case unix.S_IFSOCK:
		return "a socket, not a file"
	case unix.S_IFBLK, unix.S_IFCHR:
		return "a device, not a file"
	default:
		return "not a regular file"
	}
	if st.Nlink > 1 {
		return "a file with more than one name (hard link)"
	}
	if st.Size > sparseFloor && float64(st.Blocks)*512 < 0.9*float64(st.Size) {
		return "a sparse file: it claims more bytes than it holds"
	}
	return ""
}

// sparseFloor: below it a file system may pack or inline a file, so blocks say nothing.
const sparseFloor = 1 << 20

func (w *Walker) file(d *os.File, p, name string) error {
	f, err := openAt(d, name, 0)
	if err != nil {
		return w.emit.Refuse(p, "the file cannot be opened: "+reason(err))
	}
	defer f.Close()
	var before unix.Stat_t
	if err := unix.Fstat(int(f.Fd()), &before); err != nil {
		return w.emit.Refuse(p, reason(err))
	}
	if why := w.refuses(p, &before); why != "" { // again: the name may mean another file by now
		return w.emit.Refuse(p, why)
	}
	w.files++
	w.bytes += before.Size
	return w.emit.File(sandbox.File{Path: p, Size: before.Size}, io.LimitReader(f, before.Size), func() error {
		return unchanged(f, &before)
	})
}

func unchanged(f *os.File, before *unix.Stat_t) error {
	var after unix.Stat_t
	if err := unix.Fstat(int(f.Fd()), &after); err != nil {
		return err
	}
	if after.Size != before.Size || after.Mtim != before.Mtim || after.Ctim != before.Ctim {
		return fmt.Errorf("the file changed while it was read")
	}
	return nil
}

// openAt opens one name inside d: no links, no mount points, no waiting.
func openAt(d *os.File, name string, flags uint64) (*os.File, error) {
	fd, err := unix.Openat2(int(d.Fd()), name, &unix.OpenHow{
		Flags:   flags | unix.O_RDONLY | unix.O_NONBLOCK | unix.O_NOCTTY | unix.O_NOFOLLOW | unix.O_CLOEXEC,
		Resolve: unix.RESOLVE_BENEATH | unix.RESOLVE_NO_SYMLINKS | unix.RESOLVE_NO_MAGICLINKS | unix.RESOLVE_NO_XDEV,
	})
	if err != nil {
		return nil, err
	}
	return os.NewFile(uintptr(fd), name), nil
}

// reason is an error without the path, which may deceive.
func reason(err error) string {
	if pe, ok := err.(*fs.PathError); ok {
		return pe.Err.Error()
	}
	return err.Error()
}
