package tes_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"tresor/plugins/protocol"
	"tresor/plugins/protocoltest"
)

// rich is a task with every field that a client may send.
const rich = `{"name":"rich","description":"d","id":"mine","state":"COMPLETE","creation_time":"x",
"inputs":[{"name":"n","description":"d","url":"tresor://dataset/rand@2/a.csv","path":"/data/a.csv","streamable":true},{"path":"/in/q.json","content":"CONTENT-CANARY"},{"path":"/data/all/","type":"DIRECTORY","url":"file:///project/all/"}],
"outputs":[{"name":"n","description":"d","url":"s3://bucket/out.csv","path":"/out/out.csv"},{"url":"file:///project/parts/","path":"/out/*.part","path_prefix":"/out"},{"url":"file:///home/me/run1/logs","path":"/out/logs/","type":"DIRECTORY"}],
"resources":{"cpu_cores":2,"preemptible":false,"ram_gb":1.5,"disk_gb":3,"backend_parameters":{"Wall_Time_Minutes":"90"}},
"executors":[{"image":"debian:12","command":["sh","-c","exit 3"],"workdir":"/work/","stdin":"/data/a.csv","stdout":"/out/o","stderr":"/out/e","env":{"B":"2","A":"1"},"ignore_error":true},{"image":"debian:12","command":["true"]}],
"volumes":["/vol/A/"],"tags":{"WORKFLOW_ID":"cwl-01234","empty":""}}`

// life walks a task through its states; each step says what to do to the job.
var life = []struct {
	name string
	step func(*protocol.JobState)
}{
	{"submitted", func(s *protocol.JobState) {
		s.State, s.Messages = "submitted", []string{"It waits until image debian:12 is approved."}
	}},
	{"queued", func(s *protocol.JobState) { s.State = "queued" }},
	{"preparing", func(s *protocol.JobState) { s.State = "preparing" }},
	{"running", func(s *protocol.JobState) { s.State, s.StartedAt = "running", s.CreatedAt.Add(time.Second) }},
	{"running, first ended", func(s *protocol.JobState) {
		s.Tasks = []protocol.TaskState{{ExitCode: 3, StartedAt: s.StartedAt, FinishedAt: s.StartedAt.Add(time.Second), Stdout: "STDOUT-CANARY", Stderr: "STDERR-CANARY"}}
	}},
	{"collecting", func(s *protocol.JobState) {
		s.State = "collecting"
		s.Tasks = append(s.Tasks, protocol.TaskState{ExitCode: 0, StartedAt: s.StartedAt.Add(time.Second), FinishedAt: s.StartedAt.Add(2 * time.Second)})
	}},
	{"held", func(s *protocol.JobState) {
		s.State, s.Messages = "held", []string{"SYSTEM-CANARY: two files wait for their release. What the programs wrote is withheld until then."}
		s.FinishedAt = s.StartedAt.Add(time.Minute) // its commands have ended; the task has not
		s.Outputs = []protocol.OutputFile{{Path: "/out/a.part", Target: "file:///project/parts/a.part", Size: 7, SHA256: strings.Repeat("a", 64)}}
	}},
	{"released", func(s *protocol.JobState) {
		s.State, s.Release, s.FinishedAt = "released", "rel-1", s.StartedAt.Add(time.Hour)
		s.Outputs = append(s.Outputs, protocol.OutputFile{Path: "/out/out.csv", Target: "s3://bucket/out.csv", Size: 1 << 33, Release: "rel-1"},
			protocol.OutputFile{Path: "/out/logs/ä b#?.txt", Target: "file:///home/me/run1/logs/ä b#?.txt", Size: 0, Release: "rel-1"})
	}},
}

// answerTraps are lessons of what real clients stumble over in answers; each is a
// test of its name.
var answerTraps = map[string]func(t *testing.T, d *door){
	"absent means absent: no empty time in any view and state": func(t *testing.T, d *door) {
		id := d.create(plain)
		for _, l := range append(life, endings...) {
			d.host.move(id, l.step)
			for _, v := range []string{"MINIMAL", "BASIC", "FULL"} {
				body := d.get("/v1/tasks/" + id + "?view=" + v)
				if strings.Contains(body, `""`) || strings.Contains(body, "null") || strings.Contains(body, "0001-01-01") {
					t.Errorf("%s, %s: %s", l.name, v, body)
				}
			}
		}
	},
	"no extra keys: a strict decoder reads every view of every state": func(t *testing.T, d *door) {
		id := d.create(rich)
		for _, l := range append(life, endings...) {
			d.host.move(id, l.step)
			for v, kind := range map[string]string{"MINIMAL": "minimal", "BASIC": "task", "FULL": "task"} {
				if err := strict(kind, d.get("/v1/tasks/"+id+"?view="+v)); err != nil {
					t.Errorf("%s, %s: %v", l.name, v, err)
				}
				if err := strict(map[string]string{"minimal": "minimals", "task": "list"}[kind], d.get("/v1/tasks?view="+v)); err != nil {
					t.Errorf("list in %s, %s: %v", l.name, v, err)
				}
			}
		}
	},
	"only states that clients wait for: waiting for a person is QUEUED, held is RUNNING": func(t *testing.T, d *door) {
		id := d.create(plain)
		for job, want := range map[string]string{"submitted": "QUEUED", "approved": "QUEUED", "queued": "QUEUED", "preparing": "INITIALIZING", "running": "RUNNING", "collecting": "RUNNING", "held": "RUNNING", "released": "COMPLETE", "completed": "COMPLETE", "refused": "SYSTEM_ERROR", "rejected": "SYSTEM_ERROR", "broken": "SYSTEM_ERROR", "failed": "EXECUTOR_ERROR", "cancelled": "CANCELED"} {
			d.host.move(id, func(s *protocol.JobState) { s.State = job })
			for _, v := range []string{"", "MINIMAL", "BASIC", "FULL"} {
				if got := protocoltest.At(t, d.get("/v1/tasks/"+id+"?view="+v), "state"); got != want {
					t.Errorf("job %s, view %s: %v, want %s", job, v, got, want)
				}
				list := d.get("/v1/tasks?state=" + want + "&view=" + v)
				if protocoltest.At(t, list, "tasks", 0, "id") != id || protocoltest.At(t, list, "tasks", 0, "state") != want {
					t.Errorf("job %s: the filter state=%s does not agree: %s", job, want, list)
				}
			}
		}
	},
	"states that nobody here has are accepted as filters and match nothing": func(t *testing.T, d *door) {
		d.create(plain)
		for _, s := range []string{"UNKNOWN", "PAUSED", "CANCELING", "PREEMPTED"} {
			if body := d.get("/v1/tasks?state=" + s); body != `{"tasks":[]}` {
				t.Errorf("%s: %s", s, body)
			}
		}
	},
	"empty lists are []": func(t *testing.T, d *door) {
		if body := d.get("/v1/tasks"); body != `{"tasks":[]}` {
			t.Error(body)
		}
		id := d.create(plain)
		d.host.move(id, life[3].step)
		if body := d.get("/v1/tasks/" + id + "?view=FULL"); !strings.Contains(body, `"logs":[{"logs":[],`) || !strings.Contains(body, `"outputs":[]`) {
			t.Error(body)
		}
		if body := d.get("/v1/service-info"); !strings.Contains(body, `"tesResources_backend_parameters":["wall_time_minutes"]`) || strings.Contains(body, `[""]`) {
			t.Error(body)
		}
	},
	"cancel is cut off the last part of the address, escaped or not": func(t *testing.T, d *door) {
		for _, form := range []string{"/v1/tasks/%s:cancel", "/tasks/%s:cancel", "/v1/tasks/%s%%3Acancel", "/v1/tasks/%s:cancel/"} {
			id := d.create(plain)
			if r := d.send("POST", fmt.Sprintf(form, id), ""); r.status != 200 || r.body != "{}" {
				t.Errorf("%s: %d %s", form, r.status, r.body)
			}
			if got := protocoltest.At(t, d.get("/v1/tasks/"+id), "state"); got != "CANCELED" {
				t.Errorf("%s: %v", form, got)
			}
		}
	},
	"MINIMAL is exactly id and state although the schema requires executors": func(t *testing.T, d *door) {
		id := d.create(rich)
		for _, l := range append(life, endings...) {
			d.host.move(id, l.step)
			for _, path := range []string{"/v1/tasks/" + id, "/v1/tasks/" + id + "?view=", "/v1/tasks/" + id + "?view=MINIMAL"} {
				if keys := protocoltest.KeysOf(t, d.get(path)); keys != "id state" {
					t.Errorf("%s in %s has %s", path, l.name, keys)
				}
			}
		}
	},
	"file addresses of workflow engines: inputs are refused with what to use, outputs are names": func(t *testing.T, d *door) {
		for _, u := range []string{"file:///home/me/run/a.csv", "file://localhost/a", "file:/a", "file:///project", "file:///projects/a", "file:///project/../etc/passwd", "file:///project/%2e%2e/x", "file:///project/a/%2E%2E", "/etc/passwd", "file:///etc/passwd", "FILE:///etc/passwd"} {
			d.refuses(400, "", "POST", "/v1/tasks", task(fmt.Sprintf(`"inputs":[{"path":"/a","url":%q}]`, u)))
		}
		d.refuses(400, "Use tresor://dataset/", "POST", "/v1/tasks", task(`"inputs":[{"path":"/a","url":"file:///home/me/run/a.csv"}]`))
		d.refuses(400, "file:///project/FILE", "POST", "/v1/tasks", task(`"inputs":[{"path":"/a","url":"/home/me/run/a.csv"}]`))
		d.create(task(`"inputs":[{"path":"/a","url":"file:///project/run/a.csv"}],"outputs":[{"path":"/b","url":"file:///home/me/run/b.csv"},{"path":"/c","url":"/home/me/c"},{"path":"/d","url":"gs://x/d"}]`))
		r := d.host.last()
		if r.Inputs[0].Source != "file:///project/run/a.csv" || r.Outputs[0].Target != "file:///home/me/run/b.csv" || r.Outputs[2].Target != "gs://x/d" {
			t.Errorf("%+v", r)
		}
	},
	"success is always 200, also for create": func(t *testing.T, d *door) {
		r := d.send("POST", "/v1/tasks", plain)
		if r.status != 200 || strict("created", r.body) != nil {
			t.Errorf("%d %s", r.status, r.body)
		}
	},
	"every client's way to build an address leads to the same place": func(t *testing.T, d *door) {
		id := d.create(plain)
		for _, prefix := range []string{"/v1", "", "/", "//v1", "/v1/", "/ga4gh/tes/v1", "/ga4gh/tes"} {
			for _, path := range []string{"/service-info", "/tasks", "/tasks/", "/tasks/" + id, "/tasks/" + id + "/"} {
				if r := d.send("GET", prefix+path, ""); r.status != 200 {
					t.Errorf("GET %s%s: %d", prefix, path, r.status)
				}
			}
			d.refuses(404, "not yours", "GET", prefix+"/tasks/absent", "")
		}
		if r := d.send("GET", "/v1/tasks/service-info", ""); strict("info", r.body) != nil {
			t.Errorf("the Funnel command line's service-info: %s", r.body)
		}
		for _, path := range []string{"", "/", "/v1", "/v2/tasks", "/v1/v1/tasks", "/v1/task", "/v1/tasks/" + id + "/logs", "/tasks/a%2Fb", "/v1/tasks/%00", "/v1/tasks/" + strings.Repeat("a", 129), "/v1/releases"} {
			d.refuses(404, "no such address", "GET", path, "")
		}
	},
	"a task that is another's is a 404 on all prefixes, with the words of one that is not there": func(t *testing.T, d *door) {
		id := d.create(rich)
		d.host = d.host.as("p2")
		absent := d.send("GET", "/v1/tasks/job-999999", "")
		for _, prefix := range []string{"/ga4gh/tes/v1", "/v1", ""} {
			for _, view := range []string{"", "?view=FULL"} {
				r := d.send("GET", prefix+"/tasks/"+id+view, "")
				if r.status != 404 || r.body != absent.body {
					t.Errorf("%s: %d %s", prefix, r.status, r.body)
				}
			}
			if r := d.send("POST", prefix+"/tasks/"+id+":cancel", ""); r.status != 404 || r.body != absent.body {
				t.Errorf("cancel %s: %d %s", prefix, r.status, r.body)
			}
		}
		if body := d.get("/v1/tasks?view=FULL"); body != `{"tasks":[]}` {
			t.Error(body)
		}
	},
	"size_bytes is a string": func(t *testing.T, d *door) {
		id := d.create(rich)
		for _, l := range life {
			d.host.move(id, l.step)
		}
		if got := protocoltest.At(t, d.get("/v1/tasks/"+id+"?view=BASIC"), "logs", 0, "outputs", 1, "size_bytes"); got != "8589934592" {
			t.Error(got)
		}
	},
	"an executor has a log only when it ended": func(t *testing.T, d *door) {
		id := d.create(rich)
		for _, l := range life {
			d.host.move(id, l.step)
			logs, _ := protocoltest.At(t, d.get("/v1/tasks/"+id+"?view=FULL"), "logs", 0, "logs").([]any)
			want := map[string]int{"running, first ended": 1, "collecting": 2, "held": 2, "released": 2}[l.name]
			if len(logs) != want {
				t.Errorf("%s: %d logs, want %d", l.name, len(logs), want)
			}
		}
	},
	"service-info names the version of the specification and storage is not offered": func(t *testing.T, d *door) {
		body := d.get("/v1/service-info")
		if strict("info", body) != nil || protocoltest.At(t, body, "type", "group") != "org.ga4gh" || protocoltest.At(t, body, "type", "artifact") != "tes" || protocoltest.At(t, body, "type", "version") != "1.1.0" || protocoltest.At(t, body, "storage") != nil {
			t.Error(body)
		}
		if again := d.get("/service-info"); again != body {
			t.Error("service-info changes from one request to the next")
		}
	},
	"a task that failed in an executor always has an executor log": func(t *testing.T, d *door) {
		id := d.create(plain)
		d.host.move(id, func(s *protocol.JobState) { s.State = "failed" })
		for _, v := range []string{"BASIC", "FULL"} {
			body := d.get("/v1/tasks/" + id + "?view=" + v)
			if code, ok := protocoltest.At(t, body, "logs", 0, "logs", 0, "exit_code").(float64); !ok || code == 0 || strict("task", body) != nil {
				t.Errorf("%s: %s", v, body)
			}
		}
		d.host.move(id, func(s *protocol.JobState) { s.Tasks = []protocol.TaskState{{ExitCode: 137}} })
		if code := protocoltest.At(t, d.get("/v1/tasks/"+id+"?view=FULL"), "logs", 0, "logs", 0, "exit_code"); code != 137.0 {
			t.Error(code)
		}
	},
	"refused work says why in system_logs": func(t *testing.T, d *door) {
		id := d.create(plain)
		d.host.move(id, func(s *protocol.JobState) {
			s.State, s.Messages, s.FinishedAt = "refused", []string{"The lead refused: not in the purpose."}, s.CreatedAt
		})
		body := d.get("/v1/tasks/" + id + "?view=FULL")
		if protocoltest.At(t, body, "state") != "SYSTEM_ERROR" || protocoltest.At(t, body, "logs", 0, "system_logs", 0) != "The lead refused: not in the purpose." || protocoltest.At(t, body, "logs", 0, "start_time") != nil {
			t.Error(body)
		}
	},
	"done but held is RUNNING, and COMPLETE comes with the release": func(t *testing.T, d *door) {
		id := d.create(rich)
		for _, l := range life {
			d.host.move(id, l.step)
			body := d.get("/v1/tasks/" + id + "?view=FULL")
			if complete := protocoltest.At(t, body, "state") == "COMPLETE"; complete != (l.name == "released") {
				t.Errorf("%s: %s", l.name, body)
			}
			if l.name == "held" && (protocoltest.At(t, body, "logs", 0, "end_time") != nil || strings.Contains(body, "/releases/")) {
				t.Error("a held task has an end or a release: " + body)
			}
		}
	},
	"the default view is MINIMAL for get and list": func(t *testing.T, d *door) {
		id := d.create(rich)
		if keys := protocoltest.KeysOf(t, d.get("/v1/tasks/"+id)); keys != "id state" {
			t.Error(keys)
		}
		if err := strict("minimals", d.get("/v1/tasks")); err != nil {
			t.Error(err)
		}
	},
	"BASIC lacks exactly stdout, stderr, content and system_logs": func(t *testing.T, d *door) {
		d.kind = protocol.CallerInside
		id := d.create(rich)
		for _, l := range life {
			d.host.move(id, l.step)
		}
		basic, full := d.get("/v1/tasks/"+id+"?view=BASIC"), d.get("/v1/tasks/"+id+"?view=FULL")
		for _, s := range []string{"STDOUT-CANARY", "STDERR-CANARY", "CONTENT-CANARY", "SYSTEM-CANARY", "system_logs", `"content"`} {
			if strings.Contains(basic, s) || !strings.Contains(full, s) {
				t.Errorf("%s: in BASIC %v, in FULL %v", s, strings.Contains(basic, s), strings.Contains(full, s))
			}
		}
		without := full
		for _, cut := range []string{`,"content":"CONTENT-CANARY"`, `,"stdout":"STDOUT-CANARY","stderr":"STDERR-CANARY"`, `,"system_logs":["` + protocoltest.At(t, full, "logs", 0, "system_logs", 0).(string) + `"]`} {
			without = strings.Replace(without, cut, "", 1)
		}
		if without != basic {
			t.Errorf("\n%s\n%s", without, basic)
		}
	},
	"the view comes from the request and not from the data": func(t *testing.T, d *door) {
		id := d.create(plain) // no logs, no content: nothing from which to guess
		for v, kind := range map[string]string{"MINIMAL": "id state", "BASIC": "creation_time executors id state", "FULL": "creation_time executors id state"} {
			if keys := protocoltest.KeysOf(t, d.get("/v1/tasks/"+id+"?view="+v)); keys != kind {
				t.Errorf("%s: %s", v, keys)
			}
		}
		d.refuses(400, "MINIMAL, BASIC or FULL", "GET", "/v1/tasks/"+id+"?view=ALL", "")
		d.refuses(400, "MINIMAL, BASIC or FULL", "GET", "/v1/tasks?view=7", "")
		d.refuses(400, "more than once", "GET", "/v1/tasks?view=FULL&view=BASIC", "")
	},
	"cancelling twice, and cancelling what has ended, is 200 with {}": func(t *testing.T, d *door) {
		id := d.create(plain)
		for range 2 {
			if r := d.send("POST", "/v1/tasks/"+id+":cancel", ""); r.status != 200 || strict("cancelled", r.body) != nil {
				t.Errorf("%d %s", r.status, r.body)
			}
		}
		done := d.create(plain)
		d.host.move(done, func(s *protocol.JobState) { s.State = "completed" })
		if r := d.send("POST", "/v1/tasks/"+done+":cancel", ""); r.status != 200 || protocoltest.At(t, d.get("/v1/tasks/"+done), "state") != "COMPLETE" {
			t.Errorf("%d %s", r.status, r.body)
		}
		d.refuses(404, "not yours", "POST", "/v1/tasks/absent:cancel", "")
	},
	"stdout and stderr are outputs too: withheld outside, shown inside": func(t *testing.T, d *door) {
		id := d.create(rich)
		for _, l := range life {
			d.host.move(id, l.step)
			for _, kind := range []string{protocol.CallerClient, protocol.CallerHub, protocol.CallerPerson, "", "INSIDE"} {
				d.kind = kind
				for _, v := range []string{"BASIC", "FULL"} {
					for _, path := range []string{"/v1/tasks/" + id, "/v1/tasks"} {
						if body := d.get(path + "?view=" + v); strings.Contains(body, "STDOUT-CANARY") || strings.Contains(body, "STDERR-CANARY") {
							t.Errorf("%s sees what the program wrote, in %s of %s", kind, v, l.name)
						}
					}
				}
			}
			d.kind = protocol.CallerInside
			if body := d.get("/v1/tasks/" + id + "?view=FULL"); len(protocoltest.At(t, body, "logs", 0).(map[string]any)["logs"].([]any)) > 0 && !strings.Contains(body, "STDOUT-CANARY") {
				t.Errorf("a program inside does not see it in %s", l.name)
			}
		}
	},
}

// endings are the ways a task may end without success, after it has lived.
var endings = []struct {
	name string
	step func(*protocol.JobState)
}{
	{"failed", func(s *protocol.JobState) { s.State = "failed" }},
	{"failed without a log", func(s *protocol.JobState) { s.Tasks = nil }},
	{"broken before it began", func(s *protocol.JobState) {
		s.State, s.StartedAt, s.Outputs, s.Release = "broken", time.Time{}, nil, ""
	}},
	{"refused", func(s *protocol.JobState) { s.State, s.Messages = "refused", nil }},
	{"cancelled", func(s *protocol.JobState) { s.State = "cancelled" }},
	{"a word that nobody knows", func(s *protocol.JobState) { s.State = "levitating" }},
}

// task is a task with one executor and the given members.
func task(members string) string {
	return "{" + members + `,"executors":[{"image":"debian:12","command":["true"]}]}`
}

func TestTraps(t *testing.T) {
	for _, traps := range []map[string]func(*testing.T, *door){answerTraps, requestTraps} {
		for name, trap := range traps {
			t.Run(name, func(t *testing.T) { trap(t, open(t)) })
		}
	}
}

// Nextflow's client reads exactly this when a task has failed.
func TestNextflowReadsTheExitCode(t *testing.T) {
	d := open(t)
	id := d.create(rich)
	d.host.move(id, func(s *protocol.JobState) {
		s.State, s.Tasks = "failed", []protocol.TaskState{{ExitCode: 3}}
	})
	var task struct {
		State string
		Logs  []struct{ Logs []struct{ Exit_code *int } }
	}
	if err := json.Unmarshal([]byte(d.get("/v1/tasks/"+id+"?view=FULL")), &task); err != nil || task.State != "EXECUTOR_ERROR" || *task.Logs[0].Logs[0].Exit_code != 3 {
		t.Errorf("%v %+v", err, task)
	}
}
