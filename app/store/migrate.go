package store

import (
	"context"
	"crypto/sha256"
	"database/sql"
	"embed"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"regexp"
	"strconv"
	"time"

	"tresor/app/fault"
)

//go:embed migrations/*.sql
var embedded embed.FS

// migration is one numbered step of the schema. Steps are only ever appended:
// the checksum of every applied one is kept and compared.
type migration struct {
	n    int
	name string
	sum  string
	sql  string
}

var migrationName = regexp.MustCompile(`^(\d{4})_[a-z0-9_]+\.sql$`)

// ownTransaction finds a step that would end the one transaction it runs in.
var ownTransaction = regexp.MustCompile(`(?im)^\s*(COMMIT|ROLLBACK|SAVEPOINT|BEGIN\s+(?:TRANSACTION|IMMEDIATE|EXCLUSIVE|DEFERRED)|END\s+TRANSACTION)\b`)

// readMigrations returns the steps of files, numbered 1, 2, 3 and so on.
func readMigrations(files fs.FS) ([]migration, error) {
	if files == nil {
		files, _ = fs.Sub(embedded, "migrations")
	}
	entries, err := fs.ReadDir(files, ".") // sorted by name
	if err != nil {
		return nil, err
	}
	var steps []migration
	for _, e := range entries {
		m := migrationName.FindStringSubmatch(e.Name())
		if m == nil {
			return nil, fmt.Errorf("migration %q is not named NNNN_name.sql", e.Name())
		}
		text, err := fs.ReadFile(files, e.Name())
		if err != nil {
			return nil, err
		}
		if ownTransaction.Match(text) {
			return nil, fmt.Errorf("migration %q begins or ends a transaction: each step is one already", e.Name())
		}
		n, _ := strconv.Atoi(m[1])
		if n != len(steps)+1 {
			return nil, fmt.Errorf("migration %q stands where number %04d belongs", e.Name(), len(steps)+1)
		}
		sum := sha256.Sum256(text)
		steps = append(steps, migration{n: n, name: e.Name(), sum: hex.EncodeToString(sum[:]), sql: string(text)})
	}
	return steps, nil
}

const historyTable = `CREATE TABLE IF NOT EXISTS schema_migration (
	n INTEGER PRIMARY KEY, name TEXT NOT NULL, sha256 TEXT NOT NULL, applied_at INTEGER NOT NULL) STRICT`

func migrate(ctx context.Context, conn *sql.Conn, files fs.FS, now func() time.Time) error {
	steps, err := readMigrations(files)
	if err != nil {
		return fault.Wrap("store.migrate", err)
	}
	var have int
	if err := conn.QueryRowContext(ctx, "PRAGMA user_version").Scan(&have); err != nil {
		return err
	}
	if have > len(steps) {
		return newer(have, len(steps))
	}
	if err := checkHistory(ctx, conn, steps[:have]); err != nil {
		return err
	}
	for _, step := range steps[have:] {
		if err := apply(ctx, conn, step, now); err != nil {
			return fmt.Errorf("migration %s: %w", step.name, err)
		}
	}
	return nil
}

func newer(have, know int) error {
	return fault.WithNext(
		fault.New("store.migrate", fault.Conflict, "This data folder was last used by a newer Tresor (schema %d; this program knows %d). Nothing was changed.", have, know),
		"Start the newer program again, or restore a backup made before the upgrade.")
}

// checkHistory compares the applied steps with the program's: an altered step
// means that the tables are not what the code believes them to be.
func checkHistory(ctx context.Context, conn *sql.Conn, steps []migration) error {
	for _, s := range steps {
		var name, sum string
		err := conn.QueryRowContext(ctx, "SELECT name, sha256 FROM schema_migration WHERE n = ?", s.n).Scan(&name, &sum)
		if err != nil && !errors.Is(err, sql.ErrNoRows) {
			return err
		}
		if name != s.name || sum != s.sum {
			return fault.WithNext(
				fault.New("store.migrate", fault.Conflict, "This data folder was made by another build of Tresor: its schema step %04d differs from this program's %s. Nothing was changed.", s.n, s.name),
				"Start the program that made it, or choose another folder with --data.")
		}
	}
	return nil
}

// apply runs one step in one transaction and leaves it out entirely on failure.
func apply(ctx context.Context, conn *sql.Conn, m migration, now func() time.Time) error {
	tx, err := conn.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer tx.Rollback() //nolint:errcheck // a no-op after Commit
	for _, q := range []string{"PRAGMA defer_foreign_keys=ON", historyTable, m.sql} {
		if _, err := tx.ExecContext(ctx, q); err != nil {
			return err
		}
	}
	_, err = tx.ExecContext(ctx, "INSERT INTO schema_migration VALUES (?, ?, ?, ?)", m.n, m.name, m.sum, Millis(now()))
	if err != nil {
		return err
	}
	if err := noOrphans(ctx, tx); err != nil {
		return err
	}
	if _, err := tx.ExecContext(ctx, "PRAGMA user_version="+strconv.Itoa(m.n)); err != nil {
		return err
	}
	return tx.Commit()
}

// noOrphans refuses a step that leaves a foreign key pointing nowhere, or whose
// schema names a parent that is not a key.
func noOrphans(ctx context.Context, tx *sql.Tx) error {
	rows, err := tx.QueryContext(ctx, "PRAGMA foreign_key_check")
	if err != nil {
		return err
	}
	defer rows.Close()
	if rows.Next() {
		var table, parent string
		var rowid, fk sql.NullInt64
		if err := rows.Scan(&table, &rowid, &parent, &fk); err != nil {
			return err
		}
		return fmt.Errorf("row %d of %s names a missing row of %s", rowid.Int64, table, parent)
	}
	return rows.Err()
}
