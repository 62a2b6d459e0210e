package podman

import (
	"errors"
	"testing"

	"tresor/sandbox"
)

func TestRefusal(t *testing.T) {
	for _, c := range []struct {
		name    string
		status  int
		message string
		absent  bool
	}{
		{"not found", 404, "no container with name or ID", true},
		{"removed while it was asked about", 500, "container 9412 does not exist in database: no such container", true},
		{"its removal was cut short", 500, `getting container from store "3848": container not known`, true},
		{"the engine broke", 500, "database is locked", false},
		{"another thing is absent", 500, "no such container storage driver", false},
		{"conflict", 409, "container 9412: no such container", false},
	} {
		t.Run(c.name, func(t *testing.T) {
			if err := refusal(c.status, c.message); errors.Is(err, sandbox.ErrAbsent) != c.absent {
				t.Errorf("error %v, absent %v", err, !c.absent)
			}
		})
	}
}
