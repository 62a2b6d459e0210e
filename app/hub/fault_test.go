package hub

import (
	"context"
	"errors"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"tresor/app/store"
	"tresor/fed/fedtest"
	"tresor/fed/node"
	"tresor/fed/task"
	"tresor/fed/wire"
)

// TestKillInEveryState ends the hub without a word in every state of a part and
// goes on: the task runs once at the node and its result arrives.
func TestKillInEveryState(t *testing.T) {
	for _, c := range []struct {
		name string
		when func(*rig, *fakeNode, string) // brings the part into the state; the hub dies after it
	}{
		{"waiting, node never seen", func(r *rig, n *fakeNode, id string) {}},
		{"offered, the node has it and its answer is lost", func(r *rig, n *fakeNode, id string) {
			n.do(func() { n.broken = func(node.Order) error { r.relay.Cut(); return nil } })
			n.connect(r)
			fedtest.Until(t, "the node has it", func() bool { return n.count() == 1 })
		}},
		{"accepted", func(r *rig, n *fakeNode, id string) {
			n.connect(r)
			r.untilPart(id, "north", "accepted", func(p Part) bool { return p.Delivery == accepted })
		}},
		{"running", func(r *rig, n *fakeNode, id string) {
			n.connect(r)
			n.set("RUNNING")
			r.until(id, "RUNNING")
		}},
		{"released, result not fetched", func(r *rig, n *fakeNode, id string) {
			n.connect(r)
			n.do(func() {
				n.lie = func(w http.ResponseWriter, q *http.Request) bool {
					if strings.Contains(q.URL.Path, "/releases/") {
						http.Error(w, "later", http.StatusServiceUnavailable)
						return true
					}
					return false
				}
			})
			n.release("1,2,3")
			r.untilPart(id, "north", "wants the result", func(p Part) bool { return p.Result != nil && p.State == "RUNNING" })
		}},
		{"ended", func(r *rig, n *fakeNode, id string) {
			n.connect(r)
			n.release("1,2,3")
			r.until(id, "COMPLETE")
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := newRig(t)
			n := newFakeNode(t, "north")
			r.enrol(n)
			id := r.create("")
			c.when(r, n, id)
			r.restart()
			n.Disconnect(n.Hub)
			n.do(func() { n.broken, n.lie = nil, nil })
			n.connect(r)
			n.only()
			n.release("1,2,3")
			r.until(id, "COMPLETE")
			if n.count() != 1 {
				t.Errorf("the task was made %d times", n.count())
			}
			if _, _, b := r.get("/ga4gh/tes/results/" + id + "/north"); string(b) != "PLAIN rel-north 1,2,3" {
				t.Errorf("result %q", b)
			}
		})
	}
}

// TestSameBytes: an order is sent again as the same bytes, also by another life
// of the hub.
func TestSameBytes(t *testing.T) {
	r := newRig(t)
	n := newFakeNode(t, "north")
	r.enrol(n)
	id := r.create("")
	envelope := func() string {
		text, _, err := r.s.orderOf(t.Context(), part{task: id, node: string(n.ID)})
		if err != nil {
			t.Fatal(err)
		}
		return text
	}
	before := envelope()
	r.restart()
	n.connect(r)
	n.only()
	r.untilPart(id, "north", "accepted", func(p Part) bool { return p.Delivery == accepted })
	if envelope() != before {
		t.Error("the order changed")
	}
	err := r.db.Update(t.Context(), func(tx *store.Tx) error {
		_, err := tx.Exec(`UPDATE hub_part SET envelope = 'x' WHERE task = ?`, id)
		return err
	})
	if err == nil {
		t.Error("the database let an order change")
	}
	e, err := wire.DecodeEnvelope([]byte(before))
	if err != nil {
		t.Fatal(err)
	}
	// A replay of the same bytes gets the same answer and makes nothing new.
	receipt, err := r.s.fed().Send(t.Context(), e)
	if err != nil {
		t.Fatal(err)
	}
	a, err := task.DecodeAnswer(receipt.Result)
	if err != nil || a.Status != 200 || n.count() != 1 {
		t.Errorf("replay: %+v, %v, %d tasks", a, err, n.count())
	}
	e.ID = "other"
	if _, err := r.s.fed().Send(t.Context(), e); err == nil {
		t.Error("a changed order was taken")
	}
}

// TestOfflineAtCreate: the task waits and is sent when the node comes.
func TestOfflineAtCreate(t *testing.T) {
	r := newRig(t)
	north, east := newFakeNode(t, "north"), newFakeNode(t, "east")
	r.enrol(north)
	r.enrol(east)
	north.connect(r)
	id := r.create("")
	north.release("n")
	r.untilPart(id, "north", "is complete", func(p Part) bool { return p.State == "COMPLETE" })
	if got := r.state(id); got != "RUNNING" {
		t.Errorf("with one ended and one waiting: %s", got)
	}
	if p := r.part(id, "east"); p.Delivery != waiting || p.Online {
		t.Errorf("%+v", p)
	}
	east.connect(r)
	east.release("e")
	r.until(id, "COMPLETE")
}

// TestPausedNode: a refusal before the claim leaves the part waiting.
func TestPausedNode(t *testing.T) {
	r := newRig(t)
	n := newFakeNode(t, "north")
	n.closed = wire.Refuse(wire.CodePaused, "the node's operator has not confirmed the words")
	r.enrol(n)
	n.connect(r)
	id := r.create("")
	r.untilPart(id, "north", "says why", func(p Part) bool { return p.Trouble != "" })
	if p := r.part(id, "north"); p.Delivery != waiting {
		t.Errorf("%+v", p)
	}
	fedtest.Until(t, "the page shows it", func() bool {
		v, err := r.s.Node(t.Context(), r.operator, "north")
		return err == nil && v.Paused
	})
	n.do(func() { n.closed = nil })
	n.only()
	r.untilPart(id, "north", "accepted", func(p Part) bool { return p.Delivery == accepted && p.Trouble == "" })
}

// TestStoreFaults: what the database refuses is not believed.
func TestStoreFaults(t *testing.T) {
	r := newRig(t)
	n := newFakeNode(t, "north")
	r.enrol(n)
	boom := errors.New("the disk is full")
	b := bookStore{r.s}
	for _, c := range []struct {
		name string
		do   func(ctx context.Context) error
		back func() bool // nothing changed
	}{
		{"a task fails with its last row", func(ctx context.Context) error {
			return r.db.Update(ctx, func(tx *store.Tx) error {
				if err := r.s.follow(tx, "none"); err == nil {
					t.Error("a task that is not there was moved")
				}
				return boom
			})
		}, func() bool { return true }},
		{"a sequence", func(ctx context.Context) error {
			return r.db.Update(ctx, func(tx *store.Tx) error {
				if _, err := tx.Exec(`UPDATE hub_sequence SET last = 99`); err != nil {
					return err
				}
				return boom
			})
		}, func() bool { seq, err := b.Next(t.Context(), n.ID); return err == nil && seq == 1 }},
	} {
		t.Run(c.name, func(t *testing.T) {
			if err := c.do(t.Context()); !errors.Is(err, boom) {
				t.Errorf("got %v", err)
			}
			if !c.back() {
				t.Error("something changed")
			}
		})
	}
	r.restart()
	if seq, err := (bookStore{r.s}).Next(t.Context(), n.ID); err != nil || seq != 2 {
		t.Errorf("after a restart the sequence is %d, %v", seq, err)
	}
}

// TestExpired: an order that was not taken within its life ends the part.
func TestExpired(t *testing.T) {
	r := newRig(t)
	n := newFakeNode(t, "north")
	r.enrol(n)
	id := r.create("")
	r.clock.Skew(8 * 24 * time.Hour)
	r.s.wake(string(n.ID))
	r.until(id, "SYSTEM_ERROR")
	if p := r.part(id, "north"); p.Code != "expired" || p.Delivery != denied {
		t.Errorf("%+v", p)
	}
	if n.count() != 0 {
		t.Error("it was sent")
	}
}

// TestKeyFile: a damaged or open key stops the start.
func TestKeyFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "hub.key")
	k, err := openKeys(path)
	if err != nil {
		t.Fatal(err)
	}
	again, err := openKeys(path)
	if err != nil || again.get().id() != k.get().id() {
		t.Fatalf("%v", err)
	}
	begun, err := k.get().begun(time.Now().Add(time.Hour))
	if err == nil {
		err = k.put(begun)
	}
	if err != nil {
		t.Fatal(err)
	}
	next := k.get().Succession.New.ID()
	if again, err = openKeys(path); err != nil || again.get().Succession.New.ID() != next {
		t.Fatalf("a rotation did not survive: %v", err)
	}
	if err := again.put(again.get().finished()); err != nil || again.get().id() != next || again.get().Next != nil {
		t.Fatalf("%v", err)
	}
	for name, content := range map[string]string{"empty": "", "no key": `{}`, "short": `{"key":"AAAA"}`, "next alone": `{"key":"` + "AAAA" + `","next":"AAAA"}`} {
		if err := replaceForTest(path, content); err != nil {
			t.Fatal(err)
		}
		if _, err := openKeys(path); err == nil {
			t.Errorf("%s: opened", name)
		}
	}
}

// TestOneStuckOrder: an order that the node cannot end holds up no other.
func TestOneStuckOrder(t *testing.T) {
	r := newRig(t)
	n := newFakeNode(t, "north")
	r.enrol(n)
	stuck := r.create("")
	n.do(func() {
		n.broken = func(o node.Order) error {
			if o.ID == stuck {
				return wire.Refuse(wire.CodeInterrupted, "its end is not known")
			}
			return nil
		}
	})
	n.connect(r)
	r.untilPart(stuck, "north", "is stuck", func(p Part) bool { return p.Trouble != "" })
	id := r.create("")
	r.untilPart(id, "north", "was taken", func(p Part) bool { return p.Delivery == accepted })
	if p := r.part(stuck, "north"); p.Delivery != offered {
		t.Errorf("%+v", p)
	}
}

// TestDiskFaults: this hub's own disk is no fault of a node. The result is fetched
// when there is room again, however long that takes.
func TestDiskFaults(t *testing.T) {
	for _, c := range []struct {
		name         string
		breaks, mend func(*rig)
		says         string
	}{
		{"the folder is gone", func(r *rig) { must(t, os.RemoveAll(r.s.Results)) }, func(r *rig) { must(t, os.MkdirAll(r.s.Results, 0o700)) }, "disk"},
		{"the disk is full", func(r *rig) { r.pace.Reserve = 1 << 62; r.restart() }, func(r *rig) { r.pace.Reserve = 1; r.restart() }, "less than the reserve"},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := newRig(t)
			n := newFakeNode(t, "north")
			r.enrol(n)
			c.breaks(r)
			n.connect(r)
			id := r.create("")
			n.release("a")
			r.untilPart(id, "north", "says so", func(p Part) bool { return strings.Contains(p.Trouble, c.says) })
			time.Sleep(1200 * time.Millisecond) // more tries than a node's faults get
			if got := r.state(id); got != "RUNNING" {
				t.Errorf("a fault of the hub ended the task: %s", got)
			}
			c.mend(r)
			n.Redial(n.Hub)
			r.until(id, "COMPLETE")
		})
	}
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// TestDamagedResult: a zip that changed on the hub's disk is not given out.
func TestDamagedResult(t *testing.T) {
	r := newRig(t)
	n := newFakeNode(t, "north")
	r.enrol(n)
	n.connect(r)
	id := r.create("")
	n.release("a")
	r.until(id, "COMPLETE")
	file := r.s.resultFile(id, string(n.ID))
	must(t, os.WriteFile(file, []byte("PLAIN rel-north b"), 0o600))
	if status, _, body := r.get("/ga4gh/tes/results/" + id + "/north"); status != 500 || strings.Contains(string(body), "PLAIN") {
		t.Errorf("%d %s", status, body)
	}
	must(t, os.Remove(file))
	if status, _, _ := r.get("/ga4gh/tes/results/" + id + "/north"); status != 500 {
		t.Errorf("a missing file: %d", status)
	}
}

// TestLater: an answer that says "later" does not end a part; when it is better the
// task is made once.
func TestLater(t *testing.T) {
	for _, status := range []int{429, 502, 503} {
		r := newRig(t)
		n := newFakeNode(t, "north")
		r.enrol(n)
		n.refuse = &task.Answer{Status: status, Header: map[string][]string{"Content-Type": {"text/plain"}}, Body: []byte("The plugin is coming up.")}
		n.connect(r)
		id := r.create("")
		r.untilPart(id, "north", "says why", func(p Part) bool { return strings.Contains(p.Trouble, "coming up") && p.Delivery == waiting })
		r.restart()
		n.Redial(n.Hub)
		n.do(func() { n.refuse = nil })
		n.only()
		r.untilPart(id, "north", "was taken", func(p Part) bool { return p.Delivery == accepted && p.Trouble == "" })
		if n.count() != 1 {
			t.Errorf("%d: made %d times", status, n.count())
		}
		stopped := r.create("")
		n.do(func() { n.refuse = &task.Answer{Status: status} })
		_, err := r.s.Cancel(t.Context(), r.operator, stopped)
		must(t, err)
		r.until(stopped, "CANCELED")
	}
}
