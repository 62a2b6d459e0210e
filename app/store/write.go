package store

import (
	"context"
	"database/sql"
	"errors"
	"sync/atomic"
	"time"

	"tresor/app/fault"
)

// Groups stay small and young so that the first member never waits long for
// the last: with either bound reached the group commits.
const (
	groupSize = 64
	groupAge  = 20 * time.Millisecond
)

// writer lets one caller at a time use the one writing connection. Callers that
// queue while another writes join its transaction, each in a savepoint of its
// own, and share one commit and its fsync. A lone caller commits at once.
//
// Every caller works in its own goroutine: the token passes from hand to hand,
// and whoever holds it owns conn and open. Receivers on a channel are served in
// the order they came, so writers are served in order too.
type writer struct {
	token   chan struct{} // holds one value when nobody writes
	stopped chan struct{} // closed by stop
	waiting atomic.Int32  // callers that want the token to run their function
	conn    *sql.Conn
	kept    *statements // of conn; they run in whatever transaction is open on it
	open    *group
	now     func() time.Time
}

// group is one open transaction and everybody whose rows are in it.
type group struct {
	tx    *sql.Tx
	born  time.Time
	count int
	done  chan struct{} // closed when err is final
	err   error
}

func newWriter(conn *sql.Conn, now func() time.Time) *writer {
	w := &writer{token: make(chan struct{}, 1), stopped: make(chan struct{}), conn: conn, kept: newStatements(conn, false), now: now}
	w.token <- struct{}{}
	return w
}

func (w *writer) update(ctx context.Context, fn func(*Tx) error) error {
	if err := w.acquire(ctx); err != nil {
		return err
	}
	t, g, err := w.join(ctx, fn)
	if err != nil {
		return err
	}
	if err := w.settle(g); err != nil {
		return err
	}
	t.runAfter()
	return nil
}

func (w *writer) acquire(ctx context.Context) error {
	w.waiting.Add(1)
	defer w.waiting.Add(-1)
	if err := ctx.Err(); err != nil {
		return err
	}
	select {
	case <-w.token:
		return nil
	case <-w.stopped:
		return stopping("store.Update")
	case <-ctx.Done():
		return ctx.Err()
	}
}

func stopping(op string) error {
	return fault.New(op, fault.Unavailable, "The server is stopping. Try again in a moment.")
}

func (w *writer) isStopped() bool {
	select {
	case <-w.stopped:
		return true
	default:
		return false
	}
}

// stop refuses new callers, lets a group that is open commit, and closes the
// connection. The token is never given back.
func (w *writer) stop() error {
	close(w.stopped)
	<-w.token
	if w.open != nil {
		w.commit()
	}
	w.kept.close()
	return w.conn.Close()
}

// join runs fn inside the open group, beginning one where there is none. It
// holds the token on entry. On error, and when fn panics, fn's rows are undone
// and the token has been given on; otherwise the caller still holds it.
func (w *writer) join(ctx context.Context, fn func(*Tx) error) (*Tx, *group, error) {
	joined := false
	defer func() {
		if !joined {
			w.leave()
		}
	}()
	if err := w.begin(); err != nil {
		return nil, nil, err
	}
	g := w.open
	ctx = context.WithoutCancel(ctx)
	t := &Tx{ctx: ctx, brief: ctx, tx: g.tx, kept: w.kept.get, now: w.moment()}
	if _, err := t.Exec("SAVEPOINT member"); err != nil {
		return nil, nil, w.broken(err)
	}
	if err := w.member(t, fn); err != nil {
		return nil, nil, err
	}
	g.count++
	joined = true
	return t, g, nil
}

func (w *writer) moment() time.Time { return w.now().UTC().Truncate(time.Millisecond) }

func (w *writer) begin() error {
	if w.open != nil {
		return nil
	}
	tx, err := w.conn.BeginTx(context.Background(), nil)
	if err != nil {
		return err
	}
	w.open = &group{tx: tx, born: time.Now(), done: make(chan struct{})}
	return nil
}

// member runs fn between a savepoint and its release or undoing.
func (w *writer) member(t *Tx, fn func(*Tx) error) (err error) {
	finished := false
	defer func() {
		t.ended.Store(true)
		if !finished || err != nil {
			if undo := w.undo(); undo != nil {
				err = errors.Join(err, undo)
			}
		}
	}()
	err = fn(t)
	if err == nil {
		_, err = t.Exec("RELEASE member")
	}
	finished = true
	return err
}

// undo takes back the running member. If SQLite has already ended the whole
// transaction (disk full, I/O error), everybody in the group has failed.
func (w *writer) undo() error {
	if w.ended() {
		return w.broken(errLost)
	}
	if _, err := w.open.tx.Exec("ROLLBACK TO member; RELEASE member"); err != nil {
		return w.broken(err)
	}
	return nil
}

var errLost = errors.New("sqlite ended the transaction")

// autoCommitter is the driver connection's word on whether a transaction is open.
type autoCommitter interface{ AutoCommit() bool }

func (w *writer) ended() bool {
	ended := true
	err := w.conn.Raw(func(c any) error {
		ended = c.(autoCommitter).AutoCommit()
		return nil
	})
	return err != nil || ended
}

// broken ends the open group with err for everybody in it.
func (w *writer) broken(err error) error {
	g := w.open
	w.open = nil
	_ = g.tx.Rollback() // its error says no more than err
	g.err = fault.Kinded("store.Update", fault.Unavailable, err, "The change was not saved. Try again.")
	close(g.done)
	return err
}

// leave gives the token on after a member failed; the members before it still
// get their commit.
func (w *writer) leave() {
	if w.open != nil && w.open.count == 0 {
		_ = w.open.tx.Rollback()
		w.open = nil
	}
	if w.open != nil && !w.keepOpen() {
		w.commit()
	}
	w.token <- struct{}{}
}

func (w *writer) keepOpen() bool {
	return w.waiting.Load() > 0 && w.open.count < groupSize && time.Since(w.open.born) < groupAge
}

// settle commits g, or leaves that to whoever comes next and waits. A member
// that waits also queues for the token, behind the callers already there: if
// those give up, it commits the group itself.
func (w *writer) settle(g *group) error {
	if w.keepOpen() {
		w.token <- struct{}{}
		select {
		case <-g.done:
			return g.err
		case <-w.token:
		}
	}
	if w.open == g {
		w.commit()
	}
	w.token <- struct{}{}
	<-g.done
	return g.err
}

func (w *writer) commit() {
	g := w.open
	w.open = nil
	g.err = g.tx.Commit()
	close(g.done)
}
