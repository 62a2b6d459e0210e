package dataset

import (
	"database/sql"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"

	"tresor/app/fault"
	"tresor/app/store"
)

func TestIntegersOfEveryWidth(t *testing.T) {
	var text strings.Builder
	text.WriteString("n,r\n")
	var want strings.Builder
	for _, bits := range []uint{0, 1, 7, 8, 15, 16, 23, 24, 31, 32, 47, 48, 52, 62, 63} {
		for _, d := range []int64{-1, 0, 1} {
			for _, sign := range []int64{1, -1} {
				v := sign * (int64(1)<<bits + d)
				fmt.Fprintf(&text, "%d,%d.5\n", v, int64(int32(v)))
				fmt.Fprintf(&want, "%d|%s/", v, formatReal(mustReal(fmt.Sprintf("%d.5", int64(int32(v))))))
			}
		}
	}
	r := newRig(t)
	d := r.dataset("ds")
	r.mustIngest("ds", source("a.csv", text.String()))
	if got := dump(t, filepath.Join(versionDir(r.dir, d.ID, 1), PresentationFile), "a"); got != want.String() {
		t.Errorf("got  %s\nwant %s", got, want.String())
	}
}

func mustReal(s string) float64 {
	f, err := strconv.ParseFloat(s, 64)
	if err != nil {
		panic(err)
	}
	return f
}

func TestWideTable(t *testing.T) {
	names, cells := make([]string, MaxColumns), make([]string, MaxColumns)
	for i := range names {
		names[i], cells[i] = fmt.Sprintf("c%d", i), strings.Repeat("t", i%90)+"x"
	}
	text := strings.Join(names, ",") + "\n" + strings.Join(cells, ",") + "\n"
	r := newRig(t)
	d := r.dataset("ds")
	r.mustIngest("ds", source("a.csv", text))
	if got := dump(t, filepath.Join(versionDir(r.dir, d.ID, 1), PresentationFile), "a"); got != strings.Join(cells, "|")+"/" {
		t.Errorf("got %d bytes", len(got))
	}
}

// TestBatches: rows keep their order and number whichever bound ends a batch.
func TestBatches(t *testing.T) {
	for _, c := range []struct {
		name         string
		columns, row int
		length       int
	}{
		{"one row less than a statement", 2, maxParameters/2 - 1, 1},
		{"exactly a statement", 2, maxParameters / 2, 1},
		{"one row more", 2, maxParameters/2 + 1, 1},
		{"several statements", 40, 2000, 3},
		{"long texts", 2, 30, 400_000},
		{"no rows", 3, 0, 1},
	} {
		t.Run(c.name, func(t *testing.T) {
			var text, want strings.Builder
			cells := make([]string, c.columns)
			for i := range cells {
				cells[i] = fmt.Sprintf("c%d", i)
			}
			text.WriteString(strings.Join(cells, ",") + "\n")
			for n := range c.row {
				for i := range cells {
					cells[i] = fmt.Sprintf("t%d%s", n, strings.Repeat("x", c.length))
				}
				text.WriteString(strings.Join(cells, ",") + "\n")
				want.WriteString(strings.Join(cells, "|") + "/")
			}
			r := newRig(t)
			d := r.dataset("ds")
			v := r.mustIngest("ds", source("a.csv", text.String()))
			if v.Presentation != Ready || v.Rows != int64(c.row) {
				t.Errorf("%s with %d rows", v.Presentation, v.Rows)
			}
			if got := dump(t, filepath.Join(versionDir(r.dir, d.ID, 1), PresentationFile), "a"); got != want.String() {
				t.Errorf("got %d bytes, want %d", len(got), want.Len())
			}
		})
	}
}

// TestFullDiskEndsTheBuild: the inserter fails while the parser has much left,
// and SQLite says why in words of its own.
func TestFullDiskEndsTheBuild(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "a.csv")
	if err := os.WriteFile(file, []byte("x\n"+strings.Repeat("some text\n", 500_000)), 0o600); err != nil {
		t.Fatal(err)
	}
	db, err := store.CreateFile(filepath.Join(dir, "p.sqlite"))
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	err = inOneTransaction(t.Context(), db, func(conn *sql.Conn) error {
		if _, err := conn.ExecContext(t.Context(), "PRAGMA max_page_count=10"); err != nil {
			return err
		}
		table := Table{Name: "a", File: "a.csv", Delimiter: ",", Columns: []Column{{Name: "x", Type: Text}}}
		return fillTable(t.Context(), conn, file, table, new(atomic.Int64))
	})
	if got := presentFault(err); fault.KindOf(got) != fault.Exhausted {
		t.Errorf("%v became %v", err, got)
	}
}
