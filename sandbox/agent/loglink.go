package agent

import (
	"bufio"
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"net/http"
	"strconv"

	"tresor/sandbox"
)

// Log hands over the log from a position and follows it to the end of the command. It
// takes no more than limit bytes in all, and a little for the agent's own lines.
func (l *Link) Log(ctx context.Context, from, limit int64, fn func(sandbox.Chunk) error) error {
	resp, err := l.call(ctx, http.MethodGet, "/log?from="+strconv.FormatInt(from, 10))
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	body := &recalled{r: resp.Body}
	in := logReader{r: bufio.NewReaderSize(body, maxLogFrame)}
	for {
		c, err := in.next()
		if err == io.EOF {
			return nil
		}
		if err != nil && body.err != nil && body.err != io.EOF { // the connection, not the agent's words
			return gone(ctx, body.err)
		}
		if err == nil && from+int64(len(c.Data)) > limit+markerRoom {
			err = fmt.Errorf("the log is longer than its cap")
		}
		if err != nil {
			return fmt.Errorf("%w: %w", ErrHostile, err)
		}
		c.Offset = from
		if err := fn(c); err != nil {
			return err
		}
		from += int64(len(c.Data))
	}
}

// recalled remembers how reading ended.
type recalled struct {
	r   io.Reader
	err error
}

func (r *recalled) Read(p []byte) (int, error) {
	n, err := r.r.Read(p)
	if err != nil {
		r.err = err
	}
	return n, err
}

// logReader reads the frames of a log. The data of a chunk are good until the next.
type logReader struct {
	r   io.Reader
	buf []byte
}

// next answers io.EOF only between two frames.
func (l *logReader) next() (sandbox.Chunk, error) {
	var head [5]byte
	if _, err := io.ReadFull(l.r, head[:]); err != nil {
		return sandbox.Chunk{}, err
	}
	n := binary.BigEndian.Uint32(head[1:])
	if head[0] != frameOut && head[0] != frameErr || n == 0 || n > maxLogFrame {
		return sandbox.Chunk{}, fmt.Errorf("%w: log frame %q of %d bytes", errFrame, head[0], n)
	}
	if l.buf == nil {
		l.buf = make([]byte, maxLogFrame)
	}
	if _, err := io.ReadFull(l.r, l.buf[:n]); err != nil {
		return sandbox.Chunk{}, fmt.Errorf("%w: log frame cut short: %w", errFrame, err)
	}
	return sandbox.Chunk{Err: head[0] == frameErr, Data: l.buf[:n]}, nil
}
