package airlock_test

import (
	"testing"

	"tresor/app/airlock"
	"tresor/app/airlock/airlocktest"
	"tresor/app/fault"
	"tresor/app/output"
	"tresor/app/store"
)

// TestTakeBack: a request ends with its job in every state before it is approved, and
// gives its files back.
func TestTakeBack(t *testing.T) {
	h := airlocktest.New(t)
	take := func(id string) error {
		return h.DB.Update(ctx, func(tx *store.Tx) error { return h.Airlock.TakeBack(tx, id, h.People["rosa"]) })
	}
	for _, c := range []struct {
		name  string
		make  func() airlock.Request
		kind  fault.Kind
		state airlock.State
	}{
		{"draft", func() airlock.Request { return h.Draft("visits.csv", airlocktest.Safe) }, 0, airlock.Withdrawn},
		{"submitted", func() airlock.Request { return h.Submitted("visits.csv", airlocktest.Safe) }, 0, airlock.Withdrawn},
		{"in review", func() airlock.Request {
			r := h.Submitted("visits.csv", airlocktest.Safe)
			return h.Vote("carl", r.ID, airlock.Approve)
		}, 0, airlock.Withdrawn},
		{"approved", func() airlock.Request { return h.Approved("visits.csv", airlocktest.Safe) }, fault.Conflict, airlock.Approved},
	} {
		r := c.make()
		err := take(r.ID)
		if c.kind == 0 && err != nil || c.kind != 0 && fault.KindOf(err) != c.kind {
			t.Errorf("%s: %v", c.name, err)
		}
		got, err := h.Airlock.Get(ctx, h.People["rosa"], r.ID)
		if err != nil || got.State != c.state {
			t.Errorf("%s: %s, %v", c.name, got.State, err)
		}
		for _, it := range r.Items {
			if c.kind == 0 && h.Text(`SELECT state FROM output WHERE id = ?`, it.Output) != string(output.Held) {
				t.Errorf("%s: the file was not given back", c.name)
			}
		}
		if c.kind == 0 && fault.KindOf(take(r.ID)) != fault.Conflict {
			t.Errorf("%s: taken back twice", c.name)
		}
	}
	if fault.KindOf(take("nope")) != fault.NotFound {
		t.Error("a request that is not there was taken back")
	}
}
