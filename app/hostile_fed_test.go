package app_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"tresor/app/apptest/tesclient"
	"tresor/embed/demo"
	"tresor/fed/fedtest"
	"tresor/fed/hub"
	"tresor/fed/task"
	"tresor/fed/wire"
	"tresor/sandbox/fake"
)

// TestACompromisedHub: somebody else holds the hub's key. They ask for everything,
// lie, repeat, flood and hang while the appliance's own people work. They get refusals,
// the ledger gets lines, and one switch ends it.
func TestACompromisedHub(t *testing.T) {
	r := newFederation(t)
	r.olga.Must("POST", "/federation/hubs/"+r.principal+"/confirm", nil, nil)
	r.lend(t)
	r.engine.Handle("local", func(_ context.Context, k *fake.Task) int {
		fmt.Fprintln(k.Log, "LOCAL-SECRET")
		_ = k.WriteFile("/work/out/LOCAL-SECRET.csv", []byte("LOCAL-SECRET"))
		return 0
	})
	local := &localWork{r: r, image: r.builtinImage(t)}
	local.client = r.personClient(t)
	local.one(t)
	t.Run("every address", func(t *testing.T) { r.everyAddress(t, local.last) })
	t.Run("orders for what is not theirs", func(t *testing.T) { r.strangeOrders(t, local.last) })
	t.Run("forged, old and repeated orders", r.badEnvelopes)
	t.Run("floods while local work goes on", func(t *testing.T) { r.floods(t, local) })
	t.Run("the ledger tells of it", r.toldInLedger)
	t.Run("one switch", r.switches)
	r.mu.Lock()
	defer r.mu.Unlock()
	if strings.Contains(r.wire.String(), "LOCAL-SECRET") {
		t.Error("a byte of local work crossed the link")
	}
}

// personClient is rosa's own token: local work beside the hub's.
func (r *fedRig) personClient(t *testing.T) *tesclient.Client {
	t.Helper()
	var made struct{ Token string }
	r.rosa.Must("POST", "/tokens", map[string]any{"name": "test", "project": demo.ProjectSlug, "days": 1}, &made)
	return &tesclient.Client{Base: r.URL + "/ga4gh/tes/v1", Token: made.Token, HTTP: &http.Client{Timeout: time.Minute}}
}

// localWork are tasks of the project's own people.
type localWork struct {
	r      *fedRig
	client *tesclient.Client
	image  string
	last   string // id of the newest
}

// one runs a task and returns how long it took.
func (l *localWork) one(t *testing.T) time.Duration {
	t.Helper()
	began := time.Now()
	id, err := l.client.Create(t.Context(), tesclient.Task{Name: "local", Executors: []tesclient.Executor{{Image: l.image, Command: []string{"local"}}},
		Outputs: []tesclient.Output{{Path: "/work/out", URL: "file:///project/local", Type: "DIRECTORY"}}})
	if err != nil {
		t.Fatal(err)
	}
	if st, err := l.client.Wait(t.Context(), id, 10*time.Millisecond); err != nil || st != tesclient.Complete {
		t.Fatalf("%s, %v", st, err)
	}
	l.last = id
	return time.Since(began)
}

// raw sends any request over the link and returns the status and the body's beginning.
func (r *fedRig) raw(ctx context.Context, method, path, body string) (int, string, error) {
	c := &http.Client{Transport: r.hub.RoundTripper(r.node), Timeout: time.Minute}
	q, err := http.NewRequestWithContext(ctx, method, "http://node/", strings.NewReader(body))
	if err != nil {
		return 0, "", err
	}
	q.URL.Opaque = path // as it is written, tricks and all
	resp, err := c.Do(q)
	if err != nil {
		return 0, "", err
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(io.LimitReader(resp.Body, 1<<20))
	return resp.StatusCode, string(b), err
}

// everyAddress asks for every route of the API, every door and every trick with paths.
func (r *fedRig) everyAddress(t *testing.T, foreign string) {
	var api struct{ Paths map[string]map[string]any }
	r.olga.Must("GET", "/openapi.json", nil, &api)
	if len(api.Paths) < 50 {
		t.Fatalf("only %d paths are described", len(api.Paths))
	}
	var paths []string
	for p := range api.Paths {
		p = strings.NewReplacer("{project}", demo.ProjectSlug, "{job}", foreign, "{plugin}", "tes", "{principal}", r.principal).Replace(p)
		paths = append(paths, "/api/v1"+strings.TrimPrefix(p, "/api/v1"), "/ga4gh/tes/../../api/v1"+p)
	}
	paths = append(paths, "/", "/index.html", "/metrics", "/fed/v1/link", "/fed/v1/enrol", "/ga4gh", "/ga4gh/", "/ga4gh/none/v1/x", "/ga4gh/loopback/v1/x", "/ga4gh/tes",
		"//api/v1/session", "/%2e%2e/api/v1/session", "/ga4gh/tes/%2e%2e/%2e%2e/api/v1/session", "/ga4gh/tes/..%2f..%2fapi/v1/session", "/ga4gh/%2e%2e/api/v1/session", "/ga4gh/tes/v1/../../../api/v1/people",
		"/ga4gh/tes/v1/tasks/"+foreign, "/ga4gh/tes/v1/tasks/"+foreign+"?view=FULL", "/ga4gh/tes/v1/tasks/../tasks/"+foreign, "/ga4gh/tes/v1/tasks/%00", "/ga4gh/tes/releases/"+foreign, "/ga4gh/tes/releases/"+foreign+"/work/out/x.csv",
		"/ga4gh/tes/releases/..%2f..%2f..%2ftresor.db", "/catalogue/../api/v1/people", "/ping/..", "/ga4gh/tes/v1/tasks/"+strings.Repeat("a", 100_000), "/ga4gh/"+strings.Repeat("t", 100_000)+"/x")
	refused := 0
	for _, p := range paths {
		for _, method := range []string{"GET", "HEAD", "POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "CONNECT", "PROPFIND"} {
			if method != "GET" && refused%7 != 0 && !strings.HasPrefix(p, "/ga4gh/tes/v1/tasks") {
				refused++
				continue // every method for a seventh of the addresses
			}
			code, body, err := r.raw(t.Context(), method, p, "")
			if err != nil { // a request that HTTP itself does not carry
				r.hub.Online(t, r.node)
				continue
			}
			if refused++; code < 400 && code/100 != 3 || strings.Contains(body, "LOCAL-SECRET") || strings.Contains(body, "Rosa") || method != "HEAD" && body == "" && code/100 != 3 {
				t.Errorf("%s %.80s: %d %.200q", method, p, code, body)
			}
		}
	}
	var page struct{ Tasks []json.RawMessage }
	if code, body := r.get("/ga4gh/tes/v1/tasks?view=FULL"); code != 200 || json.Unmarshal([]byte(body), &page) != nil || len(page.Tasks) != 0 {
		t.Errorf("it lists %d %.300s", code, body)
	}
}

// strangeOrders are signed and in sequence, and ask for what no hub has.
func (r *fedRig) strangeOrders(t *testing.T, foreign string) {
	mine := `{"name":"%s","executors":[{"image":"example.org/x:1","command":["x"]}]%s}`
	for name, c := range map[string]struct{ plugin, method, path, body, behalf string }{
		"another plugin":           {"loopback", "POST", "/v1/x", "{}", ""},
		"a plugin that is a path":  {"../../api/v1", "POST", "/people", "{}", ""},
		"no plugin":                {"", "POST", "/v1/tasks", fmt.Sprintf(mine, "x", ""), ""},
		"a path out of the plugin": {"tes", "POST", "/../../api/v1/people", `{"handle":"eve","name":"Eve","roles":["operator"]}`, "olga"},
		"a method":                 {"tes", "DELETE", "/v1/tasks/" + foreign, "", ""},
		"another's task":           {"tes", "POST", "/v1/tasks/" + foreign + ":cancel", "", "rosa"},
		"another project":          {"tes", "POST", "/v1/tasks", fmt.Sprintf(mine, "x", `,"tags":{"project":"other"}`), ""},
		"a look-alike project":     {"tes", "POST", "/v1/tasks", fmt.Sprintf(mine, "x", `,"tags":{"project":"аurora"}`), ""},
		"a wide project":           {"tes", "POST", "/v1/tasks", fmt.Sprintf(mine, "x", `,"tags":{"project":"AURORA"}`), ""},
		"a file of the host":       {"tes", "POST", "/v1/tasks", fmt.Sprintf(mine, "x", `,"inputs":[{"path":"/x","url":"file:///etc/passwd"}]`), ""},
		"a climbing path":          {"tes", "POST", "/v1/tasks", fmt.Sprintf(mine, "x", `,"inputs":[{"path":"/x","url":"file:///project/../../etc/passwd"}]`), ""},
		"another's file":           {"tes", "POST", "/v1/tasks", fmt.Sprintf(mine, "x", `,"inputs":[{"path":"/x","url":"file:///project/local/none"}]`), ""},
		"the cloud's own address":  {"tes", "POST", "/v1/tasks", fmt.Sprintf(mine, "x", `,"inputs":[{"path":"/x","url":"http://169.254.169.254/latest/meta-data"}]`), ""},
		"a source not listed":      {"tes", "POST", "/v1/tasks", fmt.Sprintf(mine, "x", `,"inputs":[{"path":"/x","url":"https://127.0.0.1/x"}]`), ""},
		"a long name":              {"tes", "POST", "/v1/tasks", fmt.Sprintf(mine, strings.Repeat("n", 100_000), ""), ""},
		"a path that is no TES":    {"tes", "POST", "/v1/none", "{}", ""},
		"released bytes":           {"tes", "GET", "/releases/" + foreign, "", ""},
	} {
		q := task.Request{Plugin: c.plugin, Method: c.method, Path: c.path, Body: []byte(c.body), OnBehalf: c.behalf, Header: map[string][]string{"Content-Type": {"application/json"}, "Authorization": {"Bearer trs_x"}, "Cookie": {"__Host-tresor=x"}, "Tresor-As": {"olga"}}}
		b, err := q.Encode()
		if err != nil {
			continue // the hub's own library refuses it: see the fuzz tests of fed/task
		}
		e, err := r.hub.Issue(t.Context(), r.node, hub.Order{ID: "strange-" + strings.NewReplacer(" ", "-", "'", "").Replace(name), Kind: task.KindHTTP, Body: b})
		if err != nil {
			t.Fatal(err)
		}
		rec, err := r.hub.Send(t.Context(), e)
		var refusal *wire.Refusal
		if errors.As(err, &refusal) {
			continue
		}
		a, derr := task.DecodeAnswer(rec.Result)
		if err != nil || derr != nil || a.Status < 400 || strings.Contains(string(a.Body), "LOCAL-SECRET") || strings.Contains(string(a.Body), "Rosa") {
			t.Errorf("%s: %d %.300s (%v, %v)", name, a.Status, a.Body, err, derr)
		}
	}
	for _, kind := range []string{"shell", "task.create", "http2"} {
		e, err := r.hub.Issue(t.Context(), r.node, hub.Order{ID: "kind-" + kind, Kind: kind, Body: []byte("{}")})
		if err != nil {
			t.Fatal(err)
		}
		if rec, err := r.hub.Send(t.Context(), e); err == nil {
			t.Errorf("an order of kind %q: %q", kind, rec.Result)
		}
	}
	behalf := task.Request{Plugin: "tes", Method: "POST", Path: "/v1/tasks", Body: []byte(fmt.Sprintf(mine, "for somebody", "")), OnBehalf: "Olga Berg (operator)", Header: map[string][]string{"Content-Type": {"application/json"}}}
	b, err := behalf.Encode()
	if err != nil {
		t.Fatal(err)
	}
	e, err := r.hub.Issue(t.Context(), r.node, hub.Order{ID: "behalf", Kind: task.KindHTTP, Body: b})
	if err != nil {
		t.Fatal(err)
	}
	a := r.send(e)
	var made struct{ ID string }
	var j struct {
		Via, OnBehalf string
		Submitter     struct{ Handle string }
	}
	if json.Unmarshal(a.Body, &made) != nil || made.ID == "" {
		t.Fatalf("%d %s", a.Status, a.Body)
	}
	r.olga.Must("GET", "/jobs/"+made.ID, nil, &j)
	if j.Submitter.Handle != "rosa" || !strings.HasPrefix(j.Via, "hub:") {
		t.Errorf("a name that a hub wrote is trusted: %+v", j)
	}
}

// badEnvelopes are forged, old, from the future, for others, repeated or changed.
func (r *fedRig) badEnvelopes(t *testing.T) {
	good := r.envelope("original", "POST", "/v1/tasks", hubTask)
	r.send(good)
	var before struct{ Items []json.RawMessage }
	r.olga.Must("GET", "/jobs?limit=200", nil, &before)
	other := fedtest.NewKey(t)
	now := time.Now()
	seq := good.Seq
	for name, change := range map[string]func(*wire.Envelope){
		"another's key":  func(e *wire.Envelope) { e.Sign(other) },
		"no signature":   func(e *wire.Envelope) { e.Sig = wire.Sig{} },
		"a changed body": func(e *wire.Envelope) { e.Sign(r.hub.Key); e.Body = append([]byte(" "), e.Body...) },
		"another node":   func(e *wire.Envelope) { e.Node = wire.KeyOf(other).ID(); e.Sign(r.hub.Key) },
		"expired": func(e *wire.Envelope) {
			e.Made, e.Expires = now.Add(-3*time.Hour).UnixMilli(), now.Add(-2*time.Hour).UnixMilli()
			e.Sign(r.hub.Key)
		},
		"from the future": func(e *wire.Envelope) {
			e.Made, e.Expires = now.Add(time.Hour).UnixMilli(), now.Add(2*time.Hour).UnixMilli()
			e.Sign(r.hub.Key)
		},
		"the id of another order":       func(e *wire.Envelope) { e.ID = "original"; e.Sign(r.hub.Key) },
		"the sequence of another order": func(e *wire.Envelope) { e.Seq = good.Seq; e.Sign(r.hub.Key) },
		"a body that is no request":     func(e *wire.Envelope) { e.Body = []byte("\x00\x01"); e.Sign(r.hub.Key) },
	} {
		seq++
		e := *good
		e.Seq, e.ID = seq, "bad-"+strings.NewReplacer(" ", "-", "'", "").Replace(name)
		change(&e)
		data, err := json.Marshal(&e)
		if err != nil {
			t.Fatal(err)
		}
		code, body, err := r.raw(t.Context(), "POST", wire.TasksPath, string(data))
		if err != nil || code < 400 && !strings.Contains(body, `"refused"`) && !strings.Contains(body, `"code"`) {
			t.Errorf("%s: %d %.200s (%v)", name, code, body, err)
		}
	}
	for range 50 {
		r.send(good)
	}
	var after struct{ Items []json.RawMessage }
	if r.olga.Must("GET", "/jobs?limit=200", nil, &after); len(after.Items) != len(before.Items) {
		t.Errorf("there were %d jobs and are %d", len(before.Items), len(after.Items))
	}
}

// floods asks 10,000 times at once, reads nothing, half-closes and sends orders without
// end, while people of the appliance work.
func (r *fedRig) floods(t *testing.T, local *localWork) {
	quiet := local.one(t)
	ctx, stop := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	var asked atomic.Int64
	c := &http.Client{Transport: r.hub.RoundTripper(r.node)}
	for i := range 500 {
		wg.Go(func() {
			for n := 0; ctx.Err() == nil && n < 200; n++ {
				q, err := http.NewRequestWithContext(ctx, "GET", "http://node/ga4gh/tes/v1/tasks?view=FULL", nil)
				if err != nil {
					return
				}
				resp, err := c.Do(q)
				asked.Add(1)
				if err != nil {
					time.Sleep(5 * time.Millisecond) // the link was cut for it, or the stream refused
					continue
				}
				if i%3 == 0 { // an answer that nobody reads
					select {
					case <-ctx.Done():
					case <-time.After(50 * time.Millisecond):
					}
				}
				resp.Body.Close()
			}
		})
	}
	for i := range 16 {
		wg.Go(func() {
			for n := 0; ctx.Err() == nil; n++ {
				b, err := (task.Request{Plugin: "tes", Method: "POST", Path: "/v1/tasks", Body: []byte(`{"executors":[]}`), Header: map[string][]string{"Content-Type": {"application/json"}}}).Encode()
				if err != nil {
					return
				}
				e, err := r.hub.Issue(ctx, r.node, hub.Order{ID: fmt.Sprintf("flood-%d-%d", i, n), Kind: task.KindHTTP, Body: b})
				if err == nil {
					_, _ = r.hub.Send(ctx, e) // refused, busy or cut off
				}
				asked.Add(1)
			}
		})
	}
	var slowest, work time.Duration
	for end := time.Now().Add(4 * time.Second); time.Now().Before(end); {
		began := time.Now()
		r.rosa.Must("GET", "/session", nil, nil)
		slowest = max(slowest, time.Since(began))
		work = max(work, local.one(t))
	}
	stop()
	wg.Wait()
	t.Logf("%d requests of the hub; local task %s before and at most %s meanwhile; slowest page %s", asked.Load(), quiet.Round(time.Millisecond), work.Round(time.Millisecond), slowest.Round(time.Millisecond))
	if slowest > 20*time.Second || work > quiet+30*time.Second {
		t.Error("the hub held up local work")
	}
	r.hub.Online(t, r.node)
}

// toldInLedger looks for lines of what was refused, with codes.
func (r *fedRig) toldInLedger(t *testing.T) {
	var l struct {
		Items []struct{ What, Outcome, Code, Correlation string }
	}
	codes := map[string]int{}
	fedtest.Until(t, "the ledger has the refusals", func() bool {
		r.olga.Must("GET", "/federation/principals/"+r.principal+"/ledger?limit=500", nil, &l)
		for _, e := range l.Items {
			if e.Outcome == "refused" {
				codes[e.Code]++
			}
		}
		return len(codes) >= 4
	})
	for _, e := range l.Items {
		if e.Outcome == "refused" && e.Code == "" {
			t.Errorf("a refusal without a code: %+v", e)
		}
	}
	if len(l.Items) > 500 {
		t.Errorf("a flood wrote %d lines", len(l.Items))
	}
	t.Logf("refusals by code: %v", codes)
}

// switches are pause, pause of all and revoke: each works at once.
func (r *fedRig) switches(t *testing.T) {
	refused := func(what string) {
		t.Helper()
		e := r.envelope("while-"+strings.ReplaceAll(what, " ", "-"), "POST", "/v1/tasks", hubTask)
		ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second) // it may wait for the end of the pause
		defer cancel()
		if rec, err := r.hub.Send(ctx, e); err == nil {
			if a, derr := task.DecodeAnswer(rec.Result); derr != nil || a.Status < 400 {
				t.Errorf("%s: an order was taken: %d %s", what, a.Status, a.Body)
			}
		}
		if code, body, err := r.raw(t.Context(), "GET", "/ga4gh/tes/v1/tasks", ""); err == nil && code < 400 {
			t.Errorf("%s: %d %.200s", what, code, body)
		}
	}
	taken := func(what string) {
		t.Helper()
		fedtest.Until(t, what, func() bool {
			code, _, err := r.raw(t.Context(), "GET", "/ga4gh/tes/v1/tasks", "")
			return err == nil && code == 200
		})
	}
	one := "/federation/principals/" + r.principal + "/pause"
	r.olga.Must("POST", one, map[string]bool{"paused": true}, nil)
	refused("paused")
	r.olga.Must("POST", one, map[string]bool{"paused": false}, nil)
	taken("it is resumed")
	r.olga.Must("POST", "/federation/pause", map[string]bool{"paused": true}, nil)
	refused("all paused")
	r.olga.Must("POST", "/federation/pause", map[string]bool{"paused": false}, nil)
	taken("all are resumed")
	r.olga.Must("POST", "/federation/principals/"+r.principal+"/revoke", map[string]string{"reason": "Its key is in other hands."}, nil)
	refused("revoked")
	fedtest.Until(t, "a revoked hub is cut off", func() bool { return !r.hub.IsOnline(r.node) })
}
