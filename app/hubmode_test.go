package app_test

import (
	"context"
	"log/slog"
	"net/http"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"tresor/app"
	"tresor/app/access"
	"tresor/app/apptest"
	"tresor/app/apptest/tesclient"
	"tresor/app/config"
	"tresor/app/fault"
	"tresor/app/hub"
	"tresor/app/identity"
	"tresor/sandbox/fake"
)

func hubConfig(t *testing.T, data string) config.Config {
	t.Helper()
	cfg, err := config.Load("", nil, []string{"data=" + data, "listen=127.0.0.1:0", "tls.mode=off", "hub=true"})
	if err != nil {
		t.Fatal(err)
	}
	return cfg
}

var quiet = app.Options{Log: slog.New(slog.DiscardHandler), Version: "test"}

// TestHubFolder: a hub's folder is a hub's, and one hub's at a time.
func TestHubFolder(t *testing.T) {
	dir := filepath.Join(apptest.Folder(t), "hub")
	cfg := hubConfig(t, dir)
	made, err := app.InitHub(t.Context(), cfg, quiet, "operator", "Olga")
	if err != nil || made.Link == "" || len(made.Made) < 3 {
		t.Fatalf("%+v, %v", made, err)
	}
	if again, err := app.InitHub(t.Context(), cfg, quiet, "operator", "Olga"); err != nil || len(again.Made) != 0 || again.Link == "" {
		t.Errorf("%+v, %v", again, err)
	}
	h, err := app.NewHub(t.Context(), cfg, quiet)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := app.NewHub(t.Context(), cfg, quiet); fault.KindOf(err) != fault.Conflict {
		t.Errorf("two hubs on one folder: %v", err)
	}
	if err := h.Close(); err != nil {
		t.Error(err)
	}
	other := filepath.Join(apptest.Folder(t), "appliance")
	a, err := app.New(t.Context(), hubConfig(t, other), app.Options{Log: quiet.Log, Exe: "/nowhere", Runner: fake.New(), Images: fake.New()})
	if err == nil {
		a.Close()
		if _, err := app.NewHub(t.Context(), hubConfig(t, other), quiet); fault.KindOf(err) != fault.Conflict {
			t.Errorf("a hub opened the folder of an appliance: %v", err)
		}
	}
}

// hubRig is a running hub with a project and a researcher's token.
type hubRig struct {
	*app.Hub
	url      string
	operator access.Actor
	client   *tesclient.Client
}

func startHub(t *testing.T) *hubRig {
	t.Helper()
	h, err := app.NewHub(t.Context(), hubConfig(t, filepath.Join(apptest.Folder(t), "hub")), quiet)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	news, done := make(chan app.News, 4), make(chan error, 1)
	go func() { done <- h.Run(ctx, func(n app.News) { news <- n }) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
		_ = h.Close()
	})
	r := &hubRig{Hub: h, operator: identity.LocalOperator(0)}
	select {
	case n := <-news:
		r.url = n.URL
	case <-time.After(time.Minute):
		t.Fatal("the hub did not come up")
	}
	p, err := h.Identity.CreatePerson(ctx, r.operator, identity.Draft{Handle: "hanna", Name: "Hanna Brandt"})
	if err != nil {
		t.Fatal(err)
	}
	project, err := h.Hub.CreateProject(ctx, r.operator, hub.ProjectDraft{Slug: "aurora", Name: "Aurora"})
	if err == nil {
		_, err = h.Hub.SetMember(ctx, r.operator, "aurora", p.ID, access.Researcher)
	}
	if err != nil {
		t.Fatal(err)
	}
	hanna := access.Actor{ID: p.ID, Handle: p.Handle, Name: p.Name, Projects: map[string]access.Role{project.ID: access.Researcher}, Via: "web"}
	token, err := h.Hub.NewToken(ctx, hanna, hub.TokenDraft{Name: "test", Project: "aurora"})
	if err != nil {
		t.Fatal(err)
	}
	r.client = &tesclient.Client{Base: r.url + "/ga4gh/tes/v1", Token: token.Token, HTTP: &http.Client{Timeout: time.Minute}}
	return r
}

// enrol pins hub and node to each other, in one of the two ways, and puts the node
// into the hub's project.
func (r *hubRig) enrol(t *testing.T, n *apptest.Rig, name string, codeOfNode bool) (principal string) {
	t.Helper()
	ctx := t.Context()
	local := identity.LocalOperator(0)
	var text string
	if codeOfNode {
		c, err := n.App.Links.Code(ctx, local, "hub")
		if err != nil {
			t.Fatal(err)
		}
		text = c.Code
		if _, err := r.Hub.Hub.TypeCode(ctx, r.operator, text, name); err != nil {
			t.Fatal(err)
		}
	} else {
		c, err := r.Hub.Hub.NewCode(ctx, r.operator, name)
		if err != nil {
			t.Fatal(err)
		}
		text = c.Code
	}
	principal, err := n.App.Links.Enrol(ctx, local, r.url, text, "hub")
	if err != nil {
		t.Fatal(err)
	}
	there, err := r.Hub.Hub.Node(ctx, r.operator, name)
	if err != nil {
		t.Fatal(err)
	}
	here, err := n.App.Gateway.Principal(ctx, local, principal)
	if err != nil || here.Words != there.Words || here.Words == "" {
		t.Fatalf("words %q and %q, %v", here.Words, there.Words, err)
	}
	if err := n.App.Links.Confirm(ctx, local, principal); err != nil {
		t.Fatal(err)
	}
	if _, err := r.Hub.Hub.ConfirmNode(ctx, r.operator, name); err != nil {
		t.Fatal(err)
	}
	if _, err := r.Hub.Hub.SetNode(ctx, r.operator, "aurora", name, "aurora"); err != nil {
		t.Fatal(err)
	}
	return principal
}

// lend lets a lead of the node's project lend it to the hub.
func lend(t *testing.T, n *apptest.Rig, principal string) {
	t.Helper()
	ctx := t.Context()
	local := identity.LocalOperator(0)
	lena, err := n.App.Identity.CreatePerson(ctx, local, identity.Draft{Handle: "lena", Name: "Lena Vogt"})
	if err != nil {
		t.Fatal(err)
	}
	project, err := n.App.Projects.SetMember(ctx, local, "aurora", lena.ID, access.Lead)
	if err != nil {
		t.Fatal(err)
	}
	rosa, err := n.App.Identity.ByHandle(ctx, "rosa")
	if err != nil {
		t.Fatal(err)
	}
	lead := access.Actor{ID: lena.ID, Handle: "lena", Name: lena.Name, Projects: map[string]access.Role{project.ID: access.Lead}, Via: "web"}
	if _, err := n.App.Gateway.AddProject(ctx, lead, principal, project.ID, rosa.ID, nil); err != nil {
		t.Fatal(err)
	}
}

func (r *hubRig) until(t *testing.T, id, what string, ok func(tesclient.Task) bool) tesclient.Task {
	t.Helper()
	for end := time.Now().Add(2 * time.Minute); ; time.Sleep(20 * time.Millisecond) {
		x, err := r.client.Get(t.Context(), id, "FULL")
		if err == nil && ok(x) {
			return x
		}
		if time.Now().After(end) {
			t.Fatalf("not: %s: %+v, %v", what, x, err)
		}
	}
}

func linesOf(x tesclient.Task, node string) string {
	for _, l := range x.Logs {
		if l.Metadata["node"] == node {
			return strings.Join(l.SystemLogs, "\n")
		}
	}
	return ""
}

// TestHubWithAppliances joins a hub with two whole appliances through their real
// doors: one has lent its project and one has not.
func TestHubWithAppliances(t *testing.T) {
	r := startHub(t)
	set := []string{"federation.plain=true"}
	north := apptest.Start(t, apptest.Options{Fake: fake.New(), Set: append(set, "name=North")})
	east := apptest.Start(t, apptest.Options{Fake: fake.New(), Set: append(set, "name=East")})
	lend(t, north, r.enrol(t, north, "north", false))
	principal := r.enrol(t, east, "east", true)
	task := tesclient.Task{Name: "rows", Executors: []tesclient.Executor{{Image: "registry.example/never:1", Command: []string{"true"}}}}
	id, err := r.client.Create(t.Context(), task)
	if err != nil {
		t.Fatal(err)
	}
	x := r.until(t, id, "north waits for its image, east has refused", func(x tesclient.Task) bool {
		return strings.Contains(linesOf(x, "north"), "image") && strings.Contains(linesOf(x, "east"), "reference")
	})
	for _, l := range x.Logs {
		if l.Metadata["node"] == "east" && (l.Metadata["code"] == "" || l.Metadata["reference"] == "" || l.Metadata["state"] != "SYSTEM_ERROR") {
			t.Errorf("east: %+v", l.Metadata)
		}
	}
	if x.State != tesclient.Running {
		t.Errorf("with one refused and one waiting: %s", x.State)
	}
	if err := r.client.Cancel(t.Context(), id); err != nil {
		t.Fatal(err)
	}
	r.until(t, id, "it is cancelled", func(x tesclient.Task) bool { return x.State == tesclient.Canceled })

	lend(t, east, principal)
	task.Tags = map[string]string{"tres": "east"}
	if id, err = r.client.Create(t.Context(), task); err != nil {
		t.Fatal(err)
	}
	r.until(t, id, "east waits for its image now", func(x tesclient.Task) bool { return strings.Contains(linesOf(x, "east"), "image") })
	if _, err := r.Hub.Hub.RevokeNode(t.Context(), r.operator, "east", "the agreement has ended"); err != nil {
		t.Fatal(err)
	}
	r.until(t, id, "it ended with its node", func(x tesclient.Task) bool { return x.State == tesclient.SystemError })
}
