package agent

import (
	"fmt"
	"io"
	"os"
	"sync"
)

// A Spool keeps the first bytes of a log in a file and counts the rest. It remembers which
// of them came from standard error. A few writers, many readers.
type Spool struct {
	limit int64
	tee   [2]io.Writer // what else receives standard output and error, whatever the cap

	mu      sync.Mutex
	marks   marks
	file    *os.File
	kept    int64
	dropped int64
	closed  bool
	grown   chan struct{} // closed and replaced whenever a reader may have something new
}

// NewSpool keeps up to limit bytes in f, and one marker line when there was more.
// It owns f. Bytes already in f (an earlier run of the agent) are not touched.
func NewSpool(f *os.File, limit int64) *Spool {
	return &Spool{limit: limit, file: f, grown: make(chan struct{})}
}

// Write adds standard output. It never fails for want of room: what does not fit is counted
// and dropped, so that a command which writes without end is slowed by nothing and fills nothing.
func (s *Spool) Write(p []byte) (int, error) { return s.write(p, false) }

// Errors is the writer of standard error.
func (s *Spool) Errors() io.Writer { return errorsOf{s} }

type errorsOf struct{ s *Spool }

func (e errorsOf) Write(p []byte) (int, error) { return e.s.write(p, true) }

// Tee lets the files of the standard streams receive everything as well; nil is none. To be called before the first Write.
func (s *Spool) Tee(out, errs io.Writer) { s.tee = [2]io.Writer{out, errs} }

func (s *Spool) write(p []byte, errs bool) (int, error) {
	if w := s.tee[index(errs)]; w != nil {
		_, _ = w.Write(p)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	room := max(s.limit-s.kept, 0)
	if s.dropped > 0 {
		room = 0
	}
	head := p[:min(int64(len(p)), room)]
	s.keep(head, errs)
	if rest := int64(len(p) - len(head)); rest > 0 {
		s.drop(rest)
	}
	return len(p), nil
}

func index(errs bool) int {
	if errs {
		return 1
	}
	return 0
}

func (s *Spool) keep(p []byte, errs bool) {
	if len(p) == 0 {
		return
	}
	s.marks.turn(s.kept, errs)
	n, err := s.file.WriteAt(p, s.kept)
	s.kept += int64(n)
	s.wake()
	if err != nil { // disk full or file size limit: from here on we only count
		s.limit = s.kept
		s.drop(int64(len(p) - n))
	}
}

func (s *Spool) drop(n int64) {
	first := s.dropped == 0
	s.dropped += n
	if first {
		s.marks.turn(s.kept, true)
		m, _ := s.file.WriteAt([]byte(marker(s.limit)), s.kept) // a full disk loses the marker; Truncated still says so
		s.kept += int64(m)
		s.wake()
	}
}

func marker(limit int64) string {
	if limit >= 1<<20 {
		return fmt.Sprintf("\n[tresor: log cut after %d MiB]\n", limit>>20)
	}
	return fmt.Sprintf("\n[tresor: log cut after %d bytes]\n", limit)
}

func (s *Spool) wake() {
	close(s.grown)
	s.grown = make(chan struct{})
}

// Say adds a line of our own to the log's standard error, whatever the cap.
func (s *Spool) Say(format string, args ...any) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.marks.turn(s.kept, true)
	n, _ := s.file.WriteAt(fmt.Appendf(nil, "[tresor: "+format+"]\n", args...), s.kept)
	s.kept += int64(n)
	s.wake()
}

// End says that nothing more will come; readers get io.EOF at the end.
func (s *Spool) End() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.closed {
		s.closed = true
		s.wake()
	}
}

// Size is how many bytes can be read, Dropped how many were not kept.
func (s *Spool) Size() (kept, dropped int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.kept, s.dropped
}

// Read fills p from offset with bytes of one stream and says whether that is standard error.
// Where nothing is there yet it answers 0 and a channel that closes when that may have
// changed; after End it answers io.EOF.
func (s *Spool) Read(p []byte, offset int64) (n int, errs bool, grown <-chan struct{}, err error) {
	s.mu.Lock()
	kept, closed, wake := s.kept, s.closed, s.grown
	errs, until := s.marks.at(offset)
	s.mu.Unlock()
	if offset >= kept {
		if closed {
			return 0, false, nil, io.EOF
		}
		return 0, false, wake, nil
	}
	p = p[:min(int64(len(p)), kept-offset, until-offset)]
	n, err = s.file.ReadAt(p, offset)
	if n > 0 {
		return n, errs, nil, nil
	}
	if err == io.EOF { // the command, whose uid is ours, has cut the file: what is gone is no end
		for i := range p {
			p[i] = '?'
		}
		return len(p), errs, nil, nil
	}
	return 0, false, nil, err
}
