// Package release lets approved bytes out, and is the only one that does.
//
// It makes, from an approved airlock request, one zip whose bytes depend on
// nothing but what was approved: the files as they were reviewed, a manifest, a
// Five Safes RO-Crate and a proof from the audit log that anybody can check
// without us. It owns the tables release and release_opening. It never takes a
// file whose hash is not the reviewed one, and never gives out a byte before the
// whole zip has been compared with its own hash. A crash leaves at most a zip in
// the vault that no row names; making the release again gives one release.
package release

import (
	"time"

	"tresor/app/access"
	"tresor/app/airlock"
	"tresor/app/audit"
	"tresor/app/job"
	"tresor/app/live"
	"tresor/app/project"
	"tresor/app/store"
	"tresor/app/vault"
)

// Person is somebody named in a release.
type Person = airlock.Person

// Release is one zip of approved files.
type Release struct {
	ID          string    `json:"id"`
	Request     string    `json:"request"`
	Project     string    `json:"project"` // id
	ProjectName string    `json:"project_name"`
	Job         string    `json:"job"`
	Title       string    `json:"title"`
	SHA256      string    `json:"sha256"` // of the zip
	Size        int64     `json:"size"`   // bytes of the zip
	Files       []File    `json:"files"`
	MadeAt      time.Time `json:"made_at"`
	MadeBy      Person    `json:"made_by"`
	Opened      int       `json:"opened"` // how often it was downloaded
}

// File is one released file, as it was reviewed.
type File struct {
	Path   string `json:"path"`
	SHA256 string `json:"sha256"`
	Size   int64  `json:"size"` // bytes
}

// JobMarker is what a release needs of jobs; *job.Service.
type JobMarker interface {
	Lookup(tx *store.Tx, id string) (job.Job, error)
	MarkReleased(tx *store.Tx, job string, actor access.Actor) error
}

// Requests is what a release needs of airlock; *airlock.Service.
type Requests interface {
	Approval(tx *store.Tx, actor access.Actor, id string) (airlock.Approval, error)
	MarkReleased(tx *store.Tx, id, release string, actor access.Actor) error
}

// Deps are what a Service works with.
type Deps struct {
	DB          *store.DB
	Log         *audit.Log
	Live        *live.Hub // may be nil
	Vault       *vault.Vault
	Projects    *project.Service
	Requests    Requests
	Jobs        JobMarker
	IDs         func() string // UUIDv7
	Institution string        // name in the manifest
	Software    string        // "tresor 1.2.3"
}

// Service makes and opens releases. Its methods may be used from any goroutine.
type Service struct{ Deps }

// New returns a Service.
func New(d Deps) *Service { return &Service{d} }

// Subject is how the audit log names a release.
func Subject(id string) string { return "release:" + id }
