package tlscert

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"io/fs"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"slices"
	"time"

	"tresor/app/config"
	"tresor/app/fault"
)

// What the own authority makes. P-256, because browsers know no Ed25519 yet.
const (
	caLife    = 10 * 365 * 24 * time.Hour
	leafLife  = 90 * 24 * time.Hour
	leafRenew = leafLife / 3 // renewed when this much is left
	slack     = time.Hour    // valid from a little before, for clocks that are behind
)

// The authority's files in <data>/tls. The certificate is for everybody; the key
// is written first, so a certificate without its key is damage and not a crash.
const (
	caCertFile   = "local-ca.crt"
	caKeyFile    = "local-ca.key"
	leafCertFile = "local.crt"
	leafKeyFile  = "local.key"
)

// ExportCA returns the PEM certificate of the own authority in a tls folder, for
// browsers to import. Errors: NotFound before the first start.
func ExportCA(dir string) ([]byte, error) {
	b, err := os.ReadFile(filepath.Join(dir, caCertFile))
	if err != nil {
		return nil, fault.WithNext(fault.Kinded("tlscert.ExportCA", fault.NotFound, err, "This appliance has no authority of its own."),
			"It is made at the first start with tls.mode = \"local\".")
	}
	return b, nil
}

// local is a small certificate authority and one certificate of it.
type local struct {
	holder
	dir   string
	names []string
	ca    tls.Certificate
	now   func() time.Time
}

func openLocal(o Options) (*local, error) {
	l := &local{dir: o.Config.Paths().TLS, names: localNames(o.Config), now: o.Now}
	if err := os.MkdirAll(l.dir, 0o700); err != nil {
		return nil, fault.Kinded("tlscert.local", fault.Unavailable, err, "Cannot make the folder %s. Check the rights of the data folder.", l.dir)
	}
	if err := l.openCA(o.Config.Name); err != nil {
		return nil, err
	}
	l.load()
	return l, l.look(context.Background())
}

// openCA loads the authority, or makes it where there is none.
func (l *local) openCA(site string) error {
	const op = "tlscert.openCA"
	certFile, keyFile := filepath.Join(l.dir, caCertFile), filepath.Join(l.dir, caKeyFile)
	ca, err := tls.LoadX509KeyPair(certFile, keyFile)
	if err == nil {
		l.ca = ca
		return nil
	}
	if _, missing := os.Stat(certFile); !errors.Is(missing, fs.ErrNotExist) {
		return fault.Kinded(op, fault.Conflict, err, "The key of the own authority, %s, is missing or does not belong to %s. "+
			"Put both back from a backup, or remove both; browsers then have to import the new one.", keyFile, certFile)
	}
	certPEM, keyPEM, err := makeCA(site, l.now())
	if err != nil {
		return fault.Wrap(op, err)
	}
	if err := errors.Join(writeFile(keyFile, keyPEM, 0o600), writeFile(certFile, certPEM, 0o644)); err != nil {
		return cannotWrite(op, l.dir, err)
	}
	l.ca, err = tls.X509KeyPair(certPEM, keyPEM)
	return fault.Wrap(op, err)
}

func cannotWrite(op, dir string, err error) error {
	return fault.Kinded(op, fault.Unavailable, err, "Cannot write into %s. Check its rights and the free space.", dir)
}

func makeCA(site string, now time.Time) (certPEM, keyPEM []byte, err error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, nil, err
	}
	t := &x509.Certificate{
		SerialNumber: serial(), Subject: pkix.Name{Organization: []string{site}, CommonName: "Tresor local authority " + now.UTC().Format("2006-01-02")},
		NotBefore: now.Add(-slack), NotAfter: now.Add(caLife), IsCA: true, BasicConstraintsValid: true, MaxPathLenZero: true,
		KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageCRLSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, t, t, &key.PublicKey, key)
	if err != nil {
		return nil, nil, err
	}
	return encode(key, der)
}

// load takes the certificate of an earlier start; look makes a new one when it
// is missing or does not fit.
func (l *local) load() {
	pair, err := tls.LoadX509KeyPair(filepath.Join(l.dir, leafCertFile), filepath.Join(l.dir, leafKeyFile))
	if err == nil && pair.Leaf.CheckSignatureFrom(l.ca.Leaf) == nil {
		l.set(&pair)
	}
}

// look makes a certificate when there is none, when it is due or when the names
// have changed.
func (l *local) look(context.Context) error {
	const op = "tlscert.local"
	now := l.now()
	if now.After(l.ca.Leaf.NotAfter) {
		return fault.New(op, fault.Conflict, "The own authority ended on %s. Remove %s and %s, start again, and import the new certificate into the browsers.",
			day(l.ca.Leaf.NotAfter), filepath.Join(l.dir, caCertFile), caKeyFile)
	}
	if leaf := l.leaf(); leaf != nil && leaf.NotAfter.Sub(now) > leafRenew && !now.Before(leaf.NotBefore) && slices.Equal(names(leaf), l.names) {
		return nil
	}
	certPEM, keyPEM, err := l.makeLeaf(now)
	if err != nil {
		return fault.Wrap(op, err)
	}
	pair, err := tls.X509KeyPair(certPEM, keyPEM)
	if err != nil {
		return fault.Wrap(op, err)
	}
	l.set(&pair)
	err = errors.Join(writeFile(filepath.Join(l.dir, leafKeyFile), keyPEM, 0o600), writeFile(filepath.Join(l.dir, leafCertFile), certPEM, 0o644))
	if err != nil {
		return cannotWrite(op, l.dir, err)
	}
	return nil
}

func (l *local) makeLeaf(now time.Time) (certPEM, keyPEM []byte, err error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, nil, err
	}
	t := &x509.Certificate{
		SerialNumber: serial(), Subject: pkix.Name{CommonName: "Tresor"}, NotBefore: now.Add(-slack), NotAfter: now.Add(leafLife),
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}, BasicConstraintsValid: true,
	}
	if t.NotAfter.After(l.ca.Leaf.NotAfter) {
		t.NotAfter = l.ca.Leaf.NotAfter
	}
	for _, name := range l.names {
		if ip := net.ParseIP(name); ip != nil {
			t.IPAddresses = append(t.IPAddresses, ip)
		} else {
			t.DNSNames = append(t.DNSNames, name)
		}
	}
	der, err := x509.CreateCertificate(rand.Reader, t, l.ca.Leaf, &key.PublicKey, l.ca.PrivateKey)
	if err != nil {
		return nil, nil, err
	}
	return encode(key, der)
}

func (l *local) current() (*x509.Certificate, bool) { return l.leaf(), false }

func (l *local) close() {}

func serial() *big.Int {
	n, _ := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 127))
	return n.Add(n, big.NewInt(1))
}

func encode(key *ecdsa.PrivateKey, der []byte) (certPEM, keyPEM []byte, err error) {
	k, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, nil, err
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: k}), nil
}

// localNames lists what the certificate is for: host names, then addresses, each
// once, in the order that x509 gives them back.
func localNames(c config.Config) []string {
	var hosts, addresses []string
	add := func(name string) {
		switch ip := net.ParseIP(name); {
		case name == "":
		case ip == nil && !slices.Contains(hosts, name):
			hosts = append(hosts, name)
		case ip != nil && !ip.IsUnspecified() && !slices.Contains(addresses, ip.String()):
			addresses = append(addresses, ip.String())
		}
	}
	for _, name := range candidates(c) {
		add(name)
	}
	return append(hosts, addresses...)
}
