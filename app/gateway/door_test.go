package gateway

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"tresor/app/access"
	"tresor/app/identity"
	"tresor/plugins/protocol"
)

// TestDoor: who is let in, and what an answer has.
func TestDoor(t *testing.T) {
	h := newHouse(t)
	_, who, token := h.client("Lab client")
	w := h.call("POST", "/ga4gh/tes/tasks", token, request())
	if w.Code != 200 || w.Header().Get(referenceHeader) == "" || w.Header().Get("Set-Cookie") != "" || w.Header().Get("X-Content-Type-Options") != "nosniff" {
		t.Fatalf("%d %v %s", w.Code, w.Header(), w.Body)
	}
	st := decode[protocol.JobState](t, w)
	if got := h.state(who, st.ID, protocol.Basic); got.Name != "Visits by health" {
		t.Errorf("%+v", got)
	}
	seen := decode[protocol.Request](t, h.call("GET", "/ga4gh/tes/whoami?x=%2f", token, nil, "Cookie", "session=1", "X-Forwarded-For", "1.2.3.4", "Accept", "text/plain"))
	if seen.Base != "https://tre.example/ga4gh/tes" || seen.Path != "/whoami" || seen.Query != "x=%2f" || seen.Caller.Name != "Lab client" || seen.Caller.Project != "aurora" ||
		seen.Correlation == "" || len(seen.Header) != 1 {
		t.Errorf("the plugin is given %+v", seen)
	}
	r := httptest.NewRequest("GET", "/ga4gh/tes/tasks", nil)
	r.Header.Set("Authorization", "Basic "+base64.StdEncoding.EncodeToString([]byte("anybody:"+token)))
	basic := httptest.NewRecorder()
	h.g.Door(echo{}).ServeHTTP(basic, r)
	if basic.Code != 200 {
		t.Errorf("the token as a password: %d", basic.Code)
	}
	if w := h.call("HEAD", "/ga4gh/tes/tasks", token, nil); w.Code != 200 || w.Body.Len() != 0 {
		t.Errorf("HEAD: %d with %d bytes", w.Code, w.Body.Len())
	}
}

func TestDoorRefusals(t *testing.T) {
	h := newHouse(t)
	p, _, token := h.client("Lab client")
	_, rosas := h.person("rosa", "aurora")
	old, olds := h.person("rosa", "aurora")
	h.must(h.g.RevokeToken(ctx, h.as("rosa"), old.ID, ""))
	for _, c := range []struct {
		name, method, path, token string
		body                      any
		header                    []string
		status                    int
		code                      string
	}{
		{"no token", "GET", "/ga4gh/tes/tasks", "", nil, nil, 401, CodeUnknown},
		{"a word", "GET", "/ga4gh/tes/tasks", "letmein", nil, nil, 401, CodeUnknown},
		{"a token that never was", "GET", "/ga4gh/tes/tasks", newToken(), nil, nil, 401, CodeUnknown},
		{"one letter off", "GET", "/ga4gh/tes/tasks", token[:len(token)-2] + "AA", nil, nil, 401, CodeUnknown},
		{"revoked", "GET", "/ga4gh/tes/tasks", olds, nil, nil, 401, CodeUnknown},
		{"no such plugin", "GET", "/ga4gh/beacon/x", token, nil, nil, 404, CodeNoPlugin},
		{"a strange plugin", "GET", "/ga4gh/..%2f/x", token, nil, nil, 404, CodeNotFound},
		{"outside the door", "GET", "/metrics", token, nil, nil, 404, CodeNotFound},
		{"OPTIONS", "OPTIONS", "/ga4gh/tes/tasks", token, nil, nil, 405, CodeMethod},
		{"CONNECT", "CONNECT", "/ga4gh/tes/tasks", token, nil, nil, 405, CodeMethod},
		{"a long id", "POST", "/ga4gh/tes/tasks", token, request(), []string{"Idempotency-Key", strings.Repeat("k", maxRemote+1)}, 400, CodeMalformed},
		{"an id with a control character", "POST", "/ga4gh/tes/tasks", token, request(), []string{"Idempotency-Key", "a\tb"}, 400, CodeMalformed},
		{"two ids", "POST", "/ga4gh/tes/tasks", token, request(), []string{"Idempotency-Key", "a", "Idempotency-Key", "b"}, 400, CodeMalformed},
		{"large", "POST", "/ga4gh/tes/tasks", token, make([]byte, MaxBody+1), nil, 413, CodeTooLarge},
		{"encoded", "POST", "/ga4gh/tes/tasks", token, []byte("{}"), []string{"Content-Encoding", "gzip"}, 415, CodeUnsupportedType},
		{"a long address", "GET", "/ga4gh/tes/" + strings.Repeat("x", 5000), token, nil, nil, 400, CodeMalformed},
		{"not JSON", "POST", "/ga4gh/tes/tasks", token, []byte("{"), nil, 400, CodeMalformed},
		{"nothing in it", "POST", "/ga4gh/tes/tasks", token, []byte("{}"), nil, 400, CodeMalformed},
		{"another's task", "GET", "/ga4gh/tes/tasks/" + ids(), rosas, nil, nil, 404, CodeNotFound},
		{"no such release", "GET", "/ga4gh/tes/releases/" + ids(), token, nil, nil, 404, CodeNotFound},
		{"two authorisations", "GET", "/ga4gh/tes/tasks", token, nil, []string{"Authorization", "Bearer " + token}, 401, CodeUnknown},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := h.call(c.method, c.path, c.token, c.body, c.header...)
			if w.Code != c.status || w.Header().Get(refusalHeader) != c.code {
				t.Errorf("%d %s %s, want %d %s", w.Code, w.Header().Get(refusalHeader), w.Body, c.status, c.code)
			}
			if w.Header().Get(referenceHeader) == "" || (w.Code == 401) != (w.Header().Get("WWW-Authenticate") != "") {
				t.Errorf("headers %v", w.Header())
			}
			if w.Header().Get("Access-Control-Allow-Origin") != "" || w.Header().Get("Set-Cookie") != "" {
				t.Error("a browser is invited")
			}
			h.clean(w.Body.String())
			if c.token != "" && strings.Contains(w.Body.String(), c.token) {
				t.Error("the token is in the answer")
			}
		})
	}
	written := map[string]int{}
	for _, e := range h.ledger(p.ID) {
		written[e.Code]++
	}
	if written[CodeNotFound] < 2 || written[CodeMalformed] < 6 || written[CodeMethod] != 2 || written[CodeTooLarge] != 1 {
		t.Errorf("written down: %v", written)
	}
}

// TestPersonDoor: a person's token is as good as its person.
func TestPersonDoor(t *testing.T) {
	for name, end := range map[string]func(h *house){
		"disabled": func(h *house) { h.disable("rosa") },
		"has left": func(h *house) { h.leave("rosa") },
		"expired":  func(h *house) { h.skew.Store(int64(31 * day)) },
		"an operator now": func(h *house) {
			h.leave("rosa")
			roles := []access.Role{access.Operator}
			_, err := h.identity.ChangePerson(ctx, access.System, h.people["rosa"].ID, identity.Change{Roles: &roles})
			h.must(err)
		},
	} {
		t.Run(name, func(t *testing.T) {
			h := newHouse(t)
			_, token := h.person("rosa", "aurora")
			if w := h.call("POST", "/ga4gh/tes/tasks", token, request()); w.Code != 200 {
				t.Fatalf("%d %s", w.Code, w.Body)
			}
			end(h)
			w := h.call("GET", "/ga4gh/tes/tasks", token, nil)
			if w.Code != 401 || w.Header().Get("WWW-Authenticate") == "" {
				t.Errorf("%d %s", w.Code, w.Body)
			}
			h.clean(w.Body.String())
		})
	}
}

// TestGuessing slows an address down, not those with a good token.
func TestGuessing(t *testing.T) {
	h := newHouse(t)
	_, _, token := h.client("Lab client")
	codes := map[int]int{}
	for range 100 {
		codes[h.call("GET", "/ga4gh/tes/tasks", newToken(), nil).Code]++
	}
	if codes[401] < guessBurst || codes[401] > guessBurst+3 || codes[429] < 70 {
		t.Errorf("%v", codes)
	}
	if w := h.call("GET", "/ga4gh/tes/tasks", token, nil); w.Code != 200 {
		t.Errorf("a good token behind the same address: %d", w.Code)
	}
	if n := h.number(`SELECT count(*) FROM audit_leaf WHERE verb = 'gateway.token-refused'`); n < 2 || n > 3 {
		t.Errorf("%d events of wrong tokens", n)
	}
	h.skew.Store(int64(time.Hour))
	if w := h.call("GET", "/ga4gh/tes/tasks", newToken(), nil); w.Code != 401 {
		t.Errorf("an hour later: %d", w.Code)
	}
}

// TestFloodIsCounted: refusals without end take few lines.
func TestFloodIsCounted(t *testing.T) {
	h := newHouse(t)
	p, who := h.hub("North hub")
	r := request()
	r.Project = "nowhere"
	for range 300 {
		_, _ = h.host(who).Submit(ctx, r)
	}
	lines, total := h.ledger(p.ID), int64(0)
	for _, e := range lines {
		total += e.Count
	}
	if len(lines) > 3*single || total != 300 {
		t.Errorf("%d lines for %d refusals", len(lines), total)
	}
	n, err := h.g.Counts(ctx)
	if err != nil || n.Refused[CodeNoProject] != 300 || n.Accepted != 0 {
		t.Errorf("%+v (%v)", n, err)
	}
}

// TestReleaseDoor: the whole zip, one file of it, a part of that, and what proves it.
func TestReleaseDoor(t *testing.T) {
	h := newHouse(t)
	p, who, token := h.client("Lab client")
	h.run()
	st := h.submit(who, request())
	h.approve(st.ID)
	done := h.until(who, st.ID, "released")
	file := "/ga4gh/tes/releases/" + done.Release + "/work/out/visits.csv"
	w := h.call("GET", file, token, nil)
	if w.Code != 200 || !strings.HasPrefix(w.Body.String(), "health,people") || digest(w.Body.Bytes()) != done.Outputs[0].SHA256 {
		t.Fatalf("%d %s", w.Code, w.Body)
	}
	if w.Header().Get("ETag") != `"`+done.Outputs[0].SHA256+`"` || !strings.HasPrefix(w.Header().Get("Repr-Digest"), "sha-256=:") {
		t.Errorf("%v", w.Header())
	}
	part := h.call("GET", file, token, nil, "Range", "bytes=7-12")
	if part.Code != http.StatusPartialContent || part.Body.String() != "people" {
		t.Errorf("%d %q", part.Code, part.Body)
	}
	whole := h.call("GET", "/ga4gh/tes/releases/"+done.Release, token, nil)
	if whole.Code != 200 || whole.Header().Get("Content-Type") != "application/zip" || !strings.HasPrefix(whole.Body.String(), "PK") {
		t.Errorf("%d %v", whole.Code, whole.Header())
	}
	head := h.call("HEAD", "/ga4gh/tes/releases/"+done.Release, token, nil)
	if head.Code != 200 || head.Body.Len() != 0 || head.Header().Get("Content-Length") != fmt.Sprint(whole.Body.Len()) {
		t.Errorf("%d %v", head.Code, head.Header())
	}
	for h.g.opens.spend(p.ID, h.now(), openBurst); ; { // byte by byte, without end
		w := h.call("GET", file, token, nil, "Range", "bytes=0-0")
		if w.Code == http.StatusTooManyRequests && w.Header().Get(refusalHeader) == CodeQuota {
			break
		}
		if w.Code != http.StatusPartialContent {
			t.Fatalf("%d %s", w.Code, w.Body)
		}
	}
	if _, err := h.host(who).ReadRelease(ctx, done.Release, 0); wireCode(err) != CodeQuota {
		t.Errorf("a plugin opens it once more: %v", err)
	}
	h.g.opens = newBuckets(openEvery, openBurst)
	if w := h.call("GET", file, token, nil, "If-None-Match", `"`+done.Outputs[0].SHA256+`"`); w.Code != 304 {
		t.Errorf("known bytes are sent again: %d", w.Code)
	}
	for _, path := range []string{"/etc/passwd", "/work/out/visits.csv/", "/work/out/../out/visits.csv", "/manifest.json"} {
		if w := h.call("GET", "/ga4gh/tes/releases/"+done.Release+path, token, nil); w.Code != 404 {
			t.Errorf("%s: %d", path, w.Code)
		}
	}
	_, _, other := h.client("Another client")
	if w := h.call("GET", file, other, nil); w.Code != 404 {
		t.Errorf("another client: %d", w.Code)
	}
	sent := 0
	for _, e := range h.ledger(p.ID) {
		if e.What == WhatRelease {
			sent++
			if e.SHA256 == "" || e.Bytes == 0 || e.Task != st.ID {
				t.Errorf("%+v", e)
			}
		}
	}
	if sent < 3 {
		t.Errorf("%d lines about what was sent", sent)
	}
}

// TestInsideDoor: no token, both forms of address, and nothing once the job is over.
func TestInsideDoor(t *testing.T) {
	h := newHouse(t)
	who, _ := h.person("rosa", "aurora")
	h.run()
	r := request("sleep")
	r.Outputs = nil
	st := h.submit(who, r)
	h.until(who, st.ID, "running")
	door := h.g.InsideDoor(echo{}, st.ID)
	ask := func(path string) *httptest.ResponseRecorder {
		r := httptest.NewRequest("GET", "http://tes.local"+path, nil)
		w := httptest.NewRecorder()
		door.ServeHTTP(w, r)
		return w
	}
	if got := decode[protocol.Request](t, ask("/whoami")); got.Base != "http://tes.local" || got.Caller.Kind != "inside" {
		t.Errorf("%+v", got)
	}
	if got := decode[protocol.Request](t, ask("/ga4gh/tes/whoami")); got.Base != "http://tes.local/ga4gh/tes" {
		t.Errorf("%+v", got)
	}
	h.must(h.host(who).Cancel(ctx, st.ID))
	h.until(who, st.ID, "cancelled")
	// What is remembered of it goes right after the commit that others can see already.
	h.wait("nobody is inside after the job's end", func() bool { return ask("/whoami").Code == 401 })
}

// waiter is a plugin that answers when it is told.
type waiter struct{ start chan struct{} }

func (p waiter) Server(context.Context, string) (protocol.Server, error) { return p, nil }

func (p waiter) ServeRequest(context.Context, protocol.Request, protocol.Host) (protocol.Response, error) {
	<-p.start
	return protocol.Response{Status: 200}, nil
}

// TestAtOnce: one caller with 1,000 requests under way keeps nobody else waiting.
func TestAtOnce(t *testing.T) {
	h := newHouse(t)
	_, who := h.hub("North hub")
	_, other := h.hub("South hub")
	slow := waiter{make(chan struct{})}
	codes := make(chan int, 1000)
	for range 1000 {
		go func() {
			resp, err := h.g.Serve(ctx, slow, who, "tes", protocol.Request{Method: "GET", Path: "/x"})
			if err != nil {
				t.Error(err)
			}
			codes <- resp.Status
		}()
	}
	for range 1000 - mostAtOnce {
		if c := <-codes; c != 429 {
			t.Fatalf("status %d", c)
		}
	}
	if resp, err := h.g.Serve(ctx, echo{}, other, "tes", protocol.Request{Method: "GET", Path: "/tasks"}); err != nil || resp.Status != 200 {
		t.Errorf("another hub: %d (%v)", resp.Status, err)
	}
	close(slow.start)
	for range mostAtOnce {
		if c := <-codes; c != 200 {
			t.Errorf("status %d", c)
		}
	}
	if len(h.g.slots.all) != 0 {
		t.Errorf("places are lost: %v", h.g.slots.all)
	}
}

// TestBadPlugins: a plugin that fails, lies or is slow is not the caller's fault, and
// nothing of what it says in passing reaches the caller.
func TestBadPlugins(t *testing.T) {
	h := newHouse(t)
	_, who := h.hub("North hub")
	for name, c := range map[string]struct {
		answer protocol.Response
		err    error
		status int
	}{
		"an error of its process":  {err: errors.New("CANARY panic at /tmp/x"), status: 503},
		"an internal error":        {err: &protocol.Error{Code: protocol.CodeInternal, Text: "CANARY"}, status: 500},
		"no server":                {err: &protocol.Error{Code: protocol.CodeUnsupported, Text: "x"}, status: 404},
		"an invented code":         {err: &protocol.Error{Code: "x", Text: "CANARY"}, status: 500},
		"no status":                {status: 500},
		"a status of 99":           {answer: protocol.Response{Status: 99}, status: 500},
		"a header with two lines":  {answer: protocol.Response{Status: 200, Header: map[string][]string{"Location": {"x\r\nSet-Cookie: a=b"}}}, status: 200},
		"headers that are not its": {answer: protocol.Response{Status: 200, Header: map[string][]string{"Set-Cookie": {"a=b"}, "Access-Control-Allow-Origin": {"*"}, "Server": {"x"}}}, status: 200},
	} {
		t.Run(name, func(t *testing.T) {
			resp, err := h.g.Serve(ctx, fixed{c.answer, c.err}, who, "tes", protocol.Request{Method: "GET", Path: "/x"})
			if err != nil || resp.Status != c.status {
				t.Errorf("%d (%v), want %d", resp.Status, err, c.status)
			}
			h.clean(string(resp.Body))
			for k := range resp.Header {
				if k == "Set-Cookie" || k == "Location" || k == "Access-Control-Allow-Origin" || k == "Server" {
					t.Errorf("the header %s passed", k)
				}
			}
		})
	}
}

type fixed struct {
	resp protocol.Response
	err  error
}

func (p fixed) Server(context.Context, string) (protocol.Server, error) { return p, nil }

func (p fixed) ServeRequest(context.Context, protocol.Request, protocol.Host) (protocol.Response, error) {
	return p.resp, p.err
}
