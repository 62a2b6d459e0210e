package hub

import (
	"fmt"
	"net/http"
	"sync/atomic"
	"testing"
	"time"

	"tresor/fed/fedtest"
	"tresor/fed/task"
)

// shop publishes under a name that can be changed, and counts how it was asked.
type shop struct {
	name         atomic.Pointer[string]
	tags         bool
	whole, asked atomic.Int64
}

func (s *shop) answer(w http.ResponseWriter, r *http.Request) bool {
	if r.URL.Path != task.PathCatalogue {
		return false
	}
	s.asked.Add(1)
	tag := fmt.Sprintf("%q", *s.name.Load())
	if s.tags {
		w.Header().Set("ETag", tag)
		if r.Header.Get("If-None-Match") == tag {
			w.WriteHeader(http.StatusNotModified)
			return true
		}
	}
	s.whole.Add(1)
	fmt.Fprintf(w, `{"node":"north","projects":[{"slug":"x","name":%q}],"datasets":[],"documents":[]}`, *s.name.Load())
	return true
}

func (s *shop) call(name string) { s.name.Store(&name) }

// TestWhatIsPublishedIsSeenSoon: the hub looks often and is given only what changed.
func TestWhatIsPublishedIsSeenSoon(t *testing.T) {
	r := newRig(t, func(r *rig) { r.pace.Catalogue, r.pace.Glance = time.Hour, 10*time.Millisecond })
	n, s := newFakeNode(t, "north"), &shop{tags: true}
	s.call("one")
	n.lie = s.answer
	r.enrol(n)
	n.connect(r)
	shows := func(name string) func() bool {
		return func() bool {
			all, err := r.s.Catalogue(t.Context(), r.operator)
			return err == nil && len(all) == 1 && len(all[0].Catalogue.Projects) == 1 && all[0].Catalogue.Projects[0].Name == name && all[0].At != nil
		}
	}
	fedtest.Until(t, "the first is shown", shows("one"))
	asked := s.asked.Load()
	fedtest.Until(t, "it was asked again", func() bool { return s.asked.Load() > asked+5 })
	if s.whole.Load() != 1 {
		t.Errorf("given %d times, it did not change", s.whole.Load())
	}
	s.call("two")
	fedtest.Until(t, "the second is shown", shows("two"))
	if s.whole.Load() != 2 {
		t.Errorf("given %d times for one change", s.whole.Load())
	}
	n.do(func() {
		n.lie = func(w http.ResponseWriter, r *http.Request) bool {
			http.Error(w, "broken", http.StatusInternalServerError)
			return true
		}
	})
	fedtest.Until(t, "the trouble is shown", func() bool {
		x, err := r.s.Node(t.Context(), r.operator, "north")
		return err == nil && x.Trouble != ""
	})
	if !shows("two")() {
		t.Error("what was published is lost with one bad answer")
	}
}

// TestANodeWithoutTagsIsAskedSeldom: it would give, and write down, everything each time.
func TestANodeWithoutTagsIsAskedSeldom(t *testing.T) {
	r := newRig(t, func(r *rig) { r.pace.Catalogue, r.pace.Glance = time.Hour, time.Millisecond })
	n, s := newFakeNode(t, "north"), &shop{}
	s.call("one")
	n.lie = s.answer
	r.enrol(n)
	n.connect(r)
	fedtest.Until(t, "it was asked", func() bool { return s.asked.Load() > 0 })
	id := r.create("") // the loop goes round meanwhile
	n.only()
	r.untilPart(id, "north", "is known", func(p Part) bool { return p.LastSeen != nil })
	if links := s.asked.Load(); links > 3 { // once a link, and when it was confirmed
		t.Errorf("asked %d times", links)
	}
}
