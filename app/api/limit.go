package api

import (
	"net"
	"net/http"
	"net/netip"
	"sync"
	"time"

	"golang.org/x/time/rate"

	"tresor/app/fault"
)

// Limits bound how often one caller may ask. Zero fields take the defaults.
type Limits struct {
	PerSession   rate.Limit // requests a second of one session; default 20
	SessionBurst int        // default 100
	PerAddress   rate.Limit // requests a second of one address; default 100
	AddressBurst int        // default 400
	SignIn       rate.Limit // attempts to sign in a second of one address; default 20 a minute
	SignInBurst  int        // default 20
	Sockets      int        // open web sockets of one person; default 16
}

func (l Limits) withDefaults() Limits {
	orRate(&l.PerSession, 20)
	orInt(&l.SessionBurst, 100)
	orRate(&l.PerAddress, 100)
	orInt(&l.AddressBurst, 400)
	orRate(&l.SignIn, rate.Every(3*time.Second))
	orInt(&l.SignInBurst, 20)
	orInt(&l.Sockets, 16)
	return l
}

func orRate(l *rate.Limit, def rate.Limit) {
	if *l == 0 {
		*l = def
	}
}

func orInt(n *int, def int) {
	if *n == 0 {
		*n = def
	}
}

// buckets is a bounded map of token buckets. When it is full the ones that have
// refilled are dropped: they would decide the same if they were made anew. When
// none has, whoever is new waits, so a flood of addresses cannot grow memory.
type buckets struct {
	mu    sync.Mutex
	limit rate.Limit
	burst int
	most  int
	all   map[string]*rate.Limiter // guarded by mu
}

const bucketsMax = 16384

func newBuckets(limit rate.Limit, burst int) *buckets {
	return &buckets{limit: limit, burst: burst, most: bucketsMax, all: map[string]*rate.Limiter{}}
}

// take spends one token of key; otherwise it returns how long to wait.
func (b *buckets) take(key string, now time.Time) (time.Duration, bool) {
	b.mu.Lock()
	l, ok := b.all[key]
	if !ok {
		if len(b.all) >= b.most {
			b.sweep(now)
		}
		if len(b.all) >= b.most {
			b.mu.Unlock()
			return time.Minute, false
		}
		l = rate.NewLimiter(b.limit, b.burst)
		b.all[key] = l
	}
	b.mu.Unlock()
	if l.AllowN(now, 1) {
		return 0, true
	}
	return time.Duration(float64(time.Second) / float64(b.limit)), false
}

// empty reports whether key has no token left, and how long to wait for one. It
// spends nothing: for what is counted only after it went wrong.
func (b *buckets) empty(key string, now time.Time) (time.Duration, bool) {
	b.mu.Lock()
	l := b.all[key]
	b.mu.Unlock()
	if l == nil || l.TokensAt(now) >= 1 {
		return 0, false
	}
	return time.Duration(float64(time.Second) / float64(b.limit)), true
}

// sweep drops full buckets; the caller holds mu.
func (b *buckets) sweep(now time.Time) {
	for key, l := range b.all {
		if l.TokensAt(now) >= float64(b.burst) {
			delete(b.all, key)
		}
	}
}

// checkAddress comes before the session is looked up: it protects that look-up.
func (s *Server) checkAddress(c *call) error {
	if c.who.local = isLocal(c.ctx()); c.who.local {
		return nil
	}
	c.who.address = addressOf(c.r)
	if c.route.signIn() {
		if wait, ok := s.signIns.take(c.who.address, s.now()); !ok {
			return slowDown(wait)
		}
	}
	if wait, ok := s.addresses.take(c.who.address, s.now()); !ok {
		return slowDown(wait)
	}
	return nil
}

// checkRate bounds one session, wherever it comes from.
func (s *Server) checkRate(c *call) error {
	if c.who.local || c.who.session == "" {
		return nil
	}
	if wait, ok := s.sessions.take(c.who.session, s.now()); !ok {
		return slowDown(wait)
	}
	return nil
}

// signIn reports whether the route lets somebody guess a secret.
func (rt Route) signIn() bool {
	return rt.Method == http.MethodPost && rt.Access.Level == Public
}

func slowDown(wait time.Duration) error {
	r := refuse(http.StatusTooManyRequests, codeRate, fault.Exhausted, "Too many requests in a short time.").next("Wait a little and try again.")
	r.retry = wait
	return r
}

// hostOf is the address of the caller without its port.
func hostOf(r *http.Request) string {
	host, _, err := net.SplitHostPort(r.RemoteAddr)
	if err != nil {
		return r.RemoteAddr
	}
	return host
}

// addressOf groups an IPv6 caller by its /64: a host has all of it.
func addressOf(r *http.Request) string {
	host := hostOf(r)
	ip, err := netip.ParseAddr(host)
	if err != nil {
		return host
	}
	ip = ip.Unmap().WithZone("")
	if ip.Is6() {
		if p, err := ip.Prefix(64); err == nil {
			return p.String()
		}
	}
	return ip.String()
}
