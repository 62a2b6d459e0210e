package tlscert

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"tresor/app/apptest/address"
	"tresor/app/config"

	"golang.org/x/net/dns/dnsmessage"
)

// pebble is one authority, everything of it on 127.0.0.1.
type pebble struct {
	t            *testing.T
	program      string
	dir          string
	dns          string
	port, manage int
	rootsFile    string // of the server's own certificate
	cmd          *exec.Cmd
	out          *bytes.Buffer
}

// buildPebble returns the program: the one in TRESOR_PEBBLE, or built from the
// tools module once for all tests.
var buildPebble = sync.OnceValues(func() (string, error) {
	if path := os.Getenv("TRESOR_PEBBLE"); path != "" {
		return path, nil
	}
	dir, err := os.MkdirTemp("", "tresor-pebble-")
	if err != nil {
		return "", err
	}
	path := filepath.Join(dir, "pebble")
	cmd := exec.Command("go", "build", "-o", path, "github.com/letsencrypt/pebble/v2/cmd/pebble")
	cmd.Dir = "../../scripts/tools"
	cmd.Env = append(os.Environ(), "GOFLAGS=-buildvcs=false")
	out, err := cmd.CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("building pebble: %w\n%s", err, out)
	}
	return path, nil
})

func TestMain(m *testing.M) {
	code := m.Run()
	if path, err := buildPebble(); err == nil && os.Getenv("TRESOR_PEBBLE") == "" {
		os.RemoveAll(filepath.Dir(path))
	}
	os.Exit(code)
}

// rules are how an authority behaves.
type rules struct {
	tlsPort, httpPort int // where it checks names; 0 is a port where nobody is
	life              time.Duration
	accounts          map[string]string // key id to key: only these may have certificates
}

// startPebble starts an authority that checks names on tlsPort and issues for life.
func startPebble(t *testing.T, tlsPort int, life time.Duration) *pebble {
	t.Helper()
	return startPebbleWith(t, rules{tlsPort: tlsPort, life: life})
}

func startPebbleWith(t *testing.T, r rules) *pebble {
	t.Helper()
	if testing.Short() {
		t.Skip("starts a Pebble server")
	}
	program, err := buildPebble()
	if err != nil {
		t.Fatal(err)
	}
	p := &pebble{t: t, program: program, dir: t.TempDir(), dns: startDNS(t), port: freePort(t), manage: freePort(t)}
	for _, port := range []*int{&r.tlsPort, &r.httpPort} {
		if *port == 0 {
			*port = freePort(t)
		}
	}
	p.writeConfig(r)
	p.start()
	t.Cleanup(p.stop)
	return p
}

func (p *pebble) writeConfig(r rules) {
	own := &local{names: []string{"127.0.0.1"}, now: time.Now}
	caCert, caKey, err := makeCA("pebble", time.Now())
	must(p.t, err)
	own.ca, err = tls.X509KeyPair(caCert, caKey)
	must(p.t, err)
	cert, key, err := own.makeLeaf(time.Now())
	must(p.t, err)
	p.rootsFile = filepath.Join(p.dir, "roots.pem")
	must(p.t, os.WriteFile(p.rootsFile, caCert, 0o600))
	must(p.t, os.WriteFile(filepath.Join(p.dir, "cert.pem"), cert, 0o600))
	must(p.t, os.WriteFile(filepath.Join(p.dir, "key.pem"), key, 0o600))
	conf, err := json.Marshal(map[string]any{"pebble": map[string]any{
		"listenAddress": local127(p.port), "managementListenAddress": local127(p.manage),
		"certificate": filepath.Join(p.dir, "cert.pem"), "privateKey": filepath.Join(p.dir, "key.pem"),
		"httpPort": r.httpPort, "tlsPort": r.tlsPort, "keyAlgorithm": "ecdsa",
		"externalAccountBindingRequired": r.accounts != nil, "externalAccountMACKeys": r.accounts,
		"retryAfter": map[string]int{"authz": 1, "order": 1},
		"profiles":   map[string]any{"default": map[string]any{"description": "test", "validityPeriod": int(r.life / time.Second)}},
	}})
	must(p.t, err)
	must(p.t, os.WriteFile(filepath.Join(p.dir, "pebble.json"), conf, 0o600))
}

func (p *pebble) start() {
	p.t.Helper()
	p.out = &bytes.Buffer{}
	p.cmd = exec.Command(p.program, "-config", filepath.Join(p.dir, "pebble.json"), "-dnsserver", p.dns)
	p.cmd.Env = append(os.Environ(), "PEBBLE_VA_NOSLEEP=1", "PEBBLE_AUTHZREUSE=0")
	p.cmd.Stdout, p.cmd.Stderr = p.out, p.out
	must(p.t, p.cmd.Start())
	for range 6000 {
		if c, err := net.Dial("tcp", local127(p.port)); err == nil {
			c.Close()
			return
		}
		time.Sleep(20 * time.Millisecond)
	}
	p.stop()
	p.t.Fatalf("pebble does not start:\n%s", p.out)
}

func (p *pebble) stop() {
	if p.cmd == nil {
		return
	}
	_ = p.cmd.Process.Kill()
	_ = p.cmd.Wait()
	p.cmd = nil
	if p.t.Failed() {
		p.t.Logf("pebble said:\n%s", p.out)
	}
}

// config are the settings of a site that uses this authority.
func (p *pebble) config(s *site) config.Config {
	c := config.Default()
	c.Data, c.Listen = s.dir, local127(s.port)
	c.TLS = config.TLS{Mode: config.TLSACME, Domain: []string{s.name}, Email: "operator@example.test",
		CA: "https://" + local127(p.port) + "/dir", CARoots: p.rootsFile}
	must(p.t, c.Validate())
	return c
}

// roots asks the authority for the root of what it issues; it is another one
// after each start.
func (p *pebble) roots() *x509.CertPool {
	p.t.Helper()
	own := x509.NewCertPool()
	text, err := os.ReadFile(p.rootsFile)
	must(p.t, err)
	own.AppendCertsFromPEM(text)
	client := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: own}}}
	defer client.CloseIdleConnections()
	answer, err := client.Get("https://" + local127(p.manage) + "/roots/0")
	must(p.t, err)
	defer answer.Body.Close()
	body, err := io.ReadAll(answer.Body)
	must(p.t, err)
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(body) {
		p.t.Fatalf("pebble gives no root: %s", body)
	}
	return pool
}

// startDNS answers every question for an address with 127.0.0.1, over TCP as
// Pebble asks, and returns where it listens.
func startDNS(t *testing.T) string {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			go serveDNS(conn)
		}
	}()
	return l.Addr().String()
}

// serveDNS reads and writes messages behind their two bytes of length.
func serveDNS(conn net.Conn) {
	defer conn.Close()
	for {
		var size [2]byte
		if _, err := io.ReadFull(conn, size[:]); err != nil {
			return
		}
		question := make([]byte, binary.BigEndian.Uint16(size[:]))
		if _, err := io.ReadFull(conn, question); err != nil {
			return
		}
		answer := answerDNS(question)
		out := append(binary.BigEndian.AppendUint16(nil, uint16(len(answer))), answer...)
		if _, err := conn.Write(out); answer == nil || err != nil {
			return
		}
	}
}

func answerDNS(question []byte) []byte {
	var m dnsmessage.Message
	if m.Unpack(question) != nil || len(m.Questions) == 0 {
		return nil
	}
	q := m.Questions[0]
	m.Response, m.RCode, m.Additionals = true, dnsmessage.RCodeSuccess, nil
	if q.Type == dnsmessage.TypeA {
		m.Answers = []dnsmessage.Resource{{
			Header: dnsmessage.ResourceHeader{Name: q.Name, Type: q.Type, Class: q.Class, TTL: 1},
			Body:   &dnsmessage.AResource{A: [4]byte{127, 0, 0, 1}},
		}}
	}
	out, err := m.Pack()
	if err != nil {
		return nil
	}
	return out
}

func freePort(t *testing.T) int {
	t.Helper()
	_, port, _ := strings.Cut(address.Free(t), ":")
	n, err := strconv.Atoi(port)
	must(t, err)
	return n
}

func local127(port int) string { return net.JoinHostPort("127.0.0.1", strconv.Itoa(port)) }

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
