package job

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"tresor/app/fault"
	"tresor/app/store"
	"tresor/sandbox"
	"tresor/sandbox/fake"
)

// breakVault makes the vault unable to take a file, as a full disk does.
func (h *house) breakVault() (repair func()) {
	h.t.Helper()
	staging := filepath.Join(h.dir, "vault", "staging")
	if err := os.Rename(staging, staging+".away"); err != nil {
		h.t.Fatal(err)
	}
	return func() {
		if err := os.Rename(staging+".away", staging); err != nil {
			h.t.Fatal(err)
		}
	}
}

func TestAFullDiskIsWaitedFor(t *testing.T) {
	h := newHouse(t)
	h.run()
	repair := h.breakVault()
	j := h.submit(h.task("write", "a.csv"))
	h.wait("the job says what it waits for", func() bool { return strings.Contains(h.get(j.ID).Reason, "cannot keep the outputs now") })
	repair()
	if got := h.until(j.ID, Held); got.Reason != "" || h.starts(j.ID, 0) != 1 {
		t.Errorf("reason %q, started %d times", got.Reason, h.starts(j.ID, 0))
	}
}

func TestCancelWhileTheDiskIsFull(t *testing.T) {
	h := newHouse(t)
	h.run()
	defer h.breakVault()()
	j := h.submit(h.task("write", "a.csv"))
	h.wait("the job says what it waits for", func() bool { return strings.Contains(h.get(j.ID).Reason, "cannot keep the outputs now") })
	if _, err := h.job.Cancel(context.Background(), h.in(rosa), j.ID, ""); err != nil {
		t.Fatal(err)
	}
	h.until(j.ID, Cancelled)
	h.cleaned(j.ID)
}

func TestTheEngineGoesAway(t *testing.T) {
	h := newHouse(t)
	h.run()
	for range 60 {
		h.runner.Fail("Status", sandbox.Host("test", errors.New("down")), false)
	}
	fails("Start", sandbox.Host("test", errors.New("down")), 1, false)(h.runner)
	j := h.submit(h.task("write", "a.csv"))
	h.wait("the job says what it waits for", func() bool { return strings.Contains(h.get(j.ID).Reason, "does not answer") })
	if got := h.until(j.ID, Held); got.Reason != "" {
		t.Errorf("reason %q", got.Reason)
	}
}

func TestCancelWhileTheHostFails(t *testing.T) {
	h := newHouse(t)
	h.job.times.pauses = []time.Duration{time.Hour}
	h.run()
	fails("Start", sandbox.Host("test", errors.New("gone")), 1, false)(h.runner)
	j := h.submit(h.task("write", "a.csv"))
	h.wait("Start has failed", func() bool { return h.get(j.ID).State == Preparing })
	if _, err := h.job.Cancel(context.Background(), h.in(rosa), j.ID, ""); err != nil {
		t.Fatal(err)
	}
	h.until(j.ID, Cancelled)
	if n := h.starts(j.ID, 0); n != 0 {
		t.Errorf("started %d times", n)
	}
}

func TestStopIsRepeated(t *testing.T) {
	h := newHouse(t)
	h.run()
	j := h.submit(h.task("sleep"))
	h.until(j.ID, Running)
	fails("Stop", sandbox.Host("test", errors.New("gone")), 5, false)(h.runner)
	if _, err := h.job.Cancel(context.Background(), h.in(lena), j.ID, "enough"); err != nil {
		t.Fatal(err)
	}
	if got := h.until(j.ID, Cancelled); got.Reason != "Lena cancelled it: enough" {
		t.Errorf("reason %q", got.Reason)
	}
}

// TestTheWallClockIsOursToo covers an engine that does not end a command in time.
func TestTheWallClockIsOursToo(t *testing.T) {
	h := newHouse(t)
	h.job.times.slack = -time.Hour + 20*time.Millisecond
	h.run()
	sub := h.task("sleep")
	sub.Limits = &Limits{WallSeconds: 3600}
	got := h.until(h.submit(sub).ID, Failed)
	if !strings.Contains(got.Reason, "longer than its limit of 1 hour") {
		t.Errorf("reason %q", got.Reason)
	}
}

func TestContainersOfOldAttemptsGo(t *testing.T) {
	h := newHouse(t)
	h.run()
	j := h.submit(h.task("sleep"))
	h.until(j.ID, Running)
	h.stop()
	ctx := context.Background()
	spec := sandbox.Spec{Ref: refOf(j.ID, 0, 1), Image: imageID, Argv: []string{"sleep"}, Labels: map[string]string{"job": j.ID, "task": "0", "attempt": "1"},
		Scratch: []sandbox.Scratch{{Name: scratchOf(j.ID), Target: "/work"}}}
	if err := h.runner.Remove(ctx, spec.Ref); err != nil {
		t.Fatal(err)
	}
	spec.Ref, spec.Labels["attempt"] = refOf(j.ID, 0, 2), "2"
	for _, step := range []error{h.runner.Prepare(ctx, spec), h.runner.Start(ctx, spec.Ref), h.attempt(j.ID, 2)} {
		if step != nil {
			t.Fatal(step)
		}
	}
	old := spec
	old.Ref, old.Labels = refOf(j.ID, 0, 1), map[string]string{"job": j.ID, "task": "0", "attempt": "1"}
	if err := h.runner.Prepare(ctx, old); err != nil {
		t.Fatal(err)
	}
	h.run()
	if got := h.get(j.ID); got.State != Running {
		t.Errorf("state %s", got.State)
	}
	if _, err := h.job.Cancel(ctx, h.in(rosa), j.ID, ""); err != nil {
		t.Fatal(err)
	}
	h.until(j.ID, Cancelled)
	h.cleaned(j.ID)
}

// attempt pretends that a task is at another attempt.
func (h *house) attempt(id string, n int) error {
	return h.db.Update(context.Background(), func(tx *store.Tx) error {
		_, err := tx.Exec(`UPDATE job_task SET attempt = ? WHERE job = ?`, n, id)
		return err
	})
}

func TestInputsOfAJobThatWaited(t *testing.T) {
	h := newHouse(t)
	h.runner.Handle("look", func(_ context.Context, tk *fake.Task) int {
		b, err := os.ReadFile(tk.Path("/in/a.txt"))
		if err != nil || string(b) != "hello" {
			return 5
		}
		info, err := os.Stat(tk.Path("/in/a.txt"))
		if err != nil || info.Mode().Perm() != 0o444 {
			return 6
		}
		return lookFor("/in")(context.Background(), tk)
	})
	sub := h.task("look")
	sub.Inputs = []Input{{"a.txt", "hello"}}
	j := h.submit(sub)
	h.run()
	h.until(j.ID, Held)
	h.cleaned(j.ID)
	h.wait("the inputs are gone", func() bool { _, err := os.Stat(filepath.Join(h.dir, "jobs", j.ID, "in")); return os.IsNotExist(err) })
}

func TestALogWithAGapAndAnOverlap(t *testing.T) {
	h := newHouse(t)
	l, err := h.job.openLog("j", 0, 100)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []sandbox.Chunk{{Offset: 0, Data: []byte("abc")}, {Offset: 1, Data: []byte("bcde")}, {Offset: 0, Data: []byte("ab")}, {Offset: 9, Data: []byte("xyz")}} {
		if err := l.write(c); err != nil {
			t.Fatal(err)
		}
	}
	if err := l.close(); err != nil {
		t.Fatal(err)
	}
	if got := h.logOf("j", 0); got != "abcde\n[part of the log was lost]\nxyz" {
		t.Errorf("%q", got)
	}
	if l.pos != 12 {
		t.Errorf("position %d", l.pos)
	}
}

func TestTheLogOfSeveralTasksIsOne(t *testing.T) {
	h := newHouse(t)
	h.runner.Handle("say", func(_ context.Context, tk *fake.Task) int { fmt.Fprint(tk.Log, tk.Argv[1]); return 0 })
	h.run()
	sub := h.task("say", "one.")
	sub.Tasks = append(sub.Tasks, Task{Image: "tools", Argv: []string{"say", "two."}})
	j := h.until(h.submit(sub).ID, Failed)
	for from, want := range map[int64]string{0: "one.two.", 2: "e.two.", 4: "two.", 6: "o.", 8: "", 99: ""} {
		if got := h.logOf(j.ID, from); got != want {
			t.Errorf("from %d: %q, want %q", from, got, want)
		}
	}
}

func TestWhatTheTextsSay(t *testing.T) {
	for d, want := range map[time.Duration]string{time.Second: "1 second", 90 * time.Second: "90 seconds", 10 * time.Minute: "10 minutes", 2 * time.Hour: "2 hours"} {
		if got := wallText(d); got != want {
			t.Errorf("%v: %q", d, got)
		}
	}
	for n, want := range map[int64]string{100: "100 bytes", 2048: "2 KiB", 1 << 20: "1 MiB", 62_500_000: "59.6 MiB", 2 << 30: "2 GiB", 3 << 29: "1.5 GiB", 11_600 << 20: "11.3 GiB", 3000 << 30: "3000 GiB", 5000 << 20: "5000 MiB"} {
		if got := sizeText(n); got != want {
			t.Errorf("%d: %q", n, got)
		}
	}
	for code, want := range map[int]string{126: "cannot be executed", 127: "not found", 128: "exit code 128", 137: "ended by signal 9", 192: "ended by signal 64", 193: "exit code 193", 255: "exit code 255", 3: "exit code 3"} {
		if got := exitText(code, 0, 1); !strings.Contains(got, want) {
			t.Errorf("%d: %q", code, got)
		}
	}
	if tighter(0, 3) != 3 || tighter(3, 0) != 3 || tighter(2, 3) != 2 || tighter(3, 2) != 2 {
		t.Error("tighter")
	}
}

func TestTheDatabaseRefusesAJobWithoutItsProject(t *testing.T) {
	h := newHouse(t)
	err := h.db.Update(context.Background(), func(tx *store.Tx) error {
		return insert(tx, &Job{ID: "x", Project: "nothing"}, "")
	})
	if err == nil {
		t.Error("a job of no project was stored")
	}
}

func TestAFullQueue(t *testing.T) {
	h := newHouse(t)
	for i := range maxWaiting {
		h.job.sched.add(entry{id: fmt.Sprint(i), project: h.alpha.ID})
	}
	_, err := h.job.Submit(context.Background(), h.in(rosa), h.task("true"))
	wantFault(t, err, fault.Exhausted, "wait already")
}

// slowCollect is an engine whose outputs never end.
type slowCollect struct{ sandbox.Runner }

func (s slowCollect) Collect(ctx context.Context, _ sandbox.Ref, _ func(sandbox.File, io.Reader) error) (sandbox.Collected, error) {
	<-ctx.Done()
	return sandbox.Collected{}, ctx.Err()
}

func TestCancelWhileOutputsComeIn(t *testing.T) {
	h := newHouse(t)
	h.wrap = func(r sandbox.Runner) sandbox.Runner { return slowCollect{r} }
	h.fresh()
	h.run()
	j := h.submit(h.task("write", "a.csv"))
	h.until(j.ID, Running)
	if _, err := h.job.Cancel(context.Background(), h.in(rosa), j.ID, ""); err != nil {
		t.Fatal(err)
	}
	h.until(j.ID, Cancelled)
	h.cleaned(j.ID)
}

// lateStart is an engine that answers a start with a failure and would still carry it
// out. It notes whether the container is there when the next attempt starts.
type lateStart struct {
	sandbox.Runner
	first atomic.Pointer[sandbox.Ref]
	there *atomic.Bool
}

func (l *lateStart) Start(ctx context.Context, ref sandbox.Ref) error {
	if l.first.CompareAndSwap(nil, &ref) {
		return sandbox.Host("test", errors.New("no answer in time"))
	}
	st, err := l.Runner.Status(ctx, *l.first.Load())
	l.there.Store(err != nil || st.Phase != sandbox.Absent)
	return l.Runner.Start(ctx, ref)
}

func TestASpoiledAttemptIsGoneBeforeTheNext(t *testing.T) {
	h := newHouse(t)
	var there atomic.Bool
	h.wrap = func(r sandbox.Runner) sandbox.Runner { return &lateStart{Runner: r, there: &there} }
	h.fresh()
	h.run()
	h.until(h.submit(h.task("write", "a.csv")).ID, Held)
	if there.Load() {
		t.Error("two attempts share the scratch")
	}
}

// TestAFullDiskLosesNoLog: what could not be written is asked for again.
func TestAFullDiskLosesNoLog(t *testing.T) {
	h := newHouse(t)
	l, err := h.job.openLog("j", 0, 100)
	if err != nil {
		t.Fatal(err)
	}
	good := l.f
	if l.f, err = os.OpenFile("/dev/full", os.O_WRONLY, 0); err != nil {
		t.Skip(err)
	}
	if err := l.write(sandbox.Chunk{Offset: 0, Data: []byte("one ")}); err == nil || l.pos != 0 {
		t.Fatalf("position %d after a failed write (%v)", l.pos, err)
	}
	l.f.Close()
	l.f = good
	if err := errors.Join(l.write(sandbox.Chunk{Offset: l.pos, Data: []byte("one two")}), l.close()); err != nil {
		t.Fatal(err)
	}
	if b, err := os.ReadFile(h.job.logPath("j", 0)); string(b) != "one two" {
		t.Fatalf("%q %v", b, err)
	}
}

// noCollector is an engine that cannot look into a dead container.
type noCollector struct{ sandbox.Runner }

func (n noCollector) Collect(context.Context, sandbox.Ref, func(sandbox.File, io.Reader) error) (sandbox.Collected, error) {
	return sandbox.Collected{}, sandbox.Host("collector", errors.New("the agent is not connected"))
}

func TestADeadContainerThatCannotBeReadEndsTheJob(t *testing.T) {
	h := newHouse(t)
	h.wrap = func(r sandbox.Runner) sandbox.Runner { return noCollector{r} }
	h.fresh()
	h.run()
	j := h.submit(h.task("sleep"))
	h.until(j.ID, Running)
	h.runner.Kill(refOf(j.ID, 0, 1))
	if got := h.until(j.ID, Failed); !strings.Contains(got.Reason, "signal 9") {
		t.Errorf("reason %q", got.Reason)
	}
	h.cleaned(j.ID)
}
