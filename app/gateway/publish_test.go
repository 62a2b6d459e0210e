package gateway

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"tresor/plugins/protocol"
)

// press is a plugin that publishes; make renders.
type press struct {
	fixed
	make func(h protocol.Host) ([]protocol.Document, error)
	runs *atomic.Int32
}

func (p press) Server(context.Context, string) (protocol.Server, error) { return p, nil }

func (p press) Publish(ctx context.Context, _ protocol.Settings, h protocol.Host) ([]protocol.Document, error) {
	p.runs.Add(1)
	return p.make(h)
}

// named renders the names that the host shows, one document each.
func named(h protocol.Host) ([]protocol.Document, error) {
	c, err := h.Visible(ctx)
	docs := []protocol.Document{{Path: "index.json", ContentType: "application/json", Body: []byte(fmt.Sprint(c))}}
	for _, d := range c.Datasets {
		docs = append(docs, protocol.Document{Path: "sets/" + d.Slug + ".md", ContentType: "text/markdown; charset=utf-8", Body: []byte("# " + d.Title)})
	}
	return docs, err
}

func read(path string) protocol.Request { return protocol.Request{Method: "GET", Path: path} }

// TestPublishedDocuments: a principal that is shown what is published reads what its
// plugin renders with its own view, each reading stands in its ledger, and nobody
// else reads anything.
func TestPublishedDocuments(t *testing.T) {
	h := newHouse(t)
	h.run()
	pl := press{fixed: fixed{resp: protocol.Response{Status: 418}}, make: named, runs: &atomic.Int32{}}
	yes := true
	north, hub := h.hub("North hub")
	south, southHub := h.principal(Draft{Name: "South hub", Kind: Hub, HubKey: "s"}, "genome")
	_, quiet := h.principal(Draft{Name: "Quiet hub", Kind: Hub, HubKey: "q"}, "health")
	for _, id := range []string{north.ID, south.ID} {
		_, err := h.g.Change(ctx, h.as("olga"), id, Change{Publishes: &yes})
		h.must(err)
	}
	rosa, _ := h.person("rosa", "aurora")
	job, _ := h.working(rosa)
	head := read("/published/index.json")
	head.Method = "HEAD"
	post := read("/published/index.json")
	post.Method, post.Body = "POST", []byte("{}")
	for _, c := range []struct {
		name   string
		who    Caller
		plugin string
		req    protocol.Request
		status int
		code   string
		text   string
	}{
		{"a document", hub, "tes", read("/published/sets/health.md"), 200, "", "# Dataset health"},
		{"the index", hub, "tes", read("/published/index.json"), 200, "", "aurora"},
		{"its head", hub, "tes", head, 200, "", "aurora"},
		{"of another hub's data", hub, "tes", read("/published/sets/genome.md"), 404, CodeNotFound, "no such document"},
		{"the other hub's own", southHub, "tes", read("/published/sets/genome.md"), 200, "", "# Dataset genome"},
		{"none of this path", hub, "tes", read("/published/x"), 404, CodeNotFound, "no such document"},
		{"no path", hub, "tes", read("/published/"), 404, CodeNotFound, "no such document"},
		{"a way around", hub, "tes", read("/published/sets/../index.json"), 404, CodeNotFound, "no such document"},
		{"an escaped path", hub, "tes", read("/published/%69ndex.json"), 404, CodeNotFound, "no such document"},
		{"to change it", hub, "tes", post, 405, CodeMethod, "only read"},
		{"a plugin that it does not reach", hub, "beacon", read("/published/index.json"), 404, CodeNoPlugin, "no such service"},
		{"a hub that is shown nothing", quiet, "tes", read("/published/index.json"), 404, CodeNotFound, "no such document"},
		{"a person's token", rosa, "tes", read("/published/index.json"), 404, CodeNotFound, "no such document"},
		{"a program inside", Caller{Kind: Inside, ID: job}, "tes", read("/published/index.json"), 404, CodeNotFound, "no such document"},
		{"another route of the plugin", hub, "tes", read("/publishedx"), 418, "", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			resp, err := h.g.Serve(ctx, pl, c.who, c.plugin, c.req)
			got := strings.Join(resp.Header[refusalHeader], "")
			if err != nil || resp.Status != c.status || got != c.code || !strings.Contains(string(resp.Body), c.text) {
				t.Errorf("%d %s %s (%v), want %d %s %q", resp.Status, got, resp.Body, err, c.status, c.code, c.text)
			}
			if c.status >= 400 && strings.Contains(string(resp.Body), "genome") {
				t.Errorf("a refusal names what is hidden: %s", resp.Body)
			}
		})
	}
	if n := pl.runs.Load(); n != 2 {
		t.Errorf("rendered %d times for two hubs", n)
	}
	lines := 0
	for _, e := range h.ledger(north.ID) {
		if e.What == WhatPublished {
			lines++
			if e.Direction != Out || e.Bytes == 0 || len(e.SHA256) != 64 || !strings.HasPrefix(e.Text, "tes: ") {
				t.Errorf("%+v", e)
			}
		}
	}
	if lines != 2 {
		t.Errorf("%d lines of what was published, want 2", lines)
	}
	// Known already: nothing leaves again.
	first, err := h.g.Serve(ctx, pl, hub, "tes", read("/published/index.json"))
	h.must(err)
	again := read("/published/index.json")
	again.Header = map[string][]string{"If-None-Match": first.Header["Etag"]}
	if resp, err := h.g.Serve(ctx, pl, hub, "tes", again); err != nil || resp.Status != http.StatusNotModified || len(resp.Body) != 0 {
		t.Errorf("%d (%v)", resp.Status, err)
	}
	// What it may name changes: it is rendered anew at once. So it is after some minutes.
	_, err = h.g.AddProject(ctx, h.as("lena"), north.ID, "aurora", "rosa", []string{"genome"})
	h.must(err)
	if docs, err := h.g.Documents(ctx, pl, hub, "tes"); err != nil || len(docs) != 2 || docs[1].Path != "sets/genome.md" {
		t.Errorf("%v (%v)", docs, err)
	}
	was := pl.runs.Load()
	h.skew.Add(int64(publishedFor + time.Second))
	if docs, err := h.g.Documents(ctx, pl, hub, "tes"); err != nil || len(docs) != 2 || pl.runs.Load() != was+1 {
		t.Errorf("%v (%v), %d times", docs, err, pl.runs.Load()-was)
	}
	for name, who := range map[string]Caller{"a quiet hub": quiet, "a person": rosa} {
		if docs, err := h.g.Documents(ctx, pl, who, "tes"); docs != nil || err != nil {
			t.Errorf("%s: %v (%v)", name, docs, err)
		}
	}
	for name, p := range map[string]Plugins{"no such part": fixed{}, "an error of the plugin": press{make: func(protocol.Host) ([]protocol.Document, error) {
		return nil, &protocol.Error{Code: protocol.CodeUnsupported, Text: "x"}
	}, runs: &atomic.Int32{}}} {
		h.g.shelves = shelves{}
		if docs, err := h.g.Documents(ctx, p, hub, "tes"); docs != nil || err != nil {
			t.Errorf("%s: %v (%v)", name, docs, err)
		}
	}
}

// TestHostilePublisher: while it publishes a plugin can do nothing but look, its
// failures say nothing to the hub, and a crowd makes it work once.
func TestHostilePublisher(t *testing.T) {
	h := newHouse(t)
	yes := true
	p, who := h.hub("North hub")
	_, err := h.g.Change(ctx, h.as("olga"), p.ID, Change{Publishes: &yes})
	h.must(err)
	st := h.submit(who, request())
	jobs := h.number(`SELECT count(*) FROM job`)
	pl := press{runs: &atomic.Int32{}, make: func(x protocol.Host) ([]protocol.Document, error) {
		for name, try := range map[string]func() error{
			"submit":  func() error { _, err := x.Submit(ctx, request()); return err },
			"state":   func() error { _, err := x.State(ctx, st.ID, protocol.Full); return err },
			"jobs":    func() error { _, err := x.Jobs(ctx, protocol.JobQuery{Limit: 10}); return err },
			"cancel":  func() error { return x.Cancel(ctx, st.ID) },
			"release": func() error { _, err := x.ReadRelease(ctx, ids(), 0); return err },
			"fetch":   func() error { _, err := x.Fetch(ctx, read("https://data.example.org/x")); return err },
			"audit":   func() error { return x.Audit(ctx, "x", nil) },
		} {
			var e *protocol.Error
			if err := try(); !errors.As(err, &e) || e.Code != protocol.CodeDenied {
				t.Errorf("%s while publishing: %v", name, err)
			}
		}
		return []protocol.Document{{Path: "a.txt", ContentType: "text/plain", Body: []byte("a")}}, nil
	}}
	var wg sync.WaitGroup
	for range 20 {
		wg.Go(func() {
			if resp, err := h.g.Serve(ctx, pl, who, "tes", read("/published/a.txt")); err != nil || resp.Status != 200 {
				t.Errorf("%d %s (%v)", resp.Status, resp.Body, err)
			}
		})
	}
	wg.Wait()
	if n := pl.runs.Load(); n != 1 || h.number(`SELECT count(*) FROM job`) != jobs {
		t.Errorf("rendered %d times, %d jobs", n, h.number(`SELECT count(*) FROM job`)-jobs)
	}
	for name, fail := range map[string]error{"broken": errors.New("CANARY at /tmp/x"), "refused": &protocol.Error{Code: protocol.CodeInternal, Text: "CANARY ../../etc/passwd"}} {
		t.Run(name, func(t *testing.T) {
			h.g.shelves = shelves{}
			bad := press{runs: &atomic.Int32{}, make: func(protocol.Host) ([]protocol.Document, error) { return nil, fail }}
			for range 3 {
				resp, err := h.g.Serve(ctx, bad, who, "tes", read("/published/a.txt"))
				if err != nil || resp.Status < 500 {
					t.Errorf("%d (%v)", resp.Status, err)
				}
				h.clean(string(resp.Body))
			}
			if bad.runs.Load() != 1 {
				t.Errorf("a plugin that fails was asked %d times in a moment", bad.runs.Load())
			}
			if _, err := h.g.Documents(ctx, bad, who, "tes"); err == nil {
				t.Error("the failure is not told")
			}
		})
	}
}
