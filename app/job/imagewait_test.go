package job

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"tresor/app/access"
	"tresor/app/fault"
	"tresor/app/image"
	"tresor/app/project"
	"tresor/app/store"
	"tresor/sandbox"
)

const digestB = "sha256:2222222222222222222222222222222222222222222222222222222222222222"

// shelf is a list of images with a decision about each, and tells of decisions.
type shelf struct {
	state map[string]image.State // by name or digest; absent: not imported
	hooks []func(*store.Tx, image.Image) error
}

func (s *shelf) OnDecision(f func(*store.Tx, image.Image) error) { s.hooks = append(s.hooks, f) }

func (s *shelf) Resolve(_ *store.Tx, ref string) (image.Image, error) {
	var img image.Image
	switch ref {
	case "tools", imageID:
		img = image.Image{ID: imageID, Digest: imageID, Ref: "tools"}
	case "b", digestB:
		img = image.Image{ID: digestB, Digest: digestB, Ref: "b"}
	}
	switch s.state[img.Ref] {
	case image.Approved:
		return img, nil
	case image.Revoked:
		return img, fault.Kinded("image.Resolve", fault.Conflict, image.ErrRevoked, "The image %s was revoked: unsafe.", ref)
	case image.Imported:
		return img, fault.New("image.Resolve", fault.Conflict, "The image %s is imported but not approved.", ref)
	case image.Missing:
		return img, fault.New("image.Resolve", fault.Unavailable, "The engine lost %s.", ref)
	}
	return image.Image{}, fault.New("image.Resolve", fault.NotFound, "There is no image %q.", ref)
}

// shelved is a house whose images are a shelf.
func shelved(t *testing.T) (*house, *shelf) {
	h := newHouse(t)
	h.script()
	h.runner.AddImage(sandbox.Image{ID: digestB, Digest: digestB})
	s := &shelf{state: map[string]image.State{"tools": image.Approved}}
	h.job.Images = s
	h.job.hearImages()
	return h, s
}

// decide changes the decision about an image, as image.Approve and image.Revoke do.
func (h *house) decide(s *shelf, ref string, to image.State) {
	h.t.Helper()
	err := h.db.Update(context.Background(), func(tx *store.Tx) error {
		s.state[ref] = to
		for _, f := range s.hooks {
			if err := f(tx, image.Image{Ref: ref, State: to}); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		h.t.Fatal(err)
	}
}

func (h *house) waiting(refs ...string) Job {
	h.t.Helper()
	sub := h.placed()
	sub.WaitForImage = true
	sub.Tasks = nil
	for _, ref := range refs {
		sub.Tasks = append(sub.Tasks, Task{Image: ref, Argv: []string{"do", "say hi"}})
	}
	return h.submit(sub)
}

func TestAJobWaitsForItsImage(t *testing.T) {
	every := project.EveryJob
	cases := []struct {
		name  string
		first image.State // of the image when the job comes
		mode  *project.Approval
		then  image.State
		want  State
	}{
		{"not there, approved", "", nil, image.Approved, Completed},
		{"imported, approved", image.Imported, nil, image.Approved, Completed},
		{"lost by the engine, found again", image.Missing, nil, image.Approved, Completed},
		{"approved, and every job needs a decision", "", &every, image.Approved, Submitted},
		{"revoked", image.Imported, nil, image.Revoked, Refused},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			h, s := shelved(t)
			if c.mode != nil {
				h.alphaChange(project.Change{Approval: c.mode, Reason: "test"})
			}
			if c.first != "" {
				s.state["b"] = c.first
			}
			h.run()
			j := h.waiting("tools", "b")
			if j.State != Submitted || j.WaitingImage != "b" || j.Reason != "Waits for the image b to be approved." || j.Next == "" {
				t.Fatalf("%s %q %q %q", j.State, j.WaitingImage, j.Reason, j.Next)
			}
			h.decide(s, "b", c.then)
			h.wait("the decision has been heard", func() bool { return h.get(j.ID).WaitingImage == "" && h.get(j.ID).State == c.want })
			got := h.get(j.ID)
			if c.want == Refused && !strings.Contains(got.Reason, "was revoked: unsafe") {
				t.Errorf("reason %q", got.Reason)
			}
			if c.want != Refused && (got.Tasks[1].Image != digestB || got.Tasks[1].ImageRef != "b" || got.Reason != "") {
				t.Errorf("%+v, reason %q", got.Tasks[1], got.Reason)
			}
		})
	}
}

func TestNamesOfOtherProgramsAreUnderstood(t *testing.T) {
	for _, ref := range []string{"b", "docker.io/library/b", "b:latest", "b@" + digestB, "anything@" + digestB, digestB} {
		h, s := shelved(t)
		j := h.waiting(ref)
		if j.WaitingImage != ref {
			t.Errorf("%s: waits for %q", ref, j.WaitingImage)
		}
		s.state["b"] = image.Approved
		if err := h.job.wakeWaiting(context.Background()); err != nil {
			t.Error(err)
		}
		if got := h.get(j.ID); got.State != Queued || got.Tasks[0].Image != digestB {
			t.Errorf("%s: %s with %q", ref, got.State, got.Tasks[0].Image)
		}
	}
}

func TestAJobWaitsForOneImageAfterTheOther(t *testing.T) {
	h, s := shelved(t)
	s.state["tools"] = image.Imported
	h.run()
	j := h.waiting("tools", digestB)
	h.decide(s, "tools", image.Approved)
	h.wait("it waits for the second image", func() bool { return h.get(j.ID).WaitingImage == digestB })
	h.decide(s, "b", image.Approved)
	h.until(j.ID, Completed)
}

func TestWaitingEnds(t *testing.T) {
	ctx := context.Background()
	h, s := shelved(t)
	j := h.waiting("b")
	_, err := h.job.Approve(ctx, h.in(lena), j.ID, "")
	wantFault(t, err, fault.Conflict, "waits for the image b")
	if turns := h.turns(lena); len(turns) != 0 {
		t.Errorf("turns for what nobody can decide yet: %+v", turns)
	}
	h.waiting("b")
	if turns := h.turns(olga); len(turns) != 1 || turns[0].Title != "Image b, for 2 jobs" || turns[0].Project != "Project alpha" || turns[0].WaitingSince.IsZero() {
		t.Errorf("turns of an operator: %+v", turns)
	}
	if _, err := h.job.Cancel(ctx, h.in(rosa), j.ID, ""); err != nil {
		t.Fatal(err)
	}
	if got := h.get(j.ID); got.State != Cancelled || got.WaitingImage != "" {
		t.Errorf("%s, waits for %q", got.State, got.WaitingImage)
	}
	other := h.waiting("b")
	if _, err := h.job.Refuse(ctx, h.in(lena), other.ID, "not this image"); err != nil {
		t.Fatal(err)
	}
	h.decide(s, "b", image.Approved)
	h.run()
	h.stop()
	if got := h.get(other.ID); got.State != Refused {
		t.Errorf("state %s", got.State)
	}
}

func (h *house) turns(a access.Actor) (list []Turn) {
	h.t.Helper()
	err := h.db.View(context.Background(), func(tx *store.Tx) error {
		var err error
		list, err = h.job.Waiting(tx, h.in(a))
		return err
	})
	if err != nil {
		h.t.Fatal(err)
	}
	return list
}

func TestImagesThatAreNotWaitedFor(t *testing.T) {
	cases := []struct {
		name  string
		state image.State
		wait  bool
		kind  fault.Kind
		text  string
	}{
		{"not asked to wait", "", false, fault.NotFound, "no image"},
		{"not approved and not asked to wait", image.Imported, false, fault.Conflict, "not approved"},
		{"revoked", image.Revoked, true, fault.Conflict, "was revoked"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			h, s := shelved(t)
			s.state["b"] = c.state
			sub := h.placed("do")
			sub.Tasks[0].Image, sub.WaitForImage = "b", c.wait
			_, err := h.job.Submit(context.Background(), h.in(rosa), sub)
			wantFault(t, err, c.kind, c.text)
		})
	}
}

// TestADecisionWhileNoServerRan covers the crash between the decision and what follows from it.
func TestADecisionWhileNoServerRan(t *testing.T) {
	h, s := shelved(t)
	var ids []string
	for range waitBatch*2 + 1 {
		ids = append(ids, h.waiting("b").ID)
	}
	s.state["b"] = image.Approved
	h.run()
	for _, id := range ids {
		h.until(id, Completed)
	}
}

func TestWakingFailsAndIsTriedAgain(t *testing.T) {
	for _, after := range []bool{false, true} {
		t.Run(fmt.Sprintf("persisted=%v", after), func(t *testing.T) {
			h, s := shelved(t)
			j := h.waiting("b")
			s.state["b"] = image.Approved
			real, left := h.job.update, 1
			h.job.update = func(ctx context.Context, f func(*store.Tx) error) error {
				if left--; left < 0 {
					return real(ctx, f)
				}
				broken := fault.Kinded("t", fault.Unavailable, errors.New("disk"), "The change was not saved.")
				if after {
					return errors.Join(real(ctx, f), broken)
				}
				return broken
			}
			if err := h.job.wakeWaiting(context.Background()); err == nil {
				t.Error("the failure is not reported")
			}
			if err := h.job.wakeWaiting(context.Background()); err != nil {
				t.Error(err)
			}
			if got := h.get(j.ID); got.State != Queued || got.WaitingImage != "" {
				t.Errorf("%s, waits for %q", got.State, got.WaitingImage)
			}
			h.run()
			h.until(j.ID, Completed)
			if n := h.starts(j.ID, 0); n != 1 {
				t.Errorf("started %d times", n)
			}
		})
	}
}

func TestNamesOfImagesAreShownHarmlessly(t *testing.T) {
	h, _ := shelved(t)
	if j := h.waiting("evil\u202e\x1b[31m"); strings.ContainsAny(j.Reason, "\u202e\x1b") {
		t.Errorf("reason %q", j.Reason)
	}
}
