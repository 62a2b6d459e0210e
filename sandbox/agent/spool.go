package agent

import (
	"fmt"
	"io"
	"os"
	"sync"
)

// A Spool keeps the first bytes of a log in a file and counts the rest. One writer,
// many readers.
type Spool struct {
	limit int64

	mu      sync.Mutex
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

// Write never fails for want of room: what does not fit is counted and dropped, so
// that a command which writes without end is slowed by nothing and fills nothing.
func (s *Spool) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	room := max(s.limit-s.kept, 0)
	if s.dropped > 0 {
		room = 0
	}
	head := p[:min(int64(len(p)), room)]
	s.keep(head)
	if rest := int64(len(p) - len(head)); rest > 0 {
		s.drop(rest)
	}
	return len(p), nil
}

func (s *Spool) keep(p []byte) {
	if len(p) == 0 {
		return
	}
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

// Say adds a line of our own, whatever the cap.
func (s *Spool) Say(format string, args ...any) {
	s.mu.Lock()
	defer s.mu.Unlock()
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

// Read fills p from offset. Where nothing is there yet it answers 0 and a channel
// that closes when that may have changed; after End it answers io.EOF.
func (s *Spool) Read(p []byte, offset int64) (int, <-chan struct{}, error) {
	s.mu.Lock()
	kept, closed, grown := s.kept, s.closed, s.grown
	s.mu.Unlock()
	if offset >= kept {
		if closed {
			return 0, nil, io.EOF
		}
		return 0, grown, nil
	}
	n, err := s.file.ReadAt(p[:min(int64(len(p)), kept-offset)], offset)
	if n > 0 {
		return n, nil, nil
	}
	if err == io.EOF { // the command, whose uid is ours, has cut the file: what is gone is no end
		lost := p[:min(int64(len(p)), kept-offset)]
		for i := range lost {
			lost[i] = '?'
		}
		return len(lost), nil, nil
	}
	return 0, nil, err
}
