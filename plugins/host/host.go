// Package host starts plugins, watches them and starts them again.
//
// Built-in plugins are this program started as `tresor plugin NAME`; external
// ones are files whose SHA-256 an operator has trusted, checked before every
// start. Both meet the same launch code: a shim that confines the process and
// tries whether that holds (package confine), an empty environment, a working
// directory of their own, no inherited files, mutual TLS made for this one process,
// death with the host, a deadline on every call, a bound on calls at one time,
// back-off between starts, and a restart for a plugin that does not answer. The
// package decides nothing about what a plugin may see; the caller's protocol.Host
// does. A crash of the host leaves no process, only an empty folder that the next
// start removes.
package host

import (
	"context"
	"errors"
	"log/slog"
	"math/rand/v2"
	"sync"
	"time"

	"tresor/plugins/host/confine"
	"tresor/plugins/protocol"
)

// Confined is what holds for a plugin's process.
type Confined = confine.Report

// State is what the host knows of a plugin.
type State struct {
	Name        string               `json:"name"`
	Running     bool                 `json:"running"`
	Starts      int                  `json:"starts"` // processes that came up
	Since       time.Time            `json:"since"`  // when the last of them did
	LastError   string               `json:"last_error,omitempty"`
	Description protocol.Description `json:"description"`
	Confined    Confined             `json:"confined"`
	Calls       int64                `json:"calls"`     // that ended, of all processes; Run and Describe are not counted
	Failures    int64                `json:"failures"`  // of these: not answered, or answered with an error that is not the caller's
	Missed      int64                `json:"missed"`    // calls that were not answered in time, Describe included
	InFlight    int64                `json:"in_flight"` // calls now
	Health      protocol.Health      `json:"health,omitzero"`
}

// Options configure one plugin.
type Options struct {
	Name       string
	Command    Command       // what to start
	Dir        string        // the plugin's folder, made by the caller; each process has a folder in it
	Exe        string        // this program, which becomes the shim: ShimMain has to answer to its first argument
	Unconfined bool          // start without the shim; for tests and for finding faults
	Memory     int64         // bytes (default DefaultMemory; negative: no bound)
	Log        *slog.Logger  // the plugin's own log lines, capped
	Backoff    time.Duration // first pause between starts (default 500 ms, doubles to 1 min)
	Startup    time.Duration // how long a process may take to come up (default 1 min: it bounds a hang, not a slow machine)
	Call       time.Duration // deadline of one call, Run excepted (default 30 s)
	Slots      int           // calls at one time (default 64); one more waits a second and is then refused with CodeExhausted
	Misses     int           // calls in a row without an answer after which the process is started again (default 3)
	Check      time.Duration // how often the host asks whether the plugin answers, and what it uses (default 10 s)
	Processor  time.Duration // processor time in each Span, beside the time of its calls, after which the process is started again (default 30 s)
	Span       time.Duration // (default 1 min)
	Now        func() time.Time
}

func (o Options) filled() Options {
	def := func(d *time.Duration, v time.Duration) {
		if *d <= 0 {
			*d = v
		}
	}
	def(&o.Backoff, 500*time.Millisecond)
	def(&o.Startup, time.Minute)
	def(&o.Call, 30*time.Second)
	def(&o.Check, 10*time.Second)
	def(&o.Processor, 30*time.Second)
	def(&o.Span, time.Minute)
	if o.Slots <= 0 {
		o.Slots = 64
	}
	if o.Misses <= 0 {
		o.Misses = 3
	}
	if o.Memory == 0 {
		o.Memory = DefaultMemory
	}
	return o
}

// Plugin is one watched plugin. It is safe for use by many goroutines.
type Plugin struct {
	o      Options
	mu     sync.Mutex
	state  State
	row    int           // missed calls in a row
	greedy bool          // the last process ended because of what it took
	asked  time.Duration // that calls took, all together, up to since
	since  time.Time     // when a call last began or ended
	proc   *process
	ready  chan struct{} // closed while a process is up; replaced when it ends
	cancel context.CancelFunc
	done   chan struct{}
}

// Start launches the plugin and watches it until Stop. It returns at once; Adapter waits.
func Start(ctx context.Context, o Options) *Plugin {
	ctx, cancel := context.WithCancel(ctx)
	p := &Plugin{o: o.filled(), state: State{Name: o.Name}, ready: make(chan struct{}), cancel: cancel, done: make(chan struct{})}
	go p.watch(ctx)
	return p
}

// Stop ends the process and the watching.
func (p *Plugin) Stop() {
	p.cancel()
	<-p.done
}

// State returns what the host knows now.
func (p *Plugin) State() State {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.state
}

// ErrDown says that the plugin did not come up before the context ended.
var ErrDown = errors.New("the plugin is not running")

// Adapter waits for the plugin and returns its adapter, which guards every call
// with the deadline and the bound of Options. It is of one process: ask again for
// the next request.
func (p *Plugin) Adapter(ctx context.Context) (*protocol.Remote, error) {
	for {
		p.mu.Lock()
		proc, ready := p.proc, p.ready
		p.mu.Unlock()
		if proc != nil {
			return proc.remote, nil
		}
		select {
		case <-ready:
		case <-p.done:
			return nil, ErrDown
		case <-ctx.Done():
			return nil, errors.Join(ErrDown, ctx.Err())
		}
	}
}

// watch keeps one process running.
func (p *Plugin) watch(ctx context.Context) {
	defer close(p.done)
	pause := p.o.Backoff
	for ctx.Err() == nil {
		began := p.o.Now()
		err := p.once(ctx)
		if ctx.Err() != nil {
			return
		}
		p.note(err)
		if p.o.Now().Sub(began) > time.Minute && !errors.As(err, new(greed)) {
			pause = p.o.Backoff // it had run well; do not punish it for old failures
		}
		wait := pause/2 + rand.N(pause)
		p.o.Log.Warn("plugin ended; starting it again", "plugin", p.o.Name, "after", wait.Round(time.Millisecond), "error", err)
		select {
		case <-ctx.Done():
			return
		case <-time.After(wait):
		}
		pause = min(2*pause, time.Minute)
	}
}

// once runs one process from launch to its end.
func (p *Plugin) once(ctx context.Context) error {
	proc, err := launch(ctx, p.o)
	if err != nil {
		return err
	}
	defer proc.kill()
	p.protect(proc)
	desc, err := proc.remote.Describe(ctx)
	if err == nil {
		err = protocol.CheckDescription(desc)
	}
	if err != nil {
		return err
	}
	proc.remote.LookAhead(desc.Lookups)
	p.up(proc, desc)
	defer p.down()
	return p.attend(ctx, proc)
}

func (p *Plugin) up(proc *process, d protocol.Description) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.proc, p.row = proc, 0
	p.state.Running, p.state.Starts, p.state.Since = true, p.state.Starts+1, p.o.Now()
	p.state.Description, p.state.Confined = d, proc.runner.report
	if !p.greedy {
		p.state.LastError = ""
	}
	close(p.ready)
}

func (p *Plugin) down() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.proc, p.ready = nil, make(chan struct{})
	p.state.Running = false
}

// note keeps why a process ended. What it took that it may not stands on its page also
// while it runs again.
func (p *Plugin) note(err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if err == nil {
		return
	}
	p.state.LastError = err.Error()
	if p.greedy = errors.As(err, new(greed)); p.greedy {
		p.state.Health = protocol.Health{Detail: p.state.LastError, At: p.o.Now()}
	}
}
