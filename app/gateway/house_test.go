package gateway

import (
	"bytes"
	"context"
	"fmt"
	"net/http"
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
	"tresor/sandbox"
	"tresor/sandbox/fake"
)

var ctx = context.Background()

// house is a small appliance without its own doors: everything real but the images,
// the datasets' files and the engine.
type house struct {
	personal Quotas // of persons
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
type data struct {
	dir      string
	projects *project.Service
}

var datasetIDs = map[string]string{"health": "019e0000-0000-7000-8000-00000000d001", "genome": "019e0000-0000-7000-8000-00000000d002"}

func (d data) MountFor(tx *store.Tx, projectID, id string, version int) ([]dataset.Mount, error) {
	slug := slugOfData(id)
	grants, err := d.projects.Grants(tx, projectID)
	if err != nil {
		return nil, err
	}
	if _, ok := grantOf(project.Project{Datasets: grants}, datasetIDs[slug]); !ok {
		return nil, fault.New("dataset.MountFor", fault.Denied, "The dataset %s is not granted to this project.", slug)
	}
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
	dir := t.TempDir() // before the cleanup: it goes when nobody writes into it any more
	h := &house{t: t, live: live.New(), runner: fake.New(), people: map[string]identity.Person{}, images: &images{}}
	t.Cleanup(func() {
		if h.halt != nil {
			h.halt()
		}
		_ = h.runner.Close()
		_ = h.db.Close()
	})
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
	must(os.MkdirAll(in("files"), 0o700))
	must(os.WriteFile(in("files/visits.csv"), []byte("a,b\n1,2\n"), 0o600))
	h.jobs = job.New(job.Deps{DB: h.db, Log: h.log, Live: h.live, Runner: h.runner, Projects: h.projects, Datasets: data{dir, h.projects}, Images: h.images, Outputs: h.outputs,
		Tree: h.tree, Vault: h.vault, Dir: in("jobs"), IDs: ids, Now: h.now, Budget: job.Budget{Cores: 4, Memory: 64 << 30}})
	h.airlock = airlock.New(airlock.Deps{DB: h.db, Log: h.log, Live: h.live, Vault: h.vault, Projects: h.projects, Jobs: h.jobs, Outputs: h.outputs, IDs: ids})
	h.jobs.TakeBack = h.airlock.TakeBack
	h.releases = release.New(release.Deps{DB: h.db, Log: h.log, Live: h.live, Vault: h.vault, Requests: h.airlock, Jobs: h.jobs, Projects: h.projects, IDs: ids,
		Institution: "University of Example", Software: "tresor test"})
	h.fresh()
	h.settle()
	return h
}

// fresh makes a new gateway on what is there, as a start of the server does.
func (h *house) fresh() {
	h.g = New(Deps{DB: h.db, Log: h.log, Live: h.live, Vault: h.vault, Tree: h.tree, Projects: h.projects, Jobs: h.jobs, Outputs: h.outputs, Airlock: h.airlock,
		Releases: h.releases, IDs: ids, Now: h.now, Name: "Test", Person: h.personal, Public: func() string { return "https://tre.example" }})
	h.jobs.Moved, h.jobs.Allowed, h.jobs.Held, h.jobs.MayReplace = h.g.Moved, h.g.Allowed, h.g.Held, h.g.MayReplace
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

var _ http.Handler = http.HandlerFunc(nil)
