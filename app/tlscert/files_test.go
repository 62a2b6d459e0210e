package tlscert

import (
	"crypto/tls"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"tresor/app/config"
)

// pairFiles are a certificate and key that an operator renews.
type pairFiles struct {
	t         *testing.T
	conf      config.Config
	caPEM     []byte
	authority *local
	cert, key string
}

func newPairFiles(t *testing.T, now time.Time) *pairFiles {
	p := &pairFiles{t: t, conf: localConfig(t)}
	certPEM, keyPEM, err := makeCA("institution", now)
	must(t, err)
	p.caPEM = certPEM
	p.authority = &local{names: []string{"tresor.example"}, now: func() time.Time { return now }}
	p.authority.ca, err = tls.X509KeyPair(certPEM, keyPEM)
	must(t, err)
	p.cert, p.key = filepath.Join(p.conf.Data, "cert.pem"), filepath.Join(p.conf.Data, "key.pem")
	p.conf.TLS = config.TLS{Mode: config.TLSFiles, CertFile: p.cert, KeyFile: p.key}
	p.renew(now)
	return p
}

// renew writes a new pair that is valid from now on, and returns it.
func (p *pairFiles) renew(now time.Time) (certPEM, keyPEM []byte) {
	certPEM, keyPEM, err := p.authority.makeLeaf(now)
	must(p.t, err)
	must(p.t, os.WriteFile(p.cert, certPEM, 0o600))
	must(p.t, os.WriteFile(p.key, keyPEM, 0o600))
	return certPEM, keyPEM
}

func TestFilesReload(t *testing.T) {
	clk := &clock{time.Now()}
	p := newPairFiles(t, clk.t)
	m, err := openAt(t, p.conf, clk.now)
	must(t, err)
	first := leafOf(m)
	if got := m.Status(); got.Names[0] != "tresor.example" || !strings.Contains(got.Issuer, "institution") {
		t.Errorf("status = %+v", got)
	}

	certPEM, keyPEM := p.renew(clk.t.Add(24 * time.Hour))
	must(t, os.WriteFile(p.key, []byte("half"), 0o600)) // the renewal has written only one file
	refused(t, m.source.look(t.Context()), "holds no private key")
	if !leafOf(m).Equal(first) {
		t.Error("half a renewal is served")
	}

	clk.t = clk.t.Add(25 * time.Hour)
	must(t, os.WriteFile(p.key, keyPEM, 0o600))
	must(t, m.source.look(t.Context()))
	want, err := tls.X509KeyPair(certPEM, keyPEM)
	must(t, err)
	if !leafOf(m).Equal(want.Leaf) {
		t.Error("the renewed certificate is not served")
	}
}

func TestFilesReloadWhileServing(t *testing.T) {
	s := newSite(t)
	p := newPairFiles(t, time.Now())
	p.conf.Listen = local127(s.port)
	m := s.serve(p.conf)
	first := leafOf(m)
	p.renew(time.Now())
	s.waitFor("the reload", func() bool { return !leafOf(m).Equal(first) })
	must(t, os.WriteFile(p.cert, []byte("gone"), 0o600))
	s.waitFor("the problem", func() bool { return strings.Contains(m.Status().LastError, p.cert) })
	p.renew(time.Now())
	s.waitFor("the problem to clear", func() bool { return m.Status().LastError == "" })
}

func TestFilesWarnBeforeTheEnd(t *testing.T) {
	clk := &clock{time.Now()}
	p := newPairFiles(t, clk.t)
	m, err := openAt(t, p.conf, clk.now)
	must(t, err)
	clk.t = leafOf(m).NotAfter.Add(-6 * 24 * time.Hour)
	refused(t, m.source.look(t.Context()), "ends on")
}

func TestFilesRefusals(t *testing.T) {
	cases := []struct {
		name  string
		spoil func(p *pairFiles)
		now   time.Duration // after the files were made
		says  string
	}{
		{"certificate missing", func(p *pairFiles) { must(p.t, os.Remove(p.cert)) }, 0, "Cannot read"},
		{"key missing", func(p *pairFiles) { must(p.t, os.Remove(p.key)) }, 0, "Cannot read"},
		{"no certificate", func(p *pairFiles) { p.write(p.cert, "hello") }, 0, "holds no certificate"},
		{"no key", func(p *pairFiles) { p.write(p.key, "hello") }, 0, "holds no private key"},
		{"files exchanged", func(p *pairFiles) { must(p.t, os.Rename(p.key, p.cert)); p.write(p.key, "") }, 0, "holds no certificate"},
		{"key with a passphrase", func(p *pairFiles) {
			p.write(p.key, "-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n-----END ENCRYPTED PRIVATE KEY-----\n")
		}, 0, "passphrase"},
		{"key of another certificate", func(p *pairFiles) {
			_, other, err := p.authority.makeLeaf(time.Now())
			must(p.t, err)
			p.write(p.key, string(other))
		}, 0, "does not belong"},
		{"the authority instead of the server", func(p *pairFiles) {
			cert, key, err := makeCA("x", time.Now())
			must(p.t, err)
			p.write(p.cert, string(cert))
			p.write(p.key, string(key))
		}, 0, "server's own certificate first"},
		{"expired", func(*pairFiles) {}, leafLife + time.Hour, "expired on"},
		{"not valid yet", func(*pairFiles) {}, -2 * slack, "clock"},
		{"names nothing", func(p *pairFiles) { p.authority.names = nil; p.renew(time.Now()) }, 0, "names no host"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			p := newPairFiles(t, time.Now())
			c.spoil(p)
			_, err := openAt(t, p.conf, func() time.Time { return time.Now().Add(c.now) })
			refused(t, err, c.says)
		})
	}
}

func (p *pairFiles) write(path, text string) { must(p.t, os.WriteFile(path, []byte(text), 0o600)) }
