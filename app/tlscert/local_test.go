package tlscert

import (
	"crypto/x509"
	"errors"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"tresor/app/config"
	"tresor/app/fault"
)

// clock is a time that tests move.
type clock struct{ t time.Time }

func (c *clock) now() time.Time { return c.t }

func localConfig(t *testing.T) config.Config {
	c := config.Default()
	c.Data = t.TempDir()
	return c
}

func openAt(t *testing.T, c config.Config, now func() time.Time) (*Manager, error) {
	s := newSite(t)
	o := s.options(c)
	o.Now = now
	return open(t.Context(), o, quick)
}

func TestLocalChainVerifiesInABrowser(t *testing.T) {
	s := newSite(t)
	c := localConfig(t)
	c.Listen, c.TLS.Domain = local127(s.port), []string{"tresor.example"}
	m := s.serve(c)
	text, err := ExportCA(c.Paths().TLS)
	must(t, err)
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(text)
	for _, name := range []string{"localhost", "127.0.0.1", "tresor.example"} {
		s.handshake(name, roots)
	}
	if got := m.Status(); got.Temporary || got.LastError != "" || !slices.Contains(got.Names, "tresor.example") {
		t.Errorf("status = %+v", got)
	}
}

func TestLocalFilesAreAsPrivateAsTheyMustBe(t *testing.T) {
	c := localConfig(t)
	_, err := openAt(t, c, time.Now)
	must(t, err)
	for name, want := range map[string]os.FileMode{caKeyFile: 0o600, leafKeyFile: 0o600, caCertFile: 0o644, leafCertFile: 0o644} {
		info, err := os.Stat(filepath.Join(c.Paths().TLS, name))
		must(t, err)
		if info.Mode().Perm() != want {
			t.Errorf("%s has mode %v, want %v", name, info.Mode().Perm(), want)
		}
	}
}

func TestLocalKeepsItsCertificateOverARestart(t *testing.T) {
	c := localConfig(t)
	first, err := openAt(t, c, time.Now)
	must(t, err)
	second, err := openAt(t, c, time.Now)
	must(t, err)
	if !leafOf(first).Equal(leafOf(second)) {
		t.Error("a restart made another certificate")
	}
}

func TestLocalRenews(t *testing.T) {
	c, clk := localConfig(t), &clock{time.Now()}
	m, err := openAt(t, c, clk.now)
	must(t, err)
	first := leafOf(m)
	clk.t = first.NotAfter.Add(-leafRenew - time.Minute)
	must(t, m.source.look(t.Context()))
	if !leafOf(m).Equal(first) {
		t.Error("renewed before it was due")
	}
	clk.t = first.NotAfter.Add(-leafRenew + time.Minute)
	must(t, m.source.look(t.Context()))
	renewed := leafOf(m)
	if renewed.Equal(first) || !renewed.NotAfter.After(first.NotAfter) {
		t.Error("not renewed when it was due")
	}
	if err := renewed.CheckSignatureFrom(m.source.(*local).ca.Leaf); err != nil {
		t.Errorf("the renewed certificate is of another authority: %v", err)
	}
}

func TestLocalFollowsTheNames(t *testing.T) {
	c := localConfig(t)
	first, err := openAt(t, c, time.Now)
	must(t, err)
	c.TLS.Domain = []string{"other.example", "192.0.2.7"}
	second, err := openAt(t, c, time.Now)
	must(t, err)
	if got := names(leafOf(second)); !slices.Contains(got, "other.example") || !slices.Contains(got, "192.0.2.7") {
		t.Errorf("names = %v", got)
	}
	if leafOf(first).Equal(leafOf(second)) {
		t.Error("the certificate stayed the same")
	}
}

func TestLocalNeverOutlivesItsAuthority(t *testing.T) {
	c, clk := localConfig(t), &clock{time.Now()}
	m, err := openAt(t, c, clk.now)
	must(t, err)
	ca := m.source.(*local).ca.Leaf
	clk.t = ca.NotAfter.Add(-24 * time.Hour)
	must(t, m.source.look(t.Context()))
	if leafOf(m).NotAfter.After(ca.NotAfter) {
		t.Error("the certificate outlives its authority")
	}
	clk.t = ca.NotAfter.Add(time.Minute)
	refused(t, m.source.look(t.Context()), "own authority ended")
}

func TestLocalRefusesHalfAnAuthority(t *testing.T) {
	for _, name := range []string{"key missing", "key of another authority"} {
		t.Run(name, func(t *testing.T) {
			c := localConfig(t)
			_, err := openAt(t, c, time.Now)
			must(t, err)
			key := filepath.Join(c.Paths().TLS, caKeyFile)
			must(t, os.Remove(key))
			if name != "key missing" {
				_, other, err := makeCA("other", time.Now())
				must(t, err)
				must(t, os.WriteFile(key, other, 0o600))
			}
			_, err = openAt(t, c, time.Now)
			refused(t, err, "Put both back from a backup")
		})
	}
}

// A crash after the key and before the certificate leaves no authority at all.
func TestLocalStartsAgainAfterACrash(t *testing.T) {
	c := localConfig(t)
	_, err := openAt(t, c, time.Now)
	must(t, err)
	must(t, os.Remove(filepath.Join(c.Paths().TLS, caCertFile)))
	_, err = openAt(t, c, time.Now)
	must(t, err)
}

func TestLocalServesFromMemoryWhenTheDiskFails(t *testing.T) {
	c, clk := localConfig(t), &clock{time.Now()}
	m, err := openAt(t, c, clk.now)
	must(t, err)
	must(t, os.RemoveAll(c.Paths().TLS))
	first := leafOf(m)
	clk.t = first.NotAfter.Add(-time.Hour)
	refused(t, m.source.look(t.Context()), "Cannot write into")
	if leafOf(m).Equal(first) {
		t.Error("the new certificate is not served although it was made")
	}
}

func TestLocalWithoutAFolder(t *testing.T) {
	c := localConfig(t)
	c.Data = filepath.Join(c.Data, "file")
	must(t, os.WriteFile(c.Data, nil, 0o600))
	_, err := openAt(t, c, time.Now)
	refused(t, err, "Cannot make the folder")
}

func TestExportCABeforeTheFirstStart(t *testing.T) {
	_, err := ExportCA(t.TempDir())
	if fault.KindOf(err) != fault.NotFound || fault.Next(err) == "" {
		t.Errorf("got %v", err)
	}
}

func TestOffHasNoTLS(t *testing.T) {
	c := localConfig(t)
	c.TLS.Mode = config.TLSOff
	m, err := openAt(t, c, time.Now)
	must(t, err)
	if m.TLS() != nil || m.Status().Mode != config.TLSOff || m.Status().NotAfter != nil {
		t.Errorf("status = %+v", m.Status())
	}
}

func TestUnknownMode(t *testing.T) {
	c := localConfig(t)
	c.TLS.Mode = "on"
	_, err := openAt(t, c, time.Now)
	refused(t, err, "not a way to get a certificate")
}

func TestNamesOfAnOpenAddress(t *testing.T) {
	c := config.Default()
	c.Listen = ":443"
	got := localNames(c)
	if host, _ := os.Hostname(); !slices.Contains(got, host) || !slices.Contains(got, "localhost") {
		t.Errorf("names = %v", got)
	}
	if slices.Contains(got, "::") || slices.Contains(got, "0.0.0.0") {
		t.Errorf("names no address of a machine: %v", got)
	}
}

func TestRedirect(t *testing.T) {
	c := config.Default()
	c.URL = "https://tresor.example"
	h := redirect(c)
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequest("GET", "http://tresor.example/jobs?x=1", nil))
	if w.Code != 308 || w.Header().Get("Location") != "https://tresor.example/jobs?x=1" {
		t.Errorf("%d %q", w.Code, w.Header().Get("Location"))
	}
	w = httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequest("POST", "http://tresor.example/jobs", nil))
	if w.Code != 400 {
		t.Errorf("a form over plain HTTP answers %d", w.Code)
	}
}

func leafOf(m *Manager) *x509.Certificate {
	leaf, _ := m.source.current()
	return leaf
}

// A crash between the two files of a renewal leaves a pair that does not fit;
// the next start makes a new one.
func TestLocalMendsHalfARenewal(t *testing.T) {
	for _, name := range []string{leafKeyFile, leafCertFile} {
		for what, spoil := range map[string]func(path string) error{
			"missing": os.Remove,
			"from another renewal": func(path string) error {
				cert, key, err := makeCA("other", time.Now())
				if name == leafCertFile {
					key = cert
				}
				return errors.Join(err, os.WriteFile(path, key, 0o600))
			},
		} {
			t.Run(name+" "+what, func(t *testing.T) {
				c := localConfig(t)
				first, err := openAt(t, c, time.Now)
				must(t, err)
				must(t, spoil(filepath.Join(c.Paths().TLS, name)))
				second, err := openAt(t, c, time.Now)
				must(t, err)
				third, err := openAt(t, c, time.Now)
				must(t, err)
				if leafOf(second).Equal(leafOf(first)) || !leafOf(second).Equal(leafOf(third)) {
					t.Error("the pair was not made anew and kept")
				}
			})
		}
	}
}
