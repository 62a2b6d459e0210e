package agent

import (
	"io"
	"sync"

	"tresor/sandbox"
)

// tee writes a stream to its file as well, until the file has its full size or breaks. Then
// it says so once in the log, and the command goes on.
type tee struct {
	mu    sync.Mutex
	w     io.Writer
	left  int64
	name  string
	log   *Spool
	ended bool
}

func newTee(w io.Writer, limit int64, name string, log *Spool) *tee {
	return &tee{w: w, left: limit, name: sandbox.Printable(name), log: log}
}

// writer answers nil for none, and not an interface that holds one.
func (t *tee) writer() io.Writer {
	if t == nil {
		return nil
	}
	return t
}

// Write implements io.Writer and never fails.
func (t *tee) Write(p []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.ended {
		return len(p), nil
	}
	n, err := t.w.Write(p[:min(int64(len(p)), t.left)])
	t.left -= int64(n)
	switch {
	case err != nil:
		t.ended = true
		t.log.Say("the file %s ends here: %s", t.name, reason(err))
	case n < len(p):
		t.ended = true
		t.log.Say("the file %s ends here: it has reached the file size limit", t.name)
	}
	return len(p), nil
}
