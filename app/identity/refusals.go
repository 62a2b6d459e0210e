package identity

import (
	"context"
	"strconv"
	"sync"
	"time"

	"tresor/app/access"
	"tresor/app/audit"
	"tresor/app/store"
)

// refusalWindow is how long failures about one subject are counted together.
const refusalWindow = 15 * time.Minute

// refusals decides which failures become audit events: the first at or after the
// 1st, 10th, 100th and so on of a window, each with the count so far. Attempts
// that were not even looked at, because of the throttle, count but write nothing.
type refusals struct {
	now    func() time.Time
	mu     sync.Mutex
	open   map[string]*tally // by subject: the people and "system", so bounded by the people
	hours  [24]int
	newest int64 // hour of the newest entry in hours
}

type tally struct {
	since time.Time
	count int
	next  int // count at which the next event is due
}

func newRefusals(now func() time.Time) *refusals {
	return &refusals{now: now, open: map[string]*tally{}}
}

// add counts one failure. Of one that was looked at it tells the count so far and
// whether an event is due.
func (r *refusals) add(subject string, looked bool) (count int, due bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.turn()
	r.hours[r.newest%24]++
	t := r.open[subject]
	if t == nil || r.now().Sub(t.since) > refusalWindow {
		t = &tally{since: r.now(), next: 1}
		r.open[subject] = t
	}
	t.count++
	if !looked || t.count < t.next {
		return t.count, false
	}
	for t.next <= t.count {
		t.next *= 10
	}
	return t.count, true
}

// turn empties the hours that passed without a failure.
func (r *refusals) turn() {
	hour := r.now().Unix() / 3600
	for passed := 0; r.newest < hour && passed < 24; passed++ {
		r.newest++
		if passed == 23 {
			r.newest = hour
		}
		r.hours[r.newest%24] = 0
	}
}

// FailedSignIns returns how many attempts to sign in were refused within about
// the last 24 hours, since the program started.
func (s *Service) FailedSignIns() int {
	r := s.refusals
	r.mu.Lock()
	defer r.mu.Unlock()
	r.turn()
	sum := 0
	for _, n := range r.hours {
		sum += n
	}
	return sum
}

// The reasons in session.refused events.
const (
	whyPassword = "password"
	whyCode     = "code"
	whyReplay   = "code-used-before"
	whyDisabled = "disabled"
	whyUnknown  = "unknown"
	whyLink     = "link"
)

// subject is what failures about a person ("" for an unknown one) are counted under.
func subject(person string) string {
	if person == "" {
		return "system"
	}
	return "person:" + person
}

// refuse counts a failure about a person and writes the audit event when it is
// due. The names that unknown people typed are never recorded: passwords end up
// in that field.
func (s *Service) refuse(ctx context.Context, person, why, address string) error {
	count, due := s.refusals.add(subject(person), true)
	if !due {
		return nil
	}
	return s.DB.Update(ctx, func(tx *store.Tx) error {
		_, err := s.Log.Append(tx, audit.By(access.System, "session.refused", subject(person), "",
			"reason", why, "count", strconv.Itoa(count), "address", address))
		return err
	})
}
