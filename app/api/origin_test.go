package api

import (
	"crypto/tls"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"
)

func TestCheckOrigin(t *testing.T) {
	s := &Server{csrf: http.NewCrossOriginProtection(), log: slog.New(slog.DiscardHandler)}
	cases := []struct {
		name, method  string
		socket, local bool
		header        map[string]string
		ok            bool
	}{
		{"ok: program without headers", "POST", false, false, nil, true},
		{"ok: own page", "POST", false, false, map[string]string{"Origin": "https://tre.example", "Sec-Fetch-Site": "same-origin"}, true},
		{"ok: own page of an old browser", "DELETE", false, false, map[string]string{"Origin": "https://tre.example"}, true},
		{"ok: reading from anywhere", "GET", false, false, map[string]string{"Origin": "https://evil.example", "Sec-Fetch-Site": "cross-site"}, true},
		{"ok: local socket", "POST", false, true, map[string]string{"Origin": "https://evil.example"}, true},
		{"other site", "POST", false, false, map[string]string{"Origin": "https://evil.example", "Sec-Fetch-Site": "cross-site"}, false},
		{"other site of an old browser", "POST", false, false, map[string]string{"Origin": "https://evil.example"}, false},
		{"sibling host", "POST", false, false, map[string]string{"Origin": "https://p1.tre.example", "Sec-Fetch-Site": "same-site"}, false},
		{"sibling without Origin", "PUT", false, false, map[string]string{"Sec-Fetch-Site": "same-site"}, false},
		{"typed into the address bar", "POST", false, false, map[string]string{"Sec-Fetch-Site": "none"}, false},
		{"same-origin by word, other by Origin", "POST", false, false, map[string]string{"Origin": "https://evil.example", "Sec-Fetch-Site": "same-origin"}, false},
		{"null origin", "POST", false, false, map[string]string{"Origin": "null"}, false},
		{"other port", "PATCH", false, false, map[string]string{"Origin": "https://tre.example:8443"}, false},
		{"plain HTTP page", "POST", false, false, map[string]string{"Origin": "http://tre.example"}, false},
		{"ok: own socket", "GET", true, false, map[string]string{"Origin": "https://tre.example", "Cookie": "a=b"}, true},
		{"ok: socket of a program", "GET", true, false, map[string]string{"Cookie": ""}, true},
		{"foreign socket", "GET", true, false, map[string]string{"Origin": "https://evil.example", "Cookie": "a=b"}, false},
		{"sibling socket", "GET", true, false, map[string]string{"Origin": "https://p1.tre.example", "Sec-Fetch-Site": "same-site"}, false},
	}
	for _, tc := range cases {
		t.Run(tc.name, func(t *testing.T) {
			r := httptest.NewRequest(tc.method, "https://tre.example/api/v1/x", nil)
			r.TLS = &tls.ConnectionState{}
			for k, v := range tc.header {
				r.Header.Set(k, v)
			}
			c := &call{s: s, r: r, route: &Route{Socket: tc.socket}, who: caller{local: tc.local}}
			if err := s.checkOrigin(c); (err == nil) != tc.ok {
				t.Errorf("got %v", err)
			}
		})
	}
}

func TestBuckets(t *testing.T) {
	at := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	b := newBuckets(1, 3)
	for i := range 3 {
		if _, ok := b.take("a", at); !ok {
			t.Fatalf("request %d of a burst of 3 refused", i+1)
		}
	}
	if wait, ok := b.take("a", at); ok || wait <= 0 {
		t.Error("the fourth has to wait")
	}
	if _, ok := b.take("b", at); !ok {
		t.Error("another key has its own bucket")
	}
	if _, ok := b.take("a", at.Add(time.Second)); !ok {
		t.Error("a second later there is a token again")
	}
}

func TestBucketsStayBounded(t *testing.T) {
	at := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	b := newBuckets(1, 2)
	b.most = 10
	for i := range 10 {
		if _, ok := b.take(string(rune('a'+i)), at); !ok {
			t.Fatal("room for ten")
		}
	}
	if _, ok := b.take("new", at); ok || len(b.all) > 10 {
		t.Errorf("a flood must not grow the map: %d", len(b.all))
	}
	if _, ok := b.take("new", at.Add(time.Minute)); !ok {
		t.Error("refilled buckets make room")
	}
}

func TestAddressOf(t *testing.T) {
	for in, want := range map[string]string{
		"192.0.2.7:1234": "192.0.2.7", "[2001:db8::1]:5": "2001:db8::/64", "[2001:db8::ffff]:6": "2001:db8::/64",
		"[::ffff:192.0.2.7]:9": "192.0.2.7", "[fe80::1%eth0]:9": "fe80::/64", "@": "@",
	} {
		if got := addressOf(&http.Request{RemoteAddr: in}); got != want {
			t.Errorf("%s: got %s, want %s", in, got, want)
		}
	}
}
