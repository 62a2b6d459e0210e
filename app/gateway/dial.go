package gateway

import (
	"context"
	"net"
	"net/http"
	"net/url"
	"sync"
	"syscall"
	"time"
)

// seenProxies remembers which proxies requests took: their own address may be
// private, and beyond them names are looked up elsewhere.
type seenProxies struct {
	choose func(*http.Request) (*url.URL, error) // nil: none

	mu  sync.Mutex
	all map[string]bool // host:port
}

func (p *seenProxies) of(r *http.Request) (*url.URL, error) {
	if p.choose == nil {
		return nil, nil
	}
	u, err := p.choose(r)
	if u == nil || err != nil {
		return nil, err
	}
	number := u.Port()
	if number == "" {
		number = map[string]string{"https": "443", "socks5": "1080"}[u.Scheme]
	}
	if number == "" {
		number = "80"
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.all == nil {
		p.all = map[string]bool{}
	}
	p.all[net.JoinHostPort(u.Hostname(), number)] = true
	return u, nil
}

func (p *seenProxies) has(address string) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.all[address]
}

// dialPublic connects to public addresses only, unless the name says by itself that
// it is private or it is a proxy's. The address is looked at when it is called, so a
// name that has another one by then gains nothing.
func (f *fetcher) dialPublic(ctx context.Context, network, address string, proxy bool) (net.Conn, error) {
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return nil, err
	}
	d := net.Dialer{Timeout: 10 * time.Second, Resolver: f.s.Fetch.Resolver}
	if !proxy && !privateName(host) {
		d.ControlContext = func(_ context.Context, _, to string, _ syscall.RawConn) error { return publicOnly(to) }
	}
	return d.DialContext(ctx, network, address)
}
