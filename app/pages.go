package app

import (
	"net/http"
	"os"

	"tresor/app/api"
	"tresor/embed/docs"
	"tresor/embed/ui"
)

func (a *App) apiDeps() api.Deps {
	return api.Deps{
		Name: a.cfg.Name, Version: a.o.Version, Demo: a.cfg.Demo, UID: uint32(os.Geteuid()),
		Now: a.o.Now, IDs: a.o.IDs, Logger: a.o.Log,
		Intake: api.Intake{Dataset: a.cfg.Intake.Dataset.Int64(), Image: a.cfg.Intake.Image.Int64()},
		UI:     pages(), Facts: a, Unlimited: a.unlimited,
		DB: a.DB, DBFile: a.paths.DB, Live: a.Live, Audit: a.Audit, Identity: a.Identity, Projects: a.Projects, Datasets: a.Datasets,
		Images: a.Images, Jobs: a.Jobs, Workspace: a.Workspace, Airlock: a.Airlock, Releases: a.Releases,
		Gateway: a.Gateway, Tree: a.Tree, Plugins: a.Plugins, Links: a.Links, Machine: a.Gateway.Door(a.Plugins),
	}
}

// pages serves everything outside the API: the documentation and the UI.
func pages() http.Handler {
	mux := http.NewServeMux()
	mux.Handle("/docs/", docs.Handler())
	mux.Handle("/", ui.Handler())
	return mux
}
