package host_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"tresor/plugins/host"
	"tresor/plugins/protocol"
	"tresor/plugins/protocoltest"
)

// hostileFile builds the hostile plugin once, in hostileDir.
var hostileDir string

var hostileFile = sync.OnceValues(func() (string, error) {
	dir, err := os.MkdirTemp("", "hostile")
	if err != nil {
		return "", err
	}
	hostileDir = dir
	file := filepath.Join(dir, "hostile")
	cmd := exec.Command("go", "build", "-o", file, "tresor/plugins/host/testdata/hostile")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("%w\n%s", err, out)
	}
	return file, nil
})

// logged is a log that tests read.
type logged struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *logged) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(b)
}

func (l *logged) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// hostile starts the hostile plugin as a trusted file; misdeed is one at its start.
func hostile(t *testing.T, misdeed string, change func(*host.Options)) (*host.Plugin, *logged) {
	t.Helper()
	file, err := hostileFile()
	if err != nil {
		t.Fatal(err)
	}
	c, err := host.Trusted(file, hash(t, file), t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	if misdeed != "" {
		c.Args = []string{misdeed}
	}
	log := &logged{}
	o := host.Options{Name: "hostile", Command: c, Dir: t.TempDir(), Exe: os.Args[0], Log: slog.New(slog.NewTextHandler(log, nil)), Backoff: 20 * time.Millisecond, Now: time.Now}
	if change != nil {
		change(&o)
	}
	p := host.Start(context.Background(), o)
	t.Cleanup(func() {
		p.Stop()
		for _, secret := range []string{"canary", "PRIVATE KEY", "CERTIFICATE"} {
			if strings.Contains(log.String()+p.State().LastError, secret) {
				t.Errorf("%q is in the log or in the error that an operator sees", secret)
			}
		}
	})
	return p, log
}

func ask(t testing.TB, p *host.Plugin, path, body string, h protocol.Host) (string, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	r, err := adapter(t, p).ServeRequest(ctx, protocol.Request{
		Path: path, Body: []byte(body), Correlation: "c1", Header: map[string][]string{"X-Secret": {"canary-of-a-header"}},
		Settings: protocol.Settings{"token": "canary-of-a-setting"}, Caller: protocol.Caller{Name: "canary-of-a-name"},
	}, h)
	return string(r.Body), err
}

// TestGreed: a plugin that takes without end is ended and started again, and the
// server is as before.
func TestGreed(t *testing.T) {
	for _, c := range []struct {
		name, path string
		change     func(*host.Options)
	}{
		{"memory", "/memory", func(o *host.Options) { o.Memory = 256 << 20 }},
		{"threads", "/threads", func(o *host.Options) { o.Check = 100 * time.Millisecond }},
		{"files without end", "/many", func(o *host.Options) { o.Check = 50 * time.Millisecond }},
	} {
		t.Run(c.name, func(t *testing.T) {
			p, _ := hostile(t, "", c.change)
			_, _ = ask(t, p, c.path, "", &protocoltest.Host{})
			again(t, p, 2)
			if got, err := ask(t, p, "/fine", "", &protocoltest.Host{}); err != nil || got != "fine" {
				t.Errorf("afterwards: %q, %v", got, err)
			}
		})
	}
}

// TestSpin: a plugin that works on although nobody asks it is ended and started again,
// its page keeps why, and one that works for its callers is left alone.
func TestSpin(t *testing.T) {
	p, log := hostile(t, "", func(o *host.Options) {
		o.Check, o.Processor, o.Span = 20*time.Millisecond, 300*time.Millisecond, time.Minute
	})
	pid, err := ask(t, p, "/pid", "", &protocoltest.Host{})
	if mine, its := nice(t, strconv.Itoa(os.Getpid())), nice(t, pid); err != nil || its != min(19, mine+5) {
		t.Errorf("its nice value is %d, the server's %d (%v)", its, mine, err)
	}
	if got, err := ask(t, p, "/spin", "", &protocoltest.Host{}); err != nil || got != "DONE" {
		t.Fatalf("%q, %v", got, err)
	}
	again(t, p, 2)
	const why = "of processor time in"
	s := p.State()
	if !strings.Contains(s.LastError, why) || s.Health.OK || !strings.Contains(s.Health.Detail, why) || !strings.Contains(log.String(), why) {
		t.Errorf("state %+v, log %s", s, log)
	}
	if got, err := ask(t, p, "/fine", "", &protocoltest.Host{}); err != nil || got != "fine" {
		t.Errorf("afterwards: %q, %v", got, err)
	}
}

// nice is the nice value of a process (proc_pid_stat(5), field 19).
func nice(t *testing.T, pid string) int {
	t.Helper()
	b, err := os.ReadFile("/proc/" + pid + "/stat")
	if err != nil {
		t.Fatal(err)
	}
	n, err := strconv.Atoi(strings.Fields(string(b[bytes.LastIndexByte(b, ')')+1:]))[16])
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// TestWork: a plugin that works as long as its caller waits does what it is for.
func TestWork(t *testing.T) {
	p, _ := hostile(t, "", func(o *host.Options) {
		o.Check, o.Processor, o.Span = 20*time.Millisecond, 300*time.Millisecond, time.Minute
	})
	if got, err := ask(t, p, "/work", "", &protocoltest.Host{}); err != nil || got != "DONE" {
		t.Errorf("%q, %v", got, err)
	}
	if s := p.State(); s.Starts != 1 {
		t.Errorf("state %+v", s)
	}
}

// again waits until the plugin has come up n times.
func again(t *testing.T, p *host.Plugin, n int) {
	t.Helper()
	for deadline := time.Now().Add(2 * time.Minute); ; time.Sleep(10 * time.Millisecond) {
		if s := p.State(); s.Running && s.Starts >= n {
			return
		} else if time.Now().After(deadline) {
			t.Fatalf("not started %d times: %+v", n, s)
		}
	}
}

func TestFloodOfLogs(t *testing.T) {
	p, log := hostile(t, "", nil)
	if got, err := ask(t, p, "/flood", "", &protocoltest.Host{}); err != nil || got != "DONE" {
		t.Fatalf("%q, %v", got, err)
	}
	for deadline := time.Now().Add(time.Minute); !strings.Contains(log.String(), "writes too much") && time.Now().Before(deadline); time.Sleep(10 * time.Millisecond) {
	}
	out := log.String()
	if n := strings.Count(out, "\n"); n > 1010 || len(out) > 1010*700 {
		t.Errorf("%d lines, %d bytes of log", n, len(out))
	}
	if !strings.Contains(out, "writes too much") {
		t.Error("the log does not say that lines were dropped")
	}
}

func TestNeverAnswers(t *testing.T) {
	p, _ := hostile(t, "", func(o *host.Options) { o.Call = 150 * time.Millisecond; o.Misses = 2; o.Check = time.Hour })
	for range 2 {
		if _, err := ask(t, p, "/never", "", &protocoltest.Host{}); code(err) != protocol.CodeUnavailable {
			t.Fatalf("error %v", err)
		}
	}
	again(t, p, 2)
	if s := p.State(); s.Missed < 2 || s.Failures < 2 || s.InFlight != 0 {
		t.Errorf("state %+v", s)
	}
}

func TestNeverAnswersTheHostEither(t *testing.T) {
	p, _ := hostile(t, "raw-unread", func(o *host.Options) { o.Call = 150 * time.Millisecond; o.Check = 50 * time.Millisecond })
	_, _ = ask(t, p, "/any", "", &protocoltest.Host{}) // from here on it reads nothing
	again(t, p, 2)
}

func TestSlots(t *testing.T) {
	p, _ := hostile(t, "", func(o *host.Options) { o.Slots = 2 })
	a := adapter(t, p)
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	for range 2 {
		wg.Go(func() { _, _ = a.ServeRequest(ctx, protocol.Request{Path: "/never"}, &protocoltest.Host{}) })
	}
	for p.State().InFlight < 2 {
		time.Sleep(time.Millisecond)
	}
	if _, err := a.ServeRequest(ctx, protocol.Request{Path: "/fine"}, &protocoltest.Host{}); code(err) != protocol.CodeExhausted {
		t.Errorf("a third call: %v", err)
	}
	cancel()
	wg.Wait()
	if got, err := ask(t, p, "/fine", "", &protocoltest.Host{}); err != nil || got != "fine" {
		t.Errorf("afterwards: %q, %v", got, err)
	}
}

// TestWire: what a plugin that speaks the wire by hand can do to the caller.
func TestWire(t *testing.T) {
	for _, c := range []struct {
		misdeed string
		code    string // of the call
		dies    bool
	}{
		{"raw-huge", protocol.CodeUnavailable, true},
		{"raw-garbage", protocol.CodeUnavailable, true},
		{"raw-end", protocol.CodeUnavailable, true},
		{"raw-calls", protocol.CodeUnavailable, false}, // a flood of calls without reading an answer
		{"raw-answers", "", false},
	} {
		t.Run(c.misdeed, func(t *testing.T) {
			p, log := hostile(t, c.misdeed, func(o *host.Options) { o.Call = 3 * time.Second; o.Misses = 1 })
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			if _, err := ask(t, p, "/any", "canary-in-a-request", &protocoltest.Host{}); code(err) != c.code {
				t.Errorf("error %v", err)
			}
			runtime.ReadMemStats(&after)
			if grown := int64(after.HeapSys) - int64(before.HeapSys); grown > 256<<20 {
				t.Errorf("the server's heap grew by %d MB", grown>>20)
			}
			if c.dies {
				again(t, p, 2)
			}
			if strings.Contains(log.String()+p.State().LastError, "canary") {
				t.Error("a request's body is in the log")
			}
		})
	}
}

func TestStartsThatGoWrong(t *testing.T) {
	for _, c := range []struct{ misdeed, want string }{
		{"exit", "ended with exit status 3; it wrote: no settings, no plugin"},
		{"die-before", "ended with signal: killed"},
		{"noise", "did not write the first line"},
		{"silent", "timeout while waiting for plugin to start"},
		{"tcp", "unix socket in its working directory"},
		{"elsewhere", "unix socket in its working directory"},
		{"upwards", "unix socket in its working directory"},
		{"no-socket", "not in its working directory"},
		{"other-version", "version"},
		{"describe-die", "ended"},
		{"describe-never", "in time"},
		{"describe-huge", "title"},
		{"describe-path", "name"},
	} {
		t.Run(c.misdeed, func(t *testing.T) {
			p, log := hostile(t, c.misdeed, func(o *host.Options) {
				o.Backoff = time.Hour
				switch c.misdeed { // only where they are awaited, so that a loaded machine meets none before
				case "describe-never":
					o.Call = 500 * time.Millisecond
				case "silent":
					o.Startup = 5 * time.Second
				}
			})
			for deadline := time.Now().Add(2 * time.Minute); p.State().LastError == "" && time.Now().Before(deadline); {
				time.Sleep(10 * time.Millisecond)
			}
			s := p.State()
			if s.Running || !strings.Contains(s.LastError, c.want) || len(s.LastError) > 1000 || len(log.String()) > 5000 {
				t.Errorf("running %v, error %.300q, %d bytes of log", s.Running, s.LastError, len(log.String()))
			}
			ctx, cancel := context.WithTimeout(context.Background(), 50*time.Millisecond)
			defer cancel()
			if _, err := p.Adapter(ctx); !errors.Is(err, host.ErrDown) {
				t.Errorf("error %v, want ErrDown", err)
			}
		})
	}
}

// TestStopDoesNotWaitForOthers: where nothing keeps a plugin from starting others,
// one of them may live on with the pipes to the server in its hands.
func TestStopDoesNotWaitForOthers(t *testing.T) {
	p, _ := hostile(t, "", func(o *host.Options) { o.Unconfined = true })
	if got, err := ask(t, p, "/leave", "", &protocoltest.Host{}); err != nil || !strings.HasPrefix(got, "DONE") {
		t.Fatal(got, err)
	}
	began := time.Now()
	p.Stop()
	if took := time.Since(began); took > 5*time.Second {
		t.Errorf("stopping took %s", took)
	}
}

func TestKeptHostIsDead(t *testing.T) {
	p, _ := hostile(t, "", nil)
	first, second := &protocoltest.Host{}, &protocoltest.Host{}
	if _, err := ask(t, p, "/keep", "", first); err != nil {
		t.Fatal(err)
	}
	got, err := ask(t, p, "/use", "", second)
	if err != nil || !strings.Contains(got, protocol.CodeDenied) || first.Seen("state") || second.Seen("state") {
		t.Errorf("a kept Host answers %q, %v", got, err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 200*time.Millisecond)
	defer cancel()
	if err := adapter(t, p).Run(ctx, nil, first); code(err) != protocol.CodeUnavailable {
		t.Errorf("Run that ignores its end: %v", err)
	}
	if got, _ := ask(t, p, "/use", "", second); !strings.Contains(got, protocol.CodeDenied) {
		t.Errorf("the Host of a Run that ended answers %q", got)
	}
}

func TestGarbageToTheHost(t *testing.T) {
	p, log := hostile(t, "", nil)
	h := &protocoltest.Host{}
	got, err := ask(t, p, "/host", "", h)
	if err != nil {
		t.Fatal(err)
	}
	if n := strings.Count(got, protocol.CodeExhausted); n != 3 {
		t.Errorf("%d calls were too large, want 3: %.300s", n, got)
	}
	if n := h.Count(""); n != 7 { // the others arrive; what they mean is for the Host to judge
		t.Errorf("%d calls arrived: %v", n, h.Calls)
	}
	if d := p.State().Health.Detail; len(d) > protocol.MaxErrorText {
		t.Errorf("a health text of %d bytes is kept", len(d))
	}
	if len(log.String()) > 5000 {
		t.Errorf("%d bytes of log", len(log.String()))
	}
}

func TestCopyIsHashedBeforeEveryStart(t *testing.T) {
	file, err := hostileFile()
	if err != nil {
		t.Fatal(err)
	}
	c, err := host.Trusted(file, hash(t, file), t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	p := host.Start(context.Background(), host.Options{Name: "x", Command: c, Dir: t.TempDir(), Exe: os.Args[0], Log: quiet(), Backoff: 10 * time.Millisecond, Now: time.Now})
	t.Cleanup(p.Stop)
	adapter(t, p)
	// The copy cannot be written while it runs; whoever owns the folder can put another in its place.
	if err := os.Remove(c.Path); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(c.Path, []byte("something else"), 0o755); err != nil {
		t.Fatal(err)
	}
	_, _ = ask(t, p, "/exit", "", &protocoltest.Host{})
	for deadline := time.Now().Add(2 * time.Minute); !strings.Contains(p.State().LastError, "has changed"); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("state %+v", p.State())
		}
	}
	if s := p.State(); s.Running || s.Starts != 1 {
		t.Errorf("state %+v", s)
	}
}

func code(err error) string {
	var e *protocol.Error
	if errors.As(err, &e) {
		return e.Code
	}
	if err != nil {
		return err.Error()
	}
	return ""
}
