package agent

import (
	"fmt"
	"io"

	"tresor/sandbox"
)

// fileReader is the body of one file in an output stream: exactly as many bytes as
// announced and then io.EOF, or io.ErrUnexpectedEOF.
type fileReader struct {
	rc      *Receiver
	left    int64 // bytes of the file still to come
	frame   int   // bytes of the current frame still to come
	ended   bool
	aborted *sandbox.Refusal
	broken  error
}

// Read implements io.Reader. io.EOF comes only after the end frame, so a sink that
// saw io.EOF holds a whole file.
func (f *fileReader) Read(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	for f.frame == 0 {
		if err := f.next(); err != nil {
			return 0, err
		}
	}
	n, err := f.rc.r.Read(p[:min(len(p), f.frame)])
	f.frame -= n
	f.left -= int64(n)
	if err != nil && n == 0 {
		return 0, f.fail(fmt.Errorf("%w: %w", errFrame, err))
	}
	return n, nil
}

func (f *fileReader) next() error {
	switch {
	case f.ended:
		return io.EOF
	case f.aborted != nil:
		return io.ErrUnexpectedEOF
	case f.broken != nil:
		return f.broken
	}
	kind, size, err := f.rc.head()
	if err != nil {
		return f.fail(err)
	}
	switch kind {
	case frameData:
		if int64(size) > f.left || size == 0 {
			return f.fail(fmt.Errorf("%w: more data than announced", errFrame))
		}
		f.frame = size
		return nil
	case frameEnd:
		if size != 0 || f.left != 0 {
			return f.fail(fmt.Errorf("%w: file ends %d bytes early", errFrame, f.left))
		}
		f.ended = true
		return io.EOF
	case frameAbort:
		var r sandbox.Refusal
		if err := f.rc.decode(size, &r); err != nil {
			return f.fail(err)
		}
		f.aborted = &r
		return io.ErrUnexpectedEOF
	}
	return f.fail(fmt.Errorf("%w: frame %q inside a file", errFrame, kind))
}

func (f *fileReader) fail(err error) error {
	f.broken = err
	return err
}

// finish reads what the sink left, so that the stream stands at the next frame.
func (f *fileReader) finish() error {
	_, err := io.Copy(io.Discard, f)
	if f.aborted != nil {
		f.rc.refused.Add("", sandbox.Printable(f.aborted.Reason))
		return fmt.Errorf("%w: aborted after it was taken", errFrame)
	}
	return err
}
