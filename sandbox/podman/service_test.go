package podman_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"tresor/sandbox"
	"tresor/sandbox/podman"
	"tresor/sandbox/sandboxtest"
)

// ticking starts a command that counts for a while.
func ticking(t *testing.T, name string) sandbox.Spec {
	t.Helper()
	s := sandbox.Spec{Ref: sandbox.Ref("tresor-" + name), Image: rig.image, Argv: []string{"/workload", "tick", "100", "then", "write", "/work/out/a", "1"},
		Scratch: []sandbox.Scratch{{Name: name, Target: "/work"}}, Outputs: []string{"/work/out"}}
	t.Cleanup(func() { cleanUp(t, s) })
	if err := errors.Join(rig.runner.Prepare(t.Context(), s), rig.runner.Start(t.Context(), s.Ref)); err != nil {
		t.Fatal(err)
	}
	return s
}

// finish follows a ticking command to its end, which must be the ordinary one.
func finish(t *testing.T, s sandbox.Spec) {
	t.Helper()
	var log bytes.Buffer
	if err := rig.runner.Logs(t.Context(), s.Ref, 0, func(c sandbox.Chunk) error { log.Write(c.Data); return nil }); err != nil {
		t.Fatal(err)
	}
	if n := strings.Count(log.String(), "tick "); n != 100 {
		t.Errorf("%d ticks of 100", n)
	}
	c, err := rig.runner.Collect(t.Context(), s.Ref, func(_ sandbox.File, r io.Reader) error { _, err := io.Copy(io.Discard, r); return err })
	if err != nil || c.Files != 1 || c.Status.ExitCode != 0 {
		t.Fatalf("%+v, %v", c, err)
	}
}

func healthy(t *testing.T, s *podman.Service) {
	t.Helper()
	for range 1200 {
		if s.Health(t.Context()) == nil {
			return
		}
		time.Sleep(100 * time.Millisecond)
	}
	t.Fatal("the service did not come back")
}

// TestServiceKilled: kill -9 of the Podman service in the middle of a job costs the job nothing.
func TestServiceKilled(t *testing.T) {
	s := ticking(t, "svc-killed")
	old := podman.ServicePID(rig.service)
	if err := syscall.Kill(old, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	for range 2400 { // its child may answer for a moment longer
		if now := podman.ServicePID(rig.service); now != 0 && now != old {
			break
		}
		time.Sleep(50 * time.Millisecond)
	}
	healthy(t, rig.service)
	finish(t, s)
}

// TestServiceHangs: a service that answers no more, or leaves calls unanswered, is started
// again; one whose calls were slow long ago is left alone.
func TestServiceHangs(t *testing.T) {
	start := func(t *testing.T) *podman.Service {
		s, err := podman.StartService(t.Context(), podman.ServiceOptions{Account: account, RunDir: t.TempDir(), Executable: rig.program})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = s.Stop(context.Background()) })
		return s
	}
	again := func(t *testing.T, s *podman.Service, old int) {
		t.Helper()
		for range 1200 {
			if now := podman.ServicePID(s); now != 0 && now != old {
				healthy(t, s)
				return
			}
			time.Sleep(50 * time.Millisecond)
		}
		t.Fatal("the service that hangs was left alone")
	}
	t.Run("it answers nothing", func(t *testing.T) {
		defer podman.Quick(time.Second, 3)()
		s := start(t)
		old := podman.ServicePID(s)
		if err := syscall.Kill(-old, syscall.SIGSTOP); err != nil {
			t.Fatal(err)
		}
		again(t, s, old)
	})
	t.Run("it leaves calls unanswered", func(t *testing.T) {
		s := start(t)
		old, now := podman.ServicePID(s), time.Now()
		for i := range podman.CallsBeforeRestart {
			s.Hung(now.Add(time.Duration(i) * time.Minute))
		}
		again(t, s, old)
	})
	t.Run("its calls were slow now and then", func(t *testing.T) {
		s := start(t)
		old, now := podman.ServicePID(s), time.Now()
		for i := range podman.CallsBeforeRestart {
			s.Hung(now.Add(time.Duration(i) * time.Hour))
			time.Sleep(50 * time.Millisecond) // so that each is taken on its own
		}
		for range 20 {
			if podman.ServicePID(s) != old {
				t.Fatal("a service that works was started again")
			}
			time.Sleep(50 * time.Millisecond)
		}
	})
}

// TestServiceStopped: stopping the appliance's service leaves containers running, and the
// next one finds them.
func TestServiceStopped(t *testing.T) {
	s := ticking(t, "svc-stopped")
	for range 2 {
		if err := rig.service.Stop(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if rig.service.Health(t.Context()) == nil {
		t.Error("the service answers after Stop")
	}
	err := error(nil)
	for i := 0; i < 1200 && err == nil; i++ { // a connection that is open may be served to its end
		_, err = rig.runner.List(t.Context())
		time.Sleep(100 * time.Millisecond)
	}
	if !errors.Is(err, sandbox.ErrHost) {
		t.Errorf("without a service: %v, want ErrHost", err)
	}
	next, err := podman.StartService(t.Context(), podman.ServiceOptions{Account: account, RunDir: rig.run, Executable: rig.program})
	if err != nil {
		t.Fatal(err)
	}
	rig.service, rig.socket = next, next.Socket()
	reopen(t)
	finish(t, s)
}

// TestServiceCannotStart: words of the program that failed are in the error.
func TestServiceCannotStart(t *testing.T) {
	broken := filepath.Join(t.TempDir(), "broken")
	if err := os.WriteFile(broken, []byte("#!/bin/sh\necho it is broken\nexit 1\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	_, err := podman.StartService(t.Context(), podman.ServiceOptions{Account: account, RunDir: t.TempDir(), Executable: broken})
	if !errors.Is(err, sandbox.ErrHost) || !strings.Contains(err.Error(), "it is broken") {
		t.Fatal(err)
	}
}

// TestRefusesWithoutLimits: where limits cannot bind, nothing runs unless the operator has allowed it.
func TestRefusesWithoutLimits(t *testing.T) {
	caps, err := rig.runner.Capabilities(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	r, err := podman.New(podman.Options{Socket: rig.socket, AgentBinary: rig.program, RunDir: filepath.Join(filepath.Dir(rig.run), "strict"), Account: account, Now: time.Now})
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	s := sandbox.Spec{Ref: "tresor-strict", Image: rig.image, Argv: []string{"/workload", "noop"}}
	err = r.Prepare(t.Context(), s)
	var unfit *sandbox.ErrUnfit
	if len(caps.Unlimited) == 0 {
		if err != nil {
			t.Error(err)
		}
		_ = r.Remove(t.Context(), s.Ref)
		return
	}
	if !errors.As(err, &unfit) || !strings.Contains(unfit.Reason, caps.Unlimited[0]) {
		t.Fatalf("got %v", err)
	}
	if st, err := r.Status(t.Context(), s.Ref); err != nil || st.Phase != sandbox.Absent {
		t.Errorf("%+v, %v", st, err)
	}
}

func TestLoad(t *testing.T) {
	body, err := os.ReadFile(rig.program)
	if err != nil {
		t.Fatal(err)
	}
	archive := sandboxtest.Archive(body, sandboxtest.ImageOptions{Env: []string{"LOAD=1"}})
	for _, c := range []struct {
		name    string
		archive []byte
		want    string
	}{
		{"cut in half", archive[:len(archive)/2], "cut short"},
		{"text", []byte(strings.Repeat("hello ", 1000)), "not an image archive"},
		{"empty", nil, "empty"},
		{"another architecture", sandboxtest.Archive(body, sandboxtest.ImageOptions{Arch: "s390x"}), "s390x"},
		{"/etc is a link", sandboxtest.Archive(body, sandboxtest.ImageOptions{Links: map[string]string{"etc": "/"}}), "/etc is a link"},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := rig.runner.Load(t.Context(), bytes.NewReader(c.archive))
			if !errors.Is(err, sandbox.ErrInvalid) || !strings.Contains(err.Error(), c.want) {
				t.Fatalf("got %v, want %q", err, c.want)
			}
			// Other tests fill the same store, so only this image is looked for.
			if _, err := rig.runner.Inspect(t.Context(), sandboxtest.ImageID(c.archive)); !errors.Is(err, sandbox.ErrAbsent) {
				t.Errorf("a refused image: %v, want that it is not there", err)
			}
		})
	}
	for name, a := range map[string][]byte{"docker": archive, "oci": sandboxtest.OCIArchive(body)} {
		t.Run(name, func(t *testing.T) {
			var first sandbox.Image
			for i := range 2 {
				img, err := rig.runner.Load(t.Context(), bytes.NewReader(a))
				if err != nil {
					t.Fatal(err)
				}
				if i == 0 {
					first = img
				}
				if img != first || !strings.HasPrefix(img.Digest, "sha256:") || img.Size < int64(len(body)) {
					t.Errorf("%+v, first %+v", img, first)
				}
			}
			if got, err := rig.runner.Inspect(t.Context(), first.Digest); err != nil || got.ID != first.ID {
				t.Errorf("by digest: %+v, %v", got, err)
			}
			for range 2 {
				if err := rig.runner.RemoveImage(t.Context(), first.ID); err != nil {
					t.Fatal(err)
				}
			}
			if _, err := rig.runner.Inspect(t.Context(), first.ID); !errors.Is(err, sandbox.ErrAbsent) {
				t.Fatal(err)
			}
		})
	}
}

// TestPrepareAfterCrash: a Prepare that was cut off leaves nothing that the next one cannot complete.
func TestPrepareAfterCrash(t *testing.T) {
	s := sandbox.Spec{Ref: "tresor-crash", Image: rig.image, Argv: []string{"/workload", "say", "hi"}, Scratch: []sandbox.Scratch{{Name: "crash", Target: "/work"}}}
	t.Cleanup(func() { cleanUp(t, s) })
	ctx, cancel := context.WithCancel(t.Context())
	for i := range 6 {
		time.AfterFunc(time.Duration(2*i)*time.Millisecond, cancel)
		_ = rig.runner.Prepare(ctx, s)
		ctx, cancel = context.WithCancel(t.Context())
	}
	defer cancel()
	if err := errors.Join(rig.runner.Prepare(ctx, s), rig.runner.Start(ctx, s.Ref)); err != nil {
		t.Fatal(err)
	}
	var log bytes.Buffer
	if err := rig.runner.Logs(ctx, s.Ref, 0, func(c sandbox.Chunk) error { log.Write(c.Data); return nil }); err != nil || log.String() != "hi\n" {
		t.Fatal(err, log.String())
	}
}

// TestMuteAgent: a container whose agent does not come back after a restart of the program
// is ended, and what it left can be had.
func TestMuteAgent(t *testing.T) {
	s := ticking(t, "svc-mute")
	pid, err := podman.HostPID(t.Context(), rig.runner, s.Ref)
	if err == nil {
		err = syscall.Kill(pid, syscall.SIGSTOP)
	}
	if err != nil {
		t.Fatal(err)
	}
	r := reopen(t)
	defer podman.SetMuteAgent(200 * time.Millisecond)()
	take := func(sandbox.Chunk) error { return nil }
	if err := r.Logs(t.Context(), s.Ref, 0, take); !errors.Is(err, sandbox.ErrHost) {
		t.Fatalf("following the log: %v, want ErrHost", err)
	}
	if err := r.Logs(t.Context(), s.Ref, 0, take); err != nil {
		t.Fatalf("what is left of the log: %v", err)
	}
	if st, err := r.Status(t.Context(), s.Ref); err != nil || st.Phase != sandbox.Exited || st.ExitCode != 137 {
		t.Errorf("%+v, %v", st, err)
	}
}
