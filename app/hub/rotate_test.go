package hub

import (
	"context"
	"os"
	"testing"
	"time"

	"tresor/app/store"
	"tresor/fed/fedtest"
)

// keyEvents are the verbs of the hub's own events about a key, in order.
func keyEvents(r *rig) (verbs []string) {
	r.t.Helper()
	err := r.s.DB.View(r.t.Context(), func(tx *store.Tx) error {
		list, err := r.s.Log.Timeline(tx, "hub")
		for _, e := range list {
			if e.Detail["key"] != "" {
				verbs = append(verbs, e.Verb)
			}
		}
		return err
	})
	if err != nil {
		r.t.Fatal(err)
	}
	return verbs
}

// TestRotateFaults: the key file and the event of a change are kept together or not at all.
func TestRotateFaults(t *testing.T) {
	t.Run("the event fails", func(t *testing.T) {
		r := newRig(t)
		ended, cancel := context.WithCancel(t.Context())
		cancel()
		if _, err := r.s.Rotate(ended, r.operator); err == nil {
			t.Error("it rotated")
		}
		if r.s.keys.get().Next != nil || len(keyEvents(r)) != 0 {
			t.Error("something changed")
		}
	})
	t.Run("the file fails", func(t *testing.T) {
		r := newRig(t)
		path := r.s.keys.path
		r.s.keys.path += "/absent"
		if _, err := r.s.Rotate(t.Context(), r.operator); err == nil {
			t.Error("it rotated")
		}
		r.s.keys.path = path
		if r.s.keys.get().Next != nil || len(keyEvents(r)) != 0 {
			t.Error("something changed")
		}
	})
	t.Run("the event is not kept, and the file was written", func(t *testing.T) {
		r := newRig(t, func(r *rig) { r.pace.Tick = time.Hour }) // the hub itself would finish the rotation
		before, err := os.ReadFile(r.s.keys.path)
		if err != nil {
			t.Fatal(err)
		}
		old := r.s.keys.get()
		next, err := old.begun(r.s.Now().Add(overlap))
		if err == nil {
			err = r.s.keys.put(next)
		}
		if err != nil {
			t.Fatal(err)
		}
		ended, cancel := context.WithCancel(t.Context())
		cancel()
		if err := r.s.rekey(ended, r.operator, old, next); err == nil {
			t.Fatal("it rotated")
		}
		if after, err := os.ReadFile(r.s.keys.path); err != nil || string(after) != string(before) {
			t.Errorf("the key file was not put back: %v", err)
		}
	})
}

// TestRotateAfterCrash: the event that a crash cut off is made good at the next start, once.
func TestRotateAfterCrash(t *testing.T) {
	r := newRig(t)
	next, err := r.s.keys.get().begun(time.Now().Add(overlap))
	if err == nil {
		err = r.s.keys.put(next)
	}
	if err != nil {
		t.Fatal(err)
	}
	r.restart()
	fedtest.Until(t, "the events are whole", func() bool {
		v := keyEvents(r)
		return len(v) >= 2 && v[0] == "hub.rotating" && v[1] == "hub.rotated" // no node has to learn it
	})
	r.restart()
	if v := keyEvents(r); len(v) != 2 {
		t.Errorf("events %v", v)
	}
}
