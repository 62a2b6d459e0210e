package store

import (
	"context"
	"database/sql"
	"errors"
	"os"
	"path/filepath"

	"github.com/mattn/go-sqlite3"

	"tresor/app/fault"
)

// Backup writes a complete, verified copy of the database to path, a new file
// of mode 0600, while the server goes on. An existing file is refused with
// Conflict. A crash or an error leaves at most path+".partial".
func (d *DB) Backup(ctx context.Context, path string) error {
	const op = "store.Backup"
	if _, err := os.Lstat(path); err == nil {
		return exists(op, path)
	}
	partial := path + ".partial"
	if err := d.backup(ctx, partial); err != nil {
		_ = os.Remove(partial)
		return classify(op, err)
	}
	err := os.Link(partial, path) // unlike rename it never overwrites
	_ = os.Remove(partial)
	if errors.Is(err, os.ErrExist) {
		return exists(op, path)
	}
	if err == nil {
		err = syncPath(filepath.Dir(path))
	}
	return fault.Wrap(op, err)
}

func exists(op, path string) error {
	return fault.New(op, fault.Conflict, "The file %s exists already, and a backup never overwrites. Choose another name.", filepath.Base(path))
}

func (d *DB) backup(ctx context.Context, path string) error {
	_ = os.Remove(path) // left by a crash
	if err := createEmpty(path); err != nil {
		return err
	}
	to := pool(path, "mode=rw", "_synchronous=OFF")
	to.SetMaxOpenConns(1)
	err := d.copyPages(ctx, to)
	if err == nil {
		_, err = to.ExecContext(ctx, "PRAGMA journal_mode=DELETE") // one file, no -wal beside it
	}
	if err == nil {
		err = sound(ctx, to, "PRAGMA quick_check(1)")
	}
	if err := errors.Join(err, to.Close()); err != nil {
		return err
	}
	return syncPath(path)
}

// pagesPerStep bounds how long a copy goes on after its context has ended.
const pagesPerStep = 2048

func (d *DB) copyPages(ctx context.Context, to *sql.DB) error {
	return withBoth(ctx, d.reader, to, func(src, dst *sqlite3.SQLiteConn) error {
		b, err := dst.Backup("main", src, "main")
		if err != nil {
			return err
		}
		for done := false; !done && err == nil; {
			if err = ctx.Err(); err == nil {
				done, err = b.Step(pagesPerStep)
			}
		}
		return errors.Join(err, b.Finish())
	})
}

// withBoth hands fn the driver connections of both pools. The source reads
// inside one transaction, so that writers meanwhile do not restart the copy.
func withBoth(ctx context.Context, from, to *sql.DB, fn func(from, to *sqlite3.SQLiteConn) error) error {
	src, err := from.Conn(ctx)
	if err != nil {
		return err
	}
	defer src.Close()
	dst, err := to.Conn(ctx)
	if err != nil {
		return err
	}
	defer dst.Close()
	if _, err := src.ExecContext(ctx, "BEGIN; SELECT count(*) FROM sqlite_schema"); err != nil {
		return err
	}
	defer src.ExecContext(context.WithoutCancel(ctx), "ROLLBACK") //nolint:errcheck // it only read
	return src.Raw(func(s any) error {
		return dst.Raw(func(t any) error { return fn(s.(*sqlite3.SQLiteConn), t.(*sqlite3.SQLiteConn)) })
	})
}
