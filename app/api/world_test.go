package api

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"

	"tresor/app/access"
	"tresor/app/airlock"
	"tresor/app/audit"
	"tresor/app/config"
	"tresor/app/dataset"
	"tresor/app/gateway"
	"tresor/app/identity"
	"tresor/app/image"
	"tresor/app/job"
	"tresor/app/keyfile"
	"tresor/app/live"
	"tresor/app/output"
	"tresor/app/project"
	"tresor/app/release"
	"tresor/app/store"
	"tresor/app/tree"
	"tresor/app/vault"
	"tresor/app/workspace"
	"tresor/sandbox/fake"
)

// world is a whole appliance with real services; only the sandbox is the fake.
type world struct {
	desk   *fakeHub // of a hub; nil on an appliance
	server *Server
	http   *httptest.Server
	local  *httptest.Server // stands in for the socket: the peer is put into the context
	log    *lockedBuffer
	skew   atomic.Int64 // nanoseconds that the clock is ahead

	people                          map[string]identity.Person
	tokens                          map[string]string // column -> cookie
	aurora                          string            // project ids
	boreal                          string
	dataset                         string
	job, asked                      string
	principal, source, machineToken string // of the connector
	links                           *fakeLinks
	members                         func(person string) map[string]access.Role // of a hub
	plugins                         *fakePlugins
	output                          string
	request                         string
	item                            string
	release                         string
}

type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// unlimited is for tests that are not about rates.
var unlimited = Limits{PerSession: 1e6, SessionBurst: 1e6, PerAddress: 1e6, AddressBurst: 1e6, SignIn: 1e6, SignInBurst: 1e6, Sockets: 2000}

// options change a world before it is built.
type options struct {
	limits Limits
	real   bool // not a demo: sessions need passwords and step-up
}

func newWorld(t testing.TB) *world { return buildWorld(t, options{limits: unlimited}) }

const csvText = "id,health,visits\n" // rows are appended by csvData

func csvData(n int) string {
	var b strings.Builder
	b.WriteString(csvText)
	for i := range n {
		fmt.Fprintf(&b, "%d,%s,%d\n", i, []string{"good", "fair", "poor"}[i%3], i%7)
	}
	return b.String()
}

func (w *world) now() time.Time { return time.Now().Add(time.Duration(w.skew.Load())) }

func must[T any](t testing.TB) func(T, error) T {
	return func(v T, err error) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

func ids() string { return uuid.Must(uuid.NewV7()).String() }

func buildWorld(t testing.TB, o options) *world {
	t.Helper()
	w := &world{log: &lockedBuffer{}, people: map[string]identity.Person{}, tokens: map[string]string{}}
	ctx, dir := t.Context(), t.TempDir()
	in := func(name string) string { return filepath.Join(dir, name) }
	db := must[*store.DB](t)(store.Open(ctx, in("tresor.db"), store.Options{Now: w.now}))
	t.Cleanup(func() { _ = db.Close() })
	log := must[*audit.Log](t)(audit.Open(ctx, db, in("audit.key"), "tresor/test"))
	hub := live.New()
	bytesIn := must[*vault.Vault](t)(vault.Open(in("vault")))

	var people *identity.Service
	var data *dataset.Service
	projects := project.New(db, log, ids, project.Links{
		People: func(tx *store.Tx, id string) (project.Person, error) {
			p, err := identity.Lookup(tx, id)
			return project.Person{ID: p.ID, Handle: p.Handle, Name: p.Name, Roles: p.Roles, Disabled: p.Disabled}, err
		},
		Datasets: func(tx *store.Tx, id string) (project.Named, error) { return data.Named(tx, id) },
	})
	cfg := config.Default().Identity
	people = must[*identity.Service](t)(identity.New(identity.Deps{DB: db, Log: log, IDs: ids, Now: w.now, Key: bytes.Repeat([]byte{7}, 32),
		Config: cfg, Demo: !o.real, Site: "Test", URL: func() string { return "https://tre.example" }, Memberships: projects.MembershipsOf,
		Ended: func(x []string) { w.server.SessionsEnded(x) }}))
	data = must[*dataset.Service](t)(dataset.Open(ctx, dataset.Deps{DB: db, Log: log, Projects: projects, Dir: in("datasets"), IDs: ids}))
	t.Cleanup(func() { _ = data.Close() })
	runner := fake.New()
	t.Cleanup(func() { _ = runner.Close() })
	images := must[*image.Service](t)(image.New(image.Deps{DB: db, Log: log, Images: runner, Dir: in("spool")}))
	outputs := output.New(bytesIn, ids)
	files := tree.New(tree.Deps{DB: db, Log: log, Vault: bytesIn})
	var machines *gateway.Service
	jobs := job.New(job.Deps{Tree: files, Vault: bytesIn, Moved: func(tx *store.Tx, j job.Job) error { return machines.Moved(tx, j) }, DB: db, Log: log, Live: hub, Runner: runner, Projects: projects, Datasets: data, Images: images, Outputs: outputs,
		Dir: in("jobs"), IDs: ids, Now: w.now})
	window := workspace.New(workspace.Deps{DB: db, Log: log, Jobs: jobs, Outputs: outputs, IDs: ids, Now: w.now})
	gate := airlock.New(airlock.Deps{DB: db, Log: log, Live: hub, Vault: bytesIn, Projects: projects, Jobs: jobs, Outputs: outputs, IDs: ids})
	releases := release.New(release.Deps{DB: db, Log: log, Live: hub, Vault: bytesIn, Requests: gate, Jobs: jobs,
		Projects: projects, IDs: ids, Institution: "Test", Software: "tresor test"})

	machines = gateway.New(gateway.Deps{DB: db, Log: log, Live: hub, Vault: bytesIn, Projects: projects, Jobs: jobs,
		Outputs: outputs, Airlock: gate, Releases: releases, IDs: ids, Now: w.now, Seal: must[keyfile.Sealer](t)(keyfile.NewSealer(in("plugins.key"))), Name: "Test"})
	w.links, w.plugins = &fakeLinks{}, &fakePlugins{}

	runCtx, stop := context.WithCancel(context.Background())
	running := make(chan struct{})
	go func() { defer close(running); _ = jobs.Run(runCtx) }()
	t.Cleanup(func() { stop(); <-running })
	runner.Handle("", func(_ context.Context, task *fake.Task) int {
		_, _ = io.WriteString(task.Log, "counting visits\n")
		if err := task.WriteFile("/work/out/visits.csv", []byte("health,people\ngood,120\nfair,90\npoor,45\n")); err != nil {
			return 1
		}
		return 0
	})

	w.server = must[*Server](t)(New(Deps{Name: "Test", Version: "0.0.0-test", Demo: !o.real, UID: 12345, Now: w.now, IDs: ids,
		Logger: slog.New(slog.NewJSONHandler(w.log, &slog.HandlerOptions{Level: slog.LevelDebug})), Limits: o.limits, Intake: Intake{Dataset: 1 << 20, Image: 1 << 20}, Facts: fixedFacts{},
		UI: http.HandlerFunc(func(rw http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(rw, "page") }),
		DB: db, DBFile: in("tresor.db"), Live: hub, Audit: log, Identity: people, Projects: projects, Datasets: data, Images: images, Jobs: jobs, Workspace: window, Airlock: gate, Releases: releases,
		Gateway: machines, Tree: files, Plugins: w.plugins, Links: w.links, Machine: http.HandlerFunc(fakeMachine)}))
	t.Cleanup(w.server.Close)
	w.http = httptest.NewServer(w.server.Handler())
	t.Cleanup(w.http.Close)
	w.local = httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		w.server.LocalHandler().ServeHTTP(rw, r.WithContext(context.WithValue(r.Context(), peerKey{}, peer{uid: 0, known: true})))
	}))
	t.Cleanup(w.local.Close)
	w.populate(t)
	if _, err := images.EnsureBuiltin(ctx, testBinary(t), nil); err != nil {
		t.Fatal(err)
	}
	return w
}

type fixedFacts struct{}

func (fixedFacts) SystemFacts(context.Context) (System, error) {
	return System{Name: "Test", Checks: []Check{{Name: "clock", State: CheckOK}}, Podman: PodmanFacts{Controllers: []string{}, Reasons: []string{}}}, nil
}

// hire makes one person for each column, and some more.
func (w *world) hire(t testing.TB) {
	t.Helper()
	ctx, s := t.Context(), w.server
	for _, p := range []struct {
		column, handle string
		roles          []access.Role
	}{
		{"operator", "olga", []access.Role{access.Operator}}, {"steward", "stefan", []access.Role{access.Steward}},
		{"checker", "carl", []access.Role{access.Checker}}, {"checker2", "cemile", []access.Role{access.Checker}},
		{"auditor", "aud", []access.Role{access.Auditor}}, {"researcher", "rosa", nil}, {"lead", "lena", nil},
		{"outsider", "otto", nil}, {"enrolling", "nina", nil}, {"extra", "extra", nil},
	} {
		w.people[p.column] = must[identity.Person](t)(s.Identity.CreatePerson(ctx, access.System, identity.Draft{Handle: p.handle, Name: "Person " + p.handle, Roles: p.roles}))
	}
}

// populate makes the people, two projects and a dataset without a version.
func (w *world) populate(t testing.TB) {
	t.Helper()
	ctx, s := t.Context(), w.server
	w.hire(t)
	make := func(slug string) string {
		return must[project.Project](t)(s.Projects.Create(ctx, access.System, project.Draft{Slug: slug, Name: strings.ToUpper(slug), Purpose: "A test."})).ID
	}
	w.aurora, w.boreal = make("aurora"), make("borealis")
	w.join(t, w.aurora, "researcher", access.Researcher)
	w.join(t, w.aurora, "lead", access.Lead)
	w.join(t, w.boreal, "outsider", access.Researcher)
	d := must[dataset.Dataset](t)(s.Datasets.Register(ctx, access.System, dataset.Draft{Slug: "health", Name: "Health", Controller: "Clinic"}))
	w.dataset = d.ID
	must[project.Project](t)(s.Projects.Grant(ctx, access.System, w.aurora, d.ID))
}

func (w *world) join(t testing.TB, project, column string, role access.Role) {
	t.Helper()
	if _, err := w.server.Projects.SetMember(t.Context(), w.actor("operator"), project, w.people[column].ID, role); err != nil {
		t.Fatal(err)
	}
}

// actor is who a column is, as the domain sees them now.
func (w *world) actor(column string) access.Actor {
	if column == "local" {
		return identity.LocalOperator(0)
	}
	p := w.people[column]
	a := access.Actor{ID: p.ID, Handle: p.Handle, Name: p.Name, Roles: p.Roles, Projects: map[string]access.Role{}, Via: "web"}
	if w.members != nil {
		a.Projects = w.members(p.ID)
		return a
	}
	_ = w.server.DB.View(context.Background(), func(tx *store.Tx) error {
		var err error
		a.Projects, err = w.server.Projects.MembershipsOf(tx, p.ID)
		return err
	})
	return a
}

// fill runs the whole path once, so that every kind of thing exists.
func (w *world) fill(t testing.TB) {
	t.Helper()
	w.ingest(t)
	w.job = w.submit(t, "visits")
	var j job.Job
	w.until(t, "the job is held", func() bool {
		w.as(t, "researcher", "GET", "/jobs/"+w.job, nil).into(t, &j)
		if j.State == job.Failed {
			t.Fatalf("the job failed: %s", j.Reason)
		}
		return j.State == job.Held
	})
	w.output = j.Outputs[0].ID
	w.request = w.askRelease(t)
	for _, checker := range []string{"checker", "checker2"} {
		w.as(t, checker, "GET", "/airlock/"+w.request+"/items/"+w.item+"/view", nil).want(t, 200)
		w.as(t, checker, "POST", "/airlock/"+w.request+"/votes", map[string]string{"decision": "approve", "comment": "Counts are large."}).want(t, 200)
	}
	var r release.Release
	w.as(t, "researcher", "POST", "/airlock/"+w.request+"/release", nil).want(t, 200).into(t, &r)
	w.release = r.ID
	w.connect(t)
}

func (w *world) ingest(t testing.TB) {
	t.Helper()
	body, media := form(t, map[string]string{"note": "first"}, map[string]string{"people.csv": csvData(60)})
	w.send(t, "steward", "POST", "/datasets/health/versions", media, body).want(t, 201)
}

func (w *world) submit(t testing.TB, name string) string {
	t.Helper()
	var j job.Job
	w.as(t, "researcher", "POST", "/projects/aurora/jobs", map[string]any{"name": name, "purpose": "To count.",
		"sql": []map[string]string{{"output": "visits.csv", "sql": "SELECT health, count(*) AS people FROM people GROUP BY health"}}}).want(t, 201).into(t, &j)
	return j.ID
}

// askRelease drafts and submits a request for the outputs of w.job.
func (w *world) askRelease(t testing.TB) string {
	t.Helper()
	var r airlock.Request
	w.as(t, "researcher", "POST", "/jobs/"+w.job+"/airlock", map[string]any{"title": "Visits by health", "context": "Counts of people by self-rated health.",
		"population": "Sixty adults in the study.", "controls": "All counts are over ten.", "outputs": []string{w.output}}).want(t, 201).into(t, &r)
	w.as(t, "researcher", "POST", "/airlock/"+r.ID+"/submit", nil).want(t, 200).into(t, &r)
	w.item = r.Items[0].ID
	return r.ID
}

func (w *world) until(t testing.TB, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(2 * time.Minute); time.Now().Before(end); time.Sleep(10 * time.Millisecond) {
		if ok() {
			return
		}
	}
	t.Fatalf("waited in vain until %s", what)
}
