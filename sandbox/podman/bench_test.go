package podman_test

import (
	"context"
	"fmt"
	"io"
	"os/exec"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"tresor/sandbox"
)

var benchSerial atomic.Int64

// viaRunner is one no-op job: what app/job does between queued and held, without the database.
func viaRunner(ctx context.Context) error {
	ref := sandbox.Ref(fmt.Sprintf("tresor-bench-%d-1-1", benchSerial.Add(1)))
	s := sandbox.Spec{Ref: ref, Image: rig.image, Argv: []string{"/workload", "noop"},
		Scratch: []sandbox.Scratch{{Name: strings.TrimPrefix(string(ref), "tresor-"), Target: "/work"}}, Outputs: []string{"/work/out"}}
	if err := rig.runner.Prepare(ctx, s); err != nil {
		return err
	}
	if err := rig.runner.Start(ctx, ref); err != nil {
		return err
	}
	if err := rig.runner.Logs(ctx, ref, 0, func(sandbox.Chunk) error { return nil }); err != nil {
		return err
	}
	c, err := rig.runner.Collect(ctx, ref, func(sandbox.File, io.Reader) error { return nil })
	if err == nil && c.Status.ExitCode != 0 {
		err = fmt.Errorf("exit code %d", c.Status.ExitCode)
	}
	if err != nil {
		return err
	}
	if err := rig.runner.Remove(ctx, ref); err != nil {
		return err
	}
	return rig.runner.RemoveScratch(ctx, s.Scratch[0].Name)
}

// raw is `podman run --rm` of the same image by the same account, in the namespaces of its service.
func raw(t testing.TB) func(context.Context) error {
	pid := pausePID(t)
	return func(ctx context.Context) error {
		c := exec.CommandContext(ctx, "nsenter", "-t", pid, "-m", "--", "setpriv", "--reuid", account, "--regid", account, "--clear-groups",
			"env", "-i", "HOME=/var/lib/"+account, "XDG_RUNTIME_DIR=/run/"+account, "PATH=/usr/bin:/bin:/usr/sbin:/sbin",
			"podman", "run", "--rm", "--network=none", "--ulimit=nofile=1024:1024", "--ulimit=nproc=4096:4096", strings.TrimPrefix(rig.image, "sha256:"), "/workload", "noop")
		c.Dir = "/"
		if out, err := c.CombinedOutput(); err != nil {
			return fmt.Errorf("%w: %s", err, out)
		}
		return nil
	}
}

func pausePID(t testing.TB) string {
	out, err := exec.Command("cat", "/run/"+account+"/libpod/tmp/pause.pid").Output()
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(string(out))
}

// timed runs n jobs, several at once, and answers the time of one.
func timed(b *testing.B, job func(context.Context) error, n, parallel int) time.Duration {
	var wg sync.WaitGroup
	work := make(chan struct{}, n)
	for range n {
		work <- struct{}{}
	}
	close(work)
	begin := time.Now()
	for range parallel {
		wg.Go(func() {
			for range work {
				if err := job(b.Context()); err != nil {
					b.Error(err)
				}
			}
		})
	}
	wg.Wait()
	return time.Since(begin) / time.Duration(n)
}

// BenchmarkNoop interleaves both ways in rounds, so that a busy machine burdens both, and
// reports the ratio: under 1 we are faster than the command line.
func BenchmarkNoop(b *testing.B) {
	plain := raw(b)
	for _, parallel := range []int{1, 2} {
		b.Run(fmt.Sprintf("parallel-%d", parallel), func(b *testing.B) {
			timed(b, viaRunner, 2, parallel)
			timed(b, plain, 2, parallel)
			var ours, theirs time.Duration
			rounds := 0
			for b.Loop() {
				ours += timed(b, viaRunner, 2*parallel, parallel)
				theirs += timed(b, plain, 2*parallel, parallel)
				rounds++
			}
			b.ReportMetric(float64(ours.Milliseconds())/float64(rounds), "ms/ours")
			b.ReportMetric(float64(theirs.Milliseconds())/float64(rounds), "ms/podman-run")
			b.ReportMetric(float64(ours)/float64(theirs), "ratio")
		})
	}
}
