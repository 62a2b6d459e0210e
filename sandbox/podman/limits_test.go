package podman_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"strconv"
	"strings"
	"testing"
	"time"

	"tresor/sandbox"
)

// job runs a command to its end and answers its log, how it ended and its outputs.
func job(t *testing.T, name string, limits sandbox.Limits, argv ...string) (string, sandbox.Collected, map[string]string) {
	t.Helper()
	ctx, r := t.Context(), rig.runner
	s := sandbox.Spec{Ref: sandbox.Ref("tresor-" + name), Image: rig.image, Argv: append([]string{"/workload"}, argv...), Limits: limits,
		Scratch: []sandbox.Scratch{{Name: name, Target: "/work"}}, Outputs: []string{"/work/out"}}
	t.Cleanup(func() { cleanUp(t, s) })
	for _, step := range []func() error{func() error { return r.Prepare(ctx, s) }, func() error { return r.Start(ctx, s.Ref) }} {
		if err := step(); err != nil {
			t.Fatal(err)
		}
	}
	var log bytes.Buffer
	if err := r.Logs(ctx, s.Ref, 0, func(c sandbox.Chunk) error { log.Write(c.Data); return nil }); err != nil {
		t.Fatal(err)
	}
	files := map[string]string{}
	c, err := r.Collect(ctx, s.Ref, into(files))
	if err != nil {
		t.Fatal(err)
	}
	return log.String(), c, files
}

func into(files map[string]string) func(sandbox.File, io.Reader) error {
	return func(f sandbox.File, r io.Reader) error {
		b, err := io.ReadAll(r)
		files[f.Path] = string(b)
		return err
	}
}

// binding skips where the host cannot bind a limit: run these with shared/tools/fresh-vm or on a host with systemd and cgroup v2.
func binding(t *testing.T, limit string) {
	t.Helper()
	caps, err := rig.runner.Capabilities(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, u := range caps.Unlimited {
		if u == limit {
			t.Skipf("this host cannot bind %s (cgroup %s, controllers %v): run on a host with systemd and cgroup v2", limit, caps.Cgroup, caps.Controllers)
		}
	}
}

func TestLimitMemory(t *testing.T) {
	binding(t, "memory")
	_, c, files := job(t, "limit-memory", sandbox.Limits{Memory: 128 << 20}, "write", "/work/out/before", "kept", "then", "memory", fmt.Sprint(400<<20))
	if !c.Status.OOMKilled || c.Status.ExitCode != 137 {
		t.Errorf("status %+v", c.Status)
	}
	if files["/work/out/before"] != "kept" {
		t.Errorf("outputs %v", files)
	}
}

func TestLimitPids(t *testing.T) {
	binding(t, "number of processes")
	log, _, _ := job(t, "limit-pids", sandbox.Limits{Pids: 60}, "fork", "200")
	n, _ := strconv.Atoi(strings.TrimSuffix(strings.Fields(log)[1], ":"))
	if n < 1 || n >= 60 {
		t.Errorf("with 60 processes: %s", log)
	}
}

func TestLimitCores(t *testing.T) {
	binding(t, "processor time")
	log, _, _ := job(t, "limit-cores", sandbox.Limits{Cores: 0.2}, "spin", "5000")
	used, err := strconv.Atoi(strings.TrimSpace(log))
	if err != nil || used < 500 || used > 1800 {
		t.Errorf("a fifth of a core for 5 s gave %s ms", log)
	}
}

func TestLimitFileSize(t *testing.T) {
	log, c, _ := job(t, "limit-file", sandbox.Limits{FileSize: 32 << 20}, "fill", fmt.Sprint(64<<20), "/work/big")
	if !strings.Contains(log, fmt.Sprintf("stopped at %d: ", 32<<20)) || c.Status.ExitCode != 0 {
		t.Errorf("%s %+v", log, c.Status)
	}
}

func cleanUp(t *testing.T, s sandbox.Spec) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	if err := rig.runner.Remove(ctx, s.Ref); err != nil {
		t.Error(err)
	}
	for _, v := range s.Scratch {
		if err := rig.runner.RemoveScratch(ctx, v.Name); err != nil {
			t.Error(err)
		}
	}
}
