package link

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hashicorp/yamux"
	"tresor/fed/wire"
)

// Session is an open link after its handshake.
type Session struct {
	conn *Conn
	mux  *yamux.Session
	why  atomic.Pointer[wire.Refusal] // set when this end cut the link
}

// Opener starts the hub's end: it may open streams and takes none.
func Opener(c *Conn) (*Session, error) { return start(c, false, yamux.Client) }

// Acceptor starts the node's end: it takes streams and opens none.
func Acceptor(c *Conn) (*Session, error) { return start(c, true, yamux.Server) }

func start(c *Conn, accept bool, mux func(io.ReadWriteCloser, *yamux.Config) (*yamux.Session, error)) (*Session, error) {
	c.stream(newGuard(accept, c.limits))
	m, err := mux(c, &yamux.Config{
		AcceptBacklog: c.limits.Streams, EnableKeepAlive: true, KeepAliveInterval: c.limits.Keepalive,
		ConnectionWriteTimeout: c.limits.WriteTimeout, MaxStreamWindowSize: window,
		StreamOpenTimeout: 2 * c.limits.WriteTimeout, StreamCloseTimeout: 30 * time.Second,
		// yamux logs what a peer sends; why a link ended comes from Err.
		LogOutput: io.Discard,
	})
	if err != nil {
		c.Close()
		return nil, err
	}
	return &Session{conn: c, mux: m}, nil
}

// Done is closed when the link has ended, for whatever reason.
func (s *Session) Done() <-chan struct{} { return s.mux.CloseChan() }

// Err says why this end cut the link; nil when the peer or the network did.
func (s *Session) Err() error {
	for _, r := range []*wire.Refusal{s.why.Load(), s.conn.failed.Load()} {
		if r != nil {
			return r
		}
	}
	return nil
}

// LastSeen is when the peer's last message came; zero before the first.
func (s *Session) LastSeen() time.Time {
	if n := s.conn.seen.Load(); n != 0 {
		return time.Unix(0, n)
	}
	return time.Time{}
}

// RemoteAddr is the other end of the socket.
func (s *Session) RemoteAddr() string { return s.conn.RemoteAddr().String() }

// Streams is how many streams are open.
func (s *Session) Streams() int { return s.mux.NumStreams() }

// Ping measures the way to the peer and back.
func (s *Session) Ping() (time.Duration, error) { return s.mux.Ping() }

// Close ends the link and everything on it.
func (s *Session) Close() error { return s.mux.Close() }

func (s *Session) cut(r *wire.Refusal) {
	s.why.CompareAndSwap(nil, r)
	s.mux.Close()
}

// Transport gives HTTP over the link. The caller closes idle connections when the link
// is done.
func (s *Session) Transport() *Transport {
	l := s.conn.limits
	open := func(ctx context.Context) (net.Conn, error) {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		st, err := s.mux.OpenStream()
		if err != nil {
			return nil, err
		}
		return &stream{Stream: st, stall: l.Stall}, nil
	}
	// Half of what the node allows at once, for both kinds together, leaves room for
	// streams that are closing.
	most := max(1, l.Streams/4)
	return &Transport{open: open, limits: l, places: make(chan struct{}, most), orders: &http.Transport{
		DialContext:     func(ctx context.Context, _, _ string) (net.Conn, error) { return open(ctx) },
		MaxConnsPerHost: most, MaxIdleConnsPerHost: mostIdle, IdleConnTimeout: l.Idle / 2,
		MaxResponseHeaderBytes: int64(l.HeaderBytes), DisableCompression: true, ExpectContinueTimeout: l.Header,
		ReadBufferSize: 4 << 10, WriteBufferSize: 4 << 10,
	}}
}

// Serve answers the streams that the hub opens, until the link or ctx ends. It
// always returns an error: Err, or that the link ended.
func (s *Session) Serve(ctx context.Context, h http.Handler, log *slog.Logger) error {
	l := s.conn.limits
	srv := &http.Server{Handler: h, ReadHeaderTimeout: l.Header, IdleTimeout: l.Idle, MaxHeaderBytes: l.HeaderBytes,
		ErrorLog: slog.NewLogLogger(log.Handler(), slog.LevelDebug)}
	stop := context.AfterFunc(ctx, func() { s.mux.Close() })
	defer stop()
	err := srv.Serve(&listener{session: s, max: l.Streams, stall: l.Stall})
	s.mux.Close()
	srv.Close()
	if ctx.Err() != nil {
		return ctx.Err()
	}
	return errors.Join(s.Err(), err)
}

// listener hands streams to the HTTP server, never more than max at once.
type listener struct {
	session *Session
	max     int
	stall   time.Duration
	open    atomic.Int64
}

// Accept gives the next stream. Over the limit a stream is closed unanswered; a
// peer that goes on opening although closed streams pile up loses the link.
func (l *listener) Accept() (net.Conn, error) {
	for {
		st, err := l.session.mux.AcceptStream()
		if err != nil {
			return nil, err
		}
		if l.open.Add(1) <= int64(l.max) {
			return &stream{Stream: st, stall: l.stall, free: func() { l.open.Add(-1) }}, nil
		}
		l.open.Add(-1)
		st.Close()
		if l.session.mux.NumStreams() > 2*l.max {
			l.session.cut(wire.Refuse(wire.CodeFlood, "the hub keeps more than %d streams open", 2*l.max))
		}
	}
}

// Close and Addr complete net.Listener.
func (l *listener) Close() error   { return nil }
func (l *listener) Addr() net.Addr { return l.session.conn.LocalAddr() }

// stream is one yamux stream: a write that nobody reads ends after stall.
type stream struct {
	*yamux.Stream
	stall time.Duration
	free  func()
	once  sync.Once
}

// Write bounds each write: the window of a reader that stopped never opens again.
func (s *stream) Write(p []byte) (int, error) {
	_ = s.Stream.SetWriteDeadline(time.Now().Add(s.stall))
	return s.Stream.Write(p)
}

// Close ends both directions and frees the place.
func (s *stream) Close() error {
	s.once.Do(func() {
		if s.free != nil {
			s.free()
		}
	})
	return s.Stream.Close()
}
