package store

import (
	"context"
	"database/sql"
	"io/fs"
	"path/filepath"
	"strings"
	"testing"
	"testing/fstest"

	"tresor/app/fault"
)

func with(files fstest.MapFS, name, text string) fstest.MapFS {
	out := fstest.MapFS{name: {Data: []byte(text)}}
	for k, v := range files {
		if k != name {
			out[k] = v
		}
	}
	return out
}

func reopen(t *testing.T, path string, files fs.FS) error {
	t.Helper()
	db, err := Open(context.Background(), path, Options{Migrations: files})
	if err == nil {
		err = db.Close()
	}
	return err
}

func TestEmbeddedMigrations(t *testing.T) {
	path := filepath.Join(t.TempDir(), "t.db")
	for range 2 { // the second start has nothing to do
		if err := reopen(t, path, nil); err != nil {
			t.Fatal(err)
		}
	}
	steps, err := readMigrations(nil)
	if err != nil || len(steps) < 5 {
		t.Errorf("%d steps, %v", len(steps), err)
	}
}

func TestMigrationRefusals(t *testing.T) {
	two := with(notes, "0002_more.sql", "CREATE TABLE more (id INTEGER PRIMARY KEY) STRICT;")
	for _, c := range []struct {
		name        string
		first, then fs.FS
		kind        fault.Kind
		says        string
	}{
		{"a newer database", two, notes, fault.Conflict, "newer Tresor"},
		{"an altered step", notes, with(notes, "0001_note.sql", "CREATE TABLE other (id INTEGER PRIMARY KEY);"), fault.Conflict, "another build"},
		{"a renamed step", two, with(notes, "0002_other.sql", string(two["0002_more.sql"].Data)), fault.Conflict, "another build"},
		{"a gap in the numbers", notes, with(notes, "0003_gap.sql", "SELECT 1;"), fault.Internal, ""},
		{"a badly named file", notes, with(notes, "readme.txt", ""), fault.Internal, ""},
		{"a step that does not parse", notes, with(notes, "0002_bad.sql", "CREATE TABLE x (id INTEGER); CREATE NONSENSE;"), fault.Internal, ""},
		{"a step that leaves an orphan", notes, with(notes, "0002_bad.sql", "INSERT INTO page (note) VALUES (99);"), fault.Internal, ""},
		{"a step that ends the transaction itself", notes, with(notes, "0002_bad.sql", "COMMIT;"), fault.Internal, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "t.db")
			if err := reopen(t, path, c.first); err != nil {
				t.Fatal(err)
			}
			before := schemaOf(t, path)
			err := reopen(t, path, c.then)
			if err == nil || fault.KindOf(err) != c.kind || !strings.Contains(fault.Message(err), c.says) {
				t.Errorf("error %v", err)
			}
			if c.kind == fault.Conflict && fault.Next(err) == "" {
				t.Error("no next step")
			}
			if after := schemaOf(t, path); after != before {
				t.Errorf("the schema changed:\n%s\nbecame\n%s", before, after)
			}
			if err := reopen(t, path, c.first); err != nil {
				t.Errorf("the program that made it cannot open it any more: %v", err)
			}
		})
	}
}

// schemaOf is the whole schema and its version as text.
func schemaOf(t *testing.T, path string) string {
	t.Helper()
	db, err := OpenReadOnly(path)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	var version, text sql.NullString
	if err := db.QueryRow("PRAGMA user_version").Scan(&version); err != nil {
		t.Fatal(err)
	}
	if err := db.QueryRow("SELECT group_concat(sql, char(10)) FROM (SELECT sql FROM sqlite_schema ORDER BY name)").Scan(&text); err != nil {
		t.Fatal(err)
	}
	return version.String + "\n" + text.String
}

func TestForeignKeysNameRealParents(t *testing.T) {
	path := filepath.Join(t.TempDir(), "t.db")
	db, err := Open(context.Background(), path, Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	err = db.View(context.Background(), func(tx *Tx) error {
		rows, err := tx.Query(`SELECT m.name, f."table", p.name IS NOT NULL FROM sqlite_schema m
			JOIN pragma_foreign_key_list(m.name) f LEFT JOIN sqlite_schema p ON p.name = f."table" AND p.type = 'table'
			WHERE m.type = 'table'`)
		if err != nil {
			return err
		}
		defer rows.Close()
		for rows.Next() {
			var child, parent string
			var known bool
			if err := rows.Scan(&child, &parent, &known); err != nil {
				return err
			}
			if !known {
				t.Errorf("%s names %s, which does not exist", child, parent)
			}
		}
		return rows.Err()
	})
	if err != nil {
		t.Error(err)
	}
}
