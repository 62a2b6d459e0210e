package store

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"tresor/app/fault"
)

// hold occupies the writer until the returned function is called.
func hold(db *DB) (release func()) {
	in, out, done := make(chan struct{}), make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		_ = db.Update(context.Background(), func(*Tx) error { close(in); <-out; return nil })
	}()
	<-in
	return func() { close(out); <-done }
}

func waitFor(t *testing.T, db *DB, n int32) {
	t.Helper()
	for end := time.Now().Add(2 * time.Minute); time.Now().Before(end); {
		if db.writer.waiting.Load() == n {
			return
		}
		time.Sleep(time.Millisecond)
	}
	t.Fatalf("never saw %d waiting writers", n)
}

func TestWaitingWritersShareOneCommit(t *testing.T) {
	db := newNotes(t)
	release := hold(db)
	var wg sync.WaitGroup
	var failed, panicked atomic.Int32
	const n = 40
	for i := range n {
		wg.Go(func() {
			defer func() {
				if recover() != nil {
					panicked.Add(1)
				}
			}()
			err := db.Update(context.Background(), func(tx *Tx) error {
				if err := insert(fmt.Sprint(i))(tx); err != nil {
					return err
				}
				switch i % 4 {
				case 1:
					return errors.New("refused")
				case 2:
					return insert(fmt.Sprint(i))(tx) // the key twice
				case 3:
					panic("boom")
				}
				return nil
			})
			if err != nil {
				failed.Add(1)
			}
		})
	}
	waitFor(t, db, n)
	release()
	wg.Wait()
	if failed.Load() != n/2 || panicked.Load() != n/4 || count(t, db) != n/4 {
		t.Errorf("%d failed, %d panicked, %d rows; want %d, %d, %d", failed.Load(), panicked.Load(), count(t, db), n/2, n/4, n/4)
	}
}

// A member's rows are visible to later members, and to nobody outside, before
// the commit; when the disk fills, nobody is told that a row is safe.
func TestWhoeverBreaksTheTransactionNobodyIsAcknowledged(t *testing.T) {
	db := newNotes(t)
	_ = db.Update(context.Background(), func(tx *Tx) error {
		_, err := tx.Exec("PRAGMA max_page_count=40")
		return err
	})
	release := hold(db)
	var wg sync.WaitGroup
	var acknowledged atomic.Int32
	for i := range 10 {
		wg.Go(func() {
			text := fmt.Sprintf("%d%0*d", i, 30_000, 0)
			err := db.Update(context.Background(), insert(text))
			if err == nil {
				acknowledged.Add(1)
			} else if k := fault.KindOf(err); k != fault.Exhausted && k != fault.Unavailable {
				t.Errorf("kind %v: %v", k, err)
			}
		})
	}
	waitFor(t, db, 10)
	release()
	wg.Wait()
	if got := count(t, db); got != int(acknowledged.Load()) {
		t.Errorf("%d acknowledged, %d rows", acknowledged.Load(), got)
	}
}

func TestWaitersThatGiveUpDoNotStrandTheGroup(t *testing.T) {
	db := newNotes(t)
	for range 50 {
		release := hold(db)
		ctx, cancel := context.WithCancel(context.Background())
		var wg sync.WaitGroup
		for range 5 {
			wg.Go(func() { _ = db.Update(ctx, func(*Tx) error { return nil }) })
		}
		waitFor(t, db, 5)
		go cancel()
		release()
		wg.Wait()
	}
	done := make(chan error, 1)
	go func() { done <- db.Update(context.Background(), insert("still alive")) }()
	select {
	case err := <-done:
		if err != nil {
			t.Error(err)
		}
	case <-time.After(time.Minute):
		t.Fatal("the writer hangs")
	}
}

func TestContextEndsTheWaitOnly(t *testing.T) {
	db := newNotes(t)
	release := hold(db)
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Millisecond)
	defer cancel()
	if err := db.Update(ctx, insert("late")); fault.KindOf(err) != fault.Unavailable {
		t.Errorf("error %v", err)
	}
	release()
	ctx, cancel = context.WithCancel(context.Background())
	err := db.Update(ctx, func(tx *Tx) error { cancel(); return insert("in time")(tx) })
	if err != nil || count(t, db) != 1 {
		t.Errorf("error %v, %d rows", err, count(t, db))
	}
}

// Read-then-write from many goroutines: the counter must not lose a step, which
// is what an immediate lock is for.
func TestManyWritersManyReaders(t *testing.T) {
	db := newNotes(t)
	var wg sync.WaitGroup
	for g := range 8 {
		wg.Go(func() {
			for i := range 25 {
				err := db.Update(context.Background(), func(tx *Tx) error {
					var n int
					if err := tx.QueryRow("SELECT count(*) FROM note").Scan(&n); err != nil {
						return err
					}
					_, err := tx.Exec("INSERT INTO note (id, text) VALUES (?, ?)", n+1, fmt.Sprint(g, "-", i))
					return err
				})
				if err != nil {
					t.Errorf("update: %v", err)
				}
				count(t, db)
			}
		})
	}
	wg.Wait()
	if n := count(t, db); n != 200 {
		t.Errorf("%d rows", n)
	}
}

func BenchmarkUpdateAlone(b *testing.B) {
	db := newNotes(b)
	for i := 0; b.Loop(); i++ {
		if err := db.Update(context.Background(), insert(fmt.Sprint(i))); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkUpdateFromMany(b *testing.B) {
	db := newNotes(b)
	var id atomic.Int64
	b.SetParallelism(16)
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			if err := db.Update(context.Background(), insert(fmt.Sprint(id.Add(1)))); err != nil {
				b.Fatal(err)
			}
		}
	})
}
