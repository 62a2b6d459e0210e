package model

import (
	"bytes"
	"encoding/json"
	"math"
	"reflect"
	"strings"
	"testing"
)

// library renders as the standard library does, to compare.
func library(t testing.TB, v any) string {
	t.Helper()
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		t.Fatal(err)
	}
	return strings.TrimSuffix(b.String(), "\n")
}

func text(s string) *string { return &s }

// whole has a value in every field.
func whole() Task {
	return Task{
		ID: "t1", State: ExecutorError, Name: "näme <&>", Description: "two\nlines\u2028\x7f",
		Inputs: []Input{
			{Name: "n", Description: "d", URL: "tresor://dataset/a/b.csv", Path: "/data/b.csv", Type: File, Streamable: true},
			{Path: "/in/q.json", Type: File, Content: text(`{"q":"\u0000"}`)},
			{Path: "/in/empty", Type: File, Content: text("")},
		},
		Outputs:   []Output{{Name: "o", Description: "d", URL: "s3://b/o/", Path: "/out/*.csv", PathPrefix: "/out", Type: Directory}},
		Resources: &Resources{CPUCores: 4, Preemptible: true, RAMGB: 1.5, DiskGB: 1e-9, Zones: []string{"a", "b"}, BackendParameters: map[string]string{"wall_time_minutes": "5"}, BackendParametersStrict: true},
		Executors: []Executor{{Image: "i", Command: []string{"a", "", "\\\"\t"}, Workdir: "/w", Stdin: "/i", Stdout: "/o", Stderr: "/e", Env: map[string]string{"B": "1", "A": ""}, IgnoreError: true}},
		Volumes:   []string{"/v/"}, Tags: map[string]string{"z": "", "a": "b"},
		Logs: []TaskLog{{
			Logs:     []ExecutorLog{{StartTime: "2026-01-02T03:04:05Z", EndTime: "2026-01-02T03:04:06.5Z", Stdout: "out", Stderr: "err", ExitCode: -9}},
			Metadata: map[string]string{"project": "aurora"}, StartTime: "2026-01-02T03:04:05Z", EndTime: "2026-01-02T03:04:06Z",
			Outputs: []OutputFileLog{{URL: "s3://b/o/x.csv", Path: "/out/x.csv", SizeBytes: 1 << 40}}, SystemLogs: []string{"one"},
		}},
		CreationTime: "2026-01-02T03:04:05Z",
	}
}

func TestFullIsWhatTheLibraryWrites(t *testing.T) {
	for name, task := range map[string]Task{
		"every field": whole(),
		"bare":        {ID: "x", State: Queued, Executors: []Executor{{Image: "i", Command: []string{"a"}}}},
		"log without anything": {ID: "x", State: Running, Executors: []Executor{{Image: "i", Command: []string{"a"}}},
			Logs: []TaskLog{{Logs: []ExecutorLog{}, Outputs: []OutputFileLog{}}}},
	} {
		if got, want := string(AppendTask(nil, &task, Full)), library(t, task); got != want {
			t.Errorf("%s:\n got %s\nwant %s", name, got, want)
		}
	}
}

func keys(t *testing.T, b []byte) map[string]json.RawMessage {
	t.Helper()
	m := map[string]json.RawMessage{}
	if err := json.Unmarshal(b, &m); err != nil {
		t.Fatalf("%v in %s", err, b)
	}
	return m
}

func TestMinimalIsExactlyIDAndState(t *testing.T) {
	task := whole()
	if got := string(AppendTask(nil, &task, Minimal)); got != `{"id":"t1","state":"EXECUTOR_ERROR"}` {
		t.Error(got)
	}
	if got := string(AppendList(nil, []Task{task, task}, "", Minimal)); got != `{"tasks":[{"id":"t1","state":"EXECUTOR_ERROR"},{"id":"t1","state":"EXECUTOR_ERROR"}]}` {
		t.Error(got)
	}
}

func TestBasicLacksExactlyFourThings(t *testing.T) {
	task := whole()
	got := string(AppendTask(nil, &task, Basic))
	task.Inputs[1].Content, task.Inputs[2].Content = nil, nil
	task.Logs[0].SystemLogs, task.Logs[0].Logs[0].Stdout, task.Logs[0].Logs[0].Stderr = nil, "", ""
	if want := library(t, task); got != want {
		t.Errorf("\n got %s\nwant %s", got, want)
	}
}

func TestEmptyListsAreListsAndAbsentIsAbsent(t *testing.T) {
	task := Task{ID: "x", State: Queued, Logs: []TaskLog{{}}, Tags: map[string]string{}, Volumes: []string{}, Inputs: []Input{}}
	for _, v := range []View{Basic, Full} {
		b := AppendTask(nil, &task, v)
		if want := `{"id":"x","state":"QUEUED","executors":[],"logs":[{"logs":[],"outputs":[]}]}`; string(b) != want {
			t.Errorf("%s: %s", v, b)
		}
	}
	if got := string(AppendList(nil, nil, "", Full)); got != `{"tasks":[]}` {
		t.Error(got)
	}
	if m := keys(t, AppendList(nil, nil, `a"b`, Full)); string(m["next_page_token"]) != `"a\"b"` {
		t.Error(m)
	}
	task.Resources = &Resources{RAMGB: math.NaN(), DiskGB: math.Inf(1)}
	if b := AppendTask(nil, &task, Full); !json.Valid(b) || !bytes.Contains(b, []byte(`"resources":{}`)) {
		t.Errorf("numbers that JSON lacks: %s", b)
	}
}

func TestTheWholeTaskComesBack(t *testing.T) {
	task := whole()
	back, err := ReadTask(AppendTask(nil, &task, Full))
	if err != nil {
		t.Fatal(err)
	}
	task.ID, task.State, task.Logs, task.CreationTime = "", "", nil, "" // the server's, even when a client sends them
	if !reflect.DeepEqual(back, task) {
		t.Errorf("\n got %+v\nwant %+v", back, task)
	}
	again, err := ReadTask(AppendRequest(nil, &back))
	if err != nil || !reflect.DeepEqual(again, back) {
		t.Errorf("%v %+v", err, again)
	}
}

func TestStates(t *testing.T) {
	for job, want := range map[string]State{
		"submitted": Queued, "approved": Queued, "queued": Queued, "preparing": Initializing,
		"running": Running, "collecting": Running, "held": Running, "released": Complete, "completed": Complete,
		"refused": SystemError, "rejected": SystemError, "failed": ExecutorError, "broken": SystemError, "cancelled": Canceled,
		"": SystemError, "paused": SystemError, "QUEUED": SystemError,
	} {
		got := OfJob(job)
		if got != want {
			t.Errorf("job %q shows %s, want %s", job, got, want)
		}
		if got == Paused || got == Canceling || got == Preempted || got == Unknown {
			t.Errorf("job %q shows %s, which clients misread", job, got)
		}
	}
	seen := map[string]State{}
	for _, s := range []State{Queued, Initializing, Running, Complete, ExecutorError, SystemError, Canceled, Unknown, Paused, Canceling, Preempted} {
		if !s.Valid() {
			t.Errorf("%s is a state of the specification", s)
		}
		for _, j := range s.Jobs() {
			if seen[j] != "" || OfJob(j) != s {
				t.Errorf("the filter %s and the state of %q disagree", s, j)
			}
			seen[j] = s
		}
	}
	for _, s := range []State{Unknown, Paused, Canceling, Preempted} {
		if len(s.Jobs()) != 0 {
			t.Errorf("%s is never shown but its filter matches %v", s, s.Jobs())
		}
	}
	if State("").Valid() || State("queued").Valid() {
		t.Error("a word that is no state")
	}
}

func TestViews(t *testing.T) {
	for in, want := range map[string]View{"": Minimal, "MINIMAL": Minimal, "basic": Basic, "Full": Full} {
		if v, ok := ParseView(in); !ok || v != want {
			t.Errorf("%q: %s %v", in, v, ok)
		}
	}
	for _, in := range []string{"ALL", "FULL ", "0", "\x00"} {
		if _, ok := ParseView(in); ok {
			t.Errorf("%q is no view", in)
		}
	}
}

func TestStoredIsTheSameAsWritten(t *testing.T) {
	task := whole()
	plain := whole()
	plain.Inputs = plain.Inputs[:1]
	tricky := whole()
	tricky.Tags = map[string]string{"content": `,"content":"no"`, "x": `\",\"content\":\"`}
	tricky.Executors[0].Env = map[string]string{"a": "b", "content": "environment"}
	tricky.Resources.BackendParameters = map[string]string{"a": "b", "content": "parameter"}
	tricky.Inputs[0].Content, tricky.Inputs[1].Content = text(`\`), text(`"],"content":"{[`)
	for name, task := range map[string]Task{"with content": task, "without": plain, "tricky": tricky} {
		stored := AppendRequest(nil, &task)
		server := Task{ID: task.ID, State: task.State, Logs: task.Logs, CreationTime: task.CreationTime}
		for _, v := range []View{Minimal, Basic, Full} {
			if got, want := string(AppendStored(nil, stored, &server, v)), string(AppendTask(nil, &task, v)); got != want {
				t.Errorf("%s, %s:\n got %s\nwant %s", name, v, got, want)
			}
		}
	}
}

func TestStoredThatIsNotOursCountsAsAbsent(t *testing.T) {
	server := Task{ID: "x", State: Queued, Name: "n"}
	for _, stored := range []string{"", "{", "{}", "[]", "null", `{"name":`, `{"a":1}x`, `{"a":1} `, "{ }", `"a"`} {
		if got := string(AppendStored(nil, []byte(stored), &server, Full)); got != `{"id":"x","state":"QUEUED","name":"n","executors":[]}` {
			t.Errorf("%q: %s", stored, got)
		}
	}
}
