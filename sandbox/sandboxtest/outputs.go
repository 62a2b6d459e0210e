package sandboxtest

import (
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"

	"tresor/sandbox"
)

// parentsExist: a command may write its outputs at once, without making folders.
func parentsExist(t *testing.T, b *box) {
	b.spec.Outputs = []string{"/work/out/one.csv", "/work/deep/er/*.txt", "/work/any/*"}
	b.argv("put", "/work/out/one.csv", "1", "then", "put", "/work/deep/er/a.txt", "2", "then", "put", "/work/any/b", "3").start().log()
	files, _ := b.collect()
	b.equal(files, map[string]string{"/work/out/one.csv": "1", "/work/deep/er/a.txt": "2", "/work/any/b": "3"})
}

func outputTrees(t *testing.T, b *box) {
	b.spec.Outputs = []string{"/work/one.txt", "/work/*.csv", "/work/tree", "/work/absent.txt", "/work/run-*/log"}
	b.argv("write", "/work/one.txt", "1", "then", "write", "/work/a.csv", "a", "then", "write", "/work/b.csv", "b",
		"then", "write", "/work/c.tsv", "c", "then", "write", "/work/tree/x/y/z.txt", "deep", "then", "write", "/work/run-1/log", "l",
		"then", "write", "/work/run-1/other", "o", "then", "write", "/work/sub/d.csv", "d").start().log()
	files, c := b.collect()
	b.equal(files, map[string]string{"/work/one.txt": "1", "/work/a.csv": "a", "/work/b.csv": "b", "/work/tree/x/y/z.txt": "deep", "/work/run-1/log": "l"})
	b.equal(c.Files, 5)
	b.equal(len(c.Refused), 0)
}

// hostileTree must come out as the good files, and one reason for each of the others.
func hostileTree(t *testing.T, b *box) {
	b.spec.Limits.FileSize = 1 << 41
	b.argv("hostile", "/work/out").start().log()
	files, c := b.collect()
	b.equal(files, map[string]string{"/work/out/good.csv": "data\n", "/work/out/sub/good.txt": "data\n",
		"/work/out/plain name.txt": "data\n", "/work/out/grüße.txt": "data\n"})
	reasons := map[string]string{}
	for _, r := range c.Refused {
		reasons[r.Path] = r.Reason
	}
	for path, part := range map[string]string{
		"/work/out/linked": "hard link", "/work/out/hard": "hard link", "/work/out/passwd": "symbolic link", "/work/out/dirlink": "symbolic link",
		"/work/out/fifo": "named pipe", "/work/out/sparse": "", "/work/out/-rf": "starts with '-'",
		`/work/out/report\u202evsc.exe`: "invisible", `/work/out/zero\u200bwidth`: "invisible", `/work/out/tab\tname`: "control", `/work/out/bad\xffutf8`: "UTF-8",
	} {
		got, ok := reasons[path]
		if !ok && strings.Contains(path, `\xff`) {
			got, ok = reasons[`/work/out/bad\ufffdutf8`]
		}
		if !ok || !strings.Contains(got, part) {
			t.Errorf("%s: refused for %q, want %q", path, got, part)
		}
	}
	b.equal(len(c.Refused), 11)
}

func tooManyFiles(t *testing.T, b *box) {
	n := 3000
	if b.Real && !testing.Short() {
		n = 100_000
	}
	b.spec.Limits.OutputFiles = 50
	b.argv("many", fmt.Sprint(n), "/work/out").start().log()
	files, c := b.collect()
	b.equal(len(files), 50)
	b.equal(c.Files, 50)
	b.equal(len(c.Refused), sandbox.MaxRefusals)
	b.contains(c.Refused[0].Reason, "more than 50 files")
	b.contains(c.Refused[len(c.Refused)-1].Reason, fmt.Sprintf("%d more files", n-50-sandbox.MaxRefusals+1))
}

func tooManyBytes(t *testing.T, b *box) {
	b.spec.Limits.OutputBytes = 10
	b.argv("write", "/work/out/1", "123456", "then", "write", "/work/out/2", "123456", "then", "write", "/work/out/3", "1234").start().log()
	files, c := b.collect()
	b.equal(files, map[string]string{"/work/out/1": "123456", "/work/out/3": "1234"})
	b.equal(len(c.Refused), 1)
	b.contains(c.Refused[0].Reason, "larger than 10 bytes")
}

func sinkError(t *testing.T, b *box) {
	b.argv("write", "/work/out/1", "one", "then", "write", "/work/out/2", "two").start().log()
	full := errors.New("disk full")
	_, err := b.Runner.Collect(b.ctx, b.spec.Ref, func(sandbox.File, io.Reader) error { return full })
	b.is(err, full)
	files, c := b.collect() // nothing is lost: the next one starts over
	b.equal(len(files), 2)
	b.equal(c.Files, 2)
}

func logIsNoOutput(t *testing.T, b *box) {
	b.spec.Outputs = []string{"/work/*", "/work", "/work/*/*"}
	b.argv("say", "x", "then", "write", "/work/a", "1").start().log()
	files, _ := b.collect()
	b.equal(files, map[string]string{"/work/a": "1"})
}

// logCap: ten gigabytes come, one mebibyte is kept, and the command ends by itself.
func logCap(t *testing.T, b *box) {
	size := int64(200 << 20)
	if b.Real && !testing.Short() {
		size = 10 << 30
	}
	b.spec.Limits.LogSize = 1 << 20
	b.argv("flood", fmt.Sprint(size)).start()
	out := b.log()
	if len(out) < 1<<20 || len(out) > 1<<20+200 {
		t.Errorf("the log has %d bytes", len(out))
	}
	b.contains(out[len(out)-60:], "log cut after 1 MiB")
	s := b.phase(sandbox.Ended)
	b.equal(s.LogTruncated, true)
	b.equal(s.ExitCode, 0)
	_, c := b.collect()
	b.equal(c.Status.LogTruncated, true)
}

func logResume(t *testing.T, b *box) {
	b.argv("say", "0123456789").start()
	whole := b.log()
	for _, from := range []int64{0, 4, int64(len(whole)), int64(len(whole)) + 100} {
		got := ""
		b.must(b.Runner.Logs(b.ctx, b.spec.Ref, from, func(c sandbox.Chunk) error {
			b.equal(c.Offset, from+int64(len(got)))
			got += string(c.Data)
			return nil
		}))
		b.equal(got, whole[min(from, int64(len(whole))):])
	}
}

func logConsumerError(t *testing.T, b *box) {
	b.argv("tick", "1000").start()
	stop := errors.New("browser gone")
	b.is(b.Runner.Logs(b.ctx, b.spec.Ref, 0, func(sandbox.Chunk) error { return stop }), stop)
	b.phase(sandbox.Running)
}
