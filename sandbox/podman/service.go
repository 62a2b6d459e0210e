package podman

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
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

	pulse   pulse
	hung    chan time.Time // when calls ran into their time limit
	stop    chan struct{}  // closed by Stop
	stopped chan struct{}  // closed when the watcher has ended

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
	s := &Service{o: o, pulse: pulses, hung: make(chan time.Time, hungCalls), stop: make(chan struct{}), stopped: make(chan struct{}), cgroups: detectCgroups()}
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
	return s.nameSocket("tresor-" + hex.EncodeToString(sum[:6]))
}

// nameSocket gives each start a socket of its own and removes those of earlier ones. A
// service that an earlier start left dying removes its socket by name as the last thing
// it does: under one name that would be ours, and nobody could reach our service again.
func (s *Service) nameSocket(stem string) error {
	left, err := filepath.Glob(filepath.Join(s.shim.XDG, stem+"*.sock"))
	if err != nil {
		return err
	}
	for _, f := range left {
		if err := os.Remove(f); err != nil && !os.IsNotExist(err) {
			return err
		}
	}
	s.shim.Socket = filepath.Join(s.shim.XDG, stem+"-"+strings.ToLower(rand.Text()[:8])+".sock")
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
