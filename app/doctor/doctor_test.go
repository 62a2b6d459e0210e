package doctor

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"tresor/sandbox"
)

type stubEngine struct {
	caps sandbox.Capabilities
	err  error
}

func (s stubEngine) Capabilities(context.Context) (sandbox.Capabilities, error) { return s.caps, s.err }

func TestEngineChecks(t *testing.T) {
	good := sandbox.Capabilities{Version: "5.4.2", Storage: "overlay"}
	bare := sandbox.Capabilities{Version: "4.3.1", Storage: "overlay", Unlimited: []string{"memory: controller not delegated"}}
	cases := []struct {
		name    string
		options Options
		states  []State
		says    []string
	}{
		{"all well", Options{Engine: stubEngine{caps: good}}, []State{OK, OK}, []string{"version 5.4.2", "bind"}},
		{"limits cannot bind", Options{Engine: stubEngine{caps: bare}}, []State{OK, Fail}, []string{"4.3.1", "no job is started"}},
		{"limits waived is a warning that says so", Options{Engine: stubEngine{caps: bare}, AllowUnlimited: true}, []State{OK, Warn}, []string{"4.3.1", "do NOT bind"}},
		{"unfit engine names the next step", Options{Engine: stubEngine{err: sandbox.Unfit("Upgrade Podman.", "Podman 3.0 is too old")}}, []State{Fail}, []string{"3.0 is too old"}},
		{"engine is down", Options{Engine: stubEngine{err: errors.New("connection refused")}}, []State{Fail}, []string{"connection refused"}},
		{"engine was never reached", Options{EngineErr: errors.New("no socket")}, []State{Fail}, []string{"no socket"}},
		{"nobody asked it", Options{}, []State{Fail}, []string{"not asked"}},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			got := engine(context.Background(), c.options)
			if len(got) != len(c.states) {
				t.Fatalf("%d checks, want %d: %+v", len(got), len(c.states), got)
			}
			for i, check := range got {
				if check.State != c.states[i] || !strings.Contains(check.Detail, c.says[i]) {
					t.Errorf("check %d: %+v, want %s saying %q", i, check, c.states[i], c.says[i])
				}
				if check.State != OK && check.Next == "" {
					t.Errorf("%s has no next step", check.Name)
				}
			}
		})
	}
}

func TestVersionLess(t *testing.T) {
	for _, c := range []struct {
		a, b string
		want bool
	}{
		{"5.11.0", "5.12", true}, {"5.12.0-1-amd64", "5.12", false}, {"6.1", "5.12", false},
		{"4.19", "5.12", true}, {"6.18.44-fc", "5.12", false}, {"", "5.12", true}, {"5.12-rc1", "5.12", false},
	} {
		if got := versionLess(c.a, c.b); got != c.want {
			t.Errorf("versionLess(%q, %q) = %v", c.a, c.b, got)
		}
	}
}

func TestSubIDs(t *testing.T) {
	file := filepath.Join(t.TempDir(), "subuid")
	text := "other:100000:65536\ntresor-sandbox:200000:60000\ntresor-sandbox:300000:5536\nbroken\ntresor-sandbox:x\n"
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	if n, err := subIDs(file, "tresor-sandbox"); err != nil || n != 65536 {
		t.Errorf("got %d, %v; want the two ranges added", n, err)
	}
	if n, err := subIDs(file+".absent", "x"); err != nil || n != 0 {
		t.Errorf("an absent file gives %d, %v; want no ids and no error", n, err)
	}
}

func TestDataFolder(t *testing.T) {
	dir := t.TempDir()
	for _, c := range []struct {
		name string
		mode os.FileMode
		want State
	}{{"private", 0o700, OK}, {"traversable", 0o711, OK}, {"group may write", 0o770, Fail}, {"all may write", 0o777, Fail}} {
		t.Run(c.name, func(t *testing.T) {
			if err := os.Chmod(dir, c.mode); err != nil {
				t.Fatal(err)
			}
			if got := dataFolder(dir); got.State != c.want {
				t.Errorf("%+v, want %s", got, c.want)
			}
		})
	}
	if got := dataFolder(dir + "/absent"); got.State != Warn || got.Next == "" {
		t.Errorf("absent folder: %+v", got)
	}
}

func TestRunNamesEverythingAndAdvises(t *testing.T) {
	checks := Run(context.Background(), Options{Data: t.TempDir(), Account: "no-such-account-here"})
	seen := map[string]bool{}
	for _, c := range checks {
		if seen[c.Name] || c.Name == "" || c.Detail == "" {
			t.Errorf("check without a name of its own or a finding: %+v", c)
		}
		seen[c.Name] = true
		if c.State == Fail && c.Next == "" {
			t.Errorf("%s fails without a next step", c.Name)
		}
	}
	for _, want := range []string{"kernel", "accounts", "subordinate ids", "cgroups", "podman", "data folder", "path to the data", "disk", "clock", "swap"} {
		if !seen[want] {
			t.Errorf("%s was not checked", want)
		}
	}
	if !Unfit(checks) {
		t.Error("a host without the account and without Podman counts as fit")
	}
}
