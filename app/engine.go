package app

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"

	"tresor/sandbox"
)

// engine stands in for the container engine until Podman answers, so that the
// web pages are there at once and stay there when Podman is not. Before that
// every verb answers ErrHost, which job treats as "try again".
type engine struct {
	mu     sync.Mutex
	runner sandbox.Runner
	images sandbox.Images
	why    error         // why there is none yet
	ready  chan struct{} // closed when runner is set
}

func newEngine() *engine {
	return &engine{ready: make(chan struct{}), why: errors.New("podman is starting")}
}

// set installs the engine; the first call wakes everybody who waits.
func (e *engine) set(r sandbox.Runner, i sandbox.Images) {
	e.mu.Lock()
	defer e.mu.Unlock()
	first := e.runner == nil
	e.runner, e.images, e.why = r, i, nil
	if first {
		close(e.ready)
	}
}

// fail records why there is no engine.
func (e *engine) fail(err error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.runner == nil {
		e.why = err
	}
}

func (e *engine) get() (sandbox.Runner, sandbox.Images, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.runner != nil {
		return e.runner, e.images, nil
	}
	var unfit *sandbox.ErrUnfit
	if errors.As(e.why, &unfit) {
		return nil, nil, e.why
	}
	return nil, nil, fmt.Errorf("%w: %w", sandbox.ErrHost, e.why)
}

func (e *engine) Capabilities(ctx context.Context) (sandbox.Capabilities, error) {
	r, _, err := e.get()
	if err != nil {
		return sandbox.Capabilities{}, err
	}
	return r.Capabilities(ctx)
}

func (e *engine) Prepare(ctx context.Context, s sandbox.Spec) error {
	r, _, err := e.get()
	if err != nil {
		return err
	}
	return r.Prepare(ctx, s)
}

func (e *engine) Start(ctx context.Context, ref sandbox.Ref) error {
	r, _, err := e.get()
	if err != nil {
		return err
	}
	return r.Start(ctx, ref)
}

func (e *engine) Status(ctx context.Context, ref sandbox.Ref) (sandbox.Status, error) {
	r, _, err := e.get()
	if err != nil {
		return sandbox.Status{}, err
	}
	return r.Status(ctx, ref)
}

func (e *engine) Logs(ctx context.Context, ref sandbox.Ref, from int64, fn func(sandbox.Chunk) error) error {
	r, _, err := e.get()
	if err != nil {
		return err
	}
	return r.Logs(ctx, ref, from, fn)
}

func (e *engine) Collect(ctx context.Context, ref sandbox.Ref, sink func(sandbox.File, io.Reader) error) (sandbox.Collected, error) {
	r, _, err := e.get()
	if err != nil {
		return sandbox.Collected{}, err
	}
	return r.Collect(ctx, ref, sink)
}

func (e *engine) Usage(ctx context.Context, ref sandbox.Ref) (sandbox.Usage, error) {
	r, _, err := e.get()
	if err != nil {
		return sandbox.Usage{}, err
	}
	return r.Usage(ctx, ref)
}

func (e *engine) Stop(ctx context.Context, ref sandbox.Ref, grace time.Duration) error {
	r, _, err := e.get()
	if err != nil {
		return err
	}
	return r.Stop(ctx, ref, grace)
}

func (e *engine) Remove(ctx context.Context, ref sandbox.Ref) error {
	r, _, err := e.get()
	if err != nil {
		return err
	}
	return r.Remove(ctx, ref)
}

func (e *engine) RemoveScratch(ctx context.Context, name string) error {
	r, _, err := e.get()
	if err != nil {
		return err
	}
	return r.RemoveScratch(ctx, name)
}

func (e *engine) List(ctx context.Context) ([]sandbox.Status, error) {
	r, _, err := e.get()
	if err != nil {
		return nil, err
	}
	return r.List(ctx)
}

func (e *engine) Load(ctx context.Context, r io.Reader) (sandbox.Image, error) {
	_, i, err := e.get()
	if err != nil {
		return sandbox.Image{}, err
	}
	return i.Load(ctx, r)
}

func (e *engine) Inspect(ctx context.Context, id string) (sandbox.Image, error) {
	_, i, err := e.get()
	if err != nil {
		return sandbox.Image{}, err
	}
	return i.Inspect(ctx, id)
}

func (e *engine) Warm(ctx context.Context, id string, progress func(done, total int64)) error {
	_, i, err := e.get()
	if err != nil {
		return err
	}
	return i.Warm(ctx, id, progress)
}

func (e *engine) RemoveImage(ctx context.Context, id string) error {
	_, i, err := e.get()
	if err != nil {
		return err
	}
	return i.RemoveImage(ctx, id)
}

func (e *engine) ListImages(ctx context.Context) ([]sandbox.Image, error) {
	_, i, err := e.get()
	if err != nil {
		return nil, err
	}
	return i.ListImages(ctx)
}

var (
	_ sandbox.Runner = (*engine)(nil)
	_ sandbox.Images = (*engine)(nil)
)

// Engine is the container engine as the rest of the appliance sees it.
func (a *App) Engine() sandbox.Runner { return a.engine }
