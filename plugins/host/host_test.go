package host_test

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"tresor/plugins/builtin"
	"tresor/plugins/host"
	"tresor/plugins/host/confine"
	"tresor/plugins/protocol"
	"tresor/plugins/protocoltest"
)

// TestMain lets the test binary be the plugin, as the program itself is.
func TestMain(m *testing.M) {
	if len(os.Args) > 2 && os.Args[1] == confine.Word {
		os.Exit(host.ShimMain(os.Args[2:]))
	}
	if len(os.Args) > 2 && os.Args[1] == "plugin" {
		switch os.Args[2] {
		case "spy":
			protocol.Serve(spy{})
		case "orphan-host":
			orphanHost()
		default:
			os.Exit(builtin.Main(os.Args[2:], os.Stderr))
		}
		os.Exit(0)
	}
	code := m.Run()
	_ = os.RemoveAll(hostileDir)
	os.Exit(code)
}

// spy reports what its process was given, tries a panic and never answers on request.
type spy struct{}

func (spy) Describe(context.Context) (protocol.Description, error) {
	return protocol.Description{Name: "spy", Title: "Spy", Version: "1", Protocol: "none",
		Lookups: []protocol.Lookup{{Method: "GET", Path: "/jobs/{id}", Views: map[string]protocol.View{"": protocol.Basic}}}}, nil
}

func (spy) TestConnection(context.Context, protocol.Settings, protocol.Host) ([]protocol.Step, error) {
	return []protocol.Step{{Name: "x", OK: true, Detail: "y"}}, nil
}

func (spy) ServeRequest(ctx context.Context, r protocol.Request, h protocol.Host) (protocol.Response, error) {
	switch r.Path {
	case "/env":
		return protocol.Response{Status: 200, Body: []byte(strings.Join(os.Environ(), "\n"))}, nil
	case "/files":
		names, err := filepath.Glob("/proc/self/fd/*")
		var out []string
		for _, n := range names {
			if to, err := os.Readlink(n); err == nil {
				out = append(out, to)
			}
		}
		return protocol.Response{Status: 200, Body: []byte(strings.Join(out, "\n"))}, err
	case "/pid":
		return protocol.Response{Status: 200, Body: []byte(strconv.Itoa(os.Getpid()))}, nil
	case "/host", "/jobs/job-1":
		s, err := h.State(ctx, "job-1", protocol.Basic)
		return protocol.Response{Status: 200, Body: s.Document}, err
	case "/panic":
		panic("on purpose")
	case "/die":
		os.Exit(3)
	case "/hang":
		<-ctx.Done()
		return protocol.Response{}, ctx.Err()
	case "/huge":
		return protocol.Response{Status: 200, Body: make([]byte, protocol.MaxMessage+1)}, nil
	case "/secret-error":
		return protocol.Response{}, errors.New("password=hunter2")
	}
	return protocol.Response{Status: 404}, nil
}

func quiet() *slog.Logger { return slog.New(slog.NewTextHandler(io.Discard, nil)) }

func start(t testing.TB, c host.Command) *host.Plugin {
	t.Helper()
	p := host.Start(context.Background(), host.Options{Name: "test", Command: c, Dir: t.TempDir(), Exe: os.Args[0], Log: quiet(), Backoff: 20 * time.Millisecond, Now: time.Now})
	t.Cleanup(p.Stop)
	return p
}

func self(name string) host.Command { return host.Builtin(os.Args[0], name) }

func adapter(t testing.TB, p *host.Plugin) *protocol.Remote {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	a, err := p.Adapter(ctx)
	if err != nil {
		t.Fatalf("%v (state %+v)", err, p.State())
	}
	return a
}

func hash(t *testing.T, file string) string {
	t.Helper()
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:])
}

func TestBuiltinConforms(t *testing.T) {
	p := start(t, self("loopback"))
	protocoltest.Suite(t, func(t *testing.T) protocol.Adapter { return adapter(t, p) })
}

func TestProcessIsBare(t *testing.T) {
	t.Setenv("TRESOR_SECRET_FOR_TEST", "canary")
	canary, err := os.Create(filepath.Join(t.TempDir(), "canary-file"))
	if err != nil {
		t.Fatal(err)
	}
	defer canary.Close()
	p := start(t, self("spy"))
	for _, c := range []struct{ path, never string }{{"/env", "canary"}, {"/env", "HOME="}, {"/files", "canary-file"}, {"/files", ".db"}} {
		resp, err := adapter(t, p).ServeRequest(context.Background(), protocol.Request{Path: c.path}, &protocoltest.Host{})
		if err != nil || resp.Status != 200 || strings.Contains(string(resp.Body), c.never) {
			t.Errorf("%s: status %d, error %v, %q appears: %s", c.path, resp.Status, err, c.never, resp.Body)
		}
	}
}

func TestCallsThatGoWrong(t *testing.T) {
	p := start(t, self("spy"))
	for _, c := range []struct{ name, path, code, never string }{
		{"a panic ends only its call", "/panic", protocol.CodeInternal, "on purpose"},
		{"an answer over the cap", "/huge", protocol.CodeExhausted, ""},
		{"an error's text stays inside", "/secret-error", protocol.CodeInternal, "hunter2"},
		{"a call that never answers meets its deadline", "/hang", protocol.CodeUnavailable, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			limit := time.Minute
			if c.path == "/hang" {
				limit = 500 * time.Millisecond
			}
			ctx, cancel := context.WithTimeout(context.Background(), limit)
			defer cancel()
			_, err := adapter(t, p).ServeRequest(ctx, protocol.Request{Path: c.path}, &protocoltest.Host{})
			var pe *protocol.Error
			if !errors.As(err, &pe) || pe.Code != c.code || (c.never != "" && strings.Contains(pe.Text, c.never)) {
				t.Errorf("error %v, want code %s and never %q", err, c.code, c.never)
			}
		})
	}
	if _, err := adapter(t, p).Describe(context.Background()); err != nil {
		t.Errorf("the plugin did not survive: %v", err)
	}
	if err := adapter(t, p).Run(context.Background(), nil, &protocoltest.Host{}); !strings.Contains(err.Error(), protocol.CodeUnsupported) {
		t.Errorf("a part that it lacks: %v", err)
	}
}

func TestRestartsAfterADeath(t *testing.T) {
	p := start(t, self("spy"))
	_, _ = adapter(t, p).ServeRequest(context.Background(), protocol.Request{Path: "/die"}, &protocoltest.Host{})
	deadline := time.Now().Add(2 * time.Minute)
	for p.State().Starts < 2 {
		if time.Now().After(deadline) {
			t.Fatalf("not started again: %+v", p.State())
		}
		time.Sleep(20 * time.Millisecond)
	}
	if _, err := adapter(t, p).Describe(context.Background()); err != nil {
		t.Error(err)
	}
}

func TestNotAPlugin(t *testing.T) {
	p := start(t, host.Command{Path: "/bin/true"})
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	if _, err := p.Adapter(ctx); !errors.Is(err, host.ErrDown) {
		t.Errorf("error %v, want ErrDown", err)
	}
	for deadline := time.Now().Add(time.Minute); p.State().LastError == "" && time.Now().Before(deadline); time.Sleep(10 * time.Millisecond) {
	}
	if s := p.State(); s.Running || s.LastError == "" {
		t.Errorf("state %+v: it has to say why it is down", s)
	}
}

// orphanHost is a host that is killed: it prints its plugin's pid and waits.
func orphanHost() {
	dir, _ := os.MkdirTemp("", "orphan")
	p := host.Start(context.Background(), host.Options{Name: "o", Command: self("spy"), Dir: dir, Exe: os.Args[0], Log: quiet(), Now: time.Now})
	a, err := p.Adapter(context.Background())
	if err != nil {
		os.Exit(1)
	}
	resp, _ := a.ServeRequest(context.Background(), protocol.Request{Path: "/pid"}, &protocoltest.Host{})
	_, _ = os.Stdout.Write(append(resp.Body, '\n'))
	select {}
}

func TestPluginDiesWithItsHost(t *testing.T) {
	cmd := exec.Command(os.Args[0], "plugin", "orphan-host")
	cmd.Env = append(os.Environ(), "TMPDIR="+t.TempDir())
	runtime.LockOSThread() // a test that is cut off takes the host with it
	defer runtime.UnlockOSThread()
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	buf := make([]byte, 32)
	n, err := out.Read(buf)
	if err != nil {
		t.Fatal(err)
	}
	pid, err := strconv.Atoi(strings.TrimSpace(string(buf[:n])))
	if err != nil {
		t.Fatal(err)
	}
	_ = cmd.Process.Kill()
	_ = cmd.Wait()
	for i := 0; i < 2400; i++ {
		if syscall.Kill(pid, 0) != nil || zombie(pid) {
			return
		}
		time.Sleep(25 * time.Millisecond)
	}
	_ = syscall.Kill(pid, syscall.SIGKILL)
	t.Error("the plugin outlived its host by a minute")
}

func zombie(pid int) bool {
	b, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	return err != nil || strings.Contains(string(b), ") Z ")
}
