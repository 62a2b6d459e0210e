package job

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"tresor/app/access"
	"tresor/app/output"
	"tresor/app/store"
	"tresor/sandbox"
)

// guard ends a container when a person asks or the wall clock is up and the
// engine has not noticed.
type guard struct {
	once sync.Once
	quit chan struct{}
	gone chan struct{}
	late bool // read after gone is closed
}

// guard watches over task n; lost is called when the engine could not end it.
func (r *run) guard(ref sandbox.Ref, n int, lost func()) *guard {
	g := &guard{quit: make(chan struct{}), gone: make(chan struct{})}
	left := r.job.Limits.wall() + r.s.times.slack
	if t := r.job.Tasks[n].StartedAt; t != nil { // adopted: part of its time has passed
		left -= r.s.Now().Sub(*t)
	}
	go func() {
		defer close(g.gone)
		timer := time.NewTimer(left)
		defer timer.Stop()
		select {
		case <-g.quit:
			return
		case <-r.ctx.Done():
			return
		case <-timer.C:
			g.late = true
		case <-r.stopped:
		}
		if r.halt(ref, g.quit) != nil {
			lost()
		}
	}()
	return g
}

// stop ends the guard and says whether the wall clock was up.
func (g *guard) stop() bool {
	g.once.Do(func() { close(g.quit) })
	<-g.gone
	return g.late
}

// halt asks the engine to stop a container until it has understood; an error when it
// did not for long, or quit came first.
func (r *run) halt(ref sandbox.Ref, quit <-chan struct{}) error {
	ctx, cancel := context.WithCancel(r.ctx)
	defer cancel()
	go func() {
		select {
		case <-quit:
			cancel()
		case <-ctx.Done():
		}
	}()
	return r.insist(ctx, func() error { return r.s.Runner.Stop(ctx, ref, r.s.times.grace) })
}

func (r *run) cancelEnd() *ending {
	st := cancelStep(r.by, r.why)
	return &ending{step: st, task: TaskCancelled}
}

// judge says how a task ended. Its word is the engine's, not the program's. nil:
// it succeeded and another follows.
func (r *run) judge(n int, got sandbox.Collected, sink *output.Sink, timedOut bool) *ending {
	st := got.Status
	r.job.Unlimited = r.job.Unlimited || st.Unlimited
	end := r.verdict(n, got, sink, timedOut)
	if r.exit = exitOf(st); end == nil {
		return nil
	}
	code := r.exit
	if end.ran = true; !st.Unplaced { // its command never ran
		end.exitCode = &code
	}
	end.refused = append(append([]sandbox.Refusal{}, got.Refused...), sink.Refused()...)
	if len(end.refused) > 0 {
		end.detail = append(end.detail, "refused", strconv.Itoa(len(end.refused)))
	}
	return end
}

func (r *run) verdict(n int, got sandbox.Collected, sink *output.Sink, timedOut bool) *ending {
	st, code := got.Status, strconv.Itoa(got.Status.ExitCode)
	switch {
	case r.cancelled():
		return r.cancelEnd()
	case st.TimedOut || timedOut:
		return failed("time", fmt.Sprintf("It ran longer than its limit of %s and was stopped.", wallText(r.job.Limits.wall())),
			"Make the analysis smaller, or submit it with a longer running time.")
	case st.Unplaced:
		return failed("unplaced", Unplaced+"could not be put in place, so the command never ran.", "Read the log, correct what it names and submit it again.")
	case st.OOMKilled && !r.job.Tasks[n].IgnoreError:
		return failed("memory", fmt.Sprintf("It needed more memory than its limit of %s and was stopped.", sizeText(r.job.Limits.Memory)),
			"Make the analysis smaller, or submit it with more memory.")
	case st.ExitCode != 0 && !r.job.Tasks[n].IgnoreError:
		return failed("exit-code", exitText(st.ExitCode, n, len(r.job.Tasks)), "Read the log, correct the analysis and submit it again.", "exit_code", code)
	case n < len(r.job.Tasks)-1:
		return nil
	}
	return r.success(sink, append(append([]sandbox.Refusal{}, got.Refused...), sink.Refused()...), ended(exitOf(st)))
}

// Unplaced begins the reason of a job a command of which never ran, because its files could
// not be put in place. A task before it may have seen to that.
const Unplaced = "An input, a folder or a file of a standard stream "

// exitOf is a task's exit code; one that was ended for its memory did not succeed, whatever it says.
func exitOf(st sandbox.Status) int {
	if st.OOMKilled && st.ExitCode == 0 {
		return 137
	}
	return st.ExitCode
}

// success is the end of a job whose last task let it go on.
func (r *run) success(sink *output.Sink, refused []sandbox.Refusal, task string) *ending {
	if r.job.own() {
		return r.ownSuccess(sink, refused, task)
	}
	if sink.Len() == 0 && len(r.job.Declared) == 0 { // it worked in the project's files
		return &ending{sink: sink, task: task, step: step{to: Completed, by: access.System}}
	}
	if sink.Len() == 0 {
		return nothing(refused)
	}
	return &ending{sink: sink, task: task, step: step{to: Held, by: access.System, detail: []string{"outputs", strconv.Itoa(sink.Len())}}}
}

func nothing(refused []sandbox.Refusal) *ending {
	if len(refused) == 0 {
		return failed("no-output", "No declared output was produced.", "Write the files that the job declares to "+output.Folder+", or declare the names that it writes.")
	}
	return failed("no-output", fmt.Sprintf("No declared output was produced that may be taken: %d were refused, for example %s (%s).", len(refused), refused[0].Path, refused[0].Reason),
		"Change what the list of refused outputs names and submit it again.")
}

func exitText(code, n, tasks int) string {
	what := "The command"
	if tasks > 1 {
		what = fmt.Sprintf("The command of task %d", n+1)
	}
	switch {
	case code == 127:
		return what + " was not found in the image."
	case code == 126:
		return what + " cannot be executed in the image."
	case code > 128 && code <= 128+64: // no signal has a higher number
		return fmt.Sprintf("%s was ended by signal %d.", what, code-128)
	}
	return fmt.Sprintf("%s ended with exit code %d.", what, code)
}

// finish makes the end durable: outputs, task, states and audit events together.
// false when the server stops first, or somebody else has ended the job.
func (r *run) finish(end *ending) bool {
	r.closing.Wait()
	mine := true
	err := r.record(func(tx *store.Tx) error {
		j, err := load(tx, r.id)
		if err != nil {
			return err
		}
		if !j.State.Active() { // an earlier try got through although it said otherwise
			mine = j.State == end.to
			r.job = j
			return nil
		}
		j.Unlimited = j.Unlimited || r.job.Unlimited
		if err := r.s.settle(tx, &j, end); err != nil {
			return err
		}
		r.job = j
		return nil
	})
	return err == nil && mine
}

// settle writes everything that a job leaves.
func (s *Service) settle(tx *store.Tx, j *Job, end *ending) error {
	if end.ran {
		if err := s.running(tx, j, j.task); err != nil {
			return err
		}
	}
	if err := s.settleTasks(tx, j, end); err != nil {
		return err
	}
	if _, err := tx.Exec(`UPDATE job SET unlimited = ?, cancel_actor = '' WHERE id = ?`, j.Unlimited, j.ID); err != nil {
		return err
	}
	if err := saveRefusals(tx, j.ID, end.refused); err != nil {
		return err
	}
	if end.keeps() {
		if j.State == Running {
			if err := s.move(tx, j, step{to: Collecting, by: access.System, detail: []string{"exit_code", "0"}}); err != nil {
				return err
			}
		}
		st, err := s.leaveOutputs(tx, j, end)
		if err != nil {
			return err
		}
		return s.move(tx, j, st)
	}
	return s.move(tx, j, end.step)
}

func (s *Service) settleTasks(tx *store.Tx, j *Job, end *ending) error {
	now := tx.Now()
	for i := j.task; i < len(j.Tasks); i++ {
		t := &j.Tasks[i]
		t.FinishedAt = &now
		if i == j.task {
			orElse(&end.task, TaskFailed)
			t.State, t.ExitCode = end.task, end.exitCode
		} else {
			t.State, t.FinishedAt = TaskSkipped, nil
		}
		if err := saveTask(tx, j.ID, *t); err != nil {
			return err
		}
	}
	return nil
}

// Outgrew reports whether something was not taken because all outputs together were too large.
func (j Job) Outgrew() bool {
	return slices.ContainsFunc(j.Refused, func(f sandbox.Refusal) bool { return strings.HasPrefix(f.Reason, sandbox.OutputsTooLarge) })
}
