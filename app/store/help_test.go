package store

import (
	"context"
	"path/filepath"
	"testing"
	"testing/fstest"
	"time"
)

var noon = time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC)

// notes is a schema small enough to see through.
var notes = fstest.MapFS{
	"0001_note.sql": {Data: []byte(`CREATE TABLE note (id INTEGER PRIMARY KEY, text TEXT NOT NULL UNIQUE) STRICT;
		CREATE TABLE page (id INTEGER PRIMARY KEY, note INTEGER NOT NULL REFERENCES note(id)) STRICT;`)},
}

func openNotes(t testing.TB, path string) *DB {
	t.Helper()
	db, err := Open(context.Background(), path, Options{Now: func() time.Time { return noon }, Migrations: notes})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	return db
}

func newNotes(t testing.TB) *DB { return openNotes(t, filepath.Join(t.TempDir(), "t.db")) }

func insert(text string) func(*Tx) error {
	return func(tx *Tx) error {
		_, err := tx.Exec("INSERT INTO note (text) VALUES (?)", text)
		return err
	}
}

func count(t testing.TB, db *DB) int {
	t.Helper()
	var n int
	err := db.View(context.Background(), func(tx *Tx) error {
		return tx.QueryRow("SELECT count(*) FROM note").Scan(&n)
	})
	if err != nil {
		t.Fatal(err)
	}
	return n
}
