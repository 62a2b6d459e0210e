package hub

import (
	"strings"
	"testing"

	"tresor/app/access"
	"tresor/app/fault"
	"tresor/fed/fedtest"
	"tresor/plugins/builtin/tes/model"
)

// TestNobodyWaitsForEver: a node goes away with a task and the researcher no longer waits.
func TestNobodyWaitsForEver(t *testing.T) {
	r := newRig(t)
	north, east := newFakeNode(t, "north"), newFakeNode(t, "east")
	for _, n := range []*fakeNode{north, east} {
		r.enrol(n)
		n.connect(r)
	}
	id := r.create("")
	for _, n := range []*fakeNode{north, east} {
		n.set("RUNNING")
		r.untilPart(id, n.name, "runs", func(p Part) bool { return p.State == "RUNNING" })
	}
	east.offline(r)
	if p := r.part(id, "east"); !strings.HasPrefix(p.Turn, "east has to connect to this hub again. It was last here on 20") || !strings.HasSuffix(p.Turn, "cancel the task; \"Stop waiting\" then ends it without the node.") {
		t.Errorf("whose turn it is: %q", p.Turn)
	}
	for name, c := range map[string]struct {
		actor access.Actor
		id    string
		kind  fault.Kind
	}{
		"not cancelled": {r.rosa, id, fault.Conflict}, "nothing": {r.rosa, "nothing", fault.NotFound},
		"an outsider": {access.Actor{ID: "x", Via: "web"}, id, fault.NotFound},
	} {
		if _, err := r.s.End(t.Context(), c.actor, c.id); fault.KindOf(err) != c.kind {
			t.Errorf("%s: %v", name, err)
		}
	}
	must(t, r.client().Cancel(t.Context(), id))
	r.untilPart(id, "north", "is cancelled", func(p Part) bool { return p.State == "CANCELED" })
	shown, err := r.s.Task(t.Context(), r.rosa, id)
	if err != nil || shown.State != "RUNNING" || !shown.CanEnd {
		t.Fatalf("%v %+v", err, shown)
	}
	over, err := r.s.End(t.Context(), r.rosa, id)
	if err != nil || over.State != "CANCELED" || over.EndedAt == nil || over.CanEnd || !has(r.verbs(id), "task.left") {
		t.Fatalf("%v %+v", err, over)
	}
	if _, err := r.s.End(t.Context(), r.rosa, id); err != nil {
		t.Errorf("twice: %v", err)
	}
	if p := r.part(id, "east"); p.State != "CANCELED" || !strings.HasPrefix(p.Turn, "Nobody waits for east any more") {
		t.Errorf("%+v", p)
	}
	_, _, body := r.get("/ga4gh/tes/v1/tasks/" + id + "?view=FULL")
	if !strings.Contains(string(body), `"state":"CANCELED"`) || !strings.Contains(string(body), "Nobody waits for this node any more") {
		t.Errorf("%s", body)
	}
	r.restart()
	north.Redial(north.Hub)
	east.connect(r)
	fedtest.Until(t, "the node is told all the same", func() bool { return east.says() == "CANCELED" })
	r.untilPart(id, "east", "has ended", func(p Part) bool { return p.Delivery == ended })
	if r.state(id) != "CANCELED" {
		t.Error(r.state(id))
	}
}

// TestALeftNodeChangesNothing: whatever it says when it is back, the task stays cancelled.
func TestALeftNodeChangesNothing(t *testing.T) {
	for name, come := range map[string]func(n *fakeNode){
		"it has released its results": func(n *fakeNode) { n.release("late") },
		"its task failed":             func(n *fakeNode) { n.set("EXECUTOR_ERROR") },
		"it lost the task":            func(n *fakeNode) { n.do(func() { clear(n.tasks) }) },
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t)
			n := newFakeNode(t, "north")
			r.enrol(n)
			n.connect(r)
			id := r.create("")
			n.set("RUNNING")
			r.untilPart(id, "north", "runs", func(p Part) bool { return p.State == "RUNNING" })
			n.offline(r)
			must(t, r.client().Cancel(t.Context(), id))
			if _, err := r.s.End(t.Context(), r.rosa, id); err != nil {
				t.Fatal(err)
			}
			var asked int
			n.do(func() { asked = n.asked })
			come(n)
			n.connect(r)
			fedtest.Until(t, "the node was asked", func() bool { n.mu.Lock(); defer n.mu.Unlock(); return n.asked > asked+3 })
			r.untilPart(id, "north", "has ended", func(p Part) bool { return p.Delivery == ended })
			if p := r.part(id, "north"); r.state(id) != "CANCELED" || p.State != "CANCELED" || p.Result != nil {
				t.Errorf("%s %+v", r.state(id), p)
			}
		})
	}
}

// TestLeavingWhileUnsure: it is not known whether the node has the order; it is brought
// once more, to learn the task's id, and then cancelled.
func TestLeavingWhileUnsure(t *testing.T) {
	r, n, id := unsure(t)
	must(t, r.client().Cancel(t.Context(), id))
	if _, err := r.s.End(t.Context(), r.rosa, id); err != nil {
		t.Fatal(err)
	}
	if r.state(id) != "CANCELED" {
		t.Error(r.state(id))
	}
	n.do(func() { n.broken = nil })
	n.connect(r)
	fedtest.Until(t, "the node's task is cancelled", func() bool { return n.says() == "CANCELED" })
}

// TestTurn says whom a part waits for in every state.
func TestTurn(t *testing.T) {
	for _, c := range []struct {
		p                part
		online, fetching bool
		says             string
	}{
		{part{state: waiting}, false, false, "has to connect to this hub: the task is sent then. It was never here."},
		{part{state: accepted, wanted: true}, false, false, "here. \"Stop waiting\" ends it without the node."},
		{part{state: waiting}, true, false, "This hub sends"},
		{part{state: offered}, true, false, "has to say"},
		{part{state: offered}, false, false, "has to connect to this hub again"},
		{part{state: accepted, tes: model.Queued}, true, false, "has to start it"},
		{part{state: accepted, tes: model.Running}, true, false, "has to end it"},
		{part{state: accepted, tes: model.Running}, false, false, "has to connect"},
		{part{state: accepted, tes: model.Running}, true, true, "This hub fetches"},
		{part{state: accepted, wanted: true}, true, false, "This hub tells"},
		{part{state: accepted, wanted: true, cancelled: true, tes: model.Running}, true, false, "has to end it"},
		{part{state: ended}, true, false, ""}, {part{state: denied}, true, false, ""}, {part{state: cancelled}, true, false, ""},
		{part{state: accepted, left: true}, true, false, "Nobody waits for north any more."},
		{part{state: waiting, trouble: "Busy."}, true, false, "until north takes it"},
	} {
		if got := c.p.turn("north", nil, c.online, c.fetching); (c.says == "") != (got == "") || !strings.Contains(got, c.says) {
			t.Errorf("%+v: %q", c.p, got)
		}
	}
}
