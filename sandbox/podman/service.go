package podman

import (
	"bufio"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"tresor/sandbox"
)

// ServiceOptions is what StartService needs.
type ServiceOptions struct {
	Account    string       // who runs Podman when we are root; otherwise we do
	RunDir     string       // tells this appliance's socket from another's
	Executable string       // a program that runs ShimMain for "podman-shim"; empty: this one
	Log        *slog.Logger // nil discards
}

// Service is a `podman system service` that is kept running. Containers do not depend on
// it: they survive its end and ours.
type Service struct {
	o       ServiceOptions
	account account
	shim    shim
	cgroups cgroups
	podman  string

	stop    chan struct{} // closed by Stop
	stopped chan struct{} // closed when the watcher has ended

	mu   sync.Mutex
	proc *os.Process
	last []string // latest lines that Podman wrote
}

// StartService launches the service and waits until it answers. *sandbox.ErrUnfit says
// what this host lacks: Podman, the account, its ranges, a usable cgroup tree.
func StartService(ctx context.Context, o ServiceOptions) (*Service, error) {
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	s := &Service{o: o, stop: make(chan struct{}), stopped: make(chan struct{}), cgroups: detectCgroups()}
	if err := s.prepare(ctx); err != nil {
		return nil, err
	}
	first := make(chan error, 1)
	go s.watch(first)
	select {
	case err := <-first:
		if err != nil {
			return nil, err
		}
	case <-ctx.Done():
		return nil, errors.Join(ctx.Err(), s.Stop(context.WithoutCancel(ctx)))
	}
	return s, nil
}

// Socket is where Options.Socket should point.
func (s *Service) Socket() string { return s.shim.Socket }

// Note is a sentence for the start-up banner where something is less than it could be, or empty.
func (s *Service) Note() string {
	if s.account.self {
		return fmt.Sprintf("containers run under the account of this program (%s): one account owns the keys and the containers. Run as root for two", s.account.name)
	}
	return ""
}

func (s *Service) prepare(ctx context.Context) (err error) {
	if s.podman, err = findPodman(); err != nil {
		return err
	}
	if s.account, err = findAccount(s.o.Account); err != nil {
		return err
	}
	if err := s.account.checkRanges(); err != nil {
		return err
	}
	if err := s.account.ensureStorage(); err != nil {
		return err
	}
	if s.cgroups == cgroupsLegacy && s.account.self {
		return sandbox.Unfit("boot with systemd.unified_cgroup_hierarchy=1, or run as root", "this host has no unified cgroup v2 tree, without which containers cannot start")
	}
	s.shim = shim{Podman: s.podman, Home: s.account.home, User: s.account.name, UID: s.account.uid, GID: s.account.gid, Mount: s.cgroups == cgroupsLegacy}
	if err := s.runtimeDir(ctx); err != nil {
		return err
	}
	abs, err := filepath.Abs(s.o.RunDir)
	if err != nil {
		return err
	}
	sum := sha256.Sum256([]byte(abs))
	s.shim.Socket = filepath.Join(s.shim.XDG, "tresor-"+hex.EncodeToString(sum[:6])+".sock")
	return nil
}

// runtimeDir finds or makes the account's XDG_RUNTIME_DIR. With systemd it is the one of
// the account's user manager, which is what makes limits bind.
func (s *Service) runtimeDir(ctx context.Context) error {
	user := fmt.Sprintf("/run/user/%d", s.account.uid)
	if s.cgroups == cgroupsSystemd {
		if err := s.linger(ctx, user); err != nil {
			return err
		}
		s.shim.XDG, s.shim.Bus = user, "unix:path="+user+"/bus"
		return nil
	}
	if s.account.self {
		s.shim.XDG = user
		if _, err := os.Stat(user); err != nil {
			s.shim.XDG = filepath.Join(os.TempDir(), "tresor-run-"+strconv.Itoa(s.account.uid))
		}
		return os.MkdirAll(s.shim.XDG, 0o700)
	}
	s.shim.XDG = "/run/" + s.account.name
	if err := s.account.own(s.shim.XDG, os.Mkdir(s.shim.XDG, 0o700)); err != nil {
		return err
	}
	return nil
}

// linger asks systemd for the account's user manager and waits for its bus.
func (s *Service) linger(ctx context.Context, dir string) error {
	if ready(dir + "/bus") {
		return nil
	}
	if out, err := exec.CommandContext(ctx, "loginctl", "enable-linger", s.account.name).CombinedOutput(); err != nil {
		return sandbox.Unfit("run `loginctl enable-linger "+s.account.name+"` as root",
			"systemd does not keep a user manager for %s, without which limits do not bind: %s", s.account.name, strings.TrimSpace(string(out)))
	}
	for range 150 {
		if ready(dir + "/bus") {
			return nil
		}
		if !pause(ctx, nil, 200*time.Millisecond) {
			return ctx.Err()
		}
	}
	return sandbox.Unfit("install the package dbus-user-session and run this again", "the user manager of %s has no message bus", s.account.name)
}

func ready(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

// pause waits; false when ctx or stop ended the wait.
func pause(ctx context.Context, stop <-chan struct{}, d time.Duration) bool {
	select {
	case <-time.After(d):
		return true
	case <-stop:
		return false
	case <-ctx.Done():
		return false
	}
}

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
		s.o.Log.Info("podman: " + line)
		s.mu.Lock()
		s.last = append(s.last[max(0, len(s.last)-4):], line)
		s.mu.Unlock()
	}
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

// end stops the process, kindly first.
func (s *Service) end(ended <-chan struct{}) {
	s.mu.Lock()
	p := s.proc
	s.proc = nil
	s.mu.Unlock()
	if p == nil || ended == nil {
		return
	}
	_ = p.Signal(syscall.SIGTERM)
	select {
	case <-ended:
	case <-time.After(5 * time.Second):
		_ = p.Kill()
		<-ended
	}
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
