package agent

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"tresor/sandbox"
)

// Outputs cross the link as frames: one type byte, four bytes of length (big endian),
// payload. A stream is (file data* (end | abort) | refuse)* finish.
const (
	frameFile   = 'F' // JSON fileHead
	frameData   = 'D' // bytes of the file; never more than its size
	frameEnd    = 'E' // empty: the file is whole
	frameAbort  = 'A' // JSON sandbox.Refusal: the file could not be read to its end
	frameRefuse = 'R' // JSON sandbox.Refusal
	frameFinish = 'Z' // empty: the walk is complete
)

// The log crosses in frames too: so much of standard output or error, to the end of the body.
const (
	frameOut = 'O'
	frameErr = 'X'
)

var logKinds = [2]byte{frameOut, frameErr}

const maxLogFrame = 64 << 10 // bytes of one piece of log

const (
	maxFrame = 256 << 10 // bytes of one payload
	maxHead  = 8 << 10   // bytes of a JSON payload
)

var errFrame = errors.New("malformed output stream")

type fileHead struct {
	Path string `json:"path"`
	Size int64  `json:"size"`
}

type frameWriter struct{ w io.Writer }

func (f frameWriter) put(kind byte, payload []byte) error {
	var head [5]byte
	head[0] = kind
	binary.BigEndian.PutUint32(head[1:], uint32(len(payload)))
	if _, err := f.w.Write(head[:]); err != nil {
		return err
	}
	_, err := f.w.Write(payload)
	return err
}

func (f frameWriter) putJSON(kind byte, v any) error {
	b, err := json.Marshal(v)
	if err != nil {
		return err
	}
	return f.put(kind, b)
}

// A Receiver reads an output stream that a container sent. Nothing in it is believed:
// names pass sandbox.CheckPath and must have been declared, sizes and counts keep to
// the limits, and a file is handed over only as a reader of exactly its size.
type Receiver struct {
	r       io.Reader
	outputs []string
	limits  sandbox.Limits
	seen    map[string]bool
	files   int
	bytes   int64
	refused Refusals
}

// NewReceiver takes the declared outputs and the limits from the Spec, never from the stream.
func NewReceiver(r io.Reader, outputs []string, limits sandbox.Limits) *Receiver {
	return &Receiver{r: r, outputs: outputs, limits: limits, seen: map[string]bool{}}
}

// Receive hands each file to sink and answers what came. A malformed stream is an
// error of the stream, an error of sink is returned as it is.
func (rc *Receiver) Receive(sink func(sandbox.File, io.Reader) error) (sandbox.Collected, error) {
	for {
		kind, size, err := rc.head()
		if err != nil {
			return rc.sum(), err
		}
		switch kind {
		case frameFinish:
			if size != 0 {
				return rc.sum(), errFrame
			}
			return rc.sum(), nil
		case frameRefuse:
			err = rc.refusal(size)
		case frameFile:
			err = rc.file(size, sink)
		default:
			err = fmt.Errorf("%w: unexpected frame %q", errFrame, kind)
		}
		if err != nil {
			return rc.sum(), err
		}
	}
}

func (rc *Receiver) sum() sandbox.Collected {
	return sandbox.Collected{Files: rc.files, Bytes: rc.bytes, Refused: rc.refused.List()}
}

func (rc *Receiver) head() (kind byte, size int, err error) {
	var head [5]byte
	if _, err := io.ReadFull(rc.r, head[:]); err != nil {
		return 0, 0, fmt.Errorf("%w: %w", errFrame, err)
	}
	n := binary.BigEndian.Uint32(head[1:])
	if n > maxFrame || head[0] != frameData && n > maxHead {
		return 0, 0, fmt.Errorf("%w: frame of %d bytes", errFrame, n)
	}
	return head[0], int(n), nil
}

func (rc *Receiver) decode(size int, v any) error {
	b := make([]byte, size)
	if _, err := io.ReadFull(rc.r, b); err != nil {
		return fmt.Errorf("%w: %w", errFrame, err)
	}
	if err := json.Unmarshal(b, v); err != nil {
		return fmt.Errorf("%w: %w", errFrame, err)
	}
	return nil
}

func (rc *Receiver) refusal(size int) error {
	var r sandbox.Refusal
	if err := rc.decode(size, &r); err != nil {
		return err
	}
	rc.refused.Add(r.Path, sandbox.Printable(r.Reason))
	return nil
}

func (rc *Receiver) file(size int, sink func(sandbox.File, io.Reader) error) error {
	var h fileHead
	if err := rc.decode(size, &h); err != nil {
		return err
	}
	if reason := rc.unwanted(h); reason != "" {
		return fmt.Errorf("%w: %s: %s", errFrame, sandbox.Printable(h.Path), reason)
	}
	rc.seen[h.Path] = true
	body := &fileReader{rc: rc, left: h.Size}
	sinkErr := sink(sandbox.File{Path: h.Path, Size: h.Size}, body)
	if body.aborted != nil { // the file shrank or could not be read: the sink saw ErrUnexpectedEOF and dropped it
		rc.refused.Add(h.Path, sandbox.Printable(body.aborted.Reason))
		return nil
	}
	if body.broken != nil {
		return body.broken
	}
	if sinkErr != nil {
		return sinkErr
	}
	if err := body.finish(); err != nil {
		return err
	}
	rc.files++
	rc.bytes += h.Size
	return nil
}

func (rc *Receiver) unwanted(h fileHead) string {
	switch {
	case h.Size < 0 || h.Size > rc.limits.OutputBytes-rc.bytes:
		return "more bytes than allowed"
	case rc.files >= rc.limits.OutputFiles:
		return "more files than allowed"
	case rc.seen[h.Path]:
		return "sent twice"
	case !covered(rc.outputs, h.Path):
		return "not declared"
	}
	if err := sandbox.CheckPath(h.Path); err != nil {
		return err.Error()
	}
	return ""
}

func covered(patterns []string, p string) bool {
	for _, o := range patterns {
		if sandbox.MatchOutput(o, p) {
			return true
		}
	}
	return false
}
