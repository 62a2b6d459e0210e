package node

import (
	"context"
	"time"

	"tresor/fed/wire"
)

// Entry is one envelope that was claimed.
type Entry struct {
	Hub     wire.KeyID // peer ID, not the key that signed
	ID      string
	Seq     uint64
	Digest  [32]byte // of the envelope
	Kind    string
	Claimed time.Time
	Expires time.Time
	Done    time.Time // zero: claimed, and not known to have ended
	Code    wire.Code // of a refusal; empty: Result is the answer
	Text    string
	Result  []byte
}

// Mark is how far a hub's sequence has come.
type Mark struct {
	Floor   uint64 // highest sequence that was swept
	Highest uint64 // highest sequence that was claimed
}

// Ledger keeps which envelopes were claimed. Each call is durable when it
// returns nil; an error may mean either. The calls for one hub come one at a time
// except Finish.
type Ledger interface {
	// Mark tells how far the hub's sequence has come.
	Mark(ctx context.Context, hub wire.KeyID) (Mark, error)
	// Claim inserts e. When the hub already has an entry with e.ID or e.Seq, it
	// inserts nothing and gives that entry.
	Claim(ctx context.Context, e Entry) (prior *Entry, err error)
	// Finish sets Done, Code, Text and Result of the hub's entry with that ID.
	Finish(ctx context.Context, e Entry) error
	// Kept is how much is kept of the hub's entries, in bytes: EntrySize for each, and
	// its Text and Result.
	Kept(ctx context.Context, hub wire.KeyID) (int64, error)
	// Sweep drops entries whose Expires is before t and raises the floors.
	Sweep(ctx context.Context, t time.Time) error
}

// What is kept of one hub's orders, at most, until they expire. A hub that sends more
// is told to come later: it must not fill the node's disk.
const (
	MaxKept   = 256 << 20 // bytes, as Ledger.Kept counts them
	EntrySize = 512       // bytes of an entry without Text and Result, about
)

// Sweep drops what can never be taken again because it has expired.
func (n *Node) Sweep(ctx context.Context) error {
	err := n.o.Ledger.Sweep(ctx, n.o.Now().Add(-2*wire.MaxSkew))
	n.exec.recount()
	return err
}
