package link

import (
	"context"
	"errors"
	"strings"
	"sync"
	"testing"
	"time"

	"tresor/app/gateway"
	"tresor/app/store"
	"tresor/fed/fedtest"
	fedhub "tresor/fed/hub"
	"tresor/fed/task"
	"tresor/fed/wire"
)

// order sends one order to this appliance.
func (r *rig) order(h *fedtest.Hub, id string, q task.Request) (task.Answer, error) {
	r.t.Helper()
	body, err := q.Encode()
	if err != nil {
		r.t.Fatal(err)
	}
	e, err := h.Issue(ctx5(r.t), r.id(), fedhub.Order{ID: id, Kind: task.KindHTTP, Body: body})
	if err != nil {
		r.t.Fatal(err)
	}
	rec, err := h.Deliver(ctx5(r.t), e)
	if err != nil {
		return task.Answer{}, err
	}
	return task.DecodeAnswer(rec.Result)
}

// order1 sends one order once, and keeps its envelope.
func (r *rig) order1(h *fedtest.Hub, id, body string) (wire.Receipt, error) {
	r.t.Helper()
	b, err := create(body).Encode()
	if err != nil {
		r.t.Fatal(err)
	}
	if r.sent, err = h.Issue(ctx5(r.t), r.id(), fedhub.Order{ID: id, Kind: task.KindHTTP, Body: b}); err != nil {
		r.t.Fatal(err)
	}
	return h.Send(ctx5(r.t), r.sent)
}

func create(body string) task.Request {
	return task.Request{Plugin: "tes", Method: "POST", Path: "/v1/tasks", Body: []byte(body), OnBehalf: "Ada",
		Header: map[string][]string{"Content-Type": {"application/json"}, "Authorization": {"Bearer x"}, "Cookie": {"a=b"}}}
}

func TestAnOrderReachesTheGatewayOnce(t *testing.T) {
	r := newRig(t)
	h, id := r.online()
	a, err := r.order(h, "order-1", create(`{"name":"x"}`))
	if err != nil || a.Status != 200 || string(a.Body) != "task-1" {
		t.Fatalf("%+v %v", a, err)
	}
	got := r.last()
	if got.who.Kind != gateway.Hub || got.who.ID != id || got.who.OnBehalf != "Ada" || got.plugin != "tes" || got.req.RemoteID != "order-1" ||
		got.req.Path != "/v1/tasks" || got.req.Base != "http://node/ga4gh/tes" || string(got.req.Body) != `{"name":"x"}` {
		t.Errorf("the gateway was asked %+v", got)
	}
	if len(got.req.Header) != 1 || got.req.Header["Content-Type"] == nil {
		t.Errorf("header %v: a hub's secrets and cookies do not go on", got.req.Header)
	}
	for name, c := range map[string]struct {
		q    task.Request
		code wire.Code
	}{
		"release": {task.Request{Plugin: "tes", Method: "POST", Path: "/release"}, wire.CodeSize},
		"large":   {task.Request{Plugin: "tes", Method: "POST", Path: "/large"}, wire.CodeSize},
	} {
		if _, err := r.order(h, name, c.q); !errors.Is(err, wire.For(c.code)) {
			t.Errorf("%s: %v", name, err)
		}
	}
	for name, c := range map[string]struct{ kind, body string }{
		"another kind": {"shell", `{}`}, "not an order": {task.KindHTTP, `{"plugin":"tes"}`}, "nothing": {task.KindHTTP, ``},
	} {
		e, _ := h.Issue(ctx5(t), r.id(), fedhub.Order{ID: strings.ReplaceAll(name, " ", "-"), Kind: c.kind, Body: []byte(c.body)})
		if _, err := h.Deliver(ctx5(t), e); !errors.Is(err, wire.For(wire.CodeMalformed)) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestAnOrderWaitsWhileNobodyCanAnswer: a plugin between two starts must not cost a task.
func TestAnOrderWaitsWhileNobodyCanAnswer(t *testing.T) {
	r := newRig(t)
	h, _ := r.online()
	r.desk.mu.Lock()
	r.down = 3
	r.desk.mu.Unlock()
	a, err := r.order(h, "waits", create("{}"))
	if err != nil || a.Status != 200 || r.runs["waits"] != 1 {
		t.Errorf("%+v %v %v", a, err, r.runs)
	}
}

// TestAnOrderThatNobodyCanAnswerIsSentAgain: an order is not refused for good
// because the node is not itself for a while, or because the hub has its fill.
func TestAnOrderThatNobodyCanAnswerIsSentAgain(t *testing.T) {
	r := newRig(t)
	h, _ := r.online()
	for i, path := range []string{"/down", "/full", "/gateway"} {
		r.desk.mu.Lock()
		r.desk.refuse = []int{503, 429, 502}[i]
		r.desk.mu.Unlock()
		b, _ := task.Request{Plugin: "tes", Method: "POST", Path: path}.Encode()
		e, err := h.Issue(ctx5(t), r.id(), fedhub.Order{ID: "later-" + path[1:], Kind: task.KindHTTP, Body: b})
		if err != nil {
			t.Fatal(err)
		}
		done := make(chan error, 1)
		go func() { _, err := h.Deliver(ctx5(t), e); done <- err }()
		until(t, "it is being tried", func() bool { return r.last().req.Path == path })
		r.clock.Skew(time.Minute) // it has waited long enough
		until(t, "it was given back", func() bool {
			var open int
			_ = r.db.View(t.Context(), func(tx *store.Tx) error {
				return tx.QueryRow(`SELECT count(*) FROM link_envelope WHERE done_at IS NULL`).Scan(&open)
			})
			return open == 1
		})
		r.clock.Skew(0)
		r.desk.mu.Lock()
		r.desk.refuse = 0
		r.desk.mu.Unlock()
		if err := <-done; err != nil || r.desk.runs["later-"+path[1:]] != 1 {
			t.Errorf("%s: %v, made %d times", path, err, r.desk.runs["later-"+path[1:]])
		}
	}
}

func TestTheEndOfTheServerDoesNotEndAnOrder(t *testing.T) {
	r := newRig(t)
	h, _ := r.online()
	r.desk.mu.Lock()
	r.down = 1 << 20
	r.desk.mu.Unlock()
	done := make(chan error, 1)
	var a task.Answer
	go func() {
		var err error
		a, err = r.order(h, "over-a-restart", create("{}"))
		done <- err
	}()
	until(t, "it has begun", func() bool { r.desk.mu.Lock(); defer r.desk.mu.Unlock(); return len(r.asked) > 0 })
	r.end()
	_ = r.db.Close()
	r.desk.mu.Lock()
	r.down = 0
	r.desk.mu.Unlock()
	r.openDB()
	r.open()
	if err := <-done; err != nil || string(a.Body) != "task-1" || r.runs["over-a-restart"] != 1 {
		t.Errorf("%+v %v %v", a, err, r.runs)
	}
}

func TestPlainRequestsReadAndNothingElseIsThere(t *testing.T) {
	r := newRig(t)
	h, id := r.online()
	if code, body := r.get(h, "/ga4gh/tes/v1/tasks/a%2Fb?view=FULL"); code != 200 || body != "read /v1/tasks/a%2Fb?view=FULL" {
		t.Errorf("%d %s", code, body)
	}
	if got := r.last(); got.who.ID != id || got.req.RemoteID != "" || got.req.Base != "http://node/ga4gh/tes" {
		t.Errorf("%+v", got)
	}
	if code, body := r.get(h, "/ga4gh/tes/release"); code != 200 || body != "released bytes" {
		t.Errorf("release: %d %s", code, body)
	}
	asked := len(r.asked)
	for _, c := range []struct {
		method, path string
		code         int
	}{
		{"POST", "/ga4gh/tes/v1/tasks", 405}, {"DELETE", "/ga4gh/tes/v1/tasks/x", 405}, {"PUT", "/catalogue", 405},
		{"GET", "/", 404}, {"GET", "/api/v1/me", 404}, {"GET", "/ga4gh/", 404}, {"GET", "/admin", 404}, {"GET", "/fed/v1/link", 404},
	} {
		if code, body := r.do(h, c.method, c.path, ""); code != c.code || body == "" {
			t.Errorf("%s %s: %d %q, want %d", c.method, c.path, code, body, c.code)
		}
	}
	if len(r.asked) != asked {
		t.Error("something of these reached the gateway")
	}
	if code, body := r.get(h, "/ga4gh/tes/internal"); code != 500 || strings.Contains(body, "4711") || !strings.Contains(body, "correlation") {
		t.Errorf("an error from within: %d %s", code, body)
	}
	if code, _ := r.get(h, "/ga4gh/none/none"); code != 404 {
		t.Errorf("no such plugin: %d", code)
	}
	code, body := r.get(h, "/ping")
	p, err := task.DecodePing([]byte(body))
	if code != 200 || err != nil || p.Name != "North" || p.Version != "test" || strings.Join(p.Plugins, " ") != "tes" {
		t.Errorf("ping %d %+v %v", code, p, err)
	}
}

// TestAPingNamesOnlyTheHubsOwnPlugins: another hub's plugins are not even names.
func TestAPingNamesOnlyTheHubsOwnPlugins(t *testing.T) {
	r := newRig(t)
	h, id := r.online()
	other, _ := r.online()
	for _, list := range [][]string{{"beacon", "tes"}, {"beacon"}, {}, {"gone", "tes"}} {
		r.edit(id, func(p *gateway.Principal) { p.Plugins = list })
		r.Changed()
		want := strings.TrimPrefix(strings.Join(list, " "), "gone ") // one that does not run is not there
		until(t, "the ping names "+want, func() bool {
			_, body := r.get(h, "/ping")
			p, err := task.DecodePing([]byte(body))
			return err == nil && strings.Join(p.Plugins, " ") == want
		})
		if _, body := r.get(other, "/ping"); strings.Contains(body, "beacon") {
			t.Errorf("another hub hears of it: %s", body)
		}
	}
}

func TestPauseAndRevoke(t *testing.T) {
	r := newRig(t)
	h, id := r.online()
	status := func(want int) {
		t.Helper()
		until(t, "the hub sees it", func() bool { code, _ := r.get(h, "/ping"); return code == want })
	}
	status(200)
	r.edit(id, func(p *gateway.Principal) { p.Paused = true })
	r.Changed()
	status(503)
	if l := r.state(id); l.State != "paused" || l.Next == "" {
		t.Errorf("%+v", l)
	}
	r.restart()
	h.Online(t, r.id())
	status(503)
	r.edit(id, func(p *gateway.Principal) { p.Paused = false })
	status(200)
	r.desk.mu.Lock()
	r.desk.all = true
	r.desk.mu.Unlock()
	status(503)
	if n, err := r.Node(t.Context(), operator); err != nil || !n.Paused || !n.Enrolled {
		t.Errorf("%+v %v", n, err)
	}
	r.desk.mu.Lock()
	r.desk.all = false
	r.desk.mu.Unlock()
	status(200)
	r.edit(id, func(p *gateway.Principal) { p.State, p.Reason = gateway.Revoked, "they were broken into" })
	r.Changed()
	until(t, "the link is gone", func() bool { return !h.IsOnline(r.id()) })
	if l := r.state(id); l.State != "revoked" || l.Error != "they were broken into" || l.Next == "" {
		t.Errorf("%+v", l)
	}
	until(t, "the hub was told", func() bool { p, ok := h.Book.Peer(r.id()); return ok && !p.Left.IsZero() })
	dials := h.Relay.Dials.Load()
	r.restart()
	time.Sleep(200 * time.Millisecond)
	if h.Relay.Dials.Load() != dials {
		t.Error("a revoked hub is dialled")
	}
	if n, _ := r.Node(t.Context(), operator); n.Enrolled {
		t.Errorf("%+v", n)
	}
	if got := r.events(); !strings.HasSuffix(got, "hub.confirmed hub.revoked") {
		t.Errorf("events %q", got)
	}
}

func TestSeveralHubsEachWithItsOwnDoor(t *testing.T) {
	r := newRig(t)
	a, idA := r.online()
	b, idB := r.online()
	c, _ := r.online()
	c.Relay.Close() // one is down
	var wg sync.WaitGroup
	for i := range 20 {
		for _, one := range []struct {
			h  *fedtest.Hub
			id string
		}{{a, idA}, {b, idB}} {
			wg.Go(func() {
				name := "same-id-" + string(rune('a'+i))
				ans, err := r.order(one.h, name, create("{}"))
				if err != nil || ans.Status != 200 {
					t.Errorf("%s: %+v %v", one.id, ans, err)
				}
			})
		}
	}
	wg.Wait()
	if len(r.desk.tasks) != 40 {
		t.Errorf("%d tasks, want 40: hubs may use the same ids", len(r.desk.tasks))
	}
	if idA == idB {
		t.Error("two hubs are one principal")
	}
	links, err := r.Links(t.Context(), operator)
	if err != nil || len(links) != 3 {
		t.Errorf("%+v %v", links, err)
	}
	if _, err := r.Links(t.Context(), researcher); err == nil {
		t.Error("a researcher sees the links")
	}
}

// TestLocalWorkGoesOnWhateverAHubDoes: opening and running ask nothing of a hub.
func TestLocalWorkGoesOnWhateverAHubDoes(t *testing.T) {
	r := newRig(t)
	h, _ := r.online()
	h.Relay.Stall(true)
	began := time.Now()
	r.end()
	_ = r.db.Close()
	r.openDB()
	r.open()
	if _, err := r.Node(context.Background(), operator); err != nil {
		t.Error(err)
	}
	if d := time.Since(began); d > 20*time.Second {
		t.Errorf("a hub that says nothing held this appliance up for %v", d)
	}
	h.Relay.Stall(false)
}
