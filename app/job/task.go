package job

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"tresor/app/access"
	"tresor/app/fault"
	"tresor/app/output"
	"tresor/app/store"
	"tresor/sandbox"
)

const (
	maxHostFaults = 3 // attempts that the host may spoil before the job fails
	maxCollects   = 4 // collections from a container that failed, before the job fails without
)

// runTask brings one task to its end. nil, nil: it succeeded and is not the last.
func (r *run) runTask(n int) (*ending, error) {
	if end, err := r.launch(n); end != nil || err != nil {
		return end, err
	}
	settle := soon(r.s.times.markAfter, func() { r.mark(n) })
	defer settle()
	for {
		timedOut, end, err := r.follow(n)
		if end != nil || err != nil {
			return end, err
		}
		end, err = r.collect(n, timedOut)
		if !errors.Is(err, errNotOver) {
			return end, err
		}
		if !r.s.pause(r.ctx, 0) {
			return nil, errLeave
		}
	}
}

var errNotOver = errors.New("the command has not ended")

// launch has the container of the present attempt running, or over. A new attempt
// is tried without asking first: each question to the engine costs milliseconds.
func (r *run) launch(n int) (*ending, error) {
	for look := r.adopted; ; look = true {
		if look {
			if there, end, err := r.find(n); there || end != nil || err != nil {
				return end, err
			}
		}
		if r.cancelled() {
			return r.cancelEnd(), nil
		}
		if started, end, err := r.try(n); started || end != nil || err != nil {
			return end, err
		}
	}
}

// find asks the engine what became of the present attempt; there: it was started.
func (r *run) find(n int) (there bool, end *ending, err error) {
	st, err := r.status(refOf(r.id, n, r.job.Tasks[n].Attempt))
	if err != nil {
		return false, nil, err
	}
	switch {
	case st.Phase == sandbox.Created:
		return false, nil, nil
	case st.Phase != sandbox.Absent:
		return true, nil, nil
	case r.job.Tasks[n].State == TaskRunning:
		return false, disappeared(), nil
	}
	end, err = r.fresh(n)
	return false, end, err
}

// fresh gives an adopted task without a container a new attempt: the old one was
// probably never made, but nobody can know, and no attempt runs twice.
func (r *run) fresh(n int) (*ending, error) {
	if !r.adopted {
		return nil, nil
	}
	r.adopted = false
	if r.cancelled() {
		return r.cancelEnd(), nil
	}
	return nil, r.again(n, 0)
}

// try prepares and starts one attempt. Whether a start that failed has started
// something only the status can tell: false, nil, nil means look again.
func (r *run) try(n int) (started bool, end *ending, err error) {
	sp, err := r.s.spec(&r.job, n, r.mounts, r.roots)
	if err == nil {
		err = r.s.Runner.Prepare(r.ctx, sp)
	}
	if err == nil && r.cancelled() {
		return false, r.cancelEnd(), nil
	}
	if err == nil {
		err = r.s.Runner.Start(r.ctx, sp.Ref)
	}
	if err == nil || r.ctx.Err() != nil {
		return err == nil, nil, r.left(nil)
	}
	r.s.Logger.Warn("jobs: starting a container", "job", r.id, "ref", sp.Ref, "err", err)
	if end := startRefused(r.job.Tasks[n], err); end != nil {
		return false, end, nil
	}
	end, err = r.spoiled(n, sp.Ref)
	return false, end, err
}

// startRefused explains an error that another attempt would not change.
func startRefused(t TaskRun, err error) *ending {
	var unfit *sandbox.ErrUnfit
	switch {
	case errors.As(err, &unfit):
		return failed("host-unfit", "This server cannot run it safely: "+sentence(unfit.Reason), "An operator has to act: "+sentence(unfit.Next))
	case errors.Is(err, sandbox.ErrInvalid):
		return failed("spec-refused", "The sandbox refused the task: "+sentence(sandbox.Printable(err.Error())), "Change what the reason names and submit it again.")
	case errors.Is(err, sandbox.ErrAbsent):
		return failed("image-missing", fmt.Sprintf("The image %s is not on the server any more.", t.ImageRef), "Ask an operator to import it again, then submit the job again.")
	}
	return nil
}

func sentence(s string) string {
	if s = strings.TrimSpace(s); s == "" || strings.HasSuffix(s, ".") {
		return s
	}
	return s + "."
}

// spoiled follows an attempt that the host broke: if its command was not started a
// new attempt is recorded after a pause, three times at most.
func (r *run) spoiled(n int, ref sandbox.Ref) (*ending, error) {
	st, err := r.status(ref)
	if err != nil {
		return nil, err
	}
	if st.Phase != sandbox.Absent && st.Phase != sandbox.Created {
		return nil, nil // it was started after all
	}
	if r.job.hostFaults+1 >= maxHostFaults {
		return failed("host-failed", fmt.Sprintf("The server's container engine failed %d times before the command could start.", maxHostFaults),
			"Submit it again later. An operator finds the cause in the server's log."), nil
	}
	if !r.waitOrStop(r.job.hostFaults) {
		return nil, r.left(nil)
	}
	// The engine may still carry out a start that it did not answer in time: without
	// the container it cannot, beside the new attempt in the same scratch.
	if err := r.insist(r.ctx, func() error { return r.s.Runner.Remove(r.ctx, ref) }); err != nil {
		return nil, r.left(err)
	}
	return nil, r.again(n, 1)
}

// waitOrStop pauses; false when the server or a person ended the pause.
func (r *run) waitOrStop(try int) bool {
	t := time.NewTimer(r.s.times.pauses[min(try, len(r.s.times.pauses)-1)])
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-r.stopped:
	case <-r.ctx.Done():
	}
	return false
}

// status asks until the engine answers: while it is down nobody knows what runs.
func (r *run) status(ref sandbox.Ref) (st sandbox.Status, err error) {
	err = r.insist(r.ctx, func() error {
		if st, err = r.s.Runner.Status(r.ctx, ref); err != nil {
			r.say("The server's container engine does not answer. The server keeps asking; the job is not lost.")
		}
		return err
	})
	if err == nil {
		r.say("")
	}
	var unfit *sandbox.ErrUnfit
	if errors.As(err, &unfit) { // nothing of ours can be there; Prepare will say why
		return sandbox.Status{Ref: ref, Phase: sandbox.Absent}, nil
	}
	return st, r.left(err)
}

func disappeared() *ending {
	e := failed("container-gone", "The container disappeared while the command ran.", "Submit it again. An operator finds in the server's log who removed it.")
	e.ran = true
	return e
}

// mark makes durable that a command runs, when it does so long enough for that to matter.
func (r *run) mark(n int) {
	st, err := r.s.Runner.Status(r.ctx, refOf(r.id, n, r.job.Tasks[n].Attempt))
	unlimited := err == nil && st.Unlimited
	err = r.s.update(r.ctx, func(tx *store.Tx) error {
		j, err := load(tx, r.id)
		if err != nil {
			return err
		}
		if _, err := tx.Exec(`UPDATE job SET unlimited = max(unlimited, ?) WHERE id = ?`, unlimited, r.id); err != nil {
			return err
		}
		return r.s.running(tx, &j, n)
	})
	if err != nil && r.ctx.Err() == nil {
		r.s.Logger.Warn("jobs: noting that a job runs", "job", r.id, "err", err)
	}
}

// running moves a job that is preparing to running, with its task.
func (s *Service) running(tx *store.Tx, j *Job, n int) error {
	t := &j.Tasks[n]
	if t.State == TaskPreparing {
		now := tx.Now()
		t.State, t.StartedAt = TaskRunning, &now
		if err := saveTask(tx, j.ID, *t); err != nil {
			return err
		}
	}
	if j.State != Preparing {
		return nil
	}
	return s.move(tx, j, step{to: Running, by: access.System, detail: []string{"task", strconv.Itoa(n), "attempt", strconv.Itoa(t.Attempt)}})
}

// follow stores the log until the command has ended, and ends it when a person or
// the wall clock says so.
func (r *run) follow(n int) (timedOut bool, end *ending, err error) {
	ref := refOf(r.id, n, r.job.Tasks[n].Attempt)
	log, err := r.s.openLog(r.id, n, r.job.Limits.LogSize)
	if err != nil {
		return false, nil, fault.Wrap("job.follow", err)
	}
	defer r.closeLog(log)
	ctx, lost := context.WithCancel(r.ctx)
	defer lost()
	g := r.guard(ref, n, lost)
	defer g.stop()
	var quiet silence
	for try := 0; ; try++ {
		err := r.s.Runner.Logs(ctx, ref, log.pos, log.write)
		switch {
		case err == nil:
			return g.stop(), nil, nil
		case r.ctx.Err() != nil:
			return false, nil, errLeave
		case ctx.Err() != nil:
			return g.stop(), r.outlived(), nil
		}
		mute := errors.Is(err, sandbox.ErrHost) && quiet.tooLong(log.pos, r.s.Now(), 2*r.s.times.giveUp)
		end, over, err := r.afterLogs(ref, err, try)
		if end == nil && err == nil && !over && mute {
			end = r.silent()
		}
		if end != nil || err != nil || over {
			return g.stop(), end, err
		}
	}
}

// closeLog makes a log durable beside the collection of outputs; finish waits for it.
func (r *run) closeLog(log *logFile) {
	r.closing.Add(1)
	go func() {
		defer r.closing.Done()
		if err := log.close(); err != nil {
			r.s.Logger.Warn("jobs: storing a log", "job", r.id, "err", err)
		}
	}()
}

// afterLogs decides what a broken log stream means; over: go on without the rest.
func (r *run) afterLogs(ref sandbox.Ref, cause error, try int) (end *ending, over bool, err error) {
	r.s.Logger.Warn("jobs: following a log", "job", r.id, "ref", ref, "err", cause)
	st, err := r.status(ref)
	if err != nil {
		return nil, false, err
	}
	const tries = 5 // for the rest of a log whose command is over
	switch st.Phase {
	case sandbox.Absent:
		return disappeared(), false, nil
	case sandbox.Ended, sandbox.Exited:
		if try >= tries {
			return nil, true, nil
		}
	}
	if !r.s.pause(r.ctx, min(try, 1)) {
		return nil, false, errLeave
	}
	return nil, false, nil
}

// collect takes the outputs of the last task, ends the container and judges how it ended.
func (r *run) collect(n int, timedOut bool) (*ending, error) {
	ref := refOf(r.id, n, r.job.Tasks[n].Attempt)
	caps := output.Caps{Files: r.job.Limits.OutputFiles, Bytes: r.job.Limits.OutputBytes}
	since := r.s.Now()
	for try := 0; ; try++ {
		sink := r.sink(caps)
		ctx, done := r.untilStopped()
		got, err := r.s.Runner.Collect(ctx, ref, sink.Take)
		done()
		if err == nil {
			end := r.judge(n, got, sink, timedOut)
			if end == nil || !end.keeps() {
				sink.Abort()
				return end, nil
			}
			if err = sink.Commit(r.ctx); err == nil {
				return end, nil
			}
		}
		sink.Abort()
		if r.ctx.Err() != nil {
			return nil, errLeave
		}
		if end, err := r.afterCollect(n, timedOut, err, try, since); end != nil || err != nil {
			return end, err
		}
	}
}

// untilStopped is a context that ends when a person asks for a stop too.
func (r *run) untilStopped() (context.Context, func()) {
	ctx, cancel := context.WithCancel(r.ctx)
	go func() {
		select {
		case <-r.stopped:
			cancel()
		case <-ctx.Done():
		}
	}()
	return ctx, cancel
}

// afterCollect decides what a failed collection means; nil, nil: collect again. A
// full disk is waited for: the outputs are safe in the container as long as that takes.
func (r *run) afterCollect(n int, timedOut bool, cause error, try int, since time.Time) (*ending, error) {
	ref := refOf(r.id, n, r.job.Tasks[n].Attempt)
	if !r.cancelled() { // a stop cuts a collection short: that is no trouble
		r.s.Logger.Warn("jobs: collecting outputs", "job", r.id, "ref", ref, "err", cause)
	}
	st, err := r.status(ref)
	switch {
	case err != nil:
		return nil, err
	case st.Phase == sandbox.Absent:
		return disappeared(), nil
	case st.Phase == sandbox.Running:
		return nil, errNotOver
	case r.cancelled():
		e := r.cancelEnd()
		e.ran = true
		return e, nil
	case st.Phase == sandbox.Exited && st.ExitCode != 0 && try >= maxCollects && errors.Is(cause, sandbox.ErrHost):
		// It has failed whatever it left, and what it left cannot be read: waiting would have no end.
		return r.judge(n, sandbox.Collected{Status: st}, r.sink(output.Caps{}), timedOut), nil
	}
	if r.handsOver(cause, since) {
		return r.unread(), nil
	}
	if !errors.Is(cause, sandbox.ErrHost) {
		r.say("The server cannot keep the outputs now: " + fault.Message(cause) + " They are safe inside; the server tries again. An operator should look at the disk.")
	}
	if !r.waitOrStop(try) {
		return nil, r.left(nil)
	}
	return nil, nil
}
