package hub

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"

	"tresor/app/access"
	"tresor/app/apptest/tesclient"
	"tresor/app/audit"
	"tresor/app/config"
	"tresor/app/identity"
	"tresor/app/store"
	"tresor/fed/fedtest"
	"tresor/fed/link"
	"tresor/fed/trust"
	"tresor/fed/wire"
)

// rig is a hub on a folder. It survives its Service: restart makes a new one on
// the same folder, as after a crash.
type rig struct {
	t      testing.TB
	dir    string
	clock  fedtest.Clock
	pace   Pace
	limits link.Limits
	keep   time.Duration // of results
	tasks  time.Duration // how long tasks are kept

	db     *store.DB
	log    *audit.Log
	people *identity.Service
	s      *Service
	stop   func()

	url     string   // of the server
	hosts   []string // under which nodes dial
	server  *httptest.Server
	relay   *fedtest.Relay
	handler atomic.Pointer[http.Handler]

	operator access.Actor
	rosa     access.Actor // researcher
	project  Project
	token    string
}

func ids() string { return uuid.Must(uuid.NewV7()).String() }

func quickPace() Pace {
	return Pace{PollMin: 5 * time.Millisecond, PollMax: 40 * time.Millisecond, Retry: 40 * time.Millisecond, Catalogue: time.Second, Call: time.Minute,
		Tick: 20 * time.Millisecond, Forget: time.Millisecond, MaxResult: 1 << 20, Reserve: 1}
}

// newRig starts a hub with a project, a researcher and a token.
func newRig(t testing.TB, options ...func(*rig)) *rig {
	t.Helper()
	r := &rig{t: t, dir: t.TempDir(), pace: quickPace(), limits: fedtest.Lively()}
	for _, o := range options {
		o(r)
	}
	r.server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
		if h := r.handler.Load(); h != nil {
			(*h).ServeHTTP(w, q)
			return
		}
		http.Error(w, "down", http.StatusBadGateway)
	}))
	r.relay = fedtest.NewRelay(t, "ws://"+r.server.Listener.Addr().String())
	r.url, r.hosts = r.server.URL, []string{r.relay.Host(), r.server.Listener.Addr().String()}
	t.Cleanup(func() { r.relay.Close(); r.server.Close() })
	r.start()
	t.Cleanup(func() { r.crash() })
	r.people1()
	return r
}

// start opens everything on the folder and runs it.
func (r *rig) start() {
	r.t.Helper()
	ctx := context.Background()
	var err error
	if r.db, err = store.Open(ctx, filepath.Join(r.dir, "tresor.db"), store.Options{}); err != nil {
		r.t.Fatal(err)
	}
	keys := filepath.Join(r.dir, "keys")
	if err := makeFolder(keys); err != nil {
		r.t.Fatal(err)
	}
	if r.log, err = audit.Open(ctx, r.db, filepath.Join(keys, "audit.key"), "tresor/test"); err != nil {
		r.t.Fatal(err)
	}
	r.people, err = identity.New(identity.Deps{DB: r.db, Log: r.log, IDs: ids, Now: time.Now, Key: make([]byte, 32), Config: config.Default().Identity,
		Site: "hub", URL: func() string { return r.url }, Memberships: MembershipsOf})
	if err != nil {
		r.t.Fatal(err)
	}
	r.s, err = New(ctx, Deps{DB: r.db, Log: r.log, Keys: keys, Results: filepath.Join(r.dir, "results"), Name: "Hub of the test", Version: "test",
		URL: func() string { return r.url }, Hosts: func() []string { return r.hosts },
		IDs: ids, Now: r.clock.Now, Logger: fedtest.Log(), Limits: r.limits, Pace: r.pace, Keep: r.keep, KeepTasks: r.tasks, Verify: verifyPlain})
	if err != nil {
		r.t.Fatal(err)
	}
	mux := http.NewServeMux()
	mux.Handle(LinkPath, r.s.Link())
	mux.Handle(DoorPath, r.s.Door())
	run, cancel := context.WithCancel(ctx)
	done := make(chan struct{})
	s := r.s
	go func() { defer close(done); _ = s.Run(run) }()
	r.stop = func() { cancel(); <-done; s.Close() }
	var h http.Handler = mux
	r.handler.Store(&h)
}

// crash ends the hub without a word to anybody.
func (r *rig) crash() {
	if r.stop == nil {
		return
	}
	r.handler.Store(nil)
	r.relay.Cut()
	r.stop()
	r.stop = nil
	_ = r.db.Close()
}

func (r *rig) restart() { r.t.Helper(); r.crash(); r.start() }

// people1 makes the operator, a researcher, a project and a token.
func (r *rig) people1() {
	r.t.Helper()
	ctx := context.Background()
	r.operator = access.Actor{ID: "local:0", Handle: "local", Roles: []access.Role{access.Operator}, Via: "local"}
	p, err := r.people.CreatePerson(ctx, r.operator, identity.Draft{Handle: "rosa", Name: "Rosa Lind"})
	if err != nil {
		r.t.Fatal(err)
	}
	if r.project, err = r.s.CreateProject(ctx, r.operator, ProjectDraft{Slug: "aurora", Name: "Aurora"}); err != nil {
		r.t.Fatal(err)
	}
	if _, err = r.s.SetMember(ctx, r.operator, "aurora", p.ID, access.Researcher); err != nil {
		r.t.Fatal(err)
	}
	r.rosa = access.Actor{ID: p.ID, Handle: "rosa", Name: p.Name, Projects: map[string]access.Role{r.project.ID: access.Researcher}, Via: "web"}
	t, err := r.s.NewToken(ctx, r.rosa, TokenDraft{Name: "laptop", Project: "aurora"})
	if err != nil {
		r.t.Fatal(err)
	}
	r.token = t.Token
}

// member makes another researcher of the project, with a token.
func (r *rig) member(handle string) (person identity.Person, token string) {
	r.t.Helper()
	ctx := context.Background()
	p, err := r.people.CreatePerson(ctx, r.operator, identity.Draft{Handle: handle, Name: handle})
	must(r.t, err)
	_, err = r.s.SetMember(ctx, r.operator, "aurora", p.ID, access.Researcher)
	must(r.t, err)
	actor := access.Actor{ID: p.ID, Handle: handle, Projects: map[string]access.Role{r.project.ID: access.Researcher}}
	t, err := r.s.NewToken(ctx, actor, TokenDraft{Name: "x", Project: "aurora"})
	must(r.t, err)
	return p, t.Token
}

// client is an independent TES client with the researcher's token.
func (r *rig) client() *tesclient.Client {
	return &tesclient.Client{Base: r.server.URL + "/ga4gh/tes/v1", Token: r.token, HTTP: http.DefaultClient}
}

// enrol pins a node with a code made here, confirms it and puts it into the project.
func (r *rig) enrol(n *fakeNode) {
	r.t.Helper()
	ctx := context.Background()
	code, err := r.s.NewCode(ctx, r.operator, n.name)
	if err != nil {
		r.t.Fatal(err)
	}
	typed, err := n.Book.TypeCode(ctx, code.Code, r.relay.URL(), "")
	if err != nil {
		r.t.Fatal(err)
	}
	n.join(r, typed)
	if _, err := r.s.ConfirmNode(ctx, r.operator, n.name); err != nil {
		r.t.Fatal(err)
	}
	if _, err := r.s.SetNode(ctx, r.operator, "aurora", n.name, n.remote()); err != nil {
		r.t.Fatal(err)
	}
}

func (n *fakeNode) join(r *rig, c trust.Code) {
	r.t.Helper()
	p, err := n.Enrol(context.Background(), c, n.name)
	if err != nil {
		r.t.Fatal(err)
	}
	n.Hub, n.ID = p.ID, wire.KeyOf(n.Key).ID()
}

// three starts three nodes that are online.
func (r *rig) three() []*fakeNode {
	r.t.Helper()
	var all []*fakeNode
	for _, name := range []string{"north", "east", "south"} {
		n := newFakeNode(r.t, name)
		r.enrol(n)
		n.connect(r)
		all = append(all, n)
	}
	return all
}

func (r *rig) task() tesclient.Task {
	return tesclient.Task{Name: "count", Executors: []tesclient.Executor{{Image: "tresor/sql", Command: []string{"/bin/true"}}},
		Outputs: []tesclient.Output{{Path: "/work/out/x.csv", URL: "hub://x.csv"}}}
}

// create sends a task and gives its id.
func (r *rig) create(tres string) string {
	r.t.Helper()
	t := r.task()
	if tres != "" {
		t.Tags = map[string]string{"tres": tres}
	}
	id, err := r.client().Create(context.Background(), t)
	if err != nil {
		r.t.Fatal(err)
	}
	return id
}

func (r *rig) state(id string) string {
	t, err := r.s.Task(context.Background(), r.operator, id)
	if err != nil {
		r.t.Error(err)
	}
	return t.State
}

// until waits for a state of a task.
func (r *rig) until(id, state string) {
	r.t.Helper()
	for end := time.Now().Add(2 * time.Minute); ; time.Sleep(3 * time.Millisecond) {
		if r.state(id) == state {
			return
		}
		if time.Now().After(end) {
			t, _ := r.s.Task(context.Background(), r.operator, id)
			r.t.Fatalf("the task did not become %s: %s %+v", state, t.State, t.Parts[:min(3, len(t.Parts))])
		}
	}
}

// part is the part of a task at a node.
func (r *rig) part(id, node string) Part {
	r.t.Helper()
	t, err := r.s.Task(context.Background(), r.operator, id)
	if err != nil {
		r.t.Fatal(err)
	}
	for _, p := range t.Parts {
		if p.Name == node {
			return p
		}
	}
	r.t.Fatalf("no part at %s", node)
	return Part{}
}

func (r *rig) untilPart(id, node, what string, ok func(Part) bool) {
	r.t.Helper()
	fedtest.Until(r.t, node+" "+what, func() bool { return ok(r.part(id, node)) })
}

// verbs are the events about a task.
func (r *rig) verbs(id string) []string {
	var all []string
	err := r.db.View(context.Background(), func(tx *store.Tx) error {
		list, err := r.log.Timeline(tx, "task:"+id)
		for _, e := range list {
			all = append(all, e.Verb)
		}
		return err
	})
	if err != nil {
		r.t.Fatal(err)
	}
	return all
}

// get asks the hub's door.
func (r *rig) get(path string) (int, http.Header, []byte) {
	r.t.Helper()
	q, err := http.NewRequest(http.MethodGet, r.server.URL+path, nil)
	if err != nil {
		r.t.Fatal(err)
	}
	q.Header.Set("Authorization", "Bearer "+r.token)
	resp, err := http.DefaultClient.Do(q)
	if err != nil {
		r.t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		r.t.Fatal(err)
	}
	return resp.StatusCode, resp.Header, b
}

// verifyPlain stands in for the check of a release: "PLAIN <release> <content>".
func verifyPlain(z io.ReaderAt, size int64) (Verified, error) {
	b, err := io.ReadAll(io.NewSectionReader(z, 0, size))
	if err != nil {
		return Verified{}, err
	}
	words := strings.SplitN(string(b), " ", 3)
	if len(words) != 3 || words[0] != "PLAIN" {
		return Verified{}, errors.New("not plain")
	}
	return Verified{Release: words[1], Root: "root", Files: []File{{Path: "x.csv", Size: int64(len(words[2])), SHA256: "00"}}}, nil
}

func has(list []string, want string) bool { return slices.Contains(list, want) }

func replaceForTest(path, content string) error { return os.WriteFile(path, []byte(content), 0o600) }
