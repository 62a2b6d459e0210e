package audit

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"tresor/app/fault"
	"tresor/app/store"
)

// rollBack puts the copy made earlier in the place of the database.
func (w *world) rollBack(t *testing.T, old string) {
	t.Helper()
	if err := w.db.Close(); err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile(old)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(w.path, b, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, s := range []string{"-wal", "-shm"} {
		_ = os.Remove(w.path + s)
	}
}

// reopen opens database and log as a start does.
func (w *world) reopen(t *testing.T) error {
	t.Helper()
	db, err := store.Open(ctx, w.path, store.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	log, err := Open(ctx, db, filepath.Join(w.dir, "audit.key"), "tresor/test")
	w.db, w.log = db, log
	return err
}

func TestAnOlderDatabaseIsNotContinuedInSilence(t *testing.T) {
	w := newWorld(t, 4)
	old := w.copyDB(t, "old.db")
	w.add(t, By(rosa, "job.held", "job:1", "p1"))
	w.sign(t)
	key := w.log.VerifierKey()
	head, err := Head(w.dir)
	if err != nil || head == nil {
		t.Fatalf("head %q, %v", head, err)
	}
	if _, err := VerifyDB(ctx, w.path, key, head); err != nil {
		t.Fatalf("the true database: %v", err)
	}
	if _, err := VerifyDB(ctx, old, key); err != nil {
		t.Fatalf("the old database alone holds no sign of it: %v", err)
	}
	if _, err := VerifyDB(ctx, old, key, head); fault.KindOf(err) != fault.Conflict || !strings.Contains(fault.Message(err), "Event 5 is missing") {
		t.Errorf("the old database against the head: %v", err)
	}
	w.rollBack(t, old)
	err = w.reopen(t)
	if fault.KindOf(err) != fault.Conflict || !strings.Contains(fault.Next(err), acceptedFile) {
		t.Fatalf("opened in silence: %v", err)
	}
	_ = w.db.Close()

	if err := os.Rename(filepath.Join(w.dir, headFile), filepath.Join(w.dir, acceptedFile)); err != nil {
		t.Fatal(err)
	}
	if err := w.reopen(t); err != nil {
		t.Fatalf("after the operator's word: %v", err)
	}
	var got []Event
	_ = w.db.View(ctx, func(tx *store.Tx) (err error) { got, err = w.log.List(tx, Filter{Limit: 1}); return err })
	if len(got) != 1 || got[0].Verb != restored || got[0].Detail["lost-size"] != "6" {
		t.Errorf("the break is not in the log: %+v", got)
	}
	w.sign(t)
	_ = w.db.Close()
	if err := w.reopen(t); err != nil {
		t.Errorf("the start after that: %v", err)
	}
}

func TestARewrittenLogIsRefusedAtStart(t *testing.T) {
	w := newWorld(t, 4)
	old := w.copyDB(t, "old.db")
	w.add(t, By(rosa, "job.held", "job:1", "p1"))
	w.sign(t)
	w.rollBack(t, old)
	head := filepath.Join(w.dir, headFile)
	b, _ := os.ReadFile(head)
	_ = os.Remove(head)
	if err := w.reopen(t); err != nil { // a thief without the head file could go on …
		t.Fatal(err)
	}
	w.add(t, By(rosa, "job.failed", "job:1", "p1"))
	_ = w.db.Close()
	if err := os.WriteFile(head, b, 0o644); err != nil {
		t.Fatal(err)
	}
	if err := w.reopen(t); fault.KindOf(err) != fault.Conflict { // … but not with it
		t.Errorf("another history of the same length was accepted: %v", err)
	}
}

func TestOpenRefusesWrongKeyFiles(t *testing.T) {
	for _, c := range []struct {
		name string
		harm func(t *testing.T, w *world)
		kind fault.Kind
	}{
		{"key is gone", func(t *testing.T, w *world) { _ = os.Remove(filepath.Join(w.dir, "audit.key")) }, fault.Conflict},
		{"key of another log", func(t *testing.T, w *world) {
			other := newWorld(t, 0)
			b, _ := os.ReadFile(filepath.Join(other.dir, "audit.key"))
			_ = os.WriteFile(filepath.Join(w.dir, "audit.key"), b, 0o600)
		}, fault.Conflict},
		{"key is damaged", func(t *testing.T, w *world) {
			_ = os.WriteFile(filepath.Join(w.dir, "audit.key"), []byte("PRIVATE+KEY+x"), 0o600)
		}, fault.Internal},
		{"head is damaged", func(t *testing.T, w *world) {
			_ = os.WriteFile(filepath.Join(w.dir, headFile), []byte("x"), 0o600)
		}, fault.Conflict},
		{"accepted head is damaged", func(t *testing.T, w *world) {
			_ = os.WriteFile(filepath.Join(w.dir, acceptedFile), []byte("x"), 0o600)
		}, fault.Conflict},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := newWorld(t, 3)
			_ = w.db.Close()
			c.harm(t, w)
			if err := w.reopen(t); err == nil || fault.KindOf(err) != c.kind {
				t.Errorf("error %v, want %v", err, c.kind)
			}
			if r, err := VerifyDB(ctx, w.path, ""); err != nil || r.Events != 4 {
				t.Errorf("the refused start changed the log: %+v, %v", r, err)
			}
		})
	}
}

func TestCheckpointFailsWhereTheHeadCannotBeKept(t *testing.T) {
	w := newWorld(t, 1)
	if err := os.RemoveAll(filepath.Join(w.dir, headFile)); err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll(filepath.Join(w.dir, headFile, "in-the-way"), 0o700); err != nil {
		t.Fatal(err)
	}
	w.add(t, By(rosa, "job.held", "job:1", "p1"))
	for range 2 { // also when the database has the checkpoint already
		if _, err := w.log.Checkpoint(ctx); fault.KindOf(err) != fault.Unavailable {
			t.Errorf("error %v", err)
		}
	}
	_ = os.RemoveAll(filepath.Join(w.dir, headFile))
	if _, err := w.log.Checkpoint(ctx); err != nil {
		t.Error(err)
	}
	if head, err := Head(w.dir); err != nil || head == nil {
		t.Errorf("the head was not written later: %v", err)
	}
}
