// Package config is the one entrance for settings.
//
// It owns the Config struct, whose comments are the manual, and the order in
// which defaults, the file, the environment and the command line override each
// other. It is strict: a key that does not exist, a value of the wrong type or a
// combination that cannot work stops the start with every problem and its next
// step, because a mistyped security setting that is silently ignored is worse
// than a server that does not start. It never writes a file and keeps no state,
// so a crash leaves nothing behind.
package config

import (
	"bytes"
	"errors"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strings"

	"tresor/app/fault"

	"github.com/pelletier/go-toml/v2"
)

// File is the name of the settings file inside the data folder.
const File = "config.toml"

// Load returns the settings from, in rising order, Default, the TOML file at
// path, the TRESOR_* variables in env ("KEY=value", as from os.Environ) and set
// ("section.key=value"). With an empty path it reads config.toml in the data
// folder, if there is one; a named file must exist. Errors are fault.Invalid and
// list every problem found.
func Load(path string, env []string, set []string) (Config, error) {
	overrides, err := readOverrides(env, set)
	if err != nil {
		return Config{}, err
	}
	c := Default()
	named := path != ""
	if !named {
		path = filepath.Join(dataBefore(c.Data, overrides), File)
	}
	if err := readFile(&c, path, named); err != nil {
		return Config{}, err
	}
	if err := applyAll(&c, overrides); err != nil {
		return Config{}, err
	}
	if c.Data, err = filepath.Abs(c.Data); err != nil {
		return Config{}, fault.Wrap("config.Load", err)
	}
	if !named {
		if err := sameFolder(c.Data, path); err != nil {
			return Config{}, err
		}
	}
	return c, c.Validate()
}

// Parse returns the settings of one TOML document over the defaults, without
// environment and without validation of combinations.
func Parse(document []byte) (Config, error) {
	c := Default()
	err := decode(&c, document, File)
	return c, err
}

// dataBefore finds the data folder before the file in it can be read.
func dataBefore(folder string, overrides []override) string {
	for _, o := range overrides {
		if o.key == "data" {
			folder = o.value
		}
	}
	return folder
}

func readFile(c *Config, path string, named bool) error {
	document, err := os.ReadFile(path)
	switch {
	case errors.Is(err, fs.ErrNotExist) && !named:
		return nil
	case err != nil:
		return fault.Kinded("config.Load", fault.Invalid, err, "Cannot read the settings file %s: %s.", path, cause(err))
	}
	return decode(c, document, path)
}

func cause(err error) string {
	var p *fs.PathError
	if errors.As(err, &p) {
		return p.Err.Error()
	}
	return err.Error()
}

// sameFolder refuses a file that sends the data elsewhere: the next start would
// look for its settings in another place than this one did.
func sameFolder(data, path string) error {
	here, err := filepath.Abs(filepath.Dir(path))
	if err != nil || here == data {
		return fault.Wrap("config.Load", err)
	}
	return fault.New("config.Load", fault.Invalid,
		"%s sets data = %q but lies in another folder. Remove that line, or name the file with --config.", path, data)
}

func decode(c *Config, document []byte, name string) error {
	d := toml.NewDecoder(bytes.NewReader(document))
	d.DisallowUnknownFields()
	err := d.Decode(c)
	if err == nil {
		return nil
	}
	var unknown *toml.StrictMissingError
	if errors.As(err, &unknown) {
		return unknownKeys(unknown, name)
	}
	var bad *toml.DecodeError
	if errors.As(err, &bad) {
		line, column := bad.Position()
		return fault.Kinded("config.decode", fault.Invalid, err, "%s:%d:%d: %s%s.", name, line, column, keyPrefix(bad.Key()), plain(bad.Error()))
	}
	return fault.Kinded("config.decode", fault.Invalid, err, "%s: %s.", name, plain(err.Error()))
}

func unknownKeys(e *toml.StrictMissingError, name string) error {
	var lines []string
	for i := range e.Errors {
		line, column := e.Errors[i].Position()
		key := strings.Join(e.Errors[i].Key(), ".")
		lines = append(lines, sprintf("%s:%d:%d: there is no setting %q.%s", name, line, column, key, meant(key, keys())))
	}
	return fault.Kinded("config.decode", fault.Invalid, e, "%s", strings.Join(lines, "\n"))
}

func keyPrefix(key toml.Key) string {
	if len(key) == 0 {
		return ""
	}
	return strings.Join(key, ".") + ": "
}

func plain(s string) string {
	return strings.TrimSuffix(strings.TrimPrefix(s, "toml: "), ".")
}

// Loopback reports whether the listen address reaches this machine only.
func (c Config) Loopback() bool {
	host, _, err := net.SplitHostPort(c.Listen)
	if err != nil {
		return false
	}
	if host == "localhost" {
		return true
	}
	ip := net.ParseIP(host)
	return ip != nil && ip.IsLoopback()
}

// PublicURL returns the address that people type, without a final slash. The
// port comes from listen when url is not set.
func (c Config) PublicURL() string {
	if c.URL != "" {
		return strings.TrimSuffix(c.URL, "/")
	}
	host, port, _ := net.SplitHostPort(c.Listen)
	scheme, usual := "https", "443"
	if c.TLS.Mode == TLSOff {
		scheme, usual = "http", "80"
	}
	if !c.Loopback() && len(c.TLS.Domain) > 0 {
		host = c.TLS.Domain[0]
	} else if host == "" || net.ParseIP(host).IsUnspecified() {
		host = "localhost"
	}
	if port == usual {
		if strings.Contains(host, ":") {
			host = "[" + host + "]"
		}
		return scheme + "://" + host
	}
	return scheme + "://" + net.JoinHostPort(host, port)
}

// Paths are the places inside the data folder.
type Paths struct {
	DB       string // the database file
	Vault    string // bytes by hash
	Datasets string // dataset versions and presentations
	Projects string // writable trees of projects
	Jobs     string // inputs of jobs
	Keys     string // the appliance's own keys
	TLS      string // certificates
	Backups  string
	Plugins  string
	Run      string // sockets; empty after a restart
}

// Paths returns where everything lies inside Data.
func (c Config) Paths() Paths {
	in := func(name string) string { return filepath.Join(c.Data, name) }
	return Paths{
		DB: in("tresor.db"), Vault: in("vault"), Datasets: in("datasets"), Projects: in("projects"), Jobs: in("jobs"),
		Keys: in("keys"), TLS: in("tls"), Backups: in("backups"), Plugins: in("plugins"), Run: in("run"),
	}
}
