package audit

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"

	"golang.org/x/mod/sumdb/tlog"

	"tresor/app/access"
	"tresor/app/fault"
	"tresor/app/store"
)

// The head file, beside the key and outside the database, holds the newest
// checkpoint that was signed. It is written after the database has committed, so
// it can only be ahead of the database when an older one was put back. Such a
// log is not continued in silence: the operator says that the older state is
// meant by renaming the file, and the break becomes an event.
const (
	headFile     = "audit.head"
	acceptedFile = "audit.head.accepted"
	restored     = "log.restored"
)

// Head returns the checkpoint in the keys folder for VerifyDB, or nil when none
// was signed yet.
func Head(keys string) ([]byte, error) {
	b, err := os.ReadFile(filepath.Join(keys, headFile))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	return b, fault.Wrap("audit.Head", err)
}

// keepHead puts c into the head file unless that is as new.
func (l *Log) keepHead(c Checkpoint) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if c.Size <= l.head {
		return nil
	}
	if err := write(filepath.Join(l.keys, headFile), string(c.Note), 0o644); err != nil {
		return fault.Kinded("audit.keepHead", fault.Unavailable, err, "The audit log's newest checkpoint could not be written to the keys folder. Check the disk and the folder's rights.")
	}
	l.head = c.Size
	return nil
}

// compareHead refuses a log that is not a continuation of its head file.
func (l *Log) compareHead(ctx context.Context) error {
	if err := l.accept(ctx); err != nil {
		return err
	}
	text, err := Head(l.keys)
	if err != nil || text == nil {
		return err
	}
	c, err := parse(text, l.verifier)
	if err != nil {
		return fault.WithNext(fault.Kinded("audit.Open", fault.Conflict, err, "The file %s in the keys folder is damaged or of another log.", headFile),
			"Compare the log with a checkpoint that you kept elsewhere, remove the file and start again.")
	}
	l.head = c.Size
	return l.db.View(ctx, func(tx *store.Tx) error { return continues(tx, c) })
}

func continues(tx *store.Tx, c Checkpoint) error {
	n, err := size(tx)
	if err != nil {
		return err
	}
	if n >= c.Size {
		root, err := tlog.TreeHash(c.Size, stored{tx})
		if err != nil {
			return err
		}
		if root == c.Root {
			return nil
		}
	}
	return fault.WithNext(
		fault.New("audit.Open", fault.Conflict, "The audit log (%d events) does not continue the newest checkpoint that was signed here (%d events): an older database was put back, or events were removed.", n, c.Size),
		"Restore the newest database. If this older one is meant to go on, rename %s in the keys folder to %s and start again: the break is then recorded in the log.", headFile, acceptedFile)
}

// accept records a break that the operator has declared. The file goes only
// after the event is durable; a crash between the two records it once more.
func (l *Log) accept(ctx context.Context) error {
	path := filepath.Join(l.keys, acceptedFile)
	text, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	c, err := parse(text, l.verifier)
	if err != nil {
		return fault.Kinded("audit.Open", fault.Conflict, err, "The file %s in the keys folder is damaged or of another log. Remove it and start again.", acceptedFile)
	}
	err = l.db.Update(ctx, func(tx *store.Tx) error {
		_, err := l.Append(tx, By(access.System, restored, "log", "", "lost-size", strconv.FormatInt(c.Size, 10), "lost-root", c.RootText()))
		return err
	})
	if err != nil {
		return err
	}
	return os.Remove(path)
}
