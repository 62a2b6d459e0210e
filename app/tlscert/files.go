package tlscert

import (
	"bytes"
	"context"
	"crypto/sha256"
	"crypto/x509"
	"os"
	"time"

	"tresor/app/fault"
)

// files serves a certificate that somebody else renews, such as a site's own
// process, and reads it again when it has changed.
type files struct {
	holder
	certFile, keyFile string
	now               func() time.Time
	seen              [sha256.Size]byte // of the content that was last looked at
	lastErr           error             // what was wrong with it
}

func openFiles(o Options) (*files, error) {
	t := o.Config.TLS
	f := &files{certFile: t.CertFile, keyFile: t.KeyFile, now: o.Now}
	return f, f.look(context.Background())
}

// look reads the files, which are small, and takes them when they changed and
// are in order. While a renewal has written only one of them it keeps the old pair.
func (f *files) look(context.Context) error {
	certPEM, err := read(f.certFile)
	if err != nil {
		return err
	}
	keyPEM, err := read(f.keyFile)
	if err != nil {
		return err
	}
	sum := sha256.Sum256(bytes.Join([][]byte{certPEM, keyPEM}, []byte{0}))
	if sum == f.seen && f.lastErr == nil {
		return f.expiring()
	}
	pair, err := parsePair(certPEM, keyPEM, f.certFile, f.keyFile, f.now())
	f.seen, f.lastErr = sum, err
	if err != nil {
		return err
	}
	f.set(pair)
	return f.expiring()
}

// expiring warns before and after the end of the certificate in use.
func (f *files) expiring() error {
	left := f.leaf().NotAfter.Sub(f.now())
	if left > 7*24*time.Hour {
		return nil
	}
	return fault.New("tlscert.files", fault.Unavailable, "The certificate in %s ends on %s. Put the renewed one there; it is read at once.", f.certFile, day(f.leaf().NotAfter))
}

func (f *files) current() (*x509.Certificate, bool) { return f.leaf(), false }

func (f *files) close() {}

func read(path string) ([]byte, error) {
	b, err := os.ReadFile(path)
	if err != nil {
		return nil, fault.Kinded("tlscert.read", fault.Invalid, err, "Cannot read %s. Check that it exists and that the server's account may read it.", path)
	}
	return b, nil
}
