package tlscert

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"sync"
	"time"

	"tresor/app/config"
	"tresor/app/fault"

	"github.com/caddyserver/certmagic"
	"github.com/mholt/acmez/v3"
	"github.com/mholt/acmez/v3/acme"
	"go.uber.org/zap"
)

// acmeProtocol is the ALPN name of the authority's check over TLS (RFC 8737).
const acmeProtocol = acmez.ACMETLS1Protocol

// attemptLimit bounds one try at one name.
const attemptLimit = 5 * time.Minute

// acmeSource gets certificates from an ACME authority. certmagic talks to the
// authority, keeps the files and knows when a renewal is due; this type serves
// what it got, so that a failure on the way never touches what works. Until the
// first certificate is there, one of the own authority stands in: the operator
// can reach the System page and read what is wrong.
type acmeSource struct {
	names   []string
	magic   *certmagic.Config
	plain   *certmagic.Config // without renewal information, see ensure
	cache   *certmagic.Cache
	issuer  *certmagic.ACMEIssuer
	standIn *local
	now     func() time.Time

	usePlain bool // for the next renewal; look's own

	mu     sync.Mutex
	byName map[string]*tls.Certificate
	trying string // name of the attempt that runs
	failed func(error)
}

func openACME(ctx context.Context, o Options, check time.Duration) (*acmeSource, error) {
	template, err := issuerFor(o.Config)
	if err != nil {
		return nil, err
	}
	standIn, err := openLocal(o)
	if err != nil {
		return nil, err
	}
	a := &acmeSource{names: o.Config.TLS.Domain, standIn: standIn, now: o.Now, byName: map[string]*tls.Certificate{}}
	a.cache = certmagic.NewCache(certmagic.CacheOptions{
		GetConfigForCert:   func(certmagic.Certificate) (*certmagic.Config, error) { return a.magic, nil },
		RenewCheckInterval: check, Logger: zap.NewNop(),
	})
	storage := &certmagic.FileStorage{Path: filepath.Join(o.Config.Paths().TLS, "acme")}
	a.magic, a.issuer = a.client(storage, template, false)
	a.plain, _ = a.client(storage, template, true)
	for _, name := range a.names {
		a.load(ctx, name)
	}
	return a, nil
}

func (a *acmeSource) client(storage certmagic.Storage, template certmagic.ACMEIssuer, plain bool) (*certmagic.Config, *certmagic.ACMEIssuer) {
	c := certmagic.New(a.cache, certmagic.Config{Storage: storage, Logger: zap.NewNop(), OnEvent: a.event, DisableARI: plain})
	issuer := certmagic.NewACMEIssuer(c, template)
	c.Issuers = []certmagic.Issuer{issuer}
	return c, issuer
}

// issuerFor turns the settings into certmagic's.
func issuerFor(c config.Config) (certmagic.ACMEIssuer, error) {
	t := certmagic.ACMEIssuer{CA: c.TLS.CA, Email: c.TLS.Email, Agreed: true, Logger: zap.NewNop()}
	if t.CA == "" {
		t.CA = certmagic.LetsEncryptProductionCA
	}
	if c.TLS.EABID != "" {
		t.ExternalAccount = &acme.EAB{KeyID: c.TLS.EABID, MACKey: c.TLS.EABKey}
	}
	host, port := split(c.Listen)
	t.ListenHost, t.AltTLSALPNPort = host, port
	if _, t.AltHTTPPort = split(c.TLS.HTTPListen); t.AltHTTPPort == 0 {
		t.DisableHTTPChallenge = true
	}
	if c.TLS.CARoots == "" {
		return t, nil
	}
	roots, err := os.ReadFile(c.TLS.CARoots)
	t.TrustedRoots = x509.NewCertPool()
	if err != nil || !t.TrustedRoots.AppendCertsFromPEM(roots) {
		return t, fault.Kinded("tlscert.acme", fault.Invalid, err, "tls.ca_roots: %s holds no certificate in PEM form that can be read.", c.TLS.CARoots)
	}
	return t, nil
}

func split(listen string) (host string, port int) {
	host, p, _ := net.SplitHostPort(listen)
	port, _ = strconv.Atoi(p)
	return host, port
}

// certificate answers the authority's check from certmagic and everybody else
// from memory.
func (a *acmeSource) certificate(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
	if slices.Contains(hello.SupportedProtos, acmeProtocol) {
		return a.magic.GetCertificate(hello)
	}
	if c := a.pick(hello.ServerName); c != nil {
		return c, nil
	}
	return a.standIn.certificate(hello)
}

// pick returns the certificate for a name, or for the first name that has one:
// somebody who asks by address then sees a name in the warning.
func (a *acmeSource) pick(name string) *tls.Certificate {
	a.mu.Lock()
	defer a.mu.Unlock()
	if c := a.byName[name]; c != nil {
		return c
	}
	for _, n := range a.names {
		if c := a.byName[n]; c != nil {
			return c
		}
	}
	return nil
}

// look obtains or renews what is missing or due, name by name, and returns the
// first failure after having tried all.
func (a *acmeSource) look(ctx context.Context) error {
	var first error
	if a.pick("") == nil {
		_ = a.standIn.look(ctx) // only stands in: its trouble is not the one to report
	}
	for _, name := range a.names {
		if err := a.ensure(ctx, name); err != nil && first == nil {
			first = err
		}
	}
	return first
}

// ensure obtains or renews one certificate. A renewal tells the authority which
// certificate it replaces (RFC 9773), and an authority that has lost its records
// refuses that for ever, so after a failure the next renewal leaves it out.
func (a *acmeSource) ensure(ctx context.Context, name string) error {
	have, ok := a.load(ctx, name)
	switch {
	case !ok:
		return a.attempt(ctx, name, func(ctx context.Context) error { return a.magic.ObtainCertAsync(ctx, name) })
	case have.NeedsRenewal(a.magic):
		client := a.magic
		if a.usePlain {
			client = a.plain
		}
		err := a.attempt(ctx, name, func(ctx context.Context) error { return client.RenewCertAsync(ctx, name, false) })
		a.usePlain = err != nil && !a.usePlain
		return err
	}
	return nil
}

// load publishes the newest certificate in certmagic's store.
func (a *acmeSource) load(ctx context.Context, name string) (certmagic.Certificate, bool) {
	c, err := a.magic.CacheManagedCertificate(ctx, name)
	if err != nil || c.Leaf == nil {
		return c, false
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if old := a.byName[name]; old == nil || old.Leaf.NotAfter.Before(c.Leaf.NotAfter) {
		pair := c.Certificate
		a.byName[name] = &pair
	}
	return c, true
}

// attempt runs one try. certmagic's own retries sleep for minutes to hours and
// cannot be looked into, so the first failure ends them; Run's pace comes instead.
func (a *acmeSource) attempt(ctx context.Context, name string, try func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, attemptLimit)
	defer cancel()
	var cause error
	a.watch(name, func(err error) { cause = err; cancel() })
	err := try(ctx)
	a.watch("", nil)
	if err == nil {
		if _, ok := a.load(ctx, name); ok {
			return nil
		}
		err = errors.New("the new certificate cannot be read back")
	}
	return a.refused(name, errors.Join(cause, err))
}

func (a *acmeSource) watch(name string, failed func(error)) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.trying, a.failed = name, failed
}

// event hears from certmagic that an attempt failed.
func (a *acmeSource) event(_ context.Context, event string, data map[string]any) error {
	if event != "cert_failed" {
		return nil
	}
	err, _ := data["error"].(error)
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.failed != nil && data["identifier"] == a.trying {
		a.failed(err)
	}
	return nil
}

func (a *acmeSource) current() (*x509.Certificate, bool) {
	if c := a.pick(""); c != nil {
		return c.Leaf, false
	}
	return a.standIn.leaf(), true
}

func (a *acmeSource) close() { a.cache.Stop() }

func (a *acmeSource) httpHandler(next http.Handler) http.Handler {
	return a.issuer.HTTPChallengeHandler(next)
}
