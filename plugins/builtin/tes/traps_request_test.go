package tes_test

import (
	"fmt"
	"strings"
	"testing"
	"tresor/plugins/protocoltest"
)

// requestTraps are lessons of what real clients send; each is a test of its name.
var requestTraps = map[string]func(t *testing.T, d *door){
	"content wins over url, and is never shown in BASIC": func(t *testing.T, d *door) {
		id := d.create(task(`"inputs":[{"path":"/a","content":"CONTENT-CANARY","url":"ftp://nowhere/x"}]`))
		if in := d.host.last().Inputs[0]; !in.HasContent || string(in.Content) != "CONTENT-CANARY" || in.Source != "" {
			t.Errorf("%+v", in)
		}
		if body := d.get("/v1/tasks/" + id + "?view=BASIC"); strings.Contains(body, "CANARY") || !strings.Contains(body, `"path":"/a"`) {
			t.Error(body)
		}
		if body := d.get("/v1/tasks/" + id + "?view=FULL"); !strings.Contains(body, "CONTENT-CANARY") {
			t.Error(body)
		}
	},
	"content of 128 KiB and of 256 KiB is taken": func(t *testing.T, d *door) {
		for _, n := range []int{128 << 10, 256 << 10} {
			d.create(task(`"inputs":[{"path":"/a","content":"` + strings.Repeat("a", n) + `"}]`))
		}
		d.refuses(413, "256 KiB", "POST", "/v1/tasks", task(`"inputs":[{"path":"/a","content":"`+strings.Repeat("a", 256<<10+1)+`"}]`))
	},
	"type is filled in": func(t *testing.T, d *door) {
		id := d.create(task(`"inputs":[{"path":"/a","content":"x"}],"outputs":[{"path":"/b","url":"s3://b"}]`))
		body := d.get("/v1/tasks/" + id + "?view=BASIC")
		if protocoltest.At(t, body, "inputs", 0, "type") != "FILE" || protocoltest.At(t, body, "outputs", 0, "type") != "FILE" {
			t.Error(body)
		}
	},
	"cpu_cores is a whole number in and out": func(t *testing.T, d *door) {
		id := d.create(task(`"resources":{"cpu_cores":4.0}`))
		if body := d.get("/v1/tasks/" + id + "?view=BASIC"); !strings.Contains(body, `"cpu_cores":4}`) {
			t.Error(body)
		}
		d.refuses(400, "resources.cpu_cores: ", "POST", "/v1/tasks", task(`"resources":{"cpu_cores":1.5}`))
	},
	"what the server owns is ignored, and so is what it does not know": func(t *testing.T, d *door) {
		id := d.create(`{"id":"mine","state":"COMPLETE","logs":[{"system_logs":["FORGED"]}],"creation_time":"1999-01-01T00:00:00Z","executors":[{"image":"i","command":["a"],"gpu":1}],"future":{"a":null},"inputs":[{"path":"/a","content":"x","etag":2}]}`)
		body := d.get("/v1/tasks/" + id + "?view=FULL")
		if id == "mine" || protocoltest.At(t, body, "state") != "QUEUED" || protocoltest.At(t, body, "logs") != nil {
			t.Error(body)
		}
		for _, s := range []string{"FORGED", "1999", "future", "gpu", "etag", "mine"} {
			if strings.Contains(body, s) {
				t.Errorf("%s came back: %s", s, body)
			}
		}
	},
	"several executors in order, with their errors ignored or not": func(t *testing.T, d *door) {
		d.create(rich)
		tasks := d.host.last().Tasks
		if len(tasks) != 2 || !tasks[0].IgnoreError || tasks[1].IgnoreError || tasks[0].Argv[2] != "exit 3" || strings.Join(tasks[0].Env, ",") != "A=1,B=2" {
			t.Errorf("%+v", tasks)
		}
	},
	"a command is argv: one element is a program and no shell line": func(t *testing.T, d *door) {
		d.create(`{"executors":[{"image":"i","command":["echo hello"]}]}`)
		if argv := d.host.last().Tasks[0].Argv; len(argv) != 1 || argv[0] != "echo hello" {
			t.Errorf("%q", argv)
		}
		d.refuses(400, "write a list", "POST", "/v1/tasks", `{"executors":[{"image":"i","command":"echo hello"}]}`)
	},
	"a workdir that is also an output folder that holds another output": func(t *testing.T, d *door) {
		d.create(`{"executors":[{"image":"i","command":["a"],"workdir":"/AbCdEf","env":{"HOME":"/AbCdEf","TMPDIR":"/tmp"}}],"outputs":[{"path":"/AbCdEf","url":"file:///x/","type":"DIRECTORY"},{"path":"/AbCdEf/out.txt","url":"file:///x/out.txt"}]}`)
		if r := d.host.last(); len(r.Outputs) != 2 || r.Tasks[0].Workdir != "/AbCdEf" {
			t.Errorf("%+v", r)
		}
	},
	"backend parameters: keys without regard to case, unknown ones dropped with a note": func(t *testing.T, d *door) {
		id := d.create(task(`"resources":{"backend_parameters":{"WALL_time_Minutes":"90","VmSize":"Standard_D64_v3"}}`))
		if r := d.host.last(); r.Resources.WallMS != 90*60_000 || len(r.Notes) != 1 || !strings.Contains(r.Notes[0], `"VmSize"`) {
			t.Errorf("%+v", r)
		}
		body := d.get("/v1/tasks/" + id + "?view=FULL")
		if !strings.Contains(body, `"backend_parameters":{"WALL_time_Minutes":"90"}`) || strings.Contains(body, "Standard_D64") || !strings.Contains(fmt.Sprint(protocoltest.At(t, body, "logs", 0, "system_logs")), "VmSize") {
			t.Error(body)
		}
	},
	"backend parameters with strict are refused": func(t *testing.T, d *door) {
		d.refuses(400, `resources.backend_parameters["VmSize"]`, "POST", "/v1/tasks", task(`"resources":{"backend_parameters":{"VmSize":"x"},"backend_parameters_strict":true}`))
		id := d.create(task(`"resources":{"backend_parameters":{"wall_time_minutes":"5"},"backend_parameters_strict":true}`))
		if body := d.get("/v1/tasks/" + id + "?view=BASIC"); !strings.Contains(body, `"backend_parameters_strict":true`) {
			t.Error(body)
		}
	},
	"streamable is ignored": func(t *testing.T, d *door) {
		id := d.create(task(`"inputs":[{"path":"/a","content":"x","streamable":true}]`))
		if body := d.get("/v1/tasks/" + id + "?view=BASIC"); protocoltest.At(t, body, "inputs", 0, "streamable") != true || len(d.host.last().Notes) != 0 {
			t.Error(body)
		}
	},
	"addresses of s3 are taken at create": func(t *testing.T, d *door) {
		d.create(task(`"inputs":[{"path":"/a","url":"s3://bucket/key"}],"outputs":[{"path":"/b","url":"s3://bucket/out"}]`))
	},
	"snake case or the camel case of Protocol Buffers": func(t *testing.T, d *door) {
		d.create(`{"executors":[{"image":"i","command":["a"],"ignoreError":true}],"resources":{"cpuCores":2,"ramGb":1.5},"outputs":[{"path":"/a/*","url":"s3://b/","pathPrefix":"/a"}]}`)
		if r := d.host.last(); !r.Tasks[0].IgnoreError || r.Resources.Cores != 2 || r.Outputs[0].Prefix != "/a" {
			t.Errorf("%+v", r)
		}
	},
}
