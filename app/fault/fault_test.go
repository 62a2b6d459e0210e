package fault

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
)

func TestKindAndMessage(t *testing.T) {
	cause := errors.New("disk on fire at /secret/path")
	cases := []struct {
		name string
		err  error
		kind Kind
		msg  string
		next string
	}{
		{"plain error is internal and silent", cause, Internal, "Something went wrong inside", ""},
		{"new carries kind and text", New("a.B", Denied, "Only %s may do this.", "checkers"), Denied, "Only checkers may do this.", ""},
		{"wrap keeps kind and text", Wrap("c.D", New("a.B", Conflict, "Already released.")), Conflict, "Already released.", ""},
		{"kinded hides the cause", Kinded("a.B", Unavailable, cause, "Podman does not answer."), Unavailable, "Podman does not answer.", ""},
		{"outermost text wins", Kinded("c.D", Invalid, New("a.B", NotFound, "inner"), "outer"), Invalid, "outer", ""},
		{"text through a foreign wrapper", fmt.Errorf("x: %w", New("a.B", Invalid, "Bad name.")), Invalid, "Bad name.", ""},
		{"next step is kept", Wrap("c.D", WithNext(New("a.B", Invalid, "Bad name."), "Use letters.")), Invalid, "Bad name.", "Use letters."},
		{"cancelled context is unavailable", context.Canceled, Unavailable, "not available now", ""},
		{"kind without text has a neutral one", Wrap("a.B", &Error{Kind: NotFound}), NotFound, "Not found", ""},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			if got := KindOf(c.err); got != c.kind {
				t.Errorf("kind %v, want %v", got, c.kind)
			}
			if got := Message(c.err); !strings.Contains(got, c.msg) || strings.Contains(got, "secret") {
				t.Errorf("message %q, want %q and never the cause", got, c.msg)
			}
			if got := Next(c.err); got != c.next {
				t.Errorf("next %q, want %q", got, c.next)
			}
		})
	}
}

func TestNilStaysNil(t *testing.T) {
	if Wrap("a.B", nil) != nil || WithNext(nil, "x") != nil {
		t.Fatal("wrapping nil made an error")
	}
}

func TestOperatorsSeeTheCause(t *testing.T) {
	err := Wrap("job.Submit", Kinded("store.Update", Exhausted, errors.New("SQLITE_FULL"), "The disk is full."))
	if got := err.Error(); !strings.Contains(got, "SQLITE_FULL") || !strings.Contains(got, "job.Submit") {
		t.Fatalf("got %q", got)
	}
}
