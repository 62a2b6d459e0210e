package hub

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io"
	"os"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"tresor/app/fault"
	"tresor/app/release"
	"tresor/fed/task"
)

// badResult is a zip that will not get better.
type badResult struct{ why string }

func (e *badResult) Error() string { return e.why }

func isBad(err error) bool {
	var bad *badResult
	return errors.As(err, &bad)
}

// localFault is this hub's own disk: no fault of the node, and tried again.
type localFault struct{ err error }

func (e *localFault) Error() string {
	return "This hub's disk does not take the result: " + e.err.Error()
}

func isLocal(err error) bool {
	var local *localFault
	return errors.As(err, &local)
}

// disk marks the errors of writing, which io.Copy does not tell from those of reading.
// It looks every now and then whether there is room: others write to the same disk.
type disk struct {
	w    io.Writer
	room func() (int64, error)
	left int64 // bytes until the next look
}

const lookEvery = 16 << 20 // bytes

func (d *disk) Write(p []byte) (int, error) {
	if d.left < int64(len(p)) {
		room, err := d.room()
		if err == nil && room < int64(len(p)) {
			err = &localFault{errFull}
		}
		if err != nil {
			return 0, err
		}
		d.left = min(room, lookEvery)
	}
	d.left -= int64(len(p))
	n, err := d.w.Write(p)
	if err != nil {
		err = &localFault{err}
	}
	return n, err
}

var errFull = errors.New("less than the reserve is free")

// room is how many bytes a result may have now: the disk keeps a reserve for the
// database.
func (s *Service) room() (int64, error) {
	var fs unix.Statfs_t
	if err := unix.Statfs(s.Results, &fs); err != nil {
		return 0, &localFault{err}
	}
	free := int64(fs.Bavail)*int64(fs.Bsize) - s.Pace.Reserve
	if free <= 0 {
		return 0, &localFault{errFull}
	}
	return free, nil
}

// got is a zip in a file of its own, not yet under its name.
type got struct {
	file   string
	sha256 string
	size   int64
	facts  Verified
}

// Verified is what a check of a released zip found.
type Verified struct {
	Release string
	Root    string // of the audit log that it proves against
	Files   []File
}

// verifyRelease checks the zip as anybody can who holds it. The signature of the
// node's log is left aside: its key is not known here.
func verifyRelease(r io.ReaderAt, size int64) (Verified, error) {
	rep, err := release.Verify(r, size, "")
	if err != nil {
		return Verified{}, err
	}
	v := Verified{Release: rep.Release, Root: rep.LogRoot}
	for _, f := range rep.Files {
		v.Files = append(v.Files, File{Path: f.Path, Size: f.Size, SHA256: f.SHA256})
	}
	return v, nil
}

const maxTransfer = 12 * time.Hour // of one zip, however steadily it comes

// download gets one zip into a file of its own and checks it.
func (w *worker) download(ctx context.Context, x wantedResult) (g got, err error) {
	if _, err := w.s.room(); err != nil {
		return g, err
	}
	ctx, cancel := context.WithTimeout(ctx, maxTransfer)
	defer cancel()
	guard := newSlowGuard(w.s.Pace.Call, cancel)
	defer guard.end()
	resp, err := w.open(ctx, task.PluginPath("tes")+"/releases/"+x.release, "")
	if err != nil {
		return g, guard.or(err)
	}
	defer resp.Body.Close()
	guard.r = resp.Body
	f, err := os.CreateTemp(w.s.Results, ".in-*")
	if err != nil {
		return g, &localFault{err}
	}
	defer func() {
		f.Close()
		if err != nil {
			os.Remove(f.Name())
		}
	}()
	sum := sha256.New()
	g.size, err = io.Copy(io.MultiWriter(&disk{w: f, room: w.s.room}, sum), io.LimitReader(guard, w.s.Pace.MaxResult+1))
	switch {
	case g.size > w.s.Pace.MaxResult:
		return g, &badResult{"The node's result is larger than this hub takes."}
	case err != nil:
		return g, err
	case resp.ContentLength >= 0 && resp.ContentLength != g.size:
		return g, io.ErrUnexpectedEOF
	}
	g.file, g.sha256 = f.Name(), hex.EncodeToString(sum.Sum(nil))
	if err := f.Sync(); err != nil {
		return g, &localFault{err}
	}
	g.facts, err = w.s.examine(f, g.size, x.release)
	return g, err
}

// examine checks that a file is the sound zip of that release.
func (s *Service) examine(f *os.File, size int64, release string) (Verified, error) {
	v, err := s.verify(f, size)
	if err != nil {
		return v, &badResult{"What the node sent is not a released zip: " + clip(fault.Message(err), maxMessage)}
	}
	if v.Release != release {
		return v, &badResult{"The node sent another release than the one that was asked for."}
	}
	return v, nil
}

// slowGuard ends a transfer of which nothing comes for a while, from the question on.
type slowGuard struct {
	r     io.Reader
	each  time.Duration
	t     *time.Timer
	ended atomic.Bool
}

func newSlowGuard(each time.Duration, stop func()) *slowGuard {
	s := &slowGuard{each: each}
	s.t = time.AfterFunc(each, func() { s.ended.Store(true); stop() })
	return s
}

// Read never takes the end that it made itself for the end of the zip.
func (s *slowGuard) Read(p []byte) (int, error) {
	s.t.Reset(s.each)
	n, err := s.r.Read(p)
	if s.ended.Load() {
		return 0, context.DeadlineExceeded
	}
	return n, err
}

// or gives the reason for err.
func (s *slowGuard) or(err error) error {
	if s.ended.Load() {
		return context.DeadlineExceeded
	}
	return err
}

func (s *slowGuard) end() { s.t.Stop() }
