package podman

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"time"

	"tresor/sandbox"
)

// watch keeps the service running. It stays on one system thread, because the kernel ends
// the service (PR_SET_PDEATHSIG) when the thread that started it ends.
func (s *Service) watch(first chan<- error) {
	runtime.LockOSThread()
	defer close(s.stopped)
	delay := 100 * time.Millisecond
	for {
		ended, err := s.launch()
		if err == nil {
			err = s.await(ended)
		}
		if first != nil {
			first <- err
			if err != nil {
				s.end(ended)
				return
			}
			first = nil
		}
		if err == nil {
			delay = 100 * time.Millisecond
			s.attend(ended)
		}
		s.end(ended)
		select {
		case <-s.stop:
			return
		default:
		}
		s.o.Log.Warn("the podman service ended; starting it again", "in", delay.String(), "said", s.words())
		if !pause(context.Background(), s.stop, delay) {
			return
		}
		delay = min(delay*2, 30*time.Second)
	}
}

// launch starts one process; ended closes when it is over.
func (s *Service) launch() (ended <-chan struct{}, err error) {
	sh := s.shim
	sh.Migrate = s.stalePause()
	arg, err := json.Marshal(sh)
	if err != nil {
		return nil, err
	}
	if err := os.Remove(sh.Socket); err != nil && !os.IsNotExist(err) {
		return nil, err
	}
	exe := s.o.Executable
	if exe == "" {
		if exe, err = os.Executable(); err != nil {
			return nil, err
		}
	}
	c := exec.Command(exe, shimName, string(arg))
	c.Env, c.Dir = []string{}, "/"
	c.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Pdeathsig: syscall.SIGTERM} // its own session: Ctrl-C is for us alone
	if sh.Mount {
		c.SysProcAttr.Unshareflags = syscall.CLONE_NEWNS
	}
	r, w, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	c.Stdout, c.Stderr = w, w
	if err := c.Start(); err != nil {
		return nil, errors.Join(err, r.Close(), w.Close())
	}
	w.Close()
	go s.listen(r)
	done := make(chan struct{})
	go func() { _ = c.Wait(); close(done) }()
	s.mu.Lock()
	s.proc = c.Process
	s.mu.Unlock()
	return done, nil
}

// stalePause says whether Podman's pause process, whose namespaces every Podman of the
// account joins, sees a cgroup tree in which containers cannot start.
func (s *Service) stalePause() bool {
	b, err := os.ReadFile(filepath.Join(s.shim.XDG, "libpod", "tmp", "pause.pid"))
	if err != nil || s.cgroups != cgroupsLegacy {
		return false
	}
	mounts, err := mountPoints(strings.TrimSpace(string(b)))
	if err != nil {
		return false // it is gone
	}
	fs := ""
	for _, m := range mounts {
		if m.point == cgroupRoot {
			fs = m.fs
		}
	}
	return fs != "cgroup2"
}

// listen passes on what Podman writes.
func (s *Service) listen(r io.ReadCloser) {
	defer r.Close()
	for sc := bufio.NewScanner(r); sc.Scan(); {
		line := sandbox.Printable(sc.Text())
		s.o.Log.Log(context.Background(), levelOf(line), "podman: "+line)
		s.mu.Lock()
		s.last = append(s.last[max(0, len(s.last)-4):], line)
		s.mu.Unlock()
	}
	_, _ = io.Copy(io.Discard, r) // a line too long to scan must not break Podman's pipe, and so Podman
}

// chatter is what Podman says of every image that it loads.
var chatter = []string{"Getting image source signatures", "Copying blob", "Copying config", "Writing manifest", "Storing signatures"}

func levelOf(line string) slog.Level {
	for _, c := range chatter {
		if strings.HasPrefix(line, c) {
			return slog.LevelDebug
		}
	}
	return slog.LevelInfo
}

func (s *Service) words() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return strings.Join(s.last, " | ")
}

// await waits until the socket answers.
func (s *Service) await(ended <-chan struct{}) error {
	for range 2400 {
		if s.Health(context.Background()) == nil {
			return nil
		}
		select {
		case <-ended:
			time.Sleep(50 * time.Millisecond) // its last words are on their way
			return sandbox.Host("start the podman service", errors.New(s.words()))
		case <-s.stop:
			return context.Canceled
		case <-time.After(50 * time.Millisecond):
		}
	}
	return sandbox.Host("start the podman service", errors.New("it does not answer after two minutes: "+s.words()))
}

// pulse is how often a service that runs is asked for a sign of life, and for how long.
type pulse struct {
	every, limit time.Duration
	misses       int // in a row, after which it is started again
}

// A slow machine is not a hanging one: this gives up after two minutes or more.
var pulses = pulse{every: 15 * time.Second, limit: 30 * time.Second, misses: 4}

// Calls that Podman let run into their time limit, and the time in which they count,
// after which the service is started again: a deadlock in it blocks some calls and not others.
const (
	hungCalls = 3
	hungSpan  = 10 * time.Minute
)

// attend returns when the service has ended, is to stop, or hangs. One that hangs is
// ended and started again like one that died; containers do not notice.
func (s *Service) attend(ended <-chan struct{}) {
	t := time.NewTicker(s.pulse.every)
	defer t.Stop()
	hung, since := 0, time.Time{}
	for missed := 0; missed < s.pulse.misses; {
		select {
		case <-ended:
			return
		case <-s.stop:
			return
		case at := <-s.hung:
			if at.Sub(since) > hungSpan {
				hung, since = 0, at
			}
			if hung++; hung == hungCalls {
				s.o.Log.Warn("podman left calls unanswered; its service is ended", "calls", hung)
				return
			}
		case <-t.C:
			missed++
			if s.health(s.pulse.limit) == nil {
				missed = 0
			}
		}
	}
	s.o.Log.Warn("the podman service does not answer; it is ended", "misses", s.pulse.misses)
}

// Hung tells the service that a call ran into its time limit. It never blocks.
func (s *Service) Hung(at time.Time) {
	select {
	case s.hung <- at:
	default: // enough are known
	}
}

func (s *Service) health(limit time.Duration) error {
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	return s.ping(ctx)
}

// Health asks the service for a sign of life, for 5 seconds at most.
func (s *Service) Health(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	return s.ping(ctx)
}

func (s *Service) ping(ctx context.Context) error {
	var d net.Dialer
	conn, err := d.DialContext(ctx, "unix", s.shim.Socket)
	if err != nil {
		return sandbox.Host("podman service", err)
	}
	defer conn.Close()
	defer context.AfterFunc(ctx, func() { conn.Close() })()
	if _, err := io.WriteString(conn, "GET /_ping HTTP/1.0\r\nHost: d\r\n\r\n"); err != nil {
		return sandbox.Host("podman service", err)
	}
	line, err := bufio.NewReader(conn).ReadString('\n')
	if err == nil && !strings.Contains(line, " 200") {
		err = errors.New(strings.TrimSpace(line))
	}
	return sandbox.Host("podman service", err)
}

// end stops the process and its children, kindly first: Podman answers from a child of
// the process that we started. Monitors of containers are in sessions of their own.
func (s *Service) end(ended <-chan struct{}) {
	s.mu.Lock()
	p := s.proc
	s.proc = nil
	s.mu.Unlock()
	if p == nil || ended == nil {
		return
	}
	group := -p.Pid // it leads its session
	_ = syscall.Kill(group, syscall.SIGTERM)
	for range 100 {
		if syscall.Kill(group, 0) != nil {
			break
		}
		time.Sleep(50 * time.Millisecond)
	}
	_ = syscall.Kill(group, syscall.SIGKILL)
	<-ended
}

// Stop ends the service. Containers run on.
func (s *Service) Stop(ctx context.Context) error {
	s.mu.Lock()
	select {
	case <-s.stop:
	default:
		close(s.stop)
	}
	s.mu.Unlock()
	select {
	case <-s.stopped:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
