package podman_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"tresor/sandbox"
	"tresor/sandbox/podman"
)

// said waits until a command has written want.
func said(t *testing.T, ref sandbox.Ref, want string) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	log := ""
	err := rig.runner.Logs(ctx, ref, 0, func(c sandbox.Chunk) error {
		if log += string(c.Data); log == want {
			cancel()
		}
		return nil
	})
	if log != want {
		t.Fatalf("the log is %q, want %q: %v", log, want, err)
	}
}

// TestImpostor: the command knows all that its agent knows, and still cannot speak for it.
func TestImpostor(t *testing.T) {
	log, c, _ := job(t, "impostor", sandbox.Limits{}, "impostor")
	if !strings.Contains(log, "turned away") || c.Status.ExitCode != 0 {
		t.Errorf("%q %+v", log, c.Status)
	}
}

// TestUsurper: nor can it when it is first to dial after a restart of the appliance.
func TestUsurper(t *testing.T) {
	r, ctx := rig.runner, t.Context()
	s := sandbox.Spec{Ref: "tresor-usurper", Image: rig.image, Argv: []string{"/workload", "usurp", "5000"}, Scratch: []sandbox.Scratch{{Name: "usurper", Target: "/work"}}}
	t.Cleanup(func() { cleanUp(t, s) })
	if err := errors.Join(r.Prepare(ctx, s), r.Start(ctx, s.Ref)); err != nil {
		t.Fatal(err)
	}
	said(t, s.Ref, "ready\n")
	r = reopen(t)
	log := ""
	if err := r.Logs(ctx, s.Ref, 0, func(c sandbox.Chunk) error { log += string(c.Data); return nil }); err != nil || log != "ready\n" {
		t.Errorf("log %q, %v", log, err)
	}
	if c, err := r.Collect(ctx, s.Ref, into(map[string]string{})); err != nil || c.Status.ExitCode != 0 {
		t.Errorf("%+v %v", c, err)
	}
}

// TestAgentDead: an agent that answers nothing any more is killed with its container, and
// an agent of our own fetches the outputs.
func TestAgentDead(t *testing.T) {
	if testing.Short() {
		t.Skip("waits for a time-out")
	}
	r, ctx := rig.runner, t.Context()
	s := sandbox.Spec{Ref: "tresor-agent-dead", Image: rig.image, Argv: []string{"/workload", "write", "/work/out/a", "kept", "then", "say", "ready", "then", "sleep", "60000"},
		Scratch: []sandbox.Scratch{{Name: "agent-dead", Target: "/work"}}, Outputs: []string{"/work/out/*"}}
	t.Cleanup(func() { cleanUp(t, s) })
	if err := errors.Join(r.Prepare(ctx, s), r.Start(ctx, s.Ref)); err != nil {
		t.Fatal(err)
	}
	said(t, s.Ref, "ready\n")
	pid, err := podman.HostPID(ctx, r, s.Ref)
	if err == nil {
		err = syscall.Kill(pid, syscall.SIGSTOP)
	}
	if err != nil {
		t.Fatal(err)
	}
	if err := r.Stop(ctx, s.Ref, 100*time.Millisecond); err != nil {
		t.Fatal(err)
	}
	files := map[string]string{}
	c, err := r.Collect(ctx, s.Ref, into(files))
	if err != nil || files["/work/out/a"] != "kept" || c.Status.ExitCode != 137 {
		t.Fatalf("%v %+v %v", files, c, err)
	}
}

// TestDeadLogAndOutputsAtOnce: two who ask a dead container for what it left take turns.
func TestDeadLogAndOutputsAtOnce(t *testing.T) {
	r, ctx := rig.runner, t.Context()
	s := sandbox.Spec{Ref: "tresor-dead-twice", Image: rig.image, Argv: []string{"/workload", "write", "/work/out/a", "kept", "then", "say", "hi", "then", "sleep", "60000"},
		Scratch: []sandbox.Scratch{{Name: "dead-twice", Target: "/work"}}, Outputs: []string{"/work/out/*"}}
	t.Cleanup(func() { cleanUp(t, s) })
	if err := errors.Join(r.Prepare(ctx, s), r.Start(ctx, s.Ref)); err != nil {
		t.Fatal(err)
	}
	said(t, s.Ref, "hi\n")
	kill(t, s.Ref)
	var wg sync.WaitGroup
	for range 2 {
		wg.Go(func() {
			log := ""
			if err := r.Logs(ctx, s.Ref, 0, func(c sandbox.Chunk) error { log += string(c.Data); return nil }); err != nil || log != "hi\n" {
				t.Errorf("log %q, %v", log, err)
			}
		})
		wg.Go(func() {
			files := map[string]string{}
			if c, err := r.Collect(ctx, s.Ref, into(files)); err != nil || files["/work/out/a"] != "kept" {
				t.Errorf("%v %+v %v", files, c, err)
			}
		})
	}
	wg.Wait()
}

// TestUnplacedIsKept: what was found in the way of an input is not forgotten by a restart between Prepare and Start.
func TestUnplacedIsKept(t *testing.T) {
	ctx := t.Context()
	volume := []sandbox.Scratch{{Name: "unplaced", Target: "/work"}}
	first := sandbox.Spec{Ref: "tresor-unplaced-1-1", Image: rig.image, Argv: []string{"/workload", "link", "/etc", "/work/set"}, Scratch: volume}
	t.Cleanup(func() { cleanUp(t, first) })
	r := rig.runner
	if err := errors.Join(r.Prepare(ctx, first), r.Start(ctx, first.Ref), r.Logs(ctx, first.Ref, 0, func(sandbox.Chunk) error { return nil }), r.Remove(ctx, first.Ref)); err != nil {
		t.Fatal(err)
	}
	input := t.TempDir()
	if err := errors.Join(os.Chmod(filepath.Dir(input), 0o755), os.Chmod(input, 0o755)); err != nil {
		t.Fatal(err)
	}
	s := sandbox.Spec{Ref: "tresor-unplaced-2-1", Image: rig.image, Argv: []string{"/workload", "say", "ran anyway"}, Scratch: volume,
		Binds: []sandbox.Bind{{Source: input, Target: "/work/set/in"}}}
	t.Cleanup(func() { _ = rig.runner.Remove(context.Background(), s.Ref) })
	if err := r.Prepare(ctx, s); err != nil {
		t.Fatal(err)
	}
	r = reopen(t)
	if err := errors.Join(r.Prepare(ctx, s), r.Prepare(ctx, s), r.Start(ctx, s.Ref)); err != nil {
		t.Fatal(err)
	}
	log := ""
	if err := r.Logs(ctx, s.Ref, 0, func(c sandbox.Chunk) error { log += string(c.Data); return nil }); err != nil || strings.Contains(log, "ran anyway") {
		t.Errorf("%q %v", log, err)
	}
	if st, err := r.Status(ctx, s.Ref); err != nil || !st.Unplaced || st.ExitCode != sandbox.ExitUnplaced {
		t.Errorf("%+v %v", st, err)
	}
}

// TestMakerCutShort: a Prepare that was killed while it made the places of inputs leaves nothing that stops the next, or that Remove forgets.
func TestMakerCutShort(t *testing.T) {
	ctx := t.Context()
	input := t.TempDir()
	if err := errors.Join(os.Chmod(filepath.Dir(input), 0o755), os.Chmod(input, 0o755)); err != nil {
		t.Fatal(err)
	}
	s := sandbox.Spec{Ref: "tresor-cut-short-1-1", Image: rig.image, Argv: []string{"/workload", "noop"},
		Scratch: []sandbox.Scratch{{Name: "cut-short", Target: "/work"}}, Binds: []sandbox.Bind{{Source: input, Target: "/work/a/b"}}}
	t.Cleanup(func() { cleanUp(t, s) })
	r := rig.runner
	for name, after := range map[string]time.Duration{"at once": 0, "soon": 20 * time.Millisecond, "later": 60 * time.Millisecond, "late": 120 * time.Millisecond} {
		short, cancel := context.WithTimeout(ctx, after)
		err := r.Prepare(short, s)
		cancel()
		if err := r.Prepare(ctx, s); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if list, lerr := r.List(ctx); lerr != nil || slices.ContainsFunc(list, func(st sandbox.Status) bool { return strings.HasSuffix(string(st.Ref), "-maker") }) {
			t.Errorf("%s (%v): %v %v", name, err, list, lerr)
		}
		if err := r.Remove(ctx, s.Ref); err != nil {
			t.Fatal(err)
		}
		if _, err := os.Stat(filepath.Join(rig.run, string(s.Ref)+"-maker")); err == nil {
			t.Errorf("%s: the maker's folder is left", name)
		}
	}
}

// TestManyNestedAtOnce: each of these makes two containers, and none is lost when they all come at once.
func TestManyNestedAtOnce(t *testing.T) {
	ctx, r := t.Context(), rig.runner
	input := t.TempDir()
	if err := errors.Join(os.Chmod(filepath.Dir(input), 0o755), os.Chmod(input, 0o755)); err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	for i := range 24 {
		name := fmt.Sprintf("at-once-%d", i)
		s := sandbox.Spec{Ref: sandbox.Ref("tresor-" + name), Image: rig.image, Argv: []string{"/workload", "noop"}, Inside: true,
			Scratch: []sandbox.Scratch{{Name: name, Target: "/work"}}, Binds: []sandbox.Bind{{Source: input, Target: "/work/a/b"}}}
		t.Cleanup(func() { cleanUp(t, s) })
		wg.Go(func() {
			if err := errors.Join(r.Prepare(ctx, s), r.Start(ctx, s.Ref), r.Logs(ctx, s.Ref, 0, func(sandbox.Chunk) error { return nil })); err != nil {
				t.Error(name, err)
			}
			if c, err := r.Collect(ctx, s.Ref, into(map[string]string{})); err != nil || c.Status.ExitCode != 0 {
				t.Error(name, c.Status, err)
			}
		})
	}
	wg.Wait()
}
