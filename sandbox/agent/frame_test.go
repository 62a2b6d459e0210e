package agent

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"

	"tresor/sandbox"
)

var testLimits = sandbox.Limits{OutputFiles: 3, OutputBytes: 1000}

// stream builds an output stream from frames.
func stream(frames ...func(frameWriter)) *bytes.Buffer {
	var b bytes.Buffer
	for _, f := range frames {
		f(frameWriter{&b})
	}
	return &b
}

func file(path string, size int64) func(frameWriter) {
	return func(w frameWriter) { _ = w.putJSON(frameFile, fileHead{path, size}) }
}

func frame(kind byte, payload string) func(frameWriter) {
	return func(w frameWriter) { _ = w.put(kind, []byte(payload)) }
}

func TestReceive(t *testing.T) {
	long := strings.Repeat("x", 2000)
	for _, c := range []struct {
		name   string
		frames []func(frameWriter)
		files  string // path=body, joined by a space
		broken bool
		refuse string // reason of the first refusal
	}{
		{"ok: nothing", []func(frameWriter){frame(frameFinish, "")}, "", false, ""},
		{"ok: one file", []func(frameWriter){file("/work/a", 2), frame(frameData, "hi"), frame(frameEnd, ""), frame(frameFinish, "")}, "/work/a=hi", false, ""},
		{"ok: in pieces", []func(frameWriter){file("/work/a", 4), frame(frameData, "hi"), frame(frameData, "ho"), frame(frameEnd, ""), frame(frameFinish, "")}, "/work/a=hiho", false, ""},
		{"ok: empty file", []func(frameWriter){file("/work/a", 0), frame(frameEnd, ""), frame(frameFinish, "")}, "/work/a=", false, ""},
		{"ok: refusal", []func(frameWriter){frame(frameRefuse, `{"path":"/work/x","reason":"fifo"}`), frame(frameFinish, "")}, "", false, "fifo"},
		{"ok: aborted file", []func(frameWriter){file("/work/a", 9), frame(frameData, "hi"), frame(frameAbort, `{"reason":"shrank"}`), frame(frameFinish, "")}, "", false, "shrank"},
		{"refusal with control characters", []func(frameWriter){frame(frameRefuse, `{"path":"/work/\u001b[31m\u202e","reason":"a\u0007b"}`), frame(frameFinish, "")}, "", false, `a\ab`},
		{"nothing at all", nil, "", true, ""},
		{"no finish", []func(frameWriter){file("/work/a", 1), frame(frameData, "x"), frame(frameEnd, "")}, "/work/a=x", true, ""},
		{"cut in a file", []func(frameWriter){file("/work/a", 9), frame(frameData, "hi")}, "", true, ""},
		{"too much data", []func(frameWriter){file("/work/a", 1), frame(frameData, "hi"), frame(frameEnd, "")}, "", true, ""},
		{"too little data", []func(frameWriter){file("/work/a", 3), frame(frameData, "hi"), frame(frameEnd, "")}, "", true, ""},
		{"empty data frame", []func(frameWriter){file("/work/a", 3), frame(frameData, "")}, "", true, ""},
		{"negative size", []func(frameWriter){file("/work/a", -1), frame(frameEnd, "")}, "", true, ""},
		{"larger than allowed", []func(frameWriter){file("/work/a", 1001), frame(frameData, long)}, "", true, ""},
		{"sum larger than allowed", []func(frameWriter){file("/work/a", 600), frame(frameData, long[:600]), frame(frameEnd, ""), file("/work/b", 600)}, "/work/a=" + long[:600], true, ""},
		{"too many files", []func(frameWriter){file("/work/1", 0), frame(frameEnd, ""), file("/work/2", 0), frame(frameEnd, ""), file("/work/3", 0), frame(frameEnd, ""),
			file("/work/4", 0), frame(frameEnd, "")}, "/work/1= /work/2= /work/3=", true, ""},
		{"same file twice", []func(frameWriter){file("/work/1", 0), frame(frameEnd, ""), file("/work/1", 0)}, "/work/1=", true, ""},
		{"not declared", []func(frameWriter){file("/etc/passwd", 0), frame(frameEnd, "")}, "", true, ""},
		{"climbs", []func(frameWriter){file("/work/../etc/passwd", 0), frame(frameEnd, "")}, "", true, ""},
		{"bidi name", []func(frameWriter){file("/work/a\u202Eb", 0), frame(frameEnd, "")}, "", true, ""},
		{"file inside a file", []func(frameWriter){file("/work/a", 1), file("/work/b", 1)}, "", true, ""},
		{"unknown frame", []func(frameWriter){frame('?', "")}, "", true, ""},
		{"data outside a file", []func(frameWriter){frame(frameData, "x")}, "", true, ""},
		{"end outside a file", []func(frameWriter){frame(frameEnd, "")}, "", true, ""},
		{"finish with a payload", []func(frameWriter){frame(frameFinish, "x")}, "", true, ""},
		{"head is no JSON", []func(frameWriter){frame(frameFile, "{")}, "", true, ""},
		{"head too large", []func(frameWriter){frame(frameFile, strings.Repeat(" ", maxHead+1))}, "", true, ""},
		{"frame too large", []func(frameWriter){func(w frameWriter) { _, _ = w.w.Write([]byte{'D', 255, 255, 255, 255}) }}, "", true, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			var got []string
			rc := NewReceiver(stream(c.frames...), []string{"/work/*"}, testLimits)
			sum, err := rc.Receive(func(f sandbox.File, r io.Reader) error {
				b, err := io.ReadAll(r)
				if err == nil {
					got = append(got, f.Path+"="+string(b))
				}
				return err
			})
			if (err != nil) != c.broken || err != nil && !errors.Is(err, errFrame) {
				t.Fatalf("error %v, broken %v", err, c.broken)
			}
			if strings.Join(got, " ") != c.files {
				t.Fatalf("got %q, want %q", got, c.files)
			}
			if c.refuse != "" && (len(sum.Refused) != 1 || sum.Refused[0].Reason != c.refuse) {
				t.Fatalf("refused %+v", sum.Refused)
			}
		})
	}
}

func TestReceiveSinkError(t *testing.T) {
	full := errors.New("full")
	s := stream(file("/work/a", 2), frame(frameData, "hi"), frame(frameEnd, ""), frame(frameFinish, ""))
	if _, err := NewReceiver(s, []string{"/work"}, testLimits).Receive(func(sandbox.File, io.Reader) error { return full }); !errors.Is(err, full) {
		t.Fatal(err)
	}
}

func TestReceiveSinkThatReadsNothing(t *testing.T) {
	s := stream(file("/work/a", 2), frame(frameData, "hi"), frame(frameEnd, ""), file("/work/b", 0), frame(frameEnd, ""), frame(frameFinish, ""))
	sum, err := NewReceiver(s, []string{"/work"}, testLimits).Receive(func(sandbox.File, io.Reader) error { return nil })
	if err != nil || sum.Files != 2 {
		t.Fatal(sum, err)
	}
}

func TestReceiveManyRefusals(t *testing.T) {
	var b bytes.Buffer
	for i := range 5000 {
		_ = FrameEmitter{&b}.Refuse(fmt.Sprintf("/work/%d", i), "fifo")
	}
	_ = FrameEmitter{&b}.Finish()
	sum, err := NewReceiver(&b, nil, testLimits).Receive(nil)
	if err != nil || len(sum.Refused) != sandbox.MaxRefusals || sum.Refused[sandbox.MaxRefusals-1].Reason != "4801 more files were refused" {
		t.Fatal(len(sum.Refused), sum.Refused[len(sum.Refused)-1], err)
	}
}

// FuzzReceive: whatever comes, what the sink gets was declared, named well, exact in size and within the limits.
func FuzzReceive(f *testing.F) {
	f.Add(stream(file("/work/a", 2), frame(frameData, "hi"), frame(frameEnd, ""), frame(frameRefuse, `{"path":"x"}`), frame(frameFinish, "")).Bytes())
	f.Add(stream(file("/work/a", 9), frame(frameData, "hi"), frame(frameAbort, `{}`), frame(frameFinish, "")).Bytes())
	f.Fuzz(func(t *testing.T, b []byte) {
		var files int
		var total int64
		_, _ = NewReceiver(bytes.NewReader(b), []string{"/work/*"}, testLimits).Receive(func(h sandbox.File, r io.Reader) error {
			body, err := io.ReadAll(r)
			if err != nil {
				return err
			}
			files++
			total += int64(len(body))
			if int64(len(body)) != h.Size || sandbox.CheckPath(h.Path) != nil || !strings.HasPrefix(h.Path, "/work/") || files > testLimits.OutputFiles || total > testLimits.OutputBytes {
				t.Fatalf("%+v with %d bytes", h, len(body))
			}
			return nil
		})
	})
}
