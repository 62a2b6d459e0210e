// Package fake is a sandbox.Runner without containers, for tests.
//
// It runs each command as a Go function in this process, on real scratch folders, with
// the agent's own placer, log spool, walker and frame stream, and passes the same conformance
// suite as Podman. It isolates nothing and must never be part of the product. State
// lives in memory; Reopen gives a second Runner on it, as after a restart.
package fake

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"tresor/sandbox"
	"tresor/sandbox/agent"
)

// Func is a command: it may write to t.Log, t.Err and to the paths that t.Path answers, ends
// when ctx does, and answers the exit code.
type Func func(ctx context.Context, t *Task) int

// Task is what a Func is given.
type Task struct {
	Ref   sandbox.Ref
	Argv  []string
	Env   []string
	Log   *agent.Spool // standard output
	Err   io.Writer    // standard error
	In    io.Reader    // standard input: Spec.Stdin, or empty
	spec  sandbox.Spec
	root  string
	serve InsideFunc
	gate  http.Handler // where a folder is kept in step with the project: stands before serve
}

// InsideFunc serves one connection to the task service, as podman.Options.Inside does.
type InsideFunc func(ctx context.Context, labels map[string]string, conn net.Conn)

// Dial connects to the task service, as a program in a container does to http://tes.local. It
// fails where the Spec does not offer it or nobody serves it.
func (t *Task) Dial(ctx context.Context) (net.Conn, error) {
	if !t.spec.Inside || t.serve == nil {
		return nil, errors.New("connection refused")
	}
	if t.gate == nil {
		return t.direct(ctx)
	}
	mine, theirs := net.Pipe()
	context.AfterFunc(ctx, func() { mine.Close(); theirs.Close() })
	go func() {
		_ = (&http.Server{Handler: t.gate, ReadHeaderTimeout: time.Minute}).Serve(&single{conn: theirs})
	}()
	return mine, nil
}

// direct connects to whoever serves.
func (t *Task) direct(ctx context.Context) (net.Conn, error) {
	mine, theirs := net.Pipe()
	context.AfterFunc(ctx, func() { mine.Close(); theirs.Close() })
	go func() {
		defer theirs.Close()
		t.serve(ctx, maps.Clone(t.spec.Labels), theirs)
	}()
	return mine, nil
}

// single is a listener with one connection. Serve leaves that to its goroutine and returns.
type single struct{ conn net.Conn }

// Accept implements net.Listener.
func (l *single) Accept() (net.Conn, error) {
	c := l.conn
	if l.conn = nil; c == nil {
		return nil, net.ErrClosed
	}
	return c, nil
}

// Close implements net.Listener.
func (l *single) Close() error { return nil }

// Addr implements net.Listener.
func (l *single) Addr() net.Addr { return &net.UnixAddr{} }

// Path says where a path of the container is in the test: inside a scratch folder or a
// bind. Anything else is a path that does not exist.
func (t *Task) Path(p string) string {
	for _, b := range t.spec.Binds {
		if p == b.Target || strings.HasPrefix(p, b.Target+"/") {
			return filepath.Join(b.Source, strings.TrimPrefix(p, b.Target))
		}
	}
	for _, s := range t.spec.Scratch {
		if p == s.Target || strings.HasPrefix(p, s.Target+"/") {
			return filepath.Join(t.root, s.Name, strings.TrimPrefix(p, s.Target))
		}
	}
	return filepath.Join(t.root, "absent", p)
}

// WriteFile writes one file, with its folders.
func (t *Task) WriteFile(p string, data []byte) error {
	p = t.Path(p)
	if err := os.MkdirAll(filepath.Dir(p), 0o755); err != nil {
		return err
	}
	return os.WriteFile(p, data, 0o644)
}

// Runner is the fake. Make it with New; it is safe for concurrent use.
type Runner struct{ *engine }

// engine is the state that outlives a Runner.
type engine struct {
	mu     sync.Mutex
	dir    string
	clock  func() time.Time
	boxes  map[sandbox.Ref]*box
	images map[string]sandbox.Image
	funcs  map[string]Func
	other  Func
	faults map[string][]fault
	caps   sandbox.Capabilities
	starts map[sandbox.Ref]int
	inside InsideFunc
}

type fault struct {
	err   error
	after bool
}

var (
	_ sandbox.Runner = (*Runner)(nil)
	_ sandbox.Images = (*Runner)(nil)
)

// New makes a fake without images or commands. Close erases its scratch folders.
func New() *Runner {
	var ticks time.Duration
	start := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	return &Runner{&engine{
		boxes: map[sandbox.Ref]*box{}, images: map[string]sandbox.Image{}, funcs: map[string]Func{},
		faults: map[string][]fault{}, starts: map[sandbox.Ref]int{},
		clock: func() time.Time { ticks++; return start.Add(ticks * time.Millisecond) }, // called under mu
		caps: sandbox.Capabilities{Engine: "fake 1", Version: "1", Runtime: "none", Cgroup: "v2",
			Controllers: []string{"cpu", "memory", "pids"}, Storage: "memory", UserNS: "none", Rootless: true, Arch: "amd64"},
	}}
}

// Reopen answers a second Runner on the same containers, as after a restart.
func (r *Runner) Reopen() *Runner { return &Runner{r.engine} }

// Close ends every command and erases the scratch folders.
func (r *Runner) Close() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, b := range r.boxes {
		b.cancel()
	}
	if r.dir == "" {
		return nil
	}
	return os.RemoveAll(r.dir)
}

// SetClock replaces the clock, which otherwise moves one millisecond per look.
func (r *Runner) SetClock(now func() time.Time) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.clock = now
}

// Handle runs fn for every command whose Argv[0] is name; the name "" stands for all
// that have no Func of their own. Without any the command is "not found", exit 127.
func (r *Runner) Handle(name string, fn Func) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if name == "" {
		r.other = fn
		return
	}
	r.funcs[name] = fn
}

// AddImage makes an image known without an archive.
func (r *Runner) AddImage(img sandbox.Image) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.images[img.ID] = img
}

// SetCapabilities changes what the fake says it can do; with Unlimited filled, every
// Status says so too.
func (r *Runner) SetCapabilities(c sandbox.Capabilities) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.caps = c
}

// SetInside says who serves the task service to commands that start from now on.
func (r *Runner) SetInside(fn InsideFunc) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.inside = fn
}

// Fail lets the next call of a method ("Prepare", "Start", …) answer err: before it did
// anything, or, with after, when it has done all of it.
func (r *Runner) Fail(method string, err error, after bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.faults[method] = append(r.faults[method], fault{err, after})
}

// Starts is how often the command of a container was really started: 1 at most, whatever a test does.
func (r *Runner) Starts(ref sandbox.Ref) int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.starts[ref]
}

// faulty runs fn under the fault that waits for the method, if any.
func (r *Runner) faulty(method string, fn func() error) error {
	r.mu.Lock()
	var f fault
	if q := r.faults[method]; len(q) > 0 {
		f, r.faults[method] = q[0], q[1:]
	}
	r.mu.Unlock()
	if f.err != nil && !f.after {
		return f.err
	}
	if err := fn(); err != nil {
		return err
	}
	return f.err
}

func (r *Runner) box(ref sandbox.Ref) (*box, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	b := r.boxes[ref]
	if b == nil {
		return nil, fmt.Errorf("%w: %s", sandbox.ErrAbsent, ref)
	}
	return b, nil
}

// scratch makes the folder of a volume; the caller holds mu.
func (e *engine) scratch(name string) error {
	if e.dir == "" {
		dir, err := os.MkdirTemp("", "tresor-fake-")
		if err != nil {
			return sandbox.Host("scratch", err)
		}
		e.dir = dir
	}
	if err := os.MkdirAll(filepath.Join(e.dir, name), 0o755); err != nil {
		return sandbox.Host("scratch", err)
	}
	return nil
}
