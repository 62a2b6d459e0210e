package workspace

import (
	"context"
	"time"

	"tresor/app/access"
	"tresor/app/fault"
	"tresor/app/store"
)

// meter counts what one person has seen, minute by minute, for an hour.
type meter struct {
	minutes [60]int64
	last    int64 // minutes since 1970 of the newest bucket
}

// forward drops the minutes that are more than an hour ago. A clock that went
// back changes nothing: the buckets keep counting for longer.
func (m *meter) forward(minute int64) {
	if minute-m.last >= 60 {
		m.minutes = [60]int64{}
	}
	for ; m.last < minute && minute-m.last < 60; m.last++ {
		m.minutes[(m.last+1)%60] = 0
	}
	m.last = max(m.last, minute)
}

func (m *meter) sum() int64 {
	var n int64
	for _, v := range m.minutes {
		n += v
	}
	return n
}

// freeAt is the first minute in which the sum will be under limit.
func (m *meter) freeAt(limit int64) int64 {
	n := m.sum()
	for past := m.last - 59; past <= m.last; past++ {
		if n -= m.minutes[past%60]; n < limit {
			return past + 60
		}
	}
	return m.last + 60
}

func minuteOf(t time.Time) int64 { return t.Unix() / 60 }

// room is how many bytes the person may still see now; fault.Exhausted when none.
func (s *Service) room(ctx context.Context, actor access.Actor) (int64, error) {
	if err := s.recall(ctx, actor.ID); err != nil {
		return 0, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	m := s.meters[actor.ID]
	m.forward(minuteOf(s.Now()))
	if left := s.Limits.Hour - m.sum(); left > 0 {
		return left, nil
	}
	return 0, s.exhausted(m)
}

// exhausted says when there is more; the caller holds mu.
func (s *Service) exhausted(m *meter) error {
	at := time.Unix(m.freeAt(s.Limits.Hour)*60, 0).UTC()
	return fault.New("workspace.room", fault.Exhausted, "You have looked at %d MB in the last hour, the most one person may. There is more from %s UTC on. To take results out, send them to review.",
		max(s.Limits.Hour>>20, 1), at.Format("15:04"))
}

// recall loads what a person saw before the server was restarted.
func (s *Service) recall(ctx context.Context, person string) error {
	s.mu.Lock()
	known := s.meters[person] != nil
	s.mu.Unlock()
	if known {
		return nil
	}
	m := &meter{last: minuteOf(s.Now())}
	since := store.Millis(s.Now().Add(-time.Hour))
	err := s.DB.View(ctx, func(tx *store.Tx) error {
		return tx.QueryRow(`SELECT coalesce(sum(bytes), 0) FROM opening WHERE person = ? AND used_at > ?`, person, since).Scan(&m.minutes[m.last%60])
	})
	if err != nil {
		return fault.Wrap("workspace.recall", err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.meters[person] == nil {
		s.meters[person] = m
	}
	return nil
}

// see counts n bytes that are about to be shown; fault.Exhausted when they must not be.
func (s *Service) see(key openingKey, n int64) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	m := s.meters[key.person]
	m.forward(minuteOf(s.Now()))
	if m.sum()+n > s.Limits.Hour {
		return s.exhausted(m)
	}
	m.minutes[m.last%60] += n
	if o := s.openings[key]; o != nil {
		o.bytes += n
	}
	return nil
}
