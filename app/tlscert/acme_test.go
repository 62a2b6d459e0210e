package tlscert

import (
	"crypto/tls"
	"crypto/x509"
	"strings"
	"testing"
	"time"

	"tresor/app/config"
)

// These tests talk to a real Pebble, the ACME authority that Let's Encrypt tests
// clients with; see pebble_test.go. Certificates live for seconds, so that
// renewals happen while the tests watch.

var quick = pace{check: 200 * time.Millisecond, files: 20 * time.Millisecond, retry: 200 * time.Millisecond, retryMax: time.Second}

func TestACMEIssuesAndRenews(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	ca := startPebble(t, s.port, 15*time.Second)
	m := s.serve(ca.config(s))

	first := s.waitIssued(m, nil)
	if got := m.Status(); got.Mode != config.TLSACME || got.Names[0] != s.name || got.LastError != "" || got.NotAfter == nil {
		t.Errorf("status = %+v", got)
	}
	roots := ca.roots()
	s.handshake(s.name, roots)
	renewed := s.waitIssued(m, first)
	if !renewed.NotAfter.After(first.NotAfter) {
		t.Errorf("the renewed certificate ends at %s, the first one at %s", renewed.NotAfter, first.NotAfter)
	}
	s.handshake(s.name, roots)
}

func TestACMERestartUsesWhatIsStored(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	ca := startPebble(t, s.port, time.Hour)
	first := s.waitIssued(s.serve(ca.config(s)), nil)
	s.stop()
	ca.stop()

	m := s.serve(ca.config(s)) // with no authority to ask
	leaf, temporary := m.source.current()
	if temporary || !leaf.Equal(first) {
		t.Errorf("after a restart another certificate is served: %v, temporary %v", leaf.Subject, temporary)
	}
}

func TestACMEOutage(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	ca := startPebble(t, s.port, 15*time.Second)
	m := s.serve(ca.config(s))
	first := s.waitIssued(m, nil)
	roots := ca.roots()

	ca.stop()
	s.waitFor("an outage to be noticed", func() bool { return m.Status().LastError != "" })
	if text := m.Status().LastError; !strings.Contains(text, "does not answer") || !strings.Contains(text, "works until") {
		t.Errorf("says %q", text)
	}
	if served := s.handshake(s.name, roots); !served.Equal(first) {
		t.Error("during the outage another certificate is served")
	}

	ca.start() // it forgot the account, too
	renewed := s.waitIssued(m, first)
	s.waitFor("the problem to clear", func() bool { return m.Status().LastError == "" })
	if served := s.handshake(s.name, ca.roots()); served.NotAfter.Before(renewed.NotAfter) {
		t.Error("the renewed certificate is not served")
	}
}

func TestACMEOutageAtFirstStart(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	ca := startPebble(t, s.port, time.Hour)
	ca.stop()
	m := s.serve(ca.config(s))
	s.waitFor("the failure", func() bool { return m.Status().LastError != "" })
	if !m.Status().Temporary {
		t.Error("the status does not say that the certificate is temporary")
	}
	own, err := ExportCA(s.conf.Paths().TLS)
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(own)
	s.handshake(s.name, pool)
	ca.start()
	s.waitIssued(m, nil)
	s.handshake(s.name, ca.roots())
}

// Port 443 is taken or filtered: the check goes over plain HTTP.
func TestACMEOverHTTP(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	ca := startPebbleWith(t, rules{httpPort: s.http, life: time.Hour})
	c := ca.config(s)
	c.TLS.HTTPListen = local127(s.http)
	s.waitIssued(s.serve(c), nil)
	s.handshake(s.name, ca.roots())
}

// An institution's authority issues only for accounts that it knows.
func TestACMEAccountBinding(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	const key = "zWNDZM6eQGHWpSRTPal5eIUYFTu7EajVIoguysqZ9wG44nMEtx3MUAsUDkMTQ12W"
	ca := startPebbleWith(t, rules{tlsPort: s.port, life: time.Hour, accounts: map[string]string{"kid-1": key}})
	m := s.serve(ca.config(s))
	s.waitFor("the failure", func() bool { return m.Status().LastError != "" })
	if text := m.Status().LastError; !strings.Contains(text, "tls.eab_id") {
		t.Errorf("says %q", text)
	}
	s.stop()
	c := ca.config(s)
	c.TLS.EABID, c.TLS.EABKey = "kid-1", key
	s.waitIssued(s.serve(c), nil)
}

func TestACMEWrongAuthority(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	ca := startPebble(t, s.port, time.Hour)
	c := ca.config(s)
	c.TLS.CARoots = s.otherRoots()
	m := s.serve(c)
	s.waitFor("the failure", func() bool { return m.Status().LastError != "" })
	if text := m.Status().LastError; !strings.Contains(text, "not trusted") || !strings.Contains(text, "tls.ca_roots") {
		t.Errorf("says %q", text)
	}
	if _, temporary := m.source.current(); !temporary {
		t.Error("a certificate came from an authority that is not trusted")
	}
}

func TestACMENameThatDoesNotLeadHere(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	ca := startPebble(t, freePort(t), time.Hour) // checks a port where nobody is
	m := s.serve(ca.config(s))
	s.waitFor("the failure", func() bool { return m.Status().LastError != "" })
	if text := m.Status().LastError; !strings.Contains(text, "could not check that the name leads to this server") {
		t.Errorf("says %q", text)
	}
}

func TestACMERefusesBadRoots(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	c := config.Default()
	c.Data, c.TLS.Mode, c.TLS.Domain = t.TempDir(), config.TLSACME, []string{s.name}
	c.TLS.CARoots = s.file("roots.pem", "nothing")
	_, err := open(t.Context(), s.options(c), quick)
	refused(t, err, "tls.ca_roots")
}

// The authority's check is answered apart from everybody else's handshake.
func TestACMEProtocolIsOffered(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	c := config.Default()
	c.Data, c.TLS.Mode, c.TLS.Domain, c.TLS.CA = t.TempDir(), config.TLSACME, []string{s.name}, "https://127.0.0.1:1/dir"
	m, err := open(t.Context(), s.options(c), quick)
	if err != nil {
		t.Fatal(err)
	}
	defer m.source.close()
	if got := m.TLS().NextProtos; got[len(got)-1] != acmeProtocol {
		t.Errorf("offers %v", got)
	}
	if m.TLS().MinVersion != tls.VersionTLS12 {
		t.Error("allows versions before TLS 1.2")
	}
}
