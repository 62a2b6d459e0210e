package job

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"tresor/app/access"
	"tresor/app/audit"
	"tresor/app/fault"
	"tresor/app/project"
	"tresor/app/store"
	"tresor/sandbox"
)

func waitingHouse(t *testing.T) (*house, Job) {
	h, j := waitingJob(t)
	h.run()
	return h, j
}

// waitingJob is waitingHouse before anything runs.
func waitingJob(t *testing.T) (*house, Job) {
	h := newHouse(t)
	every := project.EveryJob
	h.alphaChange(project.Change{Approval: &every, Reason: "test"})
	return h, h.submit(h.task("write", "a.csv"))
}

func TestApprove(t *testing.T) {
	for _, who := range []access.Actor{lena, stefan} {
		t.Run(who.Handle, func(t *testing.T) {
			h, j := waitingHouse(t)
			if _, err := h.job.Approve(context.Background(), h.in(who), j.ID, ""); err != nil {
				t.Fatal(err)
			}
			got := h.until(j.ID, Held)
			if st := got.Timeline[1]; st.State != "approved" || st.Actor != who.Handle {
				t.Errorf("timeline %+v", got.Timeline)
			}
			_, err := h.job.Approve(context.Background(), h.in(who), j.ID, "")
			wantFault(t, err, fault.Conflict, "does not wait for a decision")
		})
	}
}

func TestWhoMayDecide(t *testing.T) {
	cases := []struct {
		name  string
		actor access.Actor
		kind  fault.Kind
	}{
		{"denied: researcher", rosa, fault.Denied},
		{"denied: operator", olga, fault.Denied},
		{"denied: stranger", paul, fault.NotFound},
	}
	h, j := waitingHouse(t)
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			_, err := h.job.Approve(context.Background(), h.in(c.actor), j.ID, "")
			wantFault(t, err, c.kind, "")
			_, err = h.job.Refuse(context.Background(), h.in(c.actor), j.ID, "no")
			wantFault(t, err, c.kind, "")
		})
	}
	t.Run("denied: own job", func(t *testing.T) {
		own, err := h.job.Submit(context.Background(), h.in(lena), h.task("true"))
		if err != nil {
			t.Fatal(err)
		}
		_, err = h.job.Approve(context.Background(), h.in(lena), own.ID, "")
		wantFault(t, err, fault.Denied, "Nobody approves their own job")
	})
	t.Run("no such job", func(t *testing.T) {
		_, err := h.job.Approve(context.Background(), h.in(lena), "nothing", "")
		wantFault(t, err, fault.NotFound, access.NotSeen)
	})
}

func TestRefuse(t *testing.T) {
	h, j := waitingHouse(t)
	_, err := h.job.Refuse(context.Background(), h.in(lena), j.ID, " ")
	wantFault(t, err, fault.Invalid, "Give a reason")
	_, err = h.job.Refuse(context.Background(), h.in(lena), j.ID, strings.Repeat("x", 501))
	wantFault(t, err, fault.Invalid, "longer than 500")
	got, err := h.job.Refuse(context.Background(), h.in(lena), j.ID, "too broad")
	if err != nil || got.State != Refused || got.Reason != "Lena refused it: too broad" {
		t.Errorf("%+v, %v", got, err)
	}
	_, err = h.job.Refuse(context.Background(), h.in(lena), j.ID, "again")
	wantFault(t, err, fault.Conflict, "Cancel it instead")
}

// TestReasonsAreKept: what people wrote stands beside the audit events.
func TestReasonsAreKept(t *testing.T) {
	ctx := context.Background()
	for _, c := range []struct {
		name string
		do   func(h *house, j Job) (Job, error)
		want string
	}{
		{"approved", func(h *house, j Job) (Job, error) { return h.job.Approve(ctx, h.in(lena), j.ID, "Seen,\n and fine.") }, "job.approved: Seen, and fine."},
		{"approved without a word", func(h *house, j Job) (Job, error) { return h.job.Approve(ctx, h.in(lena), j.ID, "") }, ""},
		{"refused", func(h *house, j Job) (Job, error) { return h.job.Refuse(ctx, h.in(lena), j.ID, " Too broad. ") }, "job.refused: Too broad."},
		{"cancelled", func(h *house, j Job) (Job, error) { return h.job.Cancel(ctx, h.in(rosa), j.ID, "Not needed.") }, "job.cancelled: Not needed."},
	} {
		t.Run(c.name, func(t *testing.T) {
			h, j := waitingHouse(t)
			if _, err := c.do(h, j); err != nil {
				t.Fatal(err)
			}
			got := ""
			err := h.db.View(ctx, func(tx *store.Tx) error {
				events, err := h.log.List(tx, audit.Filter{Subject: Subject(j.ID)})
				for _, e := range events {
					if e.Reason != "" {
						got += e.Verb + ": " + e.Reason
					}
				}
				return err
			})
			if err != nil || got != c.want {
				t.Errorf("%q (%v), want %q", got, err, c.want)
			}
		})
	}
}

// TestDecisionFaults: a decision fails, or fails after it was stored; made again it stands
// there once, with one event.
func TestDecisionFaults(t *testing.T) {
	ctx := context.Background()
	for _, c := range []struct {
		name  string
		do    func(h *house, id string) error
		end   State
		event string
		again fault.Kind // what making it again may answer when it was stored
	}{
		{"approve", func(h *house, id string) error { _, err := h.job.Approve(ctx, h.in(lena), id, ""); return err }, Held, "job.approved", fault.Conflict},
		{"refuse", func(h *house, id string) error { _, err := h.job.Refuse(ctx, h.in(lena), id, "No."); return err }, Refused, "job.refused", fault.Conflict},
		{"cancel", func(h *house, id string) error { _, err := h.job.Cancel(ctx, h.in(rosa), id, ""); return err }, Cancelled, "job.cancelled", fault.Internal},
	} {
		for _, after := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s fails, after it was stored %v", c.name, after), func(t *testing.T) {
				h, j := waitingJob(t)
				h.breakWrite(1, after)
				if err := c.do(h, j.ID); err == nil {
					t.Fatal("it did not fail")
				}
				if err := c.do(h, j.ID); err != nil && (!after || fault.KindOf(err) != c.again) {
					t.Errorf("again: %v", err)
				}
				h.run()
				h.until(j.ID, c.end)
				var events []audit.Event
				err := h.db.View(ctx, func(tx *store.Tx) (err error) {
					events, err = h.log.List(tx, audit.Filter{Subject: Subject(j.ID), Verb: c.event})
					return err
				})
				if err != nil || len(events) != 1 {
					t.Errorf("%d events (%v)", len(events), err)
				}
			})
		}
	}
}

func TestCancelInEveryState(t *testing.T) {
	h := newHouse(t)
	every := project.EveryJob
	cancel := func(id string) (Job, error) {
		return h.job.Cancel(context.Background(), h.in(rosa), id, "not needed")
	}
	t.Run("queued", func(t *testing.T) {
		j := h.submit(h.task("write", "a.csv"))
		got, err := cancel(j.ID)
		if err != nil || got.State != Cancelled || got.Reason != "Rosa cancelled it: not needed" {
			t.Fatalf("%+v, %v", got, err)
		}
		if h.job.Load().Waiting != 0 {
			t.Error("it still waits")
		}
		if _, err := cancel(j.ID); err != nil {
			t.Errorf("again: %v", err)
		}
	})
	h.run()
	t.Run("running", func(t *testing.T) {
		j := h.submit(h.task("sleep"))
		h.until(j.ID, Running)
		got, err := cancel(j.ID)
		if err != nil || !got.Cancelling {
			t.Fatalf("%+v, %v", got, err)
		}
		got = h.until(j.ID, Cancelled)
		if got.Reason != "Rosa cancelled it: not needed" || got.Tasks[0].State != TaskCancelled || len(got.Outputs) != 0 {
			t.Errorf("%+v", got)
		}
		if want := "submitted approved queued preparing running stopping cancelled"; h.states(j.ID) != want {
			t.Errorf("states %s", h.states(j.ID))
		}
		h.cleaned(j.ID)
	})
	t.Run("running across a restart", func(t *testing.T) {
		j := h.submit(h.task("sleep"))
		h.until(j.ID, Running)
		h.stop()
		if _, err := cancel(j.ID); err != nil {
			t.Fatal(err)
		}
		h.restart()
		h.until(j.ID, Cancelled)
		h.cleaned(j.ID)
	})
	t.Run("held", func(t *testing.T) {
		j := h.submit(h.task("write", "a.csv"))
		h.until(j.ID, Held)
		link := func(request string) {
			if err := h.db.Update(context.Background(), func(tx *store.Tx) error { return h.job.LinkRequest(tx, j.ID, request) }); err != nil {
				t.Fatal(err)
			}
		}
		link("r-1")
		_, err := cancel(j.ID)
		wantFault(t, err, fault.Conflict, "Withdraw that first")
		taken := ""
		refuse := fault.New("test", fault.Conflict, "It is approved.")
		h.job.TakeBack = func(_ *store.Tx, id string, by access.Actor) error {
			if taken = id; by.ID != rosa.ID {
				t.Errorf("taken back by %v", by)
			}
			return refuse
		}
		_, err = cancel(j.ID)
		wantFault(t, err, fault.Conflict, "It is approved.")
		if got := h.get(j.ID); got.State != Held {
			t.Errorf("state %s", got.State)
		}
		h.job.TakeBack = func(*store.Tx, string, access.Actor) error { return nil }
		got, err := cancel(j.ID)
		if err != nil || got.State != Cancelled || taken != "r-1" || got.Reason != "Rosa cancelled it: not needed" || len(got.Outputs) != 1 {
			t.Errorf("%+v, %v", got, err)
		}
		if err := h.db.Update(context.Background(), func(tx *store.Tx) error { return h.job.LinkRequest(tx, j.ID, "r-2") }); fault.KindOf(err) != fault.Conflict {
			t.Errorf("its outputs can be sent to review: %v", err)
		}
	})
	t.Run("failed", func(t *testing.T) {
		j := h.submit(h.task("false"))
		h.until(j.ID, Failed)
		_, err := cancel(j.ID)
		wantFault(t, err, fault.Conflict, "it is failed")
	})
	t.Run("submitted", func(t *testing.T) {
		h.alphaChange(project.Change{Approval: &every, Reason: "test"})
		j := h.submit(h.task("true"))
		if got, err := cancel(j.ID); err != nil || got.State != Cancelled {
			t.Errorf("%+v, %v", got, err)
		}
	})
}

func TestCancelWhileTheEngineHangs(t *testing.T) {
	for _, verb := range []string{"Prepare", "Start", "Collect"} {
		t.Run(verb, func(t *testing.T) {
			h := newHouse(t)
			g := &gate{verb: verb, reached: make(chan struct{})}
			h.wrap = func(r sandbox.Runner) sandbox.Runner { g.Runner = r; return g }
			h.fresh()
			h.run()
			j := h.submit(h.task("write", "a.csv"))
			<-g.reached
			if _, err := h.job.Cancel(context.Background(), h.in(rosa), j.ID, ""); err != nil {
				t.Fatal(err)
			}
			h.wrap = nil
			h.restart()
			h.until(j.ID, Cancelled)
			h.cleaned(j.ID)
		})
	}
}

func TestWhoMayCancel(t *testing.T) {
	h := newHouse(t)
	j := h.submit(h.task("true"))
	_, err := h.job.Cancel(context.Background(), h.in(stefan), j.ID, "")
	wantFault(t, err, fault.Denied, "lead of its project or an operator")
	_, err = h.job.Cancel(context.Background(), h.in(paul), j.ID, "")
	wantFault(t, err, fault.NotFound, "")
	for _, who := range []access.Actor{olga, lena} {
		j := h.submit(h.task("true"))
		if _, err := h.job.Cancel(context.Background(), h.in(who), j.ID, ""); err != nil {
			t.Errorf("%s: %v", who.Handle, err)
		}
	}
}

func TestTheWayOut(t *testing.T) {
	h := newHouse(t)
	h.run()
	do := func(f func(tx *store.Tx) error) error { return h.db.Update(context.Background(), f) }
	one, two := h.submit(h.task("write", "a.csv")), h.submit(h.task("write", "a.csv"))
	h.until(one.ID, Held)
	h.until(two.ID, Held)
	waiting := h.submit(h.task("sleep"))
	if err := do(func(tx *store.Tx) error { return h.job.LinkRequest(tx, one.ID, "r1") }); err != nil {
		t.Fatal(err)
	}
	if got := h.get(one.ID); got.AirlockRequest != "r1" || !strings.Contains(got.Next, "airlock request") {
		t.Errorf("%+v", got)
	}
	if err := do(func(tx *store.Tx) error { return h.job.MarkReleased(tx, one.ID, lena) }); err != nil {
		t.Fatal(err)
	}
	if err := do(func(tx *store.Tx) error { return h.job.MarkRejected(tx, two.ID, lena) }); err != nil {
		t.Fatal(err)
	}
	if a, b := h.get(one.ID), h.get(two.ID); a.State != Released || b.State != Rejected {
		t.Errorf("%s, %s", a.State, b.State)
	}
	for name, f := range map[string]func(tx *store.Tx) error{
		"released twice":    func(tx *store.Tx) error { return h.job.MarkReleased(tx, one.ID, lena) },
		"rejected after":    func(tx *store.Tx) error { return h.job.MarkRejected(tx, one.ID, lena) },
		"linked after":      func(tx *store.Tx) error { return h.job.LinkRequest(tx, one.ID, "r2") },
		"released too soon": func(tx *store.Tx) error { return h.job.MarkReleased(tx, waiting.ID, lena) },
	} {
		if err := do(f); fault.KindOf(err) != fault.Conflict {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestWhatWaitsForWhom(t *testing.T) {
	h, j := waitingHouse(t)
	turns := func(a access.Actor) string {
		var out []string
		err := h.db.View(context.Background(), func(tx *store.Tx) error {
			list, err := h.job.Waiting(tx, h.in(a))
			for _, x := range list {
				out = append(out, x.Action+": "+x.Title+" in "+x.Project+" "+x.Href)
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		return strings.Join(out, "; ")
	}
	want := "Approve or refuse: Test in Project alpha /jobs/" + j.ID
	for _, c := range []struct {
		actor access.Actor
		want  string
	}{{lena, want}, {stefan, want}, {rosa, ""}, {olga, ""}, {paul, ""}} {
		if got := turns(c.actor); got != c.want {
			t.Errorf("%s: %q", c.actor.Handle, got)
		}
	}
	if _, err := h.job.Approve(context.Background(), h.in(lena), j.ID, ""); err != nil {
		t.Fatal(err)
	}
	h.until(j.ID, Held)
	if got := turns(rosa); got != "Send outputs to review: Test in Project alpha /jobs/"+j.ID {
		t.Errorf("rosa: %q", got)
	}
	if got := turns(lena); got != "" {
		t.Errorf("lena: %q", got)
	}
}
