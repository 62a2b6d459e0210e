package gateway

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"hash"
	"maps"
	"sort"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"tresor/app/access"
	"tresor/app/fault"
	"tresor/app/store"
)

// single is how many refusals of one sort a principal gets a line each for in one
// minute. More are counted in one line, so that a flood cannot fill the disk.
const single = 20

// tally counts what is not worth a line each: reading, and floods of refusals.
type tally struct {
	mu       sync.Mutex
	minute   int64
	seen     map[kindOfLine]int
	open     map[kindOfLine]*sum
	hour     int64
	wrong    int              // tokens of this hour
	codes    map[string]int64 // refusals since the start
	accepted atomic.Int64
}

// kindOfLine is what one counting line stands for.
type kindOfLine struct{ principal, project, direction, what, outcome, code string }

type sum struct {
	count, bytes int64
	hash         hash.Hash // of all bodies, one after the other
}

func newTally() *tally {
	return &tally{seen: map[kindOfLine]int{}, open: map[kindOfLine]*sum{}, codes: map[string]int64{}}
}

func (e Entry) sort() kindOfLine {
	return kindOfLine{e.Principal, e.Project, e.Direction, e.What, e.Outcome, e.Code}
}

// single reports whether this refusal gets a line of its own.
func (t *tally) single(e Entry, now time.Time) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	if m := minuteOf(now); m != t.minute {
		t.minute, t.seen = m, map[kindOfLine]int{}
	}
	t.seen[e.sort()]++
	if e.Outcome == Declined {
		t.codes[e.Code]++
	}
	return t.seen[e.sort()] <= single
}

// add counts one more; body is what left.
func (t *tally) add(e Entry, body []byte) {
	t.mu.Lock()
	defer t.mu.Unlock()
	n, ok := t.open[e.sort()]
	if !ok {
		n = &sum{hash: sha256.New()}
		t.open[e.sort()] = n
	}
	n.count++
	n.bytes += max(int64(len(body)), e.Bytes)
	_, _ = n.hash.Write(body) // a hash takes everything
}

// guess counts a wrong token and returns how many came in this hour.
func (t *tally) guess(now time.Time) int {
	t.mu.Lock()
	defer t.mu.Unlock()
	if h := minuteOf(now) / 60; h != t.hour {
		t.hour, t.wrong = h, 0
	}
	t.wrong++
	return t.wrong
}

// take returns the counting lines and starts anew.
func (t *tally) take() []Entry {
	t.mu.Lock()
	open := t.open
	t.open = map[kindOfLine]*sum{}
	t.mu.Unlock()
	var list []Entry
	for k, n := range open {
		e := Entry{Principal: k.principal, Project: k.project, Direction: k.direction, What: k.what, Outcome: k.outcome, Code: k.code, Count: n.count, Bytes: n.bytes}
		if k.direction == Out {
			e.SHA256 = hex.EncodeToString(n.hash.Sum(nil))
		}
		list = append(list, e)
	}
	sort.Slice(list, func(i, j int) bool { return list[i].Principal+list[i].What < list[j].Principal+list[j].What })
	return list
}

const tokenTouch = "token:"

// touch remembers that a token or a principal was used now.
func (s *Service) touch(what string, now time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.touched) < mostParties {
		s.touched[what] = now
	}
}

// Seen notes that a principal was in contact now; it is written within a minute.
func (s *Service) Seen(_ context.Context, principal string) { s.touch(principal, s.Now()) }

// flush writes counts and last-seen times. Counts that cannot be written are tried
// again with the next.
func (s *Service) flush(ctx context.Context) error {
	lines := s.tally.take()
	s.mu.Lock()
	lines, s.unwritten = append(s.unwritten, lines...), nil
	touched := s.touched
	s.touched = map[string]time.Time{}
	s.mu.Unlock()
	if len(lines) == 0 && len(touched) == 0 {
		return nil
	}
	err := s.update(ctx, func(tx *store.Tx) error {
		for _, e := range lines {
			if err := s.write(tx, e); err != nil {
				return err
			}
			if e.Outcome != Declined {
				continue
			}
			if _, err := s.Log.Append(tx, e.event(access.System, "gateway")); err != nil {
				return err
			}
		}
		return seen(tx, touched)
	})
	if err != nil {
		s.mu.Lock()
		s.unwritten = append(s.unwritten, lines...)
		s.mu.Unlock()
	}
	return fault.Wrap("gateway.flush", err)
}

// Totals are figures for the metrics page.
type Totals struct {
	Accepted int64            // tasks, since the start
	Refused  map[string]int64 // requests by code, since the start
	Open     int64            // tasks that have not ended
}

// Counts returns the gateway's figures.
func (s *Service) Counts(ctx context.Context) (Totals, error) {
	n := Totals{Accepted: s.tally.accepted.Load(), Refused: s.tally.refusals()}
	err := s.DB.View(ctx, func(tx *store.Tx) error {
		return tx.QueryRow(`SELECT count(*) FROM gateway_task WHERE ended_at IS NULL`).Scan(&n.Open)
	})
	return n, fault.Wrap("gateway.Counts", err)
}

func (t *tally) refusals() map[string]int64 {
	t.mu.Lock()
	defer t.mu.Unlock()
	return maps.Clone(t.codes)
}

func seen(tx *store.Tx, touched map[string]time.Time) error {
	for what, at := range touched {
		query := `UPDATE gateway_principal SET last_seen = max(last_seen, ?) WHERE id = ?`
		id, token := strings.CutPrefix(what, tokenTouch)
		if token {
			query = `UPDATE gateway_token SET last_used = max(last_used, ?) WHERE id = ?`
		}
		if _, err := tx.Exec(query, store.Millis(at), id); err != nil {
			return err
		}
	}
	return nil
}
