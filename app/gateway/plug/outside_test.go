package plug

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"tresor/app/fault"
	"tresor/app/store"
	"tresor/plugins/host"
	"tresor/plugins/protocol"
)

// outside builds the plugin of testdata where an operator would put one.
func outside(t *testing.T) (path, sum string) {
	t.Helper()
	dir := t.TempDir()
	os.Chmod(dir, 0o755)
	path = filepath.Join(dir, "outside")
	cmd := exec.Command("go", "build", "-o", path, "./testdata/outside")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	sum, _, err := host.Fingerprint(path)
	if err != nil {
		t.Fatal(err)
	}
	return path, sum
}

func change1(t *testing.T, path string) {
	t.Helper()
	f, err := os.OpenFile(path, os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := f.Write([]byte{'x'}); err != nil {
		t.Fatal(err)
	}
}

func TestAPluginFromOutside(t *testing.T) {
	r := newRig(t)
	path, sum := outside(t)
	ctx := t.Context()
	p, err := r.Trust(ctx, operator, path, sum)
	if err != nil || p.Name != "outside" || p.Enabled || p.SHA256 != sum || p.TrustedAt == nil || p.TrustedBy != "olga" {
		t.Fatalf("%+v %v", p, err)
	}
	_, err = r.ask("outside", "/")
	want(t, "trusted and not enabled", err, fault.NotFound, "not enabled")
	if p, err = r.Enable(ctx, operator, "outside", true); err != nil || p.Principal != "principal-1" {
		t.Fatalf("%+v %v", p, err)
	}
	if got := r.mustAsk("outside", "/"); got != "https://hub.test " {
		t.Errorf("answer %q", got)
	}
	until(t, "its poller runs and ends", func() bool {
		p := r.page1("outside")
		return p.Health != nil && strings.HasPrefix(p.Health.Detail, "polled") && p.LastError != ""
	})
	rep, err := r.Test(ctx, operator, "outside")
	if err != nil || len(rep.Steps) < 5 || !rep.Steps[0].OK || rep.Steps[0].Name != "file" {
		t.Errorf("%+v %v", rep, err)
	}
	// One byte more, and the next start refuses it.
	change1(t, path)
	rep, err = r.Test(ctx, operator, "outside")
	if err != nil || len(rep.Steps) != 1 || rep.Steps[0].OK || !strings.Contains(rep.Report, "FAIL file") {
		t.Errorf("%+v %v", rep, err)
	}
	r.open()
	until(t, "the page says why", func() bool { return strings.Contains(r.page1("outside").LastError, "has changed") })
	_, err = r.Server(ctx, "outside")
	want(t, "a changed file", err, fault.Unavailable, "has changed")
	if p := r.page1("outside"); p.Running || p.Starts != 0 {
		t.Errorf("a changed file was started: %+v", p)
	}
	_, err = r.Enable(ctx, operator, "outside", false)
	if err != nil {
		t.Fatal(err)
	}
	_, err = r.Enable(ctx, operator, "outside", true)
	want(t, "enabling a changed file", err, fault.Conflict, "has changed")
	// Trusted again as it is now, it runs, with its settings and its principal.
	sum, _, _ = host.Fingerprint(path)
	if p, err = r.Trust(ctx, operator, path, strings.ToUpper(sum)); err != nil || p.Principal != "principal-1" {
		t.Fatalf("%+v %v", p, err)
	}
	if _, err = r.Enable(ctx, operator, "outside", true); err != nil {
		t.Fatal(err)
	}
	r.mustAsk("outside", "/")
	other, otherSum := outside(t)
	_, err = r.Trust(ctx, operator, other, otherSum)
	want(t, "another file of the same name", err, fault.Conflict, "does not get its settings")
	if err = r.Forget(ctx, operator, "outside", "Replaced."); err != nil {
		t.Fatal(err)
	}
	_, err = r.Get(ctx, operator, "outside")
	want(t, "a forgotten plugin", err, fault.NotFound, "no plugin")
	r.open()
	if all, _ := r.List(ctx, operator); len(all) != 2 {
		t.Errorf("after a restart: %+v", all)
	}
	if got := r.events("outside"); got != "plugin.trusted plugin.enabled plugin.disabled plugin.trusted plugin.enabled plugin.removed" {
		t.Errorf("events %q", got)
	}
}

func TestFilesThatAreNotTaken(t *testing.T) {
	r := newRig(t)
	path, sum := outside(t)
	ctx := t.Context()
	link := filepath.Join(filepath.Dir(path), "link")
	os.Symlink(path, link)
	script := filepath.Join(filepath.Dir(path), "script")
	os.WriteFile(script, []byte("#!/bin/sh\necho hello\n"), 0o755)
	scriptSum, _, _ := host.Fingerprint(script)
	open, openSum := outside(t)
	os.Chmod(filepath.Dir(open), 0o777)
	for name, c := range map[string]struct {
		path, sum string
		kind      fault.Kind
		text      string
	}{
		"another hash":            {path, strings.Repeat("0", 64), fault.Conflict, "another SHA-256"},
		"no hash":                 {path, "", fault.Conflict, "another SHA-256"},
		"relative path":           {"outside", sum, fault.Invalid, "whole path"},
		"no file":                 {path + "-none", sum, fault.Invalid, "not taken"},
		"a folder":                {filepath.Dir(path), sum, fault.Invalid, "not taken"},
		"a link":                  {link, sum, fault.Invalid, "not taken"},
		"a folder of all":         {open, openSum, fault.Invalid, "others may write"},
		"a program of other kind": {script, scriptSum, fault.Invalid, "does not answer as a plugin"},
	} {
		_, err := r.Trust(ctx, operator, c.path, c.sum)
		want(t, name, err, c.kind, c.text)
	}
	if all, _ := r.List(ctx, operator); len(all) != 2 {
		t.Errorf("something was taken: %+v", all)
	}
}

func TestTheReportHoldsStepsAndNoSecret(t *testing.T) {
	r := newRig(t)
	r.mustAsk("echo", "/")
	if _, err := r.SetSettings(t.Context(), operator, "echo", map[string]string{"token": "s3cret-4711"}); err != nil {
		t.Fatal(err)
	}
	rep, err := r.Test(t.Context(), operator, "echo")
	if err != nil {
		t.Fatal(err)
	}
	for _, part := range []string{"echo", "2.1", "tresor test", "contract 1", "ok   process", "ok   settings", "(secret)", "took"} {
		if !strings.Contains(rep.Report, part) {
			t.Errorf("the report lacks %q:\n%s", part, rep.Report)
		}
	}
	if strings.Contains(rep.Report, "4711") {
		t.Errorf("the report holds the secret:\n%s", rep.Report)
	}
	if p := r.page1("echo"); p.Health == nil || !p.Health.OK || p.Health.Detail != "fine" {
		t.Errorf("health %+v", p.Health)
	}
	if _, err = r.SetSettings(t.Context(), operator, "echo", map[string]string{"note": "break"}); err != nil {
		t.Fatal(err)
	}
	rep, err = r.Test(t.Context(), operator, "echo")
	if last := rep.Steps[len(rep.Steps)-1]; err != nil || last.OK || last.Detail != "the other end is down" || last.Next == "" {
		t.Errorf("%+v %v", rep, err)
	}
	rep, err = r.Test(t.Context(), operator, "loopback")
	if err != nil || len(rep.Steps) != 4 || !rep.Steps[3].OK {
		t.Errorf("on demand: %+v %v", rep, err)
	}
	if p := r.page1("loopback"); p.Running {
		t.Error("a plugin on demand goes on after its test")
	}
}

// TestATestMayAskOutside: a plugin that acts for nobody asks, while it is tested, what
// its operator has allowed it, and nothing when that is not wired. An error that was not
// written for people is in the log and nowhere else.
func TestATestMayAskOutside(t *testing.T) {
	r := newRig(t)
	r.mustAsk("echo", "/")
	last := func(note string) protocol.Step {
		t.Helper()
		if _, err := r.SetSettings(t.Context(), operator, "echo", map[string]string{"note": note}); err != nil {
			t.Fatal(err)
		}
		rep, err := r.Test(t.Context(), operator, "echo")
		if err != nil || len(rep.Steps) == 0 {
			t.Fatal(rep, err)
		}
		return rep.Steps[len(rep.Steps)-1]
	}
	if s := last("ask"); s.OK || !strings.Contains(s.Detail, "acts for nobody") {
		t.Errorf("without a way outside: %+v", s)
	}
	r.Fetch = func(_ context.Context, plugin string, req protocol.Request) (protocol.Response, error) {
		return protocol.Response{Status: 200, Body: []byte(plugin + " asked " + req.Path)}, nil
	}
	if s := last("ask"); !s.OK || !strings.Contains(s.Detail, "echo asked https://hub.test/info") {
		t.Errorf("an allowed address: %+v", s)
	}
	if s := last("own error"); s.OK || strings.Contains(s.Detail, "author's words") || !strings.Contains(s.Detail, "log") {
		t.Errorf("an author's error: %+v", s)
	}
	for range 200 {
		if strings.Contains(r.logged(), "test failed: the author's words") {
			return
		}
		time.Sleep(50 * time.Millisecond)
	}
	t.Errorf("the author's error is in no log:\n%s", r.logged())
}

// TestAChangeIsThereWithItsEventOrNotAtAll: a transaction that fails leaves the
// plugin as it was, running.
func TestAChangeIsThereWithItsEventOrNotAtAll(t *testing.T) {
	r := newRig(t)
	r.mustAsk("echo", "/")
	broken := func(tx *store.Tx) error {
		_, err := tx.Exec(`CREATE TRIGGER full BEFORE INSERT ON audit_leaf BEGIN SELECT RAISE(ABORT, 'disk full'); END`)
		return err
	}
	if err := r.db.Update(t.Context(), broken); err != nil {
		t.Fatal(err)
	}
	for name, f := range map[string]func() error{
		"disable": func() error { _, err := r.Enable(t.Context(), operator, "echo", false); return err },
		"settings": func() error {
			_, err := r.SetSettings(t.Context(), operator, "echo", map[string]string{"note": "x"})
			return err
		},
	} {
		if err := f(); err == nil {
			t.Errorf("%s: went through without its event", name)
		}
		if p := r.page1("echo"); !p.Enabled || p.Settings["note"] != "" {
			t.Errorf("%s: changed all the same: %+v", name, p)
		}
		r.mustAsk("echo", "/")
	}
}
