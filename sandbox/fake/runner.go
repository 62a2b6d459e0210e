package fake

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"sort"
	"time"

	"tresor/sandbox"
	"tresor/sandbox/agent"
)

// Capabilities implements sandbox.Runner.
func (r *Runner) Capabilities(context.Context) (c sandbox.Capabilities, err error) {
	err = r.faulty("Capabilities", func() error {
		r.mu.Lock()
		defer r.mu.Unlock()
		c = r.caps
		return nil
	})
	return c, err
}

// Prepare implements sandbox.Runner.
func (r *Runner) Prepare(_ context.Context, s sandbox.Spec) error {
	s.Limits = s.Limits.WithDefaults()
	if err := s.Validate(); err != nil {
		return err
	}
	return r.faulty("Prepare", func() error { return r.prepare(s) })
}

func (r *Runner) prepare(s sandbox.Spec) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.boxes[s.Ref] != nil {
		return nil
	}
	if _, ok := r.find(s.Image); !ok {
		return fmt.Errorf("%w: image %s", sandbox.ErrAbsent, s.Image)
	}
	for _, b := range s.Binds {
		if _, err := os.Stat(b.Source); err != nil {
			return sandbox.Invalid("mount source %s is not there", b.Source)
		}
	}
	if err := r.scratch("log"); err != nil {
		return err
	}
	for _, v := range s.Scratch {
		if err := r.scratch(v.Name); err != nil {
			return err
		}
	}
	b, err := newBox(s, r.dir, len(r.caps.Unlimited) > 0)
	if err != nil {
		return err
	}
	r.boxes[s.Ref] = b
	return nil
}

// Start implements sandbox.Runner.
func (r *Runner) Start(_ context.Context, ref sandbox.Ref) error {
	return r.faulty("Start", func() error {
		b, err := r.box(ref)
		if err != nil {
			return err
		}
		r.mu.Lock()
		defer r.mu.Unlock()
		b.mu.Lock()
		defer b.mu.Unlock()
		if b.status.Phase != sandbox.Created {
			return nil
		}
		fn := r.funcs[b.spec.Argv[0]]
		if fn == nil {
			fn = r.other
		}
		if fn == nil {
			fn = notFound
		}
		r.starts[ref]++
		b.status.Phase, b.status.StartedAt = sandbox.Running, r.clock()
		go b.run(fn, r.dir, r.now, r.inside)
		return nil
	})
}

func (e *engine) now() time.Time {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.clock()
}

// Status implements sandbox.Runner.
func (r *Runner) Status(_ context.Context, ref sandbox.Ref) (s sandbox.Status, err error) {
	err = r.faulty("Status", func() error {
		b, err := r.box(ref)
		if err != nil {
			s = sandbox.Status{Ref: ref, Phase: sandbox.Absent}
			return nil
		}
		s = b.now()
		return nil
	})
	return s, err
}

// Logs implements sandbox.Runner.
func (r *Runner) Logs(ctx context.Context, ref sandbox.Ref, from int64, fn func(sandbox.Chunk) error) error {
	return r.faulty("Logs", func() error {
		b, err := r.box(ref)
		if err != nil {
			return err
		}
		if b.now().Phase == sandbox.Created {
			return sandbox.Invalid("%s has not been started", ref)
		}
		return follow(ctx, b.spool, from, fn)
	})
}

func follow(ctx context.Context, s *agent.Spool, from int64, fn func(sandbox.Chunk) error) error {
	buf := make([]byte, 64<<10)
	for {
		n, errs, grown, err := s.Read(buf, from)
		if n > 0 {
			if err := fn(sandbox.Chunk{Offset: from, Err: errs, Data: buf[:n]}); err != nil {
				return err
			}
			from += int64(n)
			continue
		}
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return sandbox.Host("log", err)
		}
		select {
		case <-grown:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// Collect implements sandbox.Runner.
func (r *Runner) Collect(_ context.Context, ref sandbox.Ref, sink func(sandbox.File, io.Reader) error) (c sandbox.Collected, err error) {
	err = r.faulty("Collect", func() error {
		b, err := r.box(ref)
		if err != nil {
			return err
		}
		if p := b.now().Phase; p != sandbox.Ended && p != sandbox.Exited {
			return sandbox.Invalid("%s is %s: outputs can be collected when the command has ended", ref, p)
		}
		c, err = r.collect(b, sink)
		if err != nil {
			return err
		}
		c.Status = b.exit()
		return nil
	})
	return c, err
}

func (r *Runner) collect(b *box, sink func(sandbox.File, io.Reader) error) (sandbox.Collected, error) {
	roots, targets := map[string]string{}, []string{}
	for _, v := range b.spec.Scratch {
		roots[v.Target] = r.root(v.Name)
		targets = append(targets, v.Target)
	}
	pr, pw := io.Pipe()
	defer pr.Close()
	go func() {
		w := agent.Walker{Outputs: b.spec.Outputs, Binds: agent.ConfigOf(b.spec).Binds, Limits: b.spec.Limits, Root: func(t string) string { return roots[t] }}
		emit := agent.FrameEmitter{W: pw}
		err := w.Walk(targets, emit)
		for _, r := range b.refused() {
			if err == nil {
				err = emit.Refuse(r.Path, r.Reason)
			}
		}
		if err == nil {
			err = emit.Finish()
		}
		pw.CloseWithError(err)
	}()
	return agent.NewReceiver(pr, b.spec.Outputs, b.spec.Limits).Receive(sink)
}

// Usage implements sandbox.Runner.
func (r *Runner) Usage(_ context.Context, ref sandbox.Ref) (u sandbox.Usage, err error) {
	err = r.faulty("Usage", func() error {
		b, err := r.box(ref)
		if err != nil {
			return err
		}
		if b.now().Phase == sandbox.Running {
			u = sandbox.Usage{CPU: time.Millisecond, Memory: 1 << 20, Pids: 1}
		}
		return nil
	})
	return u, err
}

// Stop implements sandbox.Runner: the context of the Func ends, and the exit code is that of a TERM.
func (r *Runner) Stop(ctx context.Context, ref sandbox.Ref, _ time.Duration) error {
	return r.faulty("Stop", func() error {
		b, err := r.box(ref)
		if err != nil {
			return err
		}
		if b.now().Phase == sandbox.Created {
			b.exit()
			return nil
		}
		b.end(128+15, func(*sandbox.Status) {})
		select {
		case <-b.over:
			return nil
		case <-ctx.Done():
			return ctx.Err()
		}
	})
}

// Remove implements sandbox.Runner.
func (r *Runner) Remove(_ context.Context, ref sandbox.Ref) error {
	return r.faulty("Remove", func() error {
		b, err := r.box(ref)
		if err != nil {
			return nil
		}
		r.mu.Lock()
		delete(r.boxes, ref) // first, so that nobody sees how its command dies of it
		r.mu.Unlock()
		b.die(func(*sandbox.Status) {})
		b.cancel()
		b.spool.End()
		return nil
	})
}

// RemoveScratch implements sandbox.Runner.
func (r *Runner) RemoveScratch(_ context.Context, name string) error {
	return r.faulty("RemoveScratch", func() error {
		r.mu.Lock()
		defer r.mu.Unlock()
		if r.dir == "" || !sandbox.ValidVolume(name) {
			return nil
		}
		for ref, b := range r.boxes {
			for _, v := range b.spec.Scratch {
				if v.Name == name {
					return sandbox.Invalid("scratch %s is in use by %s", name, ref)
				}
			}
		}
		return os.RemoveAll(r.root(name))
	})
}

// List implements sandbox.Runner.
func (r *Runner) List(context.Context) (list []sandbox.Status, err error) {
	err = r.faulty("List", func() error {
		r.mu.Lock()
		defer r.mu.Unlock()
		for _, b := range r.boxes {
			list = append(list, b.now())
		}
		sort.Slice(list, func(i, j int) bool { return list[i].Ref < list[j].Ref })
		return nil
	})
	return list, err
}
