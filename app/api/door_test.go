package api

import (
	"context"
	"encoding/json"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"tresor/app/access"
	"tresor/app/audit"
	"tresor/app/store"
)

func TestAnswersCarryTheirHeaders(t *testing.T) {
	w := newWorld(t)
	for _, r := range []reply{w.as(t, "none", "GET", "/server", nil), w.as(t, "none", "GET", "/home", nil), w.as(t, "none", "GET", "/nowhere", nil)} {
		for name, want := range map[string]string{"Cache-Control": "no-store", "X-Content-Type-Options": "nosniff", "X-Frame-Options": "DENY",
			"Referrer-Policy": "no-referrer", "Cross-Origin-Resource-Policy": "same-origin"} {
			if got := r.header.Get(name); got != want {
				t.Errorf("%d: %s is %q", r.status, name, got)
			}
		}
		if !strings.Contains(r.header.Get("Content-Security-Policy"), "default-src 'none'") || r.header.Get("Tresor-Correlation") == "" {
			t.Errorf("%d: %v", r.status, r.header)
		}
	}
}

func TestAddressesThatAreNoRoute(t *testing.T) {
	w := newWorld(t)
	cases := []struct {
		name, method, path string
		status             int
		code, allow        string
	}{
		{"unknown", "GET", "/nowhere", 404, "not-found", ""},
		{"unknown below a thing", "POST", "/jobs/x/explode", 404, "not-found", ""},
		{"wrong method", "DELETE", "/jobs", 405, codeMethod, "GET"},
		{"wrong method of several", "PUT", "/projects", 405, codeMethod, "GET, POST"},
		{"wrong method on a thing", "POST", "/projects/x", 405, codeMethod, "GET, PATCH"},
	}
	for _, tc := range cases {
		t.Run(tc.name, func(t *testing.T) {
			r := w.as(t, "operator", tc.method, tc.path, nil).want(t, tc.status)
			var p Problem
			r.into(t, &p)
			if p.Code != tc.code || r.header.Get("Allow") != tc.allow || r.header.Get("Content-Type") != "application/problem+json" {
				t.Errorf("got %+v %v", p, r.header)
			}
		})
	}
}

func TestHealthAndPagesStandOutside(t *testing.T) {
	w := newWorld(t)
	get := func(path string) reply {
		req, err := http.NewRequestWithContext(t.Context(), "GET", w.http.URL+path, nil)
		if err != nil {
			t.Fatal(err)
		}
		return w.do(t, req)
	}
	if r := get("/healthz"); r.status != 200 || strings.TrimSpace(r.body) != `{"status":"ok"}` {
		t.Errorf("health: %d %s", r.status, r.body)
	}
	for _, path := range []string{"/", "/jobs/1", "/api/v2/x"} {
		if r := get(path); r.body != "page" {
			t.Errorf("%s: %s", path, r.body)
		}
	}
	if err := w.server.DB.Close(); err != nil {
		t.Fatal(err)
	}
	if r := get("/healthz"); r.status != 503 || !strings.Contains(r.body, "unavailable") {
		t.Errorf("health without a database: %d %s", r.status, r.body)
	}
}

func TestForeignPagesCannotChangeAnything(t *testing.T) {
	w := newWorld(t)
	for name, header := range map[string]map[string]string{
		"cross-site": {"Origin": "https://evil.example", "Sec-Fetch-Site": "cross-site"},
		"sibling":    {"Origin": "https://work.tre.example", "Sec-Fetch-Site": "same-site"},
		"old":        {"Origin": "https://evil.example"},
	} {
		t.Run(name, func(t *testing.T) {
			req, err := http.NewRequestWithContext(t.Context(), "POST", w.http.URL+prefix+"/projects", strings.NewReader(`{"slug":"evil","name":"Evil","purpose":"x"}`))
			if err != nil {
				t.Fatal(err)
			}
			req.Header.Set("Content-Type", "application/json")
			for k, v := range header {
				req.Header.Set(k, v)
			}
			req.AddCookie(&http.Cookie{Name: cookieName, Value: w.token(t, "operator")})
			if r := w.do(t, req).want(t, 403); !strings.Contains(r.body, codeOrigin) {
				t.Errorf("got %s", r.body)
			}
			w.as(t, "operator", "GET", "/projects/evil", nil).want(t, 404)
		})
	}
}

func TestPanicsAreInternal(t *testing.T) {
	w := newWorld(t)
	rt := &Route{Method: "GET", Path: "/boom", Access: Access{Level: Public}, endpoint: endpoint{serve: func(*call) error { panic("kaboom /secret/path") }}}
	rec := &responseRecorder{header: http.Header{}}
	req, _ := http.NewRequest("GET", prefix+"/boom", nil)
	w.server.serve(rt)(rec, req)
	if rec.status != 500 || strings.Contains(rec.body.String(), "kaboom") || !strings.Contains(rec.body.String(), "correlation") {
		t.Errorf("%d %s", rec.status, rec.body.String())
	}
	if log := w.log.String(); !strings.Contains(log, "kaboom") || !strings.Contains(log, "door_test.go") {
		t.Error("the operators do not learn where it happened")
	}
}

type responseRecorder struct {
	header http.Header
	status int
	body   strings.Builder
}

func (r *responseRecorder) Header() http.Header         { return r.header }
func (r *responseRecorder) WriteHeader(status int)      { r.status = status }
func (r *responseRecorder) Write(b []byte) (int, error) { return r.body.Write(b) }

func TestTheAccessLogKeepsSecrets(t *testing.T) {
	w := newWorld(t)
	w.as(t, "researcher", "GET", "/search?q=hunter2", nil).want(t, 200)
	w.as(t, "none", "POST", "/session", map[string]string{"handle": "rosa", "password": "correct horse hunter2"}).want(t, 401)
	w.as(t, "researcher", "GET", "/jobs/hunter2", nil).want(t, 404)
	log := w.log.String()
	if strings.Contains(log, "hunter2") || strings.Contains(log, w.token(t, "researcher")) {
		t.Error("the log holds what somebody typed")
	}
	var line struct {
		Msg, Method, Route, Correlation, Actor string
		Status                                 int
	}
	for _, raw := range strings.Split(log, "\n") {
		if strings.Contains(raw, `"route":"/search"`) {
			if err := json.Unmarshal([]byte(raw), &line); err != nil {
				t.Fatal(err)
			}
		}
	}
	if line.Method != "GET" || line.Status != 200 || line.Actor != "rosa" || line.Correlation == "" {
		t.Errorf("got %+v", line)
	}
}

func TestRates(t *testing.T) {
	cases := []struct {
		name   string
		limits Limits
		send   func(w *world) reply
	}{
		{"one session", Limits{PerSession: 0.001, SessionBurst: 3, PerAddress: 1e6, AddressBurst: 1e6}, func(w *world) reply { return w.as(t, "researcher", "GET", "/home", nil) }},
		{"one address", Limits{PerAddress: 0.001, AddressBurst: 3}, func(w *world) reply { return w.as(t, "none", "GET", "/server", nil) }},
		{"signing in", Limits{SignIn: 0.001, SignInBurst: 3}, func(w *world) reply {
			return w.as(t, "none", "POST", "/session/link", map[string]string{"token": "x"})
		}},
	}
	for _, tc := range cases {
		t.Run(tc.name, func(t *testing.T) {
			w := buildWorld(t, options{limits: tc.limits})
			w.token(t, "researcher")
			for i := range 3 {
				if r := tc.send(w); r.status == 429 {
					t.Fatalf("request %d of a burst of 3 refused: %s", i+1, r.body)
				}
			}
			if r := tc.send(w).want(t, 429); r.header.Get("Retry-After") == "" || !strings.Contains(r.body, codeRate) {
				t.Errorf("got %v %s", r.header, r.body)
			}
			w.as(t, "local", "GET", "/home", nil).want(t, 200)
		})
	}
}

func TestBodiesAreCapped(t *testing.T) {
	w := newWorld(t)
	big := `{"slug":"` + strings.Repeat("a", 2<<20) + `"}`
	r := w.as(t, "operator", "POST", "/projects", big).want(t, 413)
	if !strings.Contains(r.body, "1 MiB") || !strings.Contains(r.body, codeTooLarge) {
		t.Error(r.body)
	}
}

func TestTheLocalSocket(t *testing.T) {
	w := newWorld(t)
	w.server.uid = uint32(os.Getuid())
	path := filepath.Join(t.TempDir(), "admin.sock")
	l, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	srv := &http.Server{Handler: w.server.LocalHandler(), ConnContext: LocalConn, ReadHeaderTimeout: time.Minute}
	go func() { _ = srv.Serve(l) }()
	t.Cleanup(func() { _ = srv.Close() })
	client := &http.Client{Transport: &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "unix", path)
	}}}
	ask := func(as string) (int, Session) {
		req, err := http.NewRequestWithContext(t.Context(), "GET", "http://x"+prefix+"/session", nil)
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Tresor-As", as)
		resp, err := client.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		var s Session
		_ = json.NewDecoder(resp.Body).Decode(&s)
		return resp.StatusCode, s
	}
	if status, s := ask(""); status != 200 || s.Kind != "local" || !strings.HasPrefix(s.Person.ID, "local:") || len(s.Person.Roles) != 1 || s.Person.Roles[0] != access.Operator {
		t.Errorf("own account: %d %+v", status, s)
	}
	if status, s := ask("rosa"); status != 200 || s.Person.Handle != "rosa" {
		t.Errorf("acting for rosa: %d %+v", status, s)
	}
	if status, _ := ask("nobody-there"); status != 404 {
		t.Errorf("acting for nobody: %d", status)
	}
}

func TestStrangersAtTheLocalSocket(t *testing.T) {
	w := newWorld(t)
	cases := []struct {
		name string
		peer peer
		ok   bool
	}{
		{"root", peer{uid: 0, known: true}, true},
		{"the server's account", peer{uid: 12345, known: true}, true},
		{"another account", peer{uid: 4242, known: true}, false},
		{"unknown peer", peer{}, false},
	}
	for _, tc := range cases {
		t.Run(tc.name, func(t *testing.T) {
			rec := &responseRecorder{header: http.Header{}}
			req, _ := http.NewRequest("GET", prefix+"/projects", nil)
			req.Header.Set("Tresor-As", "olga")
			w.server.LocalHandler().ServeHTTP(rec, req.WithContext(context.WithValue(t.Context(), peerKey{}, tc.peer)))
			if (rec.status == 200) != tc.ok || !tc.ok && rec.status != 403 {
				t.Errorf("%d %s", rec.status, rec.body.String())
			}
		})
	}
	if n := w.events(t, "session.refused"); n != 2 {
		t.Errorf("%d refusals in the audit log, want 2", n)
	}
}

func TestActingForSomebodyIsRecorded(t *testing.T) {
	w := newWorld(t)
	req, err := http.NewRequestWithContext(t.Context(), "POST", w.local.URL+prefix+"/datasets", strings.NewReader(`{"slug":"more","name":"More","controller":"Clinic"}`))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Tresor-As", "stefan")
	w.do(t, req).want(t, 201)
	found := false
	for _, e := range w.auditEvents(t) {
		if e.Verb == "dataset.registered" && e.Actor == w.people["steward"].ID && e.Via == "local" && e.Session == "local:0" {
			found = true
		}
	}
	if !found {
		t.Error("the event does not say who really acted")
	}
}

func (w *world) auditEvents(t *testing.T) []audit.Event {
	t.Helper()
	var all []audit.Event
	err := w.server.DB.View(t.Context(), func(tx *store.Tx) error {
		var err error
		all, err = w.server.Audit.List(tx, audit.Filter{Limit: 500})
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

func (w *world) events(t *testing.T, verb string) int {
	t.Helper()
	n := 0
	for _, e := range w.auditEvents(t) {
		if e.Verb == verb {
			n++
		}
	}
	return n
}

func TestPublicHandlerIgnoresLocalHeaders(t *testing.T) {
	w := newWorld(t)
	req, err := http.NewRequestWithContext(t.Context(), "GET", w.http.URL+prefix+"/projects", nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Tresor-As", "olga")
	w.do(t, req).want(t, 401)
}
