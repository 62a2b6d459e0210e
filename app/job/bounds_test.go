package job

import (
	"context"
	"errors"
	"io"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"tresor/sandbox"
)

var errSick = sandbox.Host("test", errors.New("its row cannot be read"))

// sick is an engine that fails in some verbs about every container, and lists them
// unless it is away.
type sick struct {
	sandbox.Runner
	status, start, logs, collect, stop, remove, away atomic.Bool
}

func (s *sick) List(ctx context.Context) ([]sandbox.Status, error) {
	if s.away.Load() {
		return nil, errSick
	}
	return s.Runner.List(ctx)
}

func (s *sick) Status(ctx context.Context, ref sandbox.Ref) (sandbox.Status, error) {
	if s.status.Load() {
		return sandbox.Status{}, errSick
	}
	return s.Runner.Status(ctx, ref)
}

func (s *sick) Start(ctx context.Context, ref sandbox.Ref) error {
	if s.start.Load() {
		return errSick
	}
	return s.Runner.Start(ctx, ref)
}

func (s *sick) Logs(ctx context.Context, ref sandbox.Ref, from int64, fn func(sandbox.Chunk) error) error {
	if s.logs.Load() {
		return errSick
	}
	return s.Runner.Logs(ctx, ref, from, fn)
}

func (s *sick) Collect(ctx context.Context, ref sandbox.Ref, fn func(sandbox.File, io.Reader) error) (sandbox.Collected, error) {
	if s.collect.Load() {
		return sandbox.Collected{}, errSick
	}
	return s.Runner.Collect(ctx, ref, fn)
}

func (s *sick) Stop(ctx context.Context, ref sandbox.Ref, grace time.Duration) error {
	if s.stop.Load() {
		return errSick
	}
	return s.Runner.Stop(ctx, ref, grace)
}

func (s *sick) Remove(ctx context.Context, ref sandbox.Ref) error {
	if s.remove.Load() {
		return errSick
	}
	return s.Runner.Remove(ctx, ref)
}

// TestAnEngineThatIsDeafAboutOneContainer: each job ends, says why, and gives its place
// back; its container goes when the engine can take it away again.
func TestAnEngineThatIsDeafAboutOneContainer(t *testing.T) {
	for _, c := range []struct {
		name, command, want string
		end                 State
		sicken              func(*sick)
		then                func(*house, *sick, string)
	}{
		{"no answer how it is", "sleep", "has not answered about this job's container", Failed, func(s *sick) { s.start.Store(true); s.status.Store(true) }, nil},
		{"a spoiled attempt cannot be removed", "sleep", "has not answered about this job's container", Failed, func(s *sick) { s.start.Store(true); s.remove.Store(true) }, nil},
		{"its log cannot be followed", "sleep", "has not answered for long", Failed, func(s *sick) { s.logs.Store(true) }, nil},
		{"it cannot be stopped", "sleep", "could not stop it", Failed, func(s *sick) { s.stop.Store(true) }, nil},
		{"outputs cannot be taken", "write", "could not hand over what it left", Failed, func(s *sick) { s.collect.Store(true) }, nil},
		{"a person cannot stop it", "sleep", "Rosa cancelled it.", Cancelled, func(s *sick) { s.stop.Store(true) }, func(h *house, _ *sick, id string) {
			h.until(id, Running)
			if _, err := h.job.Cancel(context.Background(), h.in(rosa), id, ""); err != nil {
				h.t.Fatal(err)
			}
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			h := newHouse(t)
			s := &sick{}
			h.wrap = func(r sandbox.Runner) sandbox.Runner { s.Runner = r; return s }
			h.fresh()
			h.job.times.giveUp, h.job.times.keepOn = 20*time.Millisecond, 20*time.Millisecond
			if c.want == "could not stop it" { // its time is up at once
				h.job.times.slack = -time.Hour + 50*time.Millisecond
			}
			h.run()
			c.sicken(s)
			sub := h.task(c.command, "a.csv")
			sub.Limits = &Limits{WallSeconds: 3600}
			j := h.submit(sub)
			if c.then != nil {
				c.then(h, s, j.ID)
			}
			if got := h.until(j.ID, c.end); !strings.Contains(got.Reason, c.want) {
				t.Errorf("reason %q", got.Reason)
			}
			h.wait("its place is free", func() bool { return h.job.Load().Running == 0 })
			for _, b := range []*atomic.Bool{&s.status, &s.start, &s.logs, &s.collect, &s.stop, &s.remove} {
				b.Store(false)
			}
			h.wait("nothing is left of it", func() bool {
				h.job.lookAgain(context.Background())
				list, err := h.runner.List(context.Background())
				return err == nil && len(list) == 0
			})
		})
	}
}

// TestAnEngineThatIsAwayIsWaitedFor: no bound counts while it answers nobody.
func TestAnEngineThatIsAwayIsWaitedFor(t *testing.T) {
	h := newHouse(t)
	s := &sick{}
	h.wrap = func(r sandbox.Runner) sandbox.Runner { s.Runner = r; return s }
	h.fresh()
	h.job.times.giveUp = 10 * time.Millisecond
	h.run()
	s.start.Store(true)
	s.status.Store(true)
	s.away.Store(true)
	j := h.submit(h.task("write", "a.csv"))
	h.wait("the job says what it waits for", func() bool { return strings.Contains(h.get(j.ID).Reason, "does not answer") })
	for began := time.Now(); time.Since(began) < 200*time.Millisecond; time.Sleep(time.Millisecond) {
		if got := h.get(j.ID); got.State.Terminal() {
			t.Fatalf("ended: %s", got.Reason)
		}
	}
	s.start.Store(false)
	s.status.Store(false)
	s.away.Store(false)
	h.until(j.ID, Held)
}
