package hub

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"tresor/app/apptest/tesclient"
	"tresor/app/store"
	"tresor/fed/fedtest"
	"tresor/fed/node"
	"tresor/fed/wire"
)

// bodies counts the large bodies that the hub keeps.
func (r *rig) bodies() (n int) {
	r.t.Helper()
	err := r.db.View(context.Background(), func(tx *store.Tx) error {
		return tx.QueryRow(`SELECT count(*) FROM hub_body`).Scan(&n)
	})
	if err != nil {
		r.t.Fatal(err)
	}
	return n
}

// createLarge sends a task whose inputs have size bytes.
func (r *rig) createLarge(size int) string {
	r.t.Helper()
	t := r.task()
	t.Inputs = inputs(size)
	id, err := r.client().Create(context.Background(), t)
	if err != nil {
		r.t.Fatal(err)
	}
	return id
}

// TestALargeTaskReachesEveryNode: its bytes arrive, also at a node that comes later and
// after a crash of the hub, and the hub keeps them no longer than it has to send them.
func TestALargeTaskReachesEveryNode(t *testing.T) {
	r := newRig(t)
	north, east := newFakeNode(t, "north"), newFakeNode(t, "east")
	r.enrol(north)
	r.enrol(east)
	north.connect(r)
	const size = 900 << 10
	id := r.createLarge(size)
	arrived := func(n *fakeNode) {
		t.Helper()
		x := n.only()
		in, _ := x.body["inputs"].([]any)
		got := 0
		for _, one := range in {
			got += len(one.(map[string]any)["content"].(string))
		}
		if got != size {
			t.Errorf("%s got %d bytes of inputs, %d were sent", n.name, got, size)
		}
		r.untilPart(id, n.name, "has it", func(p Part) bool { return p.Delivery == accepted })
	}
	arrived(north)
	if n := r.bodies(); n != 1 {
		t.Errorf("%d bodies wait for one node", n)
	}
	r.restart()
	north.Redial(north.Hub)
	east.connect(r)
	arrived(east)
	fedtest.Until(t, "the bodies are gone", func() bool { return r.bodies() == 0 })
	if north.count() != 1 || east.count() != 1 {
		t.Errorf("made %d and %d times", north.count(), east.count())
	}
}

// TestNodesThatGetTheSameShareTheBytes: two nodes whose projects have one name get one body.
func TestNodesThatGetTheSameShareTheBytes(t *testing.T) {
	r := newRig(t)
	for _, name := range []string{"north", "east"} {
		r.enrol(newFakeNode(t, name))
		if _, err := r.s.SetNode(t.Context(), r.operator, "aurora", name, "the-same"); err != nil {
			t.Fatal(err)
		}
	}
	id := r.createLarge(300 << 10)
	if n := r.bodies(); n != 1 {
		t.Errorf("%d bodies of two parts that are the same", n)
	}
	if _, err := r.s.RevokeNode(t.Context(), r.operator, "north", "left"); err != nil {
		t.Fatal(err)
	}
	if n := r.bodies(); n != 1 {
		t.Errorf("%d bodies while one part waits", n)
	}
	if err := r.client().Cancel(t.Context(), id); err != nil {
		t.Fatal(err)
	}
	if n := r.bodies(); n != 0 {
		t.Errorf("%d bodies of a task that has ended", n)
	}
}

func TestLargeTasksThatCannotBeSent(t *testing.T) {
	t.Run("the node is too old", func(t *testing.T) {
		r := newRig(t)
		n := newFakeNode(t, "north")
		r.enrol(n)
		r.relay.Change(func(m fedtest.Message) [][]byte {
			if c, err := wire.DecodeChallenge(m.Data); err == nil && !m.ToHub && m.N == 0 {
				c.Versions = []int{wire.Oldest}
				return [][]byte{c.Encode()}
			}
			return [][]byte{m.Data}
		})
		n.connect(r)
		id := r.createLarge(300 << 10)
		r.until(id, "SYSTEM_ERROR")
		if p := r.part(id, "north"); p.Code != string(wire.CodeVersion) || !strings.Contains(p.Text, "update it") || n.count() != 0 {
			t.Errorf("%+v", p)
		}
		if n := r.bodies(); n != 0 {
			t.Errorf("%d bodies", n)
		}
	})
	t.Run("the bytes are damaged here", func(t *testing.T) {
		r := newRig(t)
		n := newFakeNode(t, "north")
		r.enrol(n)
		id := r.createLarge(300 << 10)
		err := r.db.Update(t.Context(), func(tx *store.Tx) error {
			_, err := tx.Exec(`UPDATE hub_body SET body = x'00'`)
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		n.connect(r)
		r.until(id, "SYSTEM_ERROR")
		if p := r.part(id, "north"); !strings.Contains(p.Text, "damaged") || n.count() != 0 {
			t.Errorf("%+v", p)
		}
	})
	t.Run("the node says later", func(t *testing.T) {
		r := newRig(t)
		n := newFakeNode(t, "north")
		r.enrol(n)
		n.do(func() { n.broken = func(node.Order) error { return node.ErrLater } })
		n.connect(r)
		id := r.createLarge(300 << 10)
		r.untilPart(id, "north", "was asked", func(p Part) bool { return p.Trouble != "" })
		n.do(func() { n.broken = nil })
		n.only()
		r.untilPart(id, "north", "has it", func(p Part) bool { return p.Delivery == accepted })
	})
}

func TestTheRoomForLargeBodiesIsBounded(t *testing.T) {
	r := newRig(t, func(r *rig) { r.pace.MaxBodies = 900 << 10 })
	r.enrol(newFakeNode(t, "north"))
	r.createLarge(500 << 10)
	large := r.task()
	large.Inputs = inputs(500 << 10)
	if _, err := r.client().Create(t.Context(), large); err == nil || !strings.Contains(err.Error(), "429") {
		t.Errorf("%v", err)
	}
	r.create("") // a small one has its place all the same
}

// inputs have size bytes together: one may have 256 KiB.
func inputs(size int) (all []tesclient.Input) {
	for ; size > 0; size -= 250 << 10 {
		all = append(all, tesclient.Input{Path: fmt.Sprint("/work/in", size), Content: strings.Repeat("x", min(size, 250<<10))})
	}
	return all
}
