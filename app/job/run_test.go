package job

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"tresor/app/fault"
	"tresor/sandbox"
	"tresor/sandbox/fake"
)

func TestAJobRunsFromSubmissionToHeld(t *testing.T) {
	h := newHouse(t)
	h.run()
	j := h.submit(h.task("write", "a.csv"))
	got := h.until(j.ID, Held)
	if len(got.Outputs) != 1 || got.Outputs[0].Path != "a.csv" || got.Outputs[0].Kind != "table" || got.Outputs[0].Rows != 1 {
		t.Errorf("outputs: %+v", got.Outputs)
	}
	if want := "submitted approved queued preparing running collecting held"; h.states(j.ID) != want {
		t.Errorf("states: %s, want %s", h.states(j.ID), want)
	}
	if n := h.starts(j.ID, 0); n != 1 {
		t.Errorf("started %d times", n)
	}
	if got.Next != "Look at the outputs and send them to review." || got.Progress.Done != 1 {
		t.Errorf("next %q, progress %+v", got.Next, got.Progress)
	}
	h.cleaned(j.ID)
}

func TestAJobThatWaitedRunsToo(t *testing.T) {
	h := newHouse(t)
	j := h.submit(h.task("write", "a.csv"))
	if j.State != Queued {
		t.Fatalf("state %s before Run", j.State)
	}
	h.run()
	h.until(j.ID, Held)
}

func TestTasksRunInOrderOverOneScratch(t *testing.T) {
	h := newHouse(t)
	h.runner.Handle("copy", func(_ context.Context, tk *fake.Task) int {
		if err := tk.WriteFile("/work/out/b.csv", []byte("from,scratch\n1,"+tk.Argv[1]+"\n")); err != nil {
			return 1
		}
		return 0
	})
	h.run()
	sub := h.task("write", "a.csv")
	sub.Tasks = append(sub.Tasks, Task{Image: "tools", Argv: []string{"copy", "x"}})
	got := h.until(h.submit(sub).ID, Held)
	if len(got.Outputs) != 2 {
		t.Errorf("outputs: %+v", got.Outputs)
	}
	for _, task := range got.Tasks {
		if task.State != TaskSucceeded || task.StartedAt == nil || task.FinishedAt == nil || *task.ExitCode != 0 {
			t.Errorf("task %+v", task)
		}
	}
	h.cleaned(got.ID)
}

func TestHowJobsFail(t *testing.T) {
	big := strings.Repeat("x", 2000)
	cases := []struct {
		name   string
		argv   []string
		change func(*Submission)
		reason string
		next   string
	}{
		{"exit code", []string{"false"}, nil, "The command ended with exit code 3.", "Read the log"},
		{"no such command", []string{"nothing-like-it"}, nil, "The command was not found in the image.", "Read the log"},
		{"no output", []string{"true"}, nil, "No declared output was produced.", "Write the files"},
		{"all outputs refused", []string{"big"}, func(s *Submission) { s.Limits = &Limits{OutputBytes: 100} }, "that may be taken: 1 were refused", "list of refused"},
		{"memory", []string{"oom"}, nil, "It needed more memory than its limit of 2 GiB and was stopped.", "more memory"},
		{"time", []string{"sleep"}, func(s *Submission) { s.Limits = &Limits{WallSeconds: 1} }, "It ran longer than its limit of 1 second and was stopped.", "longer running time"},
		{"second task", []string{"true"}, func(s *Submission) {
			s.Tasks = append(s.Tasks, Task{Image: "tools", Argv: []string{"false"}}, Task{Image: "tools", Argv: []string{"true"}})
		}, "The command of task 2 ended with exit code 3.", "Read the log"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			h := newHouse(t)
			h.runner.Handle("big", func(_ context.Context, tk *fake.Task) int {
				if err := tk.WriteFile("/work/out/big.csv", []byte(big)); err != nil {
					return 9
				}
				return 0
			})
			h.runner.Handle("oom", func(ctx context.Context, tk *fake.Task) int { go h.runner.OOM(tk.Ref); <-ctx.Done(); return 137 })
			h.run()
			sub := h.task(c.argv...)
			if c.change != nil {
				c.change(&sub)
			}
			got := h.until(h.submit(sub).ID, Failed)
			if !strings.Contains(got.Reason, c.reason) || !strings.Contains(got.Next, c.next) {
				t.Errorf("reason %q, next %q", got.Reason, got.Next)
			}
			if len(got.Outputs) != 0 || got.FinishedAt == nil {
				t.Errorf("outputs %v, finished %v", got.Outputs, got.FinishedAt)
			}
			if c.name == "second task" && (got.Tasks[0].State != TaskSucceeded || got.Tasks[1].State != TaskFailed || got.Tasks[2].State != TaskSkipped) {
				t.Errorf("tasks %+v", got.Tasks)
			}
			if c.name == "all outputs refused" && len(got.Refused) != 1 {
				t.Errorf("refused %+v", got.Refused)
			}
			h.cleaned(got.ID)
		})
	}
}

func TestSomeOutputsRefusedIsShown(t *testing.T) {
	h := newHouse(t)
	h.runner.Handle("two", func(_ context.Context, tk *fake.Task) int {
		if tk.WriteFile("/work/out/a.csv", []byte("a,b\n1,2\n")) != nil || tk.WriteFile("/work/out/z.csv", make([]byte, 5000)) != nil {
			return 1
		}
		return 0
	})
	h.run()
	sub := h.task("two")
	sub.Limits = &Limits{OutputBytes: 1000}
	got := h.until(h.submit(sub).ID, Held)
	if len(got.Outputs) != 1 || len(got.Refused) != 1 {
		t.Errorf("outputs %+v refused %+v", got.Outputs, got.Refused)
	}
}

func TestTheHostFails(t *testing.T) {
	host := sandbox.Host("test", errors.New("gone"))
	unfit := sandbox.Unfit("Delegate the memory controller", "the memory limit cannot bind here")
	cases := []struct {
		name   string
		fail   func(*fake.Runner)
		want   State
		reason string
		starts int
	}{
		{"Prepare fails once", fails("Prepare", host, 1, false), Held, "", 1},
		{"Prepare fails after it persisted", fails("Prepare", host, 1, true), Held, "", 1},
		{"Prepare fails three times", fails("Prepare", host, 3, false), Failed, "failed 3 times", 0},
		{"Start fails once", fails("Start", host, 1, false), Held, "", 1},
		{"Start fails after it persisted", fails("Start", host, 1, true), Held, "", 1},
		{"Start fails three times", fails("Start", host, 3, false), Failed, "failed 3 times", 0},
		{"Status fails ten times", fails("Status", host, 10, false), Held, "", 1},
		{"Logs fail twice", fails("Logs", host, 2, false), Held, "", 1},
		{"Logs fail after all was delivered", fails("Logs", host, 1, true), Held, "", 1},
		{"Logs never work", fails("Logs", host, 100, false), Held, "", 1},
		{"Collect fails twice", fails("Collect", host, 2, false), Held, "", 1},
		{"Collect fails after it persisted", fails("Collect", host, 1, true), Held, "", 1},
		{"Remove fails", fails("Remove", host, 1, false), Held, "", 1},
		{"unfit", fails("Prepare", unfit, 1, false), Failed, "the memory limit cannot bind here", 0},
		{"spec refused", fails("Prepare", sandbox.Invalid("no"), 1, false), Failed, "The sandbox refused the task", 0},
		{"image gone", fails("Prepare", fmt.Errorf("%w: image", sandbox.ErrAbsent), 1, false), Failed, "is not on the server any more", 0},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			h := newHouse(t)
			h.run()
			c.fail(h.runner)
			j := h.submit(h.task("write", "a.csv"))
			got := h.until(j.ID, c.want)
			if !strings.Contains(got.Reason, c.reason) {
				t.Errorf("reason %q", got.Reason)
			}
			if n := h.starts(j.ID, 0); n != c.starts {
				t.Errorf("started %d times, want %d", n, c.starts)
			}
			if c.want == Failed && got.Next == "" {
				t.Error("no next step")
			}
			if c.name == "Remove fails" {
				h.restart()
			}
			h.cleaned(j.ID)
		})
	}
}

func fails(method string, err error, times int, after bool) func(*fake.Runner) {
	return func(r *fake.Runner) {
		for range times {
			r.Fail(method, err, after)
		}
	}
}

func TestTheLogIsKept(t *testing.T) {
	h := newHouse(t)
	h.runner.Handle("talk", func(_ context.Context, tk *fake.Task) int {
		for i := range 5 {
			fmt.Fprintf(tk.Log, "line %d\n", i)
			time.Sleep(time.Millisecond)
		}
		return 1
	})
	h.run()
	events, done := h.hub.Subscribe("home", 100)
	defer done()
	j := h.until(h.submit(h.task("talk")).ID, Failed)
	if got := h.logOf(j.ID, 0); got != "line 0\nline 1\nline 2\nline 3\nline 4\n" {
		t.Errorf("log %q", got)
	}
	if got := h.logOf(j.ID, 28); got != "line 4\n" {
		t.Errorf("log from 28: %q", got)
	}
	if len(events) == 0 {
		t.Error("nothing was published on home")
	}
	if _, _, err := h.job.LogContent(context.Background(), j.ID, -1); fault.KindOf(err) != fault.Invalid {
		t.Errorf("negative offset: %v", err)
	}
}

func TestALogIsBounded(t *testing.T) {
	h := newHouse(t)
	h.runner.Handle("talk", func(_ context.Context, tk *fake.Task) int {
		fmt.Fprint(tk.Log, strings.Repeat("x", 5000))
		return 1
	})
	h.run()
	sub := h.task("talk")
	sub.Limits = &Limits{LogSize: 1000}
	j := h.until(h.submit(sub).ID, Failed)
	log := h.logOf(j.ID, 0)
	if len(log) > 1000+markerRoom || strings.Count(log, "x") != 1000 {
		t.Errorf("log has %d bytes", len(log))
	}
	if !strings.HasSuffix(log, "[tresor: log cut after 1000 bytes]\n") {
		t.Errorf("the log does not say that it was cut: …%q", log[max(0, len(log)-60):])
	}
}
