// Package sandboxtest is the conformance suite of sandbox.Runner: what the fake and every
// real engine must do alike. A new runner passes Suite or is not one. For tests only.
package sandboxtest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"tresor/sandbox"
)

// Rig is one runner under test, with what the suite cannot do through the interface.
type Rig struct {
	Runner sandbox.Runner
	Images sandbox.Images
	Image  string                // id of an image made by Archive
	Reopen func() sandbox.Runner // a second runner on the same state, as after a restart; the first is dropped
	Kill   func(ref sandbox.Ref) // ends the container from outside, as kill -9 would
	Real   bool                  // there are real containers
}

// Suite runs every rule against the rig.
func Suite(t *testing.T, rig func(t *testing.T) Rig) {
	for _, c := range []struct {
		name string
		run  func(*testing.T, *box)
	}{
		{"whole life", wholeLife},
		{"every verb twice", everyVerbTwice},
		{"order errors", orderErrors},
		{"absent", absentContainer},
		{"invalid specs", invalidSpecs},
		{"unknown image", unknownImage},
		{"exit codes", exitCodes},
		{"environment", environment},
		{"binds are read", binds},
		{"scratch is shared by tasks", sharedScratch},
		{"outputs: files, globs, directories", outputTrees},
		{"outputs: parents exist", parentsExist},
		{"outputs: hostile tree", hostileTree},
		{"outputs: too many files", tooManyFiles},
		{"outputs: too many bytes", tooManyBytes},
		{"outputs: sink error", sinkError},
		{"outputs: the log is none", logIsNoOutput},
		{"log: cap", logCap},
		{"log: resume from an offset", logResume},
		{"log: consumer error", logConsumerError},
		{"stop: before the end", stopRunning},
		{"stop: stubborn", stopStubborn},
		{"wall time", wallTime},
		{"killed from outside", killedOutside},
		{"restart while it runs", restartRunning},
		{"restart after it ended", restartEnded},
		{"remove while it runs", removeRunning},
		{"list and labels", listLabels},
		{"usage", usage},
		{"images", images},
	} {
		t.Run(c.name, func(t *testing.T) { c.run(t, newBox(t, rig(t))) })
	}
}

// box is one container under test.
type box struct {
	t *testing.T
	Rig
	ctx  context.Context
	spec sandbox.Spec
}

var serial atomic.Int64

func newBox(t *testing.T, rig Rig) *box {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 3*time.Minute)
	t.Cleanup(cancel)
	n := serial.Add(1)
	name := fmt.Sprintf("suite-%d", n)
	b := &box{t: t, Rig: rig, ctx: ctx, spec: sandbox.Spec{
		Ref: sandbox.Ref("tresor-" + name + "-1-1"), Labels: map[string]string{"job": name, "task": "1"},
		Image: rig.Image, Scratch: []sandbox.Scratch{{Name: name, Target: "/work"}}, Outputs: []string{"/work/out"},
	}}
	ref := b.spec.Ref
	t.Cleanup(func() {
		cctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		if err := errors.Join(b.Runner.Remove(cctx, ref), b.Runner.RemoveScratch(cctx, name)); err != nil {
			t.Error("cleanup:", err)
		}
	})
	return b
}

func (b *box) must(err error) {
	b.t.Helper()
	if err != nil {
		b.t.Fatal(err)
	}
}

func (b *box) is(err, want error) {
	b.t.Helper()
	if !errors.Is(err, want) {
		b.t.Fatalf("got error %v, want %v", err, want)
	}
}

// argv sets the command.
func (b *box) argv(args ...string) *box {
	b.spec.Argv = append([]string{"/workload"}, args...)
	return b
}

func (b *box) start() *box {
	b.t.Helper()
	b.must(b.Runner.Prepare(b.ctx, b.spec))
	b.must(b.Runner.Start(b.ctx, b.spec.Ref))
	return b
}

// log reads the whole log to the end of the command and checks that it has no holes.
func (b *box) log() string {
	b.t.Helper()
	var out bytes.Buffer
	b.must(b.Runner.Logs(b.ctx, b.spec.Ref, 0, func(c sandbox.Chunk) error {
		if c.Offset != int64(out.Len()) {
			b.t.Fatalf("chunk at %d after %d bytes", c.Offset, out.Len())
		}
		out.Write(c.Data)
		return nil
	}))
	return out.String()
}

func (b *box) collect() (map[string]string, sandbox.Collected) {
	b.t.Helper()
	files := map[string]string{}
	c, err := b.Runner.Collect(b.ctx, b.spec.Ref, into(files))
	b.must(err)
	return files, c
}

func into(files map[string]string) func(sandbox.File, io.Reader) error {
	return func(f sandbox.File, r io.Reader) error {
		body, err := io.ReadAll(r)
		if err == nil && int64(len(body)) != f.Size {
			err = fmt.Errorf("%s has %d bytes, announced %d", f.Path, len(body), f.Size)
		}
		if err == nil {
			files[f.Path] = string(body)
		}
		return err
	}
}

func (b *box) status() sandbox.Status {
	b.t.Helper()
	s, err := b.Runner.Status(b.ctx, b.spec.Ref)
	b.must(err)
	return s
}

func (b *box) phase(want sandbox.Phase) sandbox.Status {
	b.t.Helper()
	s := b.status()
	if s.Phase != want {
		b.t.Fatalf("phase %s, want %s", s.Phase, want)
	}
	return s
}

func (b *box) equal(got, want any) {
	b.t.Helper()
	if fmt.Sprint(got) != fmt.Sprint(want) {
		b.t.Fatalf("got %v, want %v", got, want)
	}
}

func (b *box) contains(text, part string) {
	b.t.Helper()
	if !strings.Contains(text, part) {
		b.t.Fatalf("%q is not in %.400q", part, text)
	}
}

// until waits for the log to hold a text.
func (b *box) until(text string) {
	b.t.Helper()
	var seen string
	found := errors.New("found")
	err := b.Runner.Logs(b.ctx, b.spec.Ref, 0, func(c sandbox.Chunk) error {
		seen += string(c.Data)
		if strings.Contains(seen, text) {
			return found
		}
		return nil
	})
	if !errors.Is(err, found) {
		b.t.Fatalf("the log ended without %q: %v, %.200q", text, err, seen)
	}
}
