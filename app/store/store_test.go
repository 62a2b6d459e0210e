package store

import (
	"context"
	"database/sql"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"tresor/app/fault"
)

func TestUpdateThenView(t *testing.T) {
	db := newNotes(t)
	after := 0
	err := db.Update(context.Background(), func(tx *Tx) error {
		tx.AfterCommit(func() { after = count(t, db) })
		if !tx.Now().Equal(noon) {
			t.Errorf("now is %v", tx.Now())
		}
		return insert("a")(tx)
	})
	if err != nil || count(t, db) != 1 {
		t.Fatalf("error %v, %d rows", err, count(t, db))
	}
	if after != 1 {
		t.Error("AfterCommit ran before the row was there")
	}
}

func TestRefusedUpdatesLeaveNothing(t *testing.T) {
	own := errors.New("own error")
	gone, cancel := context.WithCancel(context.Background())
	cancel()
	for _, c := range []struct {
		name string
		ctx  context.Context
		fn   func(*Tx) error
		want func(error) bool
	}{
		{"the function refuses", context.Background(), func(tx *Tx) error { _ = insert("x")(tx); return own }, func(e error) bool { return errors.Is(e, own) }},
		{"a key twice", context.Background(), func(tx *Tx) error { _ = insert("x")(tx); return insert("x")(tx) }, Duplicate},
		{"a row names a missing one", context.Background(), func(tx *Tx) error {
			_, err := tx.Exec("INSERT INTO page (note) VALUES (99)")
			return err
		}, Dangling},
		{"nothing there", context.Background(), func(tx *Tx) error {
			var s string
			return tx.QueryRow("SELECT text FROM note WHERE id = 7").Scan(&s)
		}, NotFound},
		{"the caller gave up before its turn", gone, insert("x"), func(e error) bool { return fault.KindOf(e) == fault.Unavailable }},
	} {
		t.Run(c.name, func(t *testing.T) {
			db := newNotes(t)
			ran := false
			err := db.Update(c.ctx, func(tx *Tx) error {
				tx.AfterCommit(func() { ran = true })
				return c.fn(tx)
			})
			if err == nil || !c.want(err) || ran || count(t, db) != 0 {
				t.Errorf("error %v, after-commit ran %v, %d rows", err, ran, count(t, db))
			}
			if err := db.Update(context.Background(), insert("next")); err != nil {
				t.Errorf("the next update: %v", err)
			}
		})
	}
}

func TestNestedUpdateIsRefusedNotStuck(t *testing.T) {
	db, other := newNotes(t), newNotes(t)
	err := db.Update(context.Background(), func(tx *Tx) error {
		if err := other.Update(tx.Context(), insert("x")); err != nil {
			t.Errorf("another database: %v", err)
		}
		return db.Update(tx.Context(), insert("x"))
	})
	if !errors.Is(err, errNested) || count(t, db) != 0 {
		t.Errorf("error %v", err)
	}
	if err := db.Update(context.Background(), insert("y")); err != nil {
		t.Error(err)
	}
}

func TestPanicStaysWithItsCaller(t *testing.T) {
	db := newNotes(t)
	func() {
		defer func() {
			if recover() != "boom" {
				t.Error("the panic did not reach its caller")
			}
		}()
		_ = db.Update(context.Background(), func(tx *Tx) error { _ = insert("x")(tx); panic("boom") })
	}()
	if err := db.Update(context.Background(), insert("y")); err != nil || count(t, db) != 1 {
		t.Errorf("after a panic: %v, %d rows", err, count(t, db))
	}
}

func TestClosedDatabaseSaysSo(t *testing.T) {
	db := newNotes(t)
	release := hold(db)
	late := make(chan error, 1)
	go func() { late <- db.Update(context.Background(), insert("waiting at the close")) }()
	waitFor(t, db, 1)
	closed := make(chan error, 1)
	go func() { closed <- db.Close() }()
	for !db.writer.isStopped() {
		time.Sleep(time.Millisecond)
	}
	release()
	if err := <-closed; err != nil {
		t.Error(err)
	}
	if err := <-late; err != nil && fault.KindOf(err) != fault.Unavailable {
		t.Errorf("the waiting update: %v", err)
	}
	if err := db.Update(context.Background(), insert("x")); fault.KindOf(err) != fault.Unavailable {
		t.Errorf("update: %v", err)
	}
	if err := db.View(context.Background(), func(*Tx) error { return nil }); fault.KindOf(err) != fault.Unavailable {
		t.Errorf("view: %v", err)
	}
	if err := db.Close(); err != nil {
		t.Errorf("second close: %v", err)
	}
}

func TestViewCannotWrite(t *testing.T) {
	db := newNotes(t)
	if err := db.View(context.Background(), insert("x")); err == nil || count(t, db) != 0 {
		t.Errorf("error %v, %d rows", err, count(t, db))
	}
}

func TestViewSeesOneMoment(t *testing.T) {
	db := newNotes(t)
	err := db.View(context.Background(), func(tx *Tx) error {
		var before, after int
		_ = tx.QueryRow("SELECT count(*) FROM note").Scan(&before)
		if err := db.Update(context.Background(), insert("x")); err != nil {
			return err
		}
		_ = tx.QueryRow("SELECT count(*) FROM note").Scan(&after)
		if before != after {
			t.Errorf("saw %d and then %d rows", before, after)
		}
		return nil
	})
	if err != nil {
		t.Error(err)
	}
}

func TestTxIsUselessOutsideItsFunction(t *testing.T) {
	db := newNotes(t)
	var kept [2]*Tx
	_ = db.Update(context.Background(), func(tx *Tx) error { kept[0] = tx; return nil })
	_ = db.View(context.Background(), func(tx *Tx) error { kept[1] = tx; return nil })
	err := db.Update(context.Background(), func(*Tx) error {
		for _, tx := range kept {
			if _, err := tx.Exec("INSERT INTO note (text) VALUES ('smuggled')"); !errors.Is(err, sql.ErrTxDone) {
				t.Errorf("Exec gave %v", err)
			}
			if _, err := tx.Query("SELECT 1"); !errors.Is(err, sql.ErrTxDone) {
				t.Errorf("Query gave %v", err)
			}
			var n int
			if err := tx.QueryRow("SELECT 1").Scan(&n); err == nil {
				t.Error("QueryRow answered")
			}
		}
		return nil
	})
	if err != nil || count(t, db) != 0 {
		t.Errorf("error %v, %d rows", err, count(t, db))
	}
}

func TestEveryConnectionHasThePragmas(t *testing.T) {
	db := newNotes(t)
	want := map[string]string{"journal_mode": "wal", "synchronous": "2", "foreign_keys": "1", "busy_timeout": "10000", "trusted_schema": "0", "cell_size_check": "1"}
	check := func(who string) func(*Tx) error {
		return func(tx *Tx) error {
			for p, w := range want {
				var got string
				if err := tx.QueryRow("PRAGMA " + p).Scan(&got); err != nil || got != w {
					t.Errorf("%s: %s is %q, want %q (%v)", who, p, got, w, err)
				}
			}
			return nil
		}
	}
	if err := db.Update(context.Background(), check("writer")); err != nil {
		t.Error(err)
	}
	var nested func(n int) func(*Tx) error // holds n readers at once, so that each is another connection
	nested = func(n int) func(*Tx) error {
		return func(tx *Tx) error {
			_ = check("reader")(tx)
			if n == 1 {
				return nil
			}
			return db.View(context.Background(), nested(n-1))
		}
	}
	if err := db.View(context.Background(), nested(readers)); err != nil {
		t.Error(err)
	}
}

func TestFilesArePrivate(t *testing.T) {
	path := filepath.Join(t.TempDir(), "t.db")
	if err := os.WriteFile(path, nil, 0o666); err != nil {
		t.Fatal(err)
	}
	db := openNotes(t, path)
	if err := db.Update(context.Background(), insert("x")); err != nil {
		t.Fatal(err)
	}
	for _, suffix := range []string{"", "-wal", "-shm", ".lock"} {
		if st, err := os.Stat(path + suffix); err != nil || st.Mode().Perm() != 0o600 {
			t.Errorf("t.db%s: %v, %v", suffix, st.Mode(), err)
		}
	}
}

func TestOneProcessAtATime(t *testing.T) {
	path := filepath.Join(t.TempDir(), "t.db")
	db := openNotes(t, path)
	_, err := Open(context.Background(), path, Options{Migrations: notes})
	if fault.KindOf(err) != fault.Unavailable || fault.Next(err) == "" {
		t.Errorf("second open gave %v", err)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	openNotes(t, path)
}

func TestOddPaths(t *testing.T) {
	for _, name := range []string{"with space.db", "per%20cent.db", "question?mark=1.db", "hash#.db", "ünïcode.db"} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			db := openNotes(t, filepath.Join(dir, name))
			if err := db.Update(context.Background(), insert("x")); err != nil {
				t.Fatal(err)
			}
			if _, err := os.Stat(filepath.Join(dir, name)); err != nil {
				t.Error(err)
			}
		})
	}
}

func TestDamagedFileIsRefusedWithInstruction(t *testing.T) {
	path := filepath.Join(t.TempDir(), "t.db")
	db := openNotes(t, path)
	for _, s := range []string{"a", "b", "c"} {
		if err := db.Update(context.Background(), insert(strings.Repeat(s, 3000))); err != nil {
			t.Fatal(err)
		}
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	good, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name string
		edit func([]byte) []byte
	}{
		{"not a database", func(b []byte) []byte { copy(b, "hello, world!!!!"); return b }},
		{"a page overwritten", func(b []byte) []byte {
			for i := 4096; i < 8192; i++ {
				b[i] = 0xA5
			}
			return b
		}},
		{"cut short", func(b []byte) []byte { return b[:len(b)-4096] }},
	} {
		t.Run(c.name, func(t *testing.T) {
			bad := filepath.Join(t.TempDir(), "bad.db")
			content := c.edit(append([]byte(nil), good...))
			if err := os.WriteFile(bad, content, 0o600); err != nil {
				t.Fatal(err)
			}
			_, err := Open(context.Background(), bad, Options{Migrations: notes})
			if err == nil || !strings.Contains(fault.Message(err), "damaged") || !strings.Contains(fault.Next(err), "backups/") {
				t.Errorf("error %v", err)
			}
			if left, _ := os.ReadFile(bad); string(left) != string(content) {
				t.Error("the damaged file was changed")
			}
		})
	}
}

func TestDiskFull(t *testing.T) {
	db := newNotes(t)
	limit := func(pages string) {
		_ = db.Update(context.Background(), func(tx *Tx) error {
			_, err := tx.Exec("PRAGMA max_page_count=" + pages)
			return err
		})
	}
	limit("8")
	err := db.Update(context.Background(), insert(strings.Repeat("x", 100_000)))
	if fault.KindOf(err) != fault.Exhausted || !strings.Contains(fault.Message(err), "disk") {
		t.Errorf("a full disk gives %v", err)
	}
	limit("1000000")
	if err := db.Update(context.Background(), insert("y")); err != nil || count(t, db) != 1 {
		t.Errorf("after making room: %v, %d rows", err, count(t, db))
	}
}

func TestMillis(t *testing.T) {
	at := noon.Add(123456789 * time.Nanosecond)
	if got := Time(Millis(at)); !got.Equal(at.Truncate(time.Millisecond)) || got.Location() != time.UTC {
		t.Errorf("got %v", got)
	}
}
