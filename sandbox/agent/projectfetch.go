package agent

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"maps"
	"os"
	"path"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"tresor/sandbox"
)

// Fetch writes what is new in the project into the folder: each file under a name of its
// own first, then in its place at once. A file that the command has changed itself is left
// as it is. What cannot be written is said in the log; the error is that of the task service.
func (p *Project) Fetch(ctx context.Context) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	v, err := p.open()
	if err != nil {
		return err
	}
	defer v.close()
	left, leftBytes := 0, int64(0)
	tag, err := p.link.list(ctx, p.tag, func(f remote) error {
		took, err := p.take(ctx, v, f)
		if err == nil && !took {
			left, leftBytes = left+1, leftBytes+f.Size
		}
		return err
	})
	if err != nil {
		return err
	}
	p.tag = tag
	for name, f := range maps.Clone(p.waiting) { // the command may have made way
		if _, err := p.take(ctx, v, f); err != nil {
			return at(name, err)
		}
	}
	if left > 0 {
		p.say("%d files of the project (%d MB) are not in %s, which takes %d files and %d MB. Name a folder of the project as the working folder, or read them at http://%s%s/",
			left, leftBytes>>20, sandbox.Printable(p.target), mostProjectFiles, mostProjectBytes>>20, InsideName, sandbox.ProjectFolder)
	}
	return nil
}

// take brings one file up to date; false when there is no room for it.
func (p *Project) take(ctx context.Context, v *volume, f remote) (bool, error) {
	name, ok := strings.CutPrefix(f.Path, p.link.prefix)
	if !ok || ownProject(name) || sandbox.CheckPath(path.Join(p.target, name)) != nil {
		return true, nil
	}
	k := p.files[name]
	if k != nil && k.sum == f.SHA256 {
		return true, nil
	}
	delete(p.waiting, name)
	if !p.replaceable(v, name, f, k) {
		return true, nil
	}
	if k == nil && (len(p.files) >= mostProjectFiles || p.bytes+f.Size > mostProjectBytes) {
		return false, nil
	}
	if f.Size > p.limit {
		p.once(name, fmt.Sprintf("not fetched: %d bytes are more than the file size limit of %d", f.Size, p.limit))
		return true, nil
	}
	s, err := p.write(ctx, v, name, f)
	var denied *Denial
	switch {
	case err == nil:
		p.know(name, &known{f.SHA256, s, f.Size})
	case errors.As(err, &denied) && final(err): // it has changed again: the next list has it
	case errors.As(err, new(plain)):
		p.waiting[name] = f
		p.once(name, "not fetched: "+err.Error())
	default:
		return true, at(name, err)
	}
	return true, nil
}

// replaceable says whether the project's version may take the place of what is in the folder.
func (p *Project) replaceable(v *volume, name string, f remote, k *known) bool {
	file, err := openRegular(v, name)
	if errors.Is(err, unix.ENOENT) {
		return true
	}
	if err != nil {
		p.waiting[name] = f
		p.once(name, "not fetched: "+p.stood(name, err).Error())
		return false
	}
	defer file.Close()
	if k != nil && k.stamp == stampOf(&file.stat) {
		return true
	}
	switch sum, err := sumOfFile(file); {
	case err == nil && k != nil && sum == k.sum:
		return true
	case err == nil && sum == f.SHA256:
		p.know(name, &known{f.SHA256, file.settled, f.Size})
	default:
		p.waiting[name] = f
		p.once(name, "changed here and in the project: the project's version was not fetched. Remove this one to get it")
	}
	return false
}

// plainFile is a regular file of the volume, open for reading.
type plainFile struct {
	*os.File
	stat    unix.Stat_t
	settled stamp
}

func openRegular(v *volume, name string) (*plainFile, error) {
	f, err := open2(v.dir, name, reading, 0, strictly)
	if err != nil {
		return nil, err
	}
	p := &plainFile{File: f}
	err = unix.Fstat(int(f.Fd()), &p.stat)
	if p.settled = stampOf(&p.stat).settled(); err == nil && p.stat.Mode&unix.S_IFMT != unix.S_IFREG {
		err = unix.EISDIR
	}
	if err != nil {
		f.Close()
		return nil, err
	}
	return p, nil
}

func sumOfFile(f io.Reader) (string, error) {
	h := sha256.New()
	_, err := io.Copy(h, f)
	return hex.EncodeToString(h.Sum(nil)), err
}

// write fetches a file into the sandbox's own folder of the volume and moves it to its
// place, with the time at which the project got it: engines compare those. A plain error
// is about the folder, any other about the task service.
func (p *Project) write(ctx context.Context, v *volume, name string, f remote) (stamp, error) {
	own, err := subfolder(v.dir, OwnDir)
	if err != nil {
		return stamp{}, p.stood(name, err)
	}
	defer own.Close()
	const temp = "fetched"
	mode := uint32(0o644)
	if f.Executable {
		mode = 0o755
	}
	out, err := createIn(own, temp, mode)
	if err != nil {
		return stamp{}, p.stood(name, err)
	}
	defer out.Close()
	defer unix.Unlinkat(int(own.Fd()), temp, 0) // after the move there is none
	w := &hashing{w: out, h: sha256.New()}
	if err := p.link.get(ctx, name, f, w); err != nil {
		if w.err != nil {
			return stamp{}, p.stood(name, w.err)
		}
		return stamp{}, err
	}
	if hex.EncodeToString(w.h.Sum(nil)) != f.SHA256 {
		return stamp{}, errors.New("other bytes came than were announced")
	}
	return p.place(v, own, out, temp, name, f.CreatedAt)
}

// place moves a file that is whole to where it belongs.
func (p *Project) place(v *volume, own, out *os.File, temp, name string, when time.Time) (stamp, error) {
	dir, err := v.folder(path.Join(p.target, path.Dir(name)))
	if err != nil {
		return stamp{}, p.stood(name, err)
	}
	defer dir.Close()
	tv := unix.NsecToTimeval(when.UnixNano())
	_ = unix.Futimes(int(out.Fd()), []unix.Timeval{tv, tv})
	if err := unix.Renameat(int(own.Fd()), temp, int(dir.Fd()), path.Base(name)); err != nil {
		return stamp{}, p.stood(name, err)
	}
	var st unix.Stat_t
	if err := unix.Fstat(int(out.Fd()), &st); err != nil || st.Mtim.Nano() != tv.Nano() { // somebody was quicker
		return stamp{}, nil
	}
	return stampOf(&st), nil
}

// stood says what in the folder stood in the way.
func (p *Project) stood(name string, err error) error {
	return plain{strings.TrimPrefix(plainly(path.Join(p.target, name), err).Error(), sandbox.Printable(path.Join(p.target, name))+": ")}
}

// hashing remembers its own errors, to tell them from those of the other side.
type hashing struct {
	w   io.Writer
	h   hash.Hash
	err error
}

// Write implements io.Writer.
func (h *hashing) Write(b []byte) (int, error) {
	n, err := h.w.Write(b)
	h.h.Write(b[:n])
	if err != nil {
		h.err = err
	}
	return n, err
}
