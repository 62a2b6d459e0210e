package hub

import (
	"context"
	"fmt"
	"testing"
	"time"

	"tresor/fed/fedtest"
	"tresor/fed/node"
	"tresor/fed/task"
	"tresor/plugins/builtin/tes/model"
)

// TestCancel ends a task everywhere: at nodes that run it, at one that is away
// and at one that never had it.
func TestCancel(t *testing.T) {
	r := newRig(t)
	north, east, south := newFakeNode(t, "north"), newFakeNode(t, "east"), newFakeNode(t, "south")
	for _, n := range []*fakeNode{north, east, south} {
		r.enrol(n)
	}
	north.connect(r)
	east.connect(r)
	id := r.create("")
	for _, n := range []*fakeNode{north, east} {
		n.set("RUNNING")
		r.untilPart(id, n.name, "runs", func(p Part) bool { return p.State == "RUNNING" })
	}
	east.offline(r)
	if err := r.client().Cancel(t.Context(), id); err != nil {
		t.Fatal(err)
	}
	r.untilPart(id, "north", "is cancelled", func(p Part) bool { return p.State == "CANCELED" })
	if p := r.part(id, "south"); p.State != "CANCELED" || p.Delivery != cancelled {
		t.Errorf("the part that was never sent: %+v", p)
	}
	if r.state(id) != "RUNNING" {
		t.Errorf("one node does not know yet: %s", r.state(id))
	}
	r.restart() // the wish to cancel survives
	east.Redial(east.Hub)
	north.Redial(north.Hub)
	east.connect(r)
	south.connect(r)
	r.until(id, "CANCELED")
	time.Sleep(50 * time.Millisecond)
	if south.count() != 0 {
		t.Error("a cancelled part was started")
	}
	if err := r.client().Cancel(t.Context(), id); err != nil {
		t.Errorf("cancelling twice: %v", err)
	}
	if err := r.client().Cancel(t.Context(), "nothing"); err == nil {
		t.Error("a task that does not exist was cancelled")
	}
}

// unsure is a hub whose one node took a task, cut the link before it answered, and is away.
func unsure(t *testing.T) (*rig, *fakeNode, string) {
	t.Helper()
	r := newRig(t)
	n := newFakeNode(t, "north")
	r.enrol(n)
	id := r.create("")
	n.do(func() { n.broken = func(node.Order) error { r.relay.Cut(); return nil } })
	n.connect(r)
	fedtest.Until(t, "the node has it", func() bool { return n.count() == 1 })
	n.Disconnect(n.Hub)
	return r, n, id
}

// TestCancelWhileUnsure: the node may have the order, so it is brought again and
// then cancelled; nothing keeps running.
func TestCancelWhileUnsure(t *testing.T) {
	r, n, id := unsure(t)
	r.untilPart(id, "north", "is unsure", func(p Part) bool { return p.Delivery == offered || p.Delivery == accepted })
	if err := r.client().Cancel(t.Context(), id); err != nil {
		t.Fatal(err)
	}
	n.do(func() { n.broken = nil })
	n.connect(r)
	r.until(id, "CANCELED")
	if x := n.only(); x.state != "CANCELED" || n.count() != 1 {
		t.Errorf("%+v, %d tasks", x, n.count())
	}
}

// TestCancelRefused: a node that does not cancel is asked again, and its own end counts.
func TestCancelRefused(t *testing.T) {
	r := newRig(t)
	n := newFakeNode(t, "north")
	r.enrol(n)
	n.connect(r)
	id := r.create("")
	x := n.only()
	n.do(func() { delete(n.tasks, x.id); n.tasks["other"] = x }) // a cancel finds nothing: 404
	if _, err := r.s.Cancel(context.Background(), r.operator, id); err != nil {
		t.Fatal(err)
	}
	r.untilPart(id, "north", "says that it was not cancelled", func(p Part) bool { return p.Trouble != "" })
	n.do(func() { delete(n.tasks, "other"); n.tasks[x.id] = x })
	r.until(id, "CANCELED")
}

func TestTogether(t *testing.T) {
	const q, i, run, ok, ee, se, c = model.Queued, model.Initializing, model.Running, model.Complete, model.ExecutorError, model.SystemError, model.Canceled
	for _, x := range []struct {
		name   string
		states []model.State
		stop   bool
		want   model.State
	}{
		{"nothing", nil, false, q},
		{"all wait", []model.State{q, q, q}, false, q},
		{"one is prepared", []model.State{q, i, q}, false, i},
		{"one runs", []model.State{q, run, q}, false, run},
		{"one ended, others wait", []model.State{q, ok, q}, false, run},
		{"one failed, others wait", []model.State{q, se, i}, false, run},
		{"all complete", []model.State{ok, ok}, false, ok},
		{"all failed", []model.State{ee, ee}, false, ee},
		{"all broke", []model.State{se, se}, false, se},
		{"failed and broke", []model.State{ee, se}, false, se},
		{"complete and failed", []model.State{ok, ee}, false, se},
		{"complete and broke", []model.State{ok, se}, false, se},
		{"all cancelled", []model.State{c, c}, true, c},
		{"cancelled here, complete there", []model.State{c, ok}, true, c},
		{"cancelled and broke", []model.State{c, se}, true, c},
		{"a node cancelled by itself", []model.State{c, ok}, false, se},
		{"a node cancelled, another failed", []model.State{c, ee}, false, ee},
		{"complete although cancelled", []model.State{ok, ok}, true, ok},
		{"one", []model.State{run}, false, run},
	} {
		t.Run(x.name, func(t *testing.T) {
			n := map[model.State]int{}
			for _, s := range x.states {
				n[s]++
			}
			if got := together(n, x.stop); got != x.want {
				t.Errorf("got %s, want %s", got, x.want)
			}
		})
	}
}

// TestANodeThatDoesNotCancel: when it says so for good it is not asked again, and its task
// goes on to its own end; otherwise it is asked until it does.
func TestANodeThatDoesNotCancel(t *testing.T) {
	for _, c := range []struct {
		status int
		final  bool
	}{{409, true}, {410, true}, {404, false}, {500, false}, {403, false}} {
		t.Run(fmt.Sprint(c.status), func(t *testing.T) {
			r := newRig(t)
			n := newFakeNode(t, "north")
			r.enrol(n)
			n.connect(r)
			id := r.create("")
			n.set("RUNNING")
			r.untilPart(id, "north", "runs", func(p Part) bool { return p.State == "RUNNING" })
			n.do(func() {
				n.keeps = &task.Answer{Status: c.status, Header: map[string][]string{"Content-Type": {"application/json"}}, Body: []byte(`{"detail":"The outputs are approved."}`)}
			})
			must(t, r.client().Cancel(t.Context(), id))
			asked := func() (k int) { n.do(func() { k = n.stops }); return k }
			if !c.final {
				fedtest.Until(t, "it is asked again", func() bool { return asked() > 2 })
				n.do(func() { n.keeps = nil })
				r.until(id, "CANCELED")
				return
			}
			r.untilPart(id, "north", "has said it", func(p Part) bool { return p.Text == "Not cancelled: The outputs are approved." })
			if p := r.part(id, "north"); p.State != "RUNNING" || p.Turn == "" {
				t.Errorf("%+v", p)
			}
			n.release("all the same")
			r.until(id, "COMPLETE")
			if asked() != 1 || !has(r.verbs(id), "part.not-cancelled") {
				t.Errorf("asked %d times", asked())
			}
		})
	}
}
