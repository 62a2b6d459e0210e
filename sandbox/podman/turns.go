package podman

import (
	"sync"

	"tresor/sandbox"
)

// turns lets one caller at a time work on a ref. The zero value is ready.
type turns struct {
	mu   sync.Mutex
	busy map[sandbox.Ref]*turn
}

type turn struct {
	sync.Mutex
	waiting int // callers that hold it or wait, so that the last one forgets it
}

// lock waits for the turn of ref and answers what ends it.
func (t *turns) lock(ref sandbox.Ref) (unlock func()) {
	t.mu.Lock()
	if t.busy == nil {
		t.busy = map[sandbox.Ref]*turn{}
	}
	mine := t.busy[ref]
	if mine == nil {
		mine = &turn{}
		t.busy[ref] = mine
	}
	mine.waiting++
	t.mu.Unlock()
	mine.Lock()
	return func() {
		mine.Unlock()
		t.mu.Lock()
		defer t.mu.Unlock()
		if mine.waiting--; mine.waiting == 0 {
			delete(t.busy, ref)
		}
	}
}
