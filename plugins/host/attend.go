package host

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"tresor/plugins/host/confine"
	"tresor/plugins/protocol"
)

// slotWait is how long a call over the bound waits for another to end.
const slotWait = time.Second

// asking is the host's own call, to see whether the plugin answers. The numbers
// of State are of the calls that others make.
const asking = "describe"

// protect puts the guard around every call to the process.
func (p *Plugin) protect(proc *process) {
	proc.remote.Protect(protocol.Guard{
		Timeout: p.o.Call, Slots: p.o.Slots, Wait: slotWait,
		Begin: func(name string) {
			if name != asking {
				p.count(func(*State) { p.flight(1) })
			}
		},
		End: func(o protocol.Outcome) { p.ended(proc, o) },
		Health: func(h protocol.Health) {
			h.At = p.o.Now()
			p.count(func(s *State) { s.Health = h })
		},
	})
}

func (p *Plugin) count(f func(*State)) {
	p.mu.Lock()
	defer p.mu.Unlock()
	f(&p.state)
}

// flight counts calls in flight, and how long they take. The caller holds mu.
func (p *Plugin) flight(more int64) {
	now := p.o.Now()
	p.asked += time.Duration(p.state.InFlight) * now.Sub(p.since)
	p.since = now
	p.state.InFlight += more
}

// ended counts a call and ends a process that has stopped answering.
func (p *Plugin) ended(proc *process, o protocol.Outcome) {
	p.mu.Lock()
	if o.Name != asking {
		p.state.Calls++
		p.flight(-1)
		if failed(o) {
			p.state.Failures++
		}
	}
	if o.Missed {
		p.state.Missed++
		p.row++
	} else if o.Err == nil {
		p.row = 0
	}
	row := p.row
	p.mu.Unlock()
	if row >= p.o.Misses {
		proc.remote.Close(fmt.Sprintf("the plugin did not answer %d calls in a row within %s each", row, p.o.Call))
	}
}

// failed reports whether a call's outcome is the plugin's fault: that a thing is
// not found or not allowed is an answer.
func failed(o protocol.Outcome) bool {
	var e *protocol.Error
	if !errors.As(o.Err, &e) {
		return o.Err != nil
	}
	return e.Code == protocol.CodeUnavailable || e.Code == protocol.CodeInternal || e.Code == protocol.CodeInvalid || o.Missed
}

// attend watches a running process: it returns when it has ended, no longer
// answers, or takes more than a plugin may.
func (p *Plugin) attend(ctx context.Context, proc *process) error {
	tick := time.NewTicker(p.o.Check)
	defer tick.Stop()
	m := &meter{}
	p.overtime(proc, m)
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-proc.runner.exited:
			return errors.New("the process ended")
		case <-proc.remote.Done():
			return p.why(proc)
		case <-tick.C:
			over := overuse(proc.runner.cmd.Process.Pid, proc.runner.dir)
			if over == "" {
				over = p.overtime(proc, m)
			}
			if over != "" {
				return greed(over)
			}
			go func() { _, _ = proc.remote.Describe(ctx) }() // the guard counts what comes of it
		}
	}
}

// greed is why a process was ended: it took more than it may.
type greed string

func (g greed) Error() string { return string(g) }

// overtime says what the process uses of the processors that it may not.
func (p *Plugin) overtime(proc *process, m *meter) string {
	used, ok := processorTime(proc.runner.cmd.Process.Pid)
	if !ok {
		return ""
	}
	p.mu.Lock()
	p.flight(0)
	now := look{at: p.since, used: used, asked: p.asked}
	p.mu.Unlock()
	return m.over(now, p.o.Processor, p.o.Span)
}

// why says why the connection is gone: most often because the process is.
func (p *Plugin) why(proc *process) error {
	err := proc.remote.Err()
	select {
	case <-proc.runner.exited:
		return errors.New("the process ended")
	case <-time.After(200 * time.Millisecond):
		return shorter(err)
	}
}

// Bounds on the plugin's folder, which the kernel has no limit for.
const (
	maxFolder = 64 << 20 // bytes
	maxNames  = 1000
)

// overuse says what a process takes that it may not. A bound on threads is the
// kernel's only where the plugin has an account of its own.
func overuse(pid int, dir string) string {
	if b, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/status"); err == nil {
		if _, rest, ok := strings.Cut(string(b), "\nThreads:"); ok {
			line, _, _ := strings.Cut(rest, "\n")
			if n, _ := strconv.Atoi(strings.TrimSpace(line)); n > confine.MaxThreads {
				return fmt.Sprintf("the plugin has %d threads, at most %d are allowed", n, confine.MaxThreads)
			}
		}
	}
	names, size := 0, int64(0)
	_ = filepath.WalkDir(dir, func(_ string, d os.DirEntry, err error) error {
		if err != nil {
			return nil // it went away between the two looks
		}
		names++
		if st, err := d.Info(); err == nil && st.Mode().IsRegular() {
			size += st.Size()
		}
		if names > maxNames || size > maxFolder {
			return filepath.SkipAll
		}
		return nil
	})
	if names > maxNames || size > maxFolder {
		return fmt.Sprintf("the plugin keeps more in its folder than it may (%d names, %d MB)", maxNames, maxFolder>>20)
	}
	return ""
}
