package main

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"tresor/plugins/host"
	"tresor/plugins/host/confine"
	"tresor/plugins/protocol"
	"tresor/plugins/protocoltest"
)

// TestMain lets the test binary be the shim, as the program itself is.
func TestMain(m *testing.M) {
	if len(os.Args) > 2 && os.Args[1] == confine.Word {
		os.Exit(host.ShimMain(os.Args[2:]))
	}
	os.Exit(m.Run())
}

// build makes the plugin as its page says.
func build(t *testing.T) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "example")
	cmd := exec.Command("go", "build", "-o", file, ".")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("building the example plugin: %v\n%s", err, out)
	}
	return file
}

// load trusts the file and starts it.
func load(t *testing.T, file string) *protocol.Remote {
	t.Helper()
	sum, size, err := host.Fingerprint(file)
	if err != nil || size == 0 {
		t.Fatal(size, err)
	}
	c, err := host.Trusted(file, sum, t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	p := host.Start(context.Background(), host.Options{Name: "example", Command: c, Dir: t.TempDir(), Exe: os.Args[0], Log: slog.New(slog.NewTextHandler(io.Discard, nil)), Now: time.Now})
	t.Cleanup(p.Stop)
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	a, err := p.Adapter(ctx)
	if err != nil {
		t.Fatalf("%v: %+v", err, p.State())
	}
	return a
}

func TestLoadsAndConforms(t *testing.T) {
	a := load(t, build(t))
	protocoltest.Suite(t, func(*testing.T) protocol.Adapter { return a })
	dialogue(t, a)
}

func TestConformsInProcess(t *testing.T) {
	protocoltest.Suite(t, func(*testing.T) protocol.Adapter { return Adapter{} })
	dialogue(t, Adapter{})
}

func TestOneChangedByteIsRefused(t *testing.T) {
	file := build(t)
	sum, _, err := host.Fingerprint(file)
	if err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	b[len(b)/2] ^= 1
	if err := os.WriteFile(file, b, 0o700); err != nil {
		t.Fatal(err)
	}
	found, _, _ := host.Fingerprint(file)
	_, err = host.Trusted(file, sum, t.TempDir())
	if !errors.Is(err, host.ErrUntrusted) {
		t.Fatalf("a changed file: %v", err)
	}
	for _, part := range []string{sum, found, "tresor plugin trust " + file} {
		if !strings.Contains(err.Error(), part) {
			t.Errorf("the refusal %q does not name %s", err, part)
		}
	}
}

// dialogue is the protocol from a client's side.
func dialogue(t *testing.T, a protocol.Server) {
	for _, c := range []struct {
		name, method, path, body string
		host                     *protocoltest.Host
		status                   int
		want                     string
	}{
		{"run", "POST", "/jobs", "echo hello", nil, 200, "job-r1"},
		{"run nothing", "POST", "/jobs", " ", nil, 400, "one command line"},
		{"run two lines", "POST", "/jobs", "a\nb", nil, 400, "one command line"},
		{"run too much", "POST", "/jobs", strings.Repeat("x", 201), nil, 400, "one command line"},
		{"list", "GET", "/jobs", "", nil, 200, "job-1 held"},
		{"state", "GET", "/jobs/1", "", nil, 200, "held"},
		{"answer, too early", "GET", "/jobs/1/answer", "", nil, 200, "Not released yet: the job is held."},
		{"cancel", "DELETE", "/jobs/1", "", nil, 200, "will end"},
		{"no such address", "GET", "/other", "", nil, 404, "no such address"},
		{"no such part", "GET", "/jobs/1/other", "", nil, 404, "no such address"},
		{"no such method", "PUT", "/jobs", "", nil, 405, "does not take PUT"},
		{"not found", "GET", "/jobs/1", "", &protocoltest.Host{Refusal: &protocol.Error{Code: protocol.CodeNotFound, Text: "There is no such job."}}, 404, "There is no such job."},
		{"quota", "POST", "/jobs", "true", &protocoltest.Host{Refusal: &protocol.Error{Code: protocol.CodeExhausted, Text: "Wait."}}, 429, "Wait."},
	} {
		h := c.host
		if h == nil {
			h = &protocoltest.Host{}
		}
		r, err := a.ServeRequest(context.Background(), protocol.Request{Method: c.method, Path: c.path, Body: []byte(c.body), RemoteID: "r1"}, h)
		if err != nil || r.Status != c.status || !strings.Contains(string(r.Body), c.want) {
			t.Errorf("%s: %d %q, error %v", c.name, r.Status, r.Body, err)
		}
		if c.name == "run" && (len(h.Requests) != 1 || h.Requests[0].Tasks[0].Argv[1] != "hello" || h.Requests[0].Tasks[0].Image == "") {
			t.Errorf("%s: asked for %+v", c.name, h.Requests)
		}
	}
}
