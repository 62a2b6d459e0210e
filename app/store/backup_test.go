package store

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"tresor/app/fault"
)

func TestBackupIsACompleteCopy(t *testing.T) {
	dir := t.TempDir()
	db := openNotes(t, filepath.Join(dir, "t.db"))
	for i := range 50 {
		if err := db.Update(context.Background(), insert(fmt.Sprintf("%d%0*d", i, 2000, 0))); err != nil {
			t.Fatal(err)
		}
	}
	to := filepath.Join(dir, "copy.db")
	if err := db.Backup(context.Background(), to); err != nil {
		t.Fatal(err)
	}
	if st, err := os.Stat(to); err != nil || st.Mode().Perm() != 0o600 {
		t.Errorf("mode %v, %v", st.Mode(), err)
	}
	left, _ := filepath.Glob(to + "?*")
	if len(left) > 0 {
		t.Errorf("left beside it: %v", left)
	}
	if n := count(t, openNotes(t, to)); n != 50 {
		t.Errorf("%d rows in the copy", n)
	}
}

// While writers go on, a backup is one moment: every row up to some id and none after.
func TestBackupWhileWriting(t *testing.T) {
	dir := t.TempDir()
	db := openNotes(t, filepath.Join(dir, "t.db"))
	stop, done := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		for i := 0; ; i++ {
			select {
			case <-stop:
				return
			default:
				if err := db.Update(context.Background(), insert(fmt.Sprintf("%d%0*d", i, 3000, 0))); err != nil {
					t.Error(err)
					return
				}
			}
		}
	}()
	for i := range 5 {
		for n := i * 40; count(t, db) < n; {
		}
		to := filepath.Join(dir, fmt.Sprintf("copy%d.db", i))
		if err := db.Backup(context.Background(), to); err != nil {
			t.Error(err)
			break
		}
		copied, err := OpenReadOnly(to)
		if err != nil {
			t.Fatal(err)
		}
		var n, top int
		if err := copied.QueryRow("SELECT count(*), coalesce(max(id), 0) FROM note").Scan(&n, &top); err != nil || n != top {
			t.Errorf("%d rows up to id %d, %v", n, top, err)
		}
		_ = copied.Close()
	}
	close(stop)
	<-done
}

func TestBackupRefusals(t *testing.T) {
	dir := t.TempDir()
	db := openNotes(t, filepath.Join(dir, "t.db"))
	taken := filepath.Join(dir, "taken.db")
	if err := os.WriteFile(taken, []byte("precious"), 0o600); err != nil {
		t.Fatal(err)
	}
	gone, cancel := context.WithCancel(context.Background())
	cancel()
	for _, c := range []struct {
		name string
		ctx  context.Context
		path string
		kind fault.Kind
	}{
		{"never overwrites", context.Background(), taken, fault.Conflict},
		{"no such folder", context.Background(), filepath.Join(dir, "no", "x.db"), fault.Internal},
		{"the caller gave up", gone, filepath.Join(dir, "late.db"), fault.Unavailable},
	} {
		t.Run(c.name, func(t *testing.T) {
			if err := db.Backup(c.ctx, c.path); err == nil || fault.KindOf(err) != c.kind {
				t.Errorf("error %v, want %v", err, c.kind)
			}
			if _, err := os.Stat(c.path + ".partial"); err == nil {
				t.Error("a half-written copy is left")
			}
		})
	}
	if b, _ := os.ReadFile(taken); string(b) != "precious" {
		t.Error("the existing file was changed")
	}
	stale := filepath.Join(dir, "again.db")
	if err := os.WriteFile(stale+".partial", []byte("from a crash"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := db.Backup(context.Background(), stale); err != nil {
		t.Errorf("a crash's leftover stands in the way: %v", err)
	}
}

func TestPlainFiles(t *testing.T) {
	path := filepath.Join(t.TempDir(), "p.sqlite")
	db, err := CreateFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := db.Exec("CREATE TABLE a (x INTEGER); INSERT INTO a VALUES (1), (2)"); err != nil {
		t.Fatal(err)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	if err := Seal(path); err != nil {
		t.Fatal(err)
	}
	if st, _ := os.Stat(path); st.Mode().Perm() != 0o400 {
		t.Errorf("mode %v", st.Mode())
	}
	ro, err := OpenReadOnly(path)
	if err != nil {
		t.Fatal(err)
	}
	defer ro.Close()
	var n int
	if err := ro.QueryRow("SELECT count(*) FROM a").Scan(&n); err != nil || n != 2 {
		t.Errorf("%d rows, %v", n, err)
	}
	for _, q := range []string{"INSERT INTO a VALUES (3)", "CREATE TABLE b (x)", "PRAGMA user_version=7"} {
		if _, err := ro.Exec(q); err == nil && !strings.HasPrefix(q, "PRAGMA") {
			t.Errorf("%s was accepted", q)
		}
	}
	if left, _ := filepath.Glob(path + "-*"); len(left) > 0 {
		t.Errorf("reading left %v", left)
	}
}

func TestPlainFileRefusals(t *testing.T) {
	dir := t.TempDir()
	text := filepath.Join(dir, "text")
	if err := os.WriteFile(text, []byte(strings.Repeat("not a database ", 100)), 0o600); err != nil {
		t.Fatal(err)
	}
	_, absent := OpenReadOnly(filepath.Join(dir, "absent"))
	_, foreign := OpenReadOnly(text)
	_, taken := CreateFile(text)
	for _, c := range []struct {
		name string
		err  error
		kind fault.Kind
	}{
		{"absent", absent, fault.NotFound},
		{"not a database", foreign, fault.Internal},
		{"exists already", taken, fault.Conflict},
	} {
		if c.err == nil || fault.KindOf(c.err) != c.kind {
			t.Errorf("%s: %v, want %v", c.name, c.err, c.kind)
		}
	}
}

func TestSharedReaderSeesTheLiveState(t *testing.T) {
	path := filepath.Join(t.TempDir(), "t.db")
	db := openNotes(t, path)
	if err := db.Update(context.Background(), insert("in the log file")); err != nil {
		t.Fatal(err)
	}
	ro, err := OpenShared(path)
	if err != nil {
		t.Fatal(err)
	}
	defer ro.Close()
	var n int
	if err := ro.QueryRow("SELECT count(*) FROM note").Scan(&n); err != nil || n != 1 {
		t.Errorf("%d rows, %v", n, err)
	}
	if err := db.Update(context.Background(), insert("and writers go on")); err != nil {
		t.Error(err)
	}
}
