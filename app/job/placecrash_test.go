package job

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"tresor/sandbox"
)

// both is a job whose first task fails and may, and which leaves one file in the
// project's tree and one to be held.
func (h *house) both() Submission {
	sub := h.placed()
	sub.Tasks = []Task{
		{Image: "tools", Argv: []string{"do", "cat /w/in /w/kept", "say one", "exit 4"}, IgnoreError: true},
		{Image: "tools", Argv: []string{"do", "cat /w/kept /w/held"}},
	}
	sub.Places = []Place{{Path: "/w/in", Content: []byte("in")}}
	sub.Wants = []Want{{Path: "/w/kept", Tree: "kept"}, {Path: "/w/held"}}
	return sub
}

func (h *house) checkBoth(id string) {
	h.t.Helper()
	j := h.until(id, Held)
	if got := h.found(id); got != "/w/held-> 2 held; /w/kept-> 2 tree" {
		h.t.Errorf("found %s", got)
	}
	if got := h.inTree(); got != "kept=in" {
		h.t.Errorf("tree %s", got)
	}
	if j.Tasks[0].State != TaskFailed || *j.Tasks[0].ExitCode != 4 || *j.Tasks[1].ExitCode != 0 {
		h.t.Errorf("tasks %+v", j.Tasks)
	}
	for n := range j.Tasks {
		if s := h.starts(id, n); s != 1 {
			h.t.Errorf("task %d was started %d times", n, s)
		}
	}
	h.cleaned(id)
}

func TestTheServerDiesUnderOwnPaths(t *testing.T) {
	for _, verb := range []string{"Prepare", "Start", "Logs", "Collect", "Remove"} {
		for _, after := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s after=%v", verb, after), func(t *testing.T) {
				h := newHouse(t)
				h.script()
				g := &gate{verb: verb, after: after, reached: make(chan struct{})}
				h.wrap = func(r sandbox.Runner) sandbox.Runner { g.Runner = r; return g }
				h.fresh()
				h.run()
				j := h.submit(h.both())
				<-g.reached
				h.wrap = nil
				h.quiet([]string{j.ID})
				h.restart()
				h.checkBoth(j.ID)
			})
		}
	}
}

func TestEveryWriteFailsUnderOwnPaths(t *testing.T) {
	for nth := int64(1); nth <= 5; nth++ {
		for name, after := range map[string]bool{"fails": false, "fails after it persisted": true} {
			t.Run(fmt.Sprintf("write %d %s", nth, name), func(t *testing.T) {
				h := newHouse(t)
				h.script()
				h.run()
				h.breakWrite(nth, after)
				sub := h.both()
				sub.IdempotencyKey = "once"
				j, err := h.job.Submit(context.Background(), h.in(rosa), sub)
				if err != nil {
					j = h.submit(sub)
				}
				h.checkBoth(j.ID)
			})
		}
	}
}

func TestAVolumeIsRemovedWithoutItsJob(t *testing.T) {
	h := newHouse(t)
	ctx := context.Background()
	const id = "019f0000-0000-7000-8000-00000000dead"
	sp := sandbox.Spec{Ref: refOf(id, 0, 1), Image: imageID, Argv: []string{"true"}, Limits: sandbox.Limits{}.WithDefaults(),
		Labels:  map[string]string{"job": id, "task": "0", "attempt": "1", "volumes": "2"},
		Scratch: []sandbox.Scratch{{Name: scratchOf(id) + "-v0", Target: "/a"}, {Name: scratchOf(id) + "-v1", Target: "/b"}}}
	if err := h.runner.Prepare(ctx, sp); err != nil {
		t.Fatal(err)
	}
	gone := &removed{Runner: h.runner}
	h.wrap = func(sandbox.Runner) sandbox.Runner { return gone }
	h.fresh()
	h.run()
	h.cleaned(id)
	h.stop()
	if got := strings.Join(gone.names, " "); !strings.Contains(got, "-v0") || !strings.Contains(got, "-v1") {
		t.Errorf("removed %s", got)
	}
}

// removed notes which volumes are removed.
type removed struct {
	sandbox.Runner
	names []string
}

func (r *removed) RemoveScratch(ctx context.Context, name string) error {
	r.names = append(r.names, name)
	return r.Runner.RemoveScratch(ctx, name)
}

func TestAnInputThatCannotBePlaced(t *testing.T) {
	h := newHouse(t)
	h.script()
	h.run()
	sub := h.placed("do")
	sub.Tasks[0].Stdin = "/w/nothing"
	j := h.until(h.submit(sub).ID, Failed)
	if !strings.Contains(j.Reason, "could not be put in place") || j.Tasks[0].ExitCode != nil {
		t.Errorf("reason %q, exit code %v", j.Reason, j.Tasks[0].ExitCode)
	}
}
