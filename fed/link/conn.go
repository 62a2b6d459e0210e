package link

import (
	"errors"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/gorilla/websocket"
	"tresor/fed/wire"
)

// Conn is a WebSocket as a net.Conn. Until Start it carries whole messages of
// the handshake; after it, a stream of bytes for yamux.
type Conn struct {
	ws     *websocket.Conn
	limits Limits

	rmu    sync.Mutex // one reader
	r      io.Reader  // the message being read, nil between messages
	guard  *guard     // nil during the handshake
	failed atomic.Pointer[wire.Refusal]

	wmu  sync.Mutex // one writer
	held []byte     // a yamux header that waits for its body, to share its message

	closed atomic.Bool
	seen   atomic.Int64 // Unix nanoseconds of the last message
}

var _ net.Conn = (*Conn)(nil)

func newConn(ws *websocket.Conn, l Limits) *Conn {
	c := &Conn{ws: ws, limits: l}
	ws.SetReadLimit(wire.MaxMessage)
	deadline := time.Now().Add(l.Handshake)
	ws.SetReadDeadline(deadline)
	ws.SetWriteDeadline(deadline)
	return c
}

// ReadMessage reads one message of the handshake.
func (c *Conn) ReadMessage() ([]byte, error) {
	t, data, err := c.ws.ReadMessage()
	if err != nil {
		return nil, ended(err)
	}
	if t != websocket.TextMessage {
		return nil, wire.Refuse(wire.CodeMalformed, "the peer sent data before the handshake was over")
	}
	return data, nil
}

// WriteMessage writes one message of the handshake.
func (c *Conn) WriteMessage(data []byte) error {
	return c.ws.WriteMessage(websocket.TextMessage, data)
}

// Refuse tells the peer why and closes the connection.
func (c *Conn) Refuse(r *wire.Refusal) {
	_ = c.WriteMessage(r.Encode())
	c.Close()
}

// stream ends the handshake: from here on the connection is a stream of bytes.
func (c *Conn) stream(g *guard) {
	c.guard = g
	c.ws.SetReadLimit(maxMessage)
	c.ws.SetWriteDeadline(time.Time{})
}

// Read reads what yamux frames the guard lets pass.
func (c *Conn) Read(p []byte) (int, error) {
	c.rmu.Lock()
	defer c.rmu.Unlock()
	for {
		if c.r == nil {
			if err := c.next(); err != nil {
				return 0, err
			}
		}
		n, err := c.r.Read(p)
		if err == io.EOF {
			c.r, err = nil, nil
		}
		if n > 0 && c.guard != nil {
			if r := c.guard.check(p[:n], time.Now()); r != nil {
				return 0, c.note(r)
			}
		}
		if n > 0 || err != nil {
			return n, c.local(err)
		}
	}
}

func (c *Conn) next() error {
	// Both ends ping, so silence for three intervals is a dead peer even when
	// nothing is being written here.
	c.ws.SetReadDeadline(time.Now().Add(3*c.limits.Keepalive + c.limits.WriteTimeout))
	t, r, err := c.ws.NextReader()
	if err != nil {
		return c.local(c.note(ended(err)))
	}
	if t != websocket.BinaryMessage {
		return c.note(wire.Refuse(wire.CodeMalformed, "the peer sent text on an open link"))
	}
	c.r = r
	c.seen.Store(time.Now().UnixNano())
	return nil
}

// note remembers why this end will cut the link: yamux may report what followed.
func (c *Conn) note(err error) error {
	var r *wire.Refusal
	if errors.As(err, &r) {
		c.failed.CompareAndSwap(nil, r)
	}
	return err
}

// local makes the error after a Close at this end the one that net.Conn has.
func (c *Conn) local(err error) error {
	if err != nil && c.closed.Load() {
		return net.ErrClosed
	}
	return err
}

// Write sends one message. A yamux data header is held until its body comes, so
// that both are one message: yamux always writes the body next.
func (c *Conn) Write(p []byte) (int, error) {
	c.wmu.Lock()
	defer c.wmu.Unlock()
	if c.held == nil && hasBody(p) {
		c.held = append(make([]byte, 0, headerSize), p...)
		return len(p), nil
	}
	held := c.held
	c.held = nil
	c.ws.SetWriteDeadline(time.Now().Add(c.limits.WriteTimeout))
	w, err := c.ws.NextWriter(websocket.BinaryMessage)
	if err != nil {
		return 0, c.local(err)
	}
	_, err1 := w.Write(held)
	n, err2 := w.Write(p)
	return n, c.local(errors.Join(err1, err2, w.Close()))
}

// Close says goodbye without waiting for an answer and ends reads and writes.
func (c *Conn) Close() error {
	if c.closed.Swap(true) {
		return nil
	}
	goodbye := websocket.FormatCloseMessage(websocket.CloseNormalClosure, "")
	_ = c.ws.WriteControl(websocket.CloseMessage, goodbye, time.Now().Add(200*time.Millisecond))
	return c.ws.Close()
}

// LocalAddr and RemoteAddr are those of the socket; behind a proxy, the proxy's.
func (c *Conn) LocalAddr() net.Addr  { return c.ws.LocalAddr() }
func (c *Conn) RemoteAddr() net.Addr { return c.ws.RemoteAddr() }

// SetDeadline and the others act on the socket. On an open link the next read or
// write sets its own.
func (c *Conn) SetDeadline(t time.Time) error      { return c.ws.NetConn().SetDeadline(t) }
func (c *Conn) SetReadDeadline(t time.Time) error  { return c.ws.NetConn().SetReadDeadline(t) }
func (c *Conn) SetWriteDeadline(t time.Time) error { return c.ws.NetConn().SetWriteDeadline(t) }
