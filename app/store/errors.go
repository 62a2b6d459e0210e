package store

import (
	"errors"
	"syscall"

	"github.com/mattn/go-sqlite3"

	"tresor/app/fault"
)

// Duplicate reports whether err says that a row with this key exists already.
func Duplicate(err error) bool {
	var e sqlite3.Error
	return errors.As(err, &e) &&
		(e.ExtendedCode == sqlite3.ErrConstraintUnique || e.ExtendedCode == sqlite3.ErrConstraintPrimaryKey)
}

// Dangling reports whether err says that a row names another that is not there,
// or that others still name the row being removed.
func Dangling(err error) bool {
	var e sqlite3.Error
	return errors.As(err, &e) && e.ExtendedCode == sqlite3.ErrConstraintForeignKey
}

// classify gives SQLite's own troubles a kind and a text with the next step.
// Other errors, the caller's own, pass unchanged.
func classify(op string, err error) error {
	var e sqlite3.Error
	if err == nil || !errors.As(err, &e) {
		return err
	}
	switch e.Code {
	case sqlite3.ErrFull: // joined, so that those above need not know SQLite's codes
		return fault.Kinded(op, fault.Exhausted, errors.Join(syscall.ENOSPC, err), "The disk that holds the database is full, so nothing was saved. Free some space and try again.")
	case sqlite3.ErrIoErr, sqlite3.ErrCantOpen, sqlite3.ErrReadonly, sqlite3.ErrPerm:
		return fault.Kinded(op, fault.Unavailable, err, "The disk that holds the database does not answer as it should, so nothing was saved. Check the disk and the rights of the data folder, then try again.")
	case sqlite3.ErrBusy, sqlite3.ErrLocked:
		return fault.Kinded(op, fault.Unavailable, err, "The database is busy. Try again in a moment.")
	case sqlite3.ErrCorrupt, sqlite3.ErrNotADB:
		return damaged(op, err)
	}
	return err
}

func damaged(op string, err error) error {
	return fault.WithNext(
		fault.Kinded(op, fault.Internal, err, "The database file is damaged."),
		"Stop the server, keep the damaged tresor.db with its -wal file aside, copy the newest file from backups/ to tresor.db, and start again.")
}
