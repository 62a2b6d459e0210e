package link

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"tresor/app/access"
	"tresor/app/audit"
	"tresor/app/dataset"
	"tresor/app/fault"
	"tresor/app/gateway"
	"tresor/app/store"
	"tresor/fed/fedtest"
	fedlink "tresor/fed/link"
	"tresor/fed/trust"
	"tresor/fed/wire"
	"tresor/plugins/protocol"
)

// desk is a gateway that remembers what it was asked and answers as it is told.
type desk struct {
	mu         sync.Mutex
	principals map[string]*gateway.Principal
	all        bool
	tasks      map[string]string // principal/remote id → task
	runs       map[string]int    // remote id → how often a task was made
	asked      []asked
	published  []string
	create     error // of the next Create
	publish    error
	documents  map[string][]protocol.Document // by plugin
	docFault   error
	down       int // so many answers fail
	refuse     int // status of every answer; 0: as it should be
}

type asked struct {
	who    gateway.Caller
	plugin string
	req    protocol.Request
}

func newDesk() *desk {
	return &desk{principals: map[string]*gateway.Principal{}, tasks: map[string]string{}, runs: map[string]int{}}
}

func (d *desk) Principals(context.Context, access.Actor) ([]gateway.Principal, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	var out []gateway.Principal
	for _, p := range d.principals {
		out = append(out, *p)
	}
	return out, nil
}

func (d *desk) Create(_ context.Context, _ access.Actor, n gateway.Draft) (gateway.Principal, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if err := d.create; err != nil {
		d.create = nil
		return gateway.Principal{}, err
	}
	for _, p := range d.principals {
		if p.Name == n.Name {
			return gateway.Principal{}, fault.New("desk", fault.Conflict, "The name is taken.")
		}
	}
	id := fmt.Sprintf("principal-%d", len(d.principals)+1)
	p := &gateway.Principal{ID: id, Slug: id, Name: n.Name, Kind: n.Kind, State: gateway.Active, HubKey: n.HubKey, HubURL: n.HubURL, Words: n.Words, Node: n.Node, Plugins: gateway.DefaultPlugins()}
	d.principals[id] = p
	return *p, nil
}

func (d *desk) Change(_ context.Context, _ access.Actor, id string, c gateway.Change) (gateway.Principal, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	p := d.principals[id]
	for _, f := range []struct {
		to   *string
		from *string
	}{{&p.HubKey, c.HubKey}, {&p.HubURL, c.HubURL}, {&p.Words, c.Words}} {
		if f.from != nil {
			*f.to = *f.from
		}
	}
	return *p, nil
}

func (d *desk) edit(id string, f func(p *gateway.Principal)) {
	d.mu.Lock()
	defer d.mu.Unlock()
	f(d.principals[id])
}

func (d *desk) PausedAll(context.Context) (bool, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.all, nil
}

func (d *desk) Serve(ctx context.Context, _ gateway.Plugins, who gateway.Caller, plugin string, r protocol.Request) (protocol.Response, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.asked = append(d.asked, asked{who, plugin, r})
	if d.down > 0 {
		d.down--
		return protocol.Response{}, fault.New("desk", fault.Unavailable, "The plugin is being started.")
	}
	switch {
	case d.refuse != 0:
		return protocol.Response{Status: d.refuse, Body: []byte("not now")}, nil
	case r.Path == "/internal":
		return protocol.Response{}, errors.New("secret-4711 of the inside")
	case r.Path == "/none":
		return protocol.Response{}, fault.New("desk", fault.NotFound, "There is no such plugin.")
	case r.Path == "/release":
		return protocol.Response{Status: 200, Release: &protocol.ReleaseFile{ID: "r"}}, nil
	case r.Path == "/large":
		return protocol.Response{Status: 200, Body: make([]byte, 1<<20)}, nil
	case r.Method == http.MethodPost:
		key := who.ID + "/" + r.RemoteID
		if d.tasks[key] == "" {
			d.tasks[key] = fmt.Sprintf("task-%d", len(d.tasks)+1)
			d.runs[r.RemoteID]++
		}
		return protocol.Response{Status: 200, Body: []byte(d.tasks[key])}, nil
	}
	return protocol.Response{Status: 200, Header: map[string][]string{"Content-Type": {"text/plain"}}, Body: []byte("read " + r.Path + "?" + r.Query)}, nil
}

func (d *desk) WriteResponse(w http.ResponseWriter, r *http.Request, _ gateway.Caller, _ string, resp protocol.Response) {
	if resp.Release != nil {
		io.WriteString(w, "released bytes")
		return
	}
	w.WriteHeader(resp.Status)
	w.Write(resp.Body)
}

func (d *desk) Seen(context.Context, string) {}

func (d *desk) Documents(_ context.Context, _ gateway.Plugins, who gateway.Caller, plugin string) ([]protocol.Document, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.documents[plugin], d.docFault
}

func (d *desk) Published(_ context.Context, principal string, body []byte, _ string) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.publish != nil {
		return d.publish
	}
	d.published = append(d.published, principal)
	return nil
}

func (d *desk) last() asked {
	d.mu.Lock()
	defer d.mu.Unlock()
	if len(d.asked) == 0 {
		return asked{}
	}
	return d.asked[len(d.asked)-1]
}

// shelf is a plugin list without plugins: the desk answers.
type shelf struct{}

func (shelf) Server(context.Context, string) (protocol.Server, error) { return nil, nil }
func (shelf) Published() []string                                     { return []string{"beacon", "tes"} }

var (
	operator   = access.Actor{ID: "olga", Handle: "olga", Name: "Olga", Roles: []access.Role{access.Operator}, Via: "web"}
	researcher = access.Actor{ID: "rita", Handle: "rita", Name: "Rita", Projects: map[string]access.Role{"p": access.Researcher}}
)

type rig struct {
	t   testing.TB
	dir string
	db  *store.DB
	log *audit.Log
	*desk
	*Service
	clock   fedtest.Clock
	proxy   func(*http.Request) (*url.URL, error)
	overlap time.Duration
	sent    *wire.Envelope // by order1
	end     func()
}

func newRig(t testing.TB) *rig {
	t.Helper()
	r := &rig{t: t, dir: t.TempDir(), desk: newDesk()}
	r.openDB()
	t.Cleanup(func() { r.end(); _ = r.db.Close() })
	r.open()
	return r
}

func (r *rig) openDB() {
	r.t.Helper()
	var err error
	if r.db, err = store.Open(r.t.Context(), filepath.Join(r.dir, "tresor.db"), store.Options{}); err != nil {
		r.t.Fatal(err)
	}
	if r.log, err = audit.Open(r.t.Context(), r.db, filepath.Join(r.dir, "audit.key"), "tresor/test"); err != nil {
		r.t.Fatal(err)
	}
}

// restart ends everything and opens the same database again.
func (r *rig) restart() {
	r.t.Helper()
	r.end()
	_ = r.db.Close()
	r.openDB()
	r.open()
}

func (r *rig) deps() Deps {
	return Deps{DB: r.db, Log: r.log, Gateway: r.desk, Plugins: shelf{}, Key: filepath.Join(r.dir, "node.key"), CodeKey: filepath.Join(r.dir, "plugins.key"),
		IDs: func() string { return "correlation" }, Now: r.clock.Now, Logger: slog.New(slog.DiscardHandler), Name: "North", Version: "test",
		Grants: func(_ *store.Tx, project string) ([]string, error) {
			return map[string][]string{"p1": {"d1", "d2"}, "p2": {"d1"}}[project], nil
		},
		Datasets: func(_ *store.Tx, id string) (dataset.Dataset, error) { return canaryDataset(id), nil },
		Plain:    true, Proxy: r.proxy, Limits: fedtest.Lively(), MinWait: 5 * time.Millisecond, MaxWait: 50 * time.Millisecond, Look: 20 * time.Millisecond, Overlap: r.overlap}
}

func (r *rig) open() {
	r.t.Helper()
	s, err := Open(r.t.Context(), r.deps())
	if err != nil {
		r.t.Fatal(err)
	}
	r.Service = s
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() { _ = s.Run(ctx); close(done) }()
	r.end = func() { cancel(); <-done }
}

// hub starts a hub and enrols this appliance with a code of its own.
func (r *rig) hub() (*fedtest.Hub, string) {
	r.t.Helper()
	h := fedtest.StartHub(r.t, fedtest.Lively())
	return h, r.join(h)
}

func (r *rig) join(h *fedtest.Hub) string {
	r.t.Helper()
	code, err := h.Book.NewCode(r.t.Context(), "", "")
	if err != nil {
		r.t.Fatal(err)
	}
	id, err := r.Enrol(r.t.Context(), operator, "http://"+h.Relay.Host(), strings.ToLower(code.Text()), "Hub of Bonn")
	if err != nil {
		r.t.Fatal(err)
	}
	return id
}

// online is a confirmed hub with a link.
func (r *rig) online() (*fedtest.Hub, string) {
	r.t.Helper()
	h, id := r.hub()
	if err := r.Confirm(r.t.Context(), operator, id); err != nil {
		r.t.Fatal(err)
	}
	h.Online(r.t, r.id())
	return h, id
}

// id is how hubs know this appliance: by the first key that they pinned.
func (r *rig) id() wire.KeyID {
	i := r.keys.identity()
	if len(i.Past) > 0 {
		return i.Past[0]
	}
	return wire.KeyOf(i.Key).ID()
}

func (r *rig) get(h *fedtest.Hub, path string) (int, string) {
	r.t.Helper()
	return r.do(h, "GET", path, "")
}

func (r *rig) do(h *fedtest.Hub, method, path, body string) (int, string) {
	r.t.Helper()
	var b io.Reader
	if body != "" {
		b = strings.NewReader(body)
	}
	req, err := http.NewRequest(method, "http://x"+path, b)
	if err != nil {
		r.t.Fatal(err)
	}
	c := &http.Client{Transport: h.RoundTripper(r.id()), Timeout: time.Minute}
	var resp *http.Response
	for end := time.Now().Add(time.Minute); ; time.Sleep(5 * time.Millisecond) { // between two links there is none
		if resp, err = c.Do(req); err == nil {
			break
		}
		if method != http.MethodGet || time.Now().After(end) {
			r.t.Fatalf("%s %s: %v", method, path, err)
		}
	}
	defer resp.Body.Close()
	out, err := io.ReadAll(resp.Body)
	if err != nil {
		r.t.Fatal(err)
	}
	return resp.StatusCode, string(out)
}

func (r *rig) state(principal string) Link {
	r.t.Helper()
	all, err := r.Links(r.t.Context(), operator)
	if err != nil {
		r.t.Fatal(err)
	}
	return all[principal]
}

func (r *rig) events() string {
	r.t.Helper()
	var verbs []string
	err := r.db.View(r.t.Context(), func(tx *store.Tx) error {
		for _, noun := range []string{"hub.", "node."} {
			list, err := r.log.List(tx, audit.Filter{Verb: noun})
			if err != nil {
				return err
			}
			for _, e := range list {
				verbs = append([]string{e.Verb}, verbs...)
			}
		}
		return nil
	})
	if err != nil {
		r.t.Fatal(err)
	}
	return strings.Join(verbs, " ")
}

// spoil makes every write to a table fail, as a full disk does.
func (r *rig) spoil(table, verb string) (mend func()) {
	r.t.Helper()
	run := func(q string) {
		if err := r.db.Update(r.t.Context(), func(tx *store.Tx) error { _, err := tx.Exec(q); return err }); err != nil {
			r.t.Fatal(err)
		}
	}
	run(fmt.Sprintf(`CREATE TRIGGER spoiled BEFORE %s ON %s BEGIN SELECT RAISE(ABORT, 'disk full'); END`, verb, table))
	return func() { run(`DROP TRIGGER spoiled`) }
}

func want(t *testing.T, what string, err error, kind fault.Kind, text string) {
	t.Helper()
	if err == nil || fault.KindOf(err) != kind || !strings.Contains(err.Error(), text) {
		t.Errorf("%s: got %v (%v), want %v with %q", what, err, fault.KindOf(err), kind, text)
	}
}

func ctx5(t testing.TB) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	t.Cleanup(cancel)
	return ctx
}

var (
	until = fedtest.Until
	_     = trust.Words
	_     fedlink.Limits
)

// canaryDataset has secrets wherever a value of the data could have been put.
func canaryDataset(id string) dataset.Dataset {
	const c = "canary-4711"
	return dataset.Dataset{ID: id, Slug: "set-" + id, Name: "Data " + id, Description: "People wrote this.", Controller: c, Source: c, Licence: c, CreatedBy: c, Latest: 2,
		Versions: []dataset.Version{{N: 2, SHA256: c, Rows: 471147, Bytes: 471147, Note: c, CreatedBy: c, Files: []dataset.File{{}}, Tables: []dataset.Table{{
			Name: "visits", Label: "Visits", Description: "One line a visit.", File: c, Missing: []string{c}, Rows: 471147,
			Columns: []dataset.Column{{Name: "age", Type: dataset.Integer, Label: "Age", Description: "In years.", Nulls: 471147, Distinct: 471147, Min: c, Max: c}},
		}}}}}
}
