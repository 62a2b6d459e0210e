package fedtest

import (
	"context"
	"errors"
	"maps"
	"slices"
	"sync"
	"time"

	"tresor/fed/hub"
	"tresor/fed/node"
	"tresor/fed/trust"
	"tresor/fed/wire"
)

// ErrStore is what a store says that was told to fail.
var ErrStore = errors.New("the disk is full")

// Fault says how the next write goes.
type Fault int

// The faults of a write.
const (
	Works Fault = iota
	Fails
	FailsAfter // it persisted all the same
)

// Store keeps peers, codes and sequences in memory.
type Store struct {
	mu    sync.Mutex
	peers map[wire.KeyID]trust.Peer
	codes map[string]trust.Code
	seq   map[wire.KeyID]uint64
	fault Fault // of the next write, then Works again
}

var (
	_ trust.Store   = (*Store)(nil)
	_ hub.Sequences = (*Store)(nil)
	_ node.Ledger   = (*Ledger)(nil)
)

// NewStore makes an empty store.
func NewStore() *Store {
	return &Store{peers: map[wire.KeyID]trust.Peer{}, codes: map[string]trust.Code{}, seq: map[wire.KeyID]uint64{}}
}

// Fail makes the next write go wrong.
func (s *Store) Fail(f Fault) { s.mu.Lock(); s.fault = f; s.mu.Unlock() }

func (s *Store) write(f func()) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := s.fault
	s.fault = Works
	if now != Fails {
		f()
	}
	if now != Works {
		return ErrStore
	}
	return nil
}

// Peers and the others implement trust.Store.
func (s *Store) Peers(context.Context) ([]trust.Peer, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Collect(maps.Values(s.peers)), nil
}

// PutPeer implements trust.Store.
func (s *Store) PutPeer(_ context.Context, p trust.Peer) error {
	return s.write(func() { s.peers[p.ID] = p })
}

// Codes implements trust.Store.
func (s *Store) Codes(context.Context) ([]trust.Code, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Collect(maps.Values(s.codes)), nil
}

// PutCode implements trust.Store.
func (s *Store) PutCode(_ context.Context, c trust.Code) error {
	return s.write(func() { s.codes[c.ID] = c })
}

// Redeem implements trust.Store.
func (s *Store) Redeem(_ context.Context, c trust.Code, p trust.Peer) error {
	return s.write(func() { s.codes[c.ID], s.peers[p.ID] = c, p })
}

// Next implements hub.Sequences.
func (s *Store) Next(_ context.Context, n wire.KeyID) (seq uint64, err error) {
	err = s.write(func() { s.seq[n]++; seq = s.seq[n] })
	return seq, err
}

// Ledger keeps claims in memory and counts them.
type Ledger struct {
	mu      sync.Mutex
	entries map[wire.KeyID][]*node.Entry
	marks   map[wire.KeyID]node.Mark
	claim   Fault
	finish  Fault
}

// NewLedger makes an empty ledger.
func NewLedger() *Ledger {
	return &Ledger{entries: map[wire.KeyID][]*node.Entry{}, marks: map[wire.KeyID]node.Mark{}}
}

// Fail makes the next claim and the next finish go wrong.
func (l *Ledger) Fail(claim, finish Fault) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.claim, l.finish = claim, finish
}

// Mark implements node.Ledger.
func (l *Ledger) Mark(_ context.Context, h wire.KeyID) (node.Mark, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.marks[h], nil
}

// Claim implements node.Ledger.
func (l *Ledger) Claim(_ context.Context, e node.Entry) (*node.Entry, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, old := range l.entries[e.Hub] {
		if old.ID == e.ID || old.Seq == e.Seq {
			c := *old
			return &c, nil
		}
	}
	fault := l.claim
	l.claim = Works
	if fault != Fails {
		l.entries[e.Hub] = append(l.entries[e.Hub], &e)
		m := l.marks[e.Hub]
		m.Highest = max(m.Highest, e.Seq)
		l.marks[e.Hub] = m
	}
	if fault != Works {
		return nil, ErrStore
	}
	return nil, nil
}

// Finish implements node.Ledger.
func (l *Ledger) Finish(_ context.Context, e node.Entry) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	fault := l.finish
	l.finish = Works
	for _, old := range l.entries[e.Hub] {
		if old.ID == e.ID && fault != Fails {
			old.Done, old.Code, old.Text, old.Result = e.Done, e.Code, e.Text, e.Result
		}
	}
	if fault != Works {
		return ErrStore
	}
	return nil
}

// Kept implements node.Ledger.
func (l *Ledger) Kept(_ context.Context, h wire.KeyID) (kept int64, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, e := range l.entries[h] {
		kept += node.EntrySize + int64(len(e.Text)+len(e.Result))
	}
	return kept, nil
}

// Sweep implements node.Ledger.
func (l *Ledger) Sweep(_ context.Context, t time.Time) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	for h, all := range l.entries {
		m := l.marks[h]
		l.entries[h] = slices.DeleteFunc(all, func(e *node.Entry) bool {
			if !e.Expires.Before(t) {
				return false
			}
			m.Floor = max(m.Floor, e.Seq)
			return true
		})
		l.marks[h] = m
	}
	return nil
}

// Len is how many claims of a hub are kept.
func (l *Ledger) Len(h wire.KeyID) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.entries[h])
}
