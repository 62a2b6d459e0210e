package podman_test

import (
	"errors"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"tresor/sandbox"
	"tresor/sandbox/podman"
)

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
	time.Sleep(500 * time.Millisecond)
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
	s := sandbox.Spec{Ref: "tresor-agent-dead", Image: rig.image, Argv: []string{"/workload", "write", "/work/out/a", "kept", "then", "sleep", "60000"},
		Scratch: []sandbox.Scratch{{Name: "agent-dead", Target: "/work"}}, Outputs: []string{"/work/out/*"}}
	t.Cleanup(func() { cleanUp(t, s) })
	if err := errors.Join(r.Prepare(ctx, s), r.Start(ctx, s.Ref)); err != nil {
		t.Fatal(err)
	}
	time.Sleep(500 * time.Millisecond)
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
	s := sandbox.Spec{Ref: "tresor-dead-twice", Image: rig.image, Argv: []string{"/workload", "say", "hi", "then", "write", "/work/out/a", "kept", "then", "sleep", "60000"},
		Scratch: []sandbox.Scratch{{Name: "dead-twice", Target: "/work"}}, Outputs: []string{"/work/out/*"}}
	t.Cleanup(func() { cleanUp(t, s) })
	if err := errors.Join(r.Prepare(ctx, s), r.Start(ctx, s.Ref)); err != nil {
		t.Fatal(err)
	}
	time.Sleep(500 * time.Millisecond)
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
