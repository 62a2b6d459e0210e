package tes_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"testing"

	"tresor/plugins/protocol"
	"tresor/plugins/protocoltest"
)

func TestEveryFieldReachesTheHost(t *testing.T) {
	d := open(t)
	d.create(strings.Replace(rich, `"empty":""`, `"empty":"","project":"aurora"`, 1))
	got := d.host.last()
	doc := got.Document
	got.Document = nil
	want := protocol.JobRequest{
		Project: "aurora", Name: "rich", Description: "d",
		Tasks: []protocol.Task{
			{Image: "debian:12", Argv: []string{"sh", "-c", "exit 3"}, Env: []string{"A=1", "B=2"}, Workdir: "/work", Stdin: "/data/a.csv", Stdout: "/out/o", Stderr: "/out/e", IgnoreError: true},
			{Image: "debian:12", Argv: []string{"true"}},
		},
		Inputs: []protocol.Input{
			{Path: "/data/a.csv", Source: "tresor://dataset/rand@2/a.csv"},
			{Path: "/in/q.json", HasContent: true, Content: []byte("CONTENT-CANARY")},
			{Path: "/data/all", Directory: true, Source: "file:///project/all/"},
		},
		Outputs: []protocol.Output{
			{Path: "/out/out.csv", Target: "s3://bucket/out.csv"},
			{Path: "/out/*.part", Prefix: "/out", Target: "file:///project/parts/"},
			{Path: "/out/logs", Directory: true, Target: "file:///home/me/run1/logs"},
		},
		Volumes:   []string{"/vol/A"},
		Resources: protocol.Resources{Cores: 2, RAM: 1.5, Disk: 3, WallMS: 90 * 60_000},
		Tags:      map[string]string{"WORKFLOW_ID": "cwl-01234", "empty": "", "project": "aurora"},
		Notes:     []string{"disk_gb bounds the size of each file here, and of all outputs together: what is larger is not taken. What a task writes besides is bounded by the disk alone, which is shared and of which nothing is set aside."},
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("\n got %+v\nwant %+v", got, want)
	}
	if keys := protocoltest.KeysOf(t, string(doc)); keys != "description executors inputs name outputs resources tags volumes" {
		t.Errorf("the document has %s", keys)
	}
}

func TestTheTaskComesBackAsItWasAccepted(t *testing.T) {
	d := open(t)
	var sent, back map[string]any
	if err := json.Unmarshal([]byte(rich), &sent); err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal([]byte(d.get("/v1/tasks/"+d.create(rich)+"?view=FULL")), &back); err != nil {
		t.Fatal(err)
	}
	for _, owned := range []string{"id", "state", "creation_time", "logs"} {
		delete(sent, owned)
		delete(back, owned)
	}
	for _, list := range []string{"inputs", "outputs"} {
		for _, x := range sent[list].([]any) {
			if m := x.(map[string]any); m["type"] == nil {
				m["type"] = "FILE"
			}
		}
	}
	res := sent["resources"].(map[string]any)
	delete(res, "preemptible") // false is what it is without it
	if !reflect.DeepEqual(sent, back) {
		t.Errorf("\nsent %v\nback %v", sent, back)
	}
}

func TestProjects(t *testing.T) {
	for name, c := range map[string]struct{ bound, tag, want string }{
		"the tag":                      {"", `"project":"aurora"`, "aurora"},
		"the caller's":                 {"aurora", `"a":"b"`, "aurora"},
		"neither: the host decides":    {"", `"a":"b"`, ""},
		"both: the host compares":      {"borealis", `"project":"aurora"`, "aurora"},
		"an empty tag is the caller's": {"aurora", `"project":""`, "aurora"},
	} {
		d := open(t)
		d.bound = c.bound
		d.create(task(`"tags":{` + c.tag + `}`))
		if got := d.host.last().Project; got != c.want {
			t.Errorf("%s: %q", name, got)
		}
	}
	d := open(t)
	d.refuses(403, "There is no such project", "POST", "/v1/tasks", task(`"tags":{"project":"borealis"}`))
}

func TestIdempotency(t *testing.T) {
	d := open(t)
	send := func(body, key string) reply { return d.send("POST", "/v1/tasks", body, "idempotency-key", key) }
	first := send(plain, "key-1")
	if again := send(plain, "key-1"); again.status != 200 || again.body != first.body || d.host.count() != 1 {
		t.Errorf("the same again: %d %s", again.status, again.body)
	}
	if spaced := send(" "+plain+"\n", "key-1"); spaced.body != first.body {
		t.Errorf("the same task in another spelling: %s", spaced.body)
	}
	d.refuses(409, "Another task", "POST", "/v1/tasks", task(`"name":"other"`), "Idempotency-Key", "key-1")
	if other := send(plain, "key-2"); other.body == first.body {
		t.Error("another key gives the same task")
	}
	d.create(plain)
	d.create(plain)
	if d.host.count() != 4 {
		t.Errorf("%d tasks: without a key each is a new one", d.host.count())
	}
	d.refuses(400, "1 to 200 printable", "POST", "/v1/tasks", plain, "Idempotency-Key", strings.Repeat("k", 201))
	d.refuses(400, "given once", "POST", "/v1/tasks", plain, "Idempotency-Key", "a", "Idempotency-Key", "b")
	d.refuses(400, "printable ASCII", "POST", "/v1/tasks", plain, "Idempotency-Key", "schlüssel")
}

func TestAddressesOfInputs(t *testing.T) {
	d := open(t)
	for u, want := range map[string]string{
		"tresor://dataset/rand":           "",
		"tresor://dataset/rand@3":         "",
		"tresor://dataset/rand/a/b.csv":   "",
		"TRESOR://dataset/rand":           "", // a scheme counts without regard to case
		"https://example.org/a?x=a@b":     "",
		"HTTPS://example.org/a":           "",
		"s3://bucket/a@b":                 "",
		"drs://example.org/0c1f":          "",
		"file:///project/a%20b.csv":       "",
		"file:///project/100%.csv":        "",
		"/project/work/ab/.command.run":   "", // as Nextflow has it
		"/project/../etc/passwd":          "climbs",
		"/projects/a":                     "names a file on some computer",
		"/etc/passwd":                     "names a file on some computer",
		"tresor://dataset/":               "tresor://dataset/NAME",
		"tresor://release/1":              "tresor://dataset/NAME",
		"tresor://dataset/rand/../x":      "tresor://dataset/NAME",
		"tresor://dataset/rand//x":        "tresor://dataset/NAME",
		"https://me:secret@example.org/a": "no user name or password",
		"https://me@example.org":          "no user name or password",
		"https://":                        "names a server",
		"s3:///key":                       "names a server",
		"ftp://example.org/a":             "not read here",
		"http://example.org/a":            "not read here",
		"gs://bucket/a":                   "not read here",
		"data:text/plain,hello":           "no address",
		"javascript:alert(1)":             "no address",
		"unix:///run/podman.sock":         "not read here",
		"a.csv":                           "no address",
		"../a.csv":                        "no address",
		"file:///project/":                "root folder",
		"file:///project//etc/passwd":     "not clean",
		"file:///project/./a":             "not clean",
		"file:///project/a/":              "ends with a slash",
		"file:///project/a/..%2f..%2fb":   "climbs",
		"file:///etc/passwd":              "names a file on some computer",
		"file:///proc/self/environ":       "names a file on some computer",
		"file://tresor/project/a":         "names a file on some computer",
	} {
		body := task(fmt.Sprintf(`"inputs":[{"path":"/a","url":%q}]`, u))
		if want == "" {
			d.create(body)
			continue
		}
		d.refuses(400, want, "POST", "/v1/tasks", body)
		if r := d.send("POST", "/v1/tasks", body); strings.Contains(r.body, "secret") || strings.Contains(r.body, "passwd") {
			t.Errorf("the refusal repeats the address: %s", r.body)
		}
	}
}

func TestTargetsInside(t *testing.T) {
	d := open(t)
	for members, want := range map[string]string{
		`{"path":"/a","url":"file:///project/out/a.csv"}`:                    "",
		`{"path":"/a","url":"file:///project/","type":"DIRECTORY"}`:          "",
		`{"path":"/a/*","url":"file:///project/","path_prefix":"/a"}`:        "",
		`{"path":"/a/*","url":"file:///project/x/","path_prefix":"/a/"}`:     "",
		`{"path":"/a/*","url":"/project/x","path_prefix":"/a"}`:              "",
		`{"path":"/a","url":"/project/../x"}`:                                "climbs",
		`{"path":"/a","url":"file:///project"}`:                              "slash at the end",
		`{"path":"/a","url":"file:///project/"}`:                             "root folder",
		`{"path":"/a","url":"file:///project/../../etc/cron.d/x"}`:           "climbs",
		`{"path":"/a","url":"file:///project/%2e%2e/x"}`:                     "climbs",
		`{"path":"/a/*","url":"file:///project/a/../x/","path_prefix":"/a"}`: "climbs",
		`{"path":"/a","url":"file:///project/a\u0000b"}`:                     "NUL",
		`{"path":"/a","url":"file:///project/a\nb"}`:                         "control character",
	} {
		if body := task(`"outputs":[` + members + `]`); want == "" {
			d.create(body)
		} else {
			d.refuses(400, want, "POST", "/v1/tasks", body)
		}
	}
	d.refuses(400, "inputs[0] has the same path", "POST", "/v1/tasks", task(`"inputs":[{"path":"/a","type":"DIRECTORY","url":"file:///project/x"},{"path":"/a/","type":"DIRECTORY","url":"file:///project/y"}]`))
}

func TestParameters(t *testing.T) {
	d := open(t)
	for value, ok := range map[string]bool{"1": true, "527040": true, "0": false, "-5": false, "527041": false, "1.5": false, "": false, "five": false, "99999999999999999999": false} {
		body := task(fmt.Sprintf(`"resources":{"backend_parameters":{"wall_time_minutes":%q}}`, value))
		if ok {
			d.create(body)
		} else {
			d.refuses(400, "whole number of minutes", "POST", "/v1/tasks", body)
		}
	}
	d.refuses(400, "given twice", "POST", "/v1/tasks", task(`"resources":{"backend_parameters":{"wall_time_minutes":"1","WALL_TIME_MINUTES":"2"}}`))
	d.create(task(`"resources":{"preemptible":true,"zones":["eu-1"]}`))
	if notes := strings.Join(d.host.last().Notes, "|"); !strings.Contains(notes, "preemptible has no effect") || !strings.Contains(notes, "zones have no effect") {
		t.Error(notes)
	}
}

func TestErrorsOfTheHost(t *testing.T) {
	for code, status := range map[string]int{
		protocol.CodeNotFound: 404, protocol.CodeInvalid: 400, protocol.CodeDenied: 403, protocol.CodeConflict: 409, protocol.CodeUnavailable: 503,
		protocol.CodeExhausted: 429, protocol.CodeUnsupported: 501, protocol.CodeInternal: 500,
	} {
		d := open(t)
		id := d.create(plain)
		d.host.refusal = refused(code, "What happened. The next step. (word; reference 7)")
		for _, c := range []struct{ method, path, body string }{{"POST", "/v1/tasks", plain}, {"GET", "/v1/tasks/" + id, ""}, {"GET", "/v1/tasks?page_size=1", ""}, {"POST", "/v1/tasks/" + id + ":cancel", ""}} {
			d.refuses(status, "What happened. The next step. (word; reference 7)", c.method, c.path, c.body)
			retry := d.send(c.method, c.path, c.body).header.Get("Retry-After")
			if (retry != "") != (status == 429 || status == 503) {
				t.Errorf("%s: Retry-After %q", code, retry)
			}
		}
	}
	for _, err := range []error{errors.New("SQL-CANARY: no such table"), &protocol.Error{Code: "made-up", Text: "TEXT-CANARY"}} {
		d := open(t)
		d.host.refusal = err
		d.refuses(500, "tell the operator the correlation id", "POST", "/v1/tasks", plain)
		if r := d.send("GET", "/v1/tasks", ""); strings.Contains(r.body, "CANARY") {
			t.Errorf("a cause reached the caller: %s", r.body)
		}
	}
}

func TestWrongMethods(t *testing.T) {
	d := open(t)
	id := d.create(plain)
	for path, allow := range map[string]string{
		"/v1/service-info": "GET, HEAD", "/v1/tasks": "GET, HEAD, POST", "/v1/tasks/" + id: "GET, HEAD", "/v1/tasks/" + id + ":cancel": "POST", "/releases/r1/a": "GET, HEAD",
	} {
		for _, m := range []string{"GET", "HEAD", "POST", "PUT", "DELETE", "PATCH", "OPTIONS", "get", "TRACE"} {
			fits := false
			for a := range strings.SplitSeq(allow, ", ") {
				fits = fits || a == m
			}
			if r := d.send(m, path, plain); fits != (r.status != 405) || !fits && r.header.Get("Allow") != allow {
				t.Errorf("%s %s: %d, Allow %q", m, path, r.status, r.header.Get("Allow"))
			}
		}
	}
	if r := d.send("HEAD", "/v1/tasks/"+id, ""); r.status != 200 || r.body != "" || r.header.Get("Content-Type") != "application/json" {
		t.Errorf("%+v", r)
	}
}
