package release_test

import (
	"errors"
	"testing"

	"tresor/app/access"
	"tresor/app/airlock/airlocktest"
	"tresor/app/job"
	"tresor/app/release"
	"tresor/app/store"
)

// broken makes one neighbour fail, before or after it has done its part.
type broken struct {
	release.JobMarker
	release.Requests
	job, request error
	after        bool
}

type brokenJobs struct{ *broken }

// Lookup passes through.
func (b brokenJobs) Lookup(tx *store.Tx, id string) (job.Job, error) {
	return b.JobMarker.Lookup(tx, id)
}

func (b brokenJobs) MarkReleased(tx *store.Tx, id string, a access.Actor) error {
	return step(b.job, b.after, func() error { return b.broken.JobMarker.MarkReleased(tx, id, a) })
}

type brokenRequests struct{ *broken }

func (b brokenRequests) MarkReleased(tx *store.Tx, id, rel string, a access.Actor) error {
	return step(b.request, b.after, func() error { return b.broken.Requests.MarkReleased(tx, id, rel, a) })
}

func step(fail error, after bool, do func() error) error {
	if fail != nil && !after {
		return fail
	}
	if err := do(); err != nil {
		return err
	}
	return fail
}

// TestMakeFaults: whichever step fails, before or after it persisted, there is
// no release and nothing changed; then it works.
func TestMakeFaults(t *testing.T) {
	boom := errors.New("boom")
	for _, c := range []struct {
		name string
		b    broken
	}{
		{"ending the job fails", broken{job: boom}},
		{"ending the job fails after it persisted", broken{job: boom, after: true}},
		{"ending the request fails", broken{request: boom}},
		{"ending the request fails after it persisted", broken{request: boom, after: true}},
	} {
		t.Run(c.name, func(t *testing.T) {
			h := newHouse(t)
			approved := h.Approved("visits.csv", airlocktest.Safe)
			c.b.JobMarker, c.b.Requests = h.Jobs, h.Airlock
			d := deps(h.House)
			d.Jobs, d.Requests = brokenJobs{&c.b}, brokenRequests{&c.b}
			if _, err := release.New(d).Make(ctx, h.People["rosa"], approved.ID); !errors.Is(err, boom) {
				t.Fatalf("got %v", err)
			}
			if got := h.Text(`SELECT (SELECT count(*) FROM release) || (SELECT state FROM airlock_request) || (SELECT state FROM job) || (SELECT state FROM output)`); got != "0approvedheldrequested" {
				t.Errorf("something stayed: %s", got)
			}
			r, err := h.releases.Make(ctx, h.People["rosa"], approved.ID)
			if err != nil {
				t.Fatal(err)
			}
			// The answer was lost after it persisted: asking again gives the same.
			again, err := h.releases.Make(ctx, h.People["rosa"], approved.ID)
			if err != nil || again.ID != r.ID || again.SHA256 != r.SHA256 {
				t.Errorf("%+v (%v)", again, err)
			}
		})
	}
}
