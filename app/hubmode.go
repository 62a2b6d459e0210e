package app

import (
	"context"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"time"

	"golang.org/x/sync/errgroup"

	"tresor/app/api"
	"tresor/app/config"
	"tresor/app/fault"
	"tresor/app/hub"
	"tresor/app/identity"
	"tresor/app/live"
	"tresor/app/tlscert"
)

// Hub is a federation hub over one data folder: people, the audit log, nodes,
// projects and tasks. It has no data, no containers and no plugins. Make it with
// NewHub, run it with Run, end it with Close.
type Hub struct {
	*App
	Hub *hub.Service
}

// marker is the file that says what a data folder was made as.
const marker = "hub"

// NewHub opens the data folder of a hub. It listens to nothing and sends nothing.
// A folder of an appliance is refused: fault.Conflict.
func NewHub(ctx context.Context, cfg config.Config, o Options) (_ *Hub, err error) {
	o, err = o.withDefaults()
	if err != nil {
		return nil, err
	}
	cfg.Hub = true
	h := &Hub{App: &App{cfg: cfg, o: o, paths: cfg.Paths(), started: o.Now(), Live: live.New(), door: newDoor(cfg)}}
	defer func() {
		if err != nil {
			h.Close()
		}
	}()
	for _, step := range []func(context.Context) error{h.openFolder, h.mark, h.openRecord, h.openHubPeople, h.openHub, h.openHubDoors} {
		if err = step(ctx); err != nil {
			return nil, err
		}
	}
	return h, nil
}

// mark keeps appliances and hubs out of each other's folders.
func (h *Hub) mark(context.Context) error {
	const op = "app.mark"
	path := filepath.Join(h.paths.Keys, marker)
	if _, err := os.Stat(path); err == nil {
		return nil
	}
	if _, err := os.Stat(h.paths.DB); err == nil {
		return fault.WithNext(fault.New(op, fault.Conflict, "The data folder %s was made for an appliance, not for a hub.", h.cfg.Data), "Name another folder with --data.")
	}
	if err := os.WriteFile(path, []byte("This data folder belongs to a federation hub.\n"), 0o600); err != nil {
		return folderFault(op, path, err)
	}
	return nil
}

func (h *Hub) openHubPeople(context.Context) error {
	key, err := identity.LoadKey(filepath.Join(h.paths.Keys, "identity.key"))
	if err != nil {
		return err
	}
	h.Identity, err = identity.New(identity.Deps{
		DB: h.DB, Log: h.Audit, IDs: h.o.IDs, Now: h.o.Now, Key: key, Config: h.cfg.Identity, Site: h.cfg.Name, URL: h.door.url,
		Memberships: hub.MembershipsOf,
		Ended: func(ids []string) {
			if h.API != nil {
				h.API.SessionsEnded(ids)
			}
		},
	})
	return err
}

func (h *Hub) openHub(ctx context.Context) (err error) {
	h.Hub, err = hub.New(ctx, hub.Deps{
		DB: h.DB, Log: h.Audit, Live: h.Live, Keys: h.paths.Keys, Results: filepath.Join(h.cfg.Data, "results"), Keep: h.cfg.Federation.KeepResults.Duration,
		KeepTasks: h.cfg.Federation.KeepTasks.Duration, Name: h.hubName(), Version: h.o.Version,
		URL: h.door.url, Hosts: h.hubHosts, IDs: h.o.IDs, Now: h.o.Now, Logger: h.o.Log,
	})
	return err
}

// hubName is what nodes show; a hub that nobody named is not called as an appliance is.
func (h *Hub) hubName() string {
	if h.cfg.Name == config.Default().Name {
		return h.cfg.Name + " hub"
	}
	return h.cfg.Name
}

// hubHosts are the names under which nodes may dial: that of the address for
// people, those of the certificate and those of this machine.
func (h *Hub) hubHosts() []string {
	var hosts []string
	add := func(host, port, usual string) {
		name := net.JoinHostPort(host, port)
		for _, n := range []string{name, host} {
			if n == host && port != usual {
				continue
			}
			if !slices.Contains(hosts, n) {
				hosts = append(hosts, n)
			}
		}
	}
	usual := "443"
	u, err := url.Parse(h.door.url())
	if err != nil {
		return nil
	}
	if u.Scheme == "http" {
		usual = "80"
	}
	port := u.Port()
	if port == "" {
		port = usual
	}
	add(u.Hostname(), port, usual)
	for _, name := range h.cfg.TLS.Domain {
		add(name, port, usual)
	}
	if addr := h.door.addr.Load(); addr != nil {
		if host, real, err := net.SplitHostPort(*addr); err == nil {
			add(host, real, usual)
			add("localhost", real, usual)
			add("127.0.0.1", real, usual)
		}
	}
	return hosts
}

func (h *Hub) openHubDoors(ctx context.Context) (err error) {
	if h.TLS, err = tlscert.New(ctx, tlscert.Options{Config: h.cfg, Now: h.o.Now, Log: h.o.Log}); err != nil {
		return err
	}
	h.API, err = api.New(api.Deps{
		Name: h.cfg.Name, Version: h.o.Version, UID: uint32(os.Geteuid()), Now: h.o.Now, IDs: h.o.IDs, Logger: h.o.Log,
		UI: pages(), Facts: h, DB: h.DB, DBFile: h.paths.DB, Live: h.Live, Audit: h.Audit, Identity: h.Identity,
		Hub: h.Hub, Machine: h.Hub.Door(), Link: h.Hub.Link(),
	})
	return err
}

// listenAll takes the public address, the local socket and, where it is set, the
// address for plain HTTP; all of them or none.
func (h *Hub) listenAll() (public, local, plain net.Listener, err error) {
	if public, err = h.door.listen(); err != nil {
		return nil, nil, nil, err
	}
	if local, err = h.door.listenLocal(); err != nil {
		public.Close()
		return nil, nil, nil, err
	}
	if plain, err = h.door.listenPlain(); err != nil {
		public.Close()
		local.Close()
	}
	return public, local, plain, err
}

// Run serves until ctx ends.
func (h *Hub) Run(ctx context.Context, tell func(News)) error {
	tell = oneAtATime(tell)
	public, local, plain, err := h.listenAll()
	if err != nil {
		return err
	}
	h.o.Log.Info("listening", "address", public.Addr().String(), "url", h.door.url(), "data", h.cfg.Data, "version", h.o.Version, "hub", true)
	tell(News{Listening: true, URL: h.door.url(), Data: h.cfg.Data, TLS: h.tlsText()})
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error { return h.servePublic(ctx, public) })
	g.Go(func() error { return h.serveLocal(ctx, local) })
	if plain != nil {
		g.Go(func() error { return h.servePlain(ctx, plain) })
	}
	g.Go(func() error { return h.TLS.Run(ctx) })
	g.Go(func() error { return h.Hub.Run(ctx) })
	g.Go(func() error {
		<-ctx.Done()
		h.Hub.Close() // a hijacked connection is not the server's to end
		return nil
	})
	g.Go(func() error { return h.keepHubHouse(ctx) })
	err = g.Wait()
	h.o.Log.Info("stopped", "hub", true)
	if ctx.Err() != nil && fault.KindOf(err) == fault.Unavailable {
		return nil // everybody ended because they were told to
	}
	return err
}

// keepHubHouse signs the audit log's state, sweeps what has ended and reads the
// database for damage.
func (h *Hub) keepHubHouse(ctx context.Context) error {
	sign, sweep := time.NewTicker(time.Minute), time.NewTicker(24*time.Hour)
	defer sign.Stop()
	defer sweep.Stop()
	for {
		select {
		case <-ctx.Done():
			last, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
			_, err := h.Audit.Checkpoint(last)
			cancel()
			return err
		case <-sign.C:
			if _, err := h.Audit.Checkpoint(ctx); err != nil {
				h.o.Log.Error("the audit log's state could not be signed", "error", err)
			}
		case <-sweep.C:
			if err := h.Identity.Sweep(ctx); err != nil {
				h.o.Log.Error("ended sessions could not be swept", "error", err)
			}
			if err := h.DB.Check(ctx); err != nil {
				h.o.Log.Error("the database is damaged", "error", err)
			}
		}
	}
}

// SystemFacts answers what the System page of a hub shows: it has no engine and
// no queue.
func (h *Hub) SystemFacts(ctx context.Context) (api.System, error) {
	s := api.System{Name: h.cfg.Name, Version: h.o.Version, StartedAt: h.started, Listen: h.door.url(), FailedSignIns: h.Identity.FailedSignIns(), Disk: diskFacts(h.cfg.Data)}
	t := h.TLS.Status()
	s.TLS = api.TLSFacts{Mode: t.Mode, ExpiresAt: t.NotAfter}
	cp, err := h.Audit.Checkpoint(ctx)
	if err != nil {
		return s, err
	}
	s.Audit = api.AuditFacts{Size: cp.Size, Root: cp.RootText()}
	c := h.certificateCheck()
	s.Checks = []api.Check{{Name: c.Name, State: api.CheckState(c.State), Detail: c.Detail, Next: c.Next}}
	return s, nil
}

func (h *Hub) servePlain(ctx context.Context, l net.Listener) error {
	return serve(ctx, httpServer(ctx, h.TLS.HTTPHandler(), h.o.Log), l, nil)
}
