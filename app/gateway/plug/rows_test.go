package plug

import (
	"testing"

	"tresor/app/store"
	"tresor/plugins/host"
	"tresor/plugins/protocol"
)

// TestADescriptionChangesNothingElse: a plugin may say what it is while an operator
// changes its row; the operator's word stands.
func TestADescriptionChangesNothingElse(t *testing.T) {
	said := protocol.Description{Name: "echo", Title: "Echo, newer"}
	for name, c := range map[string]struct {
		stored *row // what the operator wrote meanwhile; nil: the row is gone
		seen   row  // what the plugin's goroutine had read before
		want   *row
	}{
		"disabled meanwhile":                {&row{Name: "echo"}, row{Name: "echo", Enabled: true}, &row{Name: "echo", Description: said}},
		"trusted anew meanwhile":            {&row{Name: "echo", Path: "/p", SHA256: "new", Enabled: true}, row{Name: "echo", Path: "/p", SHA256: "old", Enabled: true}, &row{Name: "echo", Path: "/p", SHA256: "new", Enabled: true, Description: said}},
		"removed meanwhile":                 {nil, row{Name: "echo", Path: "/p", SHA256: "old", Enabled: true}, nil},
		"a part of the program, never kept": {nil, row{Name: "echo", Enabled: true}, &row{Name: "echo", Enabled: true, Description: said}},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t)
			r.end() // its processes have nothing to say here
			change := func(f func(tx *store.Tx) error) {
				t.Helper()
				if err := r.db.Update(t.Context(), f); err != nil {
					t.Fatal(err)
				}
			}
			change(func(tx *store.Tx) error { _, err := tx.Exec(`DELETE FROM plugin`); return err })
			if c.stored != nil {
				change(c.stored.write)
			}
			if err := r.remember(t.Context(), &entry{row: c.seen}, said); err != nil {
				t.Fatal(err)
			}
			var rows []row
			change(func(tx *store.Tx) (err error) { rows, err = readAll(tx); return err })
			if c.want == nil {
				if len(rows) != 0 {
					t.Errorf("the row is back: %+v", rows)
				}
				return
			}
			if len(rows) != 1 {
				t.Fatalf("rows: %+v", rows)
			}
			got := rows[0]
			if got.Enabled != c.want.Enabled || got.SHA256 != c.want.SHA256 || got.Path != c.want.Path || got.Description.Title != said.Title {
				t.Errorf("stored %+v, want %+v", got, *c.want)
			}
		})
	}
}

// TestATestWaitsForAStart: a plugin that is enabled while its test waits is tested as
// it runs; a second process would clear the first one's folder.
func TestATestWaitsForAStart(t *testing.T) {
	r := newRig(t)
	r.mustAsk("echo", "/")
	r.mu.Lock()
	e := r.entries["echo"]
	proc := e.proc
	e.proc = nil // as the test sees it before the start
	r.mu.Unlock()
	r.change.Lock()
	type lent struct {
		proc *host.Plugin
		err  error
	}
	got := make(chan lent)
	go func() {
		p, done, err := r.borrow(t.Context(), e)
		if err == nil {
			done()
		}
		got <- lent{p, err}
	}()
	r.mu.Lock()
	e.proc = proc
	r.mu.Unlock()
	r.change.Unlock()
	if l := <-got; l.err != nil || l.proc != proc {
		t.Errorf("another process was started (%v)", l.err)
	}
	r.mustAsk("echo", "/")
	if p := r.page1("echo"); p.Starts != 1 {
		t.Errorf("%d starts: %s", p.Starts, p.LastError)
	}
}
