package podman

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"tresor/sandbox"
	"tresor/sandbox/agent"
)

// Logs implements sandbox.Runner.
func (r *Runner) Logs(ctx context.Context, ref sandbox.Ref, from int64, fn func(sandbox.Chunk) error) error {
	k, err := r.keep(ref).read()
	if err != nil {
		return err
	}
	t := &tail{r: r, ref: ref, spec: k.Spec, next: from, fn: fn}
	return t.follow(ctx)
}

// tail is one follower of a log.
type tail struct {
	r    *Runner
	ref  sandbox.Ref
	spec sandbox.Spec
	next int64
	fn   func(sandbox.Chunk) error
	err  error // of fn
}

func (t *tail) take(c sandbox.Chunk) error {
	if t.err = t.fn(c); t.err != nil {
		return t.err
	}
	t.next = c.Offset + int64(len(c.Data))
	return nil
}

// follow reads from the agent for as long as it lives, and then what it left.
func (t *tail) follow(ctx context.Context) error {
	link, err := t.r.link(ctx, t.ref)
	if err != nil {
		return err
	}
	for delay, last := time.Duration(0), t.next; ; last = t.next {
		err := link.Log(ctx, t.next, t.spec.Limits.LogSize, t.take)
		if err == nil {
			t.r.noteEnd(ctx, t.ref, link)
			return nil
		}
		if t.err != nil || ctx.Err() != nil {
			return err
		}
		if errors.Is(err, agent.ErrHostile) {
			return t.r.condemn(ctx, t.ref, err)
		}
		over, err := t.r.awaitAgent(ctx, t.ref, link)
		if err != nil {
			return err
		}
		if over {
			return t.rest(ctx)
		}
		if t.next > last {
			delay = 0
		}
		if !pause(ctx, nil, delay) { // an agent that breaks off at once must not keep us busy
			return ctx.Err()
		}
		delay = min(2*delay+10*time.Millisecond, time.Second)
	}
}

// noteEnd asks for the agent's last word while it can still be had.
func (r *Runner) noteEnd(ctx context.Context, ref sandbox.Ref, l *agent.Link) {
	if s, err := l.Stat(ctx); err == nil && s.Ended {
		r.keep(ref).remember(s)
	}
}

// muteAgent is how long a container may run without its agent, which dials four times a
// second. Longer than this it is a container whose monitor has died, and which the
// engine calls running for ever.
var muteAgent = 5 * time.Minute

// awaitAgent waits until an agent is connected, or the container is over. A container
// without an agent for long is killed.
func (r *Runner) awaitAgent(ctx context.Context, ref sandbox.Ref, l *agent.Link) (over bool, err error) {
	since := r.o.Now()
	for pause := 10 * time.Millisecond; ; pause = min(pause*2, time.Second) {
		if l.Connected(ctx, pause) {
			return false, nil
		}
		st, err := r.inspect(ctx, string(ref))
		if err != nil {
			return false, err
		}
		switch st.phase() {
		case sandbox.Absent:
			return false, fmt.Errorf("%w: %s", sandbox.ErrAbsent, ref)
		case sandbox.Created:
			return false, sandbox.Invalid("%s has not been started", ref)
		case sandbox.Exited:
			return true, nil
		}
		if err := ctx.Err(); err != nil {
			return false, err
		}
		if r.o.Now().Sub(since) > muteAgent {
			return false, r.condemn(ctx, ref, agent.ErrGone)
		}
	}
}

// condemn kills a container whose agent broke the protocol or is gone. What is left is then read by an agent of our own.
func (r *Runner) condemn(ctx context.Context, ref sandbox.Ref, cause error) error {
	r.o.Log.Warn("the agent broke the protocol or is gone: killing the container", "container", string(ref), "cause", cause)
	if err := r.kill(ctx, string(ref)); err != nil {
		return err
	}
	return sandbox.Host("agent of "+string(ref), cause)
}

// rest delivers what a dead container left in its scratch.
func (t *tail) rest(ctx context.Context) error {
	if len(t.spec.Scratch) == 0 {
		return nil
	}
	return t.r.withCollector(ctx, t.spec, func(l *agent.Link) error {
		return l.Log(ctx, t.next, t.spec.Limits.LogSize, t.take)
	})
}

// Collect implements sandbox.Runner.
func (r *Runner) Collect(ctx context.Context, ref sandbox.Ref, sink func(sandbox.File, io.Reader) error) (sandbox.Collected, error) {
	k, err := r.keep(ref).read()
	if err != nil {
		return sandbox.Collected{}, err
	}
	link, err := r.link(ctx, ref)
	if err != nil {
		return sandbox.Collected{}, err
	}
	over, err := r.atEnd(ctx, ref, link)
	if err != nil {
		return sandbox.Collected{}, err
	}
	var c sandbox.Collected
	if over {
		c, err = r.collectDead(ctx, k.Spec, sink)
	} else {
		c, err = r.collectLive(ctx, k.Spec, link, sink)
	}
	if err != nil {
		return c, err
	}
	st, err := r.inspect(ctx, string(ref))
	if err != nil {
		return c, err
	}
	c.Status = r.status(ctx, ref, st)
	return c, nil
}

// atEnd says whether the container is over, or its agent waits with the outputs. A command that runs is refused.
func (r *Runner) atEnd(ctx context.Context, ref sandbox.Ref, l *agent.Link) (over bool, err error) {
	for {
		stat, err := l.Stat(ctx)
		switch {
		case err == nil && !stat.Ended:
			return false, sandbox.Invalid("%s is running: outputs can be collected when the command has ended", ref)
		case err == nil:
			r.keep(ref).remember(stat)
			return false, nil
		case !errors.Is(err, agent.ErrGone):
			return false, r.linkError(ctx, ref, err)
		}
		if over, err := r.awaitAgent(ctx, ref, l); over || err != nil {
			return over, err
		}
	}
}

// collectLive takes the outputs from the agent that ran the command, and lets it exit.
func (r *Runner) collectLive(ctx context.Context, s sandbox.Spec, l *agent.Link, sink func(sandbox.File, io.Reader) error) (c sandbox.Collected, err error) {
	l.EndInside()
	if len(s.Outputs) > 0 || s.Project != "" { // the latter has refusals to tell
		c, err = l.Outputs(ctx, s.Outputs, s.Limits, sink)
	}
	if err != nil {
		return c, r.linkError(ctx, s.Ref, err)
	}
	r.noteMemory(ctx, s.Ref)
	return c, r.dismiss(ctx, s.Ref, l)
}

func (r *Runner) linkError(ctx context.Context, ref sandbox.Ref, err error) error {
	switch {
	case errors.Is(err, agent.ErrHostile):
		return r.condemn(ctx, ref, err)
	case errors.Is(err, agent.ErrGone):
		return sandbox.Host("agent of "+string(ref), err)
	}
	return err
}

// dismiss lets the agent go and confirms with the engine that the container is over. One that stays is killed.
func (r *Runner) dismiss(ctx context.Context, ref sandbox.Ref, l *agent.Link) error {
	if err := l.Done(ctx); err == nil {
		if _, err := r.awaitExit(ctx, string(ref), 10*time.Second); err == nil || ctx.Err() != nil {
			return err
		}
	}
	return r.kill(ctx, string(ref))
}

// collectDead starts a collector for a container that died with its outputs.
func (r *Runner) collectDead(ctx context.Context, s sandbox.Spec, sink func(sandbox.File, io.Reader) error) (c sandbox.Collected, err error) {
	if len(s.Outputs) == 0 {
		return c, nil
	}
	err = r.withCollector(ctx, s, func(l *agent.Link) error {
		c, err = l.Outputs(ctx, s.Outputs, s.Limits, sink)
		return err
	})
	return c, err
}

// withCollector runs fn against an agent of our own in a fresh container with the same
// image and the same scratch, read-only, and removes it.
func (r *Runner) withCollector(ctx context.Context, s sandbox.Spec, fn func(*agent.Link) error) error {
	ref := forCollector.of(s.Ref)
	defer r.helpers.lock(ref)()                         // Logs and Collect of one container take turns
	if err := r.removeContainer(ctx, ref); err != nil { // of a Collect that was cut short
		return err
	}
	l, err := r.startCollector(ctx, s)
	if err == nil {
		err = r.linkError(ctx, ref, fn(l))
	}
	rctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), callTimeout)
	defer cancel()
	if rerr := r.removeContainer(rctx, ref); err == nil {
		err = rerr
	}
	return err
}

func (r *Runner) startCollector(ctx context.Context, s sandbox.Spec) (*agent.Link, error) {
	h, err := r.look(ctx)
	if err != nil {
		return nil, err
	}
	ref, c := forCollector.of(s.Ref), agentConfig(s, &imageInfo{})
	c.Collect, c.Argv, c.Env = true, nil, nil
	c.Log = string(s.Ref)
	c.Ref = string(ref)
	if _, err := r.keep(ref).write(kept{Spec: s}, h, r.agentFile(), c); err != nil {
		return nil, err
	}
	if err := r.create(ctx, r.createBody(h, s, forCollector)); err != nil {
		return nil, err
	}
	if err := r.Start(ctx, ref); err != nil {
		return nil, err
	}
	l, err := r.link(ctx, ref)
	if err != nil {
		return nil, err
	}
	if !l.Connected(ctx, 20*time.Second) {
		return nil, sandbox.Host("collector", agent.ErrGone)
	}
	return l, nil
}
