package fake_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"tresor/sandbox"
	"tresor/sandbox/fake"
	"tresor/sandbox/sandboxtest"
	"tresor/sandbox/sandboxtest/workload"
)

var imageID = "sha256:" + strings.Repeat("a", 64)

func work(ctx context.Context, t *fake.Task) int {
	w := workload.World{Out: t.Log, Err: t.Err, In: t.In, Path: t.Path, Env: t.Env, Dial: t.Dial}
	return workload.Run(workload.InFake(ctx), w, t.Argv[1:])
}

func newFake(t *testing.T) *fake.Runner {
	r := fake.New()
	t.Cleanup(func() { r.Close() })
	r.Handle("/workload", work)
	r.AddImage(sandbox.Image{ID: imageID, Digest: imageID, Size: 10, Arch: "amd64"})
	return r
}

func TestConformance(t *testing.T) {
	sandboxtest.Suite(t, func(t *testing.T) sandboxtest.Rig {
		r := newFake(t)
		return sandboxtest.Rig{Runner: r, Images: r, Image: imageID, Kill: r.Kill, Reopen: func() sandbox.Runner { return r.Reopen() },
			Inside: func(fn sandboxtest.Inside) { r.SetInside(fake.InsideFunc(fn)) }}
	})
}

func TestFaults(t *testing.T) {
	spec := sandbox.Spec{Ref: "tresor-f-1", Image: imageID, Argv: []string{"/workload", "noop"}}
	for _, c := range []struct {
		name  string
		after bool
		want  sandbox.Phase
	}{{"fails", false, sandbox.Absent}, {"fails after it persisted", true, sandbox.Created}} {
		t.Run(c.name, func(t *testing.T) {
			r, ctx := newFake(t), context.Background()
			r.Fail("Prepare", sandbox.ErrHost, c.after)
			if err := r.Prepare(ctx, spec); !errors.Is(err, sandbox.ErrHost) {
				t.Fatal(err)
			}
			if s, _ := r.Status(ctx, spec.Ref); s.Phase != c.want {
				t.Fatalf("phase %s", s.Phase)
			}
			if err := r.Prepare(ctx, spec); err != nil {
				t.Fatal(err)
			}
		})
	}
}

// TestListWhileCommandsEnd: no order of locks may hang a test.
func TestListWhileCommandsEnd(t *testing.T) {
	r, ctx := newFake(t), context.Background()
	done := make(chan struct{})
	go func() {
		defer close(done)
		for i := range 300 {
			s := sandbox.Spec{Ref: sandbox.Ref(fmt.Sprintf("tresor-l-%d", i)), Image: imageID, Argv: []string{"/workload", "noop"}}
			if err := errors.Join(r.Prepare(ctx, s), r.Start(ctx, s.Ref)); err != nil {
				t.Error(err)
			}
		}
	}()
	for {
		if _, err := r.List(ctx); err != nil {
			t.Fatal(err)
		}
		select {
		case <-done:
			return
		default:
		}
	}
}
