package sandboxtest

import (
	"context"
	"net"
	"net/http"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"tresor/sandbox"
)

// serve answers connections of containers.
func (s *Files) serve(ctx context.Context, _ map[string]string, conn net.Conn) {
	l := &once{conn: make(chan net.Conn, 1), done: make(chan struct{})}
	l.conn <- &watchedConn{Conn: conn, done: l.done}
	context.AfterFunc(ctx, func() { conn.Close() })
	_ = (&http.Server{ReadHeaderTimeout: time.Minute, Handler: s}).Serve(l)
}

// inProject gives the box a folder in step with the files of s.
func (b *box) inProject(s *Files) {
	b.volume("/project/run")
	b.Inside(s.serve)
	b.spec.Inside, b.spec.Project = true, "/project/run"
}

func projectFolder(t *testing.T, b *box) {
	var s Files
	for _, name := range []string{"run/a", "run/b", "run/c/d", "run/e", "run/f"} {
		s.Put(name, "of "+name, false)
	}
	s.Put("elsewhere", "not there", false)
	s.Tasks("COMPLETE", func() { s.Put("run/out", "of the task", false) })
	b.inProject(&s)
	out := b.argv("cat", "/project/run/c/d", "then", "write", "/project/run/in/x", "given", "then", "post", "/v1/tasks", "then",
		"get", "/v1/tasks/1", "then", "cat", "/project/run/out", "then", "write", "/project/run/late", "result").runs(0)
	b.equal(out, "of run/c/d200 {\"id\":\"1\",\"state\":\"COMPLETE\"}\n200 {\"id\":\"1\",\"state\":\"COMPLETE\"}\nof the task")
	b.equal(s.All(), "elsewhere=not there run/a=of run/a run/b=of run/b run/c/d=of run/c/d run/e=of run/e run/f=of run/f run/in/x=given run/late=result run/out=of the task")
	if posts, _, _ := s.Counts(); posts != 2 {
		t.Errorf("%d archives: one before the task and one at the end", posts)
	}
	n := b.next("cat", "/project/run/late", "then", "cat", "/project/run/in/x") // the volume is still there
	n.spec.Project, n.spec.Inside = b.spec.Project, true
	b.equal(n.runs(0), "resultgiven")
	if posts, _, _ := s.Counts(); posts != 2 {
		t.Errorf("a task that changes nothing sent something")
	}
}

func projectRefusals(t *testing.T, b *box) {
	var s Files
	s.Put("run/a", "1", false)
	s.Refuse("run/large")
	b.inProject(&s)
	out := b.argv("link", "/etc/passwd", "/project/run/link", "then", "fifo", "/project/run/pipe", "then", "write", "/project/run/large", "x", "then",
		"post", "/v1/tasks", "then", "write", "/project/run/ok", "kept", "then", "write", "/work/out/f", "output").runs(0)
	b.contains(out, "429 ")
	b.contains(out, "The task was not made")
	b.contains(out, "link: not kept in the project: a symbolic link")
	b.contains(out, "pipe: not kept in the project: a named pipe")
	b.equal(s.All(), "run/a=1 run/ok=kept")
	if _, _, made := s.Counts(); made != 0 {
		t.Error("a task was made")
	}
	files, c := b.collect()
	b.equal(files, map[string]string{"/work/out/f": "output"})
	if len(c.Refused) != 1 || c.Refused[0].Path != "/project/run/large" || !strings.Contains(c.Refused[0].Reason, "quota") {
		t.Errorf("%+v", c.Refused)
	}
}

// projectRestart: the host comes and goes under a command that works in the project's files.
func projectRestart(t *testing.T, b *box) {
	var s Files
	s.Tasks("COMPLETE", func() { s.Put("run/out", "of the task", false) })
	b.inProject(&s)
	b.argv("post", "/v1/tasks", "then", "say", "ready", "then", "sleep", "1000", "then", "write", "/project/run/x", "1", "then", "post", "/v1/tasks", "then",
		"get", "/v1/tasks/1", "then", "cat", "/project/run/out").start().until("ready")
	b.Runner = b.Reopen()
	b.contains(b.log(), "of the task")
	b.equal(b.phase(sandbox.Ended).ExitCode, 0)
	b.equal(s.All(), "run/out=of the task run/x=1")
}

// projectKilled: nothing is sent from a dead container, nor by a command that was stopped.
func projectKilled(t *testing.T, b *box) {
	for name, end := range map[string]func(*box){
		"killed":  func(b *box) { b.Kill(b.spec.Ref) },
		"stopped": func(b *box) { b.must(b.Runner.Stop(b.ctx, b.spec.Ref, time.Second)) },
	} {
		var s Files
		n := b.next("write", "/project/run/x", "early", "then", "post", "/v1/tasks", "then", "write", "/project/run/x", "late!", "then", "say", "ready", "then", "sleep", "1000")
		n.volume("/project/run")
		n.Inside(s.serve)
		n.spec.Inside, n.spec.Project = true, "/project/run"
		n.start().until("ready")
		end(n)
		n.log()
		if got := s.All(); got != "run/x=early" {
			t.Errorf("%s: %q", name, got)
		}
		b.must(n.Runner.Remove(n.ctx, n.spec.Ref))
		for _, v := range n.spec.Scratch[1:] {
			b.must(n.Runner.RemoveScratch(n.ctx, v.Name))
		}
	}
}

// projectInputs: an input takes the place of the project's file, and what is shown
// read-only is no file of the project.
func projectInputs(t *testing.T, b *box) {
	var s Files
	s.Put("run/f", "of the project", false)
	b.inProject(&s)
	in := input(t)
	b.spec.Binds = []sandbox.Bind{{Source: in, Target: "/in"}, {Source: filepath.Join(in, "sub/g"), Target: "/project/run/shown"}}
	b.spec.Copies = []sandbox.Copy{{From: "/in/f", To: "/project/run/f"}}
	b.argv("post", "/v1/tasks", "then", "cat", "/project/run/shown")
	b.equal(b.runs(0), "200 {\"id\":\"1\",\"state\":\"\"}\ndata of sub/g")
	b.equal(s.All(), "run/f=data of f")
}

// projectAway: a command does not begin without the files that it was promised.
func projectAway(t *testing.T, b *box) {
	b.inProject(new(Files))
	b.Inside(func(ctx context.Context, _ map[string]string, conn net.Conn) {
		l := &once{conn: make(chan net.Conn, 1), done: make(chan struct{})}
		l.conn <- &watchedConn{Conn: conn, done: l.done}
		_ = (&http.Server{ReadHeaderTimeout: time.Minute, Handler: http.NotFoundHandler()}).Serve(l)
	})
	out := b.argv("say", "began").runs(sandbox.ExitUnplaced)
	b.contains(out, "could not be laid out in /project/run")
	if strings.Contains(out, "began") {
		t.Error("the command was started")
	}
}
