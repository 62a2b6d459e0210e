package agent

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"sort"
	"strings"
	"syscall"
	"testing"
	"time"

	"tresor/sandbox/sandboxtest"
)

// mirror is a folder that is kept in step with a task service in this process.
type mirror struct {
	*Project
	t      *testing.T
	dir    string
	server *sandboxtest.Files
	log    strings.Builder
	dial   func(context.Context) (net.Conn, error)
}

func newMirror(t *testing.T, target string) *mirror {
	t.Helper()
	m := &mirror{t: t, dir: t.TempDir(), server: &sandboxtest.Files{}}
	s := httptest.NewServer(m.server)
	t.Cleanup(s.Close)
	m.dial = func(ctx context.Context) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "tcp", s.Listener.Addr().String())
	}
	m.Project = NewProject(target, m.dir, 1<<20, m.dial, func(f string, a ...any) { fmt.Fprintf(&m.log, f+"\n", a...) })
	return m
}

func (m *mirror) write(name, content string) {
	m.t.Helper()
	p := filepath.Join(m.dir, name)
	if err := errors.Join(os.MkdirAll(filepath.Dir(p), 0o755), os.WriteFile(p, []byte(content), 0o644)); err != nil {
		m.t.Fatal(err)
	}
}

// all is every file of the folder, as sandboxtest.Files.All says it.
func (m *mirror) all() string {
	var list []string
	_ = filepath.WalkDir(m.dir, func(p string, d os.DirEntry, err error) error {
		name, _ := filepath.Rel(m.dir, p)
		if name == OwnDir && d.IsDir() {
			return filepath.SkipDir
		}
		if st, err := d.Info(); err == nil && st.Mode().IsRegular() {
			b, _ := os.ReadFile(p)
			text := name + "=" + string(b)
			if st.Mode()&0o111 != 0 {
				text += "*"
			}
			list = append(list, text)
		}
		return err
	})
	sort.Strings(list)
	return strings.Join(list, " ")
}

func (m *mirror) fetch() {
	m.t.Helper()
	if err := m.Fetch(m.t.Context()); err != nil {
		m.t.Fatal(err)
	}
}

func (m *mirror) send() {
	m.t.Helper()
	if err := m.Send(m.t.Context()); err != nil {
		m.t.Fatal(err)
	}
}

func (m *mirror) is(what, got, want string) {
	m.t.Helper()
	if got != want {
		m.t.Errorf("%s: %q, want %q\nlog: %s", what, got, want, m.log.String())
	}
}

// TestProjectInStep: what either side has is on both after Fetch and Send, once.
func TestProjectInStep(t *testing.T) {
	m := newMirror(t, "/project")
	for i := range 5 {
		m.server.Put(fmt.Sprintf("data/%d", i), fmt.Sprint(i), false)
	}
	m.server.Put("bin/tool", "#!", true)
	m.fetch()
	m.is("filled", m.all(), "bin/tool=#!* data/0=0 data/1=1 data/2=2 data/3=3 data/4=4")
	if st, err := os.Stat(filepath.Join(m.dir, "data/0")); err != nil || st.ModTime().Year() != 2026 || st.ModTime().Month() != 3 {
		t.Errorf("the time of a file: %v, %v", st.ModTime(), err)
	}
	m.write("results/a.txt", "first")
	m.write(".engine/lock", "notes")
	m.write("results/.hidden", "part of a task")
	m.send()
	m.is("sent", m.server.All(), "bin/tool=#!* data/0=0 data/1=1 data/2=2 data/3=3 data/4=4 results/.hidden=part of a task results/a.txt=first")
	before, _, _ := m.server.Counts()
	m.send()
	m.fetch()
	m.send()
	if after, _, _ := m.server.Counts(); after != before {
		t.Errorf("%d archives with nothing new", after-before)
	}
	m.server.Put("data/0", "new", false)
	m.server.Put("results/b.txt", "of a task", false)
	m.write("results/a.txt", "again")
	m.send()
	m.fetch()
	m.is("both changed other files", m.all(), ".engine/lock=notes "+m.server.All())
	m.Finish(t.Context(), true)
	m.is("finished", m.server.All(), m.all())
	m.is("log", m.log.String(), "")
}

// TestProjectPart: a folder of the project is known by its own paths inside, and sees nothing else.
func TestProjectPart(t *testing.T) {
	m := newMirror(t, "/project/run one")
	m.server.Put("run one/in.txt", "in", false)
	m.server.Put("run two/in.txt", "other", false)
	m.fetch()
	m.is("filled", m.all(), "in.txt=in")
	m.write("out.txt", "out")
	m.send()
	m.is("sent", m.server.All(), "run one/in.txt=in run one/out.txt=out run two/in.txt=other")
}

// TestProjectTrouble: each case is one thing that goes wrong, and what is left of it.
func TestProjectTrouble(t *testing.T) {
	for _, c := range []struct {
		name   string
		do     func(m *mirror) error
		err    string // in the error
		log    string // in the log
		server string // after it, beside "in=1"
		folder string
	}{
		{"both changed it", func(m *mirror) error {
			m.server.Put("in", "theirs", false)
			m.write("in", "mine!")
			return m.Send(m.t.Context())
		}, "Something else wrote in", "", "in=theirs", "in=mine!"},
		{"both changed it, and it is fetched first", func(m *mirror) error {
			m.server.Put("in", "theirs", false)
			m.write("in", "mine!")
			m.fetch()
			return m.Send(m.t.Context())
		}, "Something else wrote in", "Remove this one to get it", "in=theirs", "in=mine!"},
		{"the way out of that", func(m *mirror) error {
			m.server.Put("in", "theirs", false)
			m.write("in", "mine!")
			m.fetch()
			os.Remove(filepath.Join(m.dir, "in"))
			m.fetch()
			return m.Send(m.t.Context())
		}, "", "Remove this one", "in=theirs", "in=theirs"},
		{"both made it the same", func(m *mirror) error {
			m.server.Put("new", "same", false)
			m.write("new", "same")
			m.fetch()
			return m.Send(m.t.Context())
		}, "", "", "in=1 new=same", "in=1 new=same"},
		{"both made it", func(m *mirror) error {
			m.server.Put("new", "theirs", false)
			m.write("new", "mine!")
			return m.Send(m.t.Context())
		}, "Something else wrote new", "", "in=1 new=theirs", "in=1 new=mine!"},
		{"what is removed here stays there", func(m *mirror) error {
			os.Remove(filepath.Join(m.dir, "in"))
			m.fetch()
			return m.Send(m.t.Context())
		}, "", "", "in=1", ""},
		{"touched only", func(m *mirror) error {
			now := time.Now()
			_ = os.Chtimes(filepath.Join(m.dir, "in"), now, now)
			err := m.Send(m.t.Context())
			if n, _, _ := m.server.Counts(); n != 0 {
				m.t.Errorf("%d archives", n)
			}
			return err
		}, "", "", "in=1", "in=1"},
		{"made executable", func(m *mirror) error {
			_ = os.Chmod(filepath.Join(m.dir, "in"), 0o755)
			return m.Send(m.t.Context())
		}, "", "", "in=1*", "in=1*"},
		{"links, pipes and strange names", func(m *mirror) error {
			m.write("ok", "1")
			m.write("-bad", "1")
			_ = errors.Join(os.Symlink("/etc/passwd", filepath.Join(m.dir, "link")), os.Symlink("/etc", filepath.Join(m.dir, "dirlink")),
				os.Link(filepath.Join(m.dir, "-bad"), filepath.Join(m.dir, "hard")), syscall.Mkfifo(filepath.Join(m.dir, "pipe"), 0o644))
			return m.Send(m.t.Context())
		}, "", "/project/link: not kept in the project: a symbolic link", "in=1 ok=1", "-bad=1 hard=1 in=1 ok=1"},
		{"a link where a file of the project belongs", func(m *mirror) error {
			outside := filepath.Join(m.t.TempDir(), "outside")
			_ = errors.Join(os.WriteFile(outside, []byte("safe"), 0o644), os.Remove(filepath.Join(m.dir, "in")), os.Symlink(outside, filepath.Join(m.dir, "in")), os.Symlink(filepath.Dir(outside), filepath.Join(m.dir, "d")))
			m.server.Put("in", "new", false)
			m.server.Put("d/outside", "new", false)
			m.fetch()
			if b, _ := os.ReadFile(outside); string(b) != "safe" {
				m.t.Errorf("written through a link: %q", b)
			}
			return nil
		}, "", "symbolic link", "d/outside=new in=new", ""},
		{"the sandbox's own folder is a link", func(m *mirror) error {
			_ = errors.Join(os.RemoveAll(filepath.Join(m.dir, OwnDir)), os.Symlink("/tmp", filepath.Join(m.dir, OwnDir)))
			m.server.Put("in", "new", false)
			m.fetch()
			return nil
		}, "", "not fetched", "in=new", "in=1"},
		{"a file that is too large for the folder", func(m *mirror) error {
			m.server.Put("large", strings.Repeat("x", 1<<20+1), false)
			m.fetch()
			return nil
		}, "", "file size limit", "", "in=1"},
		{"a file that is being written", func(m *mirror) error {
			m.write("ok", "1")
			log, err := os.Create(filepath.Join(m.dir, "log"))
			if err != nil {
				return err
			}
			fmt.Fprint(log, "line")
			if err := m.Send(m.t.Context()); err != nil {
				return err
			}
			m.is("while it is open", m.server.All(), "in=1 ok=1")
			log.Close()
			return m.Send(m.t.Context())
		}, "", "", "in=1 log=line ok=1", "in=1 log=line ok=1"},
		{"the service is away for a moment", func(m *mirror) error {
			m.write("out", "1")
			m.server.Fail("POST", 2)
			return m.Send(m.t.Context())
		}, "", "", "in=1 out=1", "in=1 out=1"},
		{"the service stays away", func(m *mirror) error {
			m.server.Put("in", "2", false)
			m.server.Fail("GET", 1000)
			return m.Fetch(m.t.Context())
		}, "503", "", "in=2", "in=1"},
		{"a file that is never kept", func(m *mirror) error {
			m.write("a", "1")
			m.write("b", "2")
			m.server.Refuse("b")
			return m.Send(m.t.Context())
		}, "The quota does not hold b", "", "in=1", "a=1 b=2 in=1"},
		{"a file that is never kept, at the end", func(m *mirror) error {
			m.write("a", "1")
			m.write("b", "2")
			m.server.Refuse("b")
			m.Finish(m.t.Context(), true)
			if r := m.Refused(); len(r) != 1 || r[0].Path != "/project/b" || !strings.Contains(r[0].Reason, "quota") {
				m.t.Errorf("%+v", r)
			}
			return nil
		}, "", "/project/b: The quota", "a=1 in=1", "a=1 b=2 in=1"},
		{"the notes of an engine that was killed", func(m *mirror) error {
			m.write(".engine/lock", "held")
			m.write("a", "1")
			m.Finish(m.t.Context(), false)
			return nil
		}, "", "", "a=1 in=1", ".engine/lock=held a=1 in=1"},
	} {
		t.Run(c.name, func(t *testing.T) {
			m := newMirror(t, "/project")
			m.server.Put("in", "1", false)
			m.fetch()
			err := c.do(m)
			if (err == nil) != (c.err == "") || err != nil && !strings.Contains(err.Error(), c.err) {
				t.Errorf("error %v, want %q", err, c.err)
			}
			if got := m.log.String(); (got == "") != (c.log == "") || !strings.Contains(got, c.log) {
				t.Errorf("log %q, want %q", got, c.log)
			}
			if c.server != "" {
				m.is("server", m.server.All(), c.server)
			}
			m.is("folder", m.all(), c.folder)
		})
	}
}

// TestProjectBounds: what does not fit stays behind the service, and the log says so.
func TestProjectBounds(t *testing.T) {
	files, size, batch := mostProjectFiles, mostProjectBytes, batchFiles
	t.Cleanup(func() { mostProjectFiles, mostProjectBytes, batchFiles = files, size, batch })
	mostProjectFiles, mostProjectBytes, batchFiles = 3, 10, 2
	m := newMirror(t, "/project")
	m.server.Put("a", "12345678", false)
	m.server.Put("b", "12345678", false)
	m.server.Put("c", "1", false)
	m.fetch()
	m.is("filled", m.all(), "a=12345678 c=1")
	if !strings.Contains(m.log.String(), "1 files of the project") {
		t.Errorf("log %q", m.log.String())
	}
	m.write("b", "not what is there")
	if err := m.Send(t.Context()); err == nil || !strings.Contains(err.Error(), "Something else wrote b") {
		t.Errorf("a file that was not fetched is replaced: %v", err)
	}
	_ = os.Remove(filepath.Join(m.dir, "b"))
	for i := range 3 {
		m.write(fmt.Sprintf("n%d", i), "x")
	}
	m.send()
	if posts, _, _ := m.server.Counts(); posts != 3 {
		t.Errorf("%d archives, one of them refused", posts)
	}
	for i := range 4 {
		m.write(fmt.Sprintf("more%d", i), "x")
	}
	if err := m.Send(t.Context()); err == nil || !strings.Contains(err.Error(), "4 new files, and at most 3") {
		t.Errorf("%v", err)
	}
}

// TestGate: a task is made only of what is there, and shown at its end only with what it left.
func TestGate(t *testing.T) {
	m := newMirror(t, "/project")
	m.fetch()
	s := httptest.NewServer(Gate(m.dial, m.Project))
	defer s.Close()
	ask := func(method, path string) (int, string) {
		t.Helper()
		r, _ := http.NewRequest(method, s.URL+path, strings.NewReader("{}"))
		resp, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		b, _ := io.ReadAll(resp.Body)
		return resp.StatusCode, string(b)
	}
	m.write("in", "1")
	m.server.Tasks("RUNNING", nil)
	if code, body := ask("POST", "/ga4gh/tes/v1/tasks"); code != 200 || m.server.All() != "in=1" {
		t.Errorf("%d %s with %q", code, body, m.server.All())
	}
	m.server.Put("early", "1", false)
	ask("GET", "/ga4gh/tes/v1/tasks/1")
	m.is("while it runs", m.all(), "in=1")
	m.server.Tasks("COMPLETE", func() { m.server.Put("out", "2", false) })
	if code, body := ask("GET", "/v1/tasks/1?view=FULL"); code != 200 || !strings.Contains(body, "COMPLETE") {
		t.Errorf("%d %s", code, body)
	}
	m.is("when it is over", m.all(), "early=1 in=1 out=2")
	m.server.Put("in", "theirs", false)
	m.write("in", "mine!")
	_, _, before := m.server.Counts()
	if code, body := ask("POST", "/v1/tasks"); code != http.StatusConflict || !strings.Contains(body, "Something else wrote in") || !strings.Contains(body, "The task was not made") {
		t.Errorf("a conflict: %d %s", code, body)
	}
	if _, _, after := m.server.Counts(); after != before {
		t.Error("the task was made all the same")
	}
	if code, _ := ask("POST", "/v1/tasks/1:cancel"); code != 200 {
		t.Errorf("a cancel needs no files: %d", code)
	}
	m.server.Fail("GET", 1000)
	if code, body := ask("GET", "/v1/tasks"); code != http.StatusServiceUnavailable || !strings.Contains(body, "could not be fetched") {
		t.Errorf("no files to be had: %d %s", code, body)
	}
}
