package app

import (
	"context"
	"os"
	"path/filepath"

	"tresor/app/config"
	"tresor/app/doctor"
	"tresor/app/fault"
	"tresor/sandbox/podman"
)

// Doctor looks at the host without a running server: it starts the container
// engine as the server would, asks it, and ends it again.
func Doctor(ctx context.Context, cfg config.Config, o Options) []doctor.Check {
	opts := doctor.Options{Data: cfg.Data, Account: cfg.Sandbox.Account, AllowUnlimited: cfg.Sandbox.AllowUnlimited}
	runner, stop, err := borrowEngine(ctx, cfg, o)
	if err != nil {
		opts.EngineErr = err
		return doctor.Run(ctx, opts)
	}
	defer stop()
	opts.Engine = runner
	return doctor.Run(ctx, opts)
}

// Probe runs the probe in a sandbox and returns its report, JSON. It works over
// an appliance of its own in a temporary folder, so that a running server and its
// data are not touched; the built-in image stays in the engine.
func Probe(ctx context.Context, cfg config.Config, o Options) ([]byte, error) {
	const op = "app.Probe"
	dir, remove, err := scratchFolder()
	if err != nil {
		return nil, fault.Wrap(op, err)
	}
	defer remove()
	cfg.Data, cfg.TLS.Mode, cfg.Demo = dir, config.TLSOff, false
	a, err := New(ctx, cfg, o)
	if err != nil {
		return nil, err
	}
	defer a.Close()
	r, stop, err := a.openPodman(ctx)
	if err != nil {
		return nil, fault.Kinded(op, fault.Unavailable, err, "%s", engineText(err))
	}
	defer stop()
	a.engine.set(r, r)
	image, err := a.Images.EnsureBuiltin(ctx, a.o.Exe, nil)
	if err != nil {
		return nil, err
	}
	report, err := podman.Probe(ctx, r, image.ID)
	if err != nil {
		return nil, fault.Kinded(op, fault.Unavailable, err, "The probe could not be run: %v.", err)
	}
	return append(report, '\n'), nil
}

// scratchFolder is a temporary folder that the account which runs Podman can pass through.
func scratchFolder() (string, func(), error) {
	dir, err := os.MkdirTemp("", "tresor-doctor-")
	if err != nil {
		return "", nil, err
	}
	return dir, func() { os.RemoveAll(dir) }, os.Chmod(dir, 0o711)
}

// borrowEngine starts an engine over a folder of its own, so that it neither
// needs nor disturbs a data folder.
func borrowEngine(ctx context.Context, cfg config.Config, o Options) (*podman.Runner, func(), error) {
	o, err := o.withDefaults()
	if err != nil {
		return nil, nil, err
	}
	dir, remove, err := scratchFolder()
	if err != nil {
		return nil, nil, err
	}
	run := filepath.Join(dir, "run")
	if err := os.Mkdir(run, 0o711); err != nil {
		remove()
		return nil, nil, err
	}
	a := &App{cfg: cfg, o: o, paths: config.Paths{Run: run}, engine: newEngine()}
	r, stop, err := a.openPodman(ctx)
	if err != nil {
		remove()
		return nil, nil, err
	}
	return r, func() { stop(); remove() }, nil
}
