package tlscert

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"os"
	"path/filepath"
	"sync/atomic"
	"time"

	"tresor/app/fault"
)

// holder is a certificate that can be exchanged while handshakes read it.
type holder struct {
	p atomic.Pointer[tls.Certificate]
}

func (h *holder) set(c *tls.Certificate) { h.p.Store(c) }

func (h *holder) certificate(*tls.ClientHelloInfo) (*tls.Certificate, error) {
	if c := h.p.Load(); c != nil {
		return c, nil
	}
	return nil, errors.New("no certificate yet")
}

func (h *holder) leaf() *x509.Certificate {
	if c := h.p.Load(); c != nil {
		return c.Leaf
	}
	return nil
}

// parsePair reads a certificate chain and its key and checks that a browser
// could accept them at the moment now. The errors name the files and the cure.
func parsePair(certPEM, keyPEM []byte, certFile, keyFile string, now time.Time) (*tls.Certificate, error) {
	const op = "tlscert.parsePair"
	pair, err := tls.X509KeyPair(certPEM, keyPEM)
	if err != nil {
		return nil, fault.Kinded(op, fault.Invalid, err, "%s", explain(certPEM, keyPEM, certFile, keyFile))
	}
	switch leaf := pair.Leaf; {
	case leaf.IsCA:
		return nil, fault.New(op, fault.Invalid, "%s starts with the certificate of an authority. Put the server's own certificate first, then the intermediate ones.", certFile)
	case now.After(leaf.NotAfter):
		return nil, fault.New(op, fault.Invalid, "The certificate in %s expired on %s. Put the renewed one there, or start with --set tls.mode=local meanwhile.", certFile, day(leaf.NotAfter))
	case now.Before(leaf.NotBefore):
		return nil, fault.New(op, fault.Invalid, "The certificate in %s is valid from %s only. Check this machine's clock.", certFile, day(leaf.NotBefore))
	case len(leaf.DNSNames)+len(leaf.IPAddresses) == 0:
		return nil, fault.New(op, fault.Invalid, "The certificate in %s names no host, so browsers refuse it. Get one with the host in its subject alternative names.", certFile)
	}
	return &pair, nil
}

func day(t time.Time) string { return t.UTC().Format("2 January 2006 15:04 UTC") }

// explain says in people's words why two PEM files are no pair.
func explain(certPEM, keyPEM []byte, certFile, keyFile string) string {
	switch {
	case !holds(certPEM, "CERTIFICATE"):
		return certFile + " holds no certificate in PEM form (a text block that begins with BEGIN CERTIFICATE)."
	case bytes.Contains(keyPEM, []byte("ENCRYPTED")):
		return keyFile + " is locked with a passphrase. Write it without one, readable by the server's account only."
	case !holds(keyPEM, "KEY"):
		return keyFile + " holds no private key in PEM form (a text block that begins with BEGIN PRIVATE KEY)."
	}
	return "The key in " + keyFile + " does not belong to the first certificate in " + certFile + ". Check that both are from the same renewal, with the server's own certificate first."
}

func holds(text []byte, kind string) bool {
	for block, rest := pem.Decode(text); block != nil; block, rest = pem.Decode(rest) {
		if bytes.HasSuffix([]byte(block.Type), []byte(kind)) {
			return true
		}
	}
	return false
}

// writeFile puts a whole file in place or leaves what was there.
func writeFile(path string, text []byte, mode os.FileMode) error {
	dir := filepath.Dir(path)
	f, err := os.CreateTemp(dir, ".new-*")
	if err != nil {
		return err
	}
	defer os.Remove(f.Name())
	_, err = f.Write(text)
	if err := errors.Join(err, f.Chmod(mode), f.Sync(), f.Close()); err != nil {
		return err
	}
	if err := os.Rename(f.Name(), path); err != nil {
		return err
	}
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
