// Package app puts the appliance together: it opens every part over one data
// folder, gives each the ones it needs, and runs them until it is told to stop.
//
// It is the only package that knows the container engine by name, that reads the
// real clock and that makes ids; everything below is handed these. It has no rule
// of its own: what may happen stands in the packages of the data path.
//
// A crash leaves the data folder as the packages leave it: acknowledged writes are
// there, running containers are found again, a half-written thing is swept.
package app

import (
	"context"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/google/uuid"

	"tresor/app/airlock"
	"tresor/app/api"
	"tresor/app/audit"
	"tresor/app/config"
	"tresor/app/dataset"
	"tresor/app/fault"
	"tresor/app/gateway"
	"tresor/app/gateway/link"
	"tresor/app/gateway/plug"
	"tresor/app/identity"
	"tresor/app/image"
	"tresor/app/job"
	"tresor/app/live"
	"tresor/app/output"
	"tresor/app/project"
	"tresor/app/release"
	"tresor/app/store"
	"tresor/app/tlscert"
	"tresor/app/tree"
	"tresor/app/vault"
	"tresor/app/workspace"
	"tresor/sandbox"
)

// Options are the seams for tests and for the command line. The zero value of
// each means the real thing.
type Options struct {
	Now     func() time.Time
	IDs     func() string
	Log     *slog.Logger
	Version string
	Runner  sandbox.Runner // nil: Podman
	Images  sandbox.Images // with Runner
	Exe     string         // this program's file, for the built-in image and the agent
}

func (o Options) withDefaults() (Options, error) {
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.IDs == nil {
		o.IDs = func() string { return uuid.Must(uuid.NewV7()).String() }
	}
	if o.Log == nil {
		o.Log = slog.Default()
	}
	if o.Version == "" {
		o.Version = "dev"
	}
	if o.Exe == "" {
		exe, err := os.Executable()
		if err != nil {
			return o, fault.Wrap("app.New", err)
		}
		o.Exe = exe
	}
	return o, nil
}

// App is one appliance over one data folder. Make it with New, run it with Run,
// end it with Close.
type App struct {
	cfg     config.Config
	o       Options
	paths   config.Paths
	started time.Time
	unlock  func()
	door    *door

	mu      sync.Mutex
	builtin error // why there is no built-in image; nil when it is there

	DB        *store.DB
	Vault     *vault.Vault
	Live      *live.Hub
	Audit     *audit.Log
	Identity  *identity.Service
	Projects  *project.Service
	Datasets  *dataset.Service
	Images    *image.Service
	Outputs   *output.Service
	Tree      *tree.Service
	Jobs      *job.Service
	Workspace *workspace.Service
	Airlock   *airlock.Service
	Releases  *release.Service
	Gateway   *gateway.Service
	Plugins   *plug.Service
	Links     *link.Service
	TLS       *tlscert.Manager
	API       *api.Server
	engine    *engine
}

// New opens the data folder and everything in it. It listens to nothing and
// starts nothing. A data folder serves one App at a time: fault.Conflict else.
func New(ctx context.Context, cfg config.Config, o Options) (_ *App, err error) {
	o, err = o.withDefaults()
	if err != nil {
		return nil, err
	}
	a := &App{cfg: cfg, o: o, paths: cfg.Paths(), started: o.Now(), Live: live.New(), engine: newEngine()}
	a.door = newDoor(cfg)
	a.builtin = fault.New("app.New", fault.Unavailable, "It is being prepared.")
	defer func() {
		if err != nil {
			a.Close()
		}
	}()
	for _, step := range []func(context.Context) error{a.openFolder, a.ownFolder, a.openRecord, a.openPeople, a.openWork, a.openWayOut, a.openConnector, a.openDoors} {
		if err = step(ctx); err != nil {
			return nil, err
		}
	}
	return a, nil
}

// openRecord opens what everything else writes to: database, bytes, audit log.
func (a *App) openRecord(ctx context.Context) (err error) {
	if a.DB, err = store.Open(ctx, a.paths.DB, store.Options{Now: a.o.Now}); err != nil {
		return err
	}
	if a.Vault, err = vault.Open(a.paths.Vault); err != nil {
		return err
	}
	a.Audit, err = audit.Open(ctx, a.DB, filepath.Join(a.paths.Keys, "audit.key"), a.origin())
	return err
}

// origin names this log in its checkpoints.
func (a *App) origin() string {
	if len(a.cfg.TLS.Domain) > 0 {
		return "tresor/" + a.cfg.TLS.Domain[0]
	}
	return "tresor/local"
}

// openPeople opens identity and projects, which know of each other through
// functions: a person's actor carries memberships, a project shows its members.
func (a *App) openPeople(context.Context) error {
	key, err := identity.LoadKey(filepath.Join(a.paths.Keys, "identity.key"))
	if err != nil {
		return err
	}
	a.Projects = project.New(a.DB, a.Audit, a.o.IDs, project.Links{People: personOf, Datasets: a.datasetOf})
	a.Identity, err = identity.New(identity.Deps{
		DB: a.DB, Log: a.Audit, IDs: a.o.IDs, Now: a.o.Now, Key: key, Config: a.cfg.Identity, Demo: a.cfg.Demo,
		Site: a.cfg.Name, URL: a.door.url, Memberships: a.Projects.MembershipsOf,
		Ended: func(ids []string) {
			if a.API != nil {
				a.API.SessionsEnded(ids)
			}
		},
	})
	return err
}

func personOf(tx *store.Tx, id string) (project.Person, error) {
	p, err := identity.Lookup(tx, id)
	return project.Person{ID: p.ID, Handle: p.Handle, Name: p.Name, Roles: p.Roles, Disabled: p.Disabled}, err
}

func (a *App) datasetOf(tx *store.Tx, id string) (project.Named, error) {
	d, err := a.Datasets.Lookup(tx, id)
	return project.Named{ID: d.ID, Slug: d.Slug, Name: d.Name, Version: d.Latest}, err
}

// openWork opens data, images, jobs and the window on their live bytes.
func (a *App) openWork(ctx context.Context) (err error) {
	a.Datasets, err = dataset.Open(ctx, dataset.Deps{DB: a.DB, Log: a.Audit, Projects: a.Projects, Dir: a.paths.Datasets, IDs: a.o.IDs})
	if err != nil {
		return err
	}
	a.Images, err = image.New(image.Deps{DB: a.DB, Log: a.Audit, Images: a.engine, Dir: filepath.Join(a.paths.Run, "images"), Max: a.cfg.Intake.Image.Int64()})
	if err != nil {
		return err
	}
	a.Outputs = output.New(a.Vault, a.o.IDs)
	a.Tree = tree.New(tree.Deps{DB: a.DB, Log: a.Audit, Vault: a.Vault})
	a.Jobs = job.New(job.Deps{
		DB: a.DB, Log: a.Audit, Live: a.Live, Runner: a.engine, Projects: a.Projects, Datasets: a.Datasets, Images: a.Images, Outputs: a.Outputs,
		Dir: a.paths.Jobs, IDs: a.o.IDs, Now: a.o.Now, Defaults: jobLimits(a.cfg.Limits.Default), Max: jobLimits(a.cfg.Limits.Max),
		Budget: a.budget(), Logger: a.o.Log, Tree: a.Tree, Vault: a.Vault,
	})
	a.Workspace = workspace.New(workspace.Deps{DB: a.DB, Log: a.Audit, Jobs: a.Jobs, Outputs: a.Outputs, IDs: a.o.IDs, Now: a.o.Now})
	return nil
}

// openWayOut opens the airlock and the releases.
func (a *App) openWayOut(context.Context) error {
	c := a.cfg.Airlock
	a.Airlock = airlock.New(airlock.Deps{
		DB: a.DB, Log: a.Audit, Live: a.Live, Vault: a.Vault, Projects: a.Projects, Jobs: a.Jobs, Outputs: a.Outputs, IDs: a.o.IDs,
		MaxFile: c.MaxFile.Int64(), MaxRequest: c.MaxRequest.Int64(), MaxFiles: c.MaxFiles,
	})
	a.Jobs.TakeBack = a.Airlock.TakeBack
	a.Releases = release.New(release.Deps{
		DB: a.DB, Log: a.Audit, Live: a.Live, Vault: a.Vault, Projects: a.Projects, Requests: a.Airlock, Jobs: a.Jobs, IDs: a.o.IDs,
		Institution: a.cfg.Name, Software: "tresor " + a.o.Version,
	})
	return nil
}

// openDoors prepares the certificate and the API.
func (a *App) openDoors(ctx context.Context) (err error) {
	if a.TLS, err = tlscert.New(ctx, tlscert.Options{Config: a.cfg, Now: a.o.Now, Log: a.o.Log}); err != nil {
		return err
	}
	a.API, err = api.New(a.apiDeps())
	return err
}

// Close ends what New opened. It may be called twice.
func (a *App) Close() error {
	if a.Datasets != nil {
		_ = a.Datasets.Close()
	}
	if a.API != nil {
		a.API.Close()
	}
	if a.Links != nil {
		a.Links.Close()
	}
	var err error
	if a.DB != nil {
		err = a.DB.Close()
		a.DB = nil
	}
	if a.unlock != nil {
		a.unlock()
		a.unlock = nil
	}
	return err
}
