package gateway

import (
	"net"
	"net/http"
	"net/netip"
	"sync"
	"time"

	"golang.org/x/time/rate"

	"tresor/app/fault"
)

// An address that sends wrong tokens may try so many, and one more after each pause.
const (
	guessBurst = 20
	mostHosts  = 16384
)

var guessEvery = rate.Every(3 * time.Second)

// A caller outside may name so many files that are not in a project's tree, and one
// more after each pause.
const probeBurst = 60

var probeEvery = rate.Every(time.Minute)

// A caller may open releases so often, and once more after each pause.
const openBurst = 2000

var openEvery = rate.Every(2 * time.Second)

// buckets is a bounded map of token buckets, one for a key. Full of fresh offenders it
// lets further ones try uncounted: no number of guesses finds a token, and whoever comes
// from so many addresses must neither grow memory nor shut out everybody else.
type buckets struct {
	mu    sync.Mutex
	limit rate.Limit
	burst int
	all   map[string]*rate.Limiter
}

func newBuckets(limit rate.Limit, burst int) *buckets {
	return &buckets{limit: limit, burst: burst, all: map[string]*rate.Limiter{}}
}

// dry reports whether the key has no try left.
func (b *buckets) dry(key string, now time.Time) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	l, ok := b.all[key]
	return ok && l.TokensAt(now) < 1
}

// spend takes so many tries from the key, or those that are left.
func (b *buckets) spend(key string, now time.Time, n int) {
	if n == 0 {
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	l, ok := b.all[key]
	if !ok {
		if len(b.all) >= mostHosts {
			b.sweep(now)
		}
		if len(b.all) >= mostHosts {
			return
		}
		l = rate.NewLimiter(b.limit, b.burst)
		b.all[key] = l
	}
	l.AllowN(now, min(n, int(l.TokensAt(now))))
}

// sweep drops full buckets; the caller holds mu.
func (b *buckets) sweep(now time.Time) {
	for key, l := range b.all {
		if l.TokensAt(now) >= float64(b.burst) {
			delete(b.all, key)
		}
	}
}

// How many requests of one caller are answered at a time, and how many more may be
// on their way in. Whoever opens 10,000 at once waits for themselves only.
const (
	mostAtOnce  = 64
	mostArrived = 128
)

// slots counts what is under way for each key.
type slots struct {
	mu  sync.Mutex
	all map[string]int
}

func newSlots() *slots { return &slots{all: map[string]int{}} }

// enter takes one of most places of the key; leave gives it back.
func (s *slots) enter(key string, most int) (leave func(), err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.all[key] >= most {
		return nil, refuse(CodeQuota, fault.Exhausted, "Wait for some answers before you ask more.", "You have %d requests under way, which is as many as are answered at once.", s.all[key])
	}
	s.all[key]++
	return func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		if s.all[key]--; s.all[key] == 0 {
			delete(s.all, key)
		}
	}, nil
}

// addressOf groups an IPv6 caller by its /64: a host has all of it.
func addressOf(r *http.Request) string {
	host, _, err := net.SplitHostPort(r.RemoteAddr)
	if err != nil {
		host = r.RemoteAddr
	}
	ip, err := netip.ParseAddr(host)
	if err != nil {
		return host
	}
	if ip = ip.Unmap().WithZone(""); ip.Is6() {
		if p, err := ip.Prefix(64); err == nil {
			return p.String()
		}
	}
	return ip.String()
}
