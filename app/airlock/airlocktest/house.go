// Package airlocktest builds, for tests only, everything that a request needs:
// a real database, log and vault, a project with members, and held jobs with
// outputs. It never runs a job.
package airlocktest

import (
	"bytes"
	"context"
	"fmt"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	"tresor/app/access"
	"tresor/app/airlock"
	"tresor/app/audit"
	"tresor/app/job"
	"tresor/app/live"
	"tresor/app/output"
	"tresor/app/project"
	"tresor/app/store"
	"tresor/app/vault"
)

// House is one small appliance without doors.
type House struct {
	T        testing.TB
	DB       *store.DB
	Log      *audit.Log
	Live     *live.Hub
	Vault    *vault.Vault
	VaultDir string
	Projects *project.Service
	Jobs     *job.Service
	Outputs  *output.Service
	Airlock  *airlock.Service
	Project  string
	People   map[string]access.Actor
	clock    atomic.Int64
	ids      atomic.Int64
}

// Safe is a table that no rule blocks; Small has a count under ten.
const (
	Safe  = "health,people,visits,mean_visits\nexcellent,10922,29012,2.66\ngood,7309,22102,3.02\nfair,1562,6301,4.03\npoor,302,1820,6.03\n"
	Small = "health,people\nexcellent,10922\npoor,7\n"
)

// New builds a house: rosa (researcher) and lena (lead) work in the project;
// carl, cemile and cyril are checkers; stefan a steward, olga an operator, mia a
// checker who is a member, otto researches elsewhere.
func New(t testing.TB) *House {
	t.Helper()
	dir := t.TempDir()
	h := &House{T: t, Live: live.New(), VaultDir: filepath.Join(dir, "vault")}
	h.clock.Store(time.Date(2026, 11, 24, 9, 0, 0, 0, time.UTC).UnixMilli())
	ctx := context.Background()
	var err error
	if h.DB, err = store.Open(ctx, filepath.Join(dir, "tresor.db"), store.Options{Now: h.now}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = h.DB.Close() })
	if h.Vault, err = vault.Open(h.VaultDir); err != nil {
		t.Fatal(err)
	}
	if h.Log, err = openLog(ctx, h.DB, dir); err != nil {
		t.Fatal(err)
	}
	h.Projects = project.New(h.DB, h.Log, h.ID, project.Links{People: func(_ *store.Tx, id string) (project.Person, error) {
		return project.Person{ID: id, Handle: id, Name: id}, nil
	}})
	h.Outputs = output.New(h.Vault, h.ID)
	h.Jobs = job.New(job.Deps{DB: h.DB, Log: h.Log, Live: h.Live, Projects: h.Projects, Outputs: h.Outputs, Dir: dir, IDs: h.ID, Now: h.now})
	h.Airlock = airlock.New(airlock.Deps{DB: h.DB, Log: h.Log, Live: h.Live, Vault: h.Vault, Projects: h.Projects, Jobs: h.Jobs, Outputs: h.Outputs, IDs: h.ID})
	h.settle()
	return h
}

// now moves on by a second with every look, so that times tell events apart.
func (h *House) now() time.Time { return time.UnixMilli(h.clock.Add(1000)).UTC() }

// ID makes ids that sort by age, like UUIDv7.
func (h *House) ID() string { return fmt.Sprintf("01900000-0000-7000-8000-%012d", h.ids.Add(1)) }

func (h *House) settle() {
	h.Project = h.ID()
	h.Exec(`INSERT INTO project (id, slug, name, purpose, state, approval, threshold, reviewers, created_at, created_by) VALUES (?, 'aurora', 'Aurora', 'Visits', 'open', 'image', 10, 2, 1, 'p-olga')`, h.Project)
	h.People = map[string]access.Actor{}
	add := func(handle string, role access.Role, site ...access.Role) {
		a := access.Actor{ID: "p-" + handle, Handle: handle, Name: "Name of " + handle, Roles: site, Projects: map[string]access.Role{}, Via: "web"}
		if role != "" {
			a.Projects[h.Project] = role
			h.Exec(`INSERT INTO project_member (project, person, role, added_at, added_by) VALUES (?, ?, ?, 1, 'p-olga')`, h.Project, a.ID, string(role))
		}
		h.People[handle] = a
	}
	add("rosa", access.Researcher)
	add("lena", access.Lead)
	add("mia", access.Researcher, access.Checker)
	add("carl", "", access.Checker)
	add("cemile", "", access.Checker)
	add("cyril", "", access.Checker)
	add("stefan", "", access.Steward)
	add("olga", "", access.Operator)
	add("audrey", "", access.Auditor)
	add("otto", "")
	h.People["otto"].Projects["elsewhere"] = access.Researcher
}

// Exec runs raw SQL and fails the test on error.
func (h *House) Exec(query string, args ...any) {
	h.T.Helper()
	if err := h.Try(query, args...); err != nil {
		h.T.Fatalf("%s: %v", query, err)
	}
}

// Try runs raw SQL through the appliance's own transaction.
func (h *House) Try(query string, args ...any) error {
	return h.DB.Update(context.Background(), func(tx *store.Tx) error {
		_, err := tx.Exec(query, args...)
		return err
	})
}

// Text reads one text or number.
func (h *House) Text(query string, args ...any) string {
	h.T.Helper()
	var s string
	err := h.DB.View(context.Background(), func(tx *store.Tx) error { return tx.QueryRow(query, args...).Scan(&s) })
	if err != nil {
		h.T.Fatalf("%s: %v", query, err)
	}
	return s
}

// Job makes a held job of rosa's with the given files, name then content.
func (h *House) Job(files ...string) string {
	h.T.Helper()
	id := h.ID()
	h.Exec(`INSERT INTO job (id, project, name, purpose, state, submitter, submitter_handle, submitter_name, request_hash, queries, datasets, outputs, limits, created_at, held_at)
 VALUES (?, ?, 'Visits by health group', 'p', 'held', 'p-rosa', 'rosa', 'Name of rosa', 'x', '[]', '[{"id":"d1","slug":"randhie","version":1,"sha256":"feed"}]', '[]', '{}', 1, 2)`, id, h.Project)
	h.Exec(`INSERT INTO job_task (job, n, image, image_id, image_ref, argv, env, workdir, state, exit_code, attempt) VALUES (?, 0, 'sha256:abc', 'sha256:abc', 'tresor/sql', '[]', '[]', '/work', 'succeeded', 0, 1)`, id)
	for i := 0; i+1 < len(files); i += 2 {
		h.Output(id, files[i], files[i+1])
	}
	return id
}

// Output adds a file to a job and returns its id.
func (h *House) Output(job, path, content string) string {
	h.T.Helper()
	blob, err := h.Vault.Put(context.Background(), bytes.NewReader([]byte(content)), 64<<20)
	if err != nil {
		h.T.Fatal(err)
	}
	id := h.ID()
	h.Exec(`INSERT INTO output (id, job, project, path, sha256, size, kind, state, created_at) VALUES (?, ?, ?, ?, ?, ?, 'other', 'held', 1)`, id, job, h.Project, path, blob.SHA256, blob.Size)
	return id
}

// Words are complete texts for a request.
func Words() airlock.Text {
	return airlock.Text{Title: "Visits by health group", Context: "Mean visits in four groups.", Population: "All 20,190 person-years.", Controls: "No group under 300."}
}

// Draft makes a request of rosa's for all files of a new job.
func (h *House) Draft(files ...string) airlock.Request {
	h.T.Helper()
	r, err := h.Airlock.Draft(context.Background(), h.People["rosa"], h.Job(files...), Words())
	if err != nil {
		h.T.Fatal(err)
	}
	return r
}

// Submitted makes a request and submits it.
func (h *House) Submitted(files ...string) airlock.Request {
	h.T.Helper()
	r, err := h.Airlock.Submit(context.Background(), h.People["rosa"], h.Draft(files...).ID)
	if err != nil {
		h.T.Fatal(err)
	}
	return r
}

// Look lets somebody look at every file of a request.
func (h *House) Look(who, request string) {
	h.T.Helper()
	r, err := h.Airlock.Get(context.Background(), h.People[who], request)
	if err != nil {
		h.T.Fatal(err)
	}
	for _, it := range r.Items {
		if _, err := h.Airlock.View(context.Background(), h.People[who], request, it.ID, 0, 10); err != nil {
			h.T.Fatal(err)
		}
	}
}

// Vote lets somebody look and vote.
func (h *House) Vote(who, request, decision string) airlock.Request {
	h.T.Helper()
	h.Look(who, request)
	r, err := h.Airlock.Vote(context.Background(), h.People[who], request, decision, "Said by "+who+".")
	if err != nil {
		h.T.Fatal(err)
	}
	return r
}

// Approved makes a request that carl and cemile have approved.
func (h *House) Approved(files ...string) airlock.Request {
	h.T.Helper()
	r := h.Submitted(files...)
	h.Vote("carl", r.ID, airlock.Approve)
	return h.Vote("cemile", r.ID, airlock.Approve)
}
