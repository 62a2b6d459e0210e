package podman

import (
	"errors"
	"io"
	"sync"

	"tresor/sandbox"
)

// gate passes an archive on while a second reader checks it, and ends the stream only
// when the check has passed. A refused archive ends in an error, so that the receiver
// never has a whole one.
type gate struct {
	in   io.Reader
	pw   *io.PipeWriter
	done chan struct{}

	mu      sync.Mutex
	archive sandbox.Archive
	err     error
}

func newGate(in io.Reader, arch string) *gate {
	pr, pw := io.Pipe()
	g := &gate{in: in, pw: pw, done: make(chan struct{})}
	go func() {
		defer close(g.done)
		a, err := sandbox.ReadArchive(pr)
		if err == nil && a.Arch != arch {
			err = sandbox.Invalid("the image is for %s, this host is %s", sandbox.Printable(a.Arch), arch)
		}
		g.mu.Lock()
		g.archive, g.err = a, err
		g.mu.Unlock()
		pr.CloseWithError(errChecked)
	}()
	return g
}

var errChecked = errors.New("the check has ended")

// Read implements io.Reader for the upload.
func (g *gate) Read(p []byte) (int, error) {
	n, err := g.in.Read(p)
	if n > 0 {
		if _, werr := g.pw.Write(p[:n]); werr != nil {
			return 0, g.refused()
		}
	}
	if err == nil {
		return n, nil
	}
	g.pw.CloseWithError(eofAsEnd(err))
	if refused := g.refused(); refused != nil {
		return 0, refused
	}
	return n, err
}

// eofAsEnd: a pipe that is closed with io.EOF reads as a plain end.
func eofAsEnd(err error) error {
	if err == io.EOF {
		return nil
	}
	return err
}

func (g *gate) refused() error {
	<-g.done
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.err
}

// verdict ends the check if the receiver gave up early and answers it.
func (g *gate) verdict() (sandbox.Archive, error) {
	g.close()
	err := g.refused()
	if errors.Is(err, errAbandoned) {
		return g.archive, nil // the receiver's own error says why
	}
	return g.archive, err
}

var errAbandoned = errors.New("the upload was abandoned")

func (g *gate) close() { g.pw.CloseWithError(errAbandoned) }
