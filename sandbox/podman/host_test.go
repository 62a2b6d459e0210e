package podman

import (
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"tresor/sandbox"
)

func goodInfo() info {
	var i info
	i.Version.Version = "5.4.2"
	i.Host.Security.Rootless, i.Host.Security.SECCOMPEnabled = true, true
	i.Host.CgroupVersion, i.Host.CgroupControllers = "v2", []string{"cpu", "memory", "pids"}
	i.Host.OCIRuntime.Name, i.Host.OCIRuntime.Version = "crun", "crun version 1.21\ncommit: abc"
	i.Store.GraphDriverName = "overlay"
	m := []idRange{{0, 999, 1}, {1, 100000, 65536}}
	i.Host.IDMappings.UIDMap, i.Host.IDMappings.GIDMap = m, m
	return i
}

func TestJudge(t *testing.T) {
	for _, c := range []struct {
		name      string
		change    func(*info)
		reason    string // of the refusal; empty: accepted
		unlimited []string
	}{
		{"ok", func(*info) {}, "", nil},
		{"ok: oldest", func(i *info) { i.Version.Version = "4.3.1" }, "", nil},
		{"ok: next major", func(i *info) { i.Version.Version = "10.0.0-dev" }, "", nil},
		{"ok: ranges in two parts", func(i *info) {
			i.Host.IDMappings.UIDMap = []idRange{{0, 999, 1}, {1, 100000, 1000}, {1001, 300000, 70000}}
		}, "", nil},
		{"old podman", func(i *info) { i.Version.Version = "4.2.9" }, "Podman 4.2.9 is too old", nil},
		{"very old podman", func(i *info) { i.Version.Version = "3.4.4" }, "too old", nil},
		{"no version", func(i *info) { i.Version.Version = "" }, "too old", nil},
		{"rootful", func(i *info) { i.Host.Security.Rootless = false }, "runs as root", nil},
		{"no seccomp", func(i *info) { i.Host.Security.SECCOMPEnabled = false }, "seccomp", nil},
		{"vfs", func(i *info) { i.Store.GraphDriverName = "vfs" }, "vfs", nil},
		{"no subordinate uids", func(i *info) { i.Host.IDMappings.UIDMap = []idRange{{0, 999, 1}} }, "fewer than 65536", nil},
		{"few subordinate gids", func(i *info) { i.Host.IDMappings.GIDMap = []idRange{{0, 999, 1}, {1, 100000, 1000}} }, "fewer than 65536", nil},
		{"no mapping at all", func(i *info) { i.Host.IDMappings.UIDMap = nil }, "fewer than 65536", nil},
		{"cgroup v1", func(i *info) { i.Host.CgroupVersion = "v1" }, "", []string{"memory", "number of processes", "processor time"}},
		{"memory not delegated", func(i *info) { i.Host.CgroupControllers = []string{"cpu", "pids"} }, "", []string{"memory"}},
		{"nothing delegated", func(i *info) { i.Host.CgroupControllers = []string{"hugetlb"} }, "", []string{"memory", "number of processes", "processor time"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			i := goodInfo()
			c.change(&i)
			h, err := judge(i, "tresor-sandbox")
			if c.reason != "" {
				var unfit *sandbox.ErrUnfit
				if !errors.As(err, &unfit) || !strings.Contains(unfit.Reason, c.reason) || unfit.Next == "" {
					t.Fatalf("got %v, want %q", err, c.reason)
				}
				return
			}
			if err != nil || !slices.Equal(h.caps.Unlimited, c.unlimited) {
				t.Fatalf("%v, %+v", err, h)
			}
		})
	}
}

func TestHostIDs(t *testing.T) {
	i := goodInfo()
	i.Host.IDMappings.UIDMap = []idRange{{0, 999, 1}, {1, 100000, 1000}, {1001, 300000, 70000}}
	h, err := judge(i, "a")
	if err != nil || h.insideUID != 300000 || h.insideGID != 101000 {
		t.Fatalf("%+v, %v", h, err)
	}
	for uid, want := range map[uint32]bool{0: false, 999: false, 99999: false, 100000: true, 100999: true, 101000: false, 300000: true, 369999: true, 370000: false} {
		if h.allowed(uid) != want {
			t.Errorf("uid %d allowed: %v", uid, !want)
		}
	}
}

func TestFit(t *testing.T) {
	i := goodInfo()
	i.Host.CgroupControllers = nil
	h, err := judge(i, "a")
	if err != nil {
		t.Fatal(err)
	}
	var unfit *sandbox.ErrUnfit
	if err := (&Runner{}).fit(h); !errors.As(err, &unfit) || !strings.Contains(unfit.Next, "allow_unlimited") {
		t.Fatal(err)
	}
	if err := (&Runner{o: Options{AllowUnlimited: true}}).fit(h); err != nil {
		t.Fatal(err)
	}
	if b := limits(sandbox.Limits{}.WithDefaults(), h); b != (resources{}) {
		t.Fatalf("asks for limits that cannot bind: %+v", b)
	}
}

// TestCreateBodyHasNoDoor: a Spec reaches only the fields that it should, whatever it says.
func TestCreateBodyHasNoDoor(t *testing.T) {
	h, err := judge(goodInfo(), "a")
	if err != nil {
		t.Fatal(err)
	}
	r := &Runner{o: Options{RunDir: "/run/x"}, instance: "abc"}
	s := sandbox.Spec{Ref: "tresor-1", Image: "sha256:x", Argv: []string{"--privileged"}, Env: []string{"A=b"}, Labels: map[string]string{"tresor": "forged", "tresor.collects": "y"},
		Binds: []sandbox.Bind{{Source: "/a", Target: "/b"}}, Scratch: []sandbox.Scratch{{Name: "s", Target: "/work"}}, Limits: sandbox.Limits{}.WithDefaults()}
	b := r.createBody(h, s, forTask)
	if b.Labels[labelOurs] != "abc" || b.Labels[labelCollector] != "" {
		t.Errorf("labels %v", b.Labels)
	}
	for _, m := range b.Mounts {
		if m.Type == "bind" && !slices.Contains(m.Options, "ro") {
			t.Errorf("writable bind %+v", m)
		}
	}
	got, err := json.Marshal(b)
	if err != nil {
		t.Fatal(err)
	}
	for _, part := range []string{
		`"userns":{"nsmode":"no-map"}`, `"netns":{"nsmode":"none"}`, `"ipcns":{"nsmode":"private"}`, `"pidns":{"nsmode":"private"}`, `"cap_drop":["all"]`,
		`"no_new_privileges":true`, `"read_only_filesystem":true`, `"read_write_tmpfs":false`, `"httpproxy":false`, `"unsetenvall":true`, `"user":"1000:1000"`,
		`"restart_policy":"no"`, `"image_volume_mode":"ignore"`, `"seccomp_profile_path":"/run/x/seccomp.json"`, `"use_image_hosts":true`,
		`"entrypoint":["/run/tresor/agent","agent"]`, `"command":[]`, `"log_configuration":{"driver":"none"}`, `"hostname":"work"`, `"work_dir":"/"`,
		`"memory":{"limit":2147483648,"swap":2147483648}`, `"pids":{"limit":512}`, `"cpu":{"quota":100000,"period":100000}`, `{"type":"core","hard":0,"soft":0}`,
	} {
		if !strings.Contains(string(got), part) {
			t.Errorf("%s is not in the body", part)
		}
	}
	for _, word := range []string{`"privileged"`, "cap_add", `"devices"`, "unmask", "--privileged", "A=b", "host_device", "systemd"} {
		if strings.Contains(string(got), word) {
			t.Errorf("%q is in the body: %s", word, got)
		}
	}
}

// TestCreateBodyInside: the task service opens one port and shows one file, and only where it is offered.
func TestCreateBodyInside(t *testing.T) {
	h, err := judge(goodInfo(), "a")
	if err != nil {
		t.Fatal(err)
	}
	r := &Runner{o: Options{RunDir: "/run/x"}, instance: "abc"}
	s := sandbox.Spec{Ref: "tresor-1", Image: "sha256:x", Argv: []string{"a"}, Inside: true, Limits: sandbox.Limits{}.WithDefaults(),
		Scratch: []sandbox.Scratch{{Name: "s", Target: "/work"}, {Name: "t", Target: "/tmp"}}, Binds: []sandbox.Bind{{Source: "/a", Target: "/work/b"}}}
	for what, want := range map[role]int{forTask: 1, forCollector: 0, forMaker: 0} {
		b := r.createBody(h, s, what)
		shown := slices.ContainsFunc(b.Mounts, func(m mount) bool {
			return m.Destination == "/etc/hosts" && m.Source == "/run/x/hosts" && slices.Contains(m.Options, "ro")
		})
		if len(b.Sysctl) != want || shown != (want == 1) {
			t.Errorf("%q: sysctl %v, hosts %v", what, b.Sysctl, shown)
		}
		if slices.ContainsFunc(b.Mounts, func(m mount) bool { return m.Destination == "/tmp" }) {
			t.Errorf("%q: two mounts at /tmp", what)
		}
		if bound := slices.ContainsFunc(b.Mounts, func(m mount) bool { return m.Destination == "/work/b" }); bound != (what == forTask) {
			t.Errorf("%q: input mounted %v", what, bound)
		}
		if what != forTask && b.Labels[labelCollector] == "" {
			t.Errorf("%q would be listed as a task", what)
		}
	}
	s.Inside = false
	if b := r.createBody(h, s, forTask); b.Sysctl != nil {
		t.Errorf("sysctl without the task service: %v", b.Sysctl)
	}
}

func TestNested(t *testing.T) {
	s := sandbox.Spec{Scratch: []sandbox.Scratch{{Target: "/work"}, {Target: "/data/x"}},
		Binds: []sandbox.Bind{{Target: "/work/a"}, {Target: "/data/xy"}, {Target: "/data/x/y/z"}, {Target: "/workshop"}, {Target: "/in"}}}
	in, others := nested(s)
	if len(in) != 2 || in[0].Target != "/work/a" || in[1].Target != "/data/x/y/z" || len(others) != 3 {
		t.Fatalf("%v %v", in, others)
	}
}

func TestSettle(t *testing.T) {
	start := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	for _, c := range []struct {
		name    string
		st      state
		code    int
		timeout bool
	}{
		{"ordinary", state{ExitCode: 0, FinishedAt: start.Add(time.Second)}, 0, false},
		{"failed", state{ExitCode: 3, FinishedAt: start.Add(2 * time.Hour)}, 3, false},
		{"killed early", state{ExitCode: 137, FinishedAt: start.Add(time.Minute)}, 137, false},
		{"killed at the wall", state{ExitCode: 137, FinishedAt: start.Add(time.Hour)}, 137, true},
		{"out of memory at the wall", state{ExitCode: 137, OOMKilled: true, FinishedAt: start.Add(time.Hour)}, 137, false},
		{"the engine's own clock", state{ExitCode: -1, FinishedAt: start.Add(time.Hour + hardTimeout)}, 137, true},
	} {
		c.st.StartedAt = start
		out := sandbox.Status{}
		settle(&out, c.st, time.Hour)
		if out.ExitCode != c.code || out.TimedOut != c.timeout {
			t.Errorf("%s: %+v", c.name, out)
		}
	}
}

func TestMerge(t *testing.T) {
	got := merge([]string{"PATH=/bin", "A=1"}, []string{"A=2", "broken", "=x"}, []string{"B="})
	if strings.Join(got, " ") != "A=2 B= PATH=/bin" {
		t.Fatal(got)
	}
}

func TestCountRange(t *testing.T) {
	file := filepath.Join(t.TempDir(), "subuid")
	for _, c := range []struct {
		name, text string
		want       int64
	}{
		{"one", "me:100000:65536\n", 65536},
		{"others", "you:100000:65536\n", 0},
		{"by number", "999:100000:65536\n", 65536},
		{"two lines", "me:100000:10\nme:200000:20\n", 30},
		{"prefix of another name", "me2:100000:65536\n", 0},
		{"malformed", "me:100000\nme:x:y\n\n", 0},
	} {
		if err := os.WriteFile(file, []byte(c.text), 0o644); err != nil {
			t.Fatal(err)
		}
		if n, err := countRange(file, "me", "999"); n != c.want || err != nil {
			t.Errorf("%s: %d %v", c.name, n, err)
		}
	}
	if n, err := countRange(file+"-absent", "me"); n != 0 || err != nil {
		t.Errorf("absent file: %d %v", n, err)
	}
}

// TestUnfitAccounts: each thing that a host can lack has its own words.
func TestUnfitAccounts(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("looks up accounts as root does")
	}
	for name, find := range map[string]func() error{
		"account absent": func() error { _, err := findAccount("tresor-nobody-has-this"); return err },
		"account root":   func() error { _, err := findAccount("root"); return err },
		"no ranges":      func() error { return account{name: "tresor-nobody-has-this", uid: 54321}.checkRanges() },
		"no podman": func() error {
			t.Setenv("PATH", t.TempDir())
			_, err := findPodman()
			return err
		},
		"service": func() error {
			_, err := StartService(t.Context(), ServiceOptions{Account: "tresor-nobody-has-this", RunDir: t.TempDir()})
			return err
		},
	} {
		var unfit *sandbox.ErrUnfit
		if err := find(); !errors.As(err, &unfit) || !strings.Contains(unfit.Next, "sandbox-account") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestShimRefusesRoot(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("only root could become root")
	}
	if err := (shim{UID: 0, GID: 0}).drop(); err == nil {
		t.Fatal("would run podman as root")
	}
	for _, args := range [][]string{nil, {"{"}, {"{}", "x"}} {
		if err := runShim(args); err == nil {
			t.Errorf("%q accepted", args)
		}
	}
}

// TestStalePause: a pause process in a namespace with the wrong cgroup tree is noticed.
func TestStalePause(t *testing.T) {
	s := &Service{cgroups: cgroupsLegacy, shim: shim{XDG: t.TempDir()}}
	if s.stalePause() {
		t.Error("no pause process is none to replace")
	}
	dir := filepath.Join(s.shim.XDG, "libpod", "tmp")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	mine := filepath.Join(dir, "pause.pid")
	if err := os.WriteFile(mine, []byte("999999999\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	if s.stalePause() {
		t.Error("a process that is gone holds nothing")
	}
	if err := os.WriteFile(mine, []byte("self\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	if want := detectCgroups() == cgroupsLegacy; s.stalePause() != want {
		t.Errorf("stale: %v, this process's tree is legacy: %v", !want, want)
	}
}

// TestGateRefuses: what the receiver gets ends only when the check has passed.
func TestGateRefuses(t *testing.T) {
	g := newGate(strings.NewReader(strings.Repeat("no archive ", 1000)), "amd64")
	buf, total := make([]byte, 100), 0
	for {
		n, err := g.Read(buf)
		total += n
		if err != nil {
			if !errors.Is(err, sandbox.ErrInvalid) {
				t.Fatal(err)
			}
			break
		}
	}
	if _, err := g.verdict(); !errors.Is(err, sandbox.ErrInvalid) {
		t.Fatal(err)
	}
}

func TestGateAbandoned(t *testing.T) {
	g := newGate(strings.NewReader("x"), "amd64")
	if _, err := g.verdict(); err != nil {
		t.Fatal("the receiver's own error counts, not ours:", err)
	}
}

// TestFirstProcess: neither a process of this host nor one that is gone is an agent.
func TestFirstProcess(t *testing.T) {
	h := &host{uids: []idRange{{Host: int64(os.Getuid()), Size: 1}}}
	for _, pid := range []int32{int32(os.Getpid()), 0, -1, 1 << 30} {
		if os.Getpid() != 1 && h.admits(uint32(os.Getuid()), pid) {
			t.Errorf("pid %d is admitted", pid)
		}
	}
}
