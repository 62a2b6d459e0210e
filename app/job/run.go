package job

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"tresor/app/access"
	"tresor/app/audit"
	"tresor/app/dataset"
	"tresor/app/fault"
	"tresor/app/output"
	"tresor/app/store"
	"tresor/sandbox"
)

// run works on one job, in one goroutine:
//  1. the claim: everything is checked again and the first attempt is written
//  2. each task: prepare, start, follow the log, collect
//  3. one transaction: outputs, states, audit events
//  4. container and scratch go, after that is durable
//
// Whatever happens a terminal state and its reason are recorded, unless the server
// stops: then nothing is, and the next Run adopts the job where it stands.
type run struct {
	s       *Service
	id      string
	loop    *loop
	ctx     context.Context
	job     Job
	mounts  []dataset.Mount
	roots   map[int]string // of dataset places, by place
	exit    int            // of the task before, which let the job go on
	claimed bool           // the claim is durable already
	spawned bool           // its goroutine has been started
	adopted bool           // the job was active before this run
	late    bool           // it was found so while Run ran, which a working server does not need
	free    sync.Once
	aside   func()                 // puts the job aside when its run has left the host; nil: it need not
	closing sync.WaitGroup         // logs on their way to the disk
	trouble atomic.Pointer[string] // what the job waits for, for people; nil: nothing

	once    sync.Once
	stopped chan struct{} // closed when a person asked for a stop
	by      access.Actor  // set before stopped is closed
	why     string
}

// ending is how a job ends.
type ending struct {
	step
	sink     *output.Sink // of a job that is held
	refused  []sandbox.Refusal
	task     string // what becomes of the task that ran
	exitCode *int
	ran      bool // its command was started
}

// errLeave says that the server stops or somebody else has ended the job: record nothing.
var errLeave = errors.New("leave the job as it is")

func (r *run) do() {
	defer r.closing.Wait()
	end, err := r.safely()
	if errors.Is(err, errLeave) || r.ctx.Err() != nil && end == nil {
		return
	}
	if errors.Is(err, errRefused) {
		end = r.abandoned()
	}
	if end == nil {
		r.s.Logger.Error("jobs: a job ended for an unknown reason", "job", r.id, "err", err)
		end = &ending{step: step{to: Failed, by: access.System, reason: "The server could not go on with it.",
			next: "Submit it again. If it happens again, tell the operator the id of this job.", detail: []string{"cause", "internal"}}}
	}
	if !r.finish(end) {
		return
	}
	r.leaveHost()
	r.s.clean(r.ctx, r.job)
}

// safely turns a defect into an error, so that it ends one job and not the server.
func (r *run) safely() (end *ending, err error) {
	defer func() {
		if p := recover(); p != nil {
			end, err = nil, fmt.Errorf("panic: %v\n%s", p, debug.Stack())
		}
	}()
	return r.work()
}

// leaveHost gives the reserved place back, once.
func (r *run) leaveHost() { r.free.Do(func() { r.s.sched.release(r.id) }) }

// say shows people what the job waits for; "" when it goes on.
func (r *run) say(text string) {
	if text == "" {
		r.trouble.Store(nil)
		return
	}
	r.trouble.Store(&text)
}

func (r *run) cancel(by access.Actor, why string) {
	r.once.Do(func() {
		r.by, r.why = by, why
		close(r.stopped)
	})
}

func (r *run) cancelled() bool {
	select {
	case <-r.stopped:
		return true
	default:
		return false
	}
}

// work brings the job to its end. An error means that there is none yet.
func (r *run) work() (*ending, error) {
	if err := r.claim(); err != nil {
		return nil, err
	}
	if end, err := r.ready(); end != nil || err != nil {
		return end, err
	}
	for n := r.job.task; n < len(r.job.Tasks); n++ {
		if n != r.job.task {
			if err := r.nextTask(n); err != nil {
				return nil, err
			}
		}
		end, err := r.runTask(n)
		if end != nil || err != nil {
			return end, err
		}
	}
	return nil, errors.New("the last task ended without an ending")
}

// claim makes the start of a queued job durable, or loads a job that has been
// started before. A job that may not start any more is refused here.
func (r *run) claim() error {
	if r.claimed {
		return nil
	}
	gone := false
	looks := r.s.sched.looked()
	err := r.s.patiently(r.ctx, func() error {
		return r.s.update(r.ctx, func(tx *store.Tx) error {
			var err error
			if r.job, err = load(tx, r.id); err != nil {
				gone = fault.KindOf(err) == fault.NotFound
				return unlessGone(gone, err)
			}
			if r.adopted = r.job.State.Active(); r.adopted && r.late {
				r.s.Logger.Warn("jobs: nobody worked on a job that has started; going on with it", "job", r.id, "state", r.job.State)
			}
			r.aside = nil
			if r.job.State == Queued {
				if holder, why, err := r.s.held(tx, r.job); err != nil || holder != "" {
					e := r.job.entry()
					r.aside = func() { r.s.sched.put(e, holder, why, looks) }
					gone = err == nil
					return err
				}
			}
			gone, err = r.s.open(tx, &r.job)
			return err
		})
	})
	if err != nil || gone {
		return errLeave
	}
	if r.job.Cancelling {
		r.cancel(r.job.cancelBy, r.job.cancelReason)
	}
	return nil
}

func unlessGone(gone bool, err error) error {
	if gone {
		return nil
	}
	return err
}

// open starts a queued job; gone when there is nothing to run.
func (s *Service) open(tx *store.Tx, j *Job) (gone bool, err error) {
	switch {
	case j.State.Active():
		return false, nil
	case j.State != Queued:
		return true, nil
	}
	if err := s.check(tx, j); err != nil {
		if fault.KindOf(err) == fault.Internal {
			return false, err
		}
		return true, s.move(tx, j, mayNot(err))
	}
	return false, s.begin(tx, j)
}

// begin writes the intent: the job is preparing and its first task has attempt 1.
func (s *Service) begin(tx *store.Tx, j *Job) error {
	if err := s.move(tx, j, step{to: Preparing, by: access.System, detail: []string{"attempt", "1"}}); err != nil {
		return err
	}
	t := &j.Tasks[0]
	t.State, t.Attempt = TaskPreparing, 1
	return saveTask(tx, j.ID, *t)
}

// ready loads what every task needs: inputs and where the datasets lie.
func (r *run) ready() (*ending, error) {
	err := r.s.DB.View(r.ctx, func(tx *store.Tx) error {
		var err error
		if r.job.content == nil && r.job.hasContent() {
			if r.job.content, err = loadContent(tx, r.id); err != nil {
				return err
			}
		}
		if r.mounts, err = r.s.mounts(tx, &r.job); err != nil {
			return err
		}
		r.roots, err = r.s.roots(tx, &r.job)
		return err
	})
	if err == nil || r.ctx.Err() != nil {
		return nil, r.left(nil)
	}
	if fault.KindOf(err) == fault.Internal {
		return nil, err
	}
	if r.job.State != Preparing {
		return nil, nil // it runs: what it was given it has
	}
	return failed("not-allowed-any-more", "It may not start any more. "+fault.Message(err), "Have this put right, then submit it again."), nil
}

// left turns the end of the server into errLeave.
func (r *run) left(err error) error {
	if r.ctx.Err() != nil {
		return errLeave
	}
	return err
}

// ended is what becomes of a task whose failure does not end the job.
func ended(exit int) string {
	if exit != 0 {
		return TaskFailed
	}
	return TaskSucceeded
}

// nextTask notes how the task before n ended and writes the intent of n.
func (r *run) nextTask(n int) error {
	r.adopted = false
	return r.record(func(tx *store.Tx) error {
		j, err := load(tx, r.id)
		if err != nil {
			return err
		}
		if err := r.s.step(tx, &j, n, r.exit); err != nil {
			return err
		}
		j.content, j.Unlimited = r.job.content, r.job.Unlimited
		r.job = j
		return nil
	})
}

func (s *Service) step(tx *store.Tx, j *Job, n, exit int) error {
	if j.task == n { // an earlier try got through although it said otherwise
		return nil
	}
	if err := s.running(tx, j, n-1); err != nil {
		return err
	}
	now := tx.Now()
	prev, t := &j.Tasks[n-1], &j.Tasks[n]
	prev.State, prev.ExitCode, prev.FinishedAt = ended(exit), &exit, &now
	t.State, t.Attempt = TaskPreparing, 1
	if err := saveTask(tx, j.ID, *prev); err != nil {
		return err
	}
	if _, err := tx.Exec(`UPDATE job SET task = ? WHERE id = ?`, n, j.ID); err != nil {
		return err
	}
	j.task = n
	s.publish(tx, *j)
	return saveTask(tx, j.ID, *t)
}

// again writes the intent of a new attempt of a task whose command was not started;
// faults is 1 when the host spoiled the attempt before.
func (r *run) again(n, faults int) error {
	return r.record(func(tx *store.Tx) error {
		t := r.job.Tasks[n]
		t.Attempt++
		if _, err := tx.Exec(`UPDATE job SET host_faults = ? WHERE id = ?`, r.job.hostFaults+faults, r.id); err != nil {
			return err
		}
		e := audit.By(access.System, "job.retried", Subject(r.id), r.job.Project, "task", strconv.Itoa(n), "attempt", strconv.Itoa(t.Attempt))
		if _, err := r.s.Log.Append(tx, e); err != nil {
			return err
		}
		if err := saveTask(tx, r.id, t); err != nil {
			return err
		}
		tx.AfterCommit(func() { r.job.Tasks[n] = t; r.job.hostFaults += faults })
		return nil
	})
}

// record makes a change durable however long that takes; errLeave when the server stops first.
func (r *run) record(f func(*store.Tx) error) error {
	if err := r.s.patiently(r.ctx, func() error { return r.s.update(r.ctx, f) }); err != nil {
		return errLeave
	}
	return nil
}

// soon calls f after d unless the returned function is called first; that one waits
// for an f that has begun. So what is over quickly costs no commit of its own.
func soon(d time.Duration, f func()) (cancel func()) {
	done := make(chan struct{})
	t := time.AfterFunc(d, func() { defer close(done); f() })
	return func() {
		if !t.Stop() {
			<-done
		}
	}
}

func failed(cause, reason, next string, detail ...string) *ending {
	return &ending{task: TaskFailed, step: step{to: Failed, by: access.System, reason: reason, next: next, detail: append([]string{"cause", cause}, detail...)}}
}
