package store

import (
	"errors"
	"fmt"
	"sync"
	"testing"
)

// TestStatementsAreKeptWithinTheirTransaction: a compiled statement that a former
// transaction has used belongs to the one that runs now, and to its undoing.
func TestStatementsAreKeptWithinTheirTransaction(t *testing.T) {
	d := newNotes(t)
	insert := func(n int, fail error) error {
		return d.Update(t.Context(), func(tx *Tx) error {
			if _, err := tx.Exec(`INSERT INTO note (id, text) VALUES (?, ?)`, n, fmt.Sprint(n)); err != nil {
				return err
			}
			return fail
		})
	}
	wanted := errors.New("wanted")
	for i := range 6 {
		var fail error
		if i%2 == 1 {
			fail = wanted
		}
		if err := insert(i, fail); !errors.Is(err, fail) {
			t.Fatalf("insert %d: %v", i, err)
		}
	}
	sum := 0
	for range 3 { // the first runs plainly, a later one compiled
		if err := d.View(t.Context(), func(tx *Tx) error { return tx.QueryRow(`SELECT sum(id) FROM note`).Scan(&sum) }); err != nil || sum != 0+2+4 {
			t.Fatalf("sum %d, error %v: what failed is there, or what was acknowledged is not", sum, err)
		}
	}
}

// TestManyReadersCompileWithoutWaitingForEachOther: as many Views as there are
// connections, each with a text of its own.
func TestManyReadersCompileWithoutWaitingForEachOther(t *testing.T) {
	d := newNotes(t)
	var wg sync.WaitGroup
	for i := range 200 {
		wg.Go(func() {
			err := d.View(t.Context(), func(tx *Tx) error {
				var n int
				return tx.QueryRow(fmt.Sprintf(`SELECT %d + count(*) FROM note`, i)).Scan(&n)
			})
			if err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
}

func TestTextsThatAreNotKeptRunAllTheSame(t *testing.T) {
	d := newNotes(t)
	err := d.Update(t.Context(), func(tx *Tx) error {
		if _, err := tx.Exec(`INSERT INTO note (text) VALUES ('a'); INSERT INTO note (text) VALUES ('b')`); err != nil {
			return err
		}
		for i := range maxStatements + 10 {
			var n int
			if err := tx.QueryRow(fmt.Sprintf(`SELECT %d`, i)).Scan(&n); err != nil || n != i {
				return fmt.Errorf("%d: %d, %w", i, n, err)
			}
		}
		_, err := tx.Exec(`INSERT INTO no_such_table VALUES (1)`)
		if err == nil {
			return errors.New("a table that is not there took a row")
		}
		return nil
	})
	var n int
	if e := d.View(t.Context(), func(tx *Tx) error { return tx.QueryRow(`SELECT count(*) FROM note`).Scan(&n) }); err != nil || e != nil || n != 2 {
		t.Fatalf("%d rows, errors %v, %v", n, err, e)
	}
}
