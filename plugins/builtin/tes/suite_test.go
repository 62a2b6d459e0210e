package tes_test

import (
	"context"
	"io"
	"log/slog"
	"os"
	"strings"
	"testing"
	"time"

	"tresor/plugins/builtin"
	"tresor/plugins/builtin/tes"
	"tresor/plugins/host"
	"tresor/plugins/host/confine"
	"tresor/plugins/protocol"
	"tresor/plugins/protocoltest"
)

// TestMain lets the test binary be the plugin process, as the program is.
func TestMain(m *testing.M) {
	if len(os.Args) > 2 && os.Args[1] == confine.Word {
		os.Exit(host.ShimMain(os.Args[2:]))
	}
	if len(os.Args) > 2 && os.Args[1] == "plugin" {
		os.Exit(builtin.Main(os.Args[2:], os.Stderr))
	}
	os.Exit(m.Run())
}

func TestSuiteInProcess(t *testing.T) {
	protocoltest.Suite(t, func(*testing.T) protocol.Adapter { return tes.New() })
}

// child starts the plugin as the appliance does and gives the host's end of it.
func child(t testing.TB) *protocol.Remote {
	t.Helper()
	p := host.Start(context.Background(), host.Options{Name: "tes", Command: host.Builtin(os.Args[0], "tes"), Exe: os.Args[0], Dir: t.TempDir(),
		Log: slog.New(slog.NewTextHandler(io.Discard, nil)), Backoff: 20 * time.Millisecond, Now: time.Now})
	t.Cleanup(p.Stop)
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	a, err := p.Adapter(ctx)
	if err != nil {
		t.Fatalf("%v (state %+v)", err, p.State())
	}
	return a
}

func TestSuiteAsAChild(t *testing.T) {
	protocoltest.Suite(t, func(t *testing.T) protocol.Adapter { return child(t) })
}

// The whole life of a task crosses to the plugin process and back.
func TestATaskThroughTheChild(t *testing.T) {
	ctx := context.Background()
	a, h := child(t), newMemory()
	ask := func(method, path, query, body string) protocol.Response {
		t.Helper()
		resp, err := a.ServeRequest(ctx, protocol.Request{Method: method, Path: path, Query: query, Body: []byte(body), Base: "https://tre.example/ga4gh/tes", Caller: protocol.Caller{Principal: "p1", Kind: protocol.CallerClient}, Correlation: "c"}, h)
		if err != nil {
			t.Fatal(err)
		}
		return resp
	}
	created := ask("POST", "/v1/tasks", "", rich)
	id := protocoltest.At(t, string(created.Body), "id").(string)
	for _, l := range life {
		h.move(id, l.step)
	}
	full := string(ask("GET", "/v1/tasks/"+id, "view=FULL", "").Body)
	if err := strict("task", full); err != nil || protocoltest.At(t, full, "logs", 0, "outputs", 1, "url") != "https://tre.example/ga4gh/tes/releases/rel-1/out/out.csv" {
		t.Errorf("%v %s", err, full)
	}
	if list := string(ask("GET", "/v1/tasks", "", "").Body); list != `{"tasks":[{"id":"`+id+`","state":"COMPLETE"}]}` {
		t.Error(list)
	}
	if bad := ask("POST", "/v1/tasks", "", "{}"); bad.Status != 400 || !strings.Contains(string(bad.Body), "executors") {
		t.Errorf("%d %s", bad.Status, bad.Body)
	}
	if gone := ask("GET", "/v1/tasks/absent", "", ""); gone.Status != 404 {
		t.Errorf("%d %s", gone.Status, gone.Body)
	}
	big := task(`"inputs":[{"path":"/a","content":"` + strings.Repeat("<", 250<<10) + `"},{"path":"/b","content":"` + strings.Repeat("<", 250<<10) + `"}]`)
	if r := ask("POST", "/v1/tasks", "", big); r.Status != 200 {
		t.Errorf("a task of half a megabyte: %d %s", r.Status, r.Body)
	}
	if r := ask("GET", "/v1/tasks", "view=FULL&page_size=1", ""); r.Status != 200 || len(r.Body) < 500<<10 {
		t.Errorf("back: %d, %d bytes", r.Status, len(r.Body))
	}
}

func BenchmarkThroughTheChild(b *testing.B) {
	a, h := child(b), stillHost(b, 256)
	for name, r := range map[string]protocol.Request{
		"get":     {Method: "GET", Path: "/v1/tasks/job-000001"},
		"create":  {Method: "POST", Path: "/v1/tasks", Body: []byte(plain)},
		"list256": {Method: "GET", Path: "/v1/tasks"},
	} {
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				if resp, err := a.ServeRequest(context.Background(), r, h); err != nil || resp.Status != 200 {
					b.Fatal(err, resp.Status)
				}
			}
		})
	}
}
