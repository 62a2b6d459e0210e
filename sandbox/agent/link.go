package agent

import (
	"bufio"
	"context"
	"crypto/subtle"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/hashicorp/yamux"
	"golang.org/x/sys/unix"

	"tresor/sandbox"
)

// ErrGone says that the agent's connection ended, or that there is none: the container
// has died or the agent is about to dial again. Ask the engine which.
var ErrGone = errors.New("the agent is not connected")

// ErrHostile says that an agent sent what no agent of ours would send. End the container.
var ErrHostile = errors.New("the agent broke the protocol")

// Link is the host end for one container. Everything that comes over it is hostile.
type Link struct {
	ref, token string
	allowed    func(uid uint32, pid int32) bool
	listener   net.Listener

	mu      sync.Mutex
	client  *http.Transport // nil while no agent is connected
	session *yamux.Session
	changed chan struct{} // closed and replaced when an agent comes or goes
	closed  bool
	inside  *inside // nil: the container has no way to the task service
}

// Listen waits for one agent on the socket in dir, the directory that the container sees
// read-only. It replaces a socket that an earlier process left there. allowed judges the
// uid and the pid of whoever dials, as this host sees them: the command in the container
// can read the token too, so the token alone does not tell it from its agent. serve receives
// each connection that a program in the container makes to the task service; nil turns them all away.
func Listen(dir, ref, token string, allowed func(uid uint32, pid int32) bool, serve func(context.Context, net.Conn)) (*Link, error) {
	d, err := os.Open(dir)
	if err != nil {
		return nil, err
	}
	defer d.Close()
	// By way of the descriptor, because a socket's path may have 107 bytes only.
	path := fmt.Sprintf("/proc/self/fd/%d/%s", d.Fd(), SocketName)
	if err := os.Remove(filepath.Join(dir, SocketName)); err != nil && !os.IsNotExist(err) {
		return nil, err
	}
	l, err := net.Listen("unix", path)
	if err != nil {
		return nil, err
	}
	l.(*net.UnixListener).SetUnlinkOnClose(false)
	if err := os.Chmod(path, 0o666); err != nil { // the directory, not the socket, is the gate
		l.Close()
		return nil, err
	}
	link := &Link{ref: ref, token: token, allowed: allowed, listener: l, changed: make(chan struct{}), inside: newInside(serve)}
	go link.accept()
	return link, nil
}

// Close stops listening and drops the agent, which keeps its command running and dials again.
func (l *Link) Close() error {
	l.mu.Lock()
	l.closed = true
	s := l.session
	l.mu.Unlock()
	err := l.listener.Close()
	if s != nil {
		s.Close()
	}
	return err
}

func (l *Link) accept() {
	for {
		conn, err := l.listener.Accept()
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil { // no file descriptor is free, say: that passes, and the agent dials again
			time.Sleep(100 * time.Millisecond)
			continue
		}
		l.admit(conn.(*net.UnixConn))
	}
}

// admit is not concurrent: one dialler at a time, five seconds each.
func (l *Link) admit(conn *net.UnixConn) {
	if err := l.greet(conn); err != nil {
		conn.Close()
		return
	}
	s, err := yamux.Client(conn, hostMuxConfig())
	if err != nil {
		conn.Close()
		return
	}
	l.mu.Lock()
	if l.closed || l.session != nil { // one agent per container
		l.mu.Unlock()
		s.Close()
		return
	}
	l.session = s
	l.client = transport(s)
	l.flip()
	l.mu.Unlock()
	go l.watch(s)
	go l.inside.accept(s)
}

// hostMuxConfig lets an agent open few streams and none linger.
func hostMuxConfig() *yamux.Config {
	c := muxConfig()
	c.AcceptBacklog = 2 * maxInside
	c.StreamCloseTimeout = insideClose
	return c
}

func (l *Link) watch(s *yamux.Session) {
	<-s.CloseChan()
	l.mu.Lock()
	defer l.mu.Unlock()
	l.client.CloseIdleConnections()
	l.session, l.client = nil, nil
	l.flip()
}

func (l *Link) flip() {
	close(l.changed)
	l.changed = make(chan struct{})
}

// greet checks who dials: uid and pid by the kernel's word, then the token.
func (l *Link) greet(conn *net.UnixConn) error {
	who, err := peer(conn)
	if err != nil {
		return err
	}
	if !l.allowed(who.Uid, who.Pid) {
		return fmt.Errorf("%w: uid %d, pid %d is no agent of the account's containers", ErrHostile, who.Uid, who.Pid)
	}
	want := greeting(l.ref, l.token)
	got := make([]byte, len(want))
	if err := unixDeadline(conn, 5*time.Second, func() error { _, err := io.ReadFull(conn, got); return err }); err != nil {
		return err
	}
	if subtle.ConstantTimeCompare(got, []byte(want)) != 1 {
		return fmt.Errorf("%w: wrong token", ErrHostile)
	}
	return nil
}

// unixDeadline runs fn and closes the connection when it takes too long: a timer needs no clock.
func unixDeadline(conn net.Conn, d time.Duration, fn func() error) error {
	t := time.AfterFunc(d, func() { conn.Close() })
	defer t.Stop()
	return fn()
}

func peer(conn *net.UnixConn) (*unix.Ucred, error) {
	raw, err := conn.SyscallConn()
	if err != nil {
		return nil, err
	}
	var cred *unix.Ucred
	var cerr error
	if err := raw.Control(func(fd uintptr) { cred, cerr = unix.GetsockoptUcred(int(fd), unix.SOL_SOCKET, unix.SO_PEERCRED) }); err != nil {
		return nil, err
	}
	return cred, cerr
}

func transport(s *yamux.Session) *http.Transport {
	return &http.Transport{
		DialContext:            func(context.Context, string, string) (net.Conn, error) { return s.Open() },
		DisableCompression:     true,
		MaxResponseHeaderBytes: 8 << 10,
		MaxIdleConnsPerHost:    2,
	}
}

// Connected waits until an agent is there, the wait ends, or ctx does; d <= 0 does not wait.
func (l *Link) Connected(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(max(d, 0))
	defer t.Stop()
	for {
		l.mu.Lock()
		up, changed := l.client != nil, l.changed
		l.mu.Unlock()
		if up || d <= 0 {
			return up
		}
		select {
		case <-changed:
		case <-t.C:
			return false
		case <-ctx.Done():
			return false
		}
	}
}

// call sends one request; the caller closes the body. Everything but 200 is hostile,
// because the host asks only what it may.
func (l *Link) call(ctx context.Context, method, target string) (*http.Response, error) {
	l.mu.Lock()
	client := l.client
	l.mu.Unlock()
	if client == nil {
		return nil, ErrGone
	}
	req, err := http.NewRequestWithContext(ctx, method, "http://agent"+target, nil)
	if err != nil {
		return nil, err
	}
	resp, err := client.RoundTrip(req)
	if err != nil {
		return nil, gone(ctx, err)
	}
	if resp.StatusCode != http.StatusOK {
		resp.Body.Close()
		return nil, fmt.Errorf("%w: %s answered %d", ErrHostile, req.URL.Path, resp.StatusCode)
	}
	return resp, nil
}

func gone(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	return fmt.Errorf("%w: %w", ErrGone, err)
}

// ask sends a request that has a small JSON answer.
func (l *Link) ask(ctx context.Context, method, target string, out any) error {
	resp, err := l.call(ctx, method, target)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(io.LimitReader(resp.Body, maxHead+1))
	if err != nil {
		return gone(ctx, err)
	}
	if len(b) > maxHead || json.Unmarshal(b, out) != nil {
		return fmt.Errorf("%w: %s has a malformed answer", ErrHostile, target)
	}
	return nil
}

// askTimeout bounds every question that an honest agent answers at once.
const askTimeout = 10 * time.Second

// Stat asks how the command is doing.
func (l *Link) Stat(ctx context.Context) (s Stat, err error) {
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	return s, l.ask(ctx, http.MethodGet, "/stat", &s)
}

// Usage asks what the processes inside use.
func (l *Link) Usage(ctx context.Context) (u sandbox.Usage, err error) {
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	return u, l.ask(ctx, http.MethodGet, "/usage", &u)
}

// Stop asks the command to end and waits until it has: grace and a little longer.
func (l *Link) Stop(ctx context.Context, grace time.Duration) (s Stat, err error) {
	ctx, cancel := context.WithTimeout(ctx, grace+askTimeout)
	defer cancel()
	return s, l.ask(ctx, http.MethodPost, "/stop?grace="+url.QueryEscape(grace.String()), &s)
}

// Done lets the agent exit.
func (l *Link) Done(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	var none struct{}
	return l.ask(ctx, http.MethodPost, "/done", &none)
}

// stall is how long an output stream may be silent.
const stall = 60 * time.Second

// Outputs receives the declared outputs; outputs and limits are the host's own.
func (l *Link) Outputs(ctx context.Context, outputs []string, limits sandbox.Limits, sink func(sandbox.File, io.Reader) error) (sandbox.Collected, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	resp, err := l.call(ctx, http.MethodGet, "/outputs")
	if err != nil {
		return sandbox.Collected{}, err
	}
	defer resp.Body.Close()
	body := &watched{r: resp.Body, t: time.AfterFunc(stall, cancel)}
	defer body.t.Stop()
	c, err := NewReceiver(bufio.NewReaderSize(body, 128<<10), outputs, limits).Receive(sink)
	if errors.Is(err, errFrame) {
		if body.err != nil && body.err != io.EOF {
			return c, gone(ctx, body.err)
		}
		return c, fmt.Errorf("%w: %w", ErrHostile, err)
	}
	return c, err
}

// watched lets no single read take longer than stall.
type watched struct {
	r   io.Reader
	t   *time.Timer
	err error
}

func (w *watched) Read(p []byte) (int, error) {
	w.t.Reset(stall)
	n, err := w.r.Read(p)
	w.t.Stop() // a slow sink is ours, not the agent's
	if err != nil {
		w.err = err
	}
	return n, err
}
