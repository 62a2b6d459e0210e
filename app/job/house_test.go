package job

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"tresor/app/access"
	"tresor/app/audit"
	"tresor/app/dataset"
	"tresor/app/fault"
	"tresor/app/image"
	"tresor/app/live"
	"tresor/app/output"
	"tresor/app/project"
	"tresor/app/store"
	"tresor/app/tree"
	"tresor/app/vault"
	"tresor/sandbox"
	"tresor/sandbox/fake"
)

// house is a small appliance around the package: real database, real files, the fake runner.
type house struct {
	disabled string // person whose account is disabled
	t        testing.TB
	dir      string
	db       *store.DB
	log      *audit.Log
	hub      *live.Hub
	runner   *fake.Runner
	projects *project.Service
	outputs  *output.Service
	vault    *vault.Vault
	images   *images
	data     *datasets
	tree     *tree.Service
	job      *Service
	budget   Budget
	wrap     func(sandbox.Runner) sandbox.Runner
	halt     func() // stops Run and waits for it
	alpha    project.Project
}

var (
	rosa   = access.Actor{ID: "p-rosa", Handle: "rosa", Name: "Rosa", Via: "web"}
	lena   = access.Actor{ID: "p-lena", Handle: "lena", Name: "Lena", Via: "web"} // lead
	olga   = access.Actor{ID: "p-olga", Handle: "olga", Name: "Olga", Roles: []access.Role{access.Operator}, Via: "web"}
	stefan = access.Actor{ID: "p-stefan", Handle: "stefan", Name: "Stefan", Roles: []access.Role{access.Steward}, Via: "web"}
	paul   = access.Actor{ID: "p-paul", Handle: "paul", Name: "Paul", Via: "web"} // member of nothing
)

const imageID = "sha256:1111111111111111111111111111111111111111111111111111111111111111"

var counter atomic.Int64

func testIDs() string { return fmt.Sprintf("019f0000-0000-7000-8000-%012x", counter.Add(1)) }

// images is an approval list.
type images struct {
	mu     sync.Mutex
	digest string
	refuse error
}

func (i *images) Resolve(_ *store.Tx, ref string) (image.Image, error) {
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.refuse != nil {
		return image.Image{}, i.refuse
	}
	if ref != "tresor/sql" && ref != "tools" && ref != i.digest {
		return image.Image{}, fault.New("image.Resolve", fault.NotFound, "There is no image %q.", ref)
	}
	return image.Image{ID: imageID, Digest: i.digest, Ref: "tools"}, nil
}

func (i *images) set(digest string, refuse error) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.digest, i.refuse = digest, refuse
}

// datasets is one dataset in one version.
type datasets struct {
	mu     sync.Mutex
	dir    string
	sha    string
	refuse error
}

func (d *datasets) MountFor(_ *store.Tx, _, id string, version int) ([]dataset.Mount, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.refuse != nil {
		return nil, d.refuse
	}
	return []dataset.Mount{{Source: d.dir, Target: "/data/" + id, DatasetID: id, Slug: id, Version: max(version, 3), SHA256: d.sha}}, nil
}

func (d *datasets) Lookup(_ *store.Tx, id string) (dataset.Dataset, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	files := []dataset.File{{Name: "a.csv", SHA256: strings.Repeat("a", 64), Size: 8}, {Name: "b.csv", SHA256: strings.Repeat("b", 64), Size: 9}}
	return dataset.Dataset{ID: id, Slug: id, Versions: []dataset.Version{{DatasetID: id, N: 3, SHA256: d.sha, Files: files, Bytes: 17}}}, nil
}

func (d *datasets) set(sha string, refuse error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.sha, d.refuse = sha, refuse
}

func newHouse(t testing.TB) *house {
	t.Helper()
	h := &house{t: t, dir: t.TempDir(), hub: live.New(), runner: fake.New(), budget: Budget{Cores: 4, Memory: 64 << 30}}
	t.Cleanup(func() { h.stop(); h.db.Close(); h.runner.Close() })
	h.runner.AddImage(sandbox.Image{ID: imageID, Digest: imageID})
	h.runner.Handle("write", func(_ context.Context, tk *fake.Task) int {
		if err := tk.WriteFile("/work/out/"+tk.Argv[1], []byte("a,b\n1,2\n")); err != nil {
			return 1
		}
		return 0
	})
	h.runner.Handle("true", func(context.Context, *fake.Task) int { return 0 })
	h.runner.Handle("false", func(context.Context, *fake.Task) int { return 3 })
	h.runner.Handle("sleep", func(ctx context.Context, tk *fake.Task) int {
		fmt.Fprintln(tk.Log, "sleeping")
		<-ctx.Done()
		return 143
	})
	h.images = &images{digest: imageID}
	h.data = &datasets{dir: t.TempDir(), sha: "d1"}
	h.open()
	h.alpha = h.project("alpha")
	return h
}

// open opens the database and everything on it, as a start of the server does.
func (h *house) open() {
	h.t.Helper()
	ctx := context.Background()
	var err error
	if h.db, err = store.Open(ctx, filepath.Join(h.dir, "tresor.db"), store.Options{}); err != nil {
		h.t.Fatal(err)
	}
	if err := os.MkdirAll(filepath.Join(h.dir, "keys"), 0o700); err != nil {
		h.t.Fatal(err)
	}
	if h.log, err = audit.Open(ctx, h.db, filepath.Join(h.dir, "keys", "audit.key"), "tresor/test"); err != nil {
		h.t.Fatal(err)
	}
	if h.vault, err = vault.Open(filepath.Join(h.dir, "vault")); err != nil {
		h.t.Fatal(err)
	}
	h.projects = project.New(h.db, h.log, testIDs, project.Links{
		People: func(_ *store.Tx, id string) (project.Person, error) {
			return project.Person{ID: id, Handle: strings.TrimPrefix(id, "p-"), Name: id, Disabled: id == h.disabled}, nil
		},
		Datasets: func(_ *store.Tx, id string) (project.Named, error) {
			return project.Named{ID: id, Slug: id, Name: id, Version: 3}, nil
		},
	})
	h.outputs = output.New(h.vault, testIDs)
	h.tree = tree.New(tree.Deps{DB: h.db, Log: h.log, Vault: h.vault, Quota: 1 << 20})
	h.fresh()
}

// fresh makes a new Service on what is there.
func (h *house) fresh() {
	var runner sandbox.Runner = h.runner
	if h.wrap != nil {
		runner = h.wrap(runner)
	}
	var logger *slog.Logger
	if testing.Verbose() && os.Getenv("JOB_LOG") != "" {
		logger = slog.New(slog.NewTextHandler(os.Stderr, nil))
	}
	h.job = New(Deps{DB: h.db, Log: h.log, Live: h.hub, Runner: runner, Projects: h.projects, Datasets: h.data, Images: h.images,
		Outputs: h.outputs, Dir: filepath.Join(h.dir, "jobs"), IDs: testIDs, Now: time.Now, Budget: h.budget, Logger: logger, Tree: h.tree, Vault: h.vault})
	h.job.times = times{pauses: []time.Duration{time.Millisecond, 5 * time.Millisecond}, markAfter: 5 * time.Millisecond,
		reconcile: time.Hour, grace: 50 * time.Millisecond, sweep: 5 * time.Millisecond, slack: time.Hour, giveUp: time.Hour, keepOn: time.Hour}
}

// run starts Run.
func (h *house) run() {
	h.t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	svc := h.job
	go func() { done <- svc.Run(ctx) }()
	h.halt = func() {
		cancel()
		if err := <-done; err != nil {
			h.t.Error(err)
		}
		h.halt = nil
	}
	h.wait("Run has looked around", func() bool { svc.sched.mu.Lock(); defer svc.sched.mu.Unlock(); return svc.sched.open })
}

func (h *house) stop() {
	if h.halt != nil {
		h.halt()
	}
}

// restart stops the server and starts it again on the same files and containers.
func (h *house) restart() {
	h.t.Helper()
	h.stop()
	if err := h.db.Close(); err != nil {
		h.t.Fatal(err)
	}
	h.runner = h.runner.Reopen()
	h.open()
	h.run()
}

func (h *house) project(slug string) project.Project {
	h.t.Helper()
	ctx := context.Background()
	p, err := h.projects.Create(ctx, access.System, project.Draft{Slug: slug, Name: "Project " + slug, Purpose: "Testing."})
	if err != nil {
		h.t.Fatal(err)
	}
	for _, m := range []struct {
		id   string
		role access.Role
	}{{rosa.ID, access.Researcher}, {lena.ID, access.Lead}} {
		if p, err = h.projects.SetMember(ctx, olga, p.ID, m.id, m.role); err != nil {
			h.t.Fatal(err)
		}
	}
	return p
}

// in returns the actor as a session of today would have them.
func (h *house) in(a access.Actor) access.Actor {
	h.t.Helper()
	err := h.db.View(context.Background(), func(tx *store.Tx) error {
		var err error
		a.Projects, err = h.projects.MembershipsOf(tx, a.ID)
		return err
	})
	if err != nil {
		h.t.Fatal(err)
	}
	return a
}

// enough bounds a hang; a loaded machine must not reach it.
const enough = 2 * time.Minute

func (h *house) wait(what string, ok func() bool) {
	h.t.Helper()
	for end := time.Now().Add(enough); time.Now().Before(end); time.Sleep(time.Millisecond) {
		if ok() {
			return
		}
	}
	h.t.Fatalf("waited in vain until %s", what)
}

// task is a submission of one command.
func (h *house) task(argv ...string) Submission {
	return Submission{Project: h.alpha.ID, Name: "Test", Tasks: []Task{{Image: "tools", Argv: argv}}, Outputs: []string{"*.csv"}}
}

func (h *house) submit(sub Submission) Job {
	h.t.Helper()
	j, err := h.job.Submit(context.Background(), h.in(rosa), sub)
	if err != nil {
		h.t.Fatal(err)
	}
	return j
}

func (h *house) get(id string) Job {
	h.t.Helper()
	j, err := h.job.Get(context.Background(), h.in(rosa), id)
	if err != nil {
		h.t.Fatal(err)
	}
	return j
}

func (h *house) until(id string, want State) Job {
	h.t.Helper()
	var j Job
	for end := time.Now().Add(enough); time.Now().Before(end); time.Sleep(time.Millisecond) {
		if j = h.get(id); j.State == want {
			return j
		}
		if j.State.Terminal() || j.State == Held {
			break
		}
	}
	h.t.Fatalf("job is %s (%s), want %s", j.State, j.Reason, want)
	return j
}

// cleaned waits until nothing of the job is left on the host.
func (h *house) cleaned(id string) {
	h.t.Helper()
	h.wait("containers are gone", func() bool {
		list, err := h.runner.List(context.Background())
		if err != nil {
			return false
		}
		for _, st := range list {
			if st.Labels["job"] == id {
				return false
			}
		}
		return true
	})
}

// starts counts how often any attempt of a job's task was really started.
func (h *house) starts(id string, task int) int {
	n := 0
	for a := 1; a <= 10; a++ {
		n += h.runner.Starts(refOf(id, task, a))
	}
	return n
}

// states are the states a job went through, as the audit log has them.
func (h *house) states(id string) string {
	var out []string
	for _, st := range h.get(id).Timeline {
		out = append(out, st.State)
	}
	return strings.Join(out, " ")
}

func wantFault(t testing.TB, err error, kind fault.Kind, text string) {
	t.Helper()
	if fault.KindOf(err) != kind || err == nil {
		t.Fatalf("error is %v (%v), want %v", err, fault.KindOf(err), kind)
	}
	if !strings.Contains(fault.Message(err), text) {
		t.Fatalf("message is %q, want %q in it", fault.Message(err), text)
	}
}
