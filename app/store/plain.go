package store

import (
	"context"
	"database/sql"
	"errors"
	"os"
	"path/filepath"

	"tresor/app/fault"
)

// OpenReadOnly opens any finished SQLite file that nobody writes any more, such
// as a presentation. It takes no locks and makes no files, so it works on a
// read-only mount.
func OpenReadOnly(path string) (*sql.DB, error) {
	return openPlain("store.OpenReadOnly", path, "mode=ro", "immutable=1", "_query_only=1")
}

// OpenShared opens a SQLite file for reading that another process, or this one,
// may be writing: it sees the last committed state, log file included. A copy
// without a log beside it is opened as OpenReadOnly does.
func OpenShared(path string) (*sql.DB, error) {
	if _, err := os.Stat(path + "-wal"); errors.Is(err, os.ErrNotExist) {
		return OpenReadOnly(path)
	}
	return openPlain("store.OpenShared", path, "mode=ro", "_query_only=1", "_busy_timeout=10000")
}

// CreateFile makes a new plain SQLite file of mode 0600 for bulk building: no
// journal, no syncing. It is worth nothing after a crash until Seal has
// returned; close the pool before that. An existing file is refused.
func CreateFile(path string) (*sql.DB, error) {
	if err := createEmpty(path); err != nil {
		if errors.Is(err, os.ErrExist) {
			return nil, fault.Kinded("store.CreateFile", fault.Conflict, err, "The file %s exists already.", filepath.Base(path))
		}
		return nil, fault.Wrap("store.CreateFile", err)
	}
	db, err := openPlain("store.CreateFile", path, "mode=rw", "_journal_mode=OFF", "_synchronous=OFF", "_locking_mode=EXCLUSIVE")
	if err == nil {
		db.SetMaxOpenConns(1)
	}
	return db, err
}

// Seal makes a built file durable and read-only (mode 0400).
func Seal(path string) error {
	if err := syncPath(path); err != nil {
		return fault.Wrap("store.Seal", err)
	}
	if err := os.Chmod(path, 0o400); err != nil {
		return fault.Wrap("store.Seal", err)
	}
	return fault.Wrap("store.Seal", syncPath(filepath.Dir(path)))
}

func openPlain(op, path string, params ...string) (*sql.DB, error) {
	path, err := filepath.Abs(path)
	if err != nil {
		return nil, fault.Wrap(op, err)
	}
	if _, err := os.Stat(path); err != nil {
		return nil, fault.Kinded(op, fault.NotFound, err, "There is no file %s.", filepath.Base(path))
	}
	db := pool(path, params...)
	if _, err := db.ExecContext(context.Background(), "SELECT count(*) FROM sqlite_schema"); err != nil {
		_ = db.Close()
		return nil, classify(op, err)
	}
	return db, nil
}
