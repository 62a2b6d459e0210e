package identity

import (
	"errors"
	"fmt"
	"net/netip"
	"sync"
	"time"

	"tresor/app/fault"
)

// How often a wrong sign-in may follow another. After the free attempts each
// failure doubles the wait, up to longestWait: guessing becomes hopeless while
// nobody is locked out for long. Attempts made while waiting are refused unseen
// and do not make the wait longer.
const (
	freeForAccount = 5
	freeForAddress = 20
	longestWait    = time.Minute
	longestForCode = 15 * time.Minute // after wrong codes, which only somebody with the password can send
	forgetAfter    = 15 * time.Minute
	rememberAtMost = 16 << 10 // accounts, names and addresses
)

// Throttled is the cause of an Exhausted error of this package.
type Throttled struct{ Wait time.Duration }

func (t *Throttled) Error() string { return fmt.Sprintf("throttled for %s", t.Wait) }

// RetryAfter returns how long to wait after err, rounded up to seconds, or 0
// when err is not about throttling.
func RetryAfter(err error) time.Duration {
	var t *Throttled
	if !errors.As(err, &t) {
		return 0
	}
	return t.Wait
}

// throttle counts failures by key: an account, an unknown name, an address.
type throttle struct {
	now  func() time.Time
	mu   sync.Mutex
	keys map[string]*failures
}

type failures struct {
	count int
	last  time.Time
	until time.Time
}

func newThrottle(now func() time.Time) *throttle {
	return &throttle{now: now, keys: map[string]*failures{}}
}

// check returns an Exhausted error while any of the keys has to wait.
func (t *throttle) check(keys ...string) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	now, wait := t.now(), time.Duration(0)
	for _, key := range keys {
		if f := t.keys[key]; f != nil {
			wait = max(wait, f.until.Sub(now))
		}
	}
	if wait <= 0 {
		return nil
	}
	wait = (wait + time.Second - 1).Truncate(time.Second)
	return fault.Kinded("identity.throttle", fault.Exhausted, &Throttled{wait},
		"Too many wrong attempts to sign in. Try again in %s.", wait)
}

// fail counts one failure for a key that has free attempts before it waits, and
// then waits at most longest.
func (t *throttle) fail(key string, free int, longest time.Duration) {
	t.mu.Lock()
	defer t.mu.Unlock()
	now := t.now()
	f := t.keys[key]
	if f == nil || f.forgotten(now) {
		t.makeRoom(now)
		f = &failures{}
		t.keys[key] = f
	}
	f.count++
	f.last = now
	if over := f.count - free; over >= 0 {
		f.until = now.Add(min(time.Second<<min(over, 10), longest))
	}
}

func (f *failures) forgotten(now time.Time) bool {
	return now.Sub(f.last) > forgetAfter && now.Sub(f.until) > forgetAfter
}

// succeed forgets the failures of an account.
func (t *throttle) succeed(keys ...string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, key := range keys {
		delete(t.keys, key)
	}
}

// makeRoom keeps the memory bounded: it drops what is forgotten anyway and then,
// if need be, whatever has the fewest failures, so that a flood of invented
// names does not wash out an account under attack.
func (t *throttle) makeRoom(now time.Time) {
	if len(t.keys) < rememberAtMost {
		return
	}
	for key, f := range t.keys {
		if f.forgotten(now) || f.count <= 1 {
			delete(t.keys, key)
		}
	}
	for key := range t.keys {
		if len(t.keys) < rememberAtMost {
			return
		}
		delete(t.keys, key)
	}
}

// network groups addresses that one attacker usually holds: an IPv6 /64, an
// IPv4 address.
func network(address string) string {
	ip, err := netip.ParseAddr(address)
	if err != nil {
		return "address:unknown"
	}
	ip = ip.Unmap()
	if ip.Is6() {
		prefix, _ := ip.WithZone("").Prefix(64)
		return "address:" + prefix.String()
	}
	return "address:" + ip.String()
}
