package gateway

import (
	"context"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"golang.org/x/net/dns/dnsmessage"
)

// names is a DNS server for which every name has the address 127.0.0.1.
func names(t *testing.T) *net.Resolver {
	t.Helper()
	c, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	go func() {
		buf := make([]byte, 1500)
		for {
			n, from, err := c.ReadFrom(buf)
			if err != nil {
				return
			}
			var m dnsmessage.Message
			if m.Unpack(buf[:n]) != nil || len(m.Questions) != 1 {
				continue
			}
			m.Response, m.Additionals = true, nil
			q := m.Questions[0]
			if q.Type == dnsmessage.TypeA {
				m.Answers = []dnsmessage.Resource{{Header: dnsmessage.ResourceHeader{Name: q.Name, Class: q.Class, TTL: 1}, Body: &dnsmessage.AResource{A: [4]byte{127, 0, 0, 1}}}}
			}
			if b, err := m.Pack(); err == nil {
				_, _ = c.WriteTo(b, from)
			}
		}
	}()
	return &net.Resolver{PreferGo: true, Dial: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "udp", c.LocalAddr().String())
	}}
}

// TestNamesDoNotLeadIn: a name outside that leads to an address inside is not called,
// whether proxies are chosen or not; only a proxy's own address may be private.
func TestNamesDoNotLeadIn(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	_, port, _ := net.SplitHostPort(l.Addr().String())
	target, through := "data.example.org:"+port, "proxy.example.org:"+port
	h := newHouse(t)
	h.g.Fetch.Resolver = names(t)
	for name, c := range map[string]struct {
		proxy func(*http.Request) (*url.URL, error) // as config gives it: never nil there
		dial  string
		ok    bool
	}{
		"no proxy":               {nil, target, false},
		"no proxy for this name": {http.ProxyURL(nil), target, false},
		"the proxy":              {http.ProxyURL(&url.URL{Scheme: "http", Host: through}), through, true},
		"past the proxy":         {http.ProxyURL(&url.URL{Scheme: "http", Host: through}), target, false},
		"a name that says it":    {nil, "nas.internal:" + port, true},
	} {
		t.Run(name, func(t *testing.T) {
			h.g.Fetch.Proxy = c.proxy
			tr, ok := h.g.fetcher(nil, "").transport().(*http.Transport)
			if !ok {
				t.Fatal("no transport")
			}
			if _, err := tr.Proxy(httptest.NewRequest("GET", "https://"+target, nil)); err != nil {
				t.Fatal(err)
			}
			conn, err := tr.DialContext(t.Context(), "tcp", c.dial)
			if err == nil {
				_ = conn.Close()
			}
			if (err == nil) != c.ok || err != nil && !strings.Contains(err.Error(), "not a public address") {
				t.Errorf("%v", err)
			}
		})
	}
}
