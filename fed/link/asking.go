package link

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"tresor/fed/wire"
)

// asking is one stream on which one question at a time is asked.
type asking struct {
	t     *Transport
	conn  net.Conn
	r     *bufio.Reader
	w     *bufio.Writer
	left  int64        // bytes of a head that may still be read; < 0: no bound, it is the body
	got   atomic.Int64 // bytes of this answer
	used  bool         // has answered before
	since time.Time    // idle
}

// Read is what the buffer reads from: a head is bounded.
func (a *asking) Read(p []byte) (int, error) {
	if a.left == 0 {
		return 0, wire.Refuse(wire.CodeSize, "the head of the peer's answer has more than %d bytes", a.t.limits.HeaderBytes)
	}
	if a.left > 0 {
		p = p[:min(int64(len(p)), a.left)]
	}
	n, err := a.conn.Read(p)
	a.got.Add(int64(n))
	if a.left > 0 {
		a.left -= int64(n)
	}
	return n, err
}

// ask writes the question and reads the head of the answer. When ctx ends, so does the
// stream, in whatever state it is.
func (a *asking) ask(r *http.Request) (*http.Response, error) {
	stop := context.AfterFunc(r.Context(), func() {
		_ = a.conn.SetReadDeadline(time.Unix(1, 0)) // a stream that is closed here still reads
		a.conn.Close()
	})
	resp, err := a.exchange(r)
	if err != nil {
		stop()
		return nil, err
	}
	body := &answer{ReadCloser: resp.Body, a: a, ctx: r.Context(), stop: stop, whole: !resp.Close && !r.Close}
	if resp.Body == http.NoBody {
		body.finish(true)
		return resp, nil
	}
	resp.Body = body
	return resp, nil
}

func (a *asking) exchange(r *http.Request) (*http.Response, error) {
	a.left = int64(a.t.limits.HeaderBytes)
	err := r.Write(a.w)
	if err == nil {
		err = a.w.Flush()
	}
	if err != nil {
		return nil, err
	}
	for range mostInfo {
		resp, err := http.ReadResponse(a.r, r)
		if err != nil {
			if errors.Is(err, io.EOF) {
				err = io.ErrUnexpectedEOF
			}
			return nil, err
		}
		if resp.StatusCode >= 200 {
			a.left = -1
			return resp, nil
		}
		if resp.StatusCode == http.StatusSwitchingProtocols {
			break
		}
	}
	return nil, errors.New("the peer does not come to its answer")
}

// end gives the place back, and the stream if it can be used again.
func (a *asking) end(again bool) {
	if !again || a.r.Buffered() > 0 || !a.t.keep(a) {
		a.conn.Close()
	}
	<-a.t.places
}

// answer is a body; with its last byte its stream is free.
type answer struct {
	io.ReadCloser
	a     *asking
	ctx   context.Context
	stop  func() bool
	whole bool // the stream is still good when the body has ended
	once  sync.Once
}

func (b *answer) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	if err != nil {
		b.finish(err == io.EOF)
		if ctxErr := b.ctx.Err(); ctxErr != nil && err != io.EOF {
			err = ctxErr
		}
	}
	return n, err
}

// Close ends a stream whose answer was not read to its end.
func (b *answer) Close() error {
	b.finish(false)
	return nil
}

func (b *answer) finish(read bool) {
	b.once.Do(func() { b.a.end(b.stop() && read && b.whole) })
}
