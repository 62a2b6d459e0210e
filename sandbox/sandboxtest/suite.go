// Package sandboxtest is the conformance suite of sandbox.Runner: what the fake and every
// real engine must do alike. A new runner passes Suite or is not one. For tests only.
package sandboxtest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
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
	Inside func(fn Inside)       // says who serves the task service from now on
}

// Inside serves one connection of a container to the task service.
type Inside func(ctx context.Context, labels map[string]string, conn net.Conn)

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
		{"volumes: anywhere", severalVolumes},
		{"volumes: /tmp", scratchTmp},
		{"binds inside a volume", nestedBinds},
		{"binds inside a volume: writable neighbours", nestedNeighbours},
		{"binds inside a volume: hostile places", nestedHostile},
		{"folders are made", folders},
		{"folders: in the way", folderInTheWay},
		{"copies are writable", copies},
		{"copies: every task again", copiesAgain},
		{"copies: refused", copiesRefused},
		{"copies: over links of an earlier task", copiesOverLinks},
		{"working directory", workdir},
		{"streams: to and from files", streamFiles},
		{"streams: one file for both", streamsTogether},
		{"streams: file size", streamFileSize},
		{"streams: input refused", stdinRefused},
		{"streams: output over a link", stdoutOverLink},
		{"streams: output swapped while it is written", stdoutSwapped},
		{"log: two streams", twoStreams},
		{"log: streams after a restart and a death", streamsOutlive},
		{"outputs: anywhere", outputsAnywhere},
		{"outputs: overlapping", outputsOverlap},
		{"outputs: inputs are none", inputsAreNoOutputs},
		{"outputs: ten thousand links", outputLinks},
		{"stopped while inputs are placed", stoppedWhilePlaced},
		{"task service", taskService},
		{"task service: not offered", taskServiceAbsent},
		{"task service: over a restart", taskServiceRestart},
		{"task service: flood", taskServiceFlood},
		{"task service: held connections", taskServiceHeld},
		{"project: a folder in step", projectFolder},
		{"project: what it does not take", projectRefusals},
		{"project: inputs", projectInputs},
		{"project: over a restart", projectRestart},
		{"project: killed", projectKilled},
		{"project: no files to be had", projectAway},
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
		err := errors.Join(b.Runner.Remove(cctx, ref), b.Runner.RemoveScratch(cctx, name))
		for _, v := range b.spec.Scratch {
			err = errors.Join(err, b.Runner.RemoveScratch(cctx, v.Name))
		}
		if err != nil {
			t.Error("cleanup:", err)
		}
	})
	return b
}

// volume adds a scratch volume.
func (b *box) volume(target string) *box {
	name := fmt.Sprintf("suite-v-%d", serial.Add(1))
	b.spec.Scratch = append(b.spec.Scratch, sandbox.Scratch{Name: name, Target: target})
	return b
}

// next is a later task with the same volumes and nothing else of the first.
func (b *box) next(args ...string) *box {
	n := *b
	n.spec = sandbox.Spec{Ref: sandbox.Ref(fmt.Sprintf("%s-n%d", b.spec.Ref, serial.Add(1))), Image: b.spec.Image, Labels: b.spec.Labels,
		Scratch: b.spec.Scratch, Limits: b.spec.Limits}
	b.t.Cleanup(func() {
		cctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		if err := n.Runner.Remove(cctx, n.spec.Ref); err != nil {
			b.t.Error("cleanup:", err)
		}
	})
	return n.argv(args...)
}

// runs starts the command, reads its log and wants this exit code.
func (b *box) runs(code int) string {
	b.t.Helper()
	out := b.start().log()
	if s := b.phase(sandbox.Ended); s.ExitCode != code {
		b.t.Fatalf("exit code %d, want %d: %.400s", s.ExitCode, code, out)
	}
	return out
}

// misplaced starts a command that must not run, because its files cannot be put in place.
func (b *box) misplaced(says ...string) {
	b.t.Helper()
	out := b.runs(sandbox.ExitUnplaced)
	if !b.status().Unplaced {
		b.t.Error("not marked as unplaced")
	}
	for _, part := range says {
		b.contains(out, part)
	}
	if strings.Contains(out, "ran anyway") {
		b.t.Error("the command ran")
	}
	_, c := b.collect()
	if !c.Status.Unplaced || c.Status.ExitCode != sandbox.ExitUnplaced {
		b.t.Errorf("after the end: %+v", c.Status)
	}
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
