package app_test

import (
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"tresor/app/apptest"
)

// TestOldCopiesOfTheProgramGo: each upgrade makes a copy for the containers, and a killed
// start half of one; they must not add up.
func TestOldCopiesOfTheProgramGo(t *testing.T) {
	s := serve(t, filepath.Join(apptest.Folder(t), "data"))
	_ = s.cmd.Process.Signal(syscall.SIGTERM)
	_ = s.cmd.Wait()
	run := filepath.Join(s.data, "run")
	left := []string{filepath.Join(run, "agent-1-2"), filepath.Join(run, ".agent-3"), filepath.Join(run, "sandbox", "agent-4")}
	if err := os.MkdirAll(filepath.Join(run, "sandbox"), 0o711); err != nil {
		t.Fatal(err)
	}
	for _, f := range left {
		if err := os.WriteFile(f, []byte("old"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	s.start()
	for _, f := range left {
		gone := func() bool { _, err := os.Stat(f); return os.IsNotExist(err) }
		for end := time.Now().Add(2 * time.Minute); !gone() && time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
		}
		if !gone() {
			t.Errorf("%s is still there", f)
		}
	}
	if now, err := filepath.Glob(filepath.Join(run, "agent-*")); err != nil || len(now) != 1 {
		t.Errorf("copies %v, %v", now, err)
	}
}
