package job

import (
	"context"
	"sync/atomic"
	"testing"
	"time"

	"tresor/app/fault"
	"tresor/app/store"
)

// pausing is a door whose senders can be paused and revoked.
type pausing struct{ paused, revoked atomic.Bool }

func (p *pausing) wire(s *Service) {
	s.Held = func(_ *store.Tx, j Job) (string, string, error) {
		if p.paused.Load() && j.Via == "hub:x" {
			return "x", "Waits: it is paused.", nil
		}
		return "", "", nil
	}
	s.Allowed = func(_ *store.Tx, j Job) error {
		if p.revoked.Load() && j.Via == "hub:x" {
			return fault.New("test", fault.Denied, "It was revoked.")
		}
		return nil
	}
}

func (p *pausing) update(h *house, paused, revoked bool) {
	p.paused.Store(paused)
	p.revoked.Store(revoked)
	h.job.Recheck()
}

func (h *house) hubTask() Submission {
	sub := h.task("write", "a.csv")
	sub.Via, sub.Outputs = "hub:x", nil
	return sub
}

func TestAsideIsOutOfTheWay(t *testing.T) {
	q := openQueue(Budget{Cores: 1})
	for _, id := range []string{"a1", "a2", "a3"} {
		q.add(entry{id: id, project: "a", cores: 1})
	}
	looks := q.look()
	q.put(entry{id: "a1", project: "a", cores: 1}, "hub", "paused", looks)
	if q.add(entry{id: "a1", project: "a", cores: 1}) {
		t.Error("a job that stands aside was queued again")
	}
	if q.position("a1") != 0 || q.position("a2") != 1 || q.why("a1") != "paused" {
		t.Errorf("positions %d, %d; it waits for %q", q.position("a1"), q.position("a2"), q.why("a1"))
	}
	if e := q.next(); e.id != "a2" {
		t.Errorf("%s starts", e.id)
	}
	q.back("a1")
	q.back("a1")
	q.release("a2")
	if e := q.next(); e.id != "a1" {
		t.Errorf("%s starts: the job that came back has lost its place", e.id)
	}
	q.release("a1")
	q.put(*q.next(), "hub", "paused", looks-1) // somebody has looked since: it is asked again
	q.release("a3")
	if q.why("a3") != "" || q.position("a3") != 1 {
		t.Errorf("it waits for %q at %d", q.why("a3"), q.position("a3"))
	}
	q.put(entry{id: "a3", project: "a"}, "hub", "paused", looks)
	q.remove("a3")
	if len(q.aside)+len(q.known) != 0 {
		t.Errorf("left behind: %v %v", q.aside, q.known)
	}
}

// TestAPauseHoldsWhatWaits: jobs that are queued when their sender is paused wait and say
// why, others pass them, those that run go on, and after the resume all go on.
func TestAPauseHoldsWhatWaits(t *testing.T) {
	h := newHouse(t)
	h.budget = Budget{Cores: 1}
	h.fresh()
	p := &pausing{}
	p.wire(h.job)
	h.run()
	run := h.task("sleep")
	run.Via, run.Outputs = "hub:x", nil
	first := h.submit(run)
	h.until(first.ID, Running)
	waits := []Job{h.submit(h.hubTask()), h.submit(h.hubTask())}
	p.update(h, true, false)
	for _, j := range waits {
		h.wait("it says that it is paused", func() bool { got := h.get(j.ID); return got.State == Queued && got.Reason == "Waits: it is paused." })
	}
	late := h.submit(h.hubTask()) // the door is to refuse it; one that comes through all the same does not start
	other := h.submit(h.task("write", "a.csv"))
	if got := h.get(first.ID); got.State != Running {
		t.Errorf("the one that ran is %s", got.State)
	}
	if _, err := h.job.Cancel(context.Background(), h.in(rosa), first.ID, ""); err != nil {
		t.Fatal(err)
	}
	h.until(other.ID, Held)
	for _, j := range append(waits, late) {
		h.wait("it says that it is paused", func() bool { got := h.get(j.ID); return got.State == Queued && got.Reason == "Waits: it is paused." })
		if h.starts(j.ID, 0) != 0 {
			t.Error("a paused job was started")
		}
	}
	h.stop()
	h.fresh() // the pause outlives a restart
	p.wire(h.job)
	h.run()
	for _, j := range append(waits, late) {
		h.wait("it says that it is paused", func() bool { return h.get(j.ID).Reason == "Waits: it is paused." })
	}
	if l := h.job.Load(); l.Running != 0 || l.Cores != 0 || l.Waiting != 3 {
		t.Errorf("load %+v", l)
	}
	p.update(h, false, false)
	for _, j := range append(waits, late) {
		if got := h.until(j.ID, Completed); got.Reason != "" || h.starts(j.ID, 0) != 1 {
			t.Errorf("reason %q, started %d times", got.Reason, h.starts(j.ID, 0))
		}
	}
}

func TestARevokedSendersJobsEnd(t *testing.T) {
	for _, paused := range []bool{false, true} {
		h := newHouse(t)
		h.budget = Budget{Cores: 1}
		h.fresh()
		p := &pausing{}
		p.wire(h.job)
		h.run()
		first := h.submit(h.task("sleep"))
		h.until(first.ID, Running)
		j := h.submit(h.hubTask())
		if paused {
			p.update(h, true, false)
			h.wait("it says that it is paused", func() bool { return h.get(j.ID).Reason != "" })
		}
		p.update(h, false, true) // the host is full: it does not come to its turn
		if got := h.until(j.ID, Refused); got.Reason != "It may not start any more. It was revoked." {
			t.Errorf("reason %q", got.Reason)
		}
		if n := h.job.Load().Waiting; n != 0 {
			t.Errorf("%d wait", n)
		}
	}
}

// TestALostRecheck: the comparison that comes now and then lets go what nobody holds.
func TestALostRecheck(t *testing.T) {
	h := newHouse(t)
	p := &pausing{}
	p.paused.Store(true)
	p.wire(h.job)
	h.job.times.reconcile = 20 * time.Millisecond
	h.run()
	j := h.submit(h.hubTask())
	gone := h.submit(h.hubTask())
	h.wait("both stand aside", func() bool { return h.get(j.ID).Reason != "" && h.get(gone.ID).Reason != "" })
	if _, err := h.job.Cancel(context.Background(), h.in(rosa), gone.ID, ""); err != nil {
		t.Fatal(err)
	}
	p.update(h, false, false)
	select {
	case <-h.job.recheck: // lost
	default:
	}
	h.until(j.ID, Completed)
	h.wait("nothing waits", func() bool { return h.job.Load().Waiting == 0 })
}
