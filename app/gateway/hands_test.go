package gateway

import (
	"bytes"
	"context"
	"encoding/json"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"tresor/app/airlock"
	"tresor/app/fault"
	"tresor/app/store"
	"tresor/plugins/protocol"
)

// run starts the queue and the gateway's own loop.
func (h *house) run() {
	h.t.Helper()
	c, cancel := context.WithCancel(ctx)
	var wg sync.WaitGroup
	wg.Add(2)
	go func() { defer wg.Done(); _ = h.jobs.Run(c) }()
	g := h.g
	go func() { defer wg.Done(); _ = g.Run(c) }()
	h.halt = func() { cancel(); wg.Wait(); h.halt = nil }
}

// hub makes a hub that may use aurora with the dataset health, for rosa.
func (h *house) hub(name string) (Principal, Caller) {
	h.t.Helper()
	return h.principal(Draft{Name: name, Kind: Hub, HubKey: "key of " + name, HubURL: "https://" + slugOf(name) + ".example"}, "health")
}

func (h *house) principal(d Draft, datasets ...string) (Principal, Caller) {
	h.t.Helper()
	p, err := h.g.Create(ctx, h.as("olga"), d)
	if err == nil {
		p, err = h.g.AddProject(ctx, h.as("lena"), p.ID, "aurora", "rosa", datasets)
	}
	if err != nil {
		h.t.Fatal(err)
	}
	return p, Caller{Kind: d.Kind, ID: p.ID}
}

// client makes an outside client and its token.
func (h *house) client(name string) (Principal, Caller, string) {
	h.t.Helper()
	p, who := h.principal(Draft{Name: name, Kind: Client}, "health")
	token, err := h.g.NewToken(ctx, h.as("olga"), p.ID)
	if err != nil {
		h.t.Fatal(err)
	}
	return p, who, token
}

// person makes a person's token for a project.
func (h *house) person(handle, project string) (Caller, string) {
	h.t.Helper()
	tk, secret, err := h.g.NewPersonToken(ctx, h.as(handle), "laptop", project, 30)
	if err != nil {
		h.t.Fatal(err)
	}
	return Caller{Kind: Human, ID: tk.ID}, secret
}

func (h *house) host(who Caller) protocol.Host { return h.g.HostFor(who, "tes") }

// request is a task with one output that is held.
func request(argv ...string) protocol.JobRequest {
	if len(argv) == 0 {
		argv = []string{"table", "/work/out/visits.csv"}
	}
	return protocol.JobRequest{Name: "Visits by health", Description: "Counts of visits.", Document: []byte(`{"name":"Visits by health"}`),
		Tags: map[string]string{"study": "rand"}, Tasks: []protocol.Task{{Image: "tools", Argv: argv}},
		Outputs: []protocol.Output{{Path: "/work/out/visits.csv", Target: "s3://results/visits.csv"}}}
}

func (h *house) submit(who Caller, r protocol.JobRequest) protocol.JobState {
	h.t.Helper()
	st, err := h.host(who).Submit(ctx, r)
	if err != nil {
		h.t.Fatal(err)
	}
	return st
}

func (h *house) state(who Caller, id string, view protocol.View) protocol.JobState {
	h.t.Helper()
	st, err := h.host(who).State(ctx, id, view)
	if err != nil {
		h.t.Fatal(err)
	}
	return st
}

func (h *house) until(who Caller, id, want string) protocol.JobState {
	h.t.Helper()
	var st protocol.JobState
	for end := time.Now().Add(2 * time.Minute); time.Now().Before(end); time.Sleep(2 * time.Millisecond) {
		if st = h.state(who, id, protocol.Minimal); st.State == want {
			return h.state(who, id, protocol.Full)
		}
	}
	h.t.Fatalf("the task is %s, want %s: %v", st.State, want, h.state(who, id, protocol.Full).Messages)
	return st
}

// approve lets the checkers approve the job's request.
func (h *house) approve(jobID string) {
	h.t.Helper()
	var request string
	h.wait("a request is under review", func() bool {
		j, err := h.jobs.Get(ctx, h.as("rosa"), jobID)
		if err != nil || j.AirlockRequest == "" {
			return false
		}
		r, err := h.airlock.Get(ctx, h.as("carl"), j.AirlockRequest)
		request = r.ID
		return err == nil && r.State.UnderReview()
	})
	for _, who := range []string{"carl", "cemile"} {
		r, err := h.airlock.Get(ctx, h.as(who), request)
		if err != nil {
			h.t.Fatal(err)
		}
		for _, it := range r.Items {
			if _, err := h.airlock.View(ctx, h.as(who), request, it.ID, 0, 10); err != nil {
				h.t.Fatal(err)
			}
		}
		if _, err := h.airlock.Vote(ctx, h.as(who), request, airlock.Approve, "Fine."); err != nil {
			h.t.Fatal(err)
		}
	}
}

func (h *house) wait(what string, ok func() bool) {
	h.t.Helper()
	for end := time.Now().Add(2 * time.Minute); time.Now().Before(end); time.Sleep(2 * time.Millisecond) {
		if ok() {
			return
		}
	}
	h.t.Fatalf("waited in vain until %s", what)
}

// exec runs raw SQL.
func (h *house) exec(query string, args ...any) error {
	return h.db.Update(ctx, func(tx *store.Tx) error {
		_, err := tx.Exec(query, args...)
		return err
	})
}

// number reads one number.
func (h *house) number(query string, args ...any) int {
	h.t.Helper()
	var n int
	if err := h.db.View(ctx, func(tx *store.Tx) error { return tx.QueryRow(query, args...).Scan(&n) }); err != nil {
		h.t.Fatal(err)
	}
	return n
}

// ledger reads all lines of a principal as the operator.
func (h *house) ledger(id string) []Entry {
	h.t.Helper()
	if err := h.g.flush(ctx); err != nil {
		h.t.Fatal(err)
	}
	list, err := h.g.Ledger(ctx, h.as("olga"), id, 0, 500)
	if err != nil {
		h.t.Fatal(err)
	}
	return list
}

// wireCode is the code in a refusal's text.
func wireCode(err error) string {
	text := err.Error()
	i, j := strings.LastIndex(text, "("), strings.LastIndex(text, "; reference ")
	if i < 0 || j < i {
		return ""
	}
	return text[i+1 : j]
}

// wantRefusal compares a refusal and looks for what must not be in it.
func (h *house) wantRefusal(err error, code, text string) {
	h.t.Helper()
	if err == nil {
		h.t.Fatalf("it was accepted, want %s", code)
	}
	if wireCode(err) != code {
		h.t.Errorf("refused with %v, want code %s", err, code)
	}
	if !strings.Contains(err.Error(), text) {
		h.t.Errorf("refused with %q, want %q in it", err, text)
	}
	h.clean(err.Error())
}

// clean fails when a text holds what no caller may learn.
func (h *house) clean(text string) {
	h.t.Helper()
	for _, secret := range []string{"CANARY", "Name of ", "rosa", "lena", "carl", "borealis", "genome", h.borealis.ID, "/tmp/", "SQL", "sqlite", "gateway_"} {
		if secret != "" && strings.Contains(text, secret) {
			h.t.Errorf("%q holds %q", text, secret)
		}
	}
}

// echo is a plugin whose protocol is the contract itself in JSON.
type echo struct{}

func (echo) Server(_ context.Context, name string) (protocol.Server, error) {
	if name != "tes" {
		return nil, fault.New("test", fault.NotFound, "There is no such plugin.")
	}
	return echo{}, nil
}

func (echo) ServeRequest(c context.Context, r protocol.Request, h protocol.Host) (protocol.Response, error) {
	answer := func(v any, err error) (protocol.Response, error) {
		var e *protocol.Error
		status := 200
		if err != nil {
			e, _ = err.(*protocol.Error)
			v, status = e, map[string]int{protocol.CodeNotFound: 404, protocol.CodeInvalid: 400, protocol.CodeDenied: 403, protocol.CodeConflict: 409,
				protocol.CodeExhausted: 429, protocol.CodeUnavailable: 503, protocol.CodeInternal: 500}[e.Code]
		}
		b, _ := json.Marshal(v)
		return protocol.Response{Status: status, Header: map[string][]string{"Content-Type": {"application/json"}, "Set-Cookie": {"a=b"}}, Body: b}, nil
	}
	id := strings.TrimPrefix(r.Path, "/tasks/")
	switch {
	case r.Path == "/whoami":
		return answer(r, nil)
	case r.Path == "/tasks" && r.Method == "POST":
		var in protocol.JobRequest
		if err := json.Unmarshal(r.Body, &in); err != nil {
			return protocol.Response{Status: 400, Body: []byte("not JSON")}, nil
		}
		return answer(h.Submit(c, in))
	case r.Path == "/tasks":
		return answer(h.Jobs(c, protocol.JobQuery{View: protocol.Minimal, Limit: 256}))
	case strings.HasSuffix(r.Path, ":cancel"):
		return answer(struct{}{}, h.Cancel(c, strings.TrimSuffix(id, ":cancel")))
	case strings.HasPrefix(r.Path, "/tasks/"):
		return answer(h.State(c, id, protocol.Full))
	case strings.HasPrefix(r.Path, "/releases/"):
		rel, path, _ := strings.Cut(strings.TrimPrefix(r.Path, "/releases/"), "/")
		if path != "" {
			path = "/" + path
		}
		return protocol.Response{Status: 200, Release: &protocol.ReleaseFile{ID: rel, Path: path}}, nil
	}
	return protocol.Response{Status: 404, Body: []byte("no such page")}, nil
}

// call sends a request to the door.
func (h *house) call(method, path, token string, body any, header ...string) *httptest.ResponseRecorder {
	h.t.Helper()
	var raw []byte
	switch b := body.(type) {
	case nil:
	case []byte:
		raw = b
	default:
		raw, _ = json.Marshal(b)
	}
	r := httptest.NewRequest(method, path, bytes.NewReader(raw))
	if token != "" {
		r.Header.Set("Authorization", "Bearer "+token)
	}
	for i := 0; i+1 < len(header); i += 2 {
		r.Header.Add(header[i], header[i+1])
	}
	w := httptest.NewRecorder()
	h.g.Door(echo{}).ServeHTTP(w, r)
	return w
}

func decode[T any](t testing.TB, w *httptest.ResponseRecorder) T {
	t.Helper()
	var v T
	if err := json.Unmarshal(w.Body.Bytes(), &v); err != nil {
		t.Fatalf("%d %q: %v", w.Code, w.Body, err)
	}
	return v
}
