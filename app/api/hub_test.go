package api

import (
	"bytes"
	"context"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"tresor/app/access"
	"tresor/app/audit"
	"tresor/app/config"
	"tresor/app/identity"
	"tresor/app/live"
	"tresor/app/store"
)

// newHubWorld is a server that is a hub: people, a log and the hub's own desk.
func newHubWorld(t testing.TB) *world {
	t.Helper()
	w := &world{log: &lockedBuffer{}, people: map[string]identity.Person{}, tokens: map[string]string{}, aurora: "project-aurora", machineToken: "t1"}
	dir := t.TempDir()
	db := must[*store.DB](t)(store.Open(t.Context(), filepath.Join(dir, "tresor.db"), store.Options{Now: w.now}))
	t.Cleanup(func() { _ = db.Close() })
	log := must[*audit.Log](t)(audit.Open(t.Context(), db, filepath.Join(dir, "audit.key"), "tresor/test"))
	desk := &fakeHub{project: w.aurora, zip: filepath.Join(dir, "release.zip")}
	if err := os.WriteFile(desk.zip, []byte("PK released"), 0o600); err != nil {
		t.Fatal(err)
	}
	w.members = func(person string) map[string]access.Role {
		switch person {
		case w.people["researcher"].ID:
			return map[string]access.Role{w.aurora: access.Researcher}
		case w.people["lead"].ID:
			return map[string]access.Role{w.aurora: access.Lead}
		case w.people["outsider"].ID:
			return map[string]access.Role{"project-other": access.Researcher}
		}
		return nil
	}
	people := must[*identity.Service](t)(identity.New(identity.Deps{DB: db, Log: log, IDs: ids, Now: w.now, Key: bytes.Repeat([]byte{7}, 32),
		Config: config.Default().Identity, Demo: true, Site: "Test", URL: func() string { return "https://hub.example" },
		Memberships: func(_ *store.Tx, person string) (map[string]access.Role, error) { return w.members(person), nil },
		Ended:       func(x []string) { w.server.SessionsEnded(x) }}))
	w.server = must[*Server](t)(New(Deps{Name: "Hub", Version: "0.0.0-test", Demo: true, UID: 12345, Now: w.now, IDs: ids,
		Logger: slog.New(slog.NewJSONHandler(w.log, nil)), Limits: unlimited, Facts: fixedFacts{}, DB: db, DBFile: filepath.Join(dir, "tresor.db"),
		Live: live.New(), Audit: log, Identity: people, Hub: desk, Machine: http.HandlerFunc(fakeMachine),
		Link: http.HandlerFunc(func(rw http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(rw, "node") }),
		UI:   http.HandlerFunc(func(rw http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(rw, "page") })}))
	t.Cleanup(w.server.Close)
	w.http = httptest.NewServer(w.server.Handler())
	t.Cleanup(w.http.Close)
	w.local = httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		w.server.LocalHandler().ServeHTTP(rw, r.WithContext(context.WithValue(r.Context(), peerKey{}, peer{uid: 0, known: true})))
	}))
	t.Cleanup(w.local.Close)
	w.hire(t)
	desk.owner = w.people["researcher"].ID
	w.desk = desk
	return w
}

func TestHubRoutesGolden(t *testing.T) {
	golden(t, "hub-routes.golden", newHubWorld(t).matrix(columns))
}

// TestTheHubKeepsTheMatrix is TestTheMuxKeepsTheMatrix for a hub.
func TestTheHubKeepsTheMatrix(t *testing.T) {
	w := newHubWorld(t)
	doc := w.description(t)
	for _, rt := range w.server.Routes() {
		if strings.HasPrefix(rt.Path, "/people") || strings.HasPrefix(rt.Path, "/audit/proof") {
			continue // the same handlers as on an appliance
		}
		for _, column := range columns {
			t.Run(rt.Method+rt.Path+"/"+column, func(t *testing.T) {
				w.restore(t, rt)
				resp := w.attempt(t, rt, column)
				conform(t, doc, rt, resp)
				if got, want := outcome(rt, resp), expected(rt, column, w); got != want {
					t.Errorf("got %s (%d %s), want %s", got, resp.status, resp.body, want)
				}
			})
		}
	}
}

func TestAHubHasNoData(t *testing.T) {
	w := newHubWorld(t)
	for _, path := range []string{"/projects", "/datasets", "/jobs", "/airlock", "/releases", "/images", "/home", "/federation", "/plugins", "/tokens"} {
		if r := w.as(t, "operator", "GET", path, nil).want(t, 404); !strings.Contains(r.body, "this is a hub") {
			t.Errorf("%s: %s", path, r.body)
		}
	}
	w.play(t, []scenario{
		{"the session says what it is", "researcher", "GET", "/session", "", 200, []string{`"kind":"hub"`, "hub.results"}, nil},
		{"a result", "researcher", "GET", "/hub/tasks/t1/results/n1", "", 200, []string{"PK released"}, nil},
		{"a result for the operator", "operator", "GET", "/hub/tasks/t1/results/n1", "", 403, nil, []string{"PK"}},
		{"a result for an outsider", "outsider", "GET", "/hub/tasks/t1/results/n1", "", 404, nil, []string{"PK"}},
		{"numbers", "operator", "GET", "/metrics", "", 200, []string{"tresor_audit_events"}, []string{"tresor_jobs"}},
	})
	w.desk.deleted = true
	w.play(t, []scenario{
		{"a result that was deleted", "researcher", "GET", "/hub/tasks/t1/results/n1", "", 410, []string{`"code":"gone"`, "deleted here"}, []string{"PK"}},
	})
	for topic, ok := range map[string]bool{"home": true, "hub": true, "system": true, "job:1": false, "dataset:1": false, "federation": false} {
		if _, _, err := w.server.mayListen(topic); (err == nil) != ok {
			t.Errorf("topic %s: %v", topic, err)
		}
	}
	req, _ := http.NewRequestWithContext(t.Context(), "GET", w.http.URL+linkPath, nil)
	if r := w.do(t, req); r.body != "node" {
		t.Errorf("nodes do not get through: %+v", r)
	}
}

func TestAnApplianceIsNoHub(t *testing.T) {
	w := newWorld(t)
	w.play(t, []scenario{
		{"the hub's nodes", "operator", "GET", "/hub/nodes", "", 404, nil, nil},
		{"the session says what it is", "researcher", "GET", "/session", "", 200, []string{`"kind":"appliance"`}, nil},
	})
	req, _ := http.NewRequestWithContext(t.Context(), "GET", w.http.URL+linkPath, nil)
	if r := w.do(t, req); r.body != "page" {
		t.Errorf("an appliance takes links: %+v", r)
	}
}
