package protocoltest

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"tresor/plugins/protocol"
)

// requests are what a server must survive: each is within the contract's size.
func requests() map[string]protocol.Request {
	caller := protocol.Caller{Principal: "p1", Kind: protocol.CallerClient, Name: "client", Project: "aurora"}
	big := strings.Repeat("a", 64<<10)
	out := map[string]protocol.Request{
		"nothing":             {},
		"no caller":           {Method: "GET", Path: "/"},
		"unknown caller":      {Method: "GET", Path: "/", Caller: protocol.Caller{Kind: "emperor", Name: "\xff\x00", Principal: big}},
		"odd method":          {Method: "BREW\n", Path: "/", Caller: caller},
		"long path":           {Method: "GET", Path: "/" + big, Caller: caller},
		"path of bad UTF-8":   {Method: "GET", Path: "/\xff\xfe", Caller: caller},
		"path with escapes":   {Method: "GET", Path: "/%00%zz%2f..%2f..", Caller: caller},
		"path upwards":        {Method: "GET", Path: "/../../etc/passwd", Caller: caller},
		"path of no slash":    {Method: "GET", Path: "x", Caller: caller},
		"odd query":           {Method: "GET", Path: "/", Query: "a=%zz&&=&;\x00" + big, Caller: caller},
		"thousand parameters": {Method: "GET", Path: "/", Query: strings.Repeat("tag_key=a&tag_value=b&", 1000), Caller: caller},
		"odd headers":         {Method: "GET", Path: "/", Header: map[string][]string{"": nil, "X\n": {"\x00"}, "Accept": {big}, "Content-Type": {"text/\xff"}}, Caller: caller},
		"odd base":            {Method: "GET", Path: "/", Base: "javascript:alert(1)//" + big, Caller: caller},
		"long remote id":      {Method: "POST", Path: "/", RemoteID: big, Body: []byte("{}"), Caller: caller},
		"odd settings":        {Method: "GET", Path: "/", Settings: protocol.Settings{"": big, "no-such-key": "\xff"}, Caller: caller},
	}
	bodies := map[string][]byte{
		"bytes": []byte("\x00\xff\xfe"), "null": []byte("null"), "array": []byte("[]"), "cut": []byte(`{"a":`), "deep": []byte(strings.Repeat("[", 100_000)),
		"deep objects": []byte(strings.Repeat(`{"a":`, 50_000)), "numbers": []byte(`{"a":1e999999,"b":-0,"c":99999999999999999999999}`),
		"2 MB": []byte(`{"name":"` + strings.Repeat("x", 2<<20) + `"}`), "twice": []byte(`{"name":"a","name":"b"}`), "two values": []byte(`{}{}`),
		"many keys": []byte("{" + strings.Repeat(`"k":0,`, 100_000) + `"z":0}`),
	}
	for name, b := range bodies {
		out["body: "+name] = protocol.Request{Method: "POST", Path: "/", Body: b, Caller: caller, Header: map[string][]string{"Content-Type": {"application/json"}}}
	}
	return out
}

// paths are tried with every request: the plugin's own are tried by its own tests.
var paths = []string{"", "/", "/v1/tasks", "/ga4gh/tes/v1/service-info", "/no-such-address"}

// serves tries every request with every host, then methods, then many at a time.
func serves(ctx context.Context, t *testing.T, a protocol.Adapter) {
	s := a.(protocol.Server)
	all := requests()
	for _, name := range slices.Sorted(maps.Keys(all)) {
		for host, h := range map[string]protocol.Host{"answers": &Host{}, "broken": broken{&Host{}}, "odd": strange(), "refuses": &Host{Refusal: &protocol.Error{Code: protocol.CodeDenied, Text: "not for you"}}} {
			serve(ctx, t, s, name+", host "+host, all[name], h)
		}
	}
	for _, path := range paths {
		for _, method := range []string{"GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "PATCH"} {
			serve(ctx, t, s, method+" "+path, protocol.Request{Method: method, Path: path, Body: []byte("{}")}, strange())
		}
	}
	together(16, func(i int) {
		for range 20 {
			serve(ctx, t, s, "one of 16 at a time", protocol.Request{Method: "GET", Path: paths[i%len(paths)]}, &Host{})
		}
	})
	looksUp(ctx, t, a)
	ended, cancel := context.WithCancel(ctx)
	cancel()
	_, _ = s.ServeRequest(ended, protocol.Request{Method: "GET", Path: "/"}, &Host{}) // a caller that has gone: whatever it says, it says it
}

// looksUp checks what is declared to be looked up: the route asks that question, and no
// other. As a child the host asks it, so a declaration that is not true asks twice.
func looksUp(ctx context.Context, t *testing.T, a protocol.Adapter) {
	for _, l := range description(ctx, t, a).Lookups {
		for value, view := range l.Views {
			r := protocol.Request{Method: l.Method, Path: strings.Replace(l.Path, "{id}", "job-1", 1)}
			if value != "" {
				r.Query = l.Query + "=" + url.QueryEscape(value)
			}
			want := fmt.Sprintf("job job-1 %s", view)
			if l.Limit > 0 {
				want = fmt.Sprintf("page %d %s", l.Limit, view)
			}
			for _, refusal := range []*protocol.Error{nil, {Code: protocol.CodeNotFound, Text: "There is no such job."}} {
				h := &Host{Refusal: refusal}
				serve(ctx, t, a.(protocol.Server), "looked up: "+l.Path, r, h)
				if len(h.Asked) != 1 || h.Asked[0] != want {
					t.Errorf("%s %s?%s, refusal %v: the host was asked %q, and %q is declared", r.Method, r.Path, r.Query, refusal, h.Asked, want)
				}
			}
		}
	}
}

// serve makes one request and checks that the answer can be passed on.
func serve(ctx context.Context, t *testing.T, s protocol.Server, name string, r protocol.Request, h protocol.Host) {
	t.Helper()
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	resp, err := s.ServeRequest(ctx, r, h)
	if err != nil {
		checkError(t, name, err)
		return
	}
	if resp.Status < 200 || resp.Status > 599 {
		t.Errorf("%s: status %d", name, resp.Status)
	}
	if len(resp.Body) > protocol.MaxMessage || strings.Contains(string(resp.Body), canary) {
		t.Errorf("%s: the body cannot be passed on (%d bytes)", name, len(resp.Body))
	}
	for k, values := range resp.Header {
		for _, v := range values {
			if !token(k) || strings.ContainsAny(v, "\r\n\x00") || len(v) > 8<<10 {
				t.Errorf("%s: header %q cannot be passed on", name, k)
			}
		}
	}
	switch k := http.Header(resp.Header); {
	case k.Get("Set-Cookie") != "":
		t.Errorf("%s: a plugin sets no cookies", name)
	case k.Get("Content-Length") != "" && k.Get("Content-Length") != strconv.Itoa(len(resp.Body)):
		t.Errorf("%s: a length of %s for %d bytes", name, k.Get("Content-Length"), len(resp.Body))
	}
}

// token reports whether s may be a header's name.
func token(s string) bool {
	return s != "" && !strings.ContainsFunc(s, func(r rune) bool {
		return r <= ' ' || r >= 0x7f || strings.ContainsRune(`()<>@,;:\"/[]?={}`, r)
	})
}

// checkError checks that an error may cross and can be shown.
func checkError(t *testing.T, name string, err error) {
	t.Helper()
	var e *protocol.Error
	switch {
	case !errors.As(err, &e) || !known(e):
		t.Errorf("%s: error %v is not of the vocabulary", name, err)
	case len(e.Text) > protocol.MaxErrorText || !utf8.ValidString(e.Text) || e.Text == "" || strings.Contains(e.Text, canary):
		t.Errorf("%s: the error's text cannot be shown: %.100q", name, e.Text)
	}
}
