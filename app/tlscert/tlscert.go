// Package tlscert provides the certificate of the public door.
//
// It owns the four ways to get one (own authority, ACME, files, none), their
// renewal and everything in <data>/tls. It never stops the door: when a renewal
// or a reload fails, the certificate that works goes on being served, Status says
// what is wrong, and the next attempt follows. Files are written aside and
// renamed, so a crash leaves the old or the new one.
package tlscert

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"log/slog"
	"net/http"
	"sync"
	"time"

	"tresor/app/config"
	"tresor/app/fault"
)

// Options is what New needs; all fields are required.
type Options struct {
	Config config.Config
	Now    func() time.Time
	Log    *slog.Logger
}

// pace is how often things are looked at; tests go faster.
type pace struct {
	check    time.Duration // between looks at dates and at what is stored
	files    time.Duration // between looks at files that somebody else renews
	retry    time.Duration // after a failure, doubling up to retryMax; authorities allow few failures an hour
	retryMax time.Duration
}

var usualPace = pace{check: 10 * time.Minute, files: 10 * time.Second, retry: 2 * time.Minute, retryMax: time.Hour}

// Status is what the System page shows.
type Status struct {
	Mode      string     `json:"mode"`
	Names     []string   `json:"names"`
	Issuer    string     `json:"issuer"`
	NotAfter  *time.Time `json:"expires_at"` // nil without a certificate
	Temporary bool       `json:"temporary"`  // stands in until the authority issues one
	LastError string     `json:"last_error"` // for people; empty when all is well
}

// source is one way to get certificates.
type source interface {
	// certificate answers a handshake from memory.
	certificate(*tls.ClientHelloInfo) (*tls.Certificate, error)
	// look renews or reloads what needs it. An error is kept in Status and look
	// is called again soon; the certificate in use stays.
	look(ctx context.Context) error
	// current is the certificate in use; temporary when it only stands in.
	current() (leaf *x509.Certificate, temporary bool)
	close()
}

// Manager provides the certificate of one address. Its methods may be used from
// any goroutine.
type Manager struct {
	mode   string
	source source // nil when TLS is off
	pace   pace
	log    *slog.Logger
	http   http.Handler
	alpn   []string

	mu      sync.Mutex
	lastErr string
}

// New prepares the mode that is configured. Files are read, and the own
// authority made, before it returns; ACME begins in Run. Errors: Invalid or
// Conflict with the next step, when no certificate can be served.
func New(ctx context.Context, o Options) (*Manager, error) {
	return open(ctx, o, usualPace)
}

func open(ctx context.Context, o Options, p pace) (*Manager, error) {
	m := &Manager{mode: o.Config.TLS.Mode, pace: p, log: o.Log, http: redirect(o.Config), alpn: []string{"h2", "http/1.1"}}
	var err error
	switch m.mode {
	case config.TLSOff:
		return m, nil
	case config.TLSFiles:
		m.source, err = openFiles(o)
		m.pace.check, m.pace.retryMax = p.files, p.files // somebody works on the files: look soon
		m.pace.retry = p.files
	case config.TLSACME:
		err = m.openACME(ctx, o)
	case config.TLSLocal:
		m.source, err = openLocal(o)
	default:
		err = fault.New("tlscert.New", fault.Invalid, "tls.mode = %q is not a way to get a certificate.", m.mode)
	}
	return m, fault.Wrap("tlscert.New", err)
}

func (m *Manager) openACME(ctx context.Context, o Options) error {
	a, err := openACME(ctx, o, m.pace.check)
	if err != nil {
		return err
	}
	m.source, m.http = a, a.httpHandler(m.http)
	m.alpn = append(m.alpn, acmeProtocol)
	return nil
}

// TLS returns the settings for the public listener, or nil when TLS is off.
func (m *Manager) TLS() *tls.Config {
	if m.source == nil {
		return nil
	}
	return &tls.Config{MinVersion: tls.VersionTLS12, NextProtos: m.alpn, GetCertificate: m.source.certificate}
}

// HTTPHandler serves tls.http_listen: the authority's check and, for browsers,
// the way to https.
func (m *Manager) HTTPHandler() http.Handler { return m.http }

// Run renews and reloads until ctx ends. With ACME it has to start after the
// public listener, which answers the authority's check.
func (m *Manager) Run(ctx context.Context) error {
	if m.source == nil {
		<-ctx.Done()
		return nil
	}
	defer m.source.close()
	wait := time.Duration(0)
	failures := 0
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(wait):
		}
		err := m.source.look(ctx)
		if ctx.Err() != nil {
			return nil
		}
		m.note(err)
		if err == nil {
			wait, failures = m.pace.check, 0
			continue
		}
		wait = min(m.pace.retry<<min(failures, 10), m.pace.retryMax)
		failures++
	}
}

// note keeps the outcome for Status and logs each new one once.
func (m *Manager) note(err error) {
	text := ""
	if err != nil {
		text = fault.Message(err)
	}
	m.mu.Lock()
	changed := m.lastErr != text
	m.lastErr = text
	m.mu.Unlock()
	switch {
	case changed && err != nil:
		m.log.Error("certificate", "problem", text, "cause", err)
	case changed:
		m.log.Info("certificate is in order again")
	}
}

// Status describes the certificate in use.
func (m *Manager) Status() Status {
	m.mu.Lock()
	s := Status{Mode: m.mode, Names: []string{}, LastError: m.lastErr}
	m.mu.Unlock()
	if m.source == nil {
		return s
	}
	leaf, temporary := m.source.current()
	if leaf == nil {
		return s
	}
	s.Names, s.Issuer, s.Temporary = names(leaf), leaf.Issuer.String(), temporary
	notAfter := leaf.NotAfter.UTC()
	s.NotAfter = &notAfter
	return s
}

func names(leaf *x509.Certificate) []string {
	out := append([]string{}, leaf.DNSNames...)
	for _, ip := range leaf.IPAddresses {
		out = append(out, ip.String())
	}
	return out
}

// redirect sends browsers from plain HTTP to the public address, to the path
// they asked for; anything but reading is refused.
func redirect(c config.Config) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodGet && r.Method != http.MethodHead {
			http.Error(w, "Use https.", http.StatusBadRequest)
			return
		}
		http.Redirect(w, r, c.PublicURL()+r.URL.RequestURI(), http.StatusPermanentRedirect)
	})
}
