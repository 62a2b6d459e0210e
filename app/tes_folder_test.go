package app_test

import (
	"bytes"
	"context"
	"net/http"
	"strings"
	"testing"
	"time"

	"tresor/app/access"
	"tresor/app/apptest/tesclient"
	"tresor/app/store"
	"tresor/app/tree"
)

// TestTESFolder: what workflow engines expect of the folder that they were started in.
// A real container works in the project's files; a shell script is the engine.
func TestTESFolder(t *testing.T) {
	r := newTES(t)
	t.Run("inputs go out with a task, and outputs come back with its end", r.engineFolder)
	t.Run("the habits of Nextflow", r.nextflowFolder)
	t.Run("what it refuses", r.folderRefusals)
	t.Run("a job that is cancelled leaves what it had sent", r.folderCancelled)
	t.Run("a plain job of a person", r.folderPlain)
	t.Run("a job elsewhere has none", r.folderElsewhere)
}

// folderHead begins the scripts of this file. child makes a task of the body on standard
// input and waits for its end.
const folderHead = `set -u; T=http://tes.local/ga4gh/tes/v1
child() {
  wget -q -O /tmp/made --header 'Content-Type: application/json' --post-data "$1" $T/tasks || return 1
  ID=$(sed 's/.*"id":"\([^"]*\)".*/\1/' /tmp/made)
  n=0; until wget -q -O /tmp/state "$T/tasks/$ID" && grep -q -e COMPLETE -e ERROR /tmp/state; do n=$((n+1)); [ $n -lt 300 ] || return 2; sleep 0.1; done
  grep -q COMPLETE /tmp/state
}
says() { printf 'POST /v1/tasks HTTP/1.1\r\nHost: tes.local\r\nConnection: close\r\nContent-Length: 2\r\n\r\n{}' | { cat; sleep 2; } | nc 127.0.0.1 80; }
`

// working is a task whose working folder is in the project.
func working(name, dir, script string) tesclient.Task {
	x := shell(folderHead + script)
	x.Workdir = dir
	return tesclient.Task{Name: name, Executors: []tesclient.Executor{x}}
}

// folderJob is a job with the files that could not be kept.
type folderJob struct {
	ID, Name, State, Reason string
	Refused                 []struct{ Path, Reason string }
}

// inFolder runs a script there and expects it to end well.
func (r *tesRig) inFolder(t *testing.T, name, dir, script string) folderJob {
	t.Helper()
	got := r.run(t, working(name, dir, script))
	j := r.named(t, name)
	if got.State != tesclient.Complete {
		_, log := r.rosa.Do("GET", "/jobs/"+j.ID+"/log", nil)
		t.Fatalf("%s: %+v\n%s", j.Reason, got.Logs, log)
	}
	return j
}

func (r *tesRig) named(t *testing.T, name string) (j folderJob) {
	t.Helper()
	var list struct{ Items []jobView }
	r.rosa.Must("GET", "/jobs", nil, &list)
	for _, one := range list.Items {
		if one.Name == name {
			r.rosa.Must("GET", "/jobs/"+one.ID, nil, &j)
			return j
		}
	}
	t.Fatalf("no job %q", name)
	return j
}

// put writes a file into the project of the rig, as another job would.
func (r *tesRig) put(t *testing.T, path, content string) {
	t.Helper()
	b, err := r.App.Vault.Put(t.Context(), strings.NewReader(content), 1<<20)
	if err != nil {
		t.Fatal(err)
	}
	r.inTree(t, func(tx *store.Tx, project string) error {
		return r.App.Tree.Put(tx, access.System, project, "", []tree.File{{Path: path, SHA256: b.SHA256, Size: b.Size}})
	})
}

// has is the content of a file of the project; "-" when there is none.
func (r *tesRig) has(t *testing.T, path string) (content string) {
	t.Helper()
	content = "-"
	r.inTree(t, func(tx *store.Tx, project string) error {
		f, err := r.App.Tree.Stat(tx, project, path)
		if err != nil {
			return nil
		}
		c, err := r.App.Tree.Content(f)
		if err != nil {
			return err
		}
		defer c.Close()
		var b bytes.Buffer
		_, err = b.ReadFrom(c)
		content = b.String()
		return err
	})
	return content
}

func (r *tesRig) inTree(t *testing.T, fn func(*store.Tx, string) error) {
	t.Helper()
	err := r.App.DB.Update(t.Context(), func(tx *store.Tx) error {
		p, err := r.App.Projects.Head(tx, "aurora")
		if err != nil {
			return err
		}
		return fn(tx, p.ID)
	})
	if err != nil {
		t.Fatal(err)
	}
}

func (r *tesRig) engineFolder(t *testing.T) {
	r.put(t, "flow/data/in.txt", "of the project\n")
	r.put(t, "other/secret.txt", "not asked for")
	j := r.inFolder(t, "folder engine", "/project/flow", `
[ "$(pwd)" = /project/flow ] || exit 10
[ "$(cat data/in.txt)" = "of the project" ] || exit 11
[ ! -e /project/other ] || exit 12
mkdir -p run .engine; echo "of the engine" > run/own.txt; echo held > .engine/lock
printf '#!/bin/sh\necho tool-ran\n' > run/tool; chmod 755 run/tool
exec 3>run/growing.log; echo one >&3
child '{"name":"folder child","volumes":["/out"],"executors":[{"image":"`+busybox+`","command":["sh","-c","cat /in/own /in/data /in/growing > /out/both; /in/tool >> /out/both; echo more > /out/sub.txt"]}],
 "inputs":[{"path":"/in/own","url":"file:///project/flow/run/own.txt"},{"path":"/in/tool","url":"file:///project/flow/run/tool"},{"path":"/in/data","url":"file:///project/flow/data/in.txt"},{"path":"/in/growing","content":""}],
 "outputs":[{"path":"/out/both","url":"file:///project/flow/results/both.txt"},{"path":"/out/sub.txt","url":"file:///project/flow/results/deep/sub.txt"}]}' || { cat /tmp/state; exit 13; }
[ "$(cat results/both.txt)" = "of the engine
of the project
tool-ran" ] || { cat results/both.txt; exit 14; }
[ "$(cat results/deep/sub.txt)" = more ] || exit 15
[ data/in.txt -nt results/both.txt ] && exit 16
echo two >&3; exec 3>&-; rm .engine/lock; echo note > .engine/note; echo summary > summary.txt
wget -q -O - http://tes.local/project/other/secret.txt >/dev/null || exit 17
`)
	for path, want := range map[string]string{"flow/run/own.txt": "of the engine\n", "flow/run/growing.log": "one\ntwo\n", "flow/.engine/note": "note\n", "flow/.engine/lock": "-",
		"flow/summary.txt": "summary\n", "flow/data/in.txt": "of the project\n", "flow/results/deep/sub.txt": "more\n"} {
		if got := r.has(t, path); got != want {
			t.Errorf("%s is %q, want %q", path, got, want)
		}
	}
	if len(j.Refused) != 0 {
		t.Errorf("refused: %+v", j.Refused)
	}
	r.inFolder(t, "folder engine again", "/project/flow", `
[ "$(cat .engine/note)" = note ] && [ -x run/tool ] && [ "$(cat results/deep/sub.txt)" = more ] || exit 10`)
}

// nextflowFolder: a folder for each step below the working folder, hidden files that are
// not notes, plain paths as addresses, and results by pattern.
func (r *tesRig) nextflowFolder(t *testing.T) {
	r.inFolder(t, "folder nextflow", "/project/nf", `
W=/project/nf/work/3a/bc12; mkdir -p $W .nextflow/cache; echo lock > .nextflow/cache/LOCK; echo one > in.txt
printf 'cat /work/in.txt > /work/one.txt; echo two > /work/two.txt; echo said; printf 0 > /work/.exitcode\n' > $W/.command.run
child '{"executors":[{"image":"`+busybox+`","workdir":"/work","command":["sh","-c","sh /work/.command.run 2>&1 | tee /work/.command.log"]}],
 "inputs":[{"path":"/work/.command.run","url":"'$W'/.command.run"},{"path":"/work/in.txt","url":"/project/nf/in.txt"}],
 "outputs":[{"path":"/work/.command.log","url":"'$W'/.command.log"},{"path":"/work/.exitcode","url":"'$W'/.exitcode"},{"path":"/work/*.txt","path_prefix":"/work","url":"'$W'"}]}' || { cat /tmp/state; exit 10; }
[ "$(cat $W/.command.log)" = said ] && [ "$(cat $W/.exitcode)" = 0 ] && [ "$(cat $W/one.txt)" = one ] && [ "$(cat $W/two.txt)" = two ] || { ls -la $W; exit 11; }
`)
}

func (r *tesRig) folderRefusals(t *testing.T) {
	r.put(t, "no/shared.txt", "first")
	quota := r.App.Tree.Quota
	t.Cleanup(func() { r.App.Tree.Quota = quota })
	r.App.Tree.Quota = 1 << 20
	j := r.inFolder(t, "folder refusals", "/project/no", `
CHILD='{"executors":[{"image":"`+busybox+`","command":["true"]}]}'
ln -s /etc/passwd link; mkfifo pipe; echo fine > fine.txt
child "$CHILD" || exit 10
printf 'PUT /project/no/shared.txt HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: 6\r\n\r\nsecond' | { cat; sleep 1; } | nc 127.0.0.1 80 | grep -q 204 || exit 12
echo mine > shared.txt
child "$CHILD" && exit 13
says | grep -q '409 Conflict' || exit 14
says | grep -q 'no/shared.txt' || exit 15
rm shared.txt; child "$CHILD" || exit 16
[ "$(cat shared.txt)" = second ] || exit 17
dd if=/dev/zero of=large bs=1000000 count=2 2>/dev/null
child "$CHILD" && exit 18
says | grep -q '429 Too Many' || exit 19
rm large
mkdir many; i=0; while [ $i -lt 20001 ]; do : > many/$i; i=$((i+1)); done
says | grep -q '413 Request Entity Too Large' || exit 20
rm -r many; child "$CHILD" || exit 21
dd if=/dev/zero of=large bs=1000000 count=2 2>/dev/null; echo last > last.txt
`)
	for path, want := range map[string]string{"no/fine.txt": "fine\n", "no/link": "-", "no/pipe": "-", "no/large": "-", "no/shared.txt": "second", "no/last.txt": "last\n"} {
		if got := r.has(t, path); got != want {
			t.Errorf("%s is %.40q, want %q", path, got, want)
		}
	}
	if len(j.Refused) != 1 || j.Refused[0].Path != "/project/no/large" {
		t.Errorf("refused: %+v", j.Refused)
	}
	if _, log := r.rosa.Do("GET", "/jobs/"+j.ID+"/log", nil); !strings.Contains(string(log), "/project/no/link: not kept in the project: a symbolic link") || !strings.Contains(string(log), "pipe: not kept in the project: a named pipe") {
		t.Errorf("log: %s", log)
	}
}

func (r *tesRig) folderCancelled(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	id, err := r.client.Create(ctx, working("folder cancelled", "/project/dead", `
echo early > early.txt; child '{"executors":[{"image":"`+busybox+`","command":["true"]}]}'
echo late > late.txt; sleep 600`))
	if err != nil {
		t.Fatal(err)
	}
	for r.has(t, "dead/early.txt") == "-" {
		select {
		case <-ctx.Done():
			t.Fatal("it never sent its file")
		case <-time.After(50 * time.Millisecond):
		}
	}
	if err := r.client.Cancel(ctx, id); err != nil {
		t.Fatal(err)
	}
	if st, err := r.client.Wait(ctx, id, 50*time.Millisecond); err != nil || st != tesclient.Canceled {
		t.Fatalf("%s, %v", st, err)
	}
	if got := r.has(t, "dead/late.txt"); got != "-" {
		t.Errorf("sent by a job that was cancelled: %q", got)
	}
}

// folderPlain: a job of the page or the command line, in a working folder of the project.
func (r *tesRig) folderPlain(t *testing.T) {
	r.put(t, "plain/in.txt", "given")
	var j jobView
	r.rosa.Must("POST", "/projects/aurora/jobs", map[string]any{"name": "folder plain", "outputs": []string{"copy.txt"},
		"tasks": []map[string]any{{"image": busybox, "workdir": "/project/plain", "argv": []string{"sh", "-c", "cp in.txt /work/out/copy.txt && echo made > made.txt"}}}}, &j)
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	for j.State != "held" && j.State != "failed" {
		select {
		case <-ctx.Done():
			t.Fatalf("it is %s", j.State)
		case <-time.After(50 * time.Millisecond):
		}
		r.rosa.Must("GET", "/jobs/"+j.ID, nil, &j)
	}
	if got := r.has(t, "plain/made.txt"); j.State != "held" || got != "made\n" {
		t.Errorf("%s (%s), made.txt is %q", j.State, j.Reason, got)
	}
	r.rosa.Must("POST", "/projects/aurora/jobs", map[string]any{"name": "folder only",
		"tasks": []map[string]any{{"image": busybox, "workdir": "/project/plain", "argv": []string{"sh", "-c", "cat made.txt > again.txt"}}}}, &j)
	for j.State != "completed" && j.State != "failed" {
		select {
		case <-ctx.Done():
			t.Fatalf("it is %s", j.State)
		case <-time.After(50 * time.Millisecond):
		}
		r.rosa.Must("GET", "/jobs/"+j.ID, nil, &j)
	}
	if got := r.has(t, "plain/again.txt"); j.State != "completed" || got != "made\n" {
		t.Errorf("without outputs: %s (%s), again.txt is %q", j.State, j.Reason, got)
	}
}

func (r *tesRig) folderElsewhere(t *testing.T) {
	got := r.run(t, tesclient.Task{Name: "no folder", Volumes: []string{"/work"}, Executors: []tesclient.Executor{shell("test ! -e /project")}})
	if got.State != tesclient.Complete {
		t.Errorf("%+v", got)
	}
	resp, err := http.Get(r.URL + "/project/plain/made.txt")
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if resp.StatusCode == http.StatusOK {
		t.Error("the project's files are served outside")
	}
}
