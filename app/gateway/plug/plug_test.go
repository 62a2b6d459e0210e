package plug

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"tresor/app/access"
	"tresor/app/audit"
	"tresor/app/fault"
	"tresor/app/store"
	"tresor/plugins/builtin"
	"tresor/plugins/host"
	"tresor/plugins/protocol"
)

// TestMain lets the test binary be the built-in plugins and what confines them.
func TestMain(m *testing.M) {
	if asPlugin(os.Args) {
		os.Exit(0)
	}
	os.Exit(m.Run())
}

func asPlugin(args []string) bool {
	switch {
	case len(args) > 2 && args[1] == "plugin-shim":
		os.Exit(host.ShimMain(args[2:]))
	case len(args) > 2 && args[1] == "plugin" && args[2] == "echo":
		protocol.Serve(echo{name: "echo"})
	case len(args) > 2 && args[1] == "plugin":
		os.Exit(builtin.Main(args[2:], os.Stderr))
	default:
		return false
	}
	return true
}

// echo is a plugin that does what its request and settings say.
type echo struct{ name string }

func (e echo) Describe(context.Context) (protocol.Description, error) {
	return protocol.Description{Name: e.name, Title: "Echo", Version: "2.1", Protocol: "echo", Settings: []protocol.Setting{
		{Key: "url", Label: "Address", Kind: "url", Required: true, Default: "https://hub.test"},
		{Key: "token", Label: "Token", Kind: "secret"},
		{Key: "level", Label: "Level", Kind: "choice", Choices: []string{"low", "high"}},
		{Key: "count", Label: "Count", Kind: "number"},
		{Key: "on", Label: "On", Kind: "switch"},
		{Key: "note", Label: "Note", Kind: "text"},
	}}, nil
}

func (echo) TestConnection(ctx context.Context, s protocol.Settings, h protocol.Host) ([]protocol.Step, error) {
	if s["note"] == "break" {
		return nil, &protocol.Error{Code: protocol.CodeUnavailable, Text: "the other end is down"}
	}
	if s["note"] == "ask" {
		resp, err := h.Fetch(ctx, protocol.Request{Method: "GET", Path: s["url"] + "/info"})
		return []protocol.Step{{Name: "asked", OK: err == nil, Detail: fmt.Sprintf("%s %v", resp.Body, err)}}, nil
	}
	if s["note"] == "own error" {
		return nil, errors.New("the author's words")
	}
	if _, err := h.Submit(ctx, protocol.JobRequest{Name: "x"}); err == nil {
		return []protocol.Step{{Name: "authority", Detail: "a plugin without a principal submitted a job"}}, nil
	}
	_ = h.Health(ctx, protocol.Health{OK: true, Detail: "fine"})
	return []protocol.Step{{Name: "settings", OK: true, Detail: "token is " + s["token"] + " for " + s["url"]}}, nil
}

func (echo) ServeRequest(ctx context.Context, r protocol.Request, h protocol.Host) (protocol.Response, error) {
	switch r.Path {
	case "/exit":
		os.Exit(3)
	case "/refuse":
		return protocol.Response{}, &protocol.Error{Code: protocol.CodeInvalid, Text: "no"}
	}
	return protocol.Response{Status: 200, Body: []byte(r.Settings["url"] + " " + r.Settings["token"] + " " + r.Settings["level"])}, nil
}

func (e echo) Run(ctx context.Context, s protocol.Settings, h protocol.Host) error {
	<-ctx.Done()
	return nil
}

var (
	operator   = access.Actor{ID: "olga", Handle: "olga", Name: "Olga", Roles: []access.Role{access.Operator}, Via: "local"}
	researcher = access.Actor{ID: "rita", Handle: "rita", Name: "Rita", Projects: map[string]access.Role{"p": access.Researcher}}
)

type rig struct {
	t   *testing.T
	dir string
	db  *store.DB
	log *audit.Log
	*Service
	end func()
	out *os.File // the log
}

// logged is what the log holds now.
func (r *rig) logged() string {
	b, err := os.ReadFile(r.out.Name())
	if err != nil {
		r.t.Fatal(err)
	}
	return string(b)
}

func newRig(t *testing.T) *rig {
	t.Helper()
	r := &rig{t: t}
	r.dir = t.TempDir()
	var err error
	if r.db, err = store.Open(t.Context(), filepath.Join(r.dir, "tresor.db"), store.Options{}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = r.db.Close() })
	if r.log, err = audit.Open(t.Context(), r.db, filepath.Join(r.dir, "audit.key"), "tresor/test"); err != nil {
		t.Fatal(err)
	}
	if r.out, err = os.Create(filepath.Join(r.dir, "log")); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { r.out.Close() })
	r.open()
	t.Cleanup(func() { r.end() })
	return r
}

// open starts the service afresh on what is stored.
func (r *rig) open() {
	r.t.Helper()
	if r.end != nil {
		r.end()
	}
	exe, err := os.Executable()
	if err != nil {
		r.t.Fatal(err)
	}
	dir, err := os.MkdirTemp("", "plug")
	if err != nil {
		r.t.Fatal(err)
	}
	r.t.Cleanup(func() { os.RemoveAll(dir) })
	s, err := Open(r.t.Context(), Deps{DB: r.db, Log: r.log, Key: filepath.Join(r.dir, "plugins.key"), Dir: dir, Exe: exe, Now: time.Now,
		Logger: slog.New(slog.NewTextHandler(r.out, nil)), Version: "test",
		Builtins:  []Builtin{{Name: "echo", Enabled: true}, {Name: "loopback", OnDemand: true}},
		Principal: func(context.Context, access.Actor, string) (string, error) { return "principal-1", nil },
		Host:      func(principal, plugin string) protocol.Host { return nobody{s: r.Service, plugin: plugin} }})
	if err != nil {
		r.t.Fatal(err)
	}
	r.Service = s
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() { _ = s.Run(ctx); close(done) }()
	r.end = func() { cancel(); <-done }
}

// ask sends a request through a plugin.
func (r *rig) ask(name, path string) (protocol.Response, error) {
	ctx, cancel := context.WithTimeout(r.t.Context(), 2*time.Minute)
	defer cancel()
	var srv protocol.Server
	var err error
	for srv == nil { // between two starts there is nobody
		if srv, err = r.Server(ctx, name); err != nil && (fault.KindOf(err) != fault.Unavailable || ctx.Err() != nil) {
			return protocol.Response{}, err
		}
	}
	return srv.ServeRequest(ctx, protocol.Request{Method: "GET", Path: path}, nobody{s: r.Service, plugin: name})
}

func (r *rig) mustAsk(name, path string) string {
	r.t.Helper()
	resp, err := r.ask(name, path)
	if err != nil {
		r.t.Fatalf("%s%s: %v (%s)", name, path, err, r.page1(name).LastError)
	}
	return string(resp.Body)
}

func (r *rig) page1(name string) Plugin {
	r.t.Helper()
	p, err := r.Get(r.t.Context(), operator, name)
	if err != nil {
		r.t.Fatal(err)
	}
	return p
}

func (r *rig) events(name string) string {
	r.t.Helper()
	var verbs []string
	err := r.db.View(r.t.Context(), func(tx *store.Tx) error {
		list, err := r.log.Timeline(tx, Subject(name))
		for _, e := range list {
			verbs = append(verbs, e.Verb)
		}
		return err
	})
	if err != nil {
		r.t.Fatal(err)
	}
	return strings.Join(verbs, " ")
}

func until(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(2 * time.Minute); !ok(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("waited and not: %s", what)
		}
	}
}

func want(t *testing.T, what string, err error, kind fault.Kind, text string) {
	t.Helper()
	if err == nil || fault.KindOf(err) != kind || !strings.Contains(err.Error(), text) {
		t.Errorf("%s: got %v (%v), want %v with %q", what, err, fault.KindOf(err), kind, text)
	}
}

func TestABuiltinRunsFromTheStartAndCanBeSwitchedOff(t *testing.T) {
	r := newRig(t)
	if got := r.mustAsk("echo", "/"); got != "https://hub.test  " {
		t.Errorf("answer %q", got)
	}
	p := r.page1("echo")
	if !p.Running || !p.Enabled || !p.Builtin || p.Version != "2.1" || p.Starts != 1 || p.Calls != 1 || p.Failures != 0 || len(p.Schema) != 6 {
		t.Errorf("page %+v", p)
	}
	if got := strings.Join(r.Published(), " "); got != "echo" {
		t.Errorf("published %q", got)
	}
	p, err := r.Enable(t.Context(), operator, "echo", false)
	if err != nil || p.Enabled || p.Running {
		t.Errorf("disabled: %+v %v", p, err)
	}
	_, err = r.ask("echo", "/")
	want(t, "a disabled plugin", err, fault.NotFound, "not enabled")
	r.open() // stays off
	if _, err = r.ask("echo", "/"); fault.KindOf(err) != fault.NotFound {
		t.Errorf("after a restart: %v", err)
	}
	if p = r.page1("echo"); len(p.Schema) != 6 {
		t.Errorf("the form is gone while the plugin is off: %+v", p)
	}
	if _, err = r.Enable(t.Context(), operator, "echo", true); err != nil {
		t.Fatal(err)
	}
	r.mustAsk("echo", "/")
	if _, err = r.Enable(t.Context(), operator, "echo", true); err != nil {
		t.Error(err)
	}
	if got := r.events("echo"); got != "plugin.disabled plugin.enabled" {
		t.Errorf("events %q", got)
	}
}

func TestAPluginThatDiesIsStartedAgain(t *testing.T) {
	r := newRig(t)
	r.mustAsk("echo", "/")
	if _, err := r.ask("echo", "/exit"); err == nil {
		t.Fatal("a plugin that died answered")
	}
	until(t, "it is up again", func() bool { p := r.page1("echo"); return p.Running && p.Starts == 2 })
	r.mustAsk("echo", "/")
	if p := r.page1("echo"); p.Failures != 1 || p.Calls != 3 {
		t.Errorf("counts %+v", p)
	}
	_, err := r.ask("echo", "/refuse")
	var own *protocol.Error
	if !errors.As(err, &own) || own.Code != protocol.CodeInvalid {
		t.Errorf("a plugin's refusal: %v", err)
	}
	if p := r.page1("echo"); p.Failures != 1 {
		t.Errorf("a refusal counts as a failure: %+v", p)
	}
}

func TestSettings(t *testing.T) {
	r := newRig(t)
	r.mustAsk("echo", "/")
	set := func(v map[string]string) (Plugin, error) { return r.SetSettings(t.Context(), operator, "echo", v) }
	for name, c := range map[string]struct {
		values map[string]string
		text   string
	}{
		"unknown key":        {map[string]string{"colour": "red"}, "no setting"},
		"no address":         {map[string]string{"url": "hub.test"}, "full web address"},
		"file address":       {map[string]string{"url": "file:///etc/passwd"}, "full web address"},
		"password in it":     {map[string]string{"url": "https://a:b@hub.test"}, "full web address"},
		"no number":          {map[string]string{"count": "many"}, "number"},
		"no choice":          {map[string]string{"level": "middle"}, "Level"},
		"no switch":          {map[string]string{"on": "yes"}, "On"},
		"over the limit":     {map[string]string{"note": strings.Repeat("a", protocol.MaxSetting+1)}, "too long"},
		"control characters": {map[string]string{"token": "a\x00b"}, "not text"},
	} {
		_, err := set(c.values)
		want(t, name, err, fault.Invalid, c.text)
	}
	p, err := set(map[string]string{"url": "https://b.test", "token": "s3cret-4711", "level": "high"})
	if err != nil || p.Settings["token"] != "" || p.Settings["url"] != "https://b.test" || strings.Join(p.Set, " ") != "token" {
		t.Fatalf("%+v %v", p, err)
	}
	if got := r.mustAsk("echo", "/"); got != "https://b.test s3cret-4711 high" {
		t.Errorf("the plugin got %q", got)
	}
	if _, err = set(map[string]string{"url": "https://c.test", "token": ""}); err != nil {
		t.Fatal(err)
	}
	r.open()
	if got := r.mustAsk("echo", "/"); got != "https://c.test s3cret-4711 " {
		t.Errorf("an empty secret did not stay, or a dropped key did: %q", got)
	}
	var kept string
	_ = r.db.View(t.Context(), func(tx *store.Tx) error {
		return tx.QueryRow(`SELECT settings || hex(secrets) FROM plugin WHERE name = 'echo'`).Scan(&kept)
	})
	if strings.Contains(kept, "4711") {
		t.Errorf("the secret lies in the database: %s", kept)
	}
	if p, err = set(map[string]string{"url": "https://c.test"}); err != nil || len(p.Set) != 0 {
		t.Errorf("a secret that was dropped stays: %+v %v", p, err)
	}
	if got := r.events("echo"); got != "plugin.configured plugin.configured plugin.configured" {
		t.Errorf("events %q", got)
	}
}

func TestWhoMayDoWhatWithPlugins(t *testing.T) {
	r := newRig(t)
	ctx := t.Context()
	_, err := r.List(ctx, researcher)
	want(t, "list", err, fault.Denied, "operators")
	_, err = r.Get(ctx, researcher, "echo")
	want(t, "get", err, fault.Denied, "operators")
	_, err = r.Enable(ctx, researcher, "echo", false)
	want(t, "enable", err, fault.Denied, "operator")
	_, err = r.SetSettings(ctx, researcher, "echo", nil)
	want(t, "settings", err, fault.Denied, "operator")
	_, err = r.Test(ctx, researcher, "echo")
	want(t, "test", err, fault.Denied, "operator")
	_, err = r.Trust(ctx, researcher, "/bin/true", "")
	want(t, "trust", err, fault.Denied, "operator")
	err = r.Forget(ctx, researcher, "echo", "Replaced.")
	want(t, "forget", err, fault.Denied, "operator")
	web := operator
	web.Via = "web"
	_, err = r.Trust(ctx, web, "/bin/true", "")
	want(t, "trust from the web", err, fault.Denied, "on the server itself")
	err = r.Forget(ctx, operator, "echo", "Replaced.")
	want(t, "forget a built-in", err, fault.Conflict, "part of this program")
	_, err = r.Get(ctx, operator, "none")
	want(t, "no such plugin", err, fault.NotFound, "no plugin")
	_, err = r.Enable(ctx, operator, "loopback", true)
	want(t, "on demand", err, fault.Conflict, "only when it is tested")
	_, err = r.ask("loopback", "/")
	want(t, "ask on demand", err, fault.NotFound, "not enabled")
	if all, err := r.List(ctx, operator); err != nil || len(all) != 2 || all[0].Name != "echo" || all[1].Name != "loopback" {
		t.Errorf("list %+v %v", all, err)
	}
}
