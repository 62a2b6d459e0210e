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

// dial connects to public addresses only, unless the operator said of the source that
// its host may be private, the name says so by itself, or it is a proxy's. The address is
// looked at when it is called, so a name that has another one by then gains nothing.
func (f *fetcher) dial(ctx context.Context, network, address string, proxy bool) (net.Conn, error) {
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return nil, err
	}
	d := net.Dialer{Timeout: 10 * time.Second, Resolver: f.s.Fetch.Resolver}
	if !proxy && !privateName(host) {
		may := publicAddr
		if f.private(host) {
			may = notThisHost
		}
		d.ControlContext = func(_ context.Context, _, to string, _ syscall.RawConn) error { return only(may, to) }
	}
	return d.DialContext(ctx, network, address)
}

// private reports whether an operator said so of a source on this host.
func (f *fetcher) private(host string) bool {
	for _, src := range f.sources {
		if u, err := plainURL(src.reach()); err == nil && src.Private && u.Hostname() == host {
			return true
		}
	}
	return false
}
