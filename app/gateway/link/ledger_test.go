package link

import (
	"errors"
	"math"
	"path/filepath"
	"testing"
	"time"

	"tresor/app/store"
	"tresor/fed/fedtest"
	"tresor/fed/node"
	"tresor/fed/wire"
)

func openStore(t *testing.T, path string) *store.DB {
	t.Helper()
	db, err := store.Open(t.Context(), path, store.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	return db
}

// TestTheLedgerIsAsThatOfTheTests puts the same questions to this ledger and to the
// one in memory that the federation's own tests use.
func TestTheLedgerIsAsThatOfTheTests(t *testing.T) {
	path := filepath.Join(t.TempDir(), "l.db")
	db := openStore(t, path)
	model := fedtest.NewLedger()
	now := time.UnixMilli(1_800_000_000_000).UTC()
	entry := func(hub wire.KeyID, id string, seq uint64, life time.Duration) node.Entry {
		return node.Entry{Hub: hub, ID: id, Seq: seq, Digest: [32]byte{byte(seq), 7}, Kind: "http", Claimed: now, Expires: now.Add(life)}
	}
	both := func(what string, f func(l node.Ledger) (any, error)) {
		t.Helper()
		a, errA := f(model)
		b, errB := f(ledger{db})
		if errA != nil || errB != nil {
			t.Fatalf("%s: %v %v", what, errA, errB)
		}
		if same(a) != same(b) {
			t.Errorf("%s: %s here, %s in the model", what, same(b), same(a))
		}
	}
	claim := func(e node.Entry) func(node.Ledger) (any, error) {
		return func(l node.Ledger) (any, error) { return l.Claim(t.Context(), e) }
	}
	mark := func(hub wire.KeyID) func(node.Ledger) (any, error) {
		return func(l node.Ledger) (any, error) { return l.Mark(t.Context(), hub) }
	}
	both("mark of nothing", mark("a"))
	both("first", claim(entry("a", "one", 1, time.Hour)))
	both("again", claim(entry("a", "one", 1, time.Hour)))
	both("other sequence", claim(entry("a", "one", 2, time.Hour)))
	both("other id", claim(entry("a", "two", 1, time.Hour)))
	both("other hub", claim(entry("b", "one", 1, time.Hour)))
	both("overtaken", claim(entry("a", "nine", 9, time.Minute)))
	both("late", claim(entry("a", "five", 5, 2*time.Hour)))
	both("mark", mark("a"))
	done := entry("a", "one", 1, time.Hour)
	done.Done, done.Result = now.Add(time.Second), []byte("result")
	refusal := entry("a", "nine", 9, time.Minute)
	refusal.Done, refusal.Code, refusal.Text = now, "quota", "too many"
	for _, e := range []node.Entry{done, refusal} {
		both("finish", func(l node.Ledger) (any, error) { return nil, l.Finish(t.Context(), e) })
		both("finished", claim(e))
	}
	both("kept", func(l node.Ledger) (any, error) { return l.Kept(t.Context(), "a") })
	both("kept of nobody", func(l node.Ledger) (any, error) { return l.Kept(t.Context(), "nobody") })
	both("sweep", func(l node.Ledger) (any, error) { return nil, l.Sweep(t.Context(), now.Add(30*time.Minute)) })
	both("mark after", mark("a"))
	both("mark of the other", mark("b"))
	both("swept", claim(entry("a", "nine", 9, time.Minute)))
	both("not swept", claim(entry("a", "one", 1, time.Hour)))
	_ = db.Close()
	db = openStore(t, path)
	both("after a restart", claim(entry("a", "one", 1, time.Hour)))
	both("mark after a restart", mark("a"))
}

func same(v any) string {
	switch v := v.(type) {
	case *node.Entry:
		if v == nil {
			return "none"
		}
		return v.ID + " " + time.Duration(v.Seq).String() + " " + v.Kind + " " + string(v.Code) + " " + v.Text + " " + string(v.Result) + " " + string(v.Digest[:2]) +
			v.Claimed.UTC().String() + v.Expires.UTC().String() + v.Done.UTC().String()
	case int64:
		return time.Duration(v).String()
	case node.Mark:
		return time.Duration(v.Floor).String() + " " + time.Duration(v.Highest).String()
	}
	return ""
}

func TestASequenceThatCannotBeCountedIsRefused(t *testing.T) {
	l := ledger{openStore(t, filepath.Join(t.TempDir(), "l.db"))}
	_, err := l.Claim(t.Context(), node.Entry{Hub: "a", ID: "x", Seq: math.MaxUint64, Digest: [32]byte{}})
	if !errors.Is(err, wire.For(wire.CodeMalformed)) {
		t.Errorf("%v", err)
	}
	if m, err := l.Mark(t.Context(), "a"); err != nil || m != (node.Mark{}) {
		t.Errorf("%+v %v", m, err)
	}
}

func TestFaultsOfTheLedger(t *testing.T) {
	r := newRig(t)
	h, _ := r.online()
	for _, c := range []struct {
		name, table, verb string
	}{
		{"the claim is not kept", "link_envelope", "INSERT"},
		{"the mark is not kept", "link_mark", "INSERT"},
	} {
		mend := r.spoil(c.table, c.verb)
		if _, err := r.order1(h, c.name[4:8], "{}"); !errors.Is(err, wire.For(wire.CodeInternal)) {
			t.Errorf("%s: %v", c.name, err)
		}
		if len(r.desk.runs) != 0 {
			t.Errorf("%s: executed without a claim", c.name)
		}
		mend()
	}
	// Without its end the hub asks again, and the gateway gives the same task.
	mend := r.spoil("link_envelope", "UPDATE OF done_at")
	if _, err := r.order1(h, "endless", "{}"); !errors.Is(err, wire.For(wire.CodeBusy)) {
		t.Errorf("the end is not kept: %v", err)
	}
	mend()
	e := r.sent
	rec, err := h.Deliver(ctx5(t), e)
	if err != nil || r.desk.runs["endless"] != 1 {
		t.Errorf("%+v %v, made %d times", rec, err, r.desk.runs["endless"])
	}
}
