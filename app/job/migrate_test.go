package job

import (
	"compress/gzip"
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"reflect"
	"sort"
	"strings"
	"testing"

	"tresor/app/store"
)

// thaw unpacks a database that the build before schema step 6 made: a release, an
// approved request, a job in every state, inputs and outputs.
func thaw(t *testing.T) string {
	t.Helper()
	f, err := os.Open("testdata/schema5.db.gz")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	z, err := gzip.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	b, err := io.ReadAll(z)
	path := filepath.Join(t.TempDir(), "tresor.db")
	if err == nil {
		err = os.WriteFile(path, b, 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
	return path
}

// rowsOf reads everything of the tables that there are: table -> rows as text, each
// with the columns named in only, or all.
func rowsOf(t *testing.T, path string, only map[string][]string) (map[string][]string, map[string][]string) {
	t.Helper()
	db, err := store.OpenShared(path)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	all, columns := map[string][]string{}, map[string][]string{}
	tables, err := db.Query(`SELECT m.name, p.name FROM sqlite_schema m JOIN pragma_table_info(m.name) p WHERE m.type = 'table' AND m.name NOT IN ('schema_migration', 'sqlite_sequence') ORDER BY 1, p.cid`)
	if err != nil {
		t.Fatal(err)
	}
	for tables.Next() {
		var table, column string
		if err := tables.Scan(&table, &column); err != nil {
			t.Fatal(err)
		}
		columns[table] = append(columns[table], column)
	}
	tables.Close()
	for table, cols := range columns {
		if only != nil {
			if cols = only[table]; cols == nil {
				continue
			}
		}
		rows, err := db.Query(fmt.Sprintf("SELECT %s FROM %s", strings.Join(cols, ", "), table))
		if err != nil {
			t.Fatal(err)
		}
		for rows.Next() {
			values := make([]any, len(cols))
			into := make([]any, len(cols))
			for i := range values {
				into[i] = &values[i]
			}
			if err := rows.Scan(into...); err != nil {
				t.Fatal(err)
			}
			all[table] = append(all[table], fmt.Sprintf("%v", values))
		}
		rows.Close()
		sort.Strings(all[table])
	}
	return all, columns
}

func triggersOf(t *testing.T, path string) (list []string) {
	t.Helper()
	db, err := store.OpenShared(path)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	rows, err := db.Query(`SELECT name || ' on ' || tbl_name FROM sqlite_schema WHERE type IN ('trigger', 'index') AND name NOT LIKE 'sqlite_%' ORDER BY 1`)
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	for rows.Next() {
		var name string
		if err := rows.Scan(&name); err != nil {
			t.Fatal(err)
		}
		list = append(list, name)
	}
	return list
}

func TestADatabaseOfTheBuildBeforeKeepsItsRows(t *testing.T) {
	path := thaw(t)
	before, columns := rowsOf(t, path, nil)
	triggers := triggersOf(t, path)
	if len(before["job"]) != 12 || len(before["release"]) != 1 || len(before["job_task"]) < 10 || len(before["output"]) < 3 {
		t.Fatalf("the frozen database is another one: %d jobs", len(before["job"]))
	}
	db, err := store.Open(context.Background(), path, store.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	after, _ := rowsOf(t, path, columns)
	for table := range before {
		if !reflect.DeepEqual(before[table], after[table]) {
			t.Errorf("%s changed:\n%v\nbecame\n%v", table, before[table], after[table])
		}
	}
	now := " " + strings.Join(triggersOf(t, path), "; ") + ";"
	for _, name := range triggers {
		if !strings.Contains(now, " "+name+";") {
			t.Errorf("%s is gone", name)
		}
	}
	h := &house{t: t, db: db}
	h.checkMigrated()
}

// checkMigrated has the tables work as they should from now on.
func (h *house) checkMigrated() {
	h.t.Helper()
	try := func(query string) error {
		return h.db.Update(context.Background(), func(tx *store.Tx) error { _, err := tx.Exec(query); return err })
	}
	for _, c := range []struct {
		name, query, refusal string
	}{
		{"the new state", `UPDATE job SET state = 'completed' WHERE state = 'collecting'`, ""},
		{"no other state", `UPDATE job SET state = 'nonsense'`, "CHECK"},
		{"tasks belong to jobs", `INSERT INTO job_task (job, n, image, image_id, image_ref, argv, env, workdir, state) VALUES ('none', 0, '', '', '', '', '', '', 'waiting')`, "FOREIGN KEY"},
		{"outputs belong to jobs", `UPDATE output SET job = 'none'`, "FOREIGN KEY"},
		{"jobs with outputs stay", `DELETE FROM job`, "FOREIGN KEY"},
		{"a release needs an approval", `INSERT INTO release SELECT 'x', request, round, project, job, title, manifest_sha256, sha256, size, files, made_at, made_by, made_by_handle, made_by_name FROM release`, "only an approved request"},
		{"a key counts once", `UPDATE job SET request_key = 'same'`, "UNIQUE"},
	} {
		err := try(c.query)
		if c.refusal == "" && err != nil || c.refusal != "" && (err == nil || !strings.Contains(fmt.Sprintf("%#v %v", err, cause(err)), c.refusal)) {
			h.t.Errorf("%s: %v", c.name, err)
		}
	}
	var list []Job
	err := h.db.View(context.Background(), func(tx *store.Tx) error {
		var err error
		if list, err = query(tx, `WHERE 1 ORDER BY id`); err != nil {
			return err
		}
		for _, j := range list {
			if _, err := load(tx, j.ID); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil || len(list) != 12 {
		h.t.Errorf("%d jobs, %v", len(list), err)
	}
}

// cause is the innermost error.
func cause(err error) error {
	for {
		u, ok := err.(interface{ Unwrap() error })
		if !ok || u.Unwrap() == nil {
			return err
		}
		err = u.Unwrap()
	}
}
