package airlock_test

import (
	"errors"
	"sync"
	"testing"

	"tresor/app/access"
	"tresor/app/airlock"
	"tresor/app/airlock/airlocktest"
	"tresor/app/fault"
	"tresor/app/job"
	"tresor/app/output"
	"tresor/app/store"
)

// broken makes one neighbour fail, before or after it has done its part.
type broken struct {
	airlock.Jobs
	airlock.Outputs
	link, reject, mark error
	after              bool
}

func (b *broken) Lookup(tx *store.Tx, id string) (job.Job, error) { return b.Jobs.Lookup(tx, id) }

func (b *broken) LinkRequest(tx *store.Tx, j, r string) error {
	return b.step(b.link, func() error { return b.Jobs.LinkRequest(tx, j, r) })
}

func (b *broken) MarkRejected(tx *store.Tx, j string, a access.Actor) error {
	return b.step(b.reject, func() error { return b.Jobs.MarkRejected(tx, j, a) })
}

func (b *broken) MarkState(tx *store.Tx, st output.State, ids ...string) error {
	return b.step(b.mark, func() error { return b.Outputs.MarkState(tx, st, ids...) })
}

func (b *broken) step(fail error, do func() error) error {
	if fail != nil && !b.after {
		return fail
	}
	if err := do(); err != nil {
		return err
	}
	return fail
}

// TestFaults: whichever neighbour fails, before or after it persisted, nothing
// of the step remains, and the same step works when the fault is gone.
func TestFaults(t *testing.T) {
	boom := errors.New("boom")
	for _, c := range []struct {
		name  string
		fault func(*broken)
		ready func(*airlocktest.House) string // makes what the step needs, returns an id
		step  func(*airlock.Service, *airlocktest.House, string) error
	}{
		{"draft: linking the job", func(b *broken) { b.link = boom },
			func(h *airlocktest.House) string { return h.Job("a.csv", airlocktest.Safe) },
			func(s *airlock.Service, h *airlocktest.House, id string) error {
				_, err := s.Draft(ctx, h.People["rosa"], id, airlocktest.Words())
				return err
			}},
		{"submit: marking the outputs", func(b *broken) { b.mark = boom },
			func(h *airlocktest.House) string { return h.Draft("a.csv", airlocktest.Safe).ID },
			func(s *airlock.Service, h *airlocktest.House, id string) error {
				_, err := s.Submit(ctx, h.People["rosa"], id)
				return err
			}},
		{"vote: ending the job", func(b *broken) { b.reject = boom },
			func(h *airlocktest.House) string {
				r := h.Submitted("a.csv", airlocktest.Safe)
				h.Vote("carl", r.ID, airlock.Reject)
				return r.ID
			},
			func(s *airlock.Service, h *airlocktest.House, id string) error {
				_, err := s.Vote(ctx, h.People["cemile"], id, airlock.Reject, "No.")
				return err
			}},
		{"withdraw: freeing the job", func(b *broken) { b.link = boom },
			func(h *airlocktest.House) string { return h.Submitted("a.csv", airlocktest.Safe).ID },
			func(s *airlock.Service, h *airlocktest.House, id string) error {
				_, err := s.Withdraw(ctx, h.People["rosa"], id)
				return err
			}},
	} {
		for _, after := range []bool{false, true} {
			name := c.name + " fails"
			if after {
				name += " after it persisted"
			}
			t.Run(name, func(t *testing.T) {
				h := airlocktest.New(t)
				id := c.ready(h)
				b := &broken{Jobs: h.Jobs, Outputs: h.Outputs, after: after}
				c.fault(b)
				d := h.Airlock.Deps
				d.Jobs, d.Outputs = b, b
				before := snapshot(h)
				if err := c.step(airlock.New(d), h, id); !errors.Is(err, boom) {
					t.Fatalf("got %v", err)
				}
				if now := snapshot(h); now != before {
					t.Errorf("something stayed: %s, was %s", now, before)
				}
				if err := c.step(h.Airlock, h, id); err != nil {
					t.Errorf("cannot be done afterwards: %v", err)
				}
			})
		}
	}
}

func snapshot(h *airlocktest.House) string {
	return h.Text(`SELECT coalesce((SELECT group_concat(id || state || round || edits) FROM airlock_request), '') || '/' || (SELECT count(*) FROM airlock_review) || '/' || (SELECT count(*) FROM airlock_round)
 || '/' || (SELECT count(*) FROM airlock_pin) || '/' || (SELECT group_concat(state || request) FROM job) || '/' || (SELECT group_concat(state) FROM output)`)
}

// TestRacingVotes: many checkers at once; exactly as many votes as needed count.
func TestRacingVotes(t *testing.T) {
	h := airlocktest.New(t)
	for range 10 {
		r := h.Submitted("a.csv", airlocktest.Safe)
		var wg sync.WaitGroup
		errs := make([]error, 6)
		for i := range errs {
			who := []string{"carl", "cemile", "cyril"}[i%3]
			h.Look(who, r.ID)
			wg.Go(func() { _, errs[i] = h.Airlock.Vote(ctx, h.People[who], r.ID, airlock.Approve, "") })
		}
		wg.Wait()
		won := 0
		for _, err := range errs {
			if err == nil {
				won++
			} else if fault.KindOf(err) != fault.Conflict {
				t.Fatal(err)
			}
		}
		got, err := h.Airlock.Get(ctx, h.People["rosa"], r.ID)
		if err != nil || won != 2 || got.State != airlock.Approved || len(got.Reviews) != 2 {
			t.Fatalf("%d votes counted, request %s with %d reviews (%v)", won, got.State, len(got.Reviews), err)
		}
	}
}

// TestEditDuringSubmit: what is submitted is what was checked.
func TestEditDuringSubmit(t *testing.T) {
	h := airlocktest.New(t)
	r := h.Draft("a.csv", airlocktest.Safe)
	b := &meddler{Outputs: h.Outputs, do: func() {
		words := "Changed meanwhile."
		if _, err := h.Airlock.Edit(ctx, h.People["rosa"], r.ID, airlock.Edits{Context: &words}); err != nil {
			t.Error(err)
		}
	}}
	d := h.Airlock.Deps
	d.Outputs = b
	_, err := airlock.New(d).Submit(ctx, h.People["rosa"], r.ID)
	if fault.KindOf(err) != fault.Conflict {
		t.Fatalf("got %v", err)
	}
	if got, _ := h.Airlock.Get(ctx, h.People["rosa"], r.ID); got.State != airlock.Draft {
		t.Errorf("the request is %s", got.State)
	}
}
