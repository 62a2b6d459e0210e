package doctor

import (
	"io/fs"
	"os"
	"path/filepath"
	"testing"
)

func TestPasses(t *testing.T) {
	p := passer{uid: 7, gids: []uint32{70}}
	for _, c := range []struct {
		name     string
		mode     fs.FileMode
		uid, gid uint32
		want     bool
	}{
		{"own folder", 0o700, 7, 1, true},
		{"own folder without x, others with", 0o611, 7, 1, false},
		{"group may search", 0o710, 0, 70, true},
		{"group may not, others may", 0o701, 0, 70, false},
		{"others may search", 0o711, 0, 0, true},
		{"root's own", 0o700, 0, 0, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := p.passes(c.mode, c.uid, c.gid); got != c.want {
				t.Errorf("%v", got)
			}
		})
	}
}

func TestClosedAbove(t *testing.T) {
	base := t.TempDir()
	deep := filepath.Join(base, "a", "b", "data")
	if err := os.MkdirAll(filepath.Dir(deep), 0o755); err != nil {
		t.Fatal(err)
	}
	me := passer{uid: uint32(os.Getuid()), gids: []uint32{uint32(os.Getgid())}}
	if got, err := closedAbove(deep, me); err != nil || got != "" {
		t.Errorf("open path: %q, %v", got, err)
	}
	closed := filepath.Join(base, "a")
	if err := os.Chmod(closed, 0o600); err != nil {
		t.Fatal(err)
	}
	defer os.Chmod(closed, 0o700)
	if got, err := closedAbove(deep, me); got != closed || err != nil {
		t.Errorf("closed at %q, %v; want %q", got, err, closed)
	}
	if got, err := closedAbove(filepath.Join(base, "new", "data"), me); got != "" || err != nil {
		t.Errorf("folders that do not exist yet: %q, %v", got, err)
	}
}
