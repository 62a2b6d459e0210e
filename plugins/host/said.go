package host

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"time"
)

// maxSaid bounds what is kept of a process's first words, in bytes.
const maxSaid = 300

// said keeps the first words that a process writes to its standard error while
// they are read for the log: when it does not start, they are the reason.
type said struct {
	io.ReadCloser
	mu   sync.Mutex
	kept bytes.Buffer
}

func (s *said) Read(b []byte) (int, error) {
	n, err := s.ReadCloser.Read(b)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.kept.Write(b[:min(n, maxSaid-s.kept.Len())])
	return n, err
}

func (s *said) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return strings.Join(strings.Fields(strings.ToValidUTF8(s.kept.String(), "?")), " ")
}

// reason says why a process did not come up, in the words of who knows: the
// process itself, the kernel that ended it, or else go-plugin's err. It ends the
// process.
func (p *process) reason(err error) error {
	r := p.runner
	if r == nil || r.cmd == nil || r.cmd.Process == nil {
		p.kill()
		return shorter(err)
	}
	ended := false
	select {
	case <-r.exited:
		ended = true
	case <-time.After(200 * time.Millisecond):
	}
	p.kill()
	text := shorter(err).Error()
	if strings.HasPrefix(text, "Unrecognized remote plugin message") {
		text = "it did not write the first line that the contract asks for"
	}
	if ended && r.cmd.ProcessState != nil {
		text = fmt.Sprintf("%s; it ended with %s", text, r.cmd.ProcessState)
	}
	if words := r.stderr.String(); words != "" && !strings.Contains(text, words) {
		text += "; it wrote: " + words
	}
	return errors.New(text)
}
