package config

import (
	"net"
	"net/url"
	"os"
	"regexp"
	"strings"
	"time"
)

// The modes of TLS.
const (
	TLSLocal = "local"
	TLSACME  = "acme"
	TLSFiles = "files"
	TLSOff   = "off"
)

// problems collects what is wrong, so that one start shows all of it.
type problems []string

func (p *problems) add(format string, args ...any) { *p = append(*p, sprintf(format, args...)) }

func (p *problems) unless(ok bool, format string, args ...any) {
	if !ok {
		p.add(format, args...)
	}
}

// Validate refuses settings that cannot work together, with every problem and
// its next step in one fault.Invalid.
func (c Config) Validate() error {
	var p problems
	c.checkDoor(&p)
	c.checkTLS(&p)
	c.checkSandbox(&p)
	c.Limits.check(&p)
	c.Intake.check(&p)
	c.Airlock.check(&p)
	c.Identity.check(&p)
	c.Federation.check(&p)
	if _, _, err := c.Part(); err != nil {
		p.add("%v", err)
	}
	p.unless(!c.Demo || !c.Hub, "demo and hub are both set: a hub holds no demonstration data.")
	oneOf(&p, "log.level", c.Log.Level, "debug", "info", "warn", "error")
	oneOf(&p, "log.format", c.Log.Format, "text", "json")
	return report("config.Validate", p)
}

func oneOf(p *problems, key, value string, allowed ...string) {
	for _, a := range allowed {
		if value == a {
			return
		}
	}
	p.add("%s = %q: choose one of %s.", key, value, strings.Join(allowed, ", "))
}

func (c Config) checkDoor(p *problems) {
	p.unless(strings.TrimSpace(c.Data) != "", "data is empty: name the folder that holds everything.")
	p.unless(strings.TrimSpace(c.Name) != "", "name is empty: give the name of the institution or site.")
	p.unless(address(c.Listen), "listen = %q: write an address and a port, such as \"127.0.0.1:8443\" or \":443\".", c.Listen)
	if c.URL != "" {
		c.checkURL(p)
	}
}

func (c Config) checkURL(p *problems) {
	u, err := url.Parse(c.URL)
	if err != nil || u.Host == "" || u.User != nil || strings.Trim(u.Path, "/") != "" || u.RawQuery != "" || u.Fragment != "" {
		p.add("url = %q: write scheme and host only, such as \"https://tresor.example.org\".", c.URL)
		return
	}
	if c.TLS.Mode == TLSOff {
		oneOf(p, "the scheme of url", u.Scheme, "http", "https")
		return
	}
	p.unless(u.Scheme == "https", "url = %q: it starts with https:// unless tls.mode is \"off\".", c.URL)
}

func address(s string) bool {
	host, port, err := net.SplitHostPort(s)
	if err != nil || strings.ContainsAny(host, " /") {
		return false
	}
	_, err = net.LookupPort("tcp", port)
	return err == nil && port != ""
}

func (c Config) checkTLS(p *problems) {
	oneOf(p, "tls.mode", c.TLS.Mode, TLSLocal, TLSACME, TLSFiles, TLSOff)
	p.unless(c.TLS.HTTPListen == "" || address(c.TLS.HTTPListen), "tls.http_listen = %q: write an address and a port, such as \":80\".", c.TLS.HTTPListen)
	switch c.TLS.Mode {
	case TLSOff:
		p.unless(c.Loopback(), "tls.mode = \"off\" with listen = %q would send passwords and data in the clear. "+
			"Set tls.mode to \"local\", or listen to \"127.0.0.1:…\" behind a proxy on this machine.", c.Listen)
	case TLSFiles:
		p.unless(c.TLS.CertFile != "" && c.TLS.KeyFile != "", "tls.mode = \"files\" needs tls.cert_file and tls.key_file.")
	case TLSACME:
		c.TLS.checkACME(p)
	}
}

func (t TLS) checkACME(p *problems) {
	p.unless(len(t.Domain) > 0, "tls.mode = \"acme\" needs tls.domain, the host names that people type.")
	for _, name := range t.Domain {
		p.unless(hostname.MatchString(name) && net.ParseIP(name) == nil,
			"tls.domain = %q: the authority needs a host name; for addresses use tls.mode = \"local\".", name)
	}
	if t.CA != "" {
		u, err := url.Parse(t.CA)
		p.unless(err == nil && u.Scheme == "https" && u.Host != "", "tls.ca = %q: write the https:// address of the ACME directory.", t.CA)
	}
	p.unless((t.EABID == "") == (t.EABKey == ""), "tls.eab_id and tls.eab_key belong together: set both or neither.")
	if t.CARoots != "" {
		_, err := os.Stat(t.CARoots)
		p.unless(err == nil, "tls.ca_roots = %q: cannot read this file.", t.CARoots)
	}
}

var (
	hostname = regexp.MustCompile(`^(?i)[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?(\.[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?)*$`)
	account  = regexp.MustCompile(`^[a-z_][a-z0-9_-]{0,31}$`)
)

func (c Config) checkSandbox(p *problems) {
	s := c.Sandbox
	p.unless(account.MatchString(s.Account), "sandbox.account = %q: this is not the name of a system account.", s.Account)
	p.unless(s.Cores >= 0, "sandbox.cores = %d: use 0 for all cores, or a number of cores.", s.Cores)
	p.unless(s.Memory == 0 || s.Memory >= 64*MiB, "sandbox.memory = %s: use 0 for three quarters of this machine, or at least 64MiB.", s.Memory)
}

func (l Limits) check(p *problems) {
	d, m := l.Default, l.Max
	bound(p, "memory", d.Memory, m.Memory, 16*MiB)
	bound(p, "cores", d.Cores, m.Cores, 0.01)
	bound(p, "pids", d.Pids, m.Pids, 2)
	bound(p, "file_size", d.FileSize, m.FileSize, 1*KiB)
	bound(p, "log_size", d.LogSize, m.LogSize, 1*KiB)
	bound(p, "output_files", d.OutputFiles, m.OutputFiles, 1)
	bound(p, "output_bytes", d.OutputBytes, m.OutputBytes, 1*KiB)
	p.unless(d.Wall.Duration >= time.Second, "limits.default.wall = %s: give a job at least one second.", d.Wall)
	p.unless(l.Person.TasksPerHour >= 1 && l.Person.OpenTasks >= 1 && l.Person.Cores >= 0,
		"limits.person: tasks_per_hour = %d and open_tasks = %d have to be at least 1, and cores = %d at least 0.", l.Person.TasksPerHour, l.Person.OpenTasks, l.Person.Cores)
	p.unless(d.Wall.Duration <= m.Wall.Duration, "limits.default.wall = %s is more than limits.max.wall = %s.", d.Wall, m.Wall)
}

func bound[T ~int | ~int64 | ~float64](p *problems, key string, usual, most, least T) {
	p.unless(usual >= least, "limits.default.%s = %v: give a job at least %v.", key, usual, least)
	p.unless(usual <= most, "limits.default.%s = %v is more than limits.max.%s = %v.", key, usual, key, most)
}

func (a Airlock) check(p *problems) {
	p.unless(a.Threshold >= 1, "airlock.threshold = %d: use at least 1.", a.Threshold)
	p.unless(a.Reviewers >= 1 && a.Reviewers <= 5, "airlock.reviewers = %d: use 1 to 5.", a.Reviewers)
	p.unless(a.MaxFiles >= 1, "airlock.max_files = %d: use at least 1.", a.MaxFiles)
	p.unless(a.MaxFile >= 1*KiB && a.MaxFile <= a.MaxRequest,
		"airlock.max_file = %s: use at least 1KiB and at most airlock.max_request = %s.", a.MaxFile, a.MaxRequest)
}

func (i Intake) check(p *problems) {
	p.unless(i.Dataset > 0 && i.Image > 0 && i.JobInputs > 0,
		"intake: dataset, image and job_inputs are sizes above zero.")
}

func (i Identity) check(p *problems) {
	p.unless(i.PasswordMin >= 8 && i.PasswordMin <= 128, "identity.password_min = %d: use 8 to 128; 12 is a good choice.", i.PasswordMin)
	between(p, "identity.idle", i.Idle, time.Minute, i.Absolute.Duration)
	between(p, "identity.idle_privileged", i.IdlePrivileged, time.Minute, i.Idle.Duration)
	between(p, "identity.absolute", i.Absolute, time.Minute, 24*time.Hour)
	between(p, "identity.step_up", i.StepUp, time.Minute, time.Hour)
	between(p, "identity.link", i.Link, time.Minute, 14*day)
	between(p, "identity.demo_link", i.DemoLink, time.Minute, 31*day)
}

func between(p *problems, key string, d Duration, least, most time.Duration) {
	p.unless(d.Duration >= least && d.Duration <= most, "%s = %s: use %s to %s.", key, d, Duration{least}, Duration{most})
}
