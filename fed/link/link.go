// Package link carries HTTP from a hub to a node over a connection that the node
// dialled: a WebSocket, yamux on it, and an HTTP server at the node's end.
//
// It promises: nothing that a peer sends makes this end hold more than a bounded
// amount (message size, streams, window per stream, rate of opens and pings); a
// peer that fell silent is noticed within Keepalive plus WriteTimeout; a stalled
// reader costs one stream and not the link; Close ends every goroutine.
//
// It never decides who the peer is (fed/hub and fed/node do, before Start) and
// keeps nothing: a crash closes the connection and that is all.
package link

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/http"
	"net/url"
	"sync"
	"time"

	"github.com/gorilla/websocket"
	"tresor/fed/wire"
)

// Protocol is the WebSocket subprotocol that both ends ask for.
const Protocol = "tresor-fed-1"

// Limits bound what a peer can cost. The zero value of a field means its default.
type Limits struct {
	Handshake    time.Duration // whole handshake; 10 s
	Keepalive    time.Duration // between pings; 15 s
	WriteTimeout time.Duration // one write to the socket, one answer to a ping; 10 s
	Stall        time.Duration // one write to a stream whose reader does not read; 60 s
	Idle         time.Duration // an HTTP connection without a request; 90 s
	Header       time.Duration // reading one request's header; 10 s
	Streams      int           // open at once; 128
	OpenRate     float64       // streams opened per second, burst of twice that; 500
	PingRate     float64       // pings and empty frames per second, burst of twice that; 20
	HeaderBytes  int           // header of one request or response; 64 KiB
}

// message and window sizes are constants: yamux allows no smaller window, and
// one message never needs more than one window.
const (
	window     = 256 << 10
	maxMessage = window + 4<<10
)

func (l Limits) filled() Limits {
	set(&l.Handshake, 10*time.Second)
	set(&l.Keepalive, 15*time.Second)
	set(&l.WriteTimeout, 10*time.Second)
	set(&l.Stall, 60*time.Second)
	set(&l.Idle, 90*time.Second)
	set(&l.Header, 10*time.Second)
	set(&l.Streams, 128)
	set(&l.OpenRate, 500)
	set(&l.PingRate, 20)
	set(&l.HeaderBytes, 64<<10)
	return l
}

func set[T comparable](v *T, d T) {
	var zero T
	if *v == zero {
		*v = d
	}
}

// buffers are shared by all connections: an idle link holds no write buffer.
var buffers sync.Pool

const bufferSize = 32 << 10

// DialOptions say how a node reaches a hub.
type DialOptions struct {
	URL     string                                                            // wss:// or ws://
	Proxy   func(*http.Request) (*url.URL, error)                             // nil: no proxy
	TLS     *tls.Config                                                       // nil: the system's roots
	NetDial func(ctx context.Context, network, addr string) (net.Conn, error) // nil: a plain dialer
	Limits  Limits
}

// Dial connects to a hub and leaves the connection ready for the handshake. It
// gives the host that the handshake must name. The error says what to do.
func Dial(ctx context.Context, o DialOptions) (*Conn, string, error) {
	u, err := url.Parse(o.URL)
	if err != nil || u.Host == "" || (u.Scheme != "ws" && u.Scheme != "wss") {
		return nil, "", wire.Refuse(wire.CodeMalformed, "the hub's address is wss://host/path: correct it")
	}
	limits := o.Limits.filled()
	d := websocket.Dialer{Proxy: o.Proxy, NetDialContext: o.NetDial, TLSClientConfig: o.TLS, HandshakeTimeout: limits.Handshake,
		ReadBufferSize: 4 << 10, WriteBufferSize: bufferSize, WriteBufferPool: &buffers, Subprotocols: []string{Protocol}}
	ws, resp, err := d.DialContext(ctx, o.URL, nil)
	if err != nil {
		return nil, u.Host, dialError(u.Host, resp, err)
	}
	if ws.Subprotocol() != Protocol {
		ws.Close()
		return nil, u.Host, wire.Refuse(wire.CodeVersion, "what answers at %s is not a Tresor hub of this version: check the address", u.Host)
	}
	return newConn(ws, limits), u.Host, nil
}

func dialError(host string, resp *http.Response, err error) error {
	if resp != nil {
		return wire.Refuse(wire.CodeOffline, "%s answered %d instead of opening a link: check the hub's address and path", host, resp.StatusCode)
	}
	return &net.OpError{Op: "dial hub", Net: "tcp", Err: err}
}

// Accept takes a node's connection at the hub. On error the response was written.
func Accept(w http.ResponseWriter, r *http.Request, l Limits) (*Conn, error) {
	l = l.filled()
	up := websocket.Upgrader{HandshakeTimeout: l.Handshake, ReadBufferSize: 4 << 10, WriteBufferSize: bufferSize,
		WriteBufferPool: &buffers, Subprotocols: []string{Protocol},
		// A browser has no business here: nodes send no Origin.
		CheckOrigin: func(r *http.Request) bool { return r.Header.Get("Origin") == "" }}
	ws, err := up.Upgrade(w, r, nil)
	if err != nil {
		return nil, err
	}
	if ws.Subprotocol() != Protocol {
		ws.Close()
		return nil, wire.Refuse(wire.CodeVersion, "the node does not speak %s", Protocol)
	}
	return newConn(ws, l), nil
}

// ended turns a WebSocket error into what a net.Conn says: io.EOF only when the
// peer said goodbye, so that a cut is never taken for an end.
func ended(err error) error {
	var ce *websocket.CloseError
	if errors.As(err, &ce) {
		if ce.Code == websocket.CloseNormalClosure || ce.Code == websocket.CloseGoingAway {
			return io.EOF
		}
		return io.ErrUnexpectedEOF
	}
	if errors.Is(err, websocket.ErrReadLimit) {
		return wire.Refuse(wire.CodeSize, "the peer sent a message over the limit")
	}
	return err
}
