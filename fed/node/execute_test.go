package node

import (
	"context"
	"crypto/ed25519"
	"errors"
	"io"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"tresor/fed/trust"
	"tresor/fed/wire"
)

var errDisk = errors.New("the disk is full")

// shelf is a ledger whose writes can fail, before or after they persisted.
type shelf struct {
	mu      sync.Mutex
	entries map[string]*Entry
	mark    Mark
	kept    int64
	fail    map[string]bool // by the call's name; "… after": it persisted all the same
}

func newShelf() *shelf { return &shelf{entries: map[string]*Entry{}, fail: map[string]bool{}} }

// breaks says whether the call fails now, once.
func (s *shelf) breaks(call string) error {
	if s.fail[call] {
		delete(s.fail, call)
		return errDisk
	}
	return nil
}

func (s *shelf) Mark(context.Context, wire.KeyID) (Mark, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.mark, s.breaks("mark")
}

func (s *shelf) Kept(context.Context, wire.KeyID) (int64, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.kept, s.breaks("kept")
}

func (s *shelf) Claim(_ context.Context, e Entry) (*Entry, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, old := range s.entries {
		if old.ID == e.ID || old.Seq == e.Seq {
			c := *old
			return &c, nil
		}
	}
	if err := s.breaks("claim"); err != nil {
		return nil, err
	}
	s.entries[e.ID] = &e
	s.mark.Highest = max(s.mark.Highest, e.Seq)
	return nil, s.breaks("claim after")
}

func (s *shelf) Finish(_ context.Context, e Entry) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.breaks("finish"); err != nil {
		return err
	}
	s.entries[e.ID] = &e
	return s.breaks("finish after")
}

func (s *shelf) Sweep(context.Context, time.Time) error { return nil }

// bench is an executor with the hub's key.
type bench struct {
	*executor
	t     *testing.T
	shelf *shelf
	hub   trust.Peer
	key   ed25519.PrivateKey
	stop  context.CancelFunc

	mu   sync.Mutex
	runs int
}

func newBench(t *testing.T) *bench {
	_, key, err := ed25519.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	b := &bench{t: t, shelf: newShelf(), key: key, stop: stop, hub: trust.Peer{ID: wire.KeyOf(key).ID(), Name: "hub"}}
	b.executor = newExecutor(ctx, Options{Ledger: b.shelf, Now: time.Now, Log: slog.New(slog.NewTextHandler(io.Discard, nil)), Patience: time.Minute})
	t.Cleanup(func() { stop(); b.wait() })
	return b
}

func (b *bench) envelope(seq uint64, id, body string) *wire.Envelope {
	now := time.Now()
	e := &wire.Envelope{Node: b.hub.ID, Seq: seq, ID: id, Kind: "http", Made: now.UnixMilli(), Expires: now.Add(time.Hour).UnixMilli()}
	e.SetBody([]byte(body))
	e.Sign(b.key)
	return e
}

// works counts and answers with what it was asked.
func (b *bench) works(_ context.Context, o Order) ([]byte, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.runs++
	return o.Body, nil
}

func (b *bench) count() int { b.mu.Lock(); defer b.mu.Unlock(); return b.runs }

// ask takes an envelope and gives the answer's body or the code of the refusal.
func (b *bench) ask(e *wire.Envelope, d Door) string {
	b.t.Helper()
	data, err := b.take(b.t.Context(), b.hub, e, d)
	var r *wire.Refusal
	if errors.As(err, &r) {
		return string(r.Code)
	}
	if err != nil {
		return "error"
	}
	receipt, err := wire.DecodeReceipt(data, e)
	if err != nil {
		b.t.Fatal(err)
	}
	return string(receipt.Result)
}

func TestWhatIsTaken(t *testing.T) {
	for name, c := range map[string]struct {
		before func(b *bench)
		e      func(b *bench) *wire.Envelope
		want   string
		runs   int
	}{
		"a new one": {nil, nil, "body", 1},
		"the same again": {func(b *bench) { b.ask(b.envelope(7, "a", "body"), Door{Execute: b.works}) }, func(b *bench) *wire.Envelope {
			e := b.envelope(7, "a", "body")
			e.Made, e.Expires = b.shelf.entries["a"].Claimed.UnixMilli(), b.shelf.entries["a"].Expires.UnixMilli()
			b.shelf.entries["a"].Digest = e.Digest()
			return e
		}, "body", 1},
		"its id for something else":       {func(b *bench) { b.ask(b.envelope(6, "a", "other"), Door{Execute: b.works}) }, nil, "conflict", 1},
		"its sequence for something else": {func(b *bench) { b.ask(b.envelope(7, "b", "other"), Door{Execute: b.works}) }, nil, "conflict", 1},
		"at the edge of the window":       {func(b *bench) { b.shelf.mark.Highest = 7 + wire.Window - 1 }, nil, "body", 1},
		"behind the window":               {func(b *bench) { b.shelf.mark.Highest = 7 + wire.Window }, nil, "stale", 0},
		"just above what was swept":       {func(b *bench) { b.shelf.mark.Floor = 6 }, nil, "body", 1},
		"as old as what was swept":        {func(b *bench) { b.shelf.mark.Floor = 7 }, nil, "stale", 0},
		"the ledger has room for one":     {func(b *bench) { b.shelf.kept = MaxKept - 1 }, nil, "body", 1},
		"the ledger is full of this hub":  {func(b *bench) { b.shelf.kept = MaxKept }, nil, "busy", 0},
		"it filled up meanwhile": {func(b *bench) {
			b.shelf.kept = MaxKept - EntrySize
			b.ask(b.envelope(1, "b", ""), Door{Execute: b.works})
		}, nil, "busy", 1},
		"swept again after it was full": {func(b *bench) {
			b.shelf.kept = MaxKept
			b.ask(b.envelope(1, "b", ""), Door{Execute: b.works})
			b.shelf.kept = 0
			b.recount()
		}, nil, "body", 1},
		"too many run":         {func(b *bench) { b.executor.count[b.hub.ID] = MaxRunning }, nil, "busy", 0},
		"the node is stopping": {func(b *bench) { b.stop() }, nil, "busy", 0},
		"the node has stopped": {func(b *bench) { b.wait() }, nil, "busy", 0},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBench(t)
			if c.before != nil {
				c.before(b)
			}
			e := b.envelope(7, "a", "body")
			if c.e != nil {
				e = c.e(b)
			}
			if got := b.ask(e, Door{Execute: b.works}); got != c.want || b.count() != c.runs {
				t.Errorf("%s after %d runs, want %s after %d", got, b.count(), c.want, c.runs)
			}
		})
	}
}

// TestLedgerFaults: whatever the disk does, an order that must not be repeated runs at
// most once, and one that may be repeated comes to its end.
func TestLedgerFaults(t *testing.T) {
	for fault, want := range map[string]struct {
		first string
		runs  int    // without Again, after two attempts
		again string // the second answer without Again
	}{
		"kept":         {"error", 1, "body"},
		"mark":         {"error", 1, "body"},
		"claim":        {"error", 1, "body"},
		"claim after":  {"error", 0, "interrupted"}, // claimed, and nobody knows whether it began
		"finish":       {"interrupted", 1, "interrupted"},
		"finish after": {"interrupted", 1, "body"},
	} {
		t.Run(fault, func(t *testing.T) {
			b := newBench(t)
			b.shelf.fail[fault] = true
			e := b.envelope(1, "a", "body")
			if got := b.ask(e, Door{Execute: b.works}); got != want.first {
				t.Errorf("first %s, want %s", got, want.first)
			}
			if got := b.ask(e, Door{Execute: b.works}); got != want.again || b.count() != want.runs {
				t.Errorf("then %s after %d runs, want %s after %d", got, b.count(), want.again, want.runs)
			}
			if got := b.ask(e, Door{Execute: b.works, Again: b.works}); got != "body" {
				t.Errorf("taken up again: %s", got)
			}
		})
	}
}

func TestHowAnOrderEnds(t *testing.T) {
	for name, c := range map[string]struct {
		do    Execute
		want  string // code of the refusal
		keeps bool   // the end is recorded
	}{
		"it breaks":                   {func(context.Context, Order) ([]byte, error) { return nil, errDisk }, "failed", true},
		"it panics":                   {func(context.Context, Order) ([]byte, error) { panic("x") }, "failed", true},
		"it refuses for good":         {func(context.Context, Order) ([]byte, error) { return nil, wire.Refuse(wire.CodeMalformed, "no") }, "malformed", true},
		"it refuses as if for a time": {func(context.Context, Order) ([]byte, error) { return nil, wire.Refuse(wire.CodeBusy, "no") }, "failed", true},
		"its answer is too long":      {func(context.Context, Order) ([]byte, error) { return make([]byte, wire.MaxBody+1), nil }, "size", true},
		"it could not be done now":    {func(context.Context, Order) ([]byte, error) { return nil, ErrLater }, "busy", false},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBench(t)
			if got := b.ask(b.envelope(1, "a", "body"), Door{Execute: c.do, Again: c.do}); got != c.want {
				t.Errorf("got %s", got)
			}
			if kept := !b.shelf.entries["a"].Done.IsZero(); kept != c.keeps {
				t.Errorf("recorded: %v", kept)
			}
		})
	}
	t.Run("the node ends in its middle", func(t *testing.T) {
		b := newBench(t)
		do := func(ctx context.Context, _ Order) ([]byte, error) { b.stop(); return nil, ctx.Err() }
		if got := b.ask(b.envelope(1, "a", "body"), Door{Execute: do}); got != "interrupted" || !b.shelf.entries["a"].Done.IsZero() {
			t.Errorf("got %s", got)
		}
	})
	t.Run("nobody waits for it", func(t *testing.T) {
		b := newBench(t)
		b.o.Patience = time.Millisecond
		release := make(chan struct{})
		do := func(context.Context, Order) ([]byte, error) { <-release; return []byte("late"), nil }
		e := b.envelope(1, "a", "body")
		if got := b.ask(e, Door{Execute: do}); got != "running" {
			t.Errorf("got %s", got)
		}
		close(release)
		b.o.Patience = time.Minute
		if got := b.ask(e, Door{Execute: do}); got != "late" {
			t.Errorf("got %s", got)
		}
	})
}

// TestOneOfManyRuns: the same envelope many times at once is one run.
func TestOneOfManyRuns(t *testing.T) {
	b := newBench(t)
	e := b.envelope(1, "a", "body")
	var wg sync.WaitGroup
	for range 32 {
		wg.Go(func() {
			if got := b.ask(e, Door{Execute: b.works, Again: b.works}); got != "body" {
				t.Errorf("got %s", got)
			}
		})
	}
	wg.Wait()
	if b.count() != 1 || strings.TrimSpace(string(b.shelf.entries["a"].Result)) != "body" {
		t.Errorf("%d runs", b.count())
	}
}
