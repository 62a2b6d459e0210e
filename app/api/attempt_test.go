package api

import (
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"tresor/app/access"
)

// testBinary stands in for the program that the built-in image is made from.
func testBinary(t testing.TB) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "tresor")
	if err := os.WriteFile(path, []byte("not really a program"), 0o755); err != nil {
		t.Fatal(err)
	}
	return path
}

// bodies are requests that get past decoding, so that the domain's own access
// check is what answers.
var bodies = map[string]string{
	"PUT /projects/{project}/members/{person}":                             `{"role":"researcher"}`,
	"POST /projects/{project}/jobs":                                        `{"name":"again","purpose":"To count.","sql":[{"output":"a.csv","sql":"SELECT 1 AS one"}]}`,
	"POST /airlock/{request}/votes":                                        `{"decision":"approve","comment":"Fine."}`,
	"POST /airlock/{request}/comments":                                     `{"text":"A remark."}`,
	"PATCH /airlock/{request}":                                             `{"title":"Another title"}`,
	"POST /images/{digest}/approve":                                        `{"reason":"A test."}`,
	"POST /images/{digest}/revoke":                                         `{"reason":"A test."}`,
	"POST /jobs/{job}/cancel":                                              `{"reason":"A test."}`,
	"POST /jobs/{job}/approve":                                             `{"reason":"A test."}`,
	"POST /jobs/{job}/refuse":                                              `{"reason":"A test."}`,
	"POST /federation/pause":                                               `{"paused":true}`,
	"POST /federation/hubs":                                                `{"url":"wss://hub.example","code":"x","name":"North"}`,
	"POST /federation/codes":                                               `{"name":"North"}`,
	"POST /federation/sources":                                             `{"prefix":"https://data.example/open/","kind":"https"}`,
	"POST /federation/principals":                                          `{"name":"Another client"}`,
	"PATCH /federation/principals/{principal}":                             `{"approval":"every"}`,
	"POST /federation/principals/{principal}/pause":                        `{"paused":true}`,
	"POST /federation/principals/{principal}/revoke":                       `{"reason":"A test."}`,
	"POST /projects/{project}/members/{person}/remove":                     `{"reason":"A test."}`,
	"POST /projects/{project}/datasets/{dataset}/revoke":                   `{"reason":"A test."}`,
	"POST /federation/principals/{principal}/projects/{project}/take-back": `{"reason":"A test."}`,
	"POST /tokens/{token}/revoke":                                          `{"reason":"A test."}`,
	"POST /plugins/{plugin}/forget":                                        `{"reason":"A test."}`,
	"POST /plugins":                                                        `{"path":"/opt/plugin","sha256":"00"}`,
	"PUT /plugins/{plugin}/settings":                                       `{"settings":{"token":"` + pluginSecret + `"}}`,
}

func (w *world) bodyOf(rt Route, column string) string {
	key := rt.Method + " " + rt.Path
	switch key {
	case "POST /tokens":
		project := map[bool]string{true: "borealis", false: "aurora"}[column == "outsider"]
		return `{"name":"laptop","project":"` + project + `","days":7}`
	case "PATCH /projects/{project}":
		if column == "steward" {
			return `{"threshold":10}`
		}
		return `{"name":"Aurora"}`
	case "PUT /federation/principals/{principal}/projects/{project}":
		return `{"sponsor":"` + w.people["researcher"].ID + `","datasets":["health"]}`
	case "POST /jobs/{job}/airlock":
		return `{"title":"Again","outputs":["` + w.output + `"]}`
	}
	return bodies[key]
}

// provers answer 403 for a wrong proof, which is not a refusal of the door.
var provers = map[string]bool{"/session/step-up": true, "/session/password": true, "/session/totp": true, "/session/totp/confirm": true}

// restore undoes what the attempt before may have changed.
func (w *world) restore(t testing.TB, rt Route) {
	t.Helper()
	switch {
	case w.members != nil:
		clear(w.tokens) // signing out is among the routes
	case strings.Contains(rt.Path, "{principal}"):
		w.befriend(t)
	case strings.Contains(rt.Path, "{source}"):
		w.allow(t)
	case strings.HasSuffix(rt.Path, "/tree"):
		w.plant(t, "counts/visits.csv")
	case strings.Contains(rt.Path, "/members/"):
		w.join(t, w.aurora, "extra", access.Researcher)
	case strings.Contains(rt.Path, "/datasets/{dataset}") && strings.Contains(rt.Path, "{project}"):
		if _, err := w.server.Projects.Grant(t.Context(), access.System, w.aurora, w.dataset); err != nil {
			t.Fatal(err)
		}
	case strings.HasPrefix(rt.Path, "/session"):
		clear(w.tokens)
	}
}

// attempt sends one request of a route as a column.
func (w *world) attempt(t testing.TB, rt Route, column string) reply {
	t.Helper()
	path := w.pathOf(t, rt, column)
	switch {
	case rt.body == Multipart:
		body, media := form(t, nil, map[string]string{"people.csv": csvData(30)})
		return w.send(t, column, rt.Method, path, media, body)
	case rt.body == Stream:
		return w.send(t, column, rt.Method, path, "application/x-tar", strings.NewReader("no archive"))
	case rt.body == JSON:
		body := w.bodyOf(rt, column)
		if body == "" {
			body = "{}"
		}
		return w.send(t, column, rt.Method, path, "application/json", io.Reader(strings.NewReader(body)))
	}
	return w.send(t, column, rt.Method, path, "", nil)
}

func (w *world) pathOf(t testing.TB, rt Route, column string) string {
	t.Helper()
	values := map[string]string{"project": w.aurora, "person": w.people["extra"].ID, "dataset": w.dataset, "n": "1", "digest": w.digest(t), "node": "n1", "task": "t1",
		"job": w.job, "output": w.output, "request": w.request, "item": w.item, "release": w.release, "seq": "0", "place": "0", "session": "none",
		"principal": w.principal, "source": w.source, "token": w.machineToken, "plugin": "tes"}
	if strings.Contains(rt.Path, "{session}") && column != "none" {
		whose := column
		if column == "local" {
			whose = "extra"
		}
		_, x, err := w.server.Identity.Peek(t.Context(), w.token(t, whose))
		if err != nil {
			t.Fatal(err)
		}
		values["session"] = x.ID
	}
	if strings.Contains(rt.Path, "{place}") && w.asked != "" {
		values["job"] = w.asked
	}
	path := rt.Path
	for _, name := range rt.wildcards() {
		if values[name] == "" {
			t.Fatalf("%s: no value for {%s}", rt.Path, name)
		}
		path = strings.Replace(path, "{"+name+"}", values[name], 1)
	}
	switch {
	case rt.Socket:
		path += "?topic=home"
	case rt.Path == "/projects/{project}/tree" && rt.Method == "DELETE":
		path += "?path=counts"
	}
	return path
}

func (w *world) digest(t testing.TB) string {
	t.Helper()
	if w.server.Images == nil {
		return "none"
	}
	all, err := w.server.Images.List(t.Context(), access.System)
	if err != nil || len(all) == 0 {
		t.Fatalf("no image: %v", err)
	}
	return all[0].Digest
}
