// Package host starts plugins, watches them and starts them again.
//
// Built-in plugins are this program started as `tresor plugin NAME`; external
// ones are files whose SHA-256 an operator has trusted. Both meet the same
// launch code: an empty environment, a working directory of their own, no
// inherited files, mutual TLS made for this one process, death with the host
// (Pdeathsig), deadlines on every call and back-off between starts. The package
// decides nothing about what a plugin may see; the caller's protocol.Host does.
package host

import (
	"context"
	"errors"
	"log/slog"
	"math/rand/v2"
	"sync"
	"time"

	"tresor/plugins/protocol"
)

// State is what the host knows of a plugin.
type State struct {
	Name        string               `json:"name"`
	Running     bool                 `json:"running"`
	Starts      int                  `json:"starts"`
	Since       time.Time            `json:"since"`
	LastError   string               `json:"last_error,omitempty"`
	Description protocol.Description `json:"description"`
}

// Options configure one plugin.
type Options struct {
	Name    string
	Command Command       // what to start
	Dir     string        // its working directory, made by the caller, empty
	Log     *slog.Logger  // the plugin's own log lines, capped
	Backoff time.Duration // first pause between starts (default 500 ms, doubles to 1 min)
	Call    time.Duration // deadline of one call (default 30 s)
	Now     func() time.Time
}

// Plugin is one watched plugin.
type Plugin struct {
	o      Options
	mu     sync.Mutex
	state  State
	proc   *process
	ready  chan struct{} // closed while a process is up; replaced when it ends
	cancel context.CancelFunc
	done   chan struct{}
}

// Start launches the plugin and watches it until Stop. It returns at once; Adapter waits.
func Start(ctx context.Context, o Options) *Plugin {
	if o.Backoff <= 0 {
		o.Backoff = 500 * time.Millisecond
	}
	if o.Call <= 0 {
		o.Call = 30 * time.Second
	}
	ctx, cancel := context.WithCancel(ctx)
	p := &Plugin{o: o, state: State{Name: o.Name}, ready: make(chan struct{}), cancel: cancel, done: make(chan struct{})}
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

// Adapter waits for the plugin and returns its adapter with a deadline for calls.
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
		if p.o.Now().Sub(began) > time.Minute {
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
	call, cancel := context.WithTimeout(ctx, p.o.Call)
	desc, err := proc.remote.Describe(call)
	cancel()
	if err != nil {
		return err
	}
	p.up(proc, desc)
	defer p.down()
	return proc.wait(ctx)
}

func (p *Plugin) up(proc *process, d protocol.Description) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.proc = proc
	p.state.Running, p.state.Starts, p.state.Since = true, p.state.Starts+1, p.o.Now()
	p.state.Description, p.state.LastError = d, ""
	close(p.ready)
}

func (p *Plugin) down() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.proc, p.ready = nil, make(chan struct{})
	p.state.Running = false
}

func (p *Plugin) note(err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if err != nil {
		p.state.LastError = err.Error()
	}
}
