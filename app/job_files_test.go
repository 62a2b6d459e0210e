package app_test

import (
	"context"
	"io"
	"strings"
	"testing"
	"time"

	"tresor/app/access"
	"tresor/app/dataset/sqlrun"
	"tresor/app/job"
	"tresor/app/output"
	"tresor/app/store"
	"tresor/app/tree"
	"tresor/embed/demo"
)

// files is a desk at which jobs with paths of their own run in real containers.
type files struct {
	*tesRig
	t       *testing.T
	who     access.Actor
	project string
}

func newFiles(t *testing.T) *files {
	f := &files{tesRig: newTES(t), t: t}
	f.project = projectOf(t, f.Rig, f.rosa)
	p, err := f.App.Identity.ByHandle(t.Context(), "rosa")
	if err != nil {
		t.Fatal(err)
	}
	f.who = access.Actor{ID: p.ID, Handle: p.Handle, Name: p.Name, Via: "web", Projects: map[string]access.Role{f.project: access.Researcher}}
	return f
}

func sh(script string) job.Task {
	return job.Task{Image: busybox, Argv: []string{"sh", "-c", script}}
}

// end submits a job and waits for its end.
func (f *files) end(sub job.Submission, want job.State) job.Job {
	f.t.Helper()
	sub.Project, sub.Name, sub.Via, sub.WaitForImage = f.project, "files", "client:test", true
	j, err := f.App.Jobs.Submit(f.t.Context(), f.who, sub)
	if err != nil {
		f.t.Fatal(err)
	}
	for end := time.Now().Add(3 * time.Minute); time.Now().Before(end) && !j.State.Terminal() && j.State != job.Held; time.Sleep(20 * time.Millisecond) {
		if j, err = f.App.Jobs.Get(f.t.Context(), f.who, j.ID); err != nil {
			f.t.Fatal(err)
		}
	}
	if j.State != want {
		log, _ := f.App.Jobs.TaskOutput(f.t.Context(), j.ID, 0, true, 2000)
		f.t.Fatalf("job is %s (%s), want %s; it wrote %q", j.State, j.Reason, want, log)
	}
	return j
}

// kept is a file of the project's tree.
func (f *files) kept(path string) string {
	f.t.Helper()
	var content string
	err := f.App.DB.View(f.t.Context(), func(tx *store.Tx) error {
		file, err := f.App.Tree.Stat(tx, f.project, path)
		if err != nil {
			return err
		}
		r, err := f.App.Tree.Content(file)
		if err != nil {
			return err
		}
		defer r.Close()
		b, err := io.ReadAll(r)
		content = string(b)
		return err
	})
	if err != nil {
		f.t.Errorf("%s: %v", path, err)
	}
	return content
}

// put keeps a file in the project's tree.
func (f *files) put(path, content string) {
	f.t.Helper()
	b, err := f.App.Vault.Put(f.t.Context(), strings.NewReader(content), 1<<20)
	if err == nil {
		err = f.App.DB.Update(f.t.Context(), func(tx *store.Tx) error {
			return f.App.Tree.Put(tx, access.System, f.project, "", []tree.File{{Path: path, SHA256: b.SHA256, Size: b.Size}})
		})
	}
	if err != nil {
		f.t.Fatal(err)
	}
}

// TestJobFiles has real containers read and write files at paths that workflow
// engines choose.
func TestJobFiles(t *testing.T) {
	f := newFiles(t)
	f.put("ref/one.txt", "one\n")
	f.put("ref/deep/two.txt", "two\n")
	t.Run("tasks share folders and streams", f.shares)
	t.Run("everything in /tmp", f.everythingInTmp)
	t.Run("a random folder is working folder and output", f.randomFolder)
	t.Run("SQL over a dataset that is named", f.namedDataset)
	t.Run("a dataset that has to be copied", f.copiedDataset)
}

func (f *files) shares(t *testing.T) {
	f.t = t
	first := sh("cat; echo to-err >&2; cat /ref/one.txt /ref/deep/two.txt > /w/deep/both; echo changed > /w/in.txt")
	first.Stdin, first.Stdout, first.Stderr = "/w/in.txt", "/logs/out", "/logs/err"
	second := sh("ls /nowhere")
	second.IgnoreError = true
	third := sh("cat /w/in.txt /logs/out > /w/third; mkdir -p /w/dir/sub && echo a > /w/dir/a && echo b > /w/dir/sub/b; touch /w/x1.csv /w/x2.csv")
	j := f.end(job.Submission{Tasks: []job.Task{first, second, third}, Volumes: []string{"/w/deep"},
		Places: []job.Place{{Path: "/w/in.txt", Content: []byte("hello\n")}, {Path: "/ref", Directory: true, Tree: "ref"}},
		Wants: []job.Want{{Path: "/w/third", Tree: "out/third"}, {Path: "/logs/err", Tree: "out/err"}, {Path: "/w/deep/both", Tree: "out/both"},
			{Path: "/w/dir", Directory: true, Tree: "out/dir"}, {Path: "/w/x*.csv", Prefix: "/w", Tree: "out/x"}}}, job.Completed)
	for path, want := range map[string]string{"out/third": "changed\nhello\n", "out/err": "to-err\n", "out/both": "one\ntwo\n", "out/dir/sub/b": "b\n", "out/x/x2.csv": ""} {
		if got := f.kept(path); got != want {
			t.Errorf("%s is %q, want %q", path, got, want)
		}
	}
	if code := j.Tasks[1].ExitCode; j.Tasks[1].State != job.TaskFailed || code == nil || *code == 0 {
		t.Errorf("%+v", j.Tasks[1])
	}
	for stderr, want := range map[bool]string{false: "hello\n", true: "to-err\n"} {
		if got, err := f.App.Jobs.TaskOutput(t.Context(), j.ID, 0, stderr, 100); err != nil || got != want {
			t.Errorf("stderr %v: %q, %v", stderr, got, err)
		}
	}
}

func (f *files) everythingInTmp(t *testing.T) {
	f.t = t
	task := sh("pwd > where; cat run.sh > conda/env && cp conda/env out/result")
	task.Workdir = "/tmp"
	f.end(job.Submission{Tasks: []job.Task{task}, Places: []job.Place{{Path: "/tmp/run.sh", Content: []byte("x")}}, Volumes: []string{"/tmp/conda"},
		Wants: []job.Want{{Path: "/tmp/out/result", Tree: "tmp/result"}, {Path: "/tmp/where", Tree: "tmp/where"}}}, job.Completed)
	if got := f.kept("tmp/result") + f.kept("tmp/where"); got != "x/tmp\n" {
		t.Errorf("%q", got)
	}
}

func (f *files) randomFolder(t *testing.T) {
	f.t = t
	task := sh("echo n > a.txt; mkdir sub; echo m > sub/b.txt")
	task.Workdir, task.Stdout = "/qXyZab", "/qXyZab/log.txt"
	j := f.end(job.Submission{Tasks: []job.Task{task}, Wants: []job.Want{{Path: "/qXyZab", Directory: true, Target: "s3://b/all"}, {Path: "/qXyZab/a.txt", Target: "s3://b/a"}}}, job.Held)
	if len(j.Outputs) != 3 || j.Outputs[0].Path != "qXyZab/a.txt" || j.Outputs[0].State != output.Held {
		t.Errorf("%+v", j.Outputs)
	}
	var found []job.Found
	err := f.App.DB.View(context.Background(), func(tx *store.Tx) error {
		var err error
		found, err = f.App.Jobs.OutputsOf(tx, j.ID)
		return err
	})
	if err != nil || len(found) != 4 || found[0].Target != "s3://b/all/a.txt" || found[1].Target != "s3://b/a" {
		t.Errorf("%+v, %v", found, err)
	}
}

func (f *files) queries() (job.Place, job.Task) {
	f.t.Helper()
	script, err := sqlrun.Script([]sqlrun.Query{{Output: "x.csv", SQL: demo.Safe.SQL}})
	if err != nil {
		f.t.Fatal(err)
	}
	return job.Place{Path: sqlrun.ScriptPath, Content: script}, job.Task{Image: "tresor/sql", Argv: sqlrun.Argv()}
}

func (f *files) namedDataset(t *testing.T) {
	f.t = t
	place, task := f.queries()
	j := f.end(job.Submission{Tasks: []job.Task{task}, Places: []job.Place{place, {Path: "/data/randhie", Directory: true, Dataset: "randhie"}},
		Wants: []job.Want{{Path: "/work/out/x.csv", Target: "x.csv"}}}, job.Held)
	if len(j.Outputs) != 1 || j.Outputs[0].Rows == 0 || j.Outputs[0].Path != "work/out/x.csv" {
		t.Errorf("%+v", j.Outputs)
	}
}

func (f *files) copiedDataset(t *testing.T) {
	f.t = t
	f.end(job.Submission{Tasks: []job.Task{sh("ls /d /d/files > /d/out/list; wc -c < /one/data.csv >> /d/out/list")},
		Places: []job.Place{{Path: "/d", Directory: true, Dataset: "randhie"}, {Path: "/one/data.csv", Dataset: "randhie", File: demo.FileName}},
		Wants:  []job.Want{{Path: "/d/out/list", Tree: "list"}}}, job.Completed)
	if got := f.kept("list"); !strings.Contains(got, "presentation.sqlite") || !strings.Contains(got, demo.FileName) || strings.HasSuffix(got, "\n0\n") {
		t.Errorf("%q", got)
	}
}
