package fake

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"tresor/sandbox"
	"tresor/sandbox/agent"
)

// box is one container.
type box struct {
	spec   sandbox.Spec
	spool  *agent.Spool
	ctx    context.Context // of the command
	cancel context.CancelFunc
	over   chan struct{} // closed when the command has ended

	mu     sync.Mutex
	status sandbox.Status
	signal int               // what Stop, Kill or the wall clock made of the exit code
	killed bool              // the container died with the command
	unkept []sandbox.Refusal // by the project, after the command
}

func newBox(spec sandbox.Spec, dir string, unlimited bool) (*box, error) {
	f, err := os.CreateTemp(dir, "log-")
	if err != nil {
		return nil, sandbox.Host("log", err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	return &box{
		spec: spec, spool: agent.NewSpool(f, spec.Limits.LogSize), ctx: ctx, cancel: cancel, over: make(chan struct{}),
		status: sandbox.Status{Ref: spec.Ref, Labels: spec.Labels, Phase: sandbox.Created, Unlimited: unlimited},
	}, nil
}

// run is the life of the command.
func (b *box) run(fn Func, root string, now func() time.Time, serve InsideFunc) {
	wall := time.AfterFunc(b.spec.Limits.Wall, func() { b.end(128+9, func(s *sandbox.Status) { s.TimedOut = true }) })
	defer wall.Stop()
	code := b.work(fn, &Task{Ref: b.spec.Ref, Argv: b.spec.Argv, Env: b.spec.Env, Log: b.spool, Err: b.spool.Errors(), spec: b.spec, root: root, serve: serve})
	_, dropped := b.spool.Size()
	at := now() // takes the engine's lock, which others hold while they take ours
	b.mu.Lock()
	if b.signal != 0 {
		code = b.signal
	}
	b.status.Phase, b.status.ExitCode, b.status.FinishedAt = sandbox.Ended, code, at
	b.status.LogTruncated = dropped > 0
	if b.killed {
		b.status.Phase = sandbox.Exited
	}
	b.mu.Unlock()
	b.spool.End()
	close(b.over)
}

// work puts the files in place, as the agent does, and runs the command.
func (b *box) work(fn Func, t *Task) int {
	c := agent.ConfigOf(b.spec)
	p := c.Placer()
	p.Where = t.Path
	if b.spec.Inside {
		t.Env = append(slices.Clone(t.Env), agent.InsideEnv+"=http://"+agent.InsideName)
	}
	project, err := b.inStep(t)
	var files *agent.Streams
	if err == nil {
		files, err = agent.LayOut(b.ctx, p, c, b.spool)
	}
	if err != nil {
		b.spool.Say("%s", err)
		b.mu.Lock()
		defer b.mu.Unlock()
		b.status.Unplaced = b.signal == 0
		return sandbox.ExitUnplaced
	}
	defer files.Close()
	if t.In = strings.NewReader(""); files.In != nil {
		t.In = files.In
	}
	code := fn(b.ctx, t)
	if project != nil && b.ctx.Err() == nil {
		project.Finish(b.ctx, code < 128)
		b.mu.Lock()
		defer b.mu.Unlock()
		b.unkept = project.Refused()
	}
	return code
}

// inStep fills the folder that is kept in step with the project, as the agent does; nil when none is asked for.
func (b *box) inStep(t *Task) (*agent.Project, error) {
	if b.spec.Project == "" || t.serve == nil {
		return nil, nil
	}
	p := agent.NewProject(b.spec.Project, t.Path(b.spec.Project), b.spec.Limits.FileSize, t.direct, b.spool.Say)
	if err := p.Fetch(b.ctx); err != nil {
		return nil, fmt.Errorf("the project's files could not be laid out in %s: %w", b.spec.Project, err)
	}
	t.gate = agent.Gate(t.direct, p)
	return p, nil
}

// end makes the command end with a code, unless it is over already.
func (b *box) end(code int, note func(*sandbox.Status)) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.status.Phase != sandbox.Running || b.signal != 0 {
		return
	}
	b.signal = code
	note(&b.status)
	b.cancel()
}

func (b *box) now() sandbox.Status {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.status
}

func (b *box) refused() []sandbox.Refusal {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.unkept
}

func (b *box) exit() sandbox.Status {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.status.Phase = sandbox.Exited
	return b.status
}

// Kill ends a running container as `kill -9` from outside would: no word from the agent.
func (r *Runner) Kill(ref sandbox.Ref) { r.die(ref, func(*sandbox.Status) {}) }

// OOM ends a running container as the kernel does when the memory limit is reached.
func (r *Runner) OOM(ref sandbox.Ref) {
	r.die(ref, func(s *sandbox.Status) { s.OOMKilled = true })
}

func (r *Runner) die(ref sandbox.Ref, note func(*sandbox.Status)) {
	if b, err := r.box(ref); err == nil {
		b.die(note)
	}
}

func (b *box) die(note func(*sandbox.Status)) {
	b.mu.Lock()
	b.killed = true
	b.mu.Unlock()
	b.end(128+9, note)
	if b.now().Phase == sandbox.Running {
		<-b.over
	}
}

func notFound(_ context.Context, t *Task) int {
	t.Log.Say("command not found: %s", sandbox.Printable(t.Argv[0]))
	return 127
}

func (e *engine) root(name string) string { return filepath.Join(e.dir, name) }
