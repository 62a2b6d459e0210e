package app

import (
	"context"
	"fmt"
	"log"
	"log/slog"
	"maps"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"tresor/app/access"
	"tresor/app/doctor"
	"tresor/app/fault"
	"tresor/app/gateway"
	"tresor/app/gateway/link"
	"tresor/app/gateway/plug"
	"tresor/app/keyfile"
	"tresor/app/live"
	"tresor/app/store"
	"tresor/plugins/protocol"
)

// openConnector opens the door for machines: the gateway, the plugins behind it and
// the links to hubs. Jobs tell the gateway of every change in its own transaction.
func (a *App) openConnector(ctx context.Context) (err error) {
	quietStandardLog(a.o.Log)
	proxy := a.cfg.Federation.ProxyFunc()
	secrets := filepath.Join(a.paths.Keys, "plugins.key")
	seal, err := keyfile.NewSealer(secrets)
	if err != nil {
		return err
	}
	a.Gateway = gateway.New(gateway.Deps{
		DB: a.DB, Log: a.Audit, Live: a.Live, Vault: a.Vault, Tree: a.Tree, Projects: a.Projects, Jobs: a.Jobs, Outputs: a.Outputs,
		Airlock: a.Airlock, Releases: a.Releases, IDs: a.o.IDs, Now: a.o.Now, Seal: seal, Logger: a.o.Log, Name: a.cfg.Name, Public: a.door.url,
		Limits: jobLimits(a.cfg.Limits.Default), Person: personQuotas(a.cfg.Limits.Person), Fetch: gateway.FetchOptions{Proxy: proxy},
		Known:  func(plugin string) bool { return a.Plugins.Known(plugin) },
		Health: func(plugin string, h protocol.Health) { a.Plugins.Health(plugin, h) },
	})
	a.Jobs.Moved, a.Jobs.Allowed, a.Jobs.Held, a.Jobs.MayReplace = a.Gateway.Moved, a.Gateway.Allowed, a.Gateway.Held, a.Gateway.MayReplace
	a.Plugins, err = plug.Open(ctx, plug.Deps{
		DB: a.DB, Log: a.Audit, Key: secrets, Dir: a.paths.Plugins, Exe: a.o.Exe, Now: a.o.Now,
		Logger: a.o.Log, Version: a.o.Version, Host: a.pluginHost, Fetch: a.Gateway.FetchFor, Principal: a.pluginPrincipal, Changed: a.federationNews,
	})
	if err != nil {
		return err
	}
	a.Links, err = link.Open(ctx, link.Deps{
		DB: a.DB, Log: a.Audit, Gateway: a.Gateway, Plugins: a.Plugins, Key: filepath.Join(a.paths.Keys, "node.key"),
		CodeKey: secrets, IDs: a.o.IDs, Now: a.o.Now, Logger: a.o.Log, Name: a.nodeName(), Version: a.o.Version,
		Grants: a.grantsOf, Datasets: a.Datasets.Lookup, Proxy: proxy, Plain: a.cfg.Federation.Plain, Rand: rand.Float64, News: a.federationNews,
	})
	return err
}

// federationNews makes open Federation pages look again.
func (a *App) federationNews() {
	a.Live.Publish("federation", live.Event{Type: "federation", At: a.o.Now()})
}

// nodeName is what hubs call this appliance.
func (a *App) nodeName() string {
	if a.cfg.Name != "" {
		return a.cfg.Name
	}
	return "Tresor appliance"
}

func (a *App) grantsOf(tx *store.Tx, project string) ([]string, error) {
	list, err := a.Projects.Grants(tx, project)
	var ids []string
	for _, g := range list {
		ids = append(ids, g.DatasetID)
	}
	return ids, err
}

// pluginHost is what a plugin from outside may ask for while it polls.
func (a *App) pluginHost(principal, plugin string) protocol.Host {
	return a.Gateway.HostFor(gateway.Caller{Kind: gateway.Client, ID: principal}, plugin)
}

func (a *App) pluginPrincipal(ctx context.Context, actor access.Actor, name string) (string, error) {
	for n := 1; ; n++ {
		draft := gateway.Draft{Name: name, Kind: gateway.Client, Plugins: []string{strings.TrimPrefix(name, "plugin ")}}
		if n > 1 { // one that was forgotten and trusted again starts afresh
			draft.Name = fmt.Sprintf("%s %d", name, n)
		}
		p, err := a.Gateway.Create(ctx, actor, draft)
		if fault.KindOf(err) != fault.Conflict || err == nil || n == 20 {
			return p.ID, err
		}
	}
}

// pluginCheck says whether every enabled plugin runs, confined.
func (a *App) pluginCheck(ctx context.Context) doctor.Check {
	c := doctor.Check{Name: "plugins", State: doctor.OK}
	list, err := a.Plugins.List(ctx, access.System)
	if err != nil {
		return doctor.Check{Name: "plugins", State: doctor.Warn, Detail: fault.Message(err), Next: "Look at the server's log."}
	}
	var up, down, loose []string
	for _, p := range list {
		switch {
		case !p.Enabled:
		case !p.Running:
			down = append(down, p.Name)
		case !p.Confined.Checked:
			up, loose = append(up, p.Name), append(loose, p.Name)
		default:
			up = append(up, p.Name)
		}
	}
	c.Detail = "running: " + orNone(up)
	if len(loose) > 0 {
		c.State, c.Detail, c.Next = doctor.Warn, c.Detail+"; not confined: "+orNone(loose), "The Federation page says what this kernel lacks."
	}
	if len(down) > 0 {
		c.State, c.Detail, c.Next = doctor.Warn, c.Detail+"; not running: "+orNone(down), "The Federation page says why, and tests a plugin step by step."
	}
	return c
}

// hubCheck says whether the links to hubs are up.
func (a *App) hubCheck(ctx context.Context) doctor.Check {
	c := doctor.Check{Name: "hubs", State: doctor.OK, Detail: "none is enrolled"}
	links, err := a.Links.Links(ctx, access.System)
	if err != nil {
		return doctor.Check{Name: "hubs", State: doctor.Warn, Detail: fault.Message(err), Next: "Look at the server's log."}
	}
	count := map[string]int{}
	for _, l := range links {
		state := l.State
		if !l.Confirmed && state != "revoked" {
			state = "not confirmed"
		}
		count[state]++
	}
	var parts []string
	for _, state := range slices.Sorted(maps.Keys(count)) {
		parts = append(parts, fmt.Sprintf("%d %s", count[state], state))
	}
	if len(parts) > 0 {
		c.Detail = strings.Join(parts, ", ")
	}
	if count["offline"] > 0 || count["not confirmed"] > 0 {
		c.State, c.Next = doctor.Warn, "The Federation page says what stands in the way."
	}
	return c
}

func orNone(names []string) string {
	if len(names) == 0 {
		return "none"
	}
	return strings.Join(names, ", ")
}

// ownFolder refuses the data folder of a hub.
func (a *App) ownFolder(context.Context) error {
	if _, err := os.Stat(filepath.Join(a.paths.Keys, marker)); err == nil {
		return fault.WithNext(fault.New("app.ownFolder", fault.Conflict, "The data folder %s was made for a hub.", a.cfg.Data), "Start it with `tresor hub serve`, or name another folder with --data.")
	}
	return nil
}

// ServeInside answers one connection that a program in a container made to
// http://tes.local: it acts as the job that the labels name, until it or ctx ends.
func (a *App) ServeInside(ctx context.Context, labels map[string]string, conn net.Conn) {
	l := &oneConn{conn: conn, done: make(chan struct{})}
	s := httpServer(ctx, a.Gateway.InsideDoor(a.Plugins, labels["job"]), a.o.Log)
	s.ReadTimeout, s.WriteTimeout = time.Minute, 2*time.Minute
	s.ConnState = func(_ net.Conn, state http.ConnState) {
		if state == http.StateClosed || state == http.StateHijacked {
			l.Close()
		}
	}
	stop := context.AfterFunc(ctx, func() { _ = s.Close(); l.Close() })
	defer stop()
	_ = s.Serve(l)
	_ = conn.Close()
}

// oneConn is a listener with one connection, which it gives once.
type oneConn struct {
	mu   sync.Mutex
	conn net.Conn
	done chan struct{}
	once sync.Once
}

func (l *oneConn) Accept() (net.Conn, error) {
	l.mu.Lock()
	c := l.conn
	l.conn = nil
	l.mu.Unlock()
	if c != nil {
		return c, nil
	}
	<-l.done
	return nil, net.ErrClosed
}

func (l *oneConn) Close() error   { l.once.Do(func() { close(l.done) }); return nil }
func (l *oneConn) Addr() net.Addr { return &net.UnixAddr{Name: "tes.local", Net: "unix"} }

// quietStandardLog sends what libraries write to Go's own log to the program's: a
// peer could otherwise fill the standard error stream with what it sends.
func quietStandardLog(to *slog.Logger) {
	log.SetFlags(0)
	log.SetOutput(stdLog{to})
}

type stdLog struct{ log *slog.Logger }

// Write takes one line.
func (s stdLog) Write(b []byte) (int, error) {
	line := strings.TrimRight(string(b), "\n")
	if len(line) > 500 {
		line = line[:500]
	}
	s.log.Debug("library", "line", line)
	return len(b), nil
}

// inside answers programs in containers; nil where there is no gateway, as in a
// probe of the engine alone.
func (a *App) inside() func(ctx context.Context, labels map[string]string, conn net.Conn) {
	if a.Gateway == nil {
		return nil
	}
	return a.ServeInside
}
