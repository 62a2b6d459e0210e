package app_test

import (
	"bytes"
	"context"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"tresor/app/access"
	"tresor/app/apptest"
	"tresor/app/apptest/tesclient"
)

// tesRig is an appliance with the busybox image and a researcher's token.
type tesRig struct {
	*apptest.Rig
	client *tesclient.Client
	rosa   *apptest.Person
	olga   *apptest.Person
}

const busybox = "localhost/busybox:test"

func newTES(t *testing.T, set ...string) *tesRig {
	t.Helper()
	archive := apptest.Busybox(t)
	r := &tesRig{Rig: apptest.Start(t, apptest.Options{Set: append([]string{"sandbox.cores=2"}, set...)})}
	r.rosa, r.olga = r.SignIn("rosa"), r.SignIn("olga")
	digest := r.importImage(t, archive)
	r.olga.Must("POST", "/images/"+digest+"/approve", map[string]string{"reason": "for tests"}, nil)
	r.client = r.as(t, r.rosa, "aurora")
	return r
}

func (r *tesRig) importImage(t *testing.T, archive []byte) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
	defer cancel()
	p, err := r.App.Identity.ByHandle(ctx, "olga")
	if err != nil {
		t.Fatal(err)
	}
	olga := access.Actor{ID: p.ID, Handle: p.Handle, Name: p.Name, Roles: p.Roles, Via: "web"}
	for {
		i, err := r.App.Images.Import(ctx, olga, bytes.NewReader(archive), busybox, nil)
		if err == nil {
			return i.Digest
		}
		select {
		case <-ctx.Done():
			t.Fatal(err)
		case <-time.After(100 * time.Millisecond): // the engine is coming up
		}
	}
}

// as makes a token of a person for a project and a client that has it.
func (r *tesRig) as(t *testing.T, who *apptest.Person, project string) *tesclient.Client {
	t.Helper()
	var made struct {
		Token string `json:"token"`
	}
	who.Must("POST", "/tokens", map[string]any{"name": "test", "project": project, "days": 1}, &made)
	if made.Token == "" {
		t.Fatal("a token was made and not shown")
	}
	return &tesclient.Client{Base: r.URL + "/ga4gh/tes/v1", Token: made.Token, HTTP: http.DefaultClient}
}

func shell(script string) tesclient.Executor {
	return tesclient.Executor{Image: busybox, Command: []string{"sh", "-c", script}}
}

func (r *tesRig) run(t *testing.T, task tesclient.Task) tesclient.Task {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	id, err := r.client.Create(ctx, task)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := r.client.Wait(ctx, id, 50*time.Millisecond); err != nil {
		full, _ := r.client.Get(t.Context(), id, "FULL")
		t.Fatalf("%v: %+v", err, full)
	}
	full, err := r.client.Get(ctx, id, "FULL")
	if err != nil {
		t.Fatal(err)
	}
	return full
}

// TestTESLife drives whole tasks in real containers through the real plugin with
// a client that knows the published schema and nothing else.
func TestTESLife(t *testing.T) {
	r := newTES(t)
	t.Run("service-info", func(t *testing.T) {
		if _, err := r.client.Info(t.Context()); err != nil {
			t.Error(err)
		}
	})
	t.Run("files in, executors, files out inside the project", r.filesStayInside)
	t.Run("folders and wildcards", r.foldersAndWildcards)
	t.Run("the first failure ends it, and ignore_error does not", r.failures)
	t.Run("what leaves waits for a release", r.heldUntilReleased)
	t.Run("cancel", r.cancels)
	t.Run("lists, views, filters, pages and refusals", r.lists)
	t.Run("an image that nobody approved makes it wait", r.waitsForImage)
	t.Run("other people's tasks do not exist", r.foreign)
}

func (r *tesRig) filesStayInside(t *testing.T) {
	got := r.run(t, tesclient.Task{
		Name: "two executors",
		Inputs: []tesclient.Input{
			{Path: "/inputs/names.txt", Content: "carol\nalice\nbob\n"},
		},
		Volumes: []string{"/shared"},
		Executors: []tesclient.Executor{
			{Image: busybox, Command: []string{"sort"}, Stdin: "/inputs/names.txt", Stdout: "/shared/sorted.txt"},
			{Image: busybox, Command: []string{"sh", "-c", "head -n 1 /shared/sorted.txt > first.txt; echo noise >&2; echo $GREETING"}, Workdir: "/work/dir", Stdout: "/work/dir/said.txt", Stderr: "/work/dir/err.txt", Env: map[string]string{"GREETING": "hello there"}},
		},
		Outputs: []tesclient.Output{
			{Path: "/work/dir/first.txt", URL: "file:///project/life/first.txt"},
			{Path: "/work/dir/said.txt", URL: "file:///project/life/said.txt"},
			{Path: "/work/dir/err.txt", URL: "file:///project/life/err.txt"},
		},
	})
	if got.State != tesclient.Complete || len(got.Logs) != 1 || len(got.Logs[0].Logs) != 2 || len(got.Logs[0].Outputs) != 3 {
		t.Fatalf("%+v", got)
	}
	second := r.run(t, tesclient.Task{
		Name:      "reads what the first left",
		Inputs:    []tesclient.Input{{Path: "/in/first.txt", URL: "file:///project/life/first.txt"}, {Path: "/in/said.txt", URL: "file:///project/life/said.txt"}},
		Executors: []tesclient.Executor{shell(`test "$(cat /in/first.txt)" = alice && test "$(cat /in/said.txt)" = "hello there"`)},
	})
	if second.State != tesclient.Complete {
		t.Errorf("%+v", second)
	}
}

func (r *tesRig) foldersAndWildcards(t *testing.T) {
	got := r.run(t, tesclient.Task{
		Name:      "folders",
		Executors: []tesclient.Executor{shell("mkdir -p /AbCdEf/sub && cd /AbCdEf && echo 1 > a.txt && echo 2 > b.txt && echo 3 > sub/c.log && mkdir -p /results/x && echo 4 > /results/x/d.csv && echo 5 > /results/e.csv")},
		Volumes:   []string{"/AbCdEf", "/results"},
		Outputs: []tesclient.Output{
			{Path: "/AbCdEf", URL: "file:///project/folder/all", Type: "DIRECTORY"},
			{Path: "/AbCdEf/a.txt", URL: "file:///project/folder/one.txt"},
			{Path: "/results/*.csv", PathPrefix: "/results", URL: "file:///project/folder/csv"},
			{Path: "/results/x/*.csv", PathPrefix: "/results/", URL: "file:///project/folder/deep"},
		},
	})
	if got.State != tesclient.Complete {
		t.Fatalf("%+v", got)
	}
	// From outside, only files that the caller named are listed: the names of others
	// are words of a program.
	var urls []string
	for _, o := range got.Logs[0].Outputs {
		urls = append(urls, o.URL)
	}
	if !slices.Equal(urls, []string{"file:///project/folder/one.txt"}) {
		t.Errorf("listed are %v", urls)
	}
	again := r.run(t, tesclient.Task{
		Name: "a folder comes in",
		Inputs: []tesclient.Input{
			{Path: "/given", URL: "file:///project/folder/all", Type: "DIRECTORY"},
			{Path: "/csv", URL: "file:///project/folder/csv", Type: "DIRECTORY"},
			{Path: "/deep", URL: "file:///project/folder/deep", Type: "DIRECTORY"},
		},
		Executors: []tesclient.Executor{shell(`test "$(cat /given/sub/c.log)" = 3 && echo more > /given/new.txt && test "$(cat /csv/e.csv)" = 5 && test "$(cat /deep/x/d.csv)" = 4`)},
	})
	if again.State != tesclient.Complete {
		t.Errorf("%+v", again)
	}
}

func (r *tesRig) failures(t *testing.T) {
	stopped := r.run(t, tesclient.Task{Name: "stops", Executors: []tesclient.Executor{shell("exit 3"), shell("true")}})
	if stopped.State != tesclient.ExecutorError || len(stopped.Logs[0].Logs) != 1 || *stopped.Logs[0].Logs[0].ExitCode != 3 {
		t.Errorf("%+v", stopped)
	}
	bad := shell("exit 4")
	bad.IgnoreError = true
	went := r.run(t, tesclient.Task{Name: "goes on", Executors: []tesclient.Executor{bad, shell("true")}})
	if went.State != tesclient.Complete || len(went.Logs[0].Logs) != 2 || *went.Logs[0].Logs[0].ExitCode != 4 || *went.Logs[0].Logs[1].ExitCode != 0 {
		t.Errorf("%+v", went)
	}
}

func (r *tesRig) heldUntilReleased(t *testing.T) {
	const secret = "what-programs-print-stays-inside"
	ctx := t.Context()
	id, err := r.client.Create(ctx, tesclient.Task{
		Name: "leaves", Description: "A table for the report.",
		Executors: []tesclient.Executor{shell("echo " + secret + "; echo " + secret + " >&2; printf 'group,n\\na,100\\nb,200\\n' > /results/table.csv")},
		Volumes:   []string{"/results"},
		Outputs:   []tesclient.Output{{Path: "/results/table.csv", URL: "s3://somewhere/table.csv"}},
	})
	if err != nil {
		t.Fatal(err)
	}
	var job struct{ State string }
	for job.State != "held" {
		r.rosa.Must("GET", "/jobs/"+id, nil, &job)
		if job.State == "failed" {
			t.Fatalf("%+v", job)
		}
		time.Sleep(50 * time.Millisecond)
	}
	held, err := r.client.Get(ctx, id, "FULL")
	if err != nil || held.State != tesclient.Running || len(held.Logs) != 1 || len(held.Logs[0].Outputs) != 0 {
		t.Fatalf("held outputs show as %+v, error %v", held, err)
	}
	said := strings.Join(held.Logs[0].SystemLogs, "\n")
	if !strings.Contains(said, "standard output") || !strings.Contains(said, "stays inside") {
		t.Errorf("system_logs do not say that standard output is withheld: %s", said)
	}
	if all := fmt.Sprintf("%+v", held.Logs); strings.Contains(all, secret) {
		t.Errorf("what the program printed came out: %s", all)
	}
	r.release(t, id)
	if s, err := r.client.Wait(ctx, id, 50*time.Millisecond); err != nil || s != tesclient.Complete {
		t.Fatalf("released task is %s, %v", s, err)
	}
	done, err := r.client.Get(ctx, id, "FULL")
	if err != nil || len(done.Logs[0].Outputs) != 1 {
		t.Fatalf("%+v, %v", done, err)
	}
	b, err := r.client.Fetch(ctx, done.Logs[0].Outputs[0].URL)
	if err != nil || string(b) != "group,n\na,100\nb,200\n" {
		t.Errorf("fetched %q, %v", b, err)
	}
	if all := fmt.Sprintf("%+v", done.Logs); strings.Contains(all, secret) {
		t.Errorf("the release opened what the program printed: %s", all)
	}
}

// release takes a job's outputs through the airlock.
func (r *tesRig) release(t *testing.T, id string) {
	t.Helper()
	var req struct {
		ID    string
		Items []struct{ ID string }
	}
	r.rosa.Must("POST", "/jobs/"+id+"/airlock", map[string]any{"title": "Table", "context": "Group sizes, all of them large enough.", "population": "Invented rows.", "controls": "None is needed: no group is small."}, &req)
	r.rosa.Must("POST", "/airlock/"+req.ID+"/submit", map[string]any{}, &req)
	for _, who := range []string{"carl", "cemile"} {
		c := r.SignIn(who)
		for _, i := range req.Items {
			c.Must("GET", "/airlock/"+req.ID+"/items/"+i.ID+"/view", nil, nil)
		}
		c.Must("POST", "/airlock/"+req.ID+"/votes", map[string]string{"decision": "approve", "comment": "Fine."}, nil)
	}
	r.rosa.Must("POST", "/airlock/"+req.ID+"/release", map[string]any{}, nil)
}

func (r *tesRig) cancels(t *testing.T) {
	ctx := t.Context()
	id, err := r.client.Create(ctx, tesclient.Task{Name: "long", Executors: []tesclient.Executor{shell("sleep 600")}})
	if err != nil {
		t.Fatal(err)
	}
	for range 2 { // cancelling what is over is no error
		if err := r.client.Cancel(ctx, id); err != nil {
			t.Fatal(err)
		}
		if s, err := r.client.Wait(ctx, id, 50*time.Millisecond); err != nil || s != tesclient.Canceled {
			t.Fatalf("%s, %v", s, err)
		}
	}
}

func (r *tesRig) waitsForImage(t *testing.T) {
	ctx := t.Context()
	id, err := r.client.Create(ctx, tesclient.Task{Name: "unknown image", Executors: []tesclient.Executor{{Image: "docker.io/library/nobody:1", Command: []string{"true"}}}})
	if err != nil {
		t.Fatal(err)
	}
	got, err := r.client.Get(ctx, id, "FULL")
	if err != nil || got.State != tesclient.Queued {
		t.Fatalf("%+v, %v", got, err)
	}
	if said := fmt.Sprint(got.Logs); !strings.Contains(said, "docker.io/library/nobody:1") {
		t.Errorf("system_logs do not name the image it waits for: %s", said)
	}
	if err := r.client.Cancel(ctx, id); err != nil {
		t.Error(err)
	}
}

func (r *tesRig) foreign(t *testing.T) {
	ctx := t.Context()
	id, err := r.client.Create(ctx, tesclient.Task{Name: "mine", Executors: []tesclient.Executor{shell("true")}})
	if err != nil {
		t.Fatal(err)
	}
	r.olga.Must("POST", "/projects", map[string]string{"slug": "other", "name": "Other", "purpose": "Somebody else's."}, nil)
	var rosa struct {
		Person struct{ ID string }
	}
	r.rosa.Must("GET", "/session", nil, &rosa)
	r.olga.Must("PUT", "/projects/other/members/"+rosa.Person.ID, map[string]string{"role": "researcher"}, nil)
	other := r.as(t, r.rosa, "other")
	for name, ask := range map[string]func(id string) error{
		"get":    func(id string) error { _, err := other.Get(ctx, id, "FULL"); return err },
		"cancel": func(id string) error { return other.Cancel(ctx, id) },
	} {
		foreign, absent := ask(id), ask("00000000-0000-7000-8000-000000000000")
		f, okF := foreign.(*tesclient.Refused)
		a, okA := absent.(*tesclient.Refused)
		if !okF || !okA || f.Status != http.StatusNotFound || a.Status != http.StatusNotFound {
			t.Errorf("%s: foreign %v, absent %v: both have to be 404", name, foreign, absent)
		}
	}
	if all, err := other.Walk(ctx, tesclient.Query{}); err != nil || len(all) != 0 {
		t.Errorf("the other project lists %v, %v", all, err)
	}
	if _, err := (&tesclient.Client{Base: r.client.Base, Token: "trs_wrong", HTTP: http.DefaultClient}).List(ctx, tesclient.Query{}); err == nil || !strings.Contains(err.Error(), "401") {
		t.Errorf("a wrong token: %v", err)
	}
}
