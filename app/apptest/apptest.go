package apptest

import (
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"tresor/app"
	"tresor/app/config"
	"tresor/sandbox"
	"tresor/sandbox/fake"
)

// Options choose the appliance. The zero value has Podman and the demonstration.
type Options struct {
	Data  string       // reuse this data folder; "": a fresh one
	Fake  *fake.Runner // instead of Podman
	Set   []string     // settings, section.key=value
	Log   io.Writer    // the server's log; nil: to the test's log when it fails
	NoRun bool         // open only
}

// Rig is a running appliance.
type Rig struct {
	App   *app.App
	URL   string
	Data  string
	Links map[string]string // demo person's handle → one-time link
	t     testing.TB
	keep  bool // the caller's data folder: another rig may follow on it
	stop  context.CancelFunc
	done  chan error
}

// Start runs an appliance until the test ends or Stop.
func Start(t testing.TB, o Options) *Rig {
	t.Helper()
	keep := o.Data != ""
	if o.Data == "" {
		o.Data = filepath.Join(Folder(t), "data")
	}
	set := append([]string{"data=" + o.Data, "listen=127.0.0.1:0", "tls.mode=off", "demo=true", "sandbox.allow_unlimited=true"}, o.Set...)
	cfg, err := config.Load("", nil, set)
	if err != nil {
		t.Fatal(err)
	}
	log, level := &lateLog{t: t, w: o.Log}, slog.LevelDebug
	if _, bench := t.(*testing.B); bench {
		level = slog.LevelInfo // as a server logs
	}
	ao := app.Options{Log: slog.New(slog.NewTextHandler(log, &slog.HandlerOptions{Level: level})), Version: "test", Exe: Binary(t)}
	if o.Fake != nil {
		ao.Runner, ao.Images = sandbox.Runner(o.Fake), sandbox.Images(o.Fake)
	}
	ctx, cancel := context.WithCancel(context.Background())
	a, err := app.New(ctx, cfg, ao)
	if err != nil {
		cancel()
		t.Fatal(err)
	}
	if o.Fake != nil {
		o.Fake.SetInside(a.ServeInside)
		t.Cleanup(func() { _ = o.Fake.Close() }) // after Stop
	}
	r := &Rig{App: a, Data: o.Data, keep: keep, t: t, stop: cancel, done: make(chan error, 1)}
	t.Cleanup(r.Stop)
	if o.NoRun {
		r.done <- nil
		return r
	}
	news := make(chan app.News, 16)
	go func() { r.done <- a.Run(ctx, func(n app.News) { news <- n }) }()
	r.await(news)
	return r
}

// await returns when the address is open and the demonstration is there.
func (r *Rig) await(news <-chan app.News) {
	r.t.Helper()
	late := time.After(5 * time.Minute)
	for r.Links == nil {
		select {
		case n := <-news:
			if n.Listening {
				r.URL = n.URL
			}
			if len(n.Links) > 0 {
				r.Links = n.Links
			}
		case err := <-r.done:
			r.t.Fatalf("the appliance ended: %v", err)
		case <-late:
			r.t.Fatal("the appliance was not ready after five minutes")
		}
	}
}

// Stop ends the appliance cleanly. It may be called twice.
func (r *Rig) Stop() {
	if r.stop == nil {
		return
	}
	if !r.keep {
		r.sweep()
	}
	r.stop()
	r.stop = nil
	select {
	case err := <-r.done:
		if err != nil {
			r.t.Errorf("the appliance ended with %v", err)
		}
	case <-time.After(2 * time.Minute):
		r.t.Error("the appliance did not stop within two minutes")
	}
	if err := r.App.Close(); err != nil {
		r.t.Errorf("closing: %v", err)
	}
}

// sweep erases what the test's jobs left in the engine: nobody will come back
// for it.
func (r *Rig) sweep() {
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	e := r.App.Engine()
	list, err := e.List(ctx)
	if err != nil {
		return // there is no engine, so there is nothing in it
	}
	for _, s := range list {
		_ = e.Remove(ctx, s.Ref)
		_ = e.RemoveScratch(ctx, "tresor-"+s.Labels["job"])
	}
}

// lateLog keeps the server's log for the test that fails.
type lateLog struct {
	t testing.TB
	w io.Writer
}

func (l *lateLog) Write(b []byte) (int, error) {
	if l.w != nil {
		return l.w.Write(b)
	}
	return len(b), nil
}

// Person is a signed-in browser without pages.
type Person struct {
	t      testing.TB
	base   string
	cookie *http.Cookie
	Handle string
}

// SignIn opens the demo person's one-time link. Each works once.
func (r *Rig) SignIn(handle string) *Person {
	r.t.Helper()
	u, err := url.Parse(r.Links[handle])
	if err != nil || u.Fragment == "" {
		r.t.Fatalf("no link for %s", handle)
	}
	p := &Person{t: r.t, base: r.URL + "/api/v1", Handle: handle}
	p.Must(http.MethodPost, "/session/link", map[string]string{"token": u.Fragment}, nil)
	return p
}

// Do sends one request and returns the status and the body.
func (p *Person) Do(method, path string, in any) (int, []byte) {
	p.t.Helper()
	var body io.Reader
	if in != nil {
		b, err := json.Marshal(in)
		if err != nil {
			p.t.Fatal(err)
		}
		body = strings.NewReader(string(b))
	}
	req, err := http.NewRequest(method, p.base+path, body)
	if err != nil {
		p.t.Fatal(err)
	}
	if in != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	if p.cookie != nil {
		req.AddCookie(p.cookie)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		p.t.Fatal(err)
	}
	defer resp.Body.Close()
	for _, c := range resp.Cookies() {
		p.cookie = &http.Cookie{Name: c.Name, Value: c.Value}
	}
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		p.t.Fatal(err)
	}
	return resp.StatusCode, b
}

// Must sends one request, again while it comes too often for a person, fails the test
// unless it succeeds, and decodes the answer into out.
func (p *Person) Must(method, path string, in, out any) {
	p.t.Helper()
	code, body := p.Do(method, path, in)
	for end := time.Now().Add(2 * time.Minute); code == http.StatusTooManyRequests && time.Now().Before(end); code, body = p.Do(method, path, in) {
		time.Sleep(200 * time.Millisecond)
	}
	if code >= 300 {
		p.t.Fatalf("%s: %s %s: %d %s", p.Handle, method, path, code, body)
	}
	if out != nil {
		if err := json.Unmarshal(body, out); err != nil {
			p.t.Fatalf("%s %s: %v in %s", method, path, err, body)
		}
	}
}

// Containers lists the containers of this appliance's engine.
func (r *Rig) Containers() []string {
	r.t.Helper()
	list, err := r.App.Engine().List(context.Background())
	if err != nil {
		r.t.Fatal(err)
	}
	var out []string
	for _, s := range list {
		out = append(out, string(s.Ref))
	}
	return out
}
