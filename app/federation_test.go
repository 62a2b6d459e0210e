package app_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"tresor/app/apptest"
	"tresor/embed/demo"
	"tresor/fed/fedtest"
	"tresor/fed/hub"
	"tresor/fed/link"
	"tresor/fed/task"
	"tresor/fed/wire"
	"tresor/sandbox/fake"
)

// fedRig is an appliance that a hub of the tests has enrolled, with everything
// real but the container engine.
type fedRig struct {
	*apptest.Rig
	t         *testing.T
	hub       *fedtest.Hub
	node      wire.KeyID
	principal string
	rosa      *apptest.Person
	olga      *apptest.Person

	engine *fake.Runner

	mu   sync.Mutex
	wire bytes.Buffer // every byte of the link, beneath TLS
	log  bytes.Buffer // of the server
}

// Write takes the server's log.
func (r *fedRig) Write(b []byte) (int, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.log.Write(b)
}

func newFederation(t *testing.T) *fedRig {
	t.Helper()
	r := &fedRig{t: t, hub: fedtest.StartHub(t, link.Limits{}), engine: fake.New()}
	r.hub.Relay.Change(func(m fedtest.Message) [][]byte {
		r.mu.Lock()
		defer r.mu.Unlock()
		r.wire.Write(m.Data)
		return [][]byte{m.Data}
	})
	r.Rig = apptest.Start(t, apptest.Options{Fake: r.engine, Log: r, Set: []string{"federation.plain=true", "name=North"}})
	r.rosa, r.olga = r.SignIn("rosa"), r.SignIn("olga")
	code, err := r.hub.Book.NewCode(t.Context(), "", "")
	if err != nil {
		t.Fatal(err)
	}
	var h struct{ ID, Words, Slug string }
	r.olga.Must("POST", "/federation/hubs", map[string]string{"url": "http://" + r.hub.Relay.Host(), "code": code.Text(), "name": "Bonn"}, &h)
	r.principal = h.ID
	var f struct {
		Node struct{ Key string }
		Hubs []struct {
			ID    string
			Words string
			Link  struct{ State string }
		}
	}
	fedtest.Until(t, "the link is up", func() bool {
		r.olga.Must("GET", "/federation", nil, &f)
		return len(f.Hubs) == 1 && f.Hubs[0].Link.State == "online"
	})
	r.node = wire.KeyID(f.Node.Key)
	if f.Hubs[0].Words == "" || f.Hubs[0].Words != h.Words {
		t.Errorf("words %q and %q", f.Hubs[0].Words, h.Words)
	}
	return r
}

func (r *fedRig) get(path string) (int, string) {
	r.t.Helper()
	c := &http.Client{Transport: r.hub.RoundTripper(r.node), Timeout: time.Minute}
	resp, err := c.Get("http://node" + path)
	if err != nil {
		r.t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		r.t.Fatal(err)
	}
	return resp.StatusCode, string(b)
}

func (r *fedRig) envelope(id, method, path, body string) *wire.Envelope {
	r.t.Helper()
	q := task.Request{Plugin: "tes", Method: method, Path: path, Body: []byte(body), OnBehalf: "Ada of the hub", Header: map[string][]string{"Content-Type": {"application/json"}}}
	b, err := q.Encode()
	if err != nil {
		r.t.Fatal(err)
	}
	e, err := r.hub.Issue(r.t.Context(), r.node, hub.Order{ID: id, Kind: task.KindHTTP, Body: b})
	if err != nil {
		r.t.Fatal(err)
	}
	return e
}

func (r *fedRig) send(e *wire.Envelope) task.Answer {
	r.t.Helper()
	rec, err := r.hub.Deliver(r.t.Context(), e)
	if err != nil {
		r.t.Fatal(err)
	}
	a, err := task.DecodeAnswer(rec.Result)
	if err != nil {
		r.t.Fatal(err)
	}
	r.mu.Lock()
	r.wire.Write(a.Body) // on the wire it is in base64
	r.mu.Unlock()
	return a
}

func (r *fedRig) order(id, method, path, body string) task.Answer {
	r.t.Helper()
	return r.send(r.envelope(id, method, path, body))
}

const hubTask = `{"name":"count","executors":[{"image":"example.org/not/approved:1","command":["true"]}],"inputs":[{"path":"/work/secret","content":"planted-4711"}]}`

// TestAHubsTaskFromEnrolmentToCancel: what a hub may do, and what it may not, over a
// real link, through the real gateway and the real plugin.
func TestAHubsTaskFromEnrolmentToCancel(t *testing.T) {
	r := newFederation(t)
	if code, body := r.get("/ping"); code != 503 || !strings.Contains(body, "compared the words") {
		t.Fatalf("before the words were compared: %d %s", code, body)
	}
	r.olga.Must("POST", "/federation/hubs/"+r.principal+"/confirm", nil, nil)
	if code, _ := r.get("/ping"); code != 200 {
		t.Fatalf("ping %d", code)
	}
	if a := r.order("too-early", "POST", "/v1/tasks", hubTask); a.Status < 400 {
		t.Errorf("a hub without a project had a task: %d %s", a.Status, a.Body)
	}
	r.lend(t)
	e := r.envelope("order-1", "POST", "/v1/tasks", hubTask)
	var made struct{ ID string }
	for range 3 {
		a := r.send(e)
		var one struct{ ID string }
		if err := json.Unmarshal(a.Body, &one); err != nil || a.Status != 200 || one.ID == "" || made.ID != "" && one.ID != made.ID {
			t.Fatalf("%d %s: %v", a.Status, a.Body, err)
		}
		made = one
	}
	code, body := r.get("/ga4gh/tes/v1/tasks/" + made.ID + "?view=FULL")
	var state struct {
		State string
		Logs  []struct {
			SystemLogs []string `json:"system_logs"`
		}
	}
	if err := json.Unmarshal([]byte(body), &state); err != nil || code != 200 || state.State != "QUEUED" {
		t.Fatalf("%d %s: %v", code, body, err)
	}
	if code, _ := r.get("/ga4gh/tes/v1/tasks/" + strings.Repeat("0", 8)); code != 404 {
		t.Errorf("no such task: %d", code)
	}
	c := &http.Client{Transport: r.hub.RoundTripper(r.node)}
	resp, err := c.Post("http://node/ga4gh/tes/v1/tasks", "application/json", strings.NewReader(hubTask))
	if err != nil || resp.StatusCode == 200 {
		t.Errorf("an unsigned request made a task: %v %v", resp, err)
	}
	// Paused: nothing is taken, and what was there goes on.
	r.olga.Must("POST", "/federation/principals/"+r.principal+"/pause", map[string]bool{"paused": true}, nil)
	fedtest.Until(t, "it is paused", func() bool { code, _ := r.get("/ping"); return code == 503 })
	r.olga.Must("POST", "/federation/principals/"+r.principal+"/pause", map[string]bool{"paused": false}, nil)
	fedtest.Until(t, "it is resumed", func() bool { code, _ := r.get("/ping"); return code == 200 })
	if a := r.order("cancel-1", "POST", "/v1/tasks/"+made.ID+":cancel", ""); a.Status != 200 {
		t.Fatalf("cancel %d %s", a.Status, a.Body)
	}
	fedtest.Until(t, "it is cancelled", func() bool {
		_, body := r.get("/ga4gh/tes/v1/tasks/" + made.ID)
		return strings.Contains(body, `"CANCELED"`)
	})
	r.ledger(t)
	var report struct {
		Steps  []struct{ OK bool }
		Report string
	}
	r.olga.Must("POST", "/federation/hubs/"+r.principal+"/test", nil, &report)
	for _, s := range report.Steps {
		if !s.OK {
			t.Errorf("the connection doctor finds:\n%s", report.Report)
			break
		}
	}
	r.olga.Must("POST", "/federation/principals/"+r.principal+"/revoke", map[string]string{"reason": "the test is over"}, nil)
	fedtest.Until(t, "a revoked hub is cut off", func() bool { return !r.hub.IsOnline(r.node) })
}

// lend gives the hub the demonstration's project, by its lead.
func (r *fedRig) lend(t *testing.T) {
	t.Helper()
	var me struct {
		Person struct{ ID string } `json:"person"`
	}
	r.rosa.Must("GET", "/session", nil, &me)
	r.olga.Must("PUT", "/projects/"+demo.ProjectSlug+"/members/"+me.Person.ID, map[string]string{"role": "lead"}, nil)
	path := fmt.Sprintf("/federation/principals/%s/projects/%s", r.principal, demo.ProjectSlug)
	if code, body := r.olga.Do("PUT", path, map[string]any{"sponsor": me.Person.ID, "datasets": []string{"*"}}); code < 400 {
		t.Errorf("an operator lent a project: %d %s", code, body)
	}
	r.rosa.Must("PUT", path, map[string]any{"sponsor": me.Person.ID, "datasets": []string{"*"}}, nil)
}

// ledger looks at what the page shows of this hub's work.
func (r *fedRig) ledger(t *testing.T) {
	t.Helper()
	var l struct {
		Items []struct {
			What, Outcome, Code string
			RemoteID            string `json:"remote_id"`
		}
	}
	r.olga.Must("GET", "/federation/principals/"+r.principal+"/ledger", nil, &l)
	count := map[string]int{}
	for _, e := range l.Items {
		count[e.What+" "+e.Outcome]++
	}
	for _, want := range []string{"task.create accepted", "task.cancel accepted"} {
		if count[want] != 1 {
			t.Errorf("the ledger has %d lines %q: %+v", count[want], want, count)
		}
	}
}
