package job

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"strings"
	"testing"

	"tresor/app/fault"
	"tresor/app/output"
	"tresor/app/project"
	"tresor/app/store"
)

// TestEveryMixOfPathsFitsTheSandbox has what is accepted pass the sandbox's own checks.
func TestEveryMixOfPathsFitsTheSandbox(t *testing.T) {
	paths := []string{"/w", "/w/a", "/w/a/b", "/w/a/b/c", "/tmp", "/tmp/x", "/d", "/d/e/f", "/AbCdEf", "/opt/x"}
	r := rand.New(rand.NewPCG(1, 2))
	pick := func() string { return paths[r.IntN(len(paths))] }
	s := &Service{Deps: Deps{Dir: t.TempDir()}}
	accepted := 0
	for range 20_000 {
		sub := Submission{Name: "x", Via: "hub:x", Tasks: []Task{{Image: "tools", Argv: []string{"x"}, Workdir: pick(), Stdin: pick(), Stdout: pick()}}}
		for range r.IntN(4) {
			sub.Places = append(sub.Places, Place{Path: pick(), Dataset: "d", Directory: true})
		}
		if r.IntN(2) == 0 {
			sub.Places = append(sub.Places, Place{Path: pick(), Content: []byte("x")})
		}
		sub.Wants = []Want{{Path: pick(), Directory: r.IntN(2) == 0}}
		got, err := sub.normalise()
		if err != nil {
			continue
		}
		j := Job{ID: "019f0000-0000-7000-8000-000000000001", Volumes: got.Volumes, Limits: Limits{}.complete(), content: map[string][]byte{}}
		j.Tasks = []TaskRun{{Argv: []string{"x"}, Workdir: got.Tasks[0].Workdir, Stdin: got.Tasks[0].Stdin, Stdout: got.Tasks[0].Stdout, imageID: imageID, Attempt: 1}}
		roots := map[int]string{}
		for i, p := range got.Places {
			from := FromContent
			if p.Dataset != "" {
				from, roots[i] = FromDataset, fmt.Sprintf("/host/%d", i)
			}
			j.content[placeName(i)] = p.Content
			j.Places = append(j.Places, PlaceInfo{Path: p.Path, Directory: p.Directory, From: from, Copied: p.Dataset == "" || p.copy})
		}
		for _, w := range got.Wants {
			j.Wants = append(j.Wants, w.info())
		}
		sp, err := s.spec(&j, 0, nil, roots)
		if err != nil {
			t.Fatal(err)
		}
		if accepted++; sp.Validate() != nil {
			t.Fatalf("%+v\nmakes %+v\n%v", sub, sp, sp.Validate())
		}
	}
	if accepted < 100 {
		t.Errorf("only %d were accepted", accepted)
	}
}

func TestFilesGoWhereTheyAreNamed(t *testing.T) {
	h := newHouse(t)
	h.script()
	h.grant("randhie")
	if err := os.Mkdir(h.data.dir+"/files", 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(h.data.dir+"/files/a.csv", []byte("data"), 0o444); err != nil {
		t.Fatal(err)
	}
	h.put("in/one.txt", "one")
	h.put("in/deep/two.txt", "two")
	fetched := h.put("fetched", "from afar")
	h.run()
	sub := h.placed("do", "cat /in/text /w/out/text", "cat /d/x.csv /w/out/data", "cat /tmp/t/deep/two.txt /w/out/two", "cat /w/far /w/keep/far",
		"cat /in/text /w/out/extra.log", "cat /tmp/one /w/keep/one")
	sub.Places = []Place{{Path: "/in/text", Content: []byte("hello")}, {Path: "/d/x.csv", Dataset: "randhie", File: "a.csv"},
		{Path: "/tmp/t", Directory: true, Tree: "in"}, {Path: "/tmp/one", Tree: "in/one.txt"},
		{Path: "/w/far", Origin: "https://x/y", SHA256: fetched.SHA256, Size: fetched.Size}}
	sub.Wants = []Want{{Path: "/w/out/text", Target: "s3://b/text"}, {Path: "/w/out/data", Target: "s3://b/data"}, {Path: "/w/out/t*", Prefix: "/w/out", Target: "s3://b/more/"},
		{Path: "/w/keep", Directory: true, Target: "file:///project/kept", Tree: "kept"}}
	j := h.until(h.submit(sub).ID, Held)
	if got, want := h.found(j.ID), "/w/keep/far->file:///project/kept/far 9 tree; /w/keep/one->file:///project/kept/one 3 tree; /w/out/data->s3://b/data 4 held; "+
		"/w/out/text->s3://b/text 5 held; /w/out/text->s3://b/more/text 5 held; /w/out/two->s3://b/more/two 3 held"; got != want {
		t.Errorf("found\n%s\nwant\n%s", got, want)
	}
	if got := h.inTree(); got != "fetched=from afar; in/deep/two.txt=two; in/one.txt=one; kept/far=from afar; kept/one=one" {
		t.Errorf("tree: %s", got)
	}
	if len(j.Outputs) != 3 || j.Outputs[0].Path != "w/out/data" {
		t.Errorf("outputs %+v", j.Outputs)
	}
	if p := j.Places[1]; p.From != FromDataset || p.Copied || p.Dataset != "randhie" || p.Version != 3 || p.SHA256 != strings.Repeat("a", 64) {
		t.Errorf("place %+v", p)
	}
	if p := j.Places[2]; len(p.Files) != 2 || p.Size != 6 || p.SHA256 == "" {
		t.Errorf("place %+v", p)
	}
	if p := h.as(olga, j.ID).Places; p[2].SHA256 != "" || p[2].Files != nil || p[3].SHA256 != "" || p[0].SHA256 == "" || p[2].Size != 6 {
		t.Errorf("an operator sees %+v", p)
	}
	h.cleaned(j.ID)
	h.wait("the inputs are gone", func() bool { _, err := os.Stat(h.job.folder(j.ID) + "/in"); return os.IsNotExist(err) })
}

func TestHowJobsWithWantsEnd(t *testing.T) {
	kept := []Want{{Path: "/w/a", Target: "t", Tree: "x/a"}}
	cases := []struct {
		name   string
		argv   []string
		wants  []Want
		state  State
		reason string
		found  string
	}{
		{"nothing asked for", []string{"say hello"}, nil, Completed, "", ""},
		{"kept inside", []string{"put /w/a 1"}, kept, Completed, "", "/w/a->t 1 tree"},
		{"held", []string{"put /w/a 1"}, []Want{{Path: "/w/a", Target: "t"}}, Held, "", "/w/a->t 1 held"},
		{"both at once", []string{"put /w/a 1"}, append([]Want{{Path: "/w/a", Target: "out"}}, kept...), Held, "", "/w/a->out 1 held; /w/a->t 1 tree"},
		{"a folder with a file of its own in it", []string{"put /w/a 1", "put /w/b 2"}, []Want{{Path: "/w", Directory: true, Target: "d"}, {Path: "/w/a", Target: "a"}},
			Held, "", "/w/a->d/a 1 held; /w/a->a 1 held; /w/b->d/b 1 held"},
		{"missing", []string{"put /w/b 1"}, kept, Failed, "The output /w/a was not produced.", ""},
		{"a folder where a file was asked for", []string{"put /w/a/b 1"}, kept, Failed, "The output /w/a was not produced.", ""},
		{"empty folder", []string{"say hi"}, []Want{{Path: "/w", Directory: true, Target: "t"}}, Completed, "Nothing was found for /w.", ""},
		{"pattern without a match", []string{"put /w/a 1"}, []Want{{Path: "/w/*.csv", Prefix: "/w", Target: "t"}}, Completed, "Nothing was found for /w/*.csv.", ""},
		{"not asked for", []string{"put /w/a 1", "put /w/b 2"}, kept, Completed, "", "/w/a->t 1 tree"},
		{"failed", []string{"put /w/a 1", "exit 3"}, kept, Failed, "The command ended with exit code 3.", ""},
		{"the tree is full", []string{"big /w/a"}, kept, Failed, "could not be kept in the project's files. The project's files would have 2 MB", ""},
		{"the path is a folder", []string{"put /w/a 1"}, []Want{{Path: "/w/a", Tree: "dir"}, {Path: "/w/a", Tree: "new"}}, Failed, "is a folder of the project's files", ""},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			h := newHouse(t)
			h.script()
			h.put("dir/file", "before")
			h.run()
			sub := h.placed(append([]string{"do"}, c.argv...)...)
			sub.Wants, sub.Volumes = c.wants, []string{"/w"}
			got := h.until(h.submit(sub).ID, c.state)
			if c.reason == "" && got.Reason != "" || !strings.Contains(got.Reason, c.reason) {
				t.Errorf("reason %q", got.Reason)
			}
			if found := h.found(got.ID); found != c.found {
				t.Errorf("found %s", found)
			}
			if c.state == Failed && h.inTree() != "dir/file=before" {
				t.Errorf("the tree changed: %s", h.inTree())
			}
			if got.Next == "" || got.FinishedAt == nil {
				t.Errorf("next %q, finished %v", got.Next, got.FinishedAt)
			}
		})
	}
}

func TestTasksShareFoldersAndStreams(t *testing.T) {
	h := newHouse(t)
	h.script()
	h.run()
	sub := h.placed()
	sub.Places = []Place{{Path: "/w/in", Content: []byte("seven")}}
	sub.Tasks = []Task{
		{Image: "tools", Argv: []string{"do", "in /w/one", "say out one", "err err one", "put /w/in changed"}, Stdin: "/w/in", Stdout: "/w/log/out", Stderr: "/w/log/err"},
		{Image: "tools", Argv: []string{"do", "say out two", "exit 4"}, IgnoreError: true},
		{Image: "tools", Argv: []string{"do", "cat /w/in /w/three", "cat /w/log/out /w/four", "exit 5"}, IgnoreError: true},
	}
	sub.Wants = []Want{{Path: "/w/one", Tree: "one"}, {Path: "/w/three", Tree: "three"}, {Path: "/w/four", Tree: "four"}, {Path: "/w/log/err", Tree: "err"}}
	j := h.until(h.submit(sub).ID, Completed)
	if got := h.inTree(); got != "err=err one; four=out one; one=seven; three=changed" {
		t.Errorf("tree: %s", got)
	}
	var codes []string
	for _, task := range j.Tasks {
		codes = append(codes, fmt.Sprint(task.State, " ", *task.ExitCode))
	}
	if got := strings.Join(codes, "; "); got != "succeeded 0; failed 4; failed 5" {
		t.Errorf("tasks: %s", got)
	}
	for _, c := range []struct {
		task   int
		stderr bool
		max    int64
		want   string
	}{{0, false, 100, "out one\n"}, {0, true, 100, "err one\n"}, {1, false, 100, "out two\n"}, {1, true, 100, ""}, {0, true, 4, "one\n"}, {2, false, 100, ""}, {9, false, 100, ""}} {
		got, err := h.job.TaskOutput(context.Background(), j.ID, c.task, c.stderr, c.max)
		if err != nil || got != c.want {
			t.Errorf("task %d stderr %v: %q, %v, want %q", c.task, c.stderr, got, err, c.want)
		}
	}
	if j.Progress.Done != 3 {
		t.Errorf("progress %+v", j.Progress)
	}
}

func TestAFailureThatIsNotIgnoredStopsTheRest(t *testing.T) {
	h := newHouse(t)
	h.script()
	h.run()
	sub := h.placed()
	sub.Tasks = []Task{{Image: "tools", Argv: []string{"do", "exit 4"}, IgnoreError: true}, {Image: "tools", Argv: []string{"do", "exit 5"}}, {Image: "tools", Argv: []string{"do"}}}
	j := h.until(h.submit(sub).ID, Failed)
	if j.Tasks[0].State != TaskFailed || *j.Tasks[0].ExitCode != 4 || *j.Tasks[1].ExitCode != 5 || j.Tasks[2].State != TaskSkipped {
		t.Errorf("tasks %+v", j.Tasks)
	}
}

func TestGatewayJobsSeeTheDatasetsTheyName(t *testing.T) {
	cases := []struct {
		name   string
		change func(*Submission)
		want   int
	}{
		{"none named", func(*Submission) {}, 0},
		{"one file", func(s *Submission) { s.Places = []Place{{Path: "/w/a", Dataset: "randhie", File: "a.csv"}} }, 0},
		{"all of one", func(s *Submission) { s.Datasets = []string{"randhie"} }, 1},
		{"a local job", func(s *Submission) { s.Via, s.Volumes = "", []string{"/w"} }, 1},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			h := newHouse(t)
			h.grant("randhie")
			sub := h.placed("true")
			c.change(&sub)
			if j := h.get(h.submit(sub).ID); len(j.Datasets) != c.want {
				t.Errorf("sees %+v", j.Datasets)
			}
		})
	}
}

func TestGatewayHooks(t *testing.T) {
	h := newHouse(t)
	h.script()
	var moves []string
	h.job.Moved = func(_ *store.Tx, j Job) error { moves = append(moves, string(j.State)); return nil }
	sub := h.placed("do")
	sub.OnBehalf = "Ada"
	sub.Also = func(tx *store.Tx, j Job) error {
		moves = append(moves, "also "+string(j.State))
		_, err := tx.Exec(`SELECT 1 FROM job WHERE id = ?`, j.ID)
		return err
	}
	j := h.submit(sub)
	if got := strings.Join(moves, " "); got != "also submitted approved queued" {
		t.Errorf("moves: %s", got)
	}
	if j.Via != "client:test" || j.OnBehalf != "Ada" || j.Inside {
		t.Errorf("%+v", j)
	}
	sub.Also = func(*store.Tx, Job) error { return fault.New("t", fault.Denied, "Not today.") }
	_, err := h.job.Submit(context.Background(), h.in(rosa), sub)
	wantFault(t, err, fault.Denied, "Not today")
	h.job.Moved = func(*store.Tx, Job) error { return fault.New("t", fault.Denied, "Not here.") }
	_, err = h.job.Cancel(context.Background(), h.in(rosa), j.ID, "")
	wantFault(t, err, fault.Denied, "Not here")
	if got := h.get(j.ID); got.State != Queued {
		t.Errorf("state %s", got.State)
	}
}

func TestTheGatewaySaysNoAtTheStart(t *testing.T) {
	h := newHouse(t)
	h.script()
	j := h.submit(h.placed("do"))
	h.job.Allowed = func(_ *store.Tx, j Job) error { return fault.New("t", fault.Denied, "The hub %s was revoked.", j.Via) }
	h.run()
	h.wait("it is refused", func() bool { return h.get(j.ID).State == Refused })
	if got := h.get(j.ID); !strings.Contains(got.Reason, "The hub client:test was revoked.") || h.starts(j.ID, 0) != 0 {
		t.Errorf("reason %q", got.Reason)
	}
}

func TestDatasetsOfPlacesAreAskedAgainAtTheStart(t *testing.T) {
	h := newHouse(t)
	h.script()
	h.grant("randhie")
	sub := h.placed("do")
	sub.Places = []Place{{Path: "/w/a", Dataset: "randhie", File: "a.csv"}}
	j := h.submit(sub)
	h.data.set("d2", nil)
	h.run()
	h.wait("it is refused", func() bool { return h.get(j.ID).State == Refused })
	if got := h.get(j.ID); !strings.Contains(got.Reason, "is not the one that the job was submitted with") {
		t.Errorf("reason %q", got.Reason)
	}
}

func TestEveryJobNeedsADecision(t *testing.T) {
	h := newHouse(t)
	off := project.NoneAtAll
	h.alphaChange(project.Change{Approval: &off, Reason: "test"})
	sub := h.placed("true")
	sub.EveryJob = true
	j := h.submit(sub)
	if j.State != Submitted || !j.EveryJob {
		t.Fatalf("state %s", j.State)
	}
	if _, err := h.job.Approve(context.Background(), h.in(lena), j.ID, ""); err != nil {
		t.Fatal(err)
	}
	if got := h.get(j.ID); got.State != Queued {
		t.Errorf("state %s", got.State)
	}
}

func TestHeldOutputsOfAPlainJob(t *testing.T) {
	h := newHouse(t)
	h.run()
	j := h.until(h.submit(h.task("write", "a.csv")).ID, Held)
	if got := h.found(j.ID); got != "/work/out/a.csv-> 8 held" {
		t.Errorf("found %s", got)
	}
	if j.Outputs[0].State != output.Held {
		t.Errorf("%+v", j.Outputs)
	}
}
