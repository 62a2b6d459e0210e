package config

import (
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"tresor/app/fault"
)

func TestLoadOrder(t *testing.T) {
	data := t.TempDir()
	write(t, filepath.Join(data, File), "name = \"file\"\nlisten = \"127.0.0.1:1\"\nurl = \"https://file.example\"\n[sandbox]\ncores = 2\n")
	env := []string{"TRESOR_DATA=" + data, "TRESOR_LISTEN=127.0.0.1:2", "TRESOR_SANDBOX_CORES=3", "PATH=/bin", "TRESOR_TEST_X=1"}
	c, err := Load("", env, []string{"sandbox.cores=4", "tls.domain=a.example, b.example", "identity.require_totp=false", "limits.max.cores=2.5"})
	if err != nil {
		t.Fatal(err)
	}
	want := Default()
	want.Data, want.Name, want.Listen, want.URL = data, "file", "127.0.0.1:2", "https://file.example"
	want.Sandbox.Cores, want.TLS.Domain = 4, []string{"a.example", "b.example"}
	want.Identity.RequireTOTP, want.Limits.Max.Cores = false, 2.5
	if !reflect.DeepEqual(c, want) {
		t.Errorf("got  %+v\nwant %+v", c, want)
	}
}

func TestLoadWithoutFile(t *testing.T) {
	c, err := Load("", nil, []string{"data=" + t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	if c.TLS.Mode != TLSLocal || !c.Identity.RequireTOTP {
		t.Errorf("not the defaults: %+v", c)
	}
}

func TestLoadMakesDataAbsolute(t *testing.T) {
	t.Chdir(t.TempDir())
	c, err := Load("", nil, []string{"data=here"})
	if err != nil {
		t.Fatal(err)
	}
	if !filepath.IsAbs(c.Data) || filepath.Base(c.Data) != "here" {
		t.Errorf("data = %q", c.Data)
	}
	if got := c.Paths().DB; got != filepath.Join(c.Data, "tresor.db") {
		t.Errorf("db = %q", got)
	}
}

func TestFileRefusals(t *testing.T) {
	cases := []struct{ name, document, says string }{
		{"unknown key", "lisen = \"127.0.0.1:1\"", `config.toml:1:1: there is no setting "lisen". Did you mean listen?`},
		{"unknown key in a section", "\n[sandbox]\n  memroy = \"1GiB\"", `config.toml:3:3: there is no setting "sandbox.memroy". Did you mean sandbox.memory?`},
		{"key in the wrong section", "[tls]\nrequire_totp = true", `Did you mean identity.require_totp?`},
		{"unknown and nothing near", "quixotic = 1", "explains them all"},
		{"two unknown keys", "aaaaaaaaaa = 1\nbbbbbbbbbb = 1", ":2:1:"},
		{"not TOML", "listen = ", "config.toml:1:"},
		{"wrong type", "demo = \"yes\"", "config.toml:1:"},
		{"bad size", "[sandbox]\nmemory = \"lots\"", "is not a size"},
		{"bad time span", "[identity]\nidle = \"soon\"", "is not a time span"},
		{"time span without a unit", "[identity]\nidle = 30", "is not a time span"},
		{"combination", "listen = \":443\"\n[tls]\nmode = \"off\"", "in the clear"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			data := t.TempDir()
			write(t, filepath.Join(data, File), c.document)
			_, err := Load("", nil, []string{"data=" + data})
			refused(t, err, c.says)
		})
	}
}

// A file found in the data folder that names another folder would be found only once.
func TestFileThatSendsTheDataElsewhere(t *testing.T) {
	data := t.TempDir()
	refused(t, sameFolder("/elsewhere", filepath.Join(data, File)), "lies in another folder")
	if err := sameFolder(data, filepath.Join(data, File)); err != nil {
		t.Errorf("the same folder is refused: %v", err)
	}
}

func TestOverrideRefusals(t *testing.T) {
	cases := []struct {
		name     string
		env, set []string
		says     string
	}{
		{"unknown variable", []string{"TRESOR_LISEN=x"}, nil, "TRESOR_LISEN. Did you mean TRESOR_LISTEN?"},
		{"unknown flag", nil, []string{"tls.mod=files"}, `no setting "tls.mod". Did you mean tls.mode?`},
		{"flag without a value", nil, []string{"tls.mode"}, "section.key=value"},
		{"a section is not a setting", nil, []string{"tls=off"}, `no setting "tls"`},
		{"bad bool", []string{"TRESOR_DEMO=perhaps"}, nil, "TRESOR_DEMO: \"perhaps\" is neither true nor false"},
		{"bad whole number", nil, []string{"airlock.threshold=ten"}, "not a whole number"},
		{"number too large", nil, []string{"airlock.threshold=99999999999999999999"}, "not a whole number"},
		{"bad number", nil, []string{"limits.max.cores=many"}, "not a number"},
		{"both are shown", []string{"TRESOR_NOPE=1"}, []string{"nope=1"}, "--set nope=1"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			_, err := Load("", c.env, append([]string{"data=" + t.TempDir()}, c.set...))
			refused(t, err, c.says)
		})
	}
}

func TestNamedFileMustExist(t *testing.T) {
	_, err := Load(filepath.Join(t.TempDir(), "gone.toml"), nil, nil)
	refused(t, err, "Cannot read the settings file")
}

func TestValidateRefusals(t *testing.T) {
	cases := []struct {
		name   string
		change func(*Config)
		says   string
	}{
		{"empty data", func(c *Config) { c.Data = " " }, "data is empty"},
		{"empty name", func(c *Config) { c.Name = "" }, "name is empty"},
		{"listen without port", func(c *Config) { c.Listen = "localhost" }, "listen ="},
		{"listen with a bad port", func(c *Config) { c.Listen = ":99999" }, "listen ="},
		{"url without scheme", func(c *Config) { c.URL = "tresor.example" }, "url ="},
		{"url with a path", func(c *Config) { c.URL = "https://tresor.example/app" }, "host only"},
		{"url in the clear", func(c *Config) { c.URL = "http://tresor.example" }, "starts with https"},
		{"unknown tls mode", func(c *Config) { c.TLS.Mode = "on" }, "tls.mode = \"on\": choose one of local, acme, files, off."},
		{"off on a network address", func(c *Config) { c.TLS.Mode, c.Listen = TLSOff, "192.0.2.1:80" }, "in the clear"},
		{"off on every address", func(c *Config) { c.TLS.Mode, c.Listen = TLSOff, ":80" }, "in the clear"},
		{"files without files", func(c *Config) { c.TLS.Mode = TLSFiles }, "needs tls.cert_file"},
		{"acme without a name", func(c *Config) { c.TLS.Mode = TLSACME }, "needs tls.domain"},
		{"acme for an address", func(c *Config) { c.TLS.Mode, c.TLS.Domain = TLSACME, []string{"192.0.2.1"} }, "needs a host name"},
		{"acme with a bad directory", func(c *Config) { c.TLS.Mode, c.TLS.Domain, c.TLS.CA = TLSACME, []string{"a.example"}, "http://ca" }, "tls.ca ="},
		{"acme with half a binding", func(c *Config) { c.TLS.Mode, c.TLS.Domain, c.TLS.EABID = TLSACME, []string{"a.example"}, "x" }, "belong together"},
		{"acme with missing roots", func(c *Config) { c.TLS.Mode, c.TLS.Domain, c.TLS.CARoots = TLSACME, []string{"a.example"}, "/none" }, "tls.ca_roots"},
		{"bad http address", func(c *Config) { c.TLS.HTTPListen = "80" }, "tls.http_listen"},
		{"bad account", func(c *Config) { c.Sandbox.Account = "-rf" }, "sandbox.account"},
		{"negative cores", func(c *Config) { c.Sandbox.Cores = -1 }, "sandbox.cores"},
		{"little memory", func(c *Config) { c.Sandbox.Memory = 1 }, "sandbox.memory"},
		{"default above maximum", func(c *Config) { c.Limits.Default.Memory = 100 * GiB }, "limits.default.memory = 100GiB is more than limits.max.memory = 64GiB"},
		{"no time", func(c *Config) { c.Limits.Default.Wall = Duration{} }, "limits.default.wall"},
		{"no open tasks", func(c *Config) { c.Limits.Person.OpenTasks = 0 }, "limits.person"},
		{"default time above maximum", func(c *Config) { c.Limits.Default.Wall = Minutes(10000) }, "more than limits.max.wall"},
		{"no intake", func(c *Config) { c.Intake.Image = 0 }, "intake"},
		{"threshold zero", func(c *Config) { c.Airlock.Threshold = 0 }, "airlock.threshold"},
		{"no reviewer", func(c *Config) { c.Airlock.Reviewers = 0 }, "airlock.reviewers"},
		{"file above request", func(c *Config) { c.Airlock.MaxFile = 1 * GiB }, "airlock.max_file"},
		{"short password", func(c *Config) { c.Identity.PasswordMin = 4 }, "identity.password_min"},
		{"session for ever", func(c *Config) { c.Identity.Absolute = Minutes(24 * 60 * 56) }, "identity.absolute"},
		{"privileged idle above idle", func(c *Config) { c.Identity.IdlePrivileged = Minutes(60) }, "identity.idle_privileged"},
		{"bad level", func(c *Config) { c.Log.Level = "loud" }, "log.level"},
		{"bad format", func(c *Config) { c.Log.Format = "xml" }, "log.format"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			conf := Default()
			c.change(&conf)
			refused(t, conf.Validate(), c.says)
		})
	}
}

func TestValidateShowsEveryProblem(t *testing.T) {
	c := Default()
	c.Name, c.Listen = "", "nowhere"
	err := c.Validate()
	refused(t, err, "name is empty")
	refused(t, err, "listen =")
}

func TestRedacted(t *testing.T) {
	c := Default()
	c.TLS.EABID, c.TLS.EABKey = "id", "hunter2"
	got := c.Redacted()
	if strings.Contains(got, "hunter2") || !strings.Contains(got, "(hidden)") {
		t.Errorf("a secret is printed:\n%s", got)
	}
	if _, err := Parse([]byte(got)); err != nil {
		t.Errorf("the print cannot be read back: %v", err)
	}
	if c.TLS.EABKey != "hunter2" {
		t.Error("printing changed the settings")
	}
}

func TestPublicURL(t *testing.T) {
	cases := []struct {
		name, listen, url, mode string
		domain                  []string
		want                    string
	}{
		{"as set", ":443", "https://t.example/", TLSLocal, nil, "https://t.example"},
		{"loopback", "127.0.0.1:8443", "", TLSLocal, []string{"t.example"}, "https://127.0.0.1:8443"},
		{"usual port", ":443", "", TLSACME, []string{"t.example"}, "https://t.example"},
		{"other port", ":8443", "", TLSLocal, []string{"t.example"}, "https://t.example:8443"},
		{"no name", ":443", "", TLSLocal, nil, "https://localhost"},
		{"every address", "0.0.0.0:8443", "", TLSLocal, nil, "https://localhost:8443"},
		{"IPv6", "[::1]:443", "", TLSLocal, nil, "https://[::1]"},
		{"plain", "127.0.0.1:8080", "", TLSOff, nil, "http://127.0.0.1:8080"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			conf := Config{Listen: c.listen, URL: c.url, TLS: TLS{Mode: c.mode, Domain: c.domain}}
			if got := conf.PublicURL(); got != c.want {
				t.Errorf("got %s, want %s", got, c.want)
			}
		})
	}
}

func TestLoopback(t *testing.T) {
	for listen, want := range map[string]bool{"127.0.0.1:1": true, "[::1]:1": true, "localhost:1": true, ":1": false, "0.0.0.0:1": false, "192.0.2.1:1": false, "x": false} {
		if got := (Config{Listen: listen}).Loopback(); got != want {
			t.Errorf("Loopback(%q) = %v", listen, got)
		}
	}
}

func TestSizes(t *testing.T) {
	good := map[string]Size{"0": 0, "4096": 4096, "2GiB": 2 * GiB, "1.5 gib": GiB + GiB/2, "10mb": 10_000_000, "1B": 1, " 7 KiB ": 7 * KiB}
	for text, want := range good {
		if got, err := ParseSize(text); err != nil || got != want {
			t.Errorf("ParseSize(%q) = %v, %v; want %v", text, got, err, want)
		}
	}
	for _, text := range []string{"", "GiB", "-1", "1GiBs", "NaN", "Inf", "99999999TiB", "0x10", "1_0", "1.5e300"} {
		if got, err := ParseSize(text); err == nil {
			t.Errorf("ParseSize(%q) = %v, want a refusal", text, got)
		}
	}
}

func TestDurations(t *testing.T) {
	good := map[string]time.Duration{"90s": 90 * time.Second, "10m": 10 * time.Minute, "7d": 7 * day, "1h30m": 90 * time.Minute, "0s": 0}
	for text, want := range good {
		if got, err := ParseDuration(text); err != nil || got.Duration != want {
			t.Errorf("ParseDuration(%q) = %v, %v; want %v", text, got, err, want)
		}
	}
	for _, text := range []string{"", "10", "-1s", "d", "1.5d", "99999999999d"} {
		if got, err := ParseDuration(text); err == nil {
			t.Errorf("ParseDuration(%q) = %v, want a refusal", text, got)
		}
	}
}

func refused(t *testing.T, err error, says string) {
	t.Helper()
	if err == nil || fault.KindOf(err) != fault.Invalid {
		t.Fatalf("got %v, want a refusal", err)
	}
	if !strings.Contains(fault.Message(err), says) {
		t.Errorf("says %q, want it to mention %q", fault.Message(err), says)
	}
}

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}
