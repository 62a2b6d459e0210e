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

func (w *worker) download(ctx context.Context, x wantedResult) (g got, err error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	guard := newSlowGuard(w.s.Pace.Call, cancel)
	defer guard.end()
	resp, err := w.open(ctx, task.PluginPath("tes")+"/releases/"+x.release)
	if err != nil {
		return g, guard.or(err)
	}
	defer resp.Body.Close()
	guard.r = resp.Body
	f, err := os.CreateTemp(w.s.Results, ".in-*")
	if err != nil {
		return g, err
	}
	defer func() {
		f.Close()
		if err != nil {
			os.Remove(f.Name())
		}
	}()
	sum := sha256.New()
	g.size, err = io.Copy(io.MultiWriter(f, sum), io.LimitReader(guard, w.s.Pace.MaxResult+1))
	switch {
	case g.size > w.s.Pace.MaxResult:
		return g, &badResult{"The node's result is larger than this hub takes."}
	case err != nil:
		return g, err
	case resp.ContentLength >= 0 && resp.ContentLength != g.size:
		return g, io.ErrUnexpectedEOF
	}
	if g.facts, err = w.s.verify(f, g.size); err != nil {
		return g, &badResult{"What the node sent is not a released zip: " + clip(fault.Message(err), maxMessage)}
	}
	if g.facts.Release != x.release {
		return g, &badResult{"The node sent another release than the one that was asked for."}
	}
	g.file, g.sha256 = f.Name(), hex.EncodeToString(sum.Sum(nil))
	return g, f.Sync()
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
