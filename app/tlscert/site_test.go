package tlscert

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"tresor/app/config"
	"tresor/app/fault"
)

// site is a real listener on a real port that serves with a Manager.
type site struct {
	t    *testing.T
	dir  string
	name string // what it is called in the test's DNS; certmagic keeps challenges by name for all tests
	port int
	http int // port for the check over plain HTTP
	conf config.Config
	stop func()
}

func newSite(t *testing.T) *site {
	return &site{t: t, dir: t.TempDir(), name: strings.ToLower(t.Name()) + ".example.test", port: freePort(t), http: freePort(t), stop: func() {}}
}

func (s *site) options(c config.Config) Options {
	return Options{Config: c, Now: time.Now, Log: slog.New(slog.NewTextHandler(io.Discard, nil))}
}

// serve opens a Manager, listens and runs both until stop or the end of the test.
func (s *site) serve(c config.Config) *Manager {
	s.t.Helper()
	s.conf = c
	m, err := open(s.t.Context(), s.options(c), quick)
	must(s.t, err)
	inner, err := net.Listen("tcp", local127(s.port))
	must(s.t, err)
	server := &http.Server{Handler: http.NotFoundHandler(), ErrorLog: slog.NewLogLogger(slog.NewTextHandler(io.Discard, nil), slog.LevelError)}
	go func() { _ = server.Serve(tls.NewListener(inner, m.TLS())) }()
	plain := &http.Server{Addr: local127(s.http), Handler: m.HTTPHandler()}
	if c.TLS.HTTPListen != "" {
		go func() { _ = plain.ListenAndServe() }()
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() { defer close(done); _ = m.Run(ctx) }()
	stopped := false
	s.stop = func() {
		if !stopped {
			stopped = true
			cancel()
			<-done
			_ = server.Close()
			_ = plain.Close()
		}
	}
	s.t.Cleanup(s.stop)
	return m
}

// waitIssued waits for a certificate other than last from the authority.
func (s *site) waitIssued(m *Manager, last *x509.Certificate) (leaf *x509.Certificate) {
	s.t.Helper()
	s.waitFor("a new certificate", func() bool {
		var temporary bool
		leaf, temporary = m.source.current()
		return !temporary && leaf != nil && (last == nil || !leaf.Equal(last))
	})
	return leaf
}

func (s *site) waitFor(what string, ok func() bool) {
	s.t.Helper()
	for range 2400 {
		if ok() {
			return
		}
		time.Sleep(50 * time.Millisecond)
	}
	s.t.Fatalf("waited in vain for %s", what)
}

// handshake connects as a browser that trusts roots would and returns the leaf.
func (s *site) handshake(name string, roots *x509.CertPool) *x509.Certificate {
	s.t.Helper()
	conn, err := tls.Dial("tcp", local127(s.port), &tls.Config{ServerName: name, RootCAs: roots})
	if err != nil {
		s.t.Fatalf("handshake: %v", err)
	}
	defer conn.Close()
	return conn.ConnectionState().PeerCertificates[0]
}

// otherRoots writes the certificate of an authority that signed nothing here.
func (s *site) otherRoots() string {
	cert, _, err := makeCA("other", time.Now())
	must(s.t, err)
	return s.file("other.pem", string(cert))
}

func (s *site) file(name, text string) string {
	path := filepath.Join(s.t.TempDir(), name)
	must(s.t, os.WriteFile(path, []byte(text), 0o600))
	return path
}

func refused(t *testing.T, err error, says string) {
	t.Helper()
	if err == nil {
		t.Fatal("accepted")
	}
	if text := fault.Message(err); fault.KindOf(err) == fault.Internal || !strings.Contains(text, says) {
		t.Errorf("says %q (%v), want it to mention %q", text, fault.KindOf(err), says)
	}
}
