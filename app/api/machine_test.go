package api

import (
	"bytes"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
)

// machine sends one request to the machines' door.
func (w *world) machine(t testing.TB, method, path, token string, body io.Reader, headers ...string) reply {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, w.http.URL+path, body)
	if err != nil {
		t.Fatal(err)
	}
	if token != "" {
		req.Header.Set("Authorization", "Bearer "+token)
	}
	for i := 0; i+1 < len(headers); i += 2 {
		req.Header.Set(headers[i], headers[i+1])
	}
	return w.do(t, req)
}

func TestTheMachinesDoor(t *testing.T) {
	w := newWorld(t)
	cookie := cookieName + "=" + w.token(t, "operator")
	for _, c := range []struct {
		name        string
		r           reply
		status      int
		has, hasNot string
	}{
		{"a good token", w.machine(t, "GET", "/ga4gh/tes/v1/tasks?view=FULL", "good", nil), 200, "GET /ga4gh/tes/v1/tasks?view=FULL", ""},
		{"a body", w.machine(t, "POST", "/ga4gh/tes/v1/tasks", "good", strings.NewReader("{}")), 200, "body={}", ""},
		{"a path with escapes", w.machine(t, "GET", "/ga4gh/tes/v1/tasks/a%2Fb", "good", nil), 200, "a%2Fb", ""},
		{"a cookie does not get in", w.machine(t, "GET", "/ga4gh/tes", "good", nil, "Cookie", cookie), 200, "cookie= ", cookieName},
		{"a cookie is no token", w.machine(t, "GET", "/ga4gh/tes", "", nil, "Cookie", cookie), 401, "", ""},
		{"a page of another site has no token", w.machine(t, "POST", "/ga4gh/tes", "", nil, "Origin", "https://evil.example", "Cookie", cookie), 401, "", ""},
		{"a page of another site with one is a program", w.machine(t, "POST", "/ga4gh/tes", "good", nil, "Origin", "https://workflow.example"), 200, "", ""},
		{"a preflight is not answered", w.machine(t, "OPTIONS", "/ga4gh/tes", "", nil, "Origin", "https://evil.example", "Access-Control-Request-Method", "POST"), 401, "", "allow"},
		{"the caller's own correlation id is not kept", w.machine(t, "GET", "/ga4gh/tes", "good", nil, CorrelationHeader, "mine-mine"), 200, "correlation=", "mine-mine"},
		{"a body too large", w.machine(t, "POST", "/ga4gh/tes", "good", bytes.NewReader(make([]byte, machineMax+1))), 413, "", ""},
		{"a panic behind it", w.machine(t, "GET", "/ga4gh/panic", "good", nil), 500, "correlation", "secret panic text"},
	} {
		t.Run(c.name, func(t *testing.T) {
			if c.r.status != c.status || !strings.Contains(c.r.body, c.has) || c.hasNot != "" && strings.Contains(c.r.body, c.hasNot) {
				t.Errorf("got %d %s", c.r.status, c.r.body)
			}
			if c.r.header.Get(CorrelationHeader) == "" || c.r.header.Get("Cache-Control") != "no-store" || c.r.header.Get("Access-Control-Allow-Origin") != "" {
				t.Errorf("headers %v", c.r.header)
			}
		})
	}
	if log := w.log.String(); strings.Contains(log, "Bearer") || strings.Contains(log, "view=FULL") {
		t.Error("the log holds what a machine typed")
	}
}

// TestRefusalsAreLogged: a line says which request was refused and by which code, and
// nothing else of the answer.
func TestRefusalsAreLogged(t *testing.T) {
	w := newWorld(t)
	for path, want := range map[string]string{"quota": "quota", "no-project": "no-project", "Rosa Keller": "", "a=b": "", strings.Repeat("x", 33): ""} {
		r := w.machine(t, "POST", "/ga4gh/refused/"+strings.ReplaceAll(path, " ", "%20"), "good", nil)
		line := w.lineOf(r.header.Get(CorrelationHeader))
		if r.status != 429 || !strings.Contains(line, `"status":429`) {
			t.Fatalf("%s: %d, logged %q", path, r.status, line)
		}
		if want != "" && !strings.Contains(line, `"code":"`+want+`"`) || want == "" && (strings.Contains(line, `"code"`) || strings.Contains(line, path)) {
			t.Errorf("%s: logged %q", path, line)
		}
	}
}

// lineOf is the line of the log that holds a word; it is written after the answer.
func (w *world) lineOf(word string) string {
	for end := time.Now().Add(30 * time.Second); time.Now().Before(end); time.Sleep(time.Millisecond) {
		for line := range strings.Lines(w.log.String()) {
			if strings.Contains(line, word) {
				return line
			}
		}
	}
	return ""
}

// The local socket vouches for an operator, who is no machine.
func TestTheLocalSocketHasNoMachinesDoor(t *testing.T) {
	w := newWorld(t)
	req, err := http.NewRequestWithContext(t.Context(), "GET", w.local.URL+"/ga4gh/tes", nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer good")
	if r := w.do(t, req); r.status != 404 || strings.Contains(r.body, "GET /ga4gh") {
		t.Errorf("got %d %s", r.status, r.body)
	}
}

func TestGuessingTokensHasToWait(t *testing.T) {
	l := unlimited
	l.SignIn, l.SignInBurst = 0.001, 3
	w := buildWorld(t, options{limits: l})
	for i := range 3 {
		if r := w.machine(t, "GET", "/ga4gh/tes", "bad", nil); r.status != 401 {
			t.Fatalf("guess %d: %d", i, r.status)
		}
	}
	r := w.machine(t, "GET", "/ga4gh/tes", "bad", nil)
	if r.status != 429 || r.header.Get("Retry-After") == "" || !strings.Contains(r.body, codeRate) {
		t.Errorf("after three guesses: %d %s", r.status, r.body)
	}
	if r := w.machine(t, "GET", "/ga4gh/tes", "good", nil); r.status != 200 {
		t.Errorf("another program behind the address is shut out: %d", r.status)
	}
}

// TestSlowMachines: a body has its time, and an answer may take longer than that.
func TestSlowMachines(t *testing.T) {
	w := newWorld(t)
	w.server.machineRead = time.Second
	for _, method := range []string{"GET", "POST"} {
		if r := w.machine(t, method, "/ga4gh/slow", "good", strings.NewReader("{}")); r.status != 200 || r.body != "still here" {
			t.Errorf("%s: an answer that takes its time: %d %s", method, r.status, r.body)
		}
	}
	in, out := io.Pipe()
	go func() { _, _ = out.Write([]byte("{")) }() // and never the rest
	t.Cleanup(func() { out.Close() })
	req, err := http.NewRequestWithContext(t.Context(), "POST", w.http.URL+"/ga4gh/tes", in)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer good")
	began := time.Now()
	resp, err := w.http.Client().Do(req)
	if err == nil {
		resp.Body.Close()
		if resp.StatusCode < 400 {
			t.Errorf("half a body is a request: %d", resp.StatusCode)
		}
	}
	if took := time.Since(began); took > 20*time.Second {
		t.Errorf("a sender that stops holds a connection for %s", took)
	}
}

func TestGoodTokensNeverWait(t *testing.T) {
	l := unlimited
	l.SignIn, l.SignInBurst = 0.001, 3
	w := buildWorld(t, options{limits: l})
	for range 20 {
		if r := w.machine(t, "GET", "/ga4gh/tes", "good", nil); r.status != 200 {
			t.Fatalf("%d", r.status)
		}
	}
}

func BenchmarkMachinesDoor(b *testing.B) {
	w := newWorld(b)
	req := httptest.NewRequest("GET", "/ga4gh/tes/v1/tasks", nil)
	req.Header.Set("Authorization", "Bearer good")
	for b.Loop() {
		w.server.Handler().ServeHTTP(httptest.NewRecorder(), req)
	}
}
