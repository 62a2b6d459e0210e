package job

import (
	"context"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"tresor/app/fault"
	"tresor/sandbox"
	"tresor/sandbox/fake"
)

// TestManyRestarts is R1 in small: jobs are submitted and cancelled while the
// server is stopped at random moments, over and over. Then the history must be one
// that a server which never stopped could have made.
func TestManyRestarts(t *testing.T) {
	const rounds, perRound = 40, 3
	rnd := rand.New(rand.NewPCG(1, 2))
	h := newHouse(t)
	h.runner.Handle("nap", func(ctx context.Context, tk *fake.Task) int {
		select {
		case <-ctx.Done():
			return 143
		case <-time.After(3 * time.Millisecond):
		}
		if tk.WriteFile("/work/out/a.csv", []byte("a\n1\n")) != nil {
			return 1
		}
		return 0
	})
	var ids []string
	for range rounds {
		h.run()
		for range perRound {
			ids = append(ids, h.submit(h.random(rnd)).ID)
		}
		if rnd.IntN(3) == 0 {
			_, err := h.job.Cancel(context.Background(), h.in(rosa), ids[rnd.IntN(len(ids))], "")
			if err != nil && fault.KindOf(err) != fault.Conflict {
				t.Fatal(err)
			}
		}
		time.Sleep(time.Duration(rnd.IntN(8)) * time.Millisecond)
		h.stop()
		h.quiet(ids)
		h.fresh()
	}
	h.restart()
	h.wait("all have ended", func() bool { l := h.job.Load(); return l.Waiting == 0 && l.Running == 0 })
	for _, id := range ids {
		h.checkHistory(id)
	}
}

// quiet waits until no command of these jobs runs. The fake's List must not meet a
// command that is just ending.
func (h *house) quiet(ids []string) {
	h.t.Helper()
	h.wait("commands have ended", func() bool {
		for _, id := range ids {
			for ref := range 6 {
				st, err := h.runner.Status(context.Background(), refOf(id, ref%2, 1+ref/2))
				if err != nil || st.Phase == sandbox.Running {
					return false
				}
			}
		}
		return true
	})
}

func (h *house) random(rnd *rand.Rand) Submission {
	sub := h.task([]string{"nap", "true", "false", "write"}[rnd.IntN(4)], "b.csv")
	if rnd.IntN(3) == 0 {
		sub.Tasks = append(sub.Tasks, Task{Image: "tools", Argv: []string{"nap"}})
	}
	return sub
}

// checkHistory follows the job's audit events through the transition table and
// counts what was started.
func (h *house) checkHistory(id string) {
	h.t.Helper()
	j := h.get(id)
	if !j.State.Terminal() && j.State != Held {
		h.t.Errorf("%s is %s", id, j.State)
	}
	at := Submitted
	for _, st := range j.Timeline[1:] {
		next := State(st.State)
		if !next.Valid() { // a retry, or a stop that was asked for
			continue
		}
		if !at.Can(next) {
			h.t.Errorf("%s went from %s to %s: %s", id, at, next, h.states(id))
		}
		at = next
	}
	if at != j.State {
		h.t.Errorf("%s is %s and its last event says %s", id, j.State, at)
	}
	for n, task := range j.Tasks {
		if s := h.starts(id, n); s > 1 || s == 0 && task.State == TaskSucceeded {
			h.t.Errorf("%s task %d (%s, attempt %d) was started %d times", id, n, task.State, task.Attempt, s)
		}
	}
	if want := outcome(j); want != "" && !strings.Contains(want, string(j.State)) {
		h.t.Errorf("%s ended as %s (%s), want %s", id, j.State, j.Reason, want)
	}
	h.cleaned(id)
}

// outcome is what the commands of a job must lead to.
func outcome(j Job) string {
	if j.State == Cancelled {
		return ""
	}
	last := j.Tasks[len(j.Tasks)-1].Argv[0]
	for _, t := range j.Tasks {
		if t.Argv[0] == "false" {
			return fmt.Sprint(Failed)
		}
	}
	if last == "true" {
		return fmt.Sprint(Failed) // no output
	}
	return fmt.Sprint(Held)
}
