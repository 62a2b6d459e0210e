package hub

import (
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"

	"tresor/app/apptest/tesclient"
	"tresor/fed/task"
	"tresor/plugins/protocoltest"
)

// desk is a hub with two nodes for one trap.
type desk struct {
	*rig
	north, east *fakeNode
}

func openDesk(t *testing.T) *desk {
	r := newRig(t)
	d := &desk{rig: r, north: newFakeNode(t, "north"), east: newFakeNode(t, "east")}
	for _, n := range []*fakeNode{d.north, d.east} {
		r.enrol(n)
	}
	return d
}

func (d *desk) connect() { d.north.connect(d.rig); d.east.connect(d.rig) }

// post sends a task as it stands and gives its id.
func (d *desk) post(body string) string {
	d.t.Helper()
	status, _, answer := d.ask("POST", "/ga4gh/tes/v1/tasks", d.token, body)
	id, _ := protocoltest.At(d.t, answer, "id").(string)
	if status != 200 || id == "" || protocoltest.KeysOf(d.t, answer) != "id" {
		d.t.Fatalf("%d %s", status, answer)
	}
	return id
}

func (d *desk) read(path string) string {
	d.t.Helper()
	status, _, body := d.ask("GET", "/ga4gh/tes"+path, d.token, "")
	if status != 200 {
		d.t.Fatalf("%s: %d %s", path, status, body)
	}
	return body
}

var refusedHere = task.Answer{Status: 403, Header: map[string][]string{"Content-Type": {"application/json"}}, Body: []byte(`{"detail":"The lead said no."}`)}

// nologs answers for a task as a node does that has no word of its commands.
func nologs(w http.ResponseWriter, r *http.Request) bool {
	_, id, ok := strings.Cut(r.URL.Path, "/v1/tasks/")
	if ok {
		fmt.Fprintf(w, `{"id":%q,"state":"EXECUTOR_ERROR","executors":[],"logs":[{"logs":[],"outputs":[]}]}`, id)
	}
	return ok
}

const richTask = `{"name":"rich","description":"d","executors":[{"image":"tresor/sql","command":["echo hello"],"env":{"A":"1"},"ignore_error":true},{"image":"tresor/sql","command":["b"]}],
	"inputs":[{"path":"/a","content":"CONTENT-CANARY"}],"outputs":[{"path":"/out/x.csv","url":"s3://b/x.csv"}],"volumes":["/v"],
	"resources":{"cpu_cores":4.0,"ram_gb":0.5,"backend_parameters":{"x":"y"}},"tags":{"study":"s1","empty":""}}`

// traps are the lessons of real clients that hold for the hub's own answers; what they
// say of a single appliance is tested at plugins/builtin/tes. Each is a test of its name.
var traps = map[string]func(t *testing.T, d *desk){
	"absent means absent, and a strict decoder reads every view of every state": func(t *testing.T, d *desk) {
		d.connect()
		id := d.post(richTask)
		look := func(state string) {
			t.Helper()
			for _, v := range []string{"MINIMAL", "BASIC", "FULL"} {
				body := d.read("/v1/tasks/" + id + "?view=" + v)
				if strings.Contains(strings.ReplaceAll(body, `"empty":""`, ""), `""`) || strings.Contains(body, "null") || strings.Contains(body, "0001-01-01") {
					t.Errorf("%s, %s: %s", state, v, body)
				}
				if _, err := d.client().Get(t.Context(), id, v); err != nil {
					t.Errorf("%s, %s: %v", state, v, err)
				}
				if _, err := d.client().List(t.Context(), tesclient.Query{View: v}); err != nil {
					t.Errorf("list in %s, %s: %v", state, v, err)
				}
			}
		}
		look("QUEUED")
		for _, state := range []string{"INITIALIZING", "RUNNING"} {
			for _, n := range []*fakeNode{d.north, d.east} {
				n.set(state)
			}
			d.until(id, state)
			look(state)
		}
		d.north.release("x")
		d.untilPart(id, "north", "is complete", func(p Part) bool { return p.State == "COMPLETE" })
		look("one complete")
		d.east.set("EXECUTOR_ERROR")
		d.until(id, "SYSTEM_ERROR")
		look("SYSTEM_ERROR")
	},
	"only states that clients wait for: held at a node is RUNNING, away is QUEUED": func(t *testing.T, d *desk) {
		id := d.create("")
		if d.state(id) != "QUEUED" {
			t.Errorf("no node is there: %s", d.state(id))
		}
		d.connect()
		d.north.set("RUNNING")
		d.until(id, "RUNNING")
		for _, state := range []string{"PAUSED", "UNKNOWN", "PREEMPTED", "CANCELING", "levitating"} {
			d.east.set(state)
			d.untilPart(id, "east", "says "+state, func(p Part) bool { return strings.Contains(p.Trouble, state) })
			if got := protocoltest.At(t, d.read("/v1/tasks/"+id), "state"); got != "RUNNING" {
				t.Errorf("%s at a node is %v here", state, got)
			}
			if body := d.read("/v1/tasks?state=" + map[bool]string{true: state, false: "PAUSED"}[state != "levitating"]); body != `{"tasks":[]}` {
				t.Errorf("%s: %s", state, body)
			}
		}
	},
	"empty lists are []": func(t *testing.T, d *desk) {
		if body := d.read("/v1/tasks"); body != `{"tasks":[]}` {
			t.Error(body)
		}
		id := d.create("north")
		if body := d.read("/v1/tasks/" + id + "?view=BASIC"); !strings.Contains(body, `"logs":[{"logs":[],`) || !strings.Contains(body, `"outputs":[]`) {
			t.Error(body)
		}
		if body := d.read("/v1/service-info"); !strings.Contains(body, `"tesResources_backend_parameters":[]`) {
			t.Error(body)
		}
	},
	"cancel is cut off the last part of the address, and twice is as good as once": func(t *testing.T, d *desk) {
		for _, form := range []string{"/v1/tasks/%s:cancel", "/tasks/%s:cancel", "/v1/tasks/%s%%3Acancel", "/v1/tasks/%s:cancel/"} {
			id := d.create("")
			for range 2 {
				if status, _, body := d.ask("POST", "/ga4gh/tes"+fmt.Sprintf(form, id), d.token, ""); status != 200 || body != "{}" {
					t.Errorf("%s: %d %s", form, status, body)
				}
			}
			if got := protocoltest.At(t, d.read("/v1/tasks/"+id), "state"); got != "CANCELED" {
				t.Errorf("%s: %v", form, got)
			}
		}
	},
	"cancelling what has ended is 200 and changes nothing": func(t *testing.T, d *desk) {
		d.connect()
		id := d.create("north")
		d.north.release("x")
		d.until(id, "COMPLETE")
		if status, _, body := d.ask("POST", "/ga4gh/tes/v1/tasks/"+id+":cancel", d.token, ""); status != 200 || body != "{}" || d.state(id) != "COMPLETE" {
			t.Errorf("%d %s %s", status, body, d.state(id))
		}
	},
	"the default view is MINIMAL for get and list, exactly id and state": func(t *testing.T, d *desk) {
		id := d.post(richTask)
		for _, path := range []string{"", "?view=", "?view=MINIMAL"} {
			if keys := protocoltest.KeysOf(t, d.read("/v1/tasks/"+id+path)); keys != "id state" {
				t.Errorf("%q: %s", path, keys)
			}
			if body := d.read("/v1/tasks" + path); body != `{"tasks":[{"id":"`+id+`","state":"QUEUED"}]}` {
				t.Errorf("%q: %s", path, body)
			}
		}
	},
	"BASIC lacks content and system_logs, FULL has them": func(t *testing.T, d *desk) {
		id := d.post(richTask)
		basic, full := d.read("/v1/tasks/"+id+"?view=BASIC"), d.read("/v1/tasks/"+id+"?view=FULL")
		for _, s := range []string{"CONTENT-CANARY", "system_logs"} {
			if strings.Contains(basic, s) || !strings.Contains(full, s) {
				t.Errorf("%s: in BASIC %v, in FULL %v", s, strings.Contains(basic, s), strings.Contains(full, s))
			}
		}
	},
	"every client's way to build an address leads to the same place": func(t *testing.T, d *desk) {
		id := d.create("")
		absent, _, _ := d.ask("GET", "/ga4gh/tes/v1/tasks/absent", d.token, "")
		for _, prefix := range []string{"/v1", "", "//v1", "/ga4gh/tes/v1", "/ga4gh/tes"} {
			for _, path := range []string{"/service-info", "/tasks", "/tasks/", "/tasks/" + id, "/tasks/" + id + "/"} {
				d.read(prefix + path)
			}
			if status, _, _ := d.ask("GET", "/ga4gh/tes"+prefix+"/tasks/absent", d.token, ""); status != 404 || absent != 404 {
				t.Errorf("%s: %d", prefix, status)
			}
		}
		d.read("/v1/tasks/service-info") // the Funnel command line's
	},
	"another project's task is a 404, with the words of one that is not there": func(t *testing.T, d *desk) {
		id := d.create("")
		_, err := d.s.CreateProject(t.Context(), d.operator, ProjectDraft{Slug: "borealis", Name: "Borealis"})
		must(t, err)
		_, err = d.s.SetMember(t.Context(), d.operator, "borealis", d.rosa.ID, "researcher")
		must(t, err)
		p, err := d.s.Project(t.Context(), d.operator, "borealis")
		must(t, err)
		d.rosa.Projects[p.ID] = "researcher"
		other, err := d.s.NewToken(t.Context(), d.rosa, TokenDraft{Name: "x", Project: "borealis"})
		must(t, err)
		for _, c := range [][2]string{{"GET", ""}, {"GET", "?view=FULL"}, {"POST", ":cancel"}} {
			s1, _, b1 := d.ask(c[0], "/ga4gh/tes/v1/tasks/"+id+c[1], other.Token, "")
			s2, _, b2 := d.ask(c[0], "/ga4gh/tes/v1/tasks/absent"+c[1], other.Token, "")
			if s1 != 404 || s2 != 404 || b1 != b2 {
				t.Errorf("%s %s: %d %s and %d %s", c[0], c[1], s1, b1, s2, b2)
			}
		}
		if _, _, body := d.ask("GET", "/ga4gh/tes/v1/tasks", other.Token, ""); body != `{"tasks":[]}` {
			t.Error(body)
		}
	},
	"size_bytes is a string, and outputs are here when the task is COMPLETE": func(t *testing.T, d *desk) {
		d.connect()
		id := d.create("north")
		d.north.release("0123")
		d.until(id, "COMPLETE")
		body := d.read("/v1/tasks/" + id + "?view=BASIC")
		if protocoltest.At(t, body, "logs", 0, "outputs", 0, "size_bytes") != "4" {
			t.Error(body)
		}
		address, _ := protocoltest.At(t, body, "logs", 0, "metadata", "results").(string)
		if _, err := d.client().Fetch(t.Context(), address); err != nil {
			t.Errorf("%s: %v", address, err)
		}
	},
	"a task that failed in an executor has an executor log where Nextflow looks": func(t *testing.T, d *desk) {
		d.connect()
		id := d.create("")
		d.north.set("EXECUTOR_ERROR")
		d.east.do(func() { d.east.lie = nologs })
		d.east.set("EXECUTOR_ERROR")
		d.until(id, "EXECUTOR_ERROR")
		for _, v := range []string{"BASIC", "FULL"} {
			body := d.read("/v1/tasks/" + id + "?view=" + v)
			for i := range 2 {
				if code, ok := protocoltest.At(t, body, "logs", i, "logs", 0, "exit_code").(float64); !ok || protocoltest.At(t, body, "logs", i, "metadata", "node") == "east" && code == 0 {
					t.Errorf("%s: %s", v, body)
				}
			}
		}
	},
	"the node that failed comes first in the logs of a failed task": func(t *testing.T, d *desk) {
		d.connect()
		id := d.create("")
		d.east.set("CANCELED") // sorts before north
		d.north.set("EXECUTOR_ERROR")
		d.until(id, "EXECUTOR_ERROR")
		body := d.read("/v1/tasks/" + id + "?view=FULL")
		if protocoltest.At(t, body, "logs", 0, "metadata", "node") != "north" || protocoltest.At(t, body, "logs", 0, "logs", 0, "exit_code") == nil {
			t.Error(body)
		}
	},
	"refused work says why in system_logs": func(t *testing.T, d *desk) {
		d.north.refuse = &refusedHere
		d.connect()
		id := d.create("north")
		d.until(id, "SYSTEM_ERROR")
		body := d.read("/v1/tasks/" + id + "?view=FULL")
		if !strings.Contains(fmt.Sprint(protocoltest.At(t, body, "logs", 0, "system_logs")), "The lead said no.") || protocoltest.At(t, body, "logs", 0, "start_time") != nil {
			t.Error(body)
		}
	},
	"what the server owns is ignored, and so is what it does not know": func(t *testing.T, d *desk) {
		id := d.post(`{"id":"mine","state":"COMPLETE","logs":[{"system_logs":["FORGED"]}],"creation_time":"1999-01-01T00:00:00Z","executors":[{"image":"i","command":["a"],"gpu":1}],"future":{"a":null},"inputs":[{"path":"/a","content":"x","etag":2}]}`)
		body := d.read("/v1/tasks/" + id + "?view=FULL")
		if id == "mine" || protocoltest.At(t, body, "state") != "QUEUED" {
			t.Error(body)
		}
		for _, s := range []string{"FORGED", "1999", "future", "gpu", "etag", "mine"} {
			if strings.Contains(body, s) {
				t.Errorf("%s came back: %s", s, body)
			}
		}
		d.connect()
		sent := fmt.Sprint(d.north.only().body)
		for _, s := range []string{"FORGED", "1999", "future", "gpu", "etag", "mine"} {
			if strings.Contains(sent, s) {
				t.Errorf("%s was sent on: %s", s, sent)
			}
		}
	},
	"fields reach the nodes as they were meant": func(t *testing.T, d *desk) {
		d.connect()
		id := d.post(richTask)
		sent, err := json.Marshal(d.north.only().body)
		must(t, err)
		for _, s := range []string{`"command":["echo hello"]`, `"ignore_error":true`, `"content":"CONTENT-CANARY"`, `"cpu_cores":4,`, `"backend_parameters":{"x":"y"}`, `"volumes":["/v"]`, `"url":"s3://b/x.csv"`, `"study":"s1"`} {
			if !strings.Contains(string(sent), s) {
				t.Errorf("%s is not in %s", s, sent)
			}
		}
		body := d.read("/v1/tasks/" + id + "?view=BASIC")
		if protocoltest.At(t, body, "inputs", 0, "type") != "FILE" || protocoltest.At(t, body, "outputs", 0, "type") != "FILE" || !strings.Contains(body, `"cpu_cores":4,`) {
			t.Errorf("type or cores: %s", body)
		}
	},
	"content of 128 KiB and of 256 KiB is taken, and a task of 1 MiB in all": func(t *testing.T, d *desk) {
		for _, n := range []int{128 << 10, 256 << 10} {
			d.post(`{"executors":[{"image":"i","command":["a"]}],"inputs":[{"path":"/a","content":"` + strings.Repeat("a", n) + `"}]}`)
		}
		if status, _, _ := d.ask("POST", "/ga4gh/tes/v1/tasks", d.token, `{"executors":[{"image":"i","command":["a"]}],"inputs":[{"path":"/a","content":"`+strings.Repeat("a", 256<<10+1)+`"}]}`); status != 413 {
			t.Errorf("more: %d", status)
		}
		many := strings.Repeat(`{"path":"/a","content":"`+strings.Repeat("a", 250<<10)+`"},`, 5)
		if status, _, body := d.ask("POST", "/ga4gh/tes/v1/tasks", d.token, `{"executors":[{"image":"i","command":["a"]}],"inputs":[`+many[:len(many)-1]+`]}`); status != 413 || !strings.Contains(body, "1 MiB") {
			t.Errorf("more than any node takes: %d %s", status, body)
		}
	},
	"tags are zipped by position, newest first, and a full last page has no token": func(t *testing.T, d *desk) {
		first, second := d.post(withTags(`{"a":"1","b":"","c":"3"}`)), d.post(withTags(`{"a":"1","b":"2"}`))
		for query, want := range map[string][]string{
			"tag_key=a&tag_key=b&tag_key=c&tag_value=1&tag_value=": {first},
			"tag_key=a&tag_value=1":                                {second, first},
			"tag_key=b&tag_value=":                                 {second, first},
			"tag_key=b&tag_value=2":                                {second},
			"page_size=2":                                          {second, first},
			"name_prefix=":                                         {second, first},
		} {
			body := d.read("/v1/tasks?" + query)
			var got []string
			for i := 0; protocoltest.At(t, body, "tasks", i) != nil; i++ {
				got = append(got, protocoltest.At(t, body, "tasks", i, "id").(string))
			}
			if !slices.Equal(got, want) || protocoltest.At(t, body, "next_page_token") != nil {
				t.Errorf("%s: %s", query, body)
			}
		}
	},
	"service-info names the version of the specification, and stays the same": func(t *testing.T, d *desk) {
		body := d.read("/v1/service-info")
		if protocoltest.At(t, body, "type", "version") != "1.1.0" || protocoltest.At(t, body, "type", "artifact") != "tes" || protocoltest.At(t, body, "storage") != nil || !strings.HasPrefix(protocoltest.At(t, body, "organization", "url").(string), "http") {
			t.Error(body)
		}
		if again := d.read("/service-info"); again != body {
			t.Error("service-info changes from one request to the next")
		}
	},
}

func TestTraps(t *testing.T) {
	for name, trap := range traps {
		t.Run(name, func(t *testing.T) { trap(t, openDesk(t)) })
	}
}
