package link

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"tresor/app/fault"
	"tresor/app/store"
	"tresor/fed/fedtest"
	"tresor/fed/trust"
	"tresor/fed/wire"
)

func TestRotationOverTheLink(t *testing.T) {
	r := newRig(t)
	h, id := r.online()
	old, words := r.keys.public().ID(), r.state(id).Words
	n, err := r.Rotate(t.Context(), operator)
	if err != nil || n.Rotation == nil || n.Key != string(old) {
		t.Fatalf("%+v %v", n, err)
	}
	until(t, "the next key is the key", func() bool { return r.keys.public().ID() != old })
	h.Online(t, r.id())
	if r.id() != old {
		t.Errorf("the hub knows this appliance as %s, want %s for good", r.id(), old)
	}
	if n, _ = r.Node(t.Context(), operator); n.Rotation != nil || n.Key == string(old) {
		t.Errorf("%+v", n)
	}
	until(t, "the words follow", func() bool {
		w := r.state(id).Words
		return w != words && w == trust.PairWords(wire.KeyOf(h.Key), r.keys.public()) && r.principals1(id) == w
	})
	if a, err := r.order(h, "after", create("{}")); err != nil || a.Status != 200 {
		t.Errorf("%+v %v", a, err)
	}
	r.restart()
	h.Online(t, r.id())
	if a, err := r.order(h, "after-restart", create("{}")); err != nil || a.Status != 200 {
		t.Errorf("%+v %v", a, err)
	}
	if !r.state(id).Confirmed {
		t.Error("a hub has to be confirmed again after a rotation that both sides took")
	}
	if got := r.events(); !strings.Contains(got, "node.rotation-begun node.rekeyed") {
		t.Errorf("events %q", got)
	}
}

func (r *rig) principals1(id string) string {
	r.desk.mu.Lock()
	defer r.desk.mu.Unlock()
	return r.desk.principals[id].Words
}

// TestRotationWaitsForEveryHubOverRestarts: a hub that is offline does not lose its node.
func TestRotationWaitsForEveryHubOverRestarts(t *testing.T) {
	r := newRig(t)
	a, idA := r.online()
	b, idB := r.online()
	old := r.keys.public().ID()
	b.Relay.Target("ws://127.0.0.1:1")
	b.Relay.Cut()
	if _, err := r.Rotate(t.Context(), operator); err != nil {
		t.Fatal(err)
	}
	_, err := r.Rotate(t.Context(), operator)
	want(t, "a second rotation", err, fault.Conflict, "under way")
	waits := func() bool {
		n, err := r.Node(t.Context(), operator)
		return err == nil && n.Rotation != nil && strings.Join(n.Rotation.Known, " ") == idA && strings.Join(n.Rotation.Waiting, " ") == idB
	}
	until(t, "one hub has it and the other has not", waits)
	r.restart()
	until(t, "the same after a restart", waits)
	if r.keys.public().ID() != old {
		t.Fatal("the key was replaced before every hub had the next one")
	}
	b.Relay.Target("ws://" + b.Server.Listener.Addr().String())
	until(t, "the key is replaced", func() bool { return r.keys.public().ID() != old })
	a.Online(t, r.id())
	b.Online(t, r.id())
}

func TestRotationEndsWithItsOverlap(t *testing.T) {
	r := newRig(t)
	r.overlap = time.Hour
	r.restart()
	h, _ := r.online()
	old := r.keys.public().ID()
	h.Relay.Target("ws://127.0.0.1:1")
	h.Relay.Cut()
	if _, err := r.Rotate(t.Context(), operator); err != nil {
		t.Fatal(err)
	}
	time.Sleep(100 * time.Millisecond)
	if r.keys.public().ID() != old {
		t.Fatal("replaced too early")
	}
	r.clock.Skew(time.Hour)
	until(t, "the overlap is over", func() bool { return r.keys.public().ID() != old })
	r.clock.Skew(0)
	h.Relay.Target("ws://" + h.Server.Listener.Addr().String())
	// The hub never heard of the new key: the page says what to do.
	until(t, "the page says it", func() bool {
		for _, l := range r.linksOf() {
			return l.State == "offline" && strings.Contains(l.Next, "Enrol again")
		}
		return false
	})
}

func (r *rig) linksOf() map[string]Link {
	all, err := r.Links(r.t.Context(), operator)
	if err != nil {
		r.t.Fatal(err)
	}
	return all
}

func TestAHubThatChangesItsKeyStaysTheSame(t *testing.T) {
	r := newRig(t)
	h, id := r.online()
	next := fedtest.NewKey(t)
	h.Next.Store(wire.NewSuccession(h.Key, next, time.Now().Add(time.Hour)))
	h.Relay.Cut()
	until(t, "the next key is pinned here", func() bool {
		p, _ := r.book.Peer(wire.KeyOf(h.Key).ID())
		return p.Current() == wire.KeyOf(next)
	})
	h.SetKey(next)
	h.Next.Store(nil)
	h.Relay.Cut()
	h.Online(t, r.id())
	until(t, "the principal has the new key", func() bool {
		r.desk.mu.Lock()
		defer r.desk.mu.Unlock()
		return r.desk.principals[id].HubKey == string(wire.KeyOf(next).ID())
	})
	if a, err := r.order(h, "after", create("{}")); err != nil || a.Status != 200 {
		t.Errorf("%+v %v", a, err)
	}
	if got := r.events(); !strings.HasSuffix(got, "hub.rekeyed") {
		t.Errorf("events %q", got)
	}
}

// TestACrashBetweenAKeyAndItsEvent: the file is there and its event is not, as after
// a power cut between the two; the next start writes the event.
func TestACrashBetweenAKeyAndItsEvent(t *testing.T) {
	r := newRig(t)
	r.hub()
	for _, want := range []string{"node.rotation-begun", "node.rekeyed"} {
		r.end()
		old := r.keys.now()
		next := old
		if want == "node.rekeyed" {
			next = old.completed()
		} else {
			next, _ = old.begun(time.Now().Add(30 * 24 * time.Hour))
		}
		if err := r.keys.put(next); err != nil {
			t.Fatal(err)
		}
		if strings.Contains(r.events(), want) {
			t.Fatalf("%s is there already", want)
		}
		s, err := Open(t.Context(), r.deps()) // and nothing runs
		if err != nil {
			t.Fatal(err)
		}
		r.Service = s
		for range 2 { // a second start adds nothing
			s.Close()
			if s, err = Open(t.Context(), r.deps()); err != nil {
				t.Fatal(err)
			}
			r.Service = s
		}
		r.end = s.Close
		if got := r.events(); strings.Count(got, want) != 1 {
			t.Errorf("events %q, want one %s", got, want)
		}
	}
}

func TestARotationThatCannotBeKeptIsNotBegun(t *testing.T) {
	r := newRig(t)
	path := filepath.Join(r.dir, "node.key")
	r.keys.path = filepath.Join(r.dir, "gone", "node.key")
	if _, err := r.Rotate(t.Context(), operator); fault.KindOf(err) != fault.Unavailable {
		t.Errorf("the file cannot be written: %v", err)
	}
	if got := r.events(); strings.Contains(got, "rotation") {
		t.Errorf("an event of a rotation that was not begun: %q", got)
	}
	r.keys.path = path
	mend := r.spoil("audit_leaf", "INSERT")
	before, _ := os.ReadFile(path)
	if _, err := r.Rotate(t.Context(), operator); err == nil {
		t.Error("begun without its event")
	}
	if after, _ := os.ReadFile(path); string(after) != string(before) {
		t.Error("the file was changed without its event")
	}
	mend()
	// The file is written and then the commit fails: the file is put back.
	run := func(q string) { // again, when it shared a commit with a write that the trigger spoils
		until(t, q, func() bool {
			return r.db.Update(t.Context(), func(tx *store.Tx) error { _, err := tx.Exec(q); return err }) == nil
		})
	}
	run(`CREATE TABLE late (peer TEXT REFERENCES link_peer (id) DEFERRABLE INITIALLY DEFERRED)`)
	run(`CREATE TRIGGER late_insert AFTER INSERT ON audit_leaf BEGIN INSERT INTO late VALUES ('nobody'); END`)
	if _, err := r.Rotate(t.Context(), operator); err == nil {
		t.Error("begun although the commit failed")
	}
	if after, _ := os.ReadFile(path); string(after) != string(before) {
		t.Error("the file was left changed by a commit that failed")
	}
	run(`DROP TRIGGER late_insert`)
	if _, err := r.Rotate(t.Context(), operator); err != nil {
		t.Error(err)
	}
	until(t, "without hubs it is over at once", func() bool { _, _, ok := r.keys.pending(); return !ok })
}
