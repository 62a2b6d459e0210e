package sandboxtest

import (
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"tresor/sandbox"
)

func mkfifo(p string) error { return syscall.Mkfifo(p, 0o644) }

// streams reads the log from an offset and answers what came from each stream.
func (b *box) streams(from int64) (out, errs string) {
	b.t.Helper()
	next := from
	b.must(b.Runner.Logs(b.ctx, b.spec.Ref, from, func(c sandbox.Chunk) error {
		b.equal(c.Offset, next)
		next += int64(len(c.Data))
		if c.Err {
			errs += string(c.Data)
		} else {
			out += string(c.Data)
		}
		return nil
	}))
	return out, errs
}

func streamFiles(t *testing.T, b *box) {
	b.volume("/logs")
	b.spec.Stdout, b.spec.Stderr = "/work/o/ut", "/logs/deep/err"
	b.spec.Outputs = []string{"/work/o/ut", "/logs/deep/err"}
	b.argv("say", "to out", "then", "err", "to err").runs(0)
	out, errs := b.streams(0)
	b.equal(out, "to out\n")
	b.equal(errs, "to err\n")
	files, _ := b.collect()
	b.equal(files, map[string]string{"/work/o/ut": "to out\n", "/logs/deep/err": "to err\n"})
	n := b.next("stdin") // from a volume
	n.spec.Stdin = "/work/o/ut"
	b.equal(n.runs(0), "to out\n")
	n = b.next("stdin") // from a mount
	n.spec.Binds = []sandbox.Bind{{Source: input(t), Target: "/in/set"}}
	n.spec.Stdin = "/in/set/sub/g"
	b.equal(n.runs(0), "data of sub/g")
	n = b.next("stdin") // from a copy
	n.spec.Binds = []sandbox.Bind{{Source: input(t), Target: "/in/set"}}
	n.spec.Copies, n.spec.Stdin = []sandbox.Copy{{From: "/in/set/f", To: "/work/c"}}, "/work/c"
	b.equal(n.runs(0), "data of f")
}

func streamsTogether(t *testing.T, b *box) {
	b.spec.Stdout, b.spec.Stderr, b.spec.Outputs = "/work/log", "/work/log", []string{"/work/log"}
	b.argv("say", "one", "then", "sleep", "100", "then", "err", "two").runs(0)
	files, _ := b.collect()
	b.equal(files, map[string]string{"/work/log": "one\ntwo\n"})
}

// streamFileSize: the file ends at its limit, the log at its own, and the command goes on.
func streamFileSize(t *testing.T, b *box) {
	b.spec.Limits.FileSize, b.spec.Limits.LogSize = 3<<20, 64<<10
	b.spec.Stdout, b.spec.Outputs = "/work/out/all", []string{"/work/out/all"}
	out := b.argv("flood", "8000000", "then", "exit", "5").runs(5)
	b.contains(out, "the file /work/out/all ends here: it has reached the file size limit")
	b.contains(out, "log cut after")
	files, _ := b.collect()
	b.equal(len(files["/work/out/all"]), 3<<20)
}

func stdinRefused(t *testing.T, b *box) {
	in := input(t)
	b.must(mkfifo(filepath.Join(in, "pipe")))
	b.argv("fifo", "/work/pipe", "then", "link", "/proc/self/fd/3", "/work/link", "then", "link", "/run/tresor", "/work/dir").runs(0)
	for p, why := range map[string]string{"/work/pipe": "named pipe", "/in/set/pipe": "named pipe", "/work/link": "symbolic link", "/work/dir/config.json": "symbolic link",
		"/work/absent": "not there", "/in/set/sub": "a folder"} {
		n := b.next("stdin", "then", "say", "ran anyway")
		n.spec.Binds = []sandbox.Bind{{Source: in, Target: "/in/set"}}
		n.spec.Stdin = p
		n.misplaced("standard input could not be opened: "+p, why)
	}
}

// stdoutOverLink: a name that an earlier task turned into a link, a pipe or another name of a file is made anew.
func stdoutOverLink(t *testing.T, b *box) {
	victim := filepath.Join(readable(t), "victim")
	b.must(os.WriteFile(victim, []byte("whole"), 0o666))
	b.must(os.Chmod(victim, 0o666))
	b.argv("link", victim, "/work/link", "then", "link", "/in/victim", "/work/bound", "then", "fifo", "/work/pipe", "then", "link", "/etc", "/work/dir").runs(0)
	for _, p := range []string{"/work/link", "/work/bound", "/work/pipe"} {
		n := b.next("say", "mine")
		n.spec.Binds = []sandbox.Bind{{Source: victim, Target: "/in/victim"}}
		n.spec.Stdout, n.spec.Outputs = p, []string{p}
		n.runs(0)
		files, _ := n.collect()
		b.equal(files, map[string]string{p: "mine\n"})
	}
	n := b.next("say", "ran anyway")
	n.spec.Stderr = "/work/dir/passwd"
	n.misplaced("standard error could not be made: /work/dir/passwd", "symbolic link")
	got, err := os.ReadFile(victim)
	b.must(err)
	b.equal(string(got), "whole")
}

// stdoutSwapped: a command that puts a link in the place of its own output gains nothing.
func stdoutSwapped(t *testing.T, b *box) {
	victim := filepath.Join(readable(t), "victim")
	b.must(os.WriteFile(victim, []byte("whole"), 0o666))
	b.must(os.Chmod(victim, 0o666))
	b.spec.Stdout, b.spec.Outputs = "/work/out/log", []string{"/work/out/log"}
	b.spec.Binds = []sandbox.Bind{{Source: victim, Target: "/in/victim"}}
	out := b.argv("say", "before", "then", "link", "/in/victim", "/work/out/log", "then", "say", "after").runs(0)
	b.equal(out, "before\nafter\n")
	files, c := b.collect()
	b.equal(len(files), 0)
	b.contains(c.Refused[0].Reason, "symbolic link")
	got, err := os.ReadFile(victim)
	b.must(err)
	b.equal(string(got), "whole")
}

func twoStreams(t *testing.T, b *box) {
	b.argv("say", "a", "then", "sleep", "100", "then", "err", "b", "then", "sleep", "100", "then", "say", "c").start()
	b.equal(b.log(), "a\nb\nc\n")
	out, errs := b.streams(0)
	b.equal(out, "a\nc\n")
	b.equal(errs, "b\n")
	out, errs = b.streams(3) // in the middle of the second
	b.equal(out, "c\n")
	b.equal(errs, "\n")
	n := b.next("say", "x")
	n.spec.Argv = []string{"/no/such/program"}
	n.start().log()
	out, errs = n.streams(0) // our own words are no output of the program
	b.equal(out, "")
	b.contains(errs, "command not found")
}

func streamsOutlive(t *testing.T, b *box) {
	b.argv("say", "out", "then", "sleep", "100", "then", "err", "err", "then", "sleep", "100", "then", "say", "ready", "then", "sleep", "60000").start().until("ready")
	b.Runner = b.Reopen()
	b.until("ready")
	b.Kill(b.spec.Ref)
	out, errs := b.streams(0)
	b.equal(out, "out\nready\n")
	b.equal(errs, "err\n")
}

func outputsAnywhere(t *testing.T, b *box) {
	b.volume("/home/me").volume("/var/results")
	b.spec.Outputs = []string{"/home/me/*.csv", "/var/results", "/work/a/b", sandbox.Literal("/home/me/x[1]*.txt")}
	b.argv("put", "/home/me/1.csv", "1", "then", "put", "/home/me/2.tsv", "2", "then", "write", "/var/results/d/3", "3",
		"then", "write", "/work/a/b/4", "4", "then", "write", "/work/a/c", "5", "then", "put", "/home/me/x[1]*.txt", "6", "then", "put", "/home/me/x1.txt", "7").runs(0)
	want := map[string]string{"/home/me/1.csv": "1", "/var/results/d/3": "3", "/work/a/b/4": "4", "/home/me/x[1]*.txt": "6"}
	files, c := b.collect()
	b.equal(files, want)
	b.equal(len(c.Refused), 0)
	b.equal(b.phase(sandbox.Exited).ExitCode, 0)
	files, _ = b.collect() // after the end, by the collector
	b.equal(files, want)
}

// outputsOverlap: what several declarations cover is handed over once.
func outputsOverlap(t *testing.T, b *box) {
	b.spec.Outputs = []string{"/work/out", "/work/out/a.csv", "/work/out/*.csv", "/work/*/a.csv", "/work/out/sub", "/work/absent", "/work/absent/*.txt"}
	b.argv("write", "/work/out/a.csv", "a", "then", "write", "/work/out/sub/b.csv", "b").runs(0)
	files, c := b.collect()
	b.equal(files, map[string]string{"/work/out/a.csv": "a", "/work/out/sub/b.csv": "b"})
	b.equal(c.Files, 2)
	b.equal(len(c.Refused), 0)
}

// inputsAreNoOutputs: neither what is mounted in a folder that is declared, nor the empty places that remain of it.
func inputsAreNoOutputs(t *testing.T, b *box) {
	in := input(t)
	b.spec.Binds = []sandbox.Bind{{Source: in, Target: "/work/out/set"}, {Source: filepath.Join(in, "f"), Target: "/work/out/in.csv"}}
	b.spec.Outputs = []string{"/work/out", "/work/out/*.csv"}
	b.argv("put", "/work/out/made.csv", "made").runs(0)
	for range 2 { // by the agent, then by the collector
		files, c := b.collect()
		b.equal(files, map[string]string{"/work/out/made.csv": "made"})
		b.equal(len(c.Refused), 0)
	}
	if !b.Real {
		return // the fake mounts nothing
	}
	n := b.next("noop")
	n.spec.Binds, n.spec.Outputs = b.spec.Binds, []string{"/work/out/in.csv"}
	n.runs(0)
	_, c := n.collect()
	b.equal(len(c.Refused), 1)
	b.contains(c.Refused[0].Reason, "a read-only input")
}

func outputLinks(t *testing.T, b *box) {
	b.argv("links", "10000", "/work/out").runs(0)
	files, c := b.collect()
	b.equal(files, map[string]string{"/work/out/real.txt": "real"})
	b.equal(len(c.Refused), sandbox.MaxRefusals)
	for _, r := range c.Refused[:len(c.Refused)-1] {
		if !strings.Contains(r.Reason, "symbolic link") {
			t.Fatalf("%+v", r)
		}
	}
}
