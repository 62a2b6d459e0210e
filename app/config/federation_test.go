package config

import (
	"net/http"
	"strings"
	"testing"
)

func TestPart(t *testing.T) {
	for _, c := range []struct {
		text string
		k, n int
		ok   bool
	}{{"", 1, 1, true}, {"1/3", 1, 3, true}, {"3/3", 3, 3, true}, {"0/3", 0, 0, false}, {"4/3", 0, 0, false}, {"1", 0, 0, false}, {"1/101", 0, 0, false}, {"a/b", 0, 0, false}} {
		k, n, err := Config{DemoPart: c.text}.Part()
		if (err == nil) != c.ok || k != c.k || n != c.n {
			t.Errorf("%q: %d of %d, error %v", c.text, k, n, err)
		}
		if err != nil && !strings.Contains(err.Error(), `"1/3"`) {
			t.Errorf("%q: %v does not say what to write", c.text, err)
		}
	}
}

func TestProxyFunc(t *testing.T) {
	t.Setenv("HTTPS_PROXY", "http://from-env:1")
	t.Setenv("NO_PROXY", "inside.example")
	for _, c := range []struct{ name, setting, url, want string }{
		{"environment", "", "https://hub.example/x", "http://from-env:1"},
		{"environment, web socket", "", "wss://hub.example/x", "http://from-env:1"},
		{"setting wins", "http://set:2", "wss://hub.example/x", "http://set:2"},
		{"none wins", "none", "wss://hub.example/x", ""},
		{"NO_PROXY holds for the setting too", "http://set:2", "https://inside.example/", ""},
		{"loopback is never proxied", "http://set:2", "https://127.0.0.1:1/", ""},
	} {
		r, err := http.NewRequest(http.MethodGet, c.url, nil)
		if err != nil {
			t.Fatal(err)
		}
		u, err := Federation{Proxy: c.setting}.ProxyFunc()(r)
		got := ""
		if u != nil {
			got = u.String()
		}
		if err != nil || got != c.want {
			t.Errorf("%s: %q, error %v, want %q", c.name, got, err, c.want)
		}
	}
}

func TestFederationRefusals(t *testing.T) {
	for _, c := range []struct{ set, says string }{
		{"federation.proxy=ftp://x", `federation.proxy = "ftp://x"`},
		{"demo_part=4/3", `demo_part = "4/3"`},
	} {
		if _, err := Load("", nil, []string{c.set}); err == nil || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: %v", c.set, err)
		}
	}
	if _, err := Load("", nil, []string{"demo=true", "hub=true"}); err == nil || !strings.Contains(err.Error(), "demo and hub") {
		t.Errorf("demo and hub: %v", err)
	}
}
