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
			select {
			case <-ended:
			case <-s.stop:
			}
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
	for range 600 {
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
	return sandbox.Host("start the podman service", errors.New("it does not answer after 30 s: "+s.words()))
}

// Health asks the service for a sign of life.
func (s *Service) Health(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
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
