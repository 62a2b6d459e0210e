package audit

import (
	"bytes"
	"database/sql"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"tresor/app/fault"
	"tresor/app/store"
)

// TestEveryFlippedByteOfSmallPages flips, one at a time, every byte of a copy
// whose pages are so small that all of the log's trees - leaves, hashes,
// checkpoints, their indexes, with inner and overflow pages - are in it and
// little else. Verification must fail, or everything that can be read from the
// audit tables, also through each index, must be what it was.
func TestEveryFlippedByteOfSmallPages(t *testing.T) {
	w := newWorld(t, 10)
	key := w.log.VerifierKey()
	small := smallPages(t, w)
	whole, err := os.ReadFile(small)
	if err != nil {
		t.Fatal(err)
	}
	want := everything(t, small)
	flip := filepath.Join(w.dir, "one.db")
	caught, spared, step := 0, 0, 1
	if testing.Short() {
		step = 13
	}
	for i := 100; i < len(whole); i += step { // the first 100 bytes are the file header
		b := bytes.Clone(whole)
		b[i] ^= 1 << (i % 8)
		if err := os.WriteFile(flip, b, 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := VerifyDB(ctx, flip, key); err != nil {
			caught++
			continue
		}
		spared++
		if got := everything(t, flip); got != want {
			t.Fatalf("byte %d (page %d) flipped: verification passes, yet the log reads differently:\n%s\n%s", i, i/512+1, got, want)
		}
	}
	if caught < len(whole)/step/3 {
		t.Errorf("only %d of %d flips were caught", caught, caught+spared)
	}
	t.Logf("%d flips caught, %d in unused bytes", caught, spared)
}

// smallPages copies the audit tables alone into a file with 512-byte pages.
func smallPages(t *testing.T, w *world) string {
	t.Helper()
	from, to := w.copyDB(t, "whole.db"), filepath.Join(w.dir, "small.db")
	db, err := sql.Open("sqlite3", to)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	db.SetMaxOpenConns(1)
	if _, err := db.Exec(fmt.Sprintf("PRAGMA page_size=512; ATTACH '%s' AS w", from)); err != nil {
		t.Fatal(err)
	}
	rows, err := db.Query("SELECT sql FROM w.sqlite_schema WHERE tbl_name LIKE 'audit_%' AND sql IS NOT NULL ORDER BY type = 'trigger', type = 'index'")
	if err != nil {
		t.Fatal(err)
	}
	var schema []string
	for rows.Next() {
		var s string
		if err := rows.Scan(&s); err != nil {
			t.Fatal(err)
		}
		schema = append(schema, s)
	}
	_ = rows.Close()
	schema = append(schema,
		"INSERT INTO audit_leaf (seq, leaf) SELECT seq, leaf FROM w.audit_leaf",
		"INSERT INTO audit_hash SELECT * FROM w.audit_hash",
		"INSERT INTO audit_checkpoint SELECT * FROM w.audit_checkpoint")
	for _, q := range schema {
		if _, err := db.Exec(q); err != nil {
			t.Fatal(err)
		}
	}
	return to
}

// everything reads the tables by rowid and the log through each index.
func everything(t *testing.T, path string) string {
	t.Helper()
	db, err := store.OpenReadOnly(path)
	if err != nil {
		return err.Error()
	}
	defer db.Close()
	out := content(t, path)
	for _, by := range []string{"subject", "project", "actor", "verb"} {
		var s sql.NullString
		q := fmt.Sprintf("SELECT group_concat(%[1]s || seq) FROM (SELECT %[1]s, seq FROM audit_leaf INDEXED BY audit_leaf_%[1]s WHERE %[1]s >= '' ORDER BY %[1]s, seq)", by)
		if err := db.QueryRow(q).Scan(&s); err != nil {
			return err.Error()
		}
		out += "\n" + s.String
	}
	return out
}

// TestEveryByteOfEveryRow changes each byte of each text and hash in the tables,
// as somebody would who edits with SQL instead of a hex editor.
func TestEveryByteOfEveryRow(t *testing.T) {
	w := newWorld(t, 5)
	key := w.log.VerifierKey()
	path := w.copyDB(t, "rows.db")
	change(t, path, "SELECT 1") // without triggers
	db, err := sql.Open("sqlite3", path)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	db.SetMaxOpenConns(1)
	if _, err := db.Exec("PRAGMA synchronous=OFF; PRAGMA journal_mode=MEMORY"); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ table, id, column, kind string }{
		{"audit_leaf", "seq", "leaf", "TEXT"}, {"audit_hash", "idx", "hash", "BLOB"}, {"audit_checkpoint", "size", "note", "TEXT"},
	} {
		for id, value := range valuesOf(t, db, c.table, c.id, c.column) {
			set := func(v []byte) error {
				_, err := db.Exec(fmt.Sprintf("UPDATE %s SET %s = CAST(? AS %s) WHERE %s = ?", c.table, c.column, c.kind, c.id), v, id)
				return err
			}
			for i := range value {
				bad := bytes.Clone(value)
				bad[i] ^= 1
				if set(bad) != nil {
					continue // SQLite itself refuses it: the leaf is no JSON any more
				}
				if _, err := VerifyDB(ctx, path, key); fault.KindOf(err) != fault.Conflict {
					t.Fatalf("%s %d: byte %d of %s changed: %v", c.table, id, i, c.column, err)
				}
			}
			if err := set(value); err != nil {
				t.Fatal(err)
			}
		}
	}
	if _, err := VerifyDB(ctx, path, key); err != nil {
		t.Errorf("with every row as it was: %v", err)
	}
}

func valuesOf(t *testing.T, db *sql.DB, table, id, column string) map[int64][]byte {
	t.Helper()
	rows, err := db.Query(fmt.Sprintf("SELECT %s, %s FROM %s", id, column, table))
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	out := map[int64][]byte{}
	for rows.Next() {
		var n int64
		var v []byte
		if err := rows.Scan(&n, &v); err != nil {
			t.Fatal(err)
		}
		out[n] = v
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	return out
}
