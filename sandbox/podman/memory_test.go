package podman

import (
	"strings"
	"testing"
)

func TestMemoryKills(t *testing.T) {
	for name, c := range map[string]struct {
		events string
		want   int
	}{
		"none":              {"low 0\nhigh 0\nmax 12\noom 0\noom_kill 0\noom_group_kill 0\n", 0},
		"reached slowly":    {"low 0\nhigh 0\nmax 4711\noom 3\noom_kill 1\noom_group_kill 0\n", 1},
		"several":           {"oom_kill 17", 17},
		"an older kernel":   {"low 0\nhigh 0\nmax 0\noom 2\n", 0},
		"no number":         {"oom_kill many\n", 0},
		"nothing":           {"", 0},
		"another, longer":   {"oom_kill_group 3\n", 0},
		"far behind a page": {strings.Repeat("x 1\n", 2000) + "oom_kill 1\n", 0},
	} {
		if got := memoryKills(strings.NewReader(c.events)); got != c.want {
			t.Errorf("%s: %d, want %d", name, got, c.want)
		}
	}
}

// TestMemoryIsRemembered holds what was seen beside the engine's own word.
func TestMemoryIsRemembered(t *testing.T) {
	k := keep{t.TempDir()}
	if k.outOfMemory() {
		t.Error("nothing was written down")
	}
	if err := writeJSON(k.memory(), true, 0o600); err != nil || !k.outOfMemory() {
		t.Errorf("not remembered: %v", err)
	}
	if err := k.erase(); err != nil || k.outOfMemory() {
		t.Errorf("a container of the same name would inherit it: %v", err)
	}
}
