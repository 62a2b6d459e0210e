package podman_test

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"tresor/sandbox"
	"tresor/sandbox/podman"
	"tresor/sandbox/sandboxtest"
)

const account = "tresor-sandbox"

var program = flag.String("program", "", "sandboxtest/testbin, built already")

// rig is the one Podman that every test here shares.
var rig struct {
	program string // testbin
	socket  string
	service *podman.Service
	run     string // RunDir
	image   string
	runner  *podman.Runner
}

func TestMain(m *testing.M) {
	flag.Parse()
	os.Exit(run(m))
}

func run(m *testing.M) int {
	dir, err := os.MkdirTemp("", "tresor-podman-test-")
	if err == nil {
		defer os.RemoveAll(dir)
		err = setUp(dir)
	}
	if err != nil {
		fmt.Fprintf(os.Stderr, "these tests need real Podman under an account of its own: run scripts/sandbox-account as root, then this again.\n%v\n", err)
		return 1
	}
	defer tearDown()
	return m.Run()
}

func setUp(dir string) (err error) {
	if err := os.Chmod(dir, 0o755); err != nil {
		return err
	}
	if rig.program = *program; rig.program == "" { // where there is no Go, the program comes along
		if rig.program, err = sandboxtest.BuildProgram(dir); err != nil {
			return err
		}
	}
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	rig.run = filepath.Join(dir, "run")
	log := slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelWarn}))
	if rig.service, err = podman.StartService(ctx, podman.ServiceOptions{Account: account, RunDir: rig.run, Executable: rig.program, Log: log}); err != nil {
		return err
	}
	rig.socket = rig.service.Socket()
	if rig.runner, err = newRunner(); err != nil {
		return err
	}
	body, err := os.ReadFile(rig.program)
	if err != nil {
		return err
	}
	img, err := rig.runner.Load(ctx, bytes.NewReader(sandboxtest.Archive(body, sandboxtest.ImageOptions{Env: []string{"IMAGE=said"}})))
	rig.image = img.ID
	return errors.Join(err, rig.runner.Warm(ctx, img.ID, nil))
}

func tearDown() {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	if err := rig.runner.RemoveImage(ctx, rig.image); err != nil {
		fmt.Fprintln(os.Stderr, "leaving the test image:", err)
	}
	rig.runner.Close()
	rig.service.Stop(ctx)
}

// inside is who serves the task service to the containers of all tests.
var inside atomic.Pointer[sandboxtest.Inside]

func newRunner() (*podman.Runner, error) {
	return podman.New(podman.Options{Socket: rig.socket, AgentBinary: rig.program, RunDir: rig.run, Account: account, AllowUnlimited: true, Now: time.Now,
		Inside: func(ctx context.Context, labels map[string]string, conn net.Conn) {
			if fn := inside.Load(); fn != nil {
				(*fn)(ctx, labels, conn)
			}
		}})
}

// reopen answers a new Runner, as after kill -9 of the program: the old one only loses its sockets.
func reopen(t *testing.T) *podman.Runner {
	t.Helper()
	rig.runner.Close()
	r, err := newRunner()
	if err != nil {
		t.Fatal(err)
	}
	rig.runner = r
	return r
}

// kill ends the first process of a container from outside.
func kill(t *testing.T, ref sandbox.Ref) {
	t.Helper()
	pid, err := podman.HostPID(t.Context(), rig.runner, ref)
	if err == nil {
		err = syscall.Kill(pid, syscall.SIGKILL)
	}
	if err != nil {
		t.Fatal(err)
	}
}

func TestConformance(t *testing.T) {
	sandboxtest.Suite(t, func(t *testing.T) sandboxtest.Rig {
		return sandboxtest.Rig{
			Runner: rig.runner, Images: rig.runner, Image: rig.image, Real: true,
			Kill:   func(ref sandbox.Ref) { kill(t, ref) },
			Reopen: func() sandbox.Runner { return reopen(t) },
			Inside: func(fn sandboxtest.Inside) { inside.Store(&fn) },
		}
	})
}
