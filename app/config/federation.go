package config

import (
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"golang.org/x/net/http/httpproxy"
)

func (f Federation) check(p *problems) {
	p.unless(f.KeepResults.Duration >= 0, "federation.keep_results = %q: write a time span such as \"30d\", or \"0s\" for ever.", f.KeepResults)
	p.unless(f.KeepTasks.Duration >= 0, "federation.keep_tasks = %q: write a time span such as \"180d\", or \"0s\" for ever.", f.KeepTasks)
	if f.Proxy == "" || f.Proxy == "none" {
		return
	}
	u, err := url.Parse(f.Proxy)
	p.unless(err == nil && (u.Scheme == "http" || u.Scheme == "https") && u.Host != "",
		"federation.proxy = %q: write an address such as \"http://proxy.example.org:3128\", or \"none\".", f.Proxy)
}

// ProxyFunc answers which proxy a request to the outside takes; nil is none. The
// environment is read when ProxyFunc is called, not at each request.
func (f Federation) ProxyFunc() func(*http.Request) (*url.URL, error) {
	if f.Proxy == "none" {
		return func(*http.Request) (*url.URL, error) { return nil, nil }
	}
	env := httpproxy.FromEnvironment()
	if f.Proxy != "" {
		env.HTTPProxy, env.HTTPSProxy = f.Proxy, f.Proxy
	}
	choose := env.ProxyFunc()
	return func(r *http.Request) (*url.URL, error) {
		u := *r.URL
		switch u.Scheme { // a web socket goes the way of its http address
		case "wss":
			u.Scheme = "https"
		case "ws":
			u.Scheme = "http"
		}
		return choose(&u)
	}
}

// Part reads demo_part "k/n": the k-th of n parts, from 1; 1, 1 when it is empty.
func (c Config) Part() (k, n int, err error) {
	if c.DemoPart == "" {
		return 1, 1, nil
	}
	left, right, ok := strings.Cut(c.DemoPart, "/")
	k, errK := strconv.Atoi(left)
	n, errN := strconv.Atoi(right)
	if !ok || errK != nil || errN != nil || k < 1 || n < k || n > 100 {
		return 0, 0, fmt.Errorf("demo_part = %q: write which part of how many, such as \"1/3\"", c.DemoPart)
	}
	return k, n, nil
}
