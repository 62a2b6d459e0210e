package audit

import (
	"fmt"
	"testing"
	"time"

	"tresor/app/store"
)

// TestEventsOfATime asks for spans of a log with one event an hour.
func TestEventsOfATime(t *testing.T) {
	began := time.Date(2026, 11, 24, 0, 0, 0, 0, time.UTC)
	now := began
	w := &world{dir: t.TempDir()}
	w.path = w.dir + "/tresor.db"
	db, err := store.Open(ctx, w.path, store.Options{Now: func() time.Time { return now }})
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	if w.log, err = Open(ctx, db, w.dir+"/audit.key", "tresor/test"); err != nil { // event 0
		t.Fatal(err)
	}
	w.db = db
	for i := 1; i <= 9; i++ {
		now = began.Add(time.Duration(i) * time.Hour)
		w.add(t, By(rosa, "job.submitted", fmt.Sprintf("job:%d", i), "p1"))
	}
	at := func(h int) time.Time { return began.Add(time.Duration(h) * time.Hour) }
	for _, row := range []struct {
		name   string
		f      Filter
		newest int64
		n      int
	}{
		{"all", Filter{}, 9, 10},
		{"since is in", Filter{Since: at(7)}, 9, 3},
		{"until is out", Filter{Until: at(3)}, 2, 3},
		{"a span", Filter{Since: at(2), Until: at(5)}, 4, 3},
		{"a span and a page", Filter{Since: at(2), Until: at(8), Before: 5}, 4, 3},
		{"a span and a verb", Filter{Until: at(2), Verb: "job."}, 1, 1},
		{"before the first", Filter{Until: began}, 0, 0},
		{"after the newest", Filter{Since: at(10)}, 0, 0},
		{"turned round", Filter{Since: at(5), Until: at(2)}, 0, 0},
	} {
		t.Run(row.name, func(t *testing.T) {
			var got []Event
			if err := db.View(ctx, func(tx *store.Tx) error { got, err = w.log.List(tx, row.f); return err }); err != nil {
				t.Fatal(err)
			}
			if len(got) != row.n || (row.n > 0 && got[0].Seq != row.newest) {
				t.Errorf("got %d events %+v, want %d from %d on", len(got), got, row.n, row.newest)
			}
		})
	}
}
