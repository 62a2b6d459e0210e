package gateway

import (
	"crypto/tls"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"strings"
	"testing"
	"time"

	"tresor/app/fault"
	"tresor/app/job"
	"tresor/plugins/protocol"
)

// world answers for every host outside; the fetcher reaches nothing else.
func (h *house) world(t *testing.T, pages map[string]http.HandlerFunc) {
	t.Helper()
	srv := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if f, ok := pages[strings.TrimSuffix(r.Host, ":443")+r.URL.Path]; ok {
			f(w, r)
			return
		}
		http.NotFound(w, r)
	}))
	t.Cleanup(srv.Close)
	to, _ := url.Parse(srv.URL)
	h.g.Fetch.Transport = roundTrip(func(r *http.Request) (*http.Response, error) {
		if r.URL.Scheme != "https" {
			t.Errorf("%s was asked for", r.URL)
		}
		r = r.Clone(r.Context())
		r.Host, r.URL.Host = r.URL.Host, to.Host
		return srv.Client().Transport.RoundTrip(r)
	})
}

type roundTrip func(*http.Request) (*http.Response, error)

func (f roundTrip) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

func text(s string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, s) }
}

func redirect(to string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, to, http.StatusFound) }
}

func (h *house) allow(sources ...Source) {
	h.t.Helper()
	for _, s := range sources {
		_, err := h.g.AddSource(ctx, h.as("olga"), s)
		h.must(err)
	}
}

// TestFetch: allowed addresses are fetched before anybody approves, and pinned.
func TestFetch(t *testing.T) {
	h := newHouse(t)
	p, who := h.hub("North hub")
	every := ApprovalEvery
	_, err := h.g.Change(ctx, h.as("olga"), p.ID, Change{Approval: &every})
	h.must(err)
	h.world(t, map[string]http.HandlerFunc{
		"data.example.org/public/x.csv":               text("a,b\n1,2\n"),
		"data.example.org/public/moved.csv":           redirect("https://data.example.org/public/x.csv"),
		"store.example.org/bucket/ref/y.csv":          text("y"),
		"drs.example.org/ga4gh/drs/v1/objects/abc123": text(`{"access_methods":[{"type":"s3","access_url":{"url":"s3://x/y"}},{"type":"https","access_url":{"url":"https://data.example.org/public/x.csv"}}]}`),
	})
	h.allow(Source{Prefix: "https://data.example.org/public"}, Source{Prefix: "s3://bucket/ref/", Endpoint: "https://store.example.org"},
		Source{Prefix: "drs://drs.example.org/", Endpoint: "https://drs.example.org"})
	for source, want := range map[string]struct{ content, origin string }{
		"https://data.example.org/public/x.csv":            {"a,b\n1,2\n", "https://data.example.org/public/x.csv"},
		"https://data.example.org/public/x.csv?sig=SECRET": {"a,b\n1,2\n", "https://data.example.org/public/x.csv?…"},
		"https://DATA.example.org:443/public/x.csv":        {"a,b\n1,2\n", "https://DATA.example.org:443/public/x.csv"},
		"https://data.example.org/public/moved.csv":        {"a,b\n1,2\n", "https://data.example.org/public/moved.csv"},
		"s3://bucket/ref/y.csv":                            {"y", "s3://bucket/ref/y.csv"},
		"drs://drs.example.org/abc123":                     {"a,b\n1,2\n", "drs://drs.example.org/abc123"},
	} {
		r := request()
		r.Inputs = []protocol.Input{{Path: "/work/in/x.csv", Source: source}}
		st, err := h.host(who).Submit(ctx, r)
		if err != nil {
			t.Errorf("%s: %v", source, err)
			continue
		}
		j, err := h.jobs.Get(ctx, h.as("lena"), st.ID)
		if err != nil || j.State != job.Submitted || len(j.Places) != 1 {
			t.Fatalf("%s: %s %+v (%v)", source, j.State, j.Places, err)
		}
		if got := j.Places[0]; got.Origin != want.origin || got.SHA256 != digest([]byte(want.content)) || got.Size != int64(len(want.content)) {
			t.Errorf("%s: %+v", source, got)
		}
		if got := h.ledger(p.ID)[0]; got.What != WhatFetched || got.Direction != In || got.SHA256 != digest([]byte(want.content)) || got.Text != want.origin || got.Task != st.ID {
			t.Errorf("the ledger has %+v", got)
		}
	}
}

// TestFetchRefusals: what the list does not cover, and what answers badly.
func TestFetchRefusals(t *testing.T) {
	h := newHouse(t)
	_, who := h.hub("North hub")
	h.g.Fetch.MaxSize = 100
	h.world(t, map[string]http.HandlerFunc{
		"data.example.org/public/large": text(strings.Repeat("x", 101)),
		"data.example.org/public/endless": func(w http.ResponseWriter, _ *http.Request) {
			w.(http.Flusher).Flush()
			fmt.Fprint(w, strings.Repeat("x", 200))
		},
		"data.example.org/public/out":    redirect("https://other.example.org/x"),
		"data.example.org/public/plain":  redirect("http://data.example.org/public/x"),
		"data.example.org/public/in":     redirect("https://127.0.0.1/x"),
		"data.example.org/public/round":  redirect("https://data.example.org/public/round"),
		"data.example.org/public/slow":   func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() },
		"data.example.org/public/broken": func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(500); fmt.Fprint(w, "CANARY-PAGE") },
		"data.example.org/public/short": func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", "50")
			fmt.Fprint(w, "x")
		},
		"data.example.org/public/cut": func(w http.ResponseWriter, _ *http.Request) {
			if c, _, err := w.(http.Hijacker).Hijack(); err == nil {
				fmt.Fprint(c, "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nhalf of it")
				_ = c.Close()
			}
		},
		"drs.example.org/ga4gh/drs/v1/objects/closed":          text(`{"access_methods":[{"type":"https","access_id":"w"},{"type":"https","access_url":{"url":"https://other.example.org/x"}}]}`),
		"drs.example.org/ga4gh/drs/v1/objects/closed/access/w": func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(403) },
		"drs.example.org/ga4gh/drs/v1/objects/out":             text(`{"access_methods":[{"type":"https","access_url":{"url":"https://other.example.org/x"}}]}`),
		"drs.example.org/ga4gh/drs/v1/objects/bad":             text(`not JSON`),
	})
	h.allow(Source{Prefix: "https://data.example.org/public/"}, Source{Prefix: "drs://drs.example.org/", Endpoint: "https://drs.example.org"},
		Source{Prefix: "https://plugin.example.org/", Plugin: "poller"})
	for source, code := range map[string]string{
		"https://data.example.org/public/large":               CodeTooLarge,
		"https://data.example.org/public/endless":             CodeTooLarge,
		"https://data.example.org/public/out":                 CodeSource,
		"https://data.example.org/public/plain":               CodeSource,
		"https://data.example.org/public/in":                  CodeSource,
		"https://data.example.org/public/round":               CodeUnavailable,
		"https://data.example.org/public/slow":                CodeUnavailable,
		"https://data.example.org/public/broken":              CodeUnavailable,
		"https://data.example.org/public/short":               CodeUnavailable,
		"https://data.example.org/public/cut":                 CodeUnavailable,
		"https://data.example.org/public/x#SECRET":            CodeSource,
		"drs://drs.example.org/closed":                        CodeUnavailable,
		"https://data.example.org/public/absent":              CodeMalformed,
		"https://data.example.org/publicity/x":                CodeSource,
		"https://data.example.org/private/x":                  CodeSource,
		"https://data.example.org/public/../private/x":        CodeSource,
		"https://data.example.org/public/%2e%2e/private/x":    CodeSource,
		"https://data.example.org/public%2f..%2fprivate":      CodeSource,
		"https://data.example.org:8443/public/x":              CodeSource,
		"https://data.example.org.evil.net/public/x":          CodeSource,
		"https://evil.net/?https://data.example.org/public/x": CodeSource,
		"https://evil.net\\@data.example.org/public/x":        CodeSource,
		"https://data.example.org@evil.net/public/x":          CodeSource,
		"http://data.example.org/public/x":                    CodeSource,
		"https://plugin.example.org/x":                        CodeSource,
		"drs://drs.example.org/out":                           CodeSource,
		"drs://drs.example.org/bad":                           CodeUnavailable,
		"s3://bucket/x":                                       CodeSource,
		"https://":                                            CodeSource,
		"javascript:alert(1)":                                 CodeSource,
	} {
		h.g.Fetch.Timeout = time.Minute
		if strings.HasSuffix(source, "/slow") {
			h.g.Fetch.Timeout = 300 * time.Millisecond
		}
		r := request()
		r.Inputs = []protocol.Input{{Path: "/work/in/x", Source: source}}
		_, err := h.host(who).Submit(ctx, r)
		if err == nil || wireCode(err) != code {
			t.Errorf("%s: %v, want %s", source, err, code)
			continue
		}
		h.clean(err.Error())
		if strings.Contains(err.Error(), "SECRET") {
			t.Errorf("%s: %v", source, err)
		}
	}
	if n := h.number(`SELECT count(*) FROM job`); n != 0 {
		t.Errorf("%d jobs", n)
	}
}

// TestTheSumOfFetchedFiles: each file is small enough, and all together are not.
func TestTheSumOfFetchedFiles(t *testing.T) {
	h := newHouse(t)
	_, who := h.hub("North hub")
	h.g.Fetch.MaxSize = 100
	h.world(t, map[string]http.HandlerFunc{"data.example.org/x": text(strings.Repeat("x", 100)), "data.example.org/endless": func(w http.ResponseWriter, r *http.Request) {
		w.(http.Flusher).Flush()
		fmt.Fprint(w, strings.Repeat("x", 100))
	}})
	h.allow(Source{Prefix: "https://data.example.org/"})
	for _, last := range []string{"x", "endless"} {
		for n, code := range map[int]string{3: "", 4: CodeTooLarge} {
			r := request("sleep")
			for i := range n {
				r.Inputs = append(r.Inputs, protocol.Input{Path: fmt.Sprintf("/work/in/%d", i), Source: "https://data.example.org/x"})
			}
			r.Inputs = append(r.Inputs, protocol.Input{Path: "/work/in/last", Source: "https://data.example.org/" + last})
			if _, err := h.host(who).Submit(ctx, r); code == "" {
				h.must(err)
			} else {
				h.wantRefusal(err, code, "all that may still be fetched")
			}
		}
	}
}

// TestNothingIsFetchedInVainForEver: whoever has files fetched for requests that are
// refused after it fills the vault with what no task names, so that has an end.
func TestNothingIsFetchedInVainForEver(t *testing.T) {
	h := newHouse(t)
	_, who := h.hub("North hub")
	_, other := h.hub("South hub")
	h.world(t, map[string]http.HandlerFunc{"data.example.org/x": text("x"), "drs.example.org/ga4gh/drs/v1/objects/lie": drsAnswer(strings.Repeat("0", 64), drsURL("https", "https://data.example.org/x"))})
	h.allow(Source{Prefix: "https://data.example.org/"}, Source{Prefix: "drs://drs.example.org/", Endpoint: "https://drs.example.org"})
	h.g.vain = newBuckets(0, 5)
	absent, lie, host := request("sleep"), request("sleep"), request("sleep")
	fresh := protocol.Input{Path: "/work/in/x", Source: "https://data.example.org/x"}
	absent.Inputs = []protocol.Input{fresh, {Path: "/work/in/y", Source: "https://data.example.org/absent"}}
	lie.Inputs = []protocol.Input{{Path: "/work/in/x", Source: "drs://drs.example.org/lie"}}
	host.Inputs = []protocol.Input{fresh, {Path: "/work/in/y", Source: "tresor://dataset/health/none.csv"}}
	good := request("sleep")
	good.Inputs = []protocol.Input{fresh}
	for range 10 { // what is accepted counts as a task
		h.submit(who, good)
	}
	for _, r := range []protocol.JobRequest{absent, lie, host, absent, absent} {
		_, err := h.host(who).Submit(ctx, r)
		h.wantRefusal(err, CodeMalformed, "")
	}
	_, err := h.host(who).Submit(ctx, good)
	h.wantRefusal(err, CodeQuota, "fetched for requests of yours that were then refused")
	h.submit(who, request("sleep"))
	h.submit(other, good)
}

// TestPluginFetch: a plugin calls what is listed for it, and nothing else.
func TestPluginFetch(t *testing.T) {
	h := newHouse(t)
	_, who := h.hub("North hub")
	h.world(t, map[string]http.HandlerFunc{
		"api.example.org/v1/x": func(w http.ResponseWriter, r *http.Request) {
			fmt.Fprintf(w, "%s %s %s", r.Method, r.URL.RawQuery, r.Header.Get("Authorization"))
		},
		"api.example.org/v1/large": text(strings.Repeat("x", mostAnswer+1)),
	})
	h.allow(Source{Prefix: "https://api.example.org/v1/", Plugin: "poller"}, Source{Prefix: "https://data.example.org/"})
	x := h.g.HostFor(who, "poller")
	resp, err := x.Fetch(ctx, protocol.Request{Method: "POST", Path: "https://api.example.org/v1/x", Query: "a=b", Header: map[string][]string{"authorization": {"Bearer y"}, "Host": {"evil"}}})
	if err != nil || string(resp.Body) != "POST a=b Bearer y" {
		t.Errorf("%s (%v)", resp.Body, err)
	}
	for address, code := range map[string]string{"https://data.example.org/x": CodeSource, "https://api.example.org/v2/x": CodeSource, "http://api.example.org/v1/x": CodeSource,
		"https://api.example.org/v1/large": CodeTooLarge} {
		if _, err := x.Fetch(ctx, protocol.Request{Method: "GET", Path: address}); wireCode(orNone(err)) != code {
			t.Errorf("%s: %v", address, err)
		}
	}
	if _, err := h.host(who).Fetch(ctx, protocol.Request{Method: "GET", Path: "https://api.example.org/v1/x"}); wireCode(orNone(err)) != CodeSource {
		t.Errorf("another plugin: %v", err)
	}
	resp, err = h.g.FetchFor(ctx, "poller", protocol.Request{Method: "GET", Path: "https://api.example.org/v1/x"})
	if err != nil || string(resp.Body) != "GET  " {
		t.Errorf("in a test of the plugin: %s (%v)", resp.Body, err)
	}
	for _, plugin := range []string{"other", ""} {
		if _, err := h.g.FetchFor(ctx, plugin, protocol.Request{Method: "GET", Path: "https://api.example.org/v1/x"}); wireCode(orNone(err)) != CodeSource {
			t.Errorf("in a test of %q: %v", plugin, err)
		}
	}
}

func orNone(err error) error {
	if err == nil {
		return fmt.Errorf("none")
	}
	return err
}

// TestTransport: the real one verifies TLS and stays away from this network.
func TestTransport(t *testing.T) {
	h := newHouse(t)
	h.allow(Source{Prefix: "https://data.example.org/"})
	all, err := h.g.sources(ctx)
	h.must(err)
	tr := h.g.fetcher(all, "").transport().(*http.Transport)
	if tr.TLSClientConfig.InsecureSkipVerify || tr.TLSClientConfig.MinVersion < tls.VersionTLS12 || !tr.DisableCompression {
		t.Error("the transport is not what it should be")
	}
	srv := httptest.NewTLSServer(text("inside"))
	defer srv.Close()
	_, port, _ := strings.Cut(strings.TrimPrefix(srv.URL, "https://"), ":")
	for name, private := range map[string]bool{"localhost.example.org": false, "127.0.0.1": true, "minio": true, "store.internal": true, "data.example.org": false} {
		if privateName(name) != private {
			t.Errorf("%s: private %v", name, !private)
		}
	}
	if err := only(publicAddr, "127.0.0.1:"+port); err == nil {
		t.Error("a name outside may lead to this host")
	}
	if _, err := (&fetcher{s: h.g}).get(ctx, spot{at: &url.URL{Scheme: "https", Host: "127.0.0.1:" + port}}); fault.KindOf(err) != fault.Unavailable || !strings.Contains(err.Error(), "x509") {
		t.Errorf("a certificate of nobody: %v", err)
	}
}

func TestPublicAddresses(t *testing.T) {
	for ip, public := range map[string]bool{
		"93.184.215.14": true, "2606:2800:21f:cb07::1": true, "8.8.8.8": true,
		"127.0.0.1": false, "::1": false, "10.1.2.3": false, "172.16.0.1": false, "192.168.1.1": false, "169.254.169.254": false, "100.64.0.1": false,
		"0.0.0.0": false, "::": false, "fe80::1": false, "fd00::1": false, "fc00::1": false, "224.0.0.1": false, "ff02::1": false, "255.255.255.255": false,
		"::ffff:127.0.0.1": false, "::ffff:10.0.0.1": false, "64:ff9b::7f00:1": false, "2002:7f00:1::": false, "198.18.0.1": false, "240.0.0.1": false, "192.0.0.8": false,
		"::127.0.0.1": false, "::ffff:169.254.169.254": false,
	} {
		if publicAddr(netip.MustParseAddr(ip)) != public {
			t.Errorf("%s: public %v", ip, !public)
		}
		own := map[string]bool{"10.1.2.3": true, "172.16.0.1": true, "192.168.1.1": true, "100.64.0.1": true, "fd00::1": true, "fc00::1": true, "::ffff:10.0.0.1": true}[ip]
		if got := notThisHost(netip.MustParseAddr(ip)); got != (public || own) {
			t.Errorf("%s: of others %v", ip, got)
		}
	}
}

func TestSourceEntries(t *testing.T) {
	h := newHouse(t)
	for name, s := range map[string]Source{
		"nothing": {}, "no host": {Prefix: "https://"}, "http": {Prefix: "http://x.example.org/"}, "a query": {Prefix: "https://x.example.org/?a"}, "a user": {Prefix: "https://a@x.example.org/"},
		"another kind": {Prefix: "https://x.example.org/", Kind: "s3"}, "s3 without an endpoint": {Prefix: "s3://bucket/"}, "a plain endpoint": {Prefix: "s3://bucket/", Endpoint: "http://x"},
		"dots": {Prefix: "https://x.example.org/a/../b"}, "a file": {Prefix: "file:///etc/"}, "a plugin's bucket": {Prefix: "s3://bucket/", Endpoint: "https://x.example.org", Plugin: "p"},
		"a port of a bucket": {Prefix: "s3://bucket:9000/", Endpoint: "https://x.example.org"}, "a bucket of dots": {Prefix: "s3://../", Endpoint: "https://x.example.org"},
		"blanks": {Prefix: "https://x.example.org/a b"}, "a fragment": {Prefix: "https://x.example.org/#a"},
	} {
		if _, err := h.g.AddSource(ctx, h.as("olga"), s); fault.KindOf(err) != fault.Invalid {
			t.Errorf("%s: %v", name, err)
		}
	}
	src, err := h.g.AddSource(ctx, h.as("olga"), Source{Prefix: " HTTPS://Data.Example.org/a "})
	if err != nil || src.Prefix != "https://data.example.org/a/" || src.Kind != SourceHTTPS {
		t.Errorf("%+v (%v)", src, err)
	}
	if _, err := h.g.AddSource(ctx, h.as("olga"), Source{Prefix: "https://data.example.org/a/"}); fault.KindOf(err) != fault.Conflict {
		t.Error(err)
	}
	other, err := h.g.AddSource(ctx, h.as("olga"), Source{Prefix: src.Prefix, Plugin: "beacon"})
	h.must(err)
	if err := h.g.DropSource(ctx, h.as("olga"), src.Prefix); fault.KindOf(err) != fault.Conflict {
		t.Errorf("one of two: %v", err)
	}
	h.must(h.g.DropSource(ctx, h.as("olga"), other.ID))
	h.must(h.g.DropSource(ctx, h.as("olga"), src.Prefix))
	if list, err := h.g.Sources(ctx, h.as("olga")); err != nil || len(list) != 0 {
		t.Errorf("%v (%v)", list, err)
	}
}

// FuzzSource: an address that a list covers has its host and begins with its path,
// however it is written.
func FuzzSource(f *testing.F) {
	for _, s := range []string{"https://data.example.org/public/x", "https://data.example.org/public/../x", "https://a@data.example.org/public/", "https://data.example.org/public/%2e%2e/x",
		"HTTPS://DATA.example.org:443/public/x?y#z", "s3://bucket/x", "https://data.example.org\\@evil/public/", "https://data.example.org/public//x", "https://[::1]/public/"} {
		f.Add(s)
	}
	list := &fetcher{sources: []Source{{Prefix: "https://data.example.org/public/", Kind: SourceHTTPS}}}
	f.Fuzz(func(t *testing.T, raw string) {
		if _, err := list.allowed(raw); err != nil {
			return
		}
		u, err := url.Parse(raw)
		if err != nil || !strings.EqualFold(u.Hostname(), "data.example.org") || u.User != nil || !strings.HasPrefix(u.Path, "/public/") || strings.Contains(u.Path, "/..") ||
			(u.Port() != "" && u.Port() != "443") || !strings.EqualFold(u.Scheme, "https") {
			t.Errorf("%q is covered", raw)
		}
		_ = shown(raw)
	})
}

// FuzzToken: nothing but a token has a hash, and a hash says nothing of the token.
func FuzzToken(f *testing.F) {
	f.Add("trs_")
	f.Add(newToken())
	f.Add("trs_" + strings.Repeat("A", 43))
	f.Add("trs_" + strings.Repeat("=", 43))
	f.Fuzz(func(t *testing.T, s string) {
		hash, ok := tokenHash(s)
		if ok && (len(hash) != 64 || len(s) != tokenLength || !strings.HasPrefix(s, tokenPrefix)) {
			t.Errorf("%q has the hash %q", s, hash)
		}
		if !ok && hash != "" {
			t.Errorf("%q is no token and has the hash %q", s, hash)
		}
	})
}

// FuzzDataset: whatever a reference says, a place names a dataset that was lent.
func FuzzDataset(f *testing.F) {
	for _, s := range []string{"health", "health@1/visits.csv", "health@/x", "genome", "health/../x", "@", "/", "health@1@2/x", "health//0", "health@99999999999999999999/x"} {
		f.Add(s, true)
	}
	l := lent{datasets: []string{"d1"}}
	l.project.Datasets = append(l.project.Datasets, grant("d1", "health"), grant("d2", "genome"))
	f.Fuzz(func(t *testing.T, ref string, folder bool) {
		p, err := l.dataset(job.Place{Path: "/work/in", Directory: folder}, ref)
		if err == nil && (p.Dataset != "d1" || p.Version < 0 || strings.HasPrefix(p.File, "/") || strings.Contains("/"+p.File+"/", "/../")) {
			t.Errorf("%q is %+v", ref, p)
		}
	})
}
