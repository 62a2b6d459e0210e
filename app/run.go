package app

import (
	"context"
	"crypto/tls"
	"net"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"tresor/app/api"
	"tresor/app/fault"
)

// News is what a person who started the server by hand wants to know, as it becomes known.
type News struct {
	Listening bool // the first news: the address is open
	URL       string
	Data      string
	TLS       string
	Warnings  []string
	Links     map[string]string // demo person's handle → one-time link
	Note      string
}

// Run serves until ctx ends. Jobs that run then go on in their containers. tell
// is called from one goroutine at a time and may be nil.
func (a *App) Run(ctx context.Context, tell func(News)) error {
	tell = oneAtATime(tell)
	public, err := a.door.listen()
	if err != nil {
		return err
	}
	local, err := a.door.listenLocal()
	if err != nil {
		public.Close()
		return err
	}
	plain, err := a.door.listenPlain()
	if err != nil {
		public.Close()
		local.Close()
		return err
	}
	a.o.Log.Info("listening", "address", public.Addr().String(), "url", a.door.url(), "data", a.cfg.Data, "version", a.o.Version)
	tell(News{Listening: true, URL: a.door.url(), Data: a.cfg.Data, TLS: a.tlsText(), Warnings: a.warnings()})
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error { return a.servePublic(ctx, public) })
	g.Go(func() error { return a.serveLocal(ctx, local) })
	if plain != nil {
		g.Go(func() error { return serve(ctx, httpServer(ctx, a.TLS.HTTPHandler(), a.o.Log), plain, nil) })
	}
	g.Go(func() error { return a.TLS.Run(ctx) })
	g.Go(func() error { return a.demonstrate(ctx, tell) })
	g.Go(func() error { return a.runEngine(ctx, tell) })
	g.Go(func() error { return a.keepHouse(ctx) })
	g.Go(func() error { return a.Gateway.Run(ctx) })
	g.Go(func() error { return a.Plugins.Run(ctx) })
	g.Go(func() error { return a.Links.Run(ctx) })
	err = g.Wait()
	a.o.Log.Info("stopped", "running_jobs", "go on")
	if ctx.Err() != nil && fault.KindOf(err) == fault.Unavailable {
		return nil // everybody ended because they were told to
	}
	return err
}

// oneAtATime lets several parts tell without minding each other.
func oneAtATime(tell func(News)) func(News) {
	var mu sync.Mutex
	return func(n News) {
		mu.Lock()
		defer mu.Unlock()
		if tell != nil {
			tell(n)
		}
	}
}

func (a *App) servePublic(ctx context.Context, l net.Listener) error {
	var t *tls.Config
	if a.TLS != nil {
		t = a.TLS.TLS()
	}
	s := httpServer(ctx, a.API.Handler(), a.o.Log)
	s.RegisterOnShutdown(func() { a.API.Close() })
	return serve(ctx, s, l, t)
}

func (a *App) serveLocal(ctx context.Context, l net.Listener) error {
	s := httpServer(ctx, a.API.LocalHandler(), a.o.Log)
	s.ConnContext = api.LocalConn
	return serve(ctx, s, l, nil)
}

// keepHouse does the small regular things: it signs the audit log's state, looks
// whether images are still there, sweeps what has ended and reads the database
// for damage.
func (a *App) keepHouse(ctx context.Context) error {
	sign, images, sweep := time.NewTicker(time.Minute), time.NewTicker(time.Hour), time.NewTicker(24*time.Hour)
	defer sign.Stop()
	defer images.Stop()
	defer sweep.Stop()
	for {
		select {
		case <-ctx.Done():
			last, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
			_, err := a.Audit.Checkpoint(last)
			cancel()
			return err
		case <-sign.C:
			if _, err := a.Audit.Checkpoint(ctx); err != nil {
				a.o.Log.Error("the audit log's state could not be signed", "error", err)
			}
		case <-images.C:
			if err := a.Images.Refresh(ctx); err != nil {
				a.o.Log.Warn("the images could not be looked at", "error", err)
			}
		case <-sweep.C:
			if err := a.Identity.Sweep(ctx); err != nil {
				a.o.Log.Error("ended sessions could not be swept", "error", err)
			}
			if err := a.DB.Check(ctx); err != nil {
				a.o.Log.Error("the database is damaged", "error", err)
			}
		}
	}
}

// warnings are what the operator has relaxed, for banner and pages.
func (a *App) warnings() []string {
	var out []string
	if a.cfg.Demo {
		out = append(out, "demonstration: people sign in by links without a second factor. Never use it with real data.")
	}
	if a.cfg.Sandbox.AllowUnlimited {
		out = append(out, "sandbox.allow_unlimited is set: where limits on memory and processes cannot bind, jobs run without them.")
	}
	return append(out, accountWarning(a.cfg.Sandbox.Account)...)
}

func (a *App) tlsText() string {
	s := a.TLS.Status()
	switch s.Mode {
	case "off":
		return "none: plain HTTP on this machine only"
	case "local":
		return "own authority; `tresor tls ca` prints it for browsers"
	}
	return s.Mode
}
