// Package apptest starts a whole appliance for tests: real SQLite, real HTTP on a
// free port, and Podman or the fake engine. Tests only.
package apptest

import (
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"
)

var build struct {
	once sync.Once
	path string
	err  error
	out  []byte
}

// Binary is the static program, as containers mount it. scripts/test builds it
// once and names it in TRESOR_TEST_BIN; else it is built here.
func Binary(t testing.TB) string {
	t.Helper()
	build.once.Do(func() {
		if build.path = os.Getenv("TRESOR_TEST_BIN"); build.path != "" {
			return
		}
		dir, err := os.MkdirTemp("", "tresor-bin-")
		if err != nil {
			build.err = err
			return
		}
		build.path = filepath.Join(dir, "tresor")
		cmd := exec.Command("go", "build", "-tags", "netgo,osusergo,sqlite_omit_load_extension", "-ldflags", `-s -w -linkmode external -extldflags "-static"`, "-o", build.path, "tresor")
		build.out, build.err = cmd.CombinedOutput()
	})
	if build.err != nil {
		t.Fatalf("building the program: %v\n%s", build.err, build.out)
	}
	return build.path
}

// Folder is a temporary folder that the account which runs Podman can pass
// through: the testing package makes its own closed to others. At the end it goes, with
// what appliances in it have left in the engine.
func Folder(t testing.TB) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "tresor-test-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { Sweep(dir); _ = os.RemoveAll(dir) })
	if err := os.Chmod(dir, 0o711); err != nil {
		t.Fatal(err)
	}
	return dir
}
