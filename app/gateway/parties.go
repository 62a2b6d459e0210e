package gateway

import (
	"sync"
	"time"
)

// parties remembers callers for a moment, so that 10,000 reads a minute do not
// ask the same question of the database. Every change here forgets all of them.
type parties struct {
	mu     sync.Mutex
	turn   int
	all    map[Caller]*party
	tokens map[string]known // by hash
}

// known is a token that was found good a moment ago.
type known struct {
	who   Caller
	id    string // of the token
	until time.Time
}

const mostParties = 4096

func newParties() *parties { p := &parties{}; p.clear(); return p }

func (p *parties) clear() {
	p.all, p.tokens = map[Caller]*party{}, map[string]known{}
}

// forget drops everything, and what is being looked up now.
func (p *parties) forget() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.turn++
	p.clear()
}

// drop forgets one caller, and what is being looked up now.
func (p *parties) drop(who Caller) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.turn++
	delete(p.all, who)
}

func (p *parties) get(who Caller, now time.Time) (*party, int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if got, ok := p.all[who]; ok && now.Before(got.until) {
		return got, p.turn
	}
	return nil, p.turn
}

func (p *parties) keep(who Caller, got *party, turn int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.turn != turn {
		return
	}
	if len(p.all) >= mostParties {
		p.clear()
	}
	p.all[who] = got
}

func (p *parties) token(hash string, now time.Time) (known, int, bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	k, ok := p.tokens[hash]
	return k, p.turn, ok && now.Before(k.until)
}

func (p *parties) keepToken(hash string, k known, turn int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.turn != turn {
		return
	}
	if len(p.tokens) >= mostParties {
		p.clear()
	}
	p.tokens[hash] = k
}
