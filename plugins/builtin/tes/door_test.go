package tes_test

import (
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"tresor/plugins/builtin/tes"
	"tresor/plugins/protocol"
)

// door is the appliance's door around the plugin: a real HTTP server.
type door struct {
	t      testing.TB
	host   *memory
	server *httptest.Server
	kind   string // of the caller
	bound  string // project that the caller is bound to
	set    protocol.Settings
}

func open(t testing.TB) *door {
	d := &door{t: t, host: newMemory(), kind: protocol.CallerClient}
	d.server = httptest.NewServer(d)
	t.Cleanup(d.server.Close)
	return d
}

const correlation = "corr-42"

func (d *door) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	path, ok := strings.CutPrefix(r.URL.EscapedPath(), "/ga4gh/tes")
	if err != nil || !ok {
		http.Error(w, "no door", http.StatusTeapot)
		return
	}
	header := r.Header.Clone()
	header.Del("Authorization")
	resp, err := tes.New().ServeRequest(r.Context(), protocol.Request{
		Method: r.Method, Path: path, Query: r.URL.RawQuery, Header: header, Body: body, Base: d.server.URL + "/ga4gh/tes",
		Caller: protocol.Caller{Principal: d.host.principal, Kind: d.kind, Name: "Client", Project: d.bound}, Settings: d.set, Correlation: correlation,
	}, d.host)
	if err != nil {
		d.t.Errorf("%s %s: the call failed: %v", r.Method, r.URL, err)
	}
	if resp.Release != nil {
		d.release(w, resp)
		return
	}
	for k, v := range resp.Header {
		w.Header()[k] = v
	}
	w.WriteHeader(resp.Status)
	_, _ = w.Write(resp.Body)
}

// release sends released bytes, as the host does: the plugin has only named them.
func (d *door) release(w http.ResponseWriter, resp protocol.Response) {
	files, ok := d.host.releases[resp.Release.ID]
	text, found := files[resp.Release.Path]
	if !ok || resp.Release.Path != "" && !found {
		http.Error(w, "There is no such release.", http.StatusNotFound)
		return
	}
	for k, v := range resp.Header {
		w.Header()[k] = v
	}
	if resp.Release.Path == "" {
		text = "zip of " + resp.Release.ID
	}
	_, _ = io.WriteString(w, text)
}

// reply is an answer as it came over the wire.
type reply struct {
	status int
	header http.Header
	body   string
}

func (d *door) send(method, path, body string, header ...string) reply {
	d.t.Helper()
	r, err := http.NewRequest(method, d.server.URL+"/ga4gh/tes"+path, strings.NewReader(body))
	if err != nil {
		d.t.Fatal(err)
	}
	for i := 0; i+1 < len(header); i += 2 {
		r.Header.Add(header[i], header[i+1])
	}
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		d.t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		d.t.Fatal(err)
	}
	return reply{resp.StatusCode, resp.Header, string(b)}
}

// get asks and expects success.
func (d *door) get(path string) string {
	d.t.Helper()
	r := d.send("GET", path, "")
	if r.status != 200 || r.header.Get("Content-Type") != "application/json" {
		d.t.Fatalf("GET %s: %d %s %s", path, r.status, r.header.Get("Content-Type"), r.body)
	}
	return r.body
}

const plain = `{"executors":[{"image":"debian:12","command":["true"]}]}`

// create makes a task and expects success; it gives the id.
func (d *door) create(body string) string {
	d.t.Helper()
	r := d.send("POST", "/v1/tasks", body)
	var out struct{ ID string }
	if err := json.Unmarshal([]byte(r.body), &out); err != nil || r.status != 200 || out.ID == "" {
		d.t.Fatalf("create: %d %s", r.status, r.body)
	}
	return out.ID
}

// refuses sends what must be refused with a problem document that says says, and
// asserts that no job came of it and that what the sender wrote is not quoted at length.
func (d *door) refuses(status int, says, method, path, body string, header ...string) {
	d.t.Helper()
	before := d.host.count()
	r := d.send(method, path, body, header...)
	var p struct {
		Type, Title, Detail, Code, Correlation string
		Status                                 int
	}
	if err := json.Unmarshal([]byte(r.body), &p); err != nil || r.header.Get("Content-Type") != "application/problem+json" {
		d.t.Fatalf("%s %s: no problem document: %.300s", method, path, r.body)
	}
	if r.status != status || p.Status != status || !strings.Contains(p.Detail, says) || p.Code == "" || p.Title == "" || p.Correlation != correlation {
		d.t.Errorf("%s %s: %d %+v, want %d and %q", method, path, r.status, p, status, says)
	}
	if len(r.body) > 1500 {
		d.t.Errorf("%s %s: a refusal of %d bytes", method, path, len(r.body))
	}
	if d.host.count() != before {
		d.t.Errorf("%s %s: refused, but a job was made", method, path)
	}
}
