package job

import (
	"context"
	"fmt"
	"math"
	"strings"
	"testing"
	"time"

	"tresor/app/access"
	"tresor/app/fault"
	"tresor/app/project"
)

func TestSubmissionsThatAreRefused(t *testing.T) {
	sql := func(s *Submission) { s.Tasks, s.Outputs, s.SQL = nil, nil, []Query{{Output: "a", SQL: "SELECT 1"}} }
	cases := []struct {
		name   string
		change func(*Submission)
		text   string
	}{
		{"no name", func(s *Submission) { s.Name = " " }, "has no name"},
		{"long name", func(s *Submission) { s.Name = strings.Repeat("n", 121) }, "longer than 120"},
		{"bidi name", func(s *Submission) { s.Name = "a\u202eb" }, "invisible"},
		{"name not UTF-8", func(s *Submission) { s.Name = "a\xff" }, "control or invisible"},
		{"long purpose", func(s *Submission) { s.Purpose = strings.Repeat("p", 4001) }, "longer than 4000"},
		{"control in purpose", func(s *Submission) { s.Purpose = "a\x00b" }, "control"},
		{"long key", func(s *Submission) { s.IdempotencyKey = strings.Repeat("k", 201) }, "idempotency key"},
		{"nothing to run", func(s *Submission) { s.Tasks = nil }, "nothing to run"},
		{"both kinds", func(s *Submission) { s.SQL = []Query{{"a", "SELECT 1"}} }, "not both"},
		{"SQL with outputs", func(s *Submission) { sql(s); s.Outputs = []string{"a.csv"} }, "declares no outputs"},
		{"too many statements", func(s *Submission) { sql(s); s.SQL = make([]Query, 51) }, "at most 50"},
		{"statement without output", func(s *Submission) { sql(s); s.SQL[0].Output = "" }, "cannot be the name of an output"},
		{"statement to a path", func(s *Submission) { sql(s); s.SQL[0].Output = "../a.csv" }, "cannot be the name of an output"},
		{"empty statement", func(s *Submission) { sql(s); s.SQL[0].SQL = " " }, "there is no SQL"},
		{"SQL with an input of the script's name", func(s *Submission) { sql(s); s.Inputs = []Input{{"queries.json", "x"}} }, "Two inputs are called"},
		{"too many tasks", func(s *Submission) { s.Tasks = make([]Task, 21) }, "at most 20"},
		{"no image", func(s *Submission) { s.Tasks[0].Image = "" }, "names no image"},
		{"no command", func(s *Submission) { s.Tasks[0].Argv = nil }, "has no command"},
		{"empty command", func(s *Submission) { s.Tasks[0].Argv = []string{""} }, "has no command"},
		{"NUL in command", func(s *Submission) { s.Tasks[0].Argv = []string{"a", "b\x00"} }, "NUL"},
		{"long argument", func(s *Submission) { s.Tasks[0].Argv = []string{strings.Repeat("a", 33<<10)} }, "too long"},
		{"long command", func(s *Submission) {
			s.Tasks[0].Env = []string{"A=" + strings.Repeat("a", 20<<10), "B=" + strings.Repeat("a", 20<<10), "C=" + strings.Repeat("a", 31<<10), "D=" + strings.Repeat("a", 31<<10)}
		}, "too long"},
		{"environment without =", func(s *Submission) { s.Tasks[0].Env = []string{"A"} }, "NAME=value"},
		{"environment with a bad name", func(s *Submission) { s.Tasks[0].Env = []string{"1A=b"} }, "NAME=value"},
		{"working folder outside", func(s *Submission) { s.Tasks[0].Workdir = "/etc" }, "is not /work"},
		{"working folder climbs", func(s *Submission) { s.Tasks[0].Workdir = "/work/../etc" }, "is not /work"},
		{"working folder beside", func(s *Submission) { s.Tasks[0].Workdir = "/workshop" }, "is not /work"},
		{"too many inputs", func(s *Submission) { s.Inputs = make([]Input, 51) }, "at most 50"},
		{"input without a name", func(s *Submission) { s.Inputs = []Input{{"", "x"}} }, "not a plain file name"},
		{"input with a path", func(s *Submission) { s.Inputs = []Input{{"a/b", "x"}} }, "not a plain file name"},
		{"hidden input", func(s *Submission) { s.Inputs = []Input{{".a", "x"}} }, "not a plain file name"},
		{"two inputs of a name", func(s *Submission) { s.Inputs = []Input{{"a", "x"}, {"a", "y"}} }, "Two inputs"},
		{"large input", func(s *Submission) { s.Inputs = []Input{{"a", strings.Repeat("x", MaxInput+1)}} }, "may have 128 KiB"},
		{"large inputs", func(s *Submission) {
			for i := range 9 {
				s.Inputs = append(s.Inputs, Input{fmt.Sprint("a", i), strings.Repeat("x", MaxInput)})
			}
		}, "more than 1 MiB together"},
		{"no output", func(s *Submission) { s.Outputs = nil }, "declares no output"},
		{"too many outputs", func(s *Submission) { s.Outputs = make([]string, 51) }, "at most 50"},
		{"empty output", func(s *Submission) { s.Outputs = []string{""} }, "does not lie in /work/out"},
		{"output outside", func(s *Submission) { s.Outputs = []string{"/etc/passwd"} }, "does not lie in /work/out"},
		{"output beside", func(s *Submission) { s.Outputs = []string{"/work/outside/a"} }, "does not lie in /work/out"},
		{"output climbs", func(s *Submission) { s.Outputs = []string{"../a"} }, "does not lie in /work/out"},
		{"the folder itself", func(s *Submission) { s.Outputs = []string{"/work/out"} }, "does not lie in /work/out"},
		{"output twice", func(s *Submission) { s.Outputs = []string{"a.csv", "/work/out/A.csv"} }, "declared twice"},
		{"output of bidi", func(s *Submission) { s.Outputs = []string{"a\u202e.csv"} }, "cannot be used"},
		{"output with a dash", func(s *Submission) { s.Outputs = []string{"-a.csv"} }, "starts with '-'"},
		{"broken pattern", func(s *Submission) { s.Outputs = []string{"a[.csv"} }, "malformed"},
		{"little memory", func(s *Submission) { s.Limits = &Limits{Memory: 1} }, "needs at least 16 MiB"},
		{"negative memory", func(s *Submission) { s.Limits = &Limits{Memory: -1} }, "needs at least"},
		{"more memory than there is", func(s *Submission) { s.Limits = &Limits{Memory: 100 << 30} }, "at most 64 GiB"},
		{"more cores than there are", func(s *Submission) { s.Limits = &Limits{Cores: 5} }, "at most 4 cores"},
		{"cores not a number", func(s *Submission) { s.Limits = &Limits{Cores: math.NaN()} }, "number of cores"},
		{"few processes", func(s *Submission) { s.Limits = &Limits{Pids: 1} }, "at least 4 processes"},
		{"negative time", func(s *Submission) { s.Limits = &Limits{WallSeconds: -5} }, "running time"},
		{"large log", func(s *Submission) { s.Limits = &Limits{LogSize: 2 << 30} }, "log size is 2 GiB"},
		{"many files", func(s *Submission) { s.Limits = &Limits{OutputFiles: 200_000} }, "at most 100000 files"},
		{"unknown dataset", func(s *Submission) { s.Datasets = []string{"nothing"} }, "is not granted to the project"},
	}
	h := newHouse(t)
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			sub := h.task("true")
			c.change(&sub)
			_, err := h.job.Submit(context.Background(), h.in(rosa), sub)
			wantFault(t, err, fault.Invalid, c.text)
		})
	}
	if list, err := h.job.List(context.Background(), h.in(rosa), Filter{}); err != nil || len(list) != 0 {
		t.Errorf("refused submissions left %d jobs, %v", len(list), err)
	}
}

func TestWhoMaySubmit(t *testing.T) {
	cases := []struct {
		name  string
		actor access.Actor
		kind  fault.Kind
	}{
		{"researcher", rosa, 0},
		{"lead", lena, 0},
		{"denied: not a member", paul, fault.NotFound},
		{"denied: operator", olga, fault.Denied},
		{"denied: steward", stefan, fault.Denied},
		{"denied: nobody", access.Actor{}, fault.Denied},
	}
	h := newHouse(t)
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			_, err := h.job.Submit(context.Background(), h.in(c.actor), h.task("true"))
			if c.kind == 0 {
				if err != nil {
					t.Error(err)
				}
				return
			}
			wantFault(t, err, c.kind, "")
		})
	}
}

func TestWhatTheProjectMayUse(t *testing.T) {
	cases := []struct {
		name string
		make func(*house)
		kind fault.Kind
		text string
	}{
		{"closed project", func(h *house) {
			closed := project.Closed
			h.alphaChange(project.Change{State: &closed, Reason: "done"})
		}, fault.Conflict, "is closed"},
		{"unapproved image", func(h *house) { h.images.set(imageID, fault.New("t", fault.Conflict, "The image is not approved.")) }, fault.Conflict, "not approved"},
		{"unknown project", func(h *house) { h.alpha.ID = "nothing" }, fault.NotFound, ""},
		{"dataset not ready", func(h *house) {
			h.grant("randhie")
			h.data.set("d1", fault.New("t", fault.Unavailable, "Still being prepared."))
		}, fault.Unavailable, "being prepared"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			h := newHouse(t)
			c.make(h)
			_, err := h.job.Submit(context.Background(), h.in(rosa), h.task("true"))
			wantFault(t, err, c.kind, c.text)
		})
	}
}

func (h *house) alphaChange(c project.Change) {
	h.t.Helper()
	actor := stefan
	if c.State != nil || c.EndsAt != nil {
		actor = olga
	}
	if _, err := h.projects.Change(context.Background(), actor, h.alpha.ID, c); err != nil {
		h.t.Fatal(err)
	}
}

func (h *house) grant(id string) {
	h.t.Helper()
	if _, err := h.projects.Grant(context.Background(), stefan, h.alpha.ID, id); err != nil {
		h.t.Fatal(err)
	}
}

func TestSubmitIsIdempotent(t *testing.T) {
	h := newHouse(t)
	sub := h.task("write", "a.csv")
	sub.IdempotencyKey = "k1"
	one, two := h.submit(sub), h.submit(sub)
	if one.ID != two.ID {
		t.Errorf("two jobs: %s, %s", one.ID, two.ID)
	}
	other := sub
	other.Name = "Something else"
	_, err := h.job.Submit(context.Background(), h.in(rosa), other)
	wantFault(t, err, fault.Conflict, "used for another submission")
	beta := h.project("beta")
	sub.Project = beta.ID
	if three := h.submit(sub); three.ID == one.ID {
		t.Error("the key of one project counts in another")
	}
}

func TestSQLBecomesATask(t *testing.T) {
	h := newHouse(t)
	h.grant("randhie")
	sub := Submission{Project: h.alpha.ID, Name: "Visits", SQL: []Query{{"visits", "SELECT count(*) AS n FROM x"}, {"more.csv", "SELECT 2 AS m"}}}
	j := h.get(h.submit(sub).ID)
	if len(j.Tasks) != 1 || len(j.Inputs) != 1 || j.Inputs[0].Name != "queries.json" || j.Inputs[0].Size == 0 {
		t.Errorf("tasks %+v inputs %+v", j.Tasks, j.Inputs)
	}
	if strings.Join(j.Declared, " ") != "/work/out/visits.csv /work/out/more.csv" {
		t.Errorf("declared %v", j.Declared)
	}
	if len(j.Queries) != 2 || j.Queries[0].Output != "visits.csv" {
		t.Errorf("queries %+v", j.Queries)
	}
	if len(j.Datasets) != 1 || j.Datasets[0] != (Data{ID: "randhie", Slug: "randhie", Version: 3, SHA256: "d1"}) {
		t.Errorf("datasets %+v", j.Datasets)
	}
}

func TestInputsAndDataReachTheContainer(t *testing.T) {
	h := newHouse(t)
	h.grant("randhie")
	h.runner.Handle("look", lookFor("/in/a.txt", "/data/randhie"))
	h.run()
	sub := h.task("look")
	sub.Inputs = []Input{{"a.txt", "hello"}}
	sub.Datasets = []string{"randhie"}
	h.until(h.submit(sub).ID, Held)
}

func TestApprovalModes(t *testing.T) {
	every, off := project.EveryJob, project.NoneAtAll
	cases := []struct {
		name string
		mode *project.Approval
		want State
	}{
		{"image", nil, Queued},
		{"every", &every, Submitted},
		{"off", &off, Queued},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			h := newHouse(t)
			if c.mode != nil {
				h.alphaChange(project.Change{Approval: c.mode, Reason: "test"})
			}
			if j := h.submit(h.task("true")); j.State != c.want {
				t.Errorf("state %s, want %s", j.State, c.want)
			}
		})
	}
}

func TestNothingStartsThatMayNotAnyMore(t *testing.T) {
	var soon time.Time
	cases := []struct {
		name   string
		change func(*house)
		text   string
	}{
		{"project closed", func(h *house) {
			closed := project.Closed
			h.alphaChange(project.Change{State: &closed, Reason: "done"})
		}, "is closed"},
		{"project ended", func(h *house) {
			for wait := 250 * time.Millisecond; ; wait *= 2 { // an end that has passed already is refused
				soon = time.Now().Add(wait)
				_, err := h.projects.Change(context.Background(), olga, h.alpha.ID, project.Change{EndsAt: &soon})
				if err == nil {
					break
				}
				if wait > time.Minute {
					h.t.Fatal(err)
				}
			}
			time.Sleep(time.Until(soon) + 20*time.Millisecond)
		}, "ended on"},
		{"member dropped", func(h *house) {
			if _, err := h.projects.DropMember(context.Background(), olga, h.alpha.ID, rosa.ID, "Left."); err != nil {
				h.t.Fatal(err)
			}
		}, "no longer a member"},
		{"account disabled", func(h *house) { h.disabled = rosa.ID }, "account is disabled"},
		{"image revoked", func(h *house) { h.images.set(imageID, fault.New("t", fault.Conflict, "The image was revoked.")) }, "was revoked"},
		{"image changed", func(h *house) { h.images.set("sha256:2222", nil) }, "There is no image"},
		{"grant taken", func(h *house) { h.data.set("d1", fault.New("t", fault.Denied, "The dataset is not granted.")) }, "not granted"},
		{"data changed", func(h *house) { h.data.set("d2", nil) }, "is not the one that the job was submitted with"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			h := newHouse(t)
			h.grant("randhie")
			j := h.submit(h.task("write", "a.csv"))
			c.change(h)
			h.run()
			h.wait("it is refused", func() bool { return h.as(olga, j.ID).State == Refused })
			got := h.as(olga, j.ID)
			if !strings.Contains(got.Reason, c.text) || got.Next == "" {
				t.Errorf("reason %q, next %q", got.Reason, got.Next)
			}
			if n := h.starts(j.ID, 0); n != 0 {
				t.Errorf("started %d times", n)
			}
		})
	}
}

func (h *house) as(a access.Actor, id string) Job {
	h.t.Helper()
	j, err := h.job.Get(context.Background(), h.in(a), id)
	if err != nil {
		h.t.Fatal(err)
	}
	return j
}

func FuzzSubmission(f *testing.F) {
	f.Add("name", "tools", "sh", "a.csv", "in", "/work")
	f.Add("\u202e", "", "\x00", "../../etc", ".", "/work/..")
	f.Fuzz(func(t *testing.T, name, image, arg, out, in, dir string) {
		sub := Submission{Name: name, Tasks: []Task{{Image: image, Argv: []string{"x", arg}, Workdir: dir}}, Outputs: []string{out}, Inputs: []Input{{in, "x"}}}
		got, err := sub.normalise()
		if err != nil {
			if fault.KindOf(err) != fault.Invalid || fault.Message(err) == "" {
				t.Fatalf("refused without a reason for people: %v", err)
			}
			return
		}
		spec := specOf(got)
		if err := spec.Validate(); err != nil {
			t.Fatalf("accepted and refused by the sandbox: %v", err)
		}
	})
}
