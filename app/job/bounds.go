package job

import (
	"context"
	"errors"
	"fmt"
	"time"

	"tresor/sandbox"
)

// An engine that is away is waited for: nobody knows what runs meanwhile, and an
// operator sees it. An engine that answers about everything but one container would be
// waited for without end, and nobody would see why one job never ends. So questions
// about one job's container have a bound, and a job that reaches it ends as failed; its
// container is removed by a later comparison, as soon as the engine can.

// errRefused says that the engine answers, but for long not about this job's container.
var errRefused = errors.New("the engine does not answer about this container")

// insist repeats f, a question about one container, as patiently does; errRefused when
// the engine has answered about others, and not to f, for long.
func (r *run) insist(ctx context.Context, f func() error) error {
	start := r.s.Now()
	var last error
	err := r.s.patiently(ctx, func() error {
		if last = f(); last == nil || r.s.Now().Sub(start) < r.s.times.giveUp {
			return last
		}
		if _, err := r.s.Runner.List(ctx); err != nil { // it is away, for everybody
			start = r.s.Now()
			return last
		}
		r.s.Logger.Error("jobs: the engine does not answer about one container; its job ends", "job", r.id, "err", last)
		last = errRefused
		return nil
	})
	if err != nil {
		return err
	}
	return last
}

const askOperator = "Submit it again. An operator finds the cause in the server's log."

// abandoned is the end of a job about whose container the engine says nothing.
func (r *run) abandoned() *ending {
	return failed("host-failed", fmt.Sprintf("The server's container engine has not answered about this job's container for %s, although it answers otherwise.", wallText(r.s.times.giveUp)), askOperator)
}

// outlived is the end of a job that had to be stopped and that the engine could not stop.
func (r *run) outlived() *ending {
	if r.cancelled() {
		return r.cancelEnd()
	}
	return failed("host-failed", fmt.Sprintf("It ran longer than its limit of %s, and the server's container engine could not stop it.", wallText(r.job.Limits.wall())), askOperator)
}

// silence bounds a container that runs, as the engine says, and of which nothing is heard.
type silence struct {
	pos   int64
	since time.Time
}

// tooLong notes where the log stands and reports whether it has stood there for long.
func (q *silence) tooLong(pos int64, now time.Time, bound time.Duration) bool {
	if q.since.IsZero() || pos != q.pos {
		q.pos, q.since = pos, now
	}
	return now.Sub(q.since) > bound
}

// silent is the end of a job whose container can be neither heard nor ended.
func (r *run) silent() *ending {
	e := failed("host-failed", "Its container runs, as the server's container engine says, but has not answered for long.", askOperator)
	e.ran = true
	return e
}

// unread is the end of a job whose outputs the engine does not hand over.
func (r *run) unread() *ending {
	e := failed("host-failed", fmt.Sprintf("The command ended, but for %s the server's container engine could not hand over what it left.", wallText(r.s.times.keepOn)), askOperator)
	e.ran = true
	return e
}

// handsOver says, while outputs cannot be taken, what is to blame and whether that has lasted too long. A
// full disk of ours is waited for as long as it takes: the outputs are safe inside.
func (r *run) handsOver(cause error, since time.Time) (tooLong bool) {
	if !errors.Is(cause, sandbox.ErrHost) {
		return false
	}
	r.say("The server's container engine does not hand over the outputs now. They are safe inside; the server tries again.")
	return r.s.Now().Sub(since) > r.s.times.keepOn
}
