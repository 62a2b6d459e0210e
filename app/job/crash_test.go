package job

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"tresor/app/fault"
	"tresor/app/store"
	"tresor/sandbox"
	"tresor/sandbox/fake"
)

// gate is a runner that gets stuck, as when the server dies at that point: in one
// verb, before or after it has done its work.
type gate struct {
	sandbox.Runner
	verb    string
	after   bool
	reached chan struct{}
	once    sync.Once
}

func (g *gate) pass(ctx context.Context, verb string, do func() error) error {
	if verb != g.verb {
		return do()
	}
	var err error
	if g.after {
		err = do()
	}
	g.once.Do(func() { close(g.reached) })
	<-ctx.Done()
	return errors.Join(ctx.Err(), err)
}

func (g *gate) Prepare(ctx context.Context, s sandbox.Spec) error {
	return g.pass(ctx, "Prepare", func() error { return g.Runner.Prepare(ctx, s) })
}

func (g *gate) Start(ctx context.Context, ref sandbox.Ref) error {
	return g.pass(ctx, "Start", func() error { return g.Runner.Start(ctx, ref) })
}

func (g *gate) Logs(ctx context.Context, ref sandbox.Ref, from int64, fn func(sandbox.Chunk) error) error {
	return g.pass(ctx, "Logs", func() error { return g.Runner.Logs(ctx, ref, from, fn) })
}

func (g *gate) Collect(ctx context.Context, ref sandbox.Ref, sink func(sandbox.File, io.Reader) error) (c sandbox.Collected, err error) {
	err = g.pass(ctx, "Collect", func() error { c, err = g.Runner.Collect(ctx, ref, sink); return err })
	return c, err
}

func (g *gate) Remove(ctx context.Context, ref sandbox.Ref) error {
	return g.pass(ctx, "Remove", func() error { return g.Runner.Remove(ctx, ref) })
}

func TestTheServerDiesInEveryVerb(t *testing.T) {
	for _, verb := range []string{"Prepare", "Start", "Logs", "Collect", "Remove"} {
		for _, after := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s after=%v", verb, after), func(t *testing.T) {
				h := newHouse(t)
				g := &gate{verb: verb, after: after, reached: make(chan struct{})}
				h.wrap = func(r sandbox.Runner) sandbox.Runner { g.Runner = r; return g }
				h.fresh()
				h.run()
				sub := h.task("write", "a.csv")
				sub.Tasks = append(sub.Tasks, Task{Image: "tools", Argv: []string{"write", "b.csv"}})
				j := h.submit(sub)
				<-g.reached
				h.wrap = nil
				h.quiet([]string{j.ID})
				h.restart()
				got := h.until(j.ID, Held)
				if len(got.Outputs) != 2 {
					t.Errorf("outputs %+v", got.Outputs)
				}
				for n := range got.Tasks {
					if s := h.starts(j.ID, n); s != 1 {
						t.Errorf("task %d was started %d times", n, s)
					}
				}
				h.cleaned(j.ID)
			})
		}
	}
}

func TestARunningJobIsFoundAgain(t *testing.T) {
	h := newHouse(t)
	goOn := make(chan struct{})
	h.runner.Handle("slow", func(ctx context.Context, tk *fake.Task) int {
		fmt.Fprintln(tk.Log, "before")
		<-goOn
		fmt.Fprintln(tk.Log, "after")
		if tk.WriteFile("/work/out/a.csv", []byte("a\n1\n")) != nil {
			return 1
		}
		return 0
	})
	h.run()
	j := h.submit(h.task("slow"))
	h.until(j.ID, Running)
	h.wait("the log has arrived", func() bool { return h.logOf(j.ID, 0) == "before\n" })
	h.restart()
	if got := h.get(j.ID); got.State != Running {
		t.Errorf("state after restart: %s", got.State)
	}
	if l := h.job.Load(); l.Running != 1 || l.Cores != 1 {
		t.Errorf("load %+v", l)
	}
	h.restart()
	close(goOn)
	h.until(j.ID, Held)
	if got := h.logOf(j.ID, 0); got != "before\nafter\n" {
		t.Errorf("log %q", got)
	}
	if n := h.starts(j.ID, 0); n != 1 {
		t.Errorf("started %d times", n)
	}
	h.cleaned(j.ID)
}

func TestAJobThatEndedWhileTheServerWasDown(t *testing.T) {
	h := newHouse(t)
	goOn, over := make(chan struct{}), make(chan struct{})
	h.runner.Handle("slow", func(_ context.Context, tk *fake.Task) int {
		defer close(over)
		<-goOn
		if tk.WriteFile("/work/out/a.csv", []byte("a\n1\n")) != nil {
			return 1
		}
		return 0
	})
	h.run()
	j := h.submit(h.task("slow"))
	h.until(j.ID, Running)
	h.stop()
	close(goOn)
	<-over
	h.quiet([]string{j.ID})
	h.restart()
	h.until(j.ID, Held)
}

func TestTheContainerDisappears(t *testing.T) {
	for _, restart := range []bool{false, true} {
		t.Run(fmt.Sprintf("restart=%v", restart), func(t *testing.T) {
			h := newHouse(t)
			h.run()
			j := h.submit(h.task("sleep"))
			h.until(j.ID, Running)
			if restart {
				h.stop()
			}
			if err := h.runner.Remove(context.Background(), refOf(j.ID, 0, 1)); err != nil {
				t.Fatal(err)
			}
			if restart {
				h.restart()
			}
			got := h.until(j.ID, Failed)
			if got.Reason != "The container disappeared while the command ran." {
				t.Errorf("reason %q", got.Reason)
			}
			if n := h.starts(j.ID, 0); n != 1 {
				t.Errorf("started %d times", n)
			}
		})
	}
}

func TestAContainerOfNobodyIsRemoved(t *testing.T) {
	h := newHouse(t)
	spec := sandbox.Spec{Ref: "tresor-gone-0-1", Labels: map[string]string{"job": "gone", "task": "0", "attempt": "1"}, Image: imageID, Argv: []string{"true"},
		Scratch: []sandbox.Scratch{{Name: "tresor-gone", Target: "/work"}}}
	other := spec
	other.Ref, other.Labels, other.Scratch = "tresor-probe", map[string]string{"probe": "1"}, nil
	for _, s := range []sandbox.Spec{spec, other} {
		if err := h.runner.Prepare(context.Background(), s); err != nil {
			t.Fatal(err)
		}
	}
	h.run()
	h.cleaned("gone")
	if st, err := h.runner.Status(context.Background(), "tresor-probe"); err != nil || st.Phase != sandbox.Created {
		t.Errorf("a container that is not a job's: %v %v", st.Phase, err)
	}
}

func TestAnIntentWithoutContainerIsCreated(t *testing.T) {
	h := newHouse(t)
	j := h.submit(h.task("write", "a.csv"))
	err := h.db.Update(context.Background(), func(tx *store.Tx) error {
		row, err := load(tx, j.ID)
		if err != nil {
			return err
		}
		return h.job.begin(tx, &row)
	})
	if err != nil {
		t.Fatal(err)
	}
	h.run()
	h.until(j.ID, Held)
	if n := h.starts(j.ID, 0); n != 1 {
		t.Errorf("started %d times", n)
	}
}

// TestEveryWriteFails breaks the nth commit, before it and after it persisted.
func TestEveryWriteFails(t *testing.T) {
	for _, after := range []bool{false, true} {
		for nth := int64(1); nth <= 6; nth++ {
			t.Run(fmt.Sprintf("write %d after=%v", nth, after), func(t *testing.T) {
				h := newHouse(t)
				h.breakWrite(nth, after)
				h.run()
				sub := h.task("write", "a.csv")
				sub.Tasks = append(sub.Tasks, Task{Image: "tools", Argv: []string{"write", "b.csv"}})
				sub.IdempotencyKey = "once"
				j, err := h.job.Submit(context.Background(), h.in(rosa), sub)
				if err != nil {
					j = h.submit(sub)
				}
				h.until(j.ID, Held)
				for n := range 2 {
					if s := h.starts(j.ID, n); s != 1 {
						t.Errorf("task %d was started %d times", n, s)
					}
				}
				if want := "submitted approved queued preparing running collecting held"; h.states(j.ID) != want && !strings.Contains(h.states(j.ID), "retried") {
					t.Errorf("states %s", h.states(j.ID))
				}
				h.cleaned(j.ID)
			})
		}
	}
}

func (h *house) breakWrite(nth int64, after bool) {
	var n atomic.Int64
	broken := fault.New("test", fault.Unavailable, "The disk is gone.")
	h.job.update = func(ctx context.Context, f func(*store.Tx) error) error {
		if n.Add(1) != nth {
			return h.db.Update(ctx, f)
		}
		if after {
			if err := h.db.Update(ctx, f); err != nil {
				return err
			}
		}
		return broken
	}
}

func TestTheEngineComesUpLate(t *testing.T) {
	h := newHouse(t)
	for range 20 {
		h.runner.Fail("List", sandbox.Host("test", errors.New("starting")), false)
	}
	j := h.submit(h.task("write", "a.csv"))
	h.run()
	h.until(j.ID, Held)
}

func TestRunTwiceAtATime(t *testing.T) {
	h := newHouse(t)
	h.run()
	if err := h.job.Run(context.Background()); err == nil {
		t.Error("a second Run at a time is allowed")
	}
}

func TestThePanicOfARunEndsOneJob(t *testing.T) {
	h := newHouse(t)
	h.wrap = func(r sandbox.Runner) sandbox.Runner { return &panics{Runner: r} }
	h.fresh()
	h.run()
	j := h.until(h.submit(h.task("write", "a.csv")).ID, Failed)
	if j.Reason == "" || j.Next == "" {
		t.Errorf("%+v", j)
	}
	h.until(h.submit(h.task("write", "a.csv")).ID, Held)
}

type panics struct {
	sandbox.Runner
	once sync.Once
}

func (p *panics) Start(ctx context.Context, ref sandbox.Ref) error {
	p.once.Do(func() { panic("a defect") })
	return p.Runner.Start(ctx, ref)
}
