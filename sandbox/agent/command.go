package agent

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"tresor/sandbox"
)

// command is the researcher's program: started once, in its own session, and everything it leaves behind.
type command struct {
	config  Config
	spool   *Spool
	door    *door
	project *Project // nil: none is asked for
	streams *Streams
	over    chan struct{}   // closed when the command and all its children are gone and the log is complete
	ctx     context.Context // ends when the command is to end before it has started
	cancel  context.CancelFunc

	mu       sync.Mutex
	pid      int // 0 before the start and after the end
	code     int
	launched bool
	timedOut bool
	unplaced bool
	killer   *time.Timer
	drained  sync.WaitGroup // done when the output pipes are at their end
}

func newCommand(c Config, s *Spool) *command {
	ctx, cancel := context.WithCancel(context.Background())
	return &command{config: c, spool: s, door: newDoor(), over: make(chan struct{}), ctx: ctx, cancel: cancel}
}

// skip is for the collector, which runs no command.
func (c *command) skip() { close(c.over) }

// start puts the files in place and starts the program. The wall clock covers both.
func (c *command) start() {
	wall := time.AfterFunc(c.config.Wall, func() {
		c.mu.Lock()
		c.timedOut = c.pid != 0 || !c.launched && !c.ended()
		c.mu.Unlock()
		c.stop(stopGrace)
	})
	go func() { <-c.over; wall.Stop() }()
	err := c.openProject() // first, so that an input may take a file's place
	if err == nil {
		err = c.place()
	}
	if err != nil {
		c.misplaced(err)
		return
	}
	c.openDoor()
	path, err := c.find()
	if err == nil {
		err = c.launch(path)
	}
	if err != nil {
		c.failed(err)
	}
}

// openDoor offers the task service. Without it the command runs all the same, and the log says so.
func (c *command) openDoor() {
	if !c.config.Inside {
		return
	}
	var gate http.Handler
	if c.project != nil {
		gate = Gate(c.door.dial, c.project)
	}
	url, err := c.door.open(insideAddr, gate)
	if err != nil {
		c.spool.Say("the task service is not at hand: %s", reason(err))
		return
	}
	c.config.Env = append(c.config.Env, InsideEnv+"="+url)
}

// stoppedEarly is the error of a command that was to end before it had started.
var stoppedEarly = context.Canceled

// misplaced ends a command whose files could not be put in place.
func (c *command) misplaced(err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if errors.Is(err, stoppedEarly) {
		c.stoppedBefore()
		return
	}
	c.code, c.unplaced = sandbox.ExitUnplaced, true
	c.spool.Say("%s", err)
	c.finish()
}

// stoppedBefore ends a command that was stopped before it had started; the caller holds mu.
func (c *command) stoppedBefore() {
	c.code = 128 + int(unix.SIGTERM)
	if c.timedOut {
		c.spool.Say("stopped after the wall time limit of %v, before the command started", c.config.Wall)
	} else {
		c.spool.Say("stopped before the command started")
	}
	c.finish()
}

// finish is the end of everything: nothing is written any more, and the log is complete.
func (c *command) finish() {
	c.door.close()
	c.streams.Close()
	c.spool.End()
	close(c.over)
}

// failed ends a command that never ran, with the codes that shells use.
func (c *command) failed(err error) {
	name := sandbox.Printable(c.config.Argv[0])
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case errors.Is(err, stoppedEarly):
		c.stoppedBefore()
		return
	case errors.Is(err, fs.ErrNotExist) && !c.hasWorkdir():
		c.code = 126
		c.spool.Say("the working directory %s is not in the image", sandbox.Printable(c.config.Workdir))
	case errors.Is(err, fs.ErrNotExist):
		c.code = 127
		c.spool.Say("command not found: %s. Check the spelling and that the image holds it", name)
	default:
		c.code = 126
		c.spool.Say("cannot run %s: %s", name, reason(err))
	}
	c.finish()
}

func (c *command) hasWorkdir() bool {
	st, err := os.Stat(c.config.Workdir)
	return err == nil && st.IsDir()
}

// find looks for Argv[0] along the PATH of the command, not of the agent.
func (c *command) find() (string, error) {
	name := c.config.Argv[0]
	if strings.Contains(name, "/") {
		return name, nil
	}
	var denied error
	for _, dir := range filepath.SplitList(lookup(c.config.Env, "PATH")) {
		p := filepath.Join(dir, name)
		st, err := os.Stat(p)
		if err == nil && st.Mode().IsRegular() {
			if st.Mode()&0o111 != 0 {
				return p, nil
			}
			denied = &fs.PathError{Op: "exec", Path: p, Err: unix.EACCES}
		}
	}
	if denied != nil {
		return "", denied
	}
	return "", fs.ErrNotExist
}

func lookup(env []string, name string) string {
	for _, e := range env {
		if v, ok := strings.CutPrefix(e, name+"="); ok {
			return v
		}
	}
	return ""
}

func (c *command) launch(path string) error {
	in := c.streams.In
	if in == nil {
		null, err := os.Open(os.DevNull)
		if err != nil {
			return err
		}
		defer null.Close()
		in = null
	}
	out, outEnd, err := os.Pipe()
	if err != nil {
		return err
	}
	defer outEnd.Close()
	errs, errsEnd, err := os.Pipe()
	if err != nil {
		out.Close()
		return err
	}
	defer errsEnd.Close()
	// The lock keeps reap from looking before the pid is known.
	c.mu.Lock()
	defer c.mu.Unlock()
	if err = c.ctx.Err(); err != nil {
		out.Close()
		errs.Close()
		return err
	}
	p, err := os.StartProcess(path, c.config.Argv, &os.ProcAttr{
		Dir: c.config.Workdir, Env: c.config.Env, Files: []*os.File{in, outEnd, errsEnd}, Sys: &syscall.SysProcAttr{Setsid: true},
	})
	if err != nil {
		out.Close()
		errs.Close()
		return err
	}
	c.pid, c.launched = p.Pid, true
	// Under memory pressure the kernel should end the command and spare the agent, which still has outputs to hand over.
	_ = os.WriteFile("/proc/"+strconv.Itoa(p.Pid)+"/oom_score_adj", []byte("900"), 0)
	_ = p.Release()
	c.drained.Go(func() { drain(c.spool, out) })
	c.drained.Go(func() { drain(c.spool.Errors(), errs) })
	return nil
}

// drain reads one stream to its end.
func drain(w io.Writer, r *os.File) {
	defer r.Close()
	_, _ = io.CopyBuffer(onlyWriter{w}, onlyReader{r}, make([]byte, 128<<10))
}

type onlyWriter struct{ io.Writer }
type onlyReader struct{ io.Reader }

// reap collects every process that has ended: the command and, as first process, all orphans.
func (c *command) reap() {
	for {
		var ws unix.WaitStatus
		pid, err := unix.Wait4(-1, &ws, unix.WNOHANG, nil)
		if err == unix.EINTR {
			continue
		}
		if err != nil || pid <= 0 {
			return
		}
		c.mu.Lock()
		if pid == c.pid {
			c.pid, c.code = 0, codeOf(ws)
			if c.killer != nil {
				c.killer.Stop()
			}
			go c.tidy(pid)
		}
		c.mu.Unlock()
	}
}

func codeOf(ws unix.WaitStatus) int {
	if ws.Signaled() {
		return 128 + int(ws.Signal())
	}
	return ws.ExitStatus()
}

// tidy ends whatever the command left running, so that its files are still when they are collected.
func (c *command) tidy(pid int) {
	killAll(pid)
	drained := make(chan struct{})
	go func() { c.drained.Wait(); close(drained) }()
	select {
	case <-drained:
	case <-time.After(10 * time.Second): // something unkillable holds the pipe; the log is what we have
	}
	if c.timedOutNow() {
		c.spool.Say("stopped after the wall time limit of %v", c.config.Wall)
	}
	c.leaveProject()
	c.finish()
}

func killAll(session int) {
	if os.Getpid() == 1 {
		_ = unix.Kill(-1, unix.SIGKILL) // everyone but us
		return
	}
	_ = unix.Kill(-session, unix.SIGKILL)
}

func (c *command) timedOutNow() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.timedOut
}

// stop sends TERM to the command's session leader group and, after grace, KILL to everything.
func (c *command) stop(grace time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.cancel()
	if c.pid == 0 {
		return
	}
	pid := c.pid
	_ = unix.Kill(-pid, unix.SIGTERM)
	if c.killer != nil {
		c.killer.Stop()
	}
	c.killer = time.AfterFunc(grace, func() { killAll(pid) })
}

func (c *command) ended() bool {
	select {
	case <-c.over:
		return true
	default:
		return false
	}
}

func (c *command) exitCode() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.code
}
