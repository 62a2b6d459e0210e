package app

import (
	"context"
	"time"

	"golang.org/x/sys/unix"

	"tresor/app/api"
	"tresor/app/doctor"
	"tresor/app/fault"
)

// SystemFacts answers what the System page shows. It looks afresh each time: an
// operator reloads the page to see whether a thing is mended.
func (a *App) SystemFacts(ctx context.Context) (api.System, error) {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	s := api.System{
		Name: a.cfg.Name, Version: a.o.Version, Demo: a.cfg.Demo, StartedAt: a.started, Listen: a.door.url(),
		FailedSignIns: a.Identity.FailedSignIns(), Disk: diskFacts(a.cfg.Data),
	}
	t := a.TLS.Status()
	s.TLS = api.TLSFacts{Mode: t.Mode, ExpiresAt: t.NotAfter}
	caps, err := a.engine.Capabilities(ctx)
	s.Podman = api.PodmanFacts{Version: caps.Version, Rootless: caps.Rootless, Storage: caps.Storage, Cgroups: caps.Cgroup, Controllers: caps.Controllers, Reasons: caps.Unlimited}
	if err != nil {
		s.Podman.Error = engineText(err)
	}
	s.Unlimited = a.unlimited()
	load := a.Jobs.Load()
	s.Queue = api.QueueFacts{Waiting: load.Waiting, Running: load.Running}
	cp, err := a.Audit.Checkpoint(ctx)
	if err != nil {
		return s, err
	}
	s.Audit = api.AuditFacts{Size: cp.Size, Root: cp.RootText()}
	for _, c := range a.checks(ctx) {
		s.Checks = append(s.Checks, api.Check{Name: c.Name, State: api.CheckState(c.State), Detail: c.Detail, Next: c.Next})
	}
	return s, nil
}

// checks is the doctor's view of the running server, with what only it knows.
func (a *App) checks(ctx context.Context) []doctor.Check {
	return append(doctor.Run(ctx, doctor.Options{
		Data: a.cfg.Data, Account: a.cfg.Sandbox.Account, AllowUnlimited: a.cfg.Sandbox.AllowUnlimited, Engine: a.engine,
	}), a.builtinCheck(), a.certificateCheck(), a.pluginCheck(ctx), a.hubCheck(ctx))
}

// builtinCheck says whether SQL analyses have their image.
func (a *App) builtinCheck() doctor.Check {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.builtin == nil {
		return doctor.Check{Name: "built-in image", State: doctor.OK, Detail: "ready for SQL analyses"}
	}
	return doctor.Check{Name: "built-in image", State: doctor.Warn, Detail: fault.Message(a.builtin), Next: "The server tries again by itself; its log has the cause."}
}

func (a *App) certificateCheck() doctor.Check {
	s := a.TLS.Status()
	c := doctor.Check{Name: "certificate", State: doctor.OK, Detail: a.tlsText()}
	if s.LastError != "" {
		c.State, c.Detail, c.Next = doctor.Warn, s.LastError, "The certificate in use stays until it ends; the server tries again by itself."
	}
	if s.NotAfter == nil {
		return c
	}
	left := s.NotAfter.Sub(a.o.Now())
	c.Detail += ", valid until " + s.NotAfter.Format("2006-01-02")
	switch {
	case left <= 0:
		c.State, c.Next = doctor.Fail, "Browsers refuse the page now. Renew the certificate; the log says why it was not renewed."
	case left < 7*24*time.Hour && s.Mode != "local":
		c.State, c.Next = doctor.Warn, "Renew the certificate; the log says why it was not renewed."
	}
	return c
}

func diskFacts(dir string) api.DiskFacts {
	var s unix.Statfs_t
	if unix.Statfs(dir, &s) != nil {
		return api.DiskFacts{}
	}
	return api.DiskFacts{Free: int64(s.Bavail) * int64(s.Bsize), Total: int64(s.Blocks) * int64(s.Bsize)}
}

// unlimited reports whether jobs run although limits cannot bind. Until the
// engine answers it is as the settings say, to warn rather than to reassure.
func (a *App) unlimited() bool {
	if !a.cfg.Sandbox.AllowUnlimited {
		return false
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	caps, err := a.engine.Capabilities(ctx)
	return err != nil || len(caps.Unlimited) > 0
}
