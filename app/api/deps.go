package api

import (
	"context"
	"log/slog"
	"net/http"
	"net/url"
	"time"

	"tresor/app/airlock"
	"tresor/app/audit"
	"tresor/app/dataset"
	"tresor/app/fault"
	"tresor/app/gateway"
	"tresor/app/identity"
	"tresor/app/image"
	"tresor/app/job"
	"tresor/app/live"
	"tresor/app/project"
	"tresor/app/release"
	"tresor/app/store"
	"tresor/app/tree"
	"tresor/app/workspace"
)

// Deps is what a Server works with. All are needed but UI, Facts, Unlimited,
// Limits and Demo.
type Deps struct {
	Name    string // of the institution
	Version string // of the program
	Demo    bool
	UID     uint32 // account that runs the server; it and root may use the local socket

	Now    func() time.Time // the real clock: deadlines of connections are made from it
	IDs    func() string    // correlation ids
	Logger *slog.Logger
	Limits Limits
	Intake Intake

	UI    http.Handler // answers every address outside the API; nil: 404
	Facts SystemFacts  // nil: GET /system says that nothing is known

	Unlimited func() bool // whether jobs run although limits cannot bind; nil: no

	DB        *store.DB
	DBFile    string // path of the database, for verifying the log in it
	Live      *live.Hub
	Audit     *audit.Log
	Identity  *identity.Service
	Projects  *project.Service
	Datasets  *dataset.Service
	Images    *image.Service
	Jobs      *job.Service
	Workspace *workspace.Service
	Airlock   *airlock.Service
	Releases  *release.Service

	// The connector. All of it or none: without it its routes do not exist.
	Gateway *gateway.Service
	Tree    *tree.Service
	Plugins Plugins
	Links   Links

	// Hub makes the server a hub: then Projects to Links are not needed, and only
	// people, the log, the system and the hub's own routes answer.
	Hub HubDesk

	Machine http.Handler // answers below /ga4gh/ to bearer tokens; nil: nothing there
	Link    http.Handler // takes the connections of nodes at /fed/v1/link; nil: this is no hub
}

// Intake caps uploads, in bytes.
type Intake struct {
	Dataset int64 // all files of one dataset version together
	Image   int64 // one image archive
}

// SystemFacts answers what a careful operator looks at in the morning.
type SystemFacts interface {
	SystemFacts(ctx context.Context) (System, error)
}

func (d Deps) check() error {
	type need struct {
		what string
		ok   bool
	}
	needs := []need{
		{"Now", d.Now != nil}, {"IDs", d.IDs != nil}, {"Logger", d.Logger != nil}, {"DB", d.DB != nil && d.DBFile != ""}, {"Live", d.Live != nil},
		{"Audit", d.Audit != nil}, {"Identity", d.Identity != nil},
	}
	if d.Hub == nil {
		needs = append(needs, []need{{"Projects", d.Projects != nil}, {"Datasets", d.Datasets != nil},
			{"Images", d.Images != nil}, {"Jobs", d.Jobs != nil}, {"Workspace", d.Workspace != nil}, {"Airlock", d.Airlock != nil},
			{"Releases", d.Releases != nil}, {"Intake", d.Intake.Dataset > 0 && d.Intake.Image > 0}}...)
	}
	if d.Gateway != nil {
		needs = append(needs, need{"Tree", d.Tree != nil}, need{"Plugins", d.Plugins != nil}, need{"Links", d.Links != nil})
	}
	for _, need := range needs {
		if !need.ok {
			return fault.New("api.New", fault.Internal, "The API cannot start without %s.", need.what)
		}
	}
	return nil
}

func cleanURL(path string) *url.URL { return &url.URL{Path: path} }
