package store

import (
	"context"
	"database/sql"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"time"

	"tresor/app/fault"
)

// Options are what Open needs beyond the path; the zero value is right for a server.
type Options struct {
	Now        func() time.Time // nil: time.Now
	Migrations fs.FS            // NNNN_name.sql files; nil: the embedded ones
}

// DB is the open database. Its methods may be used from any goroutine.
type DB struct {
	path   string
	lock   *os.File
	pools  []*sql.DB
	reader *sql.DB
	kept   *statements // of reader
	writer *writer
	now    func() time.Time

	closing  sync.Once
	closeErr error
}

// Open opens the database at path, making it if it does not exist, and brings
// its schema up to date. Errors: Conflict for a database of a newer program or
// with an altered history, Unavailable when another process has it open or the
// disk fails, Internal with a restore instruction when the file is damaged.
func Open(ctx context.Context, path string, o Options) (*DB, error) {
	const op = "store.Open"
	path, err := filepath.Abs(path)
	if err != nil {
		return nil, fault.Wrap(op, err)
	}
	d := &DB{path: path, now: o.Now}
	if d.now == nil {
		d.now = time.Now
	}
	if err := d.start(ctx, o.Migrations); err != nil {
		_ = d.Close()
		return nil, classify(op, err)
	}
	return d, nil
}

func (d *DB) start(ctx context.Context, files fs.FS) error {
	var err error
	if d.lock, err = lockFile(d.path + ".lock"); err != nil {
		return err
	}
	if err := private(d.path); err != nil {
		return err
	}
	w := writerPool(d.path)
	d.pools = append(d.pools, w)
	conn, err := w.Conn(ctx)
	if err != nil {
		return err
	}
	if err := quickCheck(ctx, conn, d.path); err != nil {
		return errors.Join(err, conn.Close())
	}
	if err := migrate(ctx, conn, files, d.now); err != nil {
		return errors.Join(err, conn.Close())
	}
	d.writer = newWriter(conn, d.now)
	d.reader = readerPool(d.path)
	d.pools = append(d.pools, d.reader)
	d.kept = newStatements(d.reader, true)
	return d.reader.PingContext(ctx)
}

// View runs fn on one unchanging snapshot of the database. It cannot write.
// Many Views run at once, also during an Update.
func (d *DB) View(ctx context.Context, fn func(*Tx) error) error {
	if d.writer.isStopped() {
		return stopping("store.View")
	}
	conn, err := d.reader.Conn(ctx)
	if err != nil {
		return classify("store.View", err)
	}
	defer conn.Close() // gives it back
	// The driver starts a goroutine for each statement whose context can end. For what
	// is over at once, that is most of its cost.
	brief := context.WithoutCancel(ctx)
	tx, err := conn.BeginTx(brief, nil)
	if err != nil {
		return classify("store.View", err)
	}
	kept := func(query string) *sql.Stmt {
		if st := d.kept.get(query); st != nil {
			return tx.StmtContext(brief, st)
		}
		return nil
	}
	t := &Tx{ctx: ctx, brief: brief, tx: tx, kept: kept, now: d.now().UTC().Truncate(time.Millisecond)}
	defer func() {
		t.ended.Store(true)
		_ = tx.Rollback() // nothing was written; the error could only say so
	}()
	if err := fn(t); err != nil {
		return classify("store.View", err)
	}
	t.runAfter()
	return nil
}

// Update runs fn with the right to write, alone, and returns nil only after its
// rows are durable. If fn returns an error or panics, its rows are undone, and
// only its own. ctx is heeded while waiting for the turn, not after: once fn
// has begun, the outcome is always known. fn must not call Update itself: with
// its Tx's context that is refused, with another it would wait for itself.
func (d *DB) Update(ctx context.Context, fn func(*Tx) error) error {
	const op = "store.Update"
	if ctx.Value(writing{}) == d {
		return fault.Kinded(op, fault.Internal, errNested, "The change was not made, because it is nested in another.")
	}
	return classify(op, d.writer.update(context.WithValue(ctx, writing{}, d), fn))
}

// writing marks the context of a running Update.
type writing struct{}

var errNested = errors.New("an Update was called inside an Update")

// Close waits for the running Update, folds the log into the file and closes it.
// Updates and Views that come later are Unavailable. A second Close does nothing.
func (d *DB) Close() error {
	d.closing.Do(func() { d.closeErr = d.close() })
	return d.closeErr
}

func (d *DB) close() error {
	var errs []error
	if d.writer != nil {
		errs = append(errs, d.writer.stop())
	}
	if d.kept != nil {
		d.kept.close()
	}
	for i := len(d.pools) - 1; i >= 0; i-- { // the writer last: it folds the log in
		errs = append(errs, d.pools[i].Close())
	}
	if d.lock != nil {
		errs = append(errs, d.lock.Close())
	}
	return errors.Join(errs...)
}
