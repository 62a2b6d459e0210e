package app

import (
	"context"
	"crypto/tls"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"time"

	"tresor/app/config"
	"tresor/app/fault"
)

// door is where requests come in: the public address and the local socket.
type door struct {
	cfg  config.Config
	addr atomic.Pointer[string] // the address really listened on
}

func newDoor(cfg config.Config) *door { return &door{cfg: cfg} }

// url is the address for people, with the real port once that is known.
func (d *door) url() string {
	base := d.cfg.PublicURL()
	addr := d.addr.Load()
	if addr == nil || d.cfg.URL != "" {
		return base
	}
	u, err := url.Parse(base)
	if err != nil {
		return base
	}
	_, port, err := net.SplitHostPort(*addr)
	if err != nil || (u.Port() != "" && u.Port() != "0") {
		return base
	}
	if u.Port() == "0" {
		u.Host = net.JoinHostPort(u.Hostname(), port)
	}
	return strings.TrimSuffix(u.String(), "/")
}

// listen takes the public address.
func (d *door) listen() (net.Listener, error) {
	l, err := listenTCP(d.cfg.Listen, "--listen")
	if err != nil {
		return nil, err
	}
	addr := l.Addr().String()
	d.addr.Store(&addr)
	return l, nil
}

// listenPlain takes the address for plain HTTP, which answers an ACME check and
// sends browsers to https; nil where none is set.
func (d *door) listenPlain() (net.Listener, error) {
	if d.cfg.TLS.HTTPListen == "" {
		return nil, nil
	}
	return listenTCP(d.cfg.TLS.HTTPListen, "tls.http_listen")
}

// listenTCP takes an address. One that is taken is the caller's mistake, and says so.
func listenTCP(addr, setting string) (net.Listener, error) {
	l, err := net.Listen("tcp", addr)
	if err == nil {
		return l, nil
	}
	kind := fault.Conflict
	if errors.Is(err, os.ErrPermission) {
		kind = fault.Denied
	}
	return nil, fault.WithNext(fault.Kinded("app.listen", kind, err, "Cannot listen on %s: %v.", addr, err),
		"Stop what uses the address, or choose another with %s.", setting)
}

// listenLocal takes the socket of the command line. Only this process can have
// made what lies there, since it holds the folder's lock.
func (d *door) listenLocal() (net.Listener, error) {
	path := filepath.Join(d.cfg.Paths().Run, "admin.sock")
	if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, folderFault("app.listenLocal", path, err)
	}
	l, err := net.Listen("unix", path)
	if err != nil {
		return nil, fault.WithNext(fault.Kinded("app.listenLocal", fault.Invalid, err, "Cannot make the local socket %s: %v.", path, err),
			"A socket's path may have 107 characters at most; choose a shorter data folder.")
	}
	return l, os.Chmod(path, 0o600)
}

// httpServer has the bounds that hold for every request; the API sets deadlines per route.
func httpServer(ctx context.Context, h http.Handler, log *slog.Logger) *http.Server {
	return &http.Server{
		Handler:           h,
		BaseContext:       func(net.Listener) context.Context { return ctx },
		ReadHeaderTimeout: 10 * time.Second,
		IdleTimeout:       2 * time.Minute,
		MaxHeaderBytes:    32 << 10,
		ErrorLog:          slog.NewLogLogger(log.Handler(), slog.LevelDebug),
	}
}

// serve serves until ctx ends, then lets requests under way finish for a while.
func serve(ctx context.Context, s *http.Server, l net.Listener, t *tls.Config) error {
	if t != nil {
		l = tls.NewListener(l, t)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		<-ctx.Done()
		grace, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
		defer cancel()
		if s.Shutdown(grace) != nil {
			_ = s.Close()
		}
	}()
	err := s.Serve(l)
	if errors.Is(err, http.ErrServerClosed) {
		<-done
		return nil
	}
	return fault.Wrap("app.serve", err)
}
