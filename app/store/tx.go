package store

import (
	"context"
	"database/sql"
	"errors"
	"sync/atomic"
	"time"
)

// Tx is one transaction. It is valid only inside the function it was given to
// and must stay in that function's goroutine; used later, it fails.
type Tx struct {
	ctx   context.Context
	brief context.Context // ctx without its end, for compiled statements of at most one row
	tx    *sql.Tx
	kept  func(query string) *sql.Stmt // a compiled statement of this transaction's connection, or nil
	now   time.Time
	ended atomic.Bool
	after []func()
}

// Exec runs a statement. In a View it fails if the statement writes.
func (t *Tx) Exec(query string, args ...any) (sql.Result, error) {
	if t.ended.Load() {
		return nil, sql.ErrTxDone
	}
	if st := t.kept(query); st != nil {
		return st.ExecContext(t.ctx, args...)
	}
	return t.tx.ExecContext(t.ctx, query, args...)
}

// Query runs a query; the caller closes the rows before its function returns.
func (t *Tx) Query(query string, args ...any) (*sql.Rows, error) {
	if t.ended.Load() {
		return nil, sql.ErrTxDone
	}
	return t.tx.QueryContext(t.ctx, query, args...)
}

// QueryRow runs a query of at most one row; its error comes from Scan, which has to
// follow before the same query runs again.
func (t *Tx) QueryRow(query string, args ...any) *sql.Row {
	ctx := t.ctx
	if t.ended.Load() { // *sql.Row has no error constructor: a cancelled context is one
		var cancel func()
		ctx, cancel = context.WithCancel(ctx)
		cancel()
	}
	if st := t.kept(query); st != nil {
		if ctx == t.ctx {
			ctx = t.brief
		}
		return st.QueryRowContext(ctx, args...)
	}
	return t.tx.QueryRowContext(ctx, query, args...)
}

// Now is the transaction's one moment, UTC, in whole milliseconds as tables keep it.
func (t *Tx) Now() time.Time { return t.now }

// Context carries the caller's values. In an Update it is never cancelled: a
// statement interrupted half-way would take the whole group with it.
func (t *Tx) Context() context.Context { return t.ctx }

// AfterCommit registers f to run, in order, in the caller's goroutine once the
// rows are durable. If the transaction fails f never runs. In a View it runs
// when the function has returned nil.
func (t *Tx) AfterCommit(f func()) { t.after = append(t.after, f) }

func (t *Tx) runAfter() {
	for _, f := range t.after {
		f()
	}
}

// Millis is how tables keep a moment: UTC milliseconds since 1970.
func Millis(t time.Time) int64 { return t.UnixMilli() }

// Time reads what Millis wrote.
func Time(ms int64) time.Time { return time.UnixMilli(ms).UTC() }

// NotFound reports whether err says that a query had no row.
func NotFound(err error) bool { return errors.Is(err, sql.ErrNoRows) }
