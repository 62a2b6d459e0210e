package dataset

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"

	"tresor/app/fault"
	"tresor/app/store"
)

// PresentationFile is the name of the presentation in a version's folder.
const PresentationFile = "presentation.sqlite"

// buildPresentation makes the SQLite file of a version from its files, which
// were checked when they came in. It writes beside the final name and renames
// when everything is on the disk; what a crash leaves is built again.
func buildPresentation(ctx context.Context, dir string, v Version, moved *atomic.Int64) error {
	final := filepath.Join(dir, PresentationFile)
	part := final + ".part"
	err := os.Remove(part)
	if err == nil || errors.Is(err, os.ErrNotExist) {
		err = fillPresentation(ctx, dir, part, v, moved)
	}
	if err == nil {
		err = errors.Join(os.Chmod(part, fileMode), os.Rename(part, final), realDisk{}.sync(dir))
	}
	if err != nil {
		_ = os.Remove(part) // the next start removes it too
		return presentFault(err)
	}
	return nil
}

func presentFault(err error) error {
	const op = "dataset.present"
	err = diskFault(op, err)
	switch fault.KindOf(err) {
	case fault.Exhausted:
		return fault.Kinded(op, fault.Exhausted, err, "The files of this version are safe, but the disk is too full to prepare them for queries. Free some space and restart the server, which tries again.")
	case fault.Unavailable:
		return err
	}
	return fault.Kinded(op, fault.Internal, err, "The files of this version are safe, but they could not be prepared for queries. The operator finds the cause in the log; a restart of the server tries again.")
}

func fillPresentation(ctx context.Context, dir, path string, v Version, moved *atomic.Int64) error {
	db, err := store.CreateFile(path)
	if err != nil {
		return err
	}
	err = inOneTransaction(ctx, db, func(conn *sql.Conn) error {
		for _, t := range v.Tables {
			if err := fillTable(ctx, conn, filepath.Join(dir, "files", t.File), t, moved); err != nil {
				return fmt.Errorf("table %s: %w", t.Name, err)
			}
		}
		return fillDictionary(ctx, conn, v)
	})
	if err := errors.Join(err, db.Close()); err != nil {
		return err
	}
	return store.Seal(path)
}

func inOneTransaction(ctx context.Context, db *sql.DB, do func(*sql.Conn) error) error {
	conn, err := db.Conn(ctx)
	if err != nil {
		return err
	}
	defer conn.Close()
	if _, err := conn.ExecContext(ctx, "PRAGMA cache_size=-65536; PRAGMA temp_store=MEMORY; BEGIN"); err != nil {
		return err
	}
	if err := do(conn); err != nil {
		return err // the file is thrown away
	}
	_, err = conn.ExecContext(ctx, "COMMIT")
	return err
}

// sqlType is how a column is declared.
func (c Column) sqlType() string {
	switch c.Type {
	case Integer, Boolean:
		return "INTEGER"
	case Real:
		return "REAL"
	}
	return "TEXT"
}

func quoted(name string) string { return `"` + strings.ReplaceAll(name, `"`, `""`) + `"` }

func createSQL(t Table) string {
	defs := make([]string, len(t.Columns))
	for i, c := range t.Columns {
		defs[i] = quoted(c.Name) + " " + c.sqlType()
	}
	return "CREATE TABLE " + quoted(t.Name) + " (" + strings.Join(defs, ", ") + ")"
}

func fillTable(ctx context.Context, conn *sql.Conn, file string, t Table, moved *atomic.Int64) error {
	if _, err := conn.ExecContext(ctx, createSQL(t)); err != nil {
		return err
	}
	in, err := newInserter(ctx, conn, t)
	if err != nil {
		return err
	}
	err = eachBlock(ctx, file, t, in, moved)
	return errors.Join(err, in.flush(), in.close())
}

// eachBlock hands the cells of a file that was checked before to s.
func eachBlock(ctx context.Context, file string, t Table, s sink, moved *atomic.Int64) error {
	f, err := os.Open(file)
	if err != nil {
		return err
	}
	defer f.Close()
	src := newBlocks(f, 1)
	w := newWalker(t.Delimiter[0], len(t.Columns))
	for {
		k, bad, err := src.next()
		if err != nil || k == nil {
			return err
		}
		if bad == nil && k.n == 0 {
			bad = skipHeader(k, w.delim)
		}
		if bad == nil {
			_, _, bad = w.walk(k.data, s)
		}
		if bad != nil {
			return fmt.Errorf("the stored file %s is not what was checked: line %d of block %d: %s", t.File, bad.line, k.n, bad.text)
		}
		moved.Add(int64(len(k.raw)))
		src.release(k)
		if err := ctx.Err(); err != nil {
			return err
		}
	}
}

func skipHeader(k *block, delim byte) *flaw {
	k.trimMark()
	_, next, _, bad := readHeader(k.data, delim)
	if bad == nil {
		k.data = k.data[min(next, len(k.data)):]
	}
	return bad
}

// inserter is the sink that writes rows, many with one statement.
type inserter struct {
	ctx     context.Context
	conn    *sql.Conn
	table   Table
	many    *sql.Stmt
	perStmt int
	values  []any
	err     error
}

// maxParameters stays under SQLite's limit of 32,766 in one statement.
const maxParameters = 4000

func newInserter(ctx context.Context, conn *sql.Conn, t Table) (*inserter, error) {
	per := max(1, min(100, maxParameters/len(t.Columns)))
	in := &inserter{ctx: ctx, conn: conn, table: t, perStmt: per, values: make([]any, 0, per*len(t.Columns))}
	var err error
	in.many, err = conn.PrepareContext(ctx, insertSQL(t, per))
	return in, err
}

func insertSQL(t Table, rows int) string {
	one := "(" + strings.TrimSuffix(strings.Repeat("?,", len(t.Columns)), ",") + "),"
	return "INSERT INTO " + quoted(t.Name) + " VALUES " + strings.TrimSuffix(strings.Repeat(one, rows), ",")
}

func (in *inserter) close() error { return in.many.Close() }

func (in *inserter) cell(c int, b []byte) *flaw {
	v, ok := in.table.Columns[c].value(b, in.table.Missing)
	if !ok {
		return flawed(0, "", "field %d does not fit its type", c+1)
	}
	in.values = append(in.values, v)
	return nil
}

// value reads a cell as the column's type; nil is no value.
func (c Column) value(b []byte, missing []string) (any, bool) {
	if len(b) == 0 {
		return nil, true
	}
	for _, m := range missing {
		if string(b) == m {
			return nil, true
		}
	}
	switch c.Type {
	case Integer:
		return anyOf(parseInteger(b))
	case Real:
		return anyOf(parseReal(b))
	case Boolean:
		return anyOf(parseBoolean(b))
	}
	return string(b), true
}

func anyOf[T any](v T, ok bool) (any, bool) { return v, ok }

func (in *inserter) row() *flaw {
	if len(in.values) < in.perStmt*len(in.table.Columns) {
		return nil
	}
	if _, err := in.many.ExecContext(in.ctx, in.values...); err != nil {
		in.err = err
		return flawed(0, "", "the rows cannot be written")
	}
	in.values = in.values[:0]
	return nil
}

// flush writes the rows that did not fill a statement.
func (in *inserter) flush() error {
	if in.err != nil || len(in.values) == 0 || len(in.values)%len(in.table.Columns) != 0 {
		return in.err
	}
	_, err := in.conn.ExecContext(in.ctx, insertSQL(in.table, len(in.values)/len(in.table.Columns)), in.values...)
	return err
}

const dictionarySQL = `CREATE TABLE "_dictionary" (
	table_name TEXT NOT NULL, column_name TEXT NOT NULL, position INTEGER NOT NULL, type TEXT NOT NULL,
	label TEXT NOT NULL, description TEXT NOT NULL, unit TEXT NOT NULL, role TEXT NOT NULL,
	PRIMARY KEY (table_name, column_name))`

// fillDictionary makes the dictionary a table, so that it can be read where the
// data are.
func fillDictionary(ctx context.Context, conn *sql.Conn, v Version) error {
	if _, err := conn.ExecContext(ctx, dictionarySQL); err != nil {
		return err
	}
	for _, t := range v.Tables {
		for i, c := range t.Columns {
			_, err := conn.ExecContext(ctx, `INSERT INTO "_dictionary" VALUES (?, ?, ?, ?, ?, ?, ?, ?)`,
				t.Name, c.Name, i+1, string(c.Type), c.Label, c.Description, c.Unit, c.Role)
			if err != nil {
				return err
			}
		}
	}
	return nil
}
