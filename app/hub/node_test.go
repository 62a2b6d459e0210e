package hub

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"

	"tresor/fed/fedtest"
	"tresor/fed/link"
	"tresor/fed/node"
	"tresor/fed/task"
	"tresor/fed/wire"
)

// fakeNode is a real link with a small task service behind it. What it does wrong
// is said by its fields.
type fakeNode struct {
	*fedtest.Node
	t    testing.TB
	name string

	mu       sync.Mutex
	tasks    map[string]*fakeTask // by id
	orders   map[string]int       // executed orders by envelope id
	creates  int
	asked    int
	lie      func(w http.ResponseWriter, r *http.Request) bool // answers in the door's place
	refuse   *task.Answer                                      // to a create
	broken   func(o node.Order) error                          // before a create
	released map[string]string                                 // zip by release id
	closed   *wire.Refusal
	stops    int          // orders to cancel
	keeps    *task.Answer // to an order to cancel
}

type fakeTask struct {
	id, state, release string
	body               map[string]any
	onBehalf           string
	secret             string // stdout that must not travel on
	messages           []string
}

func newFakeNode(t testing.TB, name string) *fakeNode {
	return newFakeNodeOf(t, name, fedtest.Lively())
}

func newFakeNodeOf(t testing.TB, name string, l link.Limits) *fakeNode {
	return &fakeNode{Node: fedtest.NewNode(t, l), t: t, name: name, tasks: map[string]*fakeTask{}, orders: map[string]int{}, released: map[string]string{}}
}

func (n *fakeNode) remote() string { return "aurora-" + n.name }

// connect keeps a link to the hub and waits for it.
func (n *fakeNode) connect(r *rig) {
	n.t.Helper()
	n.dial()
	n.online(r)
}

func (n *fakeNode) dial() {
	n.t.Helper()
	err := n.Connect(n.Hub, node.Door{Routes: n.routes(), Execute: n.execute, Again: n.execute, Closed: func() *wire.Refusal {
		n.mu.Lock()
		defer n.mu.Unlock()
		return n.closed
	}})
	if err != nil {
		n.t.Fatal(err)
	}
}

func (n *fakeNode) online(r *rig) {
	n.t.Helper()
	fedtest.Until(n.t, n.name+" is online", func() bool { return r.s.online()[string(n.ID)] })
}

func (n *fakeNode) offline(r *rig) {
	n.t.Helper()
	n.Disconnect(n.Hub)
	fedtest.Until(n.t, n.name+" is offline", func() bool { return !r.s.online()[string(n.ID)] })
}

// do changes the node under its lock.
func (n *fakeNode) do(f func()) { n.mu.Lock(); defer n.mu.Unlock(); f() }

// only gives the node's one task.
func (n *fakeNode) only() *fakeTask {
	n.t.Helper()
	var one *fakeTask
	fedtest.Until(n.t, n.name+" has a task", func() bool {
		n.mu.Lock()
		defer n.mu.Unlock()
		for _, x := range n.tasks {
			one = x
		}
		return one != nil
	})
	return one
}

// set moves the node's one task.
func (n *fakeNode) set(state string) {
	n.t.Helper()
	x := n.only()
	n.do(func() { x.state = state })
}

// says gives the state of the node's one task.
func (n *fakeNode) says() (state string) {
	n.t.Helper()
	x := n.only()
	n.do(func() { state = x.state })
	return state
}

// release makes the node's one task COMPLETE with a released zip.
func (n *fakeNode) release(content string) {
	n.t.Helper()
	x := n.only()
	n.do(func() {
		x.release = "rel-" + n.name
		n.released[x.release] = "PLAIN " + x.release + " " + content
		x.state = "COMPLETE"
	})
}

func (n *fakeNode) count() int { n.mu.Lock(); defer n.mu.Unlock(); return n.creates }

// execute takes a signed order.
func (n *fakeNode) execute(_ context.Context, o node.Order) ([]byte, error) {
	req, err := task.DecodeRequest(o.Body)
	if err != nil {
		return nil, err
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	n.orders[o.ID]++
	if id, ok := strings.CutSuffix(strings.TrimPrefix(req.Path, "/v1/tasks/"), ":cancel"); ok {
		x := n.tasks[id]
		n.stops++
		if n.keeps != nil {
			return n.keeps.Encode()
		}
		if x == nil {
			return answerOf(404, `{"detail":"There is no such task."}`)
		}
		if x.state == "QUEUED" || x.state == "RUNNING" {
			x.state = "CANCELED"
		}
		return answerOf(200, `{}`)
	}
	if n.broken != nil {
		if err := n.broken(o); err != nil {
			return nil, err
		}
	}
	if n.refuse != nil {
		return n.refuse.Encode()
	}
	if x := n.tasks["n-"+o.ID]; x == nil { // idempotent by the envelope's id, as the gateway is
		n.creates++
		x = &fakeTask{id: "n-" + o.ID, state: "QUEUED", onBehalf: req.OnBehalf, secret: "SECRET of " + n.name}
		if err := json.Unmarshal(req.Body, &x.body); err != nil {
			return answerOf(400, `{"detail":"unreadable"}`)
		}
		n.tasks[x.id] = x
	}
	return answerOf(200, fmt.Sprintf(`{"id":%q}`, "n-"+o.ID))
}

func answerOf(status int, body string) ([]byte, error) {
	return task.Answer{Status: status, Header: map[string][]string{"Content-Type": {"application/json"}}, Body: []byte(body)}.Encode()
}

// routes are what the hub may read.
func (n *fakeNode) routes() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc(task.PathPing, func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprintf(w, `{"name":%q,"version":"9.8.7","time":"2026-11-24T12:00:00Z","plugins":["tes"]}`, n.name)
	})
	mux.HandleFunc(task.PathCatalogue, func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprintf(w, `{"node":%q,"projects":[{"slug":%q,"name":"Aurora"}],"datasets":[{"slug":"rand","name":"RAND","projects":[]}],"documents":%s}`, n.name, n.remote(), publishedHere)
	})
	mux.HandleFunc("/ga4gh/tes/published/{path...}", func(w http.ResponseWriter, r *http.Request) {
		text, ok := map[string]string{"a/index.json": "{}", "changed.txt": "not what was listed", "long.txt": strings.Repeat("x", task.MaxDocument+1)}[r.PathValue("path")]
		if !ok {
			http.NotFound(w, r)
			return
		}
		_, _ = w.Write([]byte(text))
	})
	mux.HandleFunc("/ga4gh/tes/v1/tasks/{id}", n.show)
	mux.HandleFunc("/ga4gh/tes/releases/{id}", func(w http.ResponseWriter, r *http.Request) {
		n.mu.Lock()
		zip, ok := n.released[r.PathValue("id")]
		n.mu.Unlock()
		if !ok {
			http.NotFound(w, r)
			return
		}
		_, _ = w.Write([]byte(zip))
	})
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		n.mu.Lock()
		n.asked++
		lie := n.lie
		n.mu.Unlock()
		if lie != nil && lie(w, r) {
			return
		}
		mux.ServeHTTP(w, r)
	})
}

func (n *fakeNode) show(w http.ResponseWriter, r *http.Request) {
	n.mu.Lock()
	defer n.mu.Unlock()
	x := n.tasks[r.PathValue("id")]
	if x == nil {
		http.NotFound(w, r)
		return
	}
	log := map[string]any{"logs": []any{map[string]any{"exit_code": 0, "stdout": x.secret, "stderr": x.secret}}, "outputs": []any{}, "system_logs": x.messages,
		"start_time": "2026-11-24T12:00:00Z"}
	if x.release != "" {
		log["outputs"] = []any{map[string]any{"url": "https://node/ga4gh/tes/releases/" + x.release + "/work/out/x.csv", "path": "/work/out/x.csv",
			"size_bytes": fmt.Sprint(len(n.released[x.release]) - len("PLAIN "+x.release+" "))}}
	}
	_ = json.NewEncoder(w).Encode(map[string]any{"id": x.id, "state": x.state, "executors": []any{}, "logs": []any{log}})
}
