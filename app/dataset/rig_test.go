package dataset

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"path/filepath"
	"testing"

	"tresor/app/access"
	"tresor/app/audit"
	"tresor/app/project"
	"tresor/app/store"
)

// rig is a real database with a project, and a service over a temporary folder.
type rig struct {
	t        testing.TB
	db       *store.DB
	log      *audit.Log
	projects *project.Service
	dir      string
	n        int
	*Service
}

var (
	steward  = access.Actor{ID: "p-steward", Handle: "stefan", Name: "Stefan", Roles: []access.Role{access.Steward}}
	operator = access.Actor{ID: "p-operator", Handle: "olga", Name: "Olga", Roles: []access.Role{access.Operator}}
	stranger = access.Actor{ID: "p-stranger", Handle: "sam", Name: "Sam"}
)

func newRig(t testing.TB) *rig {
	t.Helper()
	r := &rig{t: t, dir: filepath.Join(t.TempDir(), "datasets")}
	dir := t.TempDir()
	var err error
	if r.db, err = store.Open(t.Context(), filepath.Join(dir, "tresor.db"), store.Options{}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = r.db.Close() })
	if r.log, err = audit.Open(t.Context(), r.db, filepath.Join(dir, "audit.key"), "tresor/test"); err != nil {
		t.Fatal(err)
	}
	r.projects = project.New(r.db, r.log, r.id, project.Links{
		People:   func(_ *store.Tx, id string) (project.Person, error) { return project.Person{ID: id, Name: id}, nil },
		Datasets: func(tx *store.Tx, id string) (project.Named, error) { return r.Named(tx, id) },
	})
	r.open(realDisk{})
	return r
}

// open starts the service as after a restart.
func (r *rig) open(k disk) {
	r.t.Helper()
	d := Deps{DB: r.db, Log: r.log, Projects: r.projects, Dir: r.dir, IDs: r.id}
	s, err := Open(r.t.Context(), d)
	if err != nil {
		r.t.Fatal(err)
	}
	s.disk = k
	r.Service = s
	r.t.Cleanup(func() { _ = s.Close() })
}

func (r *rig) id() string {
	r.n++
	return fmt.Sprintf("0000-%04d", r.n)
}

func (r *rig) dataset(slug string) Dataset {
	r.t.Helper()
	d, err := r.Register(r.t.Context(), steward, Draft{Slug: slug, Name: slug, Controller: "the clinic"})
	if err != nil {
		r.t.Fatal(err)
	}
	return d
}

// source is a file in memory.
func source(name, text string) Source {
	return Source{Name: name, Size: int64(len(text)), Open: func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader([]byte(text))), nil }}
}

func (r *rig) ingest(slug string, sources ...Source) (Version, error) {
	return r.Ingest(context.Background(), steward, slug, sources, Ingestion{})
}

func (r *rig) mustIngest(slug string, sources ...Source) Version {
	r.t.Helper()
	v, err := r.ingest(slug, sources...)
	if err != nil {
		r.t.Fatal(err)
	}
	return v
}

// folders are what stands below a dataset's folder.
func (r *rig) folders(id string) []string {
	r.t.Helper()
	all, err := filepath.Glob(filepath.Join(r.dir, id, "*"))
	if err != nil {
		r.t.Fatal(err)
	}
	for i := range all {
		all[i] = filepath.Base(all[i])
	}
	return all
}
