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
	"syscall"

	"golang.org/x/sync/errgroup"

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
	switch text := err.Error(); { // SQLite's own, which carries no error number
	case strings.Contains(text, "database or disk is full"):
		err = errors.Join(syscall.ENOSPC, err)
	case strings.Contains(text, "disk I/O error"):
		err = errors.Join(syscall.EIO, err)
	}
	err = diskFault(op, err)
	switch fault.KindOf(err) {
	case fault.Exhausted:
		return fault.Kinded(op, fault.Exhausted, err, "The files of this version are safe, but the disk is too full to prepare them for queries. Free some space and restart the server, which tries again.")
	case fault.Unavailable:
		return err
	}
	return fault.Kinded(op, fault.Internal, err, "The files of this version are safe, but they could not be prepared for queries. The operator finds the cause in the log; a restart of the server tries again.")
}

// fillPresentation writes the tables and the dictionary in one transaction.
func fillPresentation(ctx context.Context, dir, path string, v Version, moved *atomic.Int64) error {
	db, err := store.CreateFile(path)
	if err != nil {
		return err
	}
	err = inOneTransaction(ctx, db, func(conn *sql.Conn) error {
		if err := fillDictionary(ctx, conn, v); err != nil {
			return err
		}
		for _, t := range v.Tables {
			if err := fillTable(ctx, conn, filepath.Join(dir, "files", t.File), t, moved); err != nil {
				return fmt.Errorf("table %s: %w", t.Name, err)
			}
		}
		return nil
	})
	if err := errors.Join(err, db.Close()); err != nil {
		return err
	}
	return store.Seal(path)
}

// begin sets up the one connection. Pages are large, because queries read whole
// tables, and the cache is small, because pages are written once.
const begin = "PRAGMA page_size=32768; PRAGMA cache_size=-16384; PRAGMA temp_store=MEMORY; BEGIN"

func inOneTransaction(ctx context.Context, db *sql.DB, do func(*sql.Conn) error) error {
	conn, err := db.Conn(ctx)
	if err != nil {
		return err
	}
	defer conn.Close()
	if _, err := conn.ExecContext(ctx, begin); err != nil {
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

// fillTable parses a file in one goroutine and inserts its rows in another.
func fillTable(ctx context.Context, conn *sql.Conn, file string, t Table, moved *atomic.Int64) error {
	if _, err := conn.ExecContext(ctx, createSQL(t)); err != nil {
		return err
	}
	both, ctx := errgroup.WithContext(ctx)
	full := make(chan []any, 2)
	in := &inserter{conn: conn, table: t}
	both.Go(func() error { return in.run(ctx, full) })
	both.Go(func() error {
		defer close(full)
		c := &collector{ctx: ctx, table: t, most: rowsOfStatement(t) * len(t.Columns), full: full}
		err := eachBlock(ctx, file, t, c, func(n int) { moved.Add(int64(n)) })
		c.flush()
		return err
	})
	err := both.Wait()
	if err == nil && in.rows != t.Rows {
		err = fmt.Errorf("the table has %d rows, the file has %d", in.rows, t.Rows)
	}
	return err
}

// eachBlock hands the cells of a file that was checked before to s, and calls
// done with the number of bytes after every block.
func eachBlock(ctx context.Context, file string, t Table, s sink, done func(n int)) error {
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
		done(len(k.raw))
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
