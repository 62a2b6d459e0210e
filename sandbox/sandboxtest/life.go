package sandboxtest

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"tresor/sandbox"
)

func wholeLife(t *testing.T, b *box) {
	b.phase(sandbox.Absent)
	b.argv("say", "hello", "then", "write", "/work/out/a.csv", "x,y", "then", "exit", "3")
	b.must(b.Runner.Prepare(b.ctx, b.spec))
	b.phase(sandbox.Created)
	b.must(b.Runner.Start(b.ctx, b.spec.Ref))
	b.equal(b.log(), "hello\n")
	s := b.phase(sandbox.Ended)
	b.equal(s.ExitCode, 3)
	files, c := b.collect()
	b.equal(files, map[string]string{"/work/out/a.csv": "x,y"})
	b.equal(c.Files, 1)
	b.equal(c.Bytes, 3)
	b.equal(len(c.Refused), 0)
	b.equal(c.Status.Phase, sandbox.Exited)
	b.equal(c.Status.ExitCode, 3)
	if c.Status.StartedAt.IsZero() || c.Status.FinishedAt.Before(c.Status.StartedAt) {
		t.Errorf("started %v, finished %v", c.Status.StartedAt, c.Status.FinishedAt)
	}
	if c.Status.TimedOut || c.Status.OOMKilled || c.Status.LogTruncated {
		t.Errorf("an ordinary end is marked: %+v", c.Status)
	}
	b.must(b.Runner.Remove(b.ctx, b.spec.Ref))
	b.phase(sandbox.Absent)
	b.must(b.Runner.RemoveScratch(b.ctx, b.spec.Scratch[0].Name))
}

func everyVerbTwice(t *testing.T, b *box) {
	b.argv("say", "once", "then", "write", "/work/out/a", "1")
	for range 2 {
		b.must(b.Runner.Prepare(b.ctx, b.spec))
	}
	for range 2 {
		b.must(b.Runner.Start(b.ctx, b.spec.Ref))
	}
	for range 2 {
		b.equal(b.log(), "once\n")
	}
	b.must(b.Runner.Prepare(b.ctx, b.spec))
	b.must(b.Runner.Start(b.ctx, b.spec.Ref))
	for range 2 {
		b.must(b.Runner.Stop(b.ctx, b.spec.Ref, time.Second))
	}
	for range 2 {
		files, c := b.collect()
		b.equal(files, map[string]string{"/work/out/a": "1"})
		b.equal(c.Status.Phase, sandbox.Exited)
		b.equal(c.Status.ExitCode, 0)
	}
	b.equal(b.log(), "once\n")
	b.must(b.Runner.Start(b.ctx, b.spec.Ref))
	b.phase(sandbox.Exited)
	for range 2 {
		b.must(b.Runner.Stop(b.ctx, b.spec.Ref, time.Second))
	}
	for range 2 {
		b.must(b.Runner.Remove(b.ctx, b.spec.Ref))
	}
	for range 2 {
		b.must(b.Runner.RemoveScratch(b.ctx, b.spec.Scratch[0].Name))
	}
}

func orderErrors(t *testing.T, b *box) {
	b.argv("sleep", "30000")
	b.must(b.Runner.Prepare(b.ctx, b.spec))
	_, err := b.Runner.Collect(b.ctx, b.spec.Ref, into(map[string]string{}))
	b.is(err, sandbox.ErrInvalid)
	b.is(b.Runner.Logs(b.ctx, b.spec.Ref, 0, func(sandbox.Chunk) error { return nil }), sandbox.ErrInvalid)
	b.is(b.Runner.RemoveScratch(b.ctx, b.spec.Scratch[0].Name), sandbox.ErrInvalid)
	b.must(b.Runner.Start(b.ctx, b.spec.Ref))
	_, err = b.Runner.Collect(b.ctx, b.spec.Ref, into(map[string]string{}))
	b.is(err, sandbox.ErrInvalid)
	b.phase(sandbox.Running)
}

func absentContainer(t *testing.T, b *box) {
	ref := b.spec.Ref
	b.phase(sandbox.Absent)
	b.is(b.Runner.Start(b.ctx, ref), sandbox.ErrAbsent)
	b.is(b.Runner.Stop(b.ctx, ref, time.Second), sandbox.ErrAbsent)
	b.is(b.Runner.Logs(b.ctx, ref, 0, func(sandbox.Chunk) error { return nil }), sandbox.ErrAbsent)
	_, err := b.Runner.Collect(b.ctx, ref, into(map[string]string{}))
	b.is(err, sandbox.ErrAbsent)
	_, err = b.Runner.Usage(b.ctx, ref)
	b.is(err, sandbox.ErrAbsent)
	b.must(b.Runner.Remove(b.ctx, ref))
}

func invalidSpecs(t *testing.T, b *box) {
	b.argv("noop")
	for name, change := range map[string]func(*sandbox.Spec){
		"no command":             func(s *sandbox.Spec) { s.Argv = nil },
		"image by name":          func(s *sandbox.Spec) { s.Image = "docker.io/library/busybox" },
		"output outside scratch": func(s *sandbox.Spec) { s.Outputs = []string{"/etc/passwd"} },
		"mount over the agent":   func(s *sandbox.Spec) { s.Binds = []sandbox.Bind{{Source: "/etc", Target: "/run/tresor"}} },
		"mount source missing":   func(s *sandbox.Spec) { s.Binds = []sandbox.Bind{{Source: "/nonexistent", Target: "/data/x"}} },
		"a project by itself":    func(s *sandbox.Spec) { s.Inside, s.Project = true, "/project" },
		"negative memory":        func(s *sandbox.Spec) { s.Limits.Memory = -1 },
	} {
		s := b.spec
		change(&s)
		if err := b.Runner.Prepare(b.ctx, s); err == nil {
			t.Errorf("%s: accepted", name)
		} else {
			b.is(err, sandbox.ErrInvalid)
		}
		b.phase(sandbox.Absent)
	}
}

func unknownImage(t *testing.T, b *box) {
	b.argv("noop").spec.Image = "sha256:" + strings.Repeat("0", 64)
	b.is(b.Runner.Prepare(b.ctx, b.spec), sandbox.ErrAbsent)
	b.phase(sandbox.Absent)
}

func exitCodes(t *testing.T, b *box) {
	base := b.spec
	for i, c := range []struct {
		name string
		argv []string
		code int
		says string
	}{
		{"zero", []string{"/workload", "exit", "0"}, 0, ""},
		{"one", []string{"/workload", "exit", "1"}, 1, ""},
		{"255", []string{"/workload", "exit", "255"}, 255, ""},
		{"signal", []string{"/workload", "signal", "9"}, 137, ""},
		{"not found", []string{"/no/such/program"}, 127, "command not found"},
		{"not found in PATH", []string{"nosuchprogram"}, 127, "command not found"},
		{"not executable", []string{"/notprogram"}, 126, "cannot run"},
	} {
		if c.code == 126 && !b.Real {
			continue // the fake has no files in its image
		}
		b.spec = base
		b.spec.Argv = c.argv
		b.spec.Ref = sandbox.Ref(strings.TrimSuffix(string(base.Ref), "-1") + "-" + string(rune('2'+i)))
		b.start()
		out := b.log()
		if s := b.phase(sandbox.Ended); s.ExitCode != c.code {
			t.Errorf("%s: exit code %d, want %d", c.name, s.ExitCode, c.code)
		}
		_, got := b.collect()
		if got.Status.ExitCode != c.code {
			t.Errorf("%s: the engine says %d, want %d", c.name, got.Status.ExitCode, c.code)
		}
		b.contains(out, c.says)
		b.must(b.Runner.Remove(b.ctx, b.spec.Ref))
	}
	b.spec = base
}

func environment(t *testing.T, b *box) {
	b.argv("env").spec.Env = []string{"ANALYSIS=first", "EMPTY="}
	out := b.start().log()
	b.contains(out, "ANALYSIS=first\n")
	b.contains(out, "EMPTY=\n")
	if !b.Real {
		return
	}
	b.contains(out, "HOME=/work\n")
	b.contains(out, "IMAGE=said\n")
	for _, e := range os.Environ() {
		if name, value, _ := strings.Cut(e, "="); len(value) > 8 && strings.Contains(out, value) && name != "PATH" {
			t.Errorf("the host's %s is inside", name)
		}
	}
	for _, word := range []string{"XDG", "proxy", "PROXY", "TOKEN", "container="} {
		if strings.Contains(out, word) {
			t.Errorf("%q is in the environment:\n%s", word, out)
		}
	}
}

func binds(t *testing.T, b *box) {
	dir := readable(t)
	b.must(os.WriteFile(filepath.Join(dir, "f"), []byte("from outside\n"), 0o644))
	b.spec.Binds = []sandbox.Bind{{Source: dir, Target: "/data/set"}, {Source: filepath.Join(dir, "f"), Target: "/in/one"}}
	b.argv("cat", "/data/set/f", "then", "cat", "/in/one", "then", "write", "/data/set/f", "changed").start()
	out := b.log()
	if !b.Real {
		return
	}
	b.contains(out, "from outside\nfrom outside\n")
	b.contains(out, "read-only file system")
	got, err := os.ReadFile(filepath.Join(dir, "f"))
	b.must(err)
	b.equal(string(got), "from outside\n")
}

// readable is a folder that the sandbox account can reach.
func readable(t *testing.T) string {
	dir, err := os.MkdirTemp("", "tresor-bind-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	return dir
}

func sharedScratch(t *testing.T, b *box) {
	b.argv("write", "/work/between", "tasks").start().log()
	b.collect()
	second := *b
	second.spec.Ref += "-second"
	second.argv("cat", "/work/between").start()
	b.equal(second.log(), "tasks")
	b.must(b.Runner.Remove(b.ctx, second.spec.Ref))
}

func stopRunning(t *testing.T, b *box) {
	b.argv("write", "/work/out/half", "done", "then", "say", "ready", "then", "sleep", "60000").start().until("ready")
	begin := time.Now()
	b.must(b.Runner.Stop(b.ctx, b.spec.Ref, 2*time.Minute))
	if d := time.Since(begin); d > 100*time.Second {
		t.Errorf("a command that ends on TERM took %v", d)
	}
	s := b.phase(sandbox.Ended)
	b.equal(s.ExitCode, 143)
	files, c := b.collect()
	b.equal(files, map[string]string{"/work/out/half": "done"})
	b.equal(c.Status.ExitCode, 143)
	b.equal(c.Status.TimedOut, false)
}

func stopStubborn(t *testing.T, b *box) {
	b.argv("stubborn").start().until("ready")
	b.must(b.Runner.Stop(b.ctx, b.spec.Ref, 300*time.Millisecond))
	b.log()
	if s := b.phase(sandbox.Ended); b.Real && s.ExitCode != 137 {
		t.Errorf("exit code %d, want 137", s.ExitCode)
	}
}

func wallTime(t *testing.T, b *box) {
	b.spec.Limits.Wall = 3 * time.Second // in which it has to have written
	b.argv("write", "/work/out/half", "done", "then", "sleep", "60000").start()
	b.log()
	s := b.phase(sandbox.Ended)
	b.equal(s.TimedOut, true)
	files, c := b.collect()
	b.equal(files, map[string]string{"/work/out/half": "done"})
	b.equal(c.Status.TimedOut, true)
	if c.Status.ExitCode < 128 {
		t.Errorf("exit code %d after the wall time", c.Status.ExitCode)
	}
}

func killedOutside(t *testing.T, b *box) {
	b.argv("write", "/work/out/half", "done", "then", "say", "ready", "then", "sleep", "60000").start().until("ready")
	b.Kill(b.spec.Ref)
	b.equal(b.log(), "ready\n")
	s := b.phase(sandbox.Exited)
	b.equal(s.ExitCode, 137)
	files, c := b.collect()
	b.equal(files, map[string]string{"/work/out/half": "done"})
	b.equal(c.Status.ExitCode, 137)
	b.equal(c.Status.TimedOut, false)
}

func restartRunning(t *testing.T, b *box) {
	b.argv("tick", "60", "then", "write", "/work/out/a", "1").start().until("tick 5\n")
	b.Runner = b.Reopen()
	b.must(b.Runner.Prepare(b.ctx, b.spec))
	b.must(b.Runner.Start(b.ctx, b.spec.Ref))
	if p := b.status().Phase; p != sandbox.Running && p != sandbox.Ended { // a slow machine takes longer than the ticks
		t.Fatalf("phase %s after the restart", p)
	}
	out := b.log()
	b.equal(strings.Count(out, "tick "), 60)
	b.contains(out, "tick 0\ntick 1\n")
	files, c := b.collect()
	b.equal(files, map[string]string{"/work/out/a": "1"})
	b.equal(c.Status.ExitCode, 0)
}

func restartEnded(t *testing.T, b *box) {
	b.argv("say", "kept", "then", "write", "/work/out/a", "1", "then", "exit", "4").start().log()
	b.Runner = b.Reopen()
	b.equal(b.phase(sandbox.Ended).ExitCode, 4)
	b.equal(b.log(), "kept\n")
	files, c := b.collect()
	b.equal(files, map[string]string{"/work/out/a": "1"})
	b.equal(c.Status.ExitCode, 4)
	b.Runner = b.Reopen()
	b.equal(b.phase(sandbox.Exited).ExitCode, 4)
	files, _ = b.collect()
	b.equal(files, map[string]string{"/work/out/a": "1"})
}

func removeRunning(t *testing.T, b *box) {
	b.argv("say", "ready", "then", "sleep", "60000").start().until("ready")
	b.must(b.Runner.Remove(b.ctx, b.spec.Ref))
	b.phase(sandbox.Absent)
}

func listLabels(t *testing.T, b *box) {
	b.argv("noop").start().log()
	for _, r := range []sandbox.Runner{b.Runner, b.Reopen()} {
		b.Runner = r
		list, err := r.List(b.ctx)
		b.must(err)
		found := 0
		for _, s := range list {
			if s.Ref == b.spec.Ref {
				found++
				b.equal(s.Labels["job"], b.spec.Labels["job"])
				b.equal(s.Phase, sandbox.Ended)
			}
		}
		b.equal(found, 1)
	}
}

func usage(t *testing.T, b *box) {
	b.argv("say", "ready", "then", "sleep", "60000").start().until("ready")
	u, err := b.Runner.Usage(b.ctx, b.spec.Ref)
	b.must(err)
	if u.Memory <= 0 || u.Pids <= 0 {
		t.Errorf("a running command uses nothing: %+v", u)
	}
	b.must(b.Runner.Stop(b.ctx, b.spec.Ref, time.Second))
	b.collect()
	u, err = b.Runner.Usage(b.ctx, b.spec.Ref)
	b.must(err)
	b.equal(u, sandbox.Usage{})
}

// images is here for the order of errors; archives have their own tests.
func images(t *testing.T, b *box) {
	img, err := b.Images.Inspect(b.ctx, b.Image)
	b.must(err)
	b.equal(img.ID, b.Image)
	list, err := b.Images.ListImages(b.ctx)
	b.must(err)
	if len(list) == 0 {
		t.Error("no images listed")
	}
	_, err = b.Images.Inspect(b.ctx, "sha256:"+strings.Repeat("f", 64))
	b.is(err, sandbox.ErrAbsent)
	b.must(b.Images.RemoveImage(b.ctx, "sha256:"+strings.Repeat("f", 64)))
	for range 2 {
		var last [2]int64
		b.must(b.Images.Warm(b.ctx, b.Image, func(done, total int64) { last = [2]int64{done, total} }))
		b.equal(last[0], last[1])
	}
	b.argv("noop")
	b.must(b.Runner.Prepare(b.ctx, b.spec))
	b.is(b.Images.RemoveImage(b.ctx, b.Image), sandbox.ErrInvalid)
	ctx, cancel := context.WithCancel(b.ctx)
	cancel()
	if _, err := b.Images.Load(ctx, strings.NewReader("not an archive")); err == nil {
		t.Error("text was loaded as an image")
	}
}
