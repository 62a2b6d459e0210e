package podman

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"time"

	"tresor/sandbox"
)

// Stop implements sandbox.Runner. The agent does it, so that the outputs stay at hand; an
// agent that does not answer is killed with everything else.
func (r *Runner) Stop(ctx context.Context, ref sandbox.Ref, grace time.Duration) error {
	st, err := r.inspect(ctx, string(ref))
	if err != nil {
		return err
	}
	switch st.phase() {
	case sandbox.Absent:
		return fmt.Errorf("%w: %s", sandbox.ErrAbsent, ref)
	case sandbox.Running:
	default:
		return nil
	}
	l, err := r.link(ctx, ref)
	if err != nil {
		return err
	}
	if l.Connected(ctx, time.Second) {
		if s, err := l.Stop(ctx, grace); err == nil {
			r.keep(ref).remember(s)
			return nil
		}
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	r.o.Log.Warn("the agent does not answer: killing the container", "container", string(ref))
	return r.kill(ctx, string(ref))
}

// kill ends a container at once and waits until Podman says so.
func (r *Runner) kill(ctx context.Context, name string) error {
	err := r.api.do(ctx, request{method: http.MethodPost, path: "/containers/%s/kill", args: []string{name}, query: url.Values{"signal": {"KILL"}}})
	var api *apiError
	if err != nil && !absent(err) && !errors.As(err, &api) { // a refusal means that it does not run
		return err
	}
	_, err = r.awaitExit(ctx, name, 10*time.Second)
	return err
}

// awaitExit looks until the container is over: at once, then less and less often.
func (r *Runner) awaitExit(ctx context.Context, name string, patience time.Duration) (state, error) {
	timeout := time.NewTimer(patience)
	defer timeout.Stop()
	for pause := time.Millisecond; ; pause = min(pause*2, 200*time.Millisecond) {
		st, err := r.inspect(ctx, name)
		if err != nil || st.over() || st.phase() == sandbox.Absent {
			return st, err
		}
		select {
		case <-time.After(pause):
		case <-timeout.C:
			return st, sandbox.Host("wait for the end", fmt.Errorf("%s is still %s after %v", name, st.Status, patience))
		case <-ctx.Done():
			return st, ctx.Err()
		}
	}
}

// Remove implements sandbox.Runner.
func (r *Runner) Remove(ctx context.Context, ref sandbox.Ref) error {
	if !ref.Valid() {
		return nil
	}
	for _, helper := range []role{forCollector, forMaker} {
		if r.keep(helper.of(ref)).exists() {
			if err := r.removeContainer(ctx, helper.of(ref)); err != nil {
				return err
			}
		}
	}
	return r.removeContainer(ctx, ref)
}

// removeContainer erases the container before its folder, so that a crash in between leaves something to remove again.
func (r *Runner) removeContainer(ctx context.Context, ref sandbox.Ref) error {
	err := r.api.do(ctx, request{method: http.MethodDelete, path: "/containers/%s", args: []string{string(ref)},
		query: url.Values{"force": {"true"}, "timeout": {"0"}, "ignore": {"true"}, "v": {"false"}}})
	if err != nil && !absent(err) {
		return hostError("remove", err)
	}
	err = r.keep(ref).erase()
	r.unlink(ref) // after the folder: who asks in between would listen again, for ever
	return err
}
