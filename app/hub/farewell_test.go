package hub

import (
	"slices"
	"strings"
	"testing"

	"tresor/app/audit"
	"tresor/app/fault"
	"tresor/app/store"
	"tresor/fed/fedtest"
)

// farewell is what an appliance does when its operator revokes the hub.
func (n *fakeNode) farewell() error {
	n.t.Helper()
	must(n.t, n.Book.Revoke(n.t.Context(), n.Hub, "the agreement has ended"))
	n.Disconnect(n.Hub)
	return <-n.Leave(n.Hub)
}

// TestANodeRevokesTheHub: what it had open ends with the reason, what it has given
// stays, new tasks leave it out, and no other node is touched.
func TestANodeRevokesTheHub(t *testing.T) {
	r := newRig(t)
	north, east := newFakeNode(t, "north"), newFakeNode(t, "east")
	for _, n := range []*fakeNode{north, east} {
		r.enrol(n)
		n.connect(r)
	}
	done := r.create("north")
	north.release("kept")
	r.until(done, "COMPLETE")
	north.do(func() { clear(north.tasks) })
	running := r.create("")
	north.set("RUNNING")
	r.untilPart(running, "north", "runs", func(p Part) bool { return p.State == "RUNNING" })
	north.offline(r)
	unsent := r.create("north")

	must(t, north.farewell())
	v, err := r.s.Node(t.Context(), r.operator, string(north.ID))
	if err != nil || v.State != NodeRevoked || v.RevokedAt == nil || v.Reason != "The node has revoked this hub." || v.Open != 0 {
		t.Errorf("%v %+v", err, v)
	}
	for id, text := range map[string]string{running: "The node has revoked this hub before its task had ended.", unsent: "The node has revoked this hub before the task was sent."} {
		if p := r.part(id, "north"); p.State != "SYSTEM_ERROR" || p.Code != "revoked" || p.Text != text || p.Turn != "" {
			t.Errorf("%+v", p)
		}
	}
	if r.state(done) != "COMPLETE" || r.state(unsent) != "SYSTEM_ERROR" || r.part(done, "north").Result == nil {
		t.Errorf("%s %s %+v", r.state(done), r.state(unsent), r.part(done, "north"))
	}
	if p := r.part(running, "east"); p.State == "SYSTEM_ERROR" || !r.s.online()[string(east.ID)] {
		t.Errorf("the other node: %+v", p)
	}
	if r.noted("node.left") != 1 {
		t.Error("no event of the node's last word")
	}
	east.release("e")
	r.until(running, "SYSTEM_ERROR")

	r.restart()
	p, err := r.s.Project(t.Context(), r.operator, "aurora")
	if err != nil || !slices.ContainsFunc(p.Nodes, func(n ProjectNode) bool { return n.Name == "north" && n.State == NodeRevoked }) {
		t.Errorf("%v %+v", err, p.Nodes)
	}
	if o, err := r.s.Overview(t.Context(), r.operator); err != nil || o.Nodes != 1 {
		t.Errorf("%v %+v", err, o)
	}
	if _, err := r.s.ConfirmNode(t.Context(), r.operator, string(north.ID)); fault.KindOf(err) != fault.Conflict {
		t.Errorf("confirmed: %v", err)
	}
	task := r.task()
	task.Tags = map[string]string{"tres": "north"}
	if _, err := r.client().Create(t.Context(), task); err == nil || !strings.Contains(err.Error(), "The node north has revoked this hub and takes no tasks of it. The project aurora has: east.") {
		t.Errorf("a task for it alone: %v", err)
	}
	if all, err := r.s.Task(t.Context(), r.operator, r.create("")); err != nil || len(all.Parts) != 1 || all.Parts[0].Name != "east" {
		t.Errorf("%v %+v", err, all.Parts)
	}
	must(t, r.s.book.Leave(t.Context(), east.ID))
	if _, err := r.client().Create(t.Context(), r.task()); err == nil || !strings.Contains(err.Error(), "No node of the project aurora takes tasks: east, north revoked this hub.") {
		t.Errorf("a task for nobody: %v", err)
	}
}

// TestALastWordInBetween: the hub dies after it has heard the word, before it has ended
// anything; and a new code takes the node in again.
func TestALastWordInBetween(t *testing.T) {
	r := newRig(t)
	n := newFakeNode(t, "north")
	r.enrol(n)
	id := r.create("")
	must(t, r.s.book.Leave(t.Context(), n.ID))
	r.restart()
	r.until(id, "SYSTEM_ERROR")
	if p := r.part(id, "north"); p.Code != "revoked" || !strings.HasPrefix(p.Text, "The node has revoked this hub") {
		t.Errorf("%+v", p)
	}
	r.enrol(n)
	n.connect(r)
	again := r.create("north")
	n.release("n")
	r.until(again, "COMPLETE")
}

// TestALastWordThatIsNotKept: the database fails within it; nothing of it is believed,
// and the next one counts.
func TestALastWordThatIsNotKept(t *testing.T) {
	r := newRig(t)
	n := newFakeNode(t, "north")
	r.enrol(n)
	id := r.create("")
	fail := func(q string) {
		must(t, r.db.Update(t.Context(), func(tx *store.Tx) error { _, err := tx.Exec(q); return err }))
	}
	fail(`CREATE TRIGGER spoiled BEFORE UPDATE ON hub_part BEGIN SELECT RAISE(ABORT, 'disk full'); END`)
	if n.farewell() == nil || r.state(id) == "SYSTEM_ERROR" || r.noted("node.left") != 0 {
		t.Error("the fault had no effect")
	}
	if v, err := r.s.Node(t.Context(), r.operator, string(n.ID)); err != nil || v.State == NodeRevoked {
		t.Errorf("%+v, %v", v, err)
	}
	fail(`DROP TRIGGER spoiled`)
	must(t, n.farewell())
	r.until(id, "SYSTEM_ERROR")
	fedtest.Until(t, "the node is shown as gone", func() bool {
		v, err := r.s.Node(t.Context(), r.operator, string(n.ID))
		return err == nil && v.State == NodeRevoked && v.Open == 0
	})
}

// noted counts the events of a verb.
func (r *rig) noted(verb string) (count int) {
	r.t.Helper()
	must(r.t, r.db.View(r.t.Context(), func(tx *store.Tx) error {
		list, err := r.log.List(tx, audit.Filter{Verb: verb})
		count = len(list)
		return err
	}))
	return count
}
