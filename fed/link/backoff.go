package link

import "time"

// Backoff spaces attempts: each wait is twice the last one, up to Max, with
// jitter so that a restarted hub is not met by all its nodes at once.
type Backoff struct {
	Min  time.Duration  // 1 s when zero
	Max  time.Duration  // 2 min when zero
	Rand func() float64 // in [0, 1); nil: no jitter
	n    int
}

// Next gives the next wait: between half of its step and the whole of it.
func (b *Backoff) Next() time.Duration {
	lo, hi := b.Min, b.Max
	set(&lo, time.Second)
	set(&hi, 2*time.Minute)
	step := lo
	for i := 0; i < b.n && step < hi; i++ {
		step *= 2
	}
	b.n++
	step = min(step, hi)
	if b.Rand == nil {
		return step
	}
	return step/2 + time.Duration(b.Rand()*float64(step/2))
}

// Reset starts again at Min, after a link that held.
func (b *Backoff) Reset() { b.n = 0 }
