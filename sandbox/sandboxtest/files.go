package sandboxtest

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"tresor/sandbox"
)

// input makes a folder of inputs: f, sub/g, and a program.
func input(t *testing.T) string {
	t.Helper()
	dir := readable(t)
	if err := os.Mkdir(filepath.Join(dir, "sub"), 0o755); err != nil {
		t.Fatal(err)
	}
	for name, mode := range map[string]os.FileMode{"f": 0o444, "sub/g": 0o400 | 0o044, "run": 0o555} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte("data of "+name), mode); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func severalVolumes(t *testing.T, b *box) {
	for _, target := range []string{"/home/me", "/root", "/opt/tool", "/var/lib/x", "/data/a/b", "/mnt", "/tmp/snake/make"} {
		b.volume(target)
	}
	var steps []string
	for _, v := range b.spec.Scratch {
		steps = append(steps, "write", v.Target+"/f", "in "+v.Target, "then")
	}
	b.argv(steps[:len(steps)-1]...).runs(0)
	n := b.next("cat", "/root/f", "then", "cat", "/data/a/b/f", "then", "cat", "/home/me/f")
	b.equal(n.runs(0), "in /rootin /data/a/bin /home/me")
}

// scratchTmp: a volume may take the place of the private /tmp, and is shared then.
func scratchTmp(t *testing.T, b *box) {
	b.volume("/tmp").argv("write", "/tmp/x", "between tasks").runs(0)
	b.equal(b.next("cat", "/tmp/x").runs(0), "between tasks")
}

func nestedBinds(t *testing.T, b *box) {
	in := input(t)
	b.spec.Binds = []sandbox.Bind{{Source: in, Target: "/work/set"}, {Source: filepath.Join(in, "f"), Target: "/work/one"},
		{Source: filepath.Join(in, "sub/g"), Target: "/work/deep/er/g"}}
	b.argv("cat", "/work/set/sub/g", "then", "cat", "/work/one", "then", "cat", "/work/deep/er/g")
	b.equal(b.runs(0), "data of sub/gdata of fdata of sub/g")
	if b.Real { // what the documentation says: an empty file or folder stays in the volume
		n := b.next("append", "/work/one", "mine", "then", "cat", "/work/one")
		b.equal(n.runs(0), "mine")
		n = b.next("append", "/work/one", "x")
		n.spec.Binds = b.spec.Binds
		n.runs(1)
	}
}

// nestedNeighbours: the folder in which an input is mounted belongs to the command.
func nestedNeighbours(t *testing.T, b *box) {
	in := input(t)
	b.spec.Binds = []sandbox.Bind{{Source: filepath.Join(in, "f"), Target: "/work/a/b/in.txt"}}
	b.spec.Outputs = []string{"/work/a/b/out.txt"}
	b.argv("cat", "/work/a/b/in.txt", "then", "put", "/work/a/b/out.txt", "beside").runs(0)
	files, _ := b.collect()
	b.equal(files, map[string]string{"/work/a/b/out.txt": "beside"})
}

// nestedHostile: an earlier task prepares the places at which inputs of the next are mounted.
func nestedHostile(t *testing.T, b *box) {
	if !b.Real {
		t.Skip("the fake mounts nothing")
	}
	in := input(t)
	b.argv("link", "/etc", "/work/toetc", "then", "link", "/run/tresor", "/work/toagent", "then", "fifo", "/work/pipe", "then",
		"link", "/etc/passwd", "/work/link", "then", "put", "/work/file", "x", "then", "fifo", "/work/dir/pipe").runs(0)
	for _, c := range []struct{ name, target string }{
		{"a folder that is a link to /etc", "/work/toetc/passwd"},
		{"a folder that is a link to the agent", "/work/toagent/agent"},
		{"a folder that is a file", "/work/file/x"},
	} {
		n := b.next("say", "ran anyway")
		n.spec.Binds = []sandbox.Bind{{Source: filepath.Join(in, "f"), Target: c.target}}
		begin := time.Now()
		n.misplaced("the input could not be placed", "an earlier task")
		if d := time.Since(begin); d > time.Minute {
			t.Errorf("%s: took %v", c.name, d)
		}
	}
	for _, target := range []string{"/work/pipe", "/work/link", "/work/dir/pipe"} { // gives way
		n := b.next("cat", target, "then", "cat", "/etc/passwd")
		n.spec.Binds = []sandbox.Bind{{Source: filepath.Join(in, "f"), Target: target}}
		if out := n.start().log(); !strings.HasPrefix(out, "data of f") || strings.Count(out, "data of f") != 1 {
			t.Errorf("%s: %.200q", target, out)
		}
	}
}

func folders(t *testing.T, b *box) {
	b.spec.Folders = []string{"/work", "/work/a/b/c", "/work/a/b/c", "/work/d"}
	b.argv("put", "/work/a/b/c/f", "1", "then", "put", "/work/d/f", "2").runs(0)
	n := b.next("cat", "/work/a/b/c/f") // what is there is kept
	n.spec.Folders = []string{"/work/a/b/c"}
	b.equal(n.runs(0), "1")
}

func folderInTheWay(t *testing.T, b *box) {
	b.argv("put", "/work/file", "x", "then", "link", "/etc", "/work/link").runs(0)
	for folder, why := range map[string]string{"/work/file": "where a folder belongs", "/work/file/sub": "where a folder belongs", "/work/link/sub": "link", "/work/link": "link"} {
		n := b.next("say", "ran anyway")
		n.spec.Folders = []string{folder}
		n.misplaced("the folder could not be made: "+folder, why)
	}
}

func copies(t *testing.T, b *box) {
	in := input(t)
	b.spec.Binds = []sandbox.Bind{{Source: in, Target: "/in/set"}, {Source: filepath.Join(in, "f"), Target: "/work/ro/f"}}
	b.spec.Copies = []sandbox.Copy{{From: "/in/set", To: "/work/w/set"}, {From: "/in/set/sub/g", To: "/work/g"}, {From: "/work/ro/f", To: "/work/w/set/sub/f"}}
	b.spec.Outputs = []string{"/work/w", "/work/g"}
	b.argv("append", "/work/w/set/f", "+1", "then", "append", "/work/w/set/sub/g", "+2", "then", "append", "/work/g", "+3", "then", "append", "/work/w/set/sub/f", "+4").runs(0)
	files, c := b.collect()
	b.equal(files, map[string]string{"/work/w/set/f": "data of f+1", "/work/w/set/sub/g": "data of sub/g+2", "/work/g": "data of sub/g+3",
		"/work/w/set/sub/f": "data of f+4", "/work/w/set/run": "data of run"})
	b.equal(len(c.Refused), 0)
	got, err := os.ReadFile(filepath.Join(in, "f"))
	b.must(err)
	b.equal(string(got), "data of f")
}

// copiesAgain: a copy is fresh for every task that names it; files beside it stay.
func copiesAgain(t *testing.T, b *box) {
	in := input(t)
	with := func(n *box) *box {
		n.spec.Binds = []sandbox.Bind{{Source: in, Target: "/in/set"}}
		n.spec.Copies = []sandbox.Copy{{From: "/in/set", To: "/work/set"}}
		return n
	}
	with(b).argv("append", "/work/set/f", " changed", "then", "put", "/work/set/mine", "kept").runs(0)
	b.equal(with(b.next("cat", "/work/set/f", "then", "cat", "/work/set/mine")).runs(0), "data of fkept")
}

func copiesRefused(t *testing.T, b *box) {
	in := input(t)
	b.must(os.Mkdir(filepath.Join(in, "l"), 0o755))
	b.must(os.Symlink("/etc/passwd", filepath.Join(in, "l", "link")))
	b.must(mkfifo(filepath.Join(in, "pipe")))
	b.must(os.WriteFile(filepath.Join(in, "big"), make([]byte, 4097), 0o644))
	for from, why := range map[string]string{"/in/l": "symbolic link", "/in/l/link": "link", "/in/pipe": "named pipe", "/in/big": "file size limit", "/in/absent": "not there"} {
		n := b.next("say", "ran anyway")
		n.spec.Limits.FileSize = 4096
		n.spec.Binds = []sandbox.Bind{{Source: in, Target: "/in"}}
		n.spec.Copies = []sandbox.Copy{{From: from, To: "/work/copy" + strings.ReplaceAll(from, "/", "-")}}
		n.misplaced("the input could not be placed: "+from, why)
	}
}

// copiesOverLinks: a link of an earlier task is never followed: not to the system's folders, not into a mount, not out of the volume.
func copiesOverLinks(t *testing.T, b *box) {
	in, other := input(t), readable(t)
	b.must(os.Chmod(other, 0o777)) // so that only our care protects it
	b.argv("link", "/etc", "/work/toetc", "then", "link", "/in/other", "/work/tobind", "then", "link", "/etc/passwd", "/work/file", "then",
		"link", "/etc", "/work/tree", "then", "fifo", "/work/pipe", "then", "write", "/work/folder/x", "1", "then", "link", "..", "/work/up").runs(0)
	with := func(n *box, from, to string) *box {
		n.spec.Binds = []sandbox.Bind{{Source: in, Target: "/in/set"}, {Source: other, Target: "/in/other"}}
		n.spec.Copies = []sandbox.Copy{{From: from, To: to}}
		return n
	}
	for to, why := range map[string]string{"/work/toetc/x": "symbolic link", "/work/tobind/x": "symbolic link", "/work/up/x": "symbolic link",
		"/work/pipe/x": "where a folder belongs", "/work/folder": "folder is in its place"} {
		with(b.next("say", "ran anyway"), "/in/set/f", to).misplaced("the input could not be placed: "+to, why)
	}
	for _, to := range []string{"/work/file", "/work/pipe"} { // the link itself gives way
		b.equal(with(b.next("cat", to), "/in/set/f", to).runs(0), "data of f")
	}
	b.equal(with(b.next("cat", "/work/tree/sub/g"), "/in/set", "/work/tree").runs(0), "data of sub/g")
	left, err := os.ReadDir(other)
	b.must(err)
	b.equal(len(left), 0)
}

func workdir(t *testing.T, b *box) {
	b.spec.Workdir = "/work/run/1"
	b.equal(b.argv("pwd", "/work/run/1").runs(0), "/work/run/1\n")
	if !b.Real {
		return
	}
	for dir, code := range map[string]int{"/proc": 0, "/": 0, "/nowhere": 126} { // elsewhere the image must hold it
		n := b.next("pwd", dir)
		n.spec.Workdir = dir
		n.runs(code)
	}
	b.next("link", "/proc", "/work/link", "then", "put", "/work/file", "x").runs(0)
	for dir, code := range map[string]int{"/work/link": 0, "/work/file": 126} { // a link of the job's own is the job's own business
		n := b.next("pwd", dir)
		n.spec.Workdir = dir
		n.runs(code)
	}
}

// stoppedWhilePlaced: what takes long before the command can be stopped too.
func stoppedWhilePlaced(t *testing.T, b *box) {
	dir := readable(t)
	n := 2000
	if b.Real {
		n = 20000
	}
	for i := range n {
		b.must(os.WriteFile(filepath.Join(dir, fmt.Sprintf("f%05d", i)), []byte("x"), 0o644))
	}
	b.spec.Binds = []sandbox.Bind{{Source: dir, Target: "/in/many"}}
	for i := range 20 {
		b.spec.Copies = append(b.spec.Copies, sandbox.Copy{From: "/in/many", To: fmt.Sprintf("/work/c%d", i)})
	}
	b.argv("say", "ran anyway").start()
	b.must(b.Runner.Stop(b.ctx, b.spec.Ref, time.Second))
	s := b.phase(sandbox.Ended)
	b.equal(s.ExitCode, 143)
	b.equal(s.Unplaced, false)
	if b.Real {
		b.contains(b.log(), "stopped before the command started")
	}
}
