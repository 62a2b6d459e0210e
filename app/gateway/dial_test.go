package gateway

import (
	"context"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"golang.org/x/net/dns/dnsmessage"
)

// names is a DNS server for which every name has the one address.
func names(t *testing.T, a [4]byte) *net.Resolver {
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
				m.Answers = []dnsmessage.Resource{{Header: dnsmessage.ResourceHeader{Name: q.Name, Class: q.Class, TTL: 1}, Body: &dnsmessage.AResource{A: a}}}
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
	h.g.Fetch.Resolver = names(t, [4]byte{127, 0, 0, 1})
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

// TestAPrivateSource: its host, and no other, may be in the operator's own network, and
// never this host.
func TestAPrivateSource(t *testing.T) {
	h := newHouse(t)
	list := []Source{{Prefix: "s3://lab/", Kind: SourceS3, Endpoint: "https://store.example.org:9000", Private: true}, {Prefix: "https://data.example.org/", Kind: SourceHTTPS, Private: true},
		{Prefix: "drs://drs.example.org/", Kind: SourceDRS, Endpoint: "https://other.example.org"}, {Prefix: "https://api.example.org/", Kind: SourceHTTPS, Plugin: "poller", Private: true}}
	for _, c := range []struct {
		at      [4]byte
		host    string
		refused bool
	}{
		{[4]byte{10, 255, 255, 1}, "store.example.org", false},
		{[4]byte{192, 168, 255, 1}, "data.example.org", false},
		{[4]byte{10, 255, 255, 1}, "other.example.org", true},
		{[4]byte{10, 255, 255, 1}, "lab", false}, // a name without a dot says it by itself
		{[4]byte{10, 255, 255, 1}, "api.example.org", true},
		{[4]byte{10, 255, 255, 1}, "sub.store.example.org", true},
		{[4]byte{127, 0, 0, 1}, "store.example.org", true},
		{[4]byte{169, 254, 169, 254}, "store.example.org", true},
		{[4]byte{0, 0, 0, 0}, "store.example.org", true},
	} {
		h.g.Fetch.Resolver = names(t, c.at)
		f := h.g.fetcher(list, "")
		patience := time.Minute
		if !c.refused { // nobody answers at a private one
			patience = 300 * time.Millisecond
		}
		bound, cancel := context.WithTimeout(t.Context(), patience)
		conn, err := f.dial(bound, "tcp", c.host+":9", false)
		cancel()
		if err == nil {
			_ = conn.Close()
		}
		if refused := err != nil && strings.Contains(err.Error(), "not a public address"); refused != c.refused {
			t.Errorf("%s at %v: %v", c.host, c.at, err)
		}
	}
}
