package dataset

import (
	"context"
	"database/sql"
	"encoding/binary"
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

// pageSize is that of a presentation: large, because queries read whole tables.
const pageSize = 32 << 10

// fillPresentation lets SQLite make the file with its schema and the dictionary,
// then writes the rows of the tables behind, and counts them.
func fillPresentation(ctx context.Context, dir, path string, v Version, moved *atomic.Int64) error {
	roots, err := makeSchema(ctx, path, v)
	if err != nil {
		return err
	}
	p, err := openPager(path)
	if err != nil {
		return err
	}
	for i, t := range v.Tables {
		if err == nil {
			err = fillTable(ctx, p, filepath.Join(dir, "files", t.File), t, roots[i], moved)
		}
	}
	if err := errors.Join(err, p.seal()); err != nil {
		return err
	}
	if err := store.Seal(path); err != nil {
		return err
	}
	return countRows(ctx, path, v)
}

// makeSchema returns the root page of every table.
func makeSchema(ctx context.Context, path string, v Version) (roots []uint32, err error) {
	db, err := store.CreateFile(path)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	if _, err := db.ExecContext(ctx, fmt.Sprintf("PRAGMA page_size=%d", pageSize)); err != nil {
		return nil, err
	}
	if err := fillDictionary(ctx, db, v); err != nil {
		return nil, err
	}
	for _, t := range v.Tables {
		var root uint32
		if _, err := db.ExecContext(ctx, createSQL(t)); err != nil {
			return nil, fmt.Errorf("table %s: %w", t.Name, err)
		}
		if err := db.QueryRowContext(ctx, "SELECT rootpage FROM sqlite_schema WHERE name = ?", t.Name).Scan(&root); err != nil {
			return nil, err
		}
		roots = append(roots, root)
	}
	return roots, nil
}

// countRows lets SQLite walk every tree that was written without it.
func countRows(ctx context.Context, path string, v Version) error {
	db, err := store.OpenReadOnly(path)
	if err != nil {
		return err
	}
	defer db.Close()
	for _, t := range v.Tables {
		var n int64
		if err := db.QueryRowContext(ctx, "SELECT count(*) FROM "+quoted(t.Name)).Scan(&n); err != nil {
			return err
		}
		if n != t.Rows {
			return fmt.Errorf("table %s has %d rows, the file has %d", t.Name, n, t.Rows)
		}
	}
	return nil
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

// fillTable reads and encodes a file in one goroutine and writes its pages in
// another.
func fillTable(ctx context.Context, p *pager, file string, t Table, root uint32, moved *atomic.Int64) error {
	full, free := make(chan []byte, 2), make(chan []byte, 3)
	for range cap(free) {
		free <- nil
	}
	written := make(chan error, 1)
	go func() { written <- writeRecords(p, full, free) }()
	e := newEncoder(t)
	err := eachBlock(ctx, file, t, e, func(n int) {
		full <- e.take(<-free)
		moved.Add(int64(n))
	})
	close(full)
	if err := errors.Join(err, <-written); err != nil {
		return fmt.Errorf("table %s: %w", t.Name, err)
	}
	return p.finish(root)
}

// writeRecords adds what an encoder made. After an error it goes on taking, so
// that the encoder does not wait for ever.
func writeRecords(p *pager, full <-chan []byte, free chan<- []byte) (err error) {
	for records := range full {
		for b := records; err == nil && len(b) > 0; {
			n := binary.LittleEndian.Uint32(b)
			err = p.add(b[4 : 4+n])
			b = b[4+n:]
		}
		free <- records
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
func fillDictionary(ctx context.Context, db *sql.DB, v Version) error {
	if _, err := db.ExecContext(ctx, dictionarySQL+"; BEGIN"); err != nil {
		return err
	}
	for _, t := range v.Tables {
		for i, c := range t.Columns {
			_, err := db.ExecContext(ctx, `INSERT INTO "_dictionary" VALUES (?, ?, ?, ?, ?, ?, ?, ?)`,
				t.Name, c.Name, i+1, string(c.Type), c.Label, c.Description, c.Unit, c.Role)
			if err != nil {
				return err
			}
		}
	}
	_, err := db.ExecContext(ctx, "COMMIT")
	return err
}
