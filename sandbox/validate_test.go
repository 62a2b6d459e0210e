package sandbox_test

import (
	"errors"
	"math"
	"strings"
	"testing"
	"time"

	"tresor/sandbox"
)

func good() sandbox.Spec {
	return sandbox.Spec{
		Ref: "tresor-job-1-1", Labels: map[string]string{"job": "j1"}, Image: "sha256:" + strings.Repeat("a", 64),
		Argv: []string{"sh"}, Env: []string{"A=1", "B="}, Workdir: "/work",
		Binds:   []sandbox.Bind{{Source: "/srv/data", Target: "/data/one"}, {Source: "/srv/in", Target: "/in/x.sql"}},
		Scratch: []sandbox.Scratch{{Name: "job-1", Target: "/work"}}, Outputs: []string{"/work/out/*.csv"},
		Limits: sandbox.Limits{}.WithDefaults(),
	}
}

func TestValidate(t *testing.T) {
	for _, c := range []struct {
		name   string
		change func(*sandbox.Spec)
		want   string // part of the refusal; empty: accepted
	}{
		{"ok", func(*sandbox.Spec) {}, ""},
		{"ok: no mounts", func(s *sandbox.Spec) { s.Binds, s.Scratch, s.Outputs = nil, nil, nil }, ""},
		{"ref: foreign", func(s *sandbox.Spec) { s.Ref = "other-1" }, "container name"},
		{"ref: upper case", func(s *sandbox.Spec) { s.Ref = "tresor-A" }, "container name"},
		{"ref: slash", func(s *sandbox.Spec) { s.Ref = "tresor-../x" }, "container name"},
		{"ref: too long", func(s *sandbox.Spec) { s.Ref = sandbox.Ref("tresor-" + strings.Repeat("a", 200)) }, "container name"},
		{"image: tag", func(s *sandbox.Spec) { s.Image = "busybox:latest" }, "not an id or digest"},
		{"image: short", func(s *sandbox.Spec) { s.Image = "sha256:abc" }, "not an id or digest"},
		{"label: bad key", func(s *sandbox.Spec) { s.Labels = map[string]string{"A B": "x"} }, "label"},
		{"label: long value", func(s *sandbox.Spec) { s.Labels = map[string]string{"a": strings.Repeat("x", 300)} }, "label"},
		{"argv: none", func(s *sandbox.Spec) { s.Argv = nil }, "no command"},
		{"argv: empty name", func(s *sandbox.Spec) { s.Argv = []string{""} }, "no command"},
		{"argv: NUL", func(s *sandbox.Spec) { s.Argv = []string{"a", "b\x00c"} }, "NUL"},
		{"env: no name", func(s *sandbox.Spec) { s.Env = []string{"=x"} }, "NAME=value"},
		{"env: no value", func(s *sandbox.Spec) { s.Env = []string{"X"} }, "NAME=value"},
		{"workdir: relative", func(s *sandbox.Spec) { s.Workdir = "work" }, "working directory"},
		{"workdir: dots", func(s *sandbox.Spec) { s.Workdir = "/work/../etc" }, "working directory"},
		{"bind: relative source", func(s *sandbox.Spec) { s.Binds[0].Source = "data" }, "mount source"},
		{"bind: option in source", func(s *sandbox.Spec) { s.Binds[0].Source = "/srv/a:rw" }, "mount source"},
		{"bind: over /etc", func(s *sandbox.Spec) { s.Binds[0].Target = "/etc/passwd" }, "belongs to the sandbox"},
		{"bind: over the root", func(s *sandbox.Spec) { s.Binds[0].Target = "/" }, "belongs to the sandbox"},
		{"bind: over the agent", func(s *sandbox.Spec) { s.Binds[0].Target = "/run/tresor/agent" }, "belongs to the sandbox"},
		{"bind: over /proc", func(s *sandbox.Spec) { s.Binds[0].Target = "/proc/sys" }, "belongs to the sandbox"},
		{"bind: same target", func(s *sandbox.Spec) { s.Binds[1].Target = "/data/one" }, "overlap"},
		{"bind: inside another", func(s *sandbox.Spec) { s.Binds[1].Target = "/data/one/two" }, "overlap"},
		{"ok: project", func(s *sandbox.Spec) {
			s.Scratch[0].Target, s.Workdir, s.Outputs, s.Inside, s.Project = "/project/run", "/project/run/a", nil, true, "/project/run"
		}, ""},
		{"project: elsewhere", func(s *sandbox.Spec) { s.Inside, s.Project = true, "/work" }, "is not /project nor in it"},
		{"project: no volume", func(s *sandbox.Spec) { s.Inside, s.Project = true, "/project" }, "is no scratch volume"},
		{"project: in a volume", func(s *sandbox.Spec) {
			s.Scratch[0].Target, s.Outputs, s.Inside, s.Project = "/project", nil, true, "/project/run"
		}, "is no scratch volume"},
		{"project: no task service", func(s *sandbox.Spec) { s.Scratch[0].Target, s.Outputs, s.Project = "/project", nil, "/project" }, "needs the task service"},
		{"ok: bind inside scratch", func(s *sandbox.Spec) { s.Binds[1].Target = "/work/data" }, ""},
		{"ok: bind in /tmp", func(s *sandbox.Spec) { s.Binds[1].Target = "/tmp/x.csv" }, ""},
		{"bind: over /tmp", func(s *sandbox.Spec) { s.Binds[1].Target = "/tmp" }, "belongs to the sandbox"},
		{"bind: around scratch", func(s *sandbox.Spec) { s.Binds[1].Target, s.Scratch[0].Target = "/w", "/w/ork"; s.Outputs = nil }, "overlap"},
		{"bind: over scratch", func(s *sandbox.Spec) { s.Binds[1].Target = "/work" }, "overlap"},
		{"bind: over the sandbox's folder", func(s *sandbox.Spec) { s.Binds[1].Target = "/work/.tresor/x" }, "belongs to the sandbox"},
		{"scratch: bad name", func(s *sandbox.Spec) { s.Scratch[0].Name = "../x" }, "scratch name"},
		{"scratch: over /dev", func(s *sandbox.Spec) { s.Scratch[0].Target = "/dev/shm" }, "belongs to the sandbox"},
		{"output: outside", func(s *sandbox.Spec) { s.Outputs = []string{"/data/one/x"} }, "not inside a scratch"},
		{"output: climbs", func(s *sandbox.Spec) { s.Outputs = []string{"/work/../data/x"} }, "absolute clean"},
		{"ok: output: whole scratch", func(s *sandbox.Spec) { s.Outputs = []string{"/work"} }, ""},
		{"output: the sandbox's folder", func(s *sandbox.Spec) { s.Outputs = []string{"/work/.tresor/x"} }, "belongs to the sandbox"},
		{"output: bad pattern", func(s *sandbox.Spec) { s.Outputs = []string{"/work/[a"} }, "malformed"},
		{"ok: several volumes", func(s *sandbox.Spec) {
			for i, p := range []string{"/tmp", "/home/me", "/root", "/opt/x", "/var/lib/x", "/mnt", "/a/b/c"} {
				s.Scratch = append(s.Scratch, sandbox.Scratch{Name: "v" + string(rune('a'+i)), Target: p})
			}
		}, ""},
		{"scratch: nested", func(s *sandbox.Spec) {
			s.Scratch = append(s.Scratch, sandbox.Scratch{Name: "b", Target: "/work/b"})
		}, "overlap"},
		{"scratch: over /usr", func(s *sandbox.Spec) { s.Scratch[0].Target = "/usr/local" }, "belongs to the sandbox"},
		{"scratch: over /lib64", func(s *sandbox.Spec) { s.Scratch[0].Target = "/lib64" }, "belongs to the sandbox"},
		{"ok: /library is not /lib", func(s *sandbox.Spec) { s.Scratch[0].Target, s.Outputs = "/library", nil }, ""},
		{"ok: folders", func(s *sandbox.Spec) { s.Folders = []string{"/work", "/work/a/b"} }, ""},
		{"folder: outside", func(s *sandbox.Spec) { s.Folders = []string{"/elsewhere"} }, "not inside a scratch"},
		{"folder: climbs", func(s *sandbox.Spec) { s.Folders = []string{"/work/../x"} }, "absolute clean"},
		{"folder: in a bind", func(s *sandbox.Spec) { s.Binds[1].Target = "/work/in"; s.Folders = []string{"/work/in/x"} }, "read-only"},
		{"folder: the sandbox's", func(s *sandbox.Spec) { s.Folders = []string{"/work/.tresor"} }, "belongs to the sandbox"},
		{"ok: copies", func(s *sandbox.Spec) {
			s.Copies = []sandbox.Copy{{From: "/data/one", To: "/work/one"}, {From: "/data/one/f", To: "/work/one/g"}}
		}, ""},
		{"copy: not from a mount", func(s *sandbox.Spec) { s.Copies = []sandbox.Copy{{From: "/etc/passwd", To: "/work/p"}} }, "not inside a mount"},
		{"copy: to outside", func(s *sandbox.Spec) { s.Copies = []sandbox.Copy{{From: "/data/one", To: "/opt/p"}} }, "not inside a scratch"},
		{"copy: over the volume", func(s *sandbox.Spec) { s.Copies = []sandbox.Copy{{From: "/data/one", To: "/work"}} }, "not inside a scratch"},
		{"copy: two to one place", func(s *sandbox.Spec) {
			s.Copies = []sandbox.Copy{{From: "/data/one", To: "/work/p"}, {From: "/in/x.sql", To: "/work/p"}}
		}, "two copies"},
		{"copy: around a mount", func(s *sandbox.Spec) {
			s.Binds[1].Target = "/work/p/q"
			s.Copies = []sandbox.Copy{{From: "/data/one", To: "/work/p"}}
		}, "around the mount"},
		{"ok: streams", func(s *sandbox.Spec) { s.Stdin, s.Stdout, s.Stderr = "/data/one/in", "/work/o/log", "/work/o/log" }, ""},
		{"ok: stdin from scratch", func(s *sandbox.Spec) { s.Stdin = "/work/in" }, ""},
		{"stdin: from the image", func(s *sandbox.Spec) { s.Stdin = "/etc/passwd" }, "standard input"},
		{"stdin: the log", func(s *sandbox.Spec) { s.Stdin = "/work/.tresor/a.log" }, "standard input"},
		{"stdin: also written", func(s *sandbox.Spec) { s.Stdin, s.Stdout = "/work/a", "/work/a" }, "at once"},
		{"stdout: in a bind", func(s *sandbox.Spec) { s.Stdout = "/data/one/x" }, "not inside a scratch"},
		{"stderr: relative", func(s *sandbox.Spec) { s.Stderr = "x" }, "absolute clean"},
		{"memory: too little", func(s *sandbox.Spec) { s.Limits.Memory = 1 << 20 }, "memory limit"},
		{"cores: NaN", func(s *sandbox.Spec) { s.Limits.Cores = math.NaN() }, "core limit"},
		{"cores: negative", func(s *sandbox.Spec) { s.Limits.Cores = -1 }, "core limit"},
		{"pids: one", func(s *sandbox.Spec) { s.Limits.Pids = 1 }, "process limit"},
		{"file size: negative", func(s *sandbox.Spec) { s.Limits.FileSize = -1 }, "file size"},
		{"log: too large", func(s *sandbox.Spec) { s.Limits.LogSize = 2 << 30 }, "log limit"},
		{"wall: too short", func(s *sandbox.Spec) { s.Limits.Wall = time.Millisecond }, "wall time"},
		{"files: too many", func(s *sandbox.Spec) { s.Limits.OutputFiles = 1 << 30 }, "output limit"},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := good()
			c.change(&s)
			err := s.Validate()
			if c.want == "" {
				if err != nil {
					t.Fatal(err)
				}
				return
			}
			if !errors.Is(err, sandbox.ErrInvalid) || !strings.Contains(err.Error(), c.want) {
				t.Fatalf("got %v, want %q", err, c.want)
			}
		})
	}
}

func TestCheckPath(t *testing.T) {
	for _, c := range []struct {
		name, path string
		ok         bool
	}{
		{"ok", "/work/out/a.csv", true},
		{"ok: space inside", "/work/out/a b.csv", true},
		{"ok: umlaut", "/work/out/grüße.csv", true},
		{"ok: Arabic", "/work/out/تقرير.csv", true},
		{"ok: hidden", "/work/out/.hidden", true},
		{"relative", "out/a", false},
		{"root", "/", false},
		{"climbs", "/work/../etc/passwd", false},
		{"double slash", "/work//a", false},
		{"not UTF-8", "/work/a\xff", false},
		{"NUL", "/work/a\x00b", false},
		{"newline", "/work/a\nb", false},
		{"tab", "/work/a\tb", false},
		{"escape", "/work/\x1b[31m", false},
		{"delete", "/work/a\x7f", false},
		{"right to left override", "/work/report\u202Evsc.exe", false},
		{"left to right mark", "/work/a\u200E", false},
		{"isolate", "/work/a\u2066b", false},
		{"zero width space", "/work/a\u200Bb", false},
		{"zero width joiner", "/work/a\u200Db", false},
		{"byte order mark", "/work/\uFEFFa", false},
		{"no-break space", "/work/a\u00A0b", false},
		{"ideographic space", "/work/a\u3000b", false},
		{"Hangul filler", "/work/a\u3164b", false},
		{"variation selector", "/work/a\uFE0Fb", false},
		{"tag", "/work/a\U000E0041", false},
		{"line separator", "/work/a\u2028b", false},
		{"backslash", `/work/a\b`, false},
		{"leading dash", "/work/-rf", false},
		{"leading dash in a directory", "/work/-x/a", false},
		{"leading space", "/work/ a", false},
		{"trailing space", "/work/a ", false},
		{"private use is shown as a box", "/work/\uE000", false},
		{"long name", "/work/" + strings.Repeat("a", 256), false},
		{"long path", "/" + strings.Repeat("aaaaaaaaa/", 110) + "a", false},
		{"deep", strings.Repeat("/a", 33), false},
	} {
		t.Run(c.name, func(t *testing.T) {
			if err := sandbox.CheckPath(c.path); (err == nil) != c.ok {
				t.Fatalf("%q: %v", c.path, err)
			}
		})
	}
}

func TestMatchOutput(t *testing.T) {
	for _, c := range []struct {
		pattern, path string
		want          bool
	}{
		{"/work/a.csv", "/work/a.csv", true},
		{"/work/a.csv", "/work/a.csv2", false},
		{"/work/*.csv", "/work/a.csv", true},
		{"/work/*.csv", "/work/sub/a.csv", false},
		{"/work/out", "/work/out/deep/er/a", true},
		{"/work/out", "/work/outside/a", false},
		{"/work/run-*/log", "/work/run-1/log", true},
		{"/work/run-*", "/work/run-1/any/thing", true},
		{"/work/out/x", "/work/out", false},
	} {
		if got := sandbox.MatchOutput(c.pattern, c.path); got != c.want {
			t.Errorf("%s on %s: %v", c.pattern, c.path, got)
		}
	}
}

func TestPrintable(t *testing.T) {
	for in, want := range map[string]string{
		"plain (ok).txt": "plain (ok).txt", "a\u202Eb": `a\u202eb`, "bad\xff": `bad\xff`, "\x1b[0m": `\x1b[0m`, strings.Repeat("x", 300): strings.Repeat("x", 200) + "...",
	} {
		if got := sandbox.Printable(in); got != want {
			t.Errorf("%q: %q", in, got)
		}
		if once := sandbox.Printable(in); sandbox.Printable(once) != once {
			t.Errorf("%q changes when applied twice", in)
		}
	}
}

func FuzzCheckPath(f *testing.F) {
	for _, s := range []string{"/work/a", "/a\u202Eb", "/\xff", "//", "/a/../b"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, p string) {
		if sandbox.CheckPath(p) != nil {
			return
		}
		for _, r := range p {
			if r < ' ' || r == 0x7f || r >= 0x202A && r <= 0x202E || r >= 0x2066 && r <= 0x2069 {
				t.Fatalf("%q accepted", p)
			}
		}
		if strings.Contains(p, "..") && strings.Contains(p+"/", "/../") {
			t.Fatalf("%q accepted", p)
		}
	})
}

func TestLiteral(t *testing.T) {
	for _, p := range []string{"/work/a", "/work/a*b", "/work/[x]?", `/work/a\b`, "/work/*"} {
		pattern := sandbox.Literal(p)
		if !sandbox.MatchOutput(pattern, p) || !sandbox.MatchOutput(pattern, p+"/inside") || sandbox.MatchOutput(pattern, "/work/zz") {
			t.Errorf("%q as %q", p, pattern)
		}
	}
	if sandbox.MatchOutput(sandbox.Literal("/work/a*b"), "/work/axb") {
		t.Error("a star is still a star")
	}
}
