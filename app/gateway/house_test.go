package gateway

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
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
	"tresor/app/fault"
	"tresor/app/identity"
	"tresor/app/image"
	"tresor/app/job"
	"tresor/app/live"
	"tresor/app/output"
	"tresor/app/project"
	"tresor/app/release"
	"tresor/app/store"
	"tresor/app/tree"
	"tresor/app/vault"
	"tresor/plugins/protocol"
	"tresor/sandbox"
	"tresor/sandbox/fake"
)

var ctx = context.Background()

// house is a small appliance without its own doors: everything real but the images,
// the datasets' files and the engine.
type house struct {
	t        testing.TB
	db       *store.DB
	log      *audit.Log
	live     *live.Hub
	vault    *vault.Vault
	vaultDir string
	identity *identity.Service
	projects *project.Service
	outputs  *output.Service
	tree     *tree.Service
	jobs     *job.Service
	airlock  *airlock.Service
	releases *release.Service
	images   *images
	runner   *fake.Runner
	g        *Service
	skew     atomic.Int64
	people   map[string]identity.Person
	aurora   project.Project
	borealis project.Project
	halt     func()
}

func ids() string { return uuid.Must(uuid.NewV7()).String() }

func (h *house) now() time.Time { return time.Now().Add(time.Duration(h.skew.Load())) }

const imageID = "sha256:1111111111111111111111111111111111111111111111111111111111111111"

// images is an approval list of one image, which is called tools.
type images struct {
	mu     sync.Mutex
	refuse error
}

func (i *images) Resolve(_ *store.Tx, ref string) (image.Image, error) {
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.refuse != nil {
		return image.Image{}, i.refuse
	}
	if ref != "tools" && ref != imageID {
		return image.Image{}, fault.New("image.Resolve", fault.NotFound, "There is no image %q.", ref)
	}
	return image.Image{ID: imageID, Digest: imageID, Ref: "tools"}, nil
}

// data is two datasets of one file each.
type data struct{ dir string }

var datasetIDs = map[string]string{"health": "019e0000-0000-7000-8000-00000000d001", "genome": "019e0000-0000-7000-8000-00000000d002"}

func (d data) MountFor(_ *store.Tx, _, id string, version int) ([]dataset.Mount, error) {
	slug := slugOfData(id)
	return []dataset.Mount{{Source: d.dir, Target: "/data/" + slug, DatasetID: datasetIDs[slug], Slug: slug, Version: max(version, 1), SHA256: strings.Repeat("d", 64)}}, nil
}

func (d data) Lookup(_ *store.Tx, id string) (dataset.Dataset, error) {
	slug := slugOfData(id)
	v := dataset.Version{N: 1, SHA256: strings.Repeat("d", 64), Files: []dataset.File{{Name: "visits.csv", SHA256: strings.Repeat("e", 64), Size: 9}}, Presentation: dataset.Ready}
	return dataset.Dataset{ID: datasetIDs[slug], Slug: slug, Latest: 1, Versions: []dataset.Version{v}}, nil
}

func slugOfData(id string) string {
	for slug, x := range datasetIDs {
		if x == id || slug == id {
			return slug
		}
	}
	return "unknown"
}

func newHouse(t testing.TB) *house {
	t.Helper()
	h := &house{t: t, live: live.New(), runner: fake.New(), people: map[string]identity.Person{}, images: &images{}}
	t.Cleanup(func() {
		if h.halt != nil {
			h.halt()
		}
		_ = h.runner.Close()
		_ = h.db.Close()
	})
	dir := t.TempDir()
	in := func(name string) string { return filepath.Join(dir, name) }
	h.vaultDir = in("vault")
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	var err error
	h.db, err = store.Open(ctx, in("tresor.db"), store.Options{Now: h.now})
	must(err)
	h.log, err = audit.Open(ctx, h.db, in("audit.key"), "tresor/test")
	must(err)
	h.vault, err = vault.Open(h.vaultDir)
	must(err)
	h.projects = project.New(h.db, h.log, ids, project.Links{
		People: func(tx *store.Tx, id string) (project.Person, error) {
			p, err := identity.Lookup(tx, id)
			return project.Person{ID: p.ID, Handle: p.Handle, Name: p.Name, Roles: p.Roles, Disabled: p.Disabled}, err
		},
		Datasets: func(_ *store.Tx, id string) (project.Named, error) {
			slug := slugOfData(id)
			return project.Named{ID: datasetIDs[slug], Slug: slug, Name: "Dataset " + slug, Version: 1}, nil
		},
	})
	h.identity, err = identity.New(identity.Deps{DB: h.db, Log: h.log, IDs: ids, Now: h.now, Key: bytes.Repeat([]byte{7}, 32), Config: config.Default().Identity,
		Site: "Test", URL: func() string { return "https://tre.example" }, Memberships: h.projects.MembershipsOf})
	must(err)
	h.outputs = output.New(h.vault, ids)
	h.tree = tree.New(tree.Deps{DB: h.db, Log: h.log, Vault: h.vault})
	must(os.WriteFile(in("visits.csv"), []byte("a,b\n1,2\n"), 0o600))
	h.jobs = job.New(job.Deps{DB: h.db, Log: h.log, Live: h.live, Runner: h.runner, Projects: h.projects, Datasets: data{dir}, Images: h.images, Outputs: h.outputs,
		Tree: h.tree, Vault: h.vault, Dir: in("jobs"), IDs: ids, Now: h.now, Budget: job.Budget{Cores: 4, Memory: 64 << 30}})
	h.airlock = airlock.New(airlock.Deps{DB: h.db, Log: h.log, Live: h.live, Vault: h.vault, Projects: h.projects, Jobs: h.jobs, Outputs: h.outputs, IDs: ids})
	h.releases = release.New(release.Deps{DB: h.db, Log: h.log, Live: h.live, Vault: h.vault, Requests: h.airlock, Jobs: h.jobs, Projects: h.projects, IDs: ids,
		Institution: "University of Example", Software: "tresor test"})
	h.fresh()
	h.settle()
	return h
}

// fresh makes a new gateway on what is there, as a start of the server does.
func (h *house) fresh() {
	h.g = New(Deps{DB: h.db, Log: h.log, Live: h.live, Vault: h.vault, Projects: h.projects, Jobs: h.jobs, Outputs: h.outputs, Airlock: h.airlock,
		Releases: h.releases, IDs: ids, Now: h.now, Name: "Test", Public: func() string { return "https://tre.example" }})
	h.jobs.Moved, h.jobs.Allowed = h.g.Moved, h.g.Allowed
}

func (h *house) settle() {
	h.t.Helper()
	h.runner.AddImage(sandbox.Image{ID: imageID, Digest: imageID})
	for handle, role := range map[string]access.Role{"olga": access.Operator, "stefan": access.Steward, "carl": access.Checker, "cemile": access.Checker, "audrey": access.Auditor,
		"rosa": "", "lena": "", "otto": "", "mona": ""} {
		d := identity.Draft{Handle: handle, Name: "Name of " + handle}
		if role != "" {
			d.Roles = []access.Role{role}
		}
		p, err := h.identity.CreatePerson(ctx, access.System, d)
		if err != nil {
			h.t.Fatal(err)
		}
		h.people[handle] = p
	}
	h.aurora = h.project("aurora", map[string]access.Role{"rosa": access.Researcher, "lena": access.Lead}, "health", "genome")
	h.borealis = h.project("borealis", map[string]access.Role{"mona": access.Lead, "otto": access.Researcher}, "genome")
	h.runner.Handle("table", func(_ context.Context, tk *fake.Task) int {
		fmt.Fprintln(tk.Log, "CANARY-STDOUT counting")
		fmt.Fprintln(tk.Err, "CANARY-STDERR warning")
		if err := tk.WriteFile(tk.Argv[1], []byte("health,people\nexcellent,10922\ngood,7309\nfair,1562\npoor,302\n")); err != nil {
			fmt.Fprintln(tk.Log, err)
			return 1
		}
		return 0
	})
	h.runner.Handle("small", func(_ context.Context, tk *fake.Task) int {
		if err := tk.WriteFile(tk.Argv[1], []byte("health,people\nexcellent,10922\npoor,7\n")); err != nil {
			return 1
		}
		return 0
	})
	h.runner.Handle("true", func(context.Context, *fake.Task) int { return 0 })
	h.runner.Handle("false", func(context.Context, *fake.Task) int { return 3 })
	h.runner.Handle("sleep", func(ctx context.Context, _ *fake.Task) int { <-ctx.Done(); return 143 })
}

func (h *house) project(slug string, members map[string]access.Role, grants ...string) project.Project {
	h.t.Helper()
	p, err := h.projects.Create(ctx, access.System, project.Draft{Slug: slug, Name: "Project " + slug, Purpose: "Testing."})
	if err != nil {
		h.t.Fatal(err)
	}
	for handle, role := range members {
		if p, err = h.projects.SetMember(ctx, h.as("olga"), p.ID, h.people[handle].ID, role); err != nil {
			h.t.Fatal(err)
		}
	}
	for _, d := range grants {
		if p, err = h.projects.Grant(ctx, h.as("stefan"), p.ID, datasetIDs[d]); err != nil {
			h.t.Fatal(err)
		}
	}
	return p
}

// as returns a person's actor as a session of now would have it.
func (h *house) as(handle string) access.Actor {
	h.t.Helper()
	var a access.Actor
	err := h.db.View(ctx, func(tx *store.Tx) error {
		var err error
		a, err = actors(h.projects)(tx, h.people[handle].ID)
		return err
	})
	if err != nil {
		h.t.Fatal(err)
	}
	a.Via = "web"
	return a
}

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
	for end := time.Now().Add(20 * time.Second); time.Now().Before(end); time.Sleep(2 * time.Millisecond) {
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
	for end := time.Now().Add(20 * time.Second); time.Now().Before(end); time.Sleep(2 * time.Millisecond) {
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
type echo struct{ settings map[string]string }

func (e echo) Server(_ context.Context, name string) (protocol.Server, error) {
	if name != "tes" {
		return nil, fault.New("test", fault.NotFound, "There is no such plugin.")
	}
	return e, nil
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
		r.Header.Set(header[i], header[i+1])
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

var _ http.Handler = http.HandlerFunc(nil)
