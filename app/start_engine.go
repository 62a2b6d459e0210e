package app

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"tresor/app/fault"
	"tresor/sandbox"
	"tresor/sandbox/podman"
)

// accountWarning says which account runs what, so that nobody takes it for more.
func accountWarning(account string) []string {
	if os.Geteuid() == 0 {
		return []string{fmt.Sprintf("the server runs as root; Podman and the containers run under %s. The server has no account of its own yet.", account)}
	}
	return []string{fmt.Sprintf("one account runs the server and the containers. Installed as root they are two (%s).", account)}
}

// runEngine brings up the container engine, makes what needs one, and runs the
// queue. While there is no engine it tries again; the pages say why.
func (a *App) runEngine(ctx context.Context, tell func(News)) error {
	stop, err := a.engineUp(ctx, tell)
	if err != nil {
		return nil // ctx ended first
	}
	defer stop()
	go a.prepare(ctx, tell)
	return a.Jobs.Run(ctx)
}

// engineUp returns when there is an engine, or the error of ctx.
func (a *App) engineUp(ctx context.Context, tell func(News)) (stop func(), err error) {
	if a.o.Runner != nil {
		a.engine.set(a.o.Runner, a.o.Images)
		return func() {}, nil
	}
	said := ""
	for pause := time.Second; ; pause = min(2*pause, time.Minute) {
		runner, stop, err := a.openPodman(ctx)
		if err == nil {
			a.engine.set(runner, runner)
			a.tellLimits(ctx, tell)
			return stop, nil
		}
		a.engine.fail(err)
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		if text := engineText(err); text != said {
			said = text
			a.o.Log.Error("no container engine; jobs wait", "error", err)
			tell(News{Warnings: []string{text}})
		}
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-time.After(pause):
		}
	}
}

// tellLimits says at the start what every job would be told: that this host
// cannot bind limits, and that jobs are refused or run without them.
func (a *App) tellLimits(ctx context.Context, tell func(News)) {
	caps, err := a.engine.Capabilities(ctx)
	if err != nil || len(caps.Unlimited) == 0 {
		return
	}
	reasons := strings.Join(caps.Unlimited, ", ")
	if a.cfg.Sandbox.AllowUnlimited {
		a.o.Log.Warn("jobs run without limits, as sandbox.allow_unlimited says", "not_enforced", reasons)
		return
	}
	a.o.Log.Error("jobs are refused: limits cannot be enforced on this host", "not_enforced", reasons)
	tell(News{Warnings: []string{"jobs are refused: this host cannot enforce limits (" + reasons + "). `tresor doctor` says what to do."}})
}

func engineText(err error) string {
	var u *sandbox.ErrUnfit
	if errors.As(err, &u) {
		return fmt.Sprintf("jobs cannot run: %s. %s", u.Reason, u.Next)
	}
	return fmt.Sprintf("jobs cannot run yet: Podman does not answer (%v). `tresor doctor` looks at the host.", err)
}

// openPodman connects to the configured socket, or starts and watches a service.
func (a *App) openPodman(ctx context.Context) (*podman.Runner, func(), error) {
	socket, stop, hung := a.cfg.Sandbox.Socket, func() {}, (func(time.Time))(nil)
	if socket == "" {
		svc, err := podman.StartService(ctx, podman.ServiceOptions{Account: a.cfg.Sandbox.Account, RunDir: a.paths.Run, Executable: a.o.Exe, Log: a.o.Log})
		if err != nil {
			return nil, nil, err
		}
		socket, hung, stop = svc.Socket(), svc.Hung, func() { _ = svc.Stop(context.WithoutCancel(ctx)) }
	}
	agent, err := a.agentBinary()
	if err != nil {
		stop()
		return nil, nil, err
	}
	r, err := podman.New(podman.Options{
		Socket: socket, AgentBinary: agent, RunDir: filepath.Join(a.paths.Run, "sandbox"), Account: a.cfg.Sandbox.Account,
		AllowUnlimited: a.cfg.Sandbox.AllowUnlimited, Now: a.o.Now, Log: a.o.Log, Inside: a.inside(), Hung: hung,
	})
	if err == nil {
		_, err = r.Capabilities(ctx)
	}
	if err != nil {
		stop()
		return nil, nil, err
	}
	return r, stop, nil
}

// agentBinary is a copy of this program that containers can mount: the program's
// own folder may be closed to the account that runs Podman, and an upgrade must
// not change the file under a running container.
func (a *App) agentBinary() (string, error) {
	src, err := os.Open(a.o.Exe)
	if err != nil {
		return "", fault.Wrap("app.agentBinary", err)
	}
	defer src.Close()
	st, err := src.Stat()
	if err != nil {
		return "", fault.Wrap("app.agentBinary", err)
	}
	to := filepath.Join(a.paths.Run, fmt.Sprintf("agent-%x-%x", st.ModTime().UnixNano(), st.Size()))
	a.dropAgents(to)
	if _, err := os.Stat(to); err == nil {
		return to, nil
	}
	tmp, err := os.CreateTemp(a.paths.Run, ".agent-*")
	if err != nil {
		return "", folderFault("app.agentBinary", a.paths.Run, err)
	}
	defer os.Remove(tmp.Name())
	_, err = io.Copy(tmp, src)
	if err == nil {
		err = tmp.Chmod(0o755)
	}
	if cerr := tmp.Close(); err == nil {
		err = cerr
	}
	if err == nil {
		err = os.Rename(tmp.Name(), to)
	}
	if err != nil {
		return "", folderFault("app.agentBinary", to, err)
	}
	return to, nil
}

// dropAgents removes the copies of earlier programs and of interrupted copying. No
// container uses them: each has the engine's own copy.
func (a *App) dropAgents(keep string) {
	for _, pattern := range []string{"agent-*", ".agent-*"} {
		old, _ := filepath.Glob(filepath.Join(a.paths.Run, pattern)) // the pattern is ours
		for _, f := range old {
			if f == keep {
				continue
			}
			if err := os.Remove(f); err != nil {
				a.o.Log.Warn("an old copy of the program stays", "file", f, "error", err)
			}
		}
	}
}

// prepare makes the built-in image, again and again until it is there: what
// keeps it away - a full disk, a closed folder - can be mended while we run.
func (a *App) prepare(ctx context.Context, tell func(News)) {
	began, said := a.o.Now(), ""
	for pause := 2 * time.Second; ; pause = min(2*pause, time.Minute) {
		_, err := a.Images.EnsureBuiltin(ctx, a.o.Exe, nil)
		a.noteBuiltin(err)
		if err == nil {
			a.o.Log.Info("the built-in image is ready", "after", a.o.Now().Sub(began).Round(time.Millisecond))
			return
		}
		if ctx.Err() != nil {
			return
		}
		if text := fault.Message(err); text != said {
			said = text
			a.o.Log.Error("the built-in image could not be prepared; trying again", "error", err)
			tell(News{Warnings: []string{"SQL analyses cannot run: the built-in image could not be prepared. " + text}})
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(pause):
		}
	}
}

func (a *App) noteBuiltin(err error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.builtin = err
}

// demonstrate makes the demonstration and tells its sign-in links.
func (a *App) demonstrate(ctx context.Context, tell func(News)) error {
	if !a.cfg.Demo {
		return nil
	}
	if err := a.seedDemo(ctx); err != nil {
		return err
	}
	links, err := a.demoLinks(ctx)
	if err != nil {
		return err
	}
	tell(News{Links: links})
	return nil
}
