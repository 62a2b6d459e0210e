package agent

import (
	"fmt"
	"io"

	"tresor/sandbox"
)

// FrameEmitter writes what a Walker finds as an output stream.
type FrameEmitter struct{ W io.Writer }

// File implements Emitter.
func (e FrameEmitter) File(f sandbox.File, r io.Reader, done func() error) error {
	w := frameWriter{e.W}
	if err := w.putJSON(frameFile, fileHead{Path: f.Path, Size: f.Size}); err != nil {
		return err
	}
	sent, readErr, err := e.data(w, r)
	if err != nil {
		return err
	}
	if readErr == nil && sent != f.Size {
		readErr = fmt.Errorf("the file shrank while it was read")
	}
	if readErr == nil {
		readErr = done()
	}
	if readErr != nil {
		return w.putJSON(frameAbort, sandbox.Refusal{Path: sandbox.Printable(f.Path), Reason: reason(readErr)})
	}
	return w.put(frameEnd, nil)
}

func (e FrameEmitter) data(w frameWriter, r io.Reader) (sent int64, readErr, err error) {
	buf := make([]byte, 128<<10)
	for {
		n, rerr := r.Read(buf)
		if n > 0 {
			if err := w.put(frameData, buf[:n]); err != nil {
				return sent, nil, err
			}
			sent += int64(n)
		}
		if rerr == io.EOF {
			return sent, nil, nil
		}
		if rerr != nil {
			return sent, rerr, nil
		}
	}
}

// Refuse implements Emitter.
func (e FrameEmitter) Refuse(path, reason string) error {
	return frameWriter{e.W}.putJSON(frameRefuse, sandbox.Refusal{Path: sandbox.Printable(path), Reason: reason})
}

// Finish ends the stream.
func (e FrameEmitter) Finish() error { return frameWriter{e.W}.put(frameFinish, nil) }
