package store

import (
	"context"
	"database/sql"
	"errors"
	"os"

	"tresor/app/fault"
)

// checkAtOpen is the size up to which Open reads the whole file: half a second
// of work on a slow disk. Larger files are checked by Check, once a day.
const checkAtOpen = 64 << 20

// querier is a connection, a pool or a transaction.
type querier interface {
	QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error)
}

func quickCheck(ctx context.Context, q querier, path string) error {
	info, err := os.Stat(path)
	if err != nil {
		return err
	}
	pragma := "PRAGMA quick_check(1)"
	if info.Size() > checkAtOpen {
		pragma = "SELECT 'ok' FROM (SELECT count(*) FROM sqlite_schema)"
	}
	return sound(ctx, q, pragma)
}

// sound runs a checking pragma, whose only good answer is one row "ok".
func sound(ctx context.Context, q querier, pragma string) error {
	rows, err := q.QueryContext(ctx, pragma)
	if err != nil {
		return err
	}
	defer rows.Close()
	answer := "no answer"
	if rows.Next() {
		if err := rows.Scan(&answer); err != nil {
			return err
		}
	}
	if err := rows.Err(); err != nil {
		return err
	}
	if answer != "ok" {
		return damaged("store.check", errors.New(answer))
	}
	return nil
}

// Check reads the whole database and reports the first damage as an Internal
// error with a restore instruction. It takes about a second per gigabyte.
func (d *DB) Check(ctx context.Context) error {
	return fault.Wrap("store.Check", classify("store.Check", sound(ctx, d.reader, "PRAGMA integrity_check(1)")))
}
