package dataset

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math"
	"math/rand"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"tresor/app/store"
)

// paged makes a file with small pages and one table per name.
func paged(t testing.TB, size int, tables ...string) (*pager, string, []uint32) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "p.sqlite")
	db, err := store.CreateFile(path)
	if err != nil {
		t.Fatal(err)
	}
	roots := make([]uint32, len(tables))
	if _, err := db.Exec(fmt.Sprintf("PRAGMA page_size=%d", size)); err != nil {
		t.Fatal(err)
	}
	for i, name := range tables {
		if _, err := db.Exec("CREATE TABLE " + name + " (x TEXT)"); err != nil {
			t.Fatal(err)
		}
		if err := db.QueryRow("SELECT rootpage FROM sqlite_schema WHERE name = ?", name).Scan(&roots[i]); err != nil {
			t.Fatal(err)
		}
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	p, err := openPager(path)
	if err != nil {
		t.Fatal(err)
	}
	if p.size != size {
		t.Fatalf("pages of %d bytes", p.size)
	}
	return p, path, roots
}

// textRecord is a record of one text.
func textRecord(s string) []byte {
	e := newEncoder(Table{Columns: []Column{{Type: Text}}})
	cell := append(make([]byte, 0, len(s)+slack), s...)
	_ = e.cell(0, cell)
	_ = e.row()
	return e.out[4:]
}

// same checks with SQLite that the table holds these texts in this order.
func same(t testing.TB, path, table string, want []string) {
	t.Helper()
	db, err := store.OpenReadOnly(path)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	var sound string
	if err := db.QueryRow("PRAGMA integrity_check").Scan(&sound); err != nil || sound != "ok" {
		t.Fatalf("integrity: %s (%v)", sound, err)
	}
	rows, err := db.Query("SELECT rowid, coalesce(x, '') FROM " + table + " ORDER BY rowid")
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	n := 0
	for rows.Next() {
		var id int
		var got string
		if err := rows.Scan(&id, &got); err != nil {
			t.Fatal(err)
		}
		if n >= len(want) || id != n+1 || got != want[n] {
			t.Fatalf("row %d (rowid %d) has %d bytes", n, id, len(got))
		}
		n++
	}
	if err := rows.Err(); err != nil || n != len(want) {
		t.Fatalf("%d rows of %d (%v)", n, len(want), err)
	}
}

func TestPagesAreWhatSQLiteReads(t *testing.T) {
	lengths := map[string]func(r *rand.Rand) int{
		"tiny":         func(*rand.Rand) int { return 1 },
		"short":        func(r *rand.Rand) int { return r.Intn(60) },
		"about a page": func(r *rand.Rand) int { return 440 + r.Intn(80) },
		"long":         func(r *rand.Rand) int { return r.Intn(8000) },
		"mixed":        func(r *rand.Rand) int { return []int{0, 3, 470, 2000, 70_000}[r.Intn(5)] },
	}
	for name, length := range lengths {
		for _, n := range []int{0, 1, 2, 30, 3000} {
			t.Run(fmt.Sprintf("%s, %d rows", name, n), func(t *testing.T) {
				if name == "mixed" && n > 100 {
					n = 300
				}
				r := rand.New(rand.NewSource(int64(n)))
				p, path, roots := paged(t, 512, "a", "b")
				want := map[string][]string{}
				for i, table := range []string{"a", "b"} {
					for range n {
						s := strings.Repeat(string(rune('a'+r.Intn(26))), length(r))
						want[table] = append(want[table], s)
						if err := p.add(textRecord(s)); err != nil {
							t.Fatal(err)
						}
					}
					if err := p.finish(roots[i]); err != nil {
						t.Fatal(err)
					}
				}
				if err := p.seal(); err != nil {
					t.Fatal(err)
				}
				same(t, path, "a", want["a"])
				same(t, path, "b", want["b"])
			})
		}
	}
}

func TestLargestPages(t *testing.T) {
	p, path, roots := paged(t, 1<<16, "a")
	var want []string
	for i := range 5000 {
		want = append(want, strings.Repeat("x", i%100))
		if err := p.add(textRecord(want[i])); err != nil {
			t.Fatal(err)
		}
	}
	if err := p.finish(roots[0]); err != nil {
		t.Fatal(err)
	}
	if err := p.seal(); err != nil {
		t.Fatal(err)
	}
	same(t, path, "a", want)
}

// TestLockPageIsLeftAlone: SQLite never reads the page at one gigabyte.
func TestLockPageIsLeftAlone(t *testing.T) {
	p := &pager{size: pageSize}
	lock := uint32(lockOffset/pageSize) + 1
	for _, c := range []struct{ next, want, after uint32 }{{lock - 2, lock - 2, lock - 1}, {lock - 1, lock - 1, lock + 1}, {lock, lock + 1, lock + 2}, {lock + 1, lock + 1, lock + 2}} {
		p.next = c.next
		if got := p.upcoming(); got != c.want {
			t.Errorf("upcoming at %d is %d, want %d", c.next, got, c.want)
		}
		if got := p.after(p.upcoming()); got != c.after {
			t.Errorf("after %d comes %d, want %d", c.want, got, c.after)
		}
	}
}

func TestVarint(t *testing.T) {
	for _, v := range []uint64{0, 1, 0x7f, 0x80, 0x3fff, 0x4000, 1<<21 - 1, 1 << 21, 1<<56 - 1, 1 << 56, math.MaxUint64} {
		var b [9]byte
		n := putVarint(b[:], v)
		got, m := uint64(0), 0
		for ; m < 9; m++ {
			if m == 8 {
				got = got<<8 | uint64(b[m])
				m++
				break
			}
			got = got<<7 | uint64(b[m]&0x7f)
			if b[m] < 0x80 {
				m++
				break
			}
		}
		if got != v || m != n {
			t.Errorf("%#x: %d bytes give %#x in %d", v, n, got, m)
		}
	}
}

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

func FuzzPages(f *testing.F) {
	f.Add([]byte("hello\nworld"), uint8(1))
	f.Fuzz(func(t *testing.T, b []byte, scale uint8) {
		p, path, roots := paged(t, 512, "a")
		var want []string
		for _, line := range bytes.Split(b, []byte{'\n'}) {
			s := strings.ToValidUTF8(strings.ReplaceAll(strings.Repeat(string(line), 1+int(scale)), "\x00", ""), "")
			want = append(want, s)
			if err := p.add(textRecord(s)); err != nil {
				t.Fatal(err)
			}
		}
		if err := p.finish(roots[0]); err != nil {
			t.Fatal(err)
		}
		if err := p.seal(); err != nil {
			t.Fatal(err)
		}
		same(t, path, "a", want)
	})
}

// TestDamagedHeaderIsNoticed: a file that is not what SQLite made is refused.
func TestDamagedHeaderIsNoticed(t *testing.T) {
	p, path, _ := paged(t, 512, "a")
	var size [2]byte
	binary.BigEndian.PutUint16(size[:], 7)
	if _, err := p.f.WriteAt(size[:], 16); err != nil {
		t.Fatal(err)
	}
	if err := p.f.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := openPager(path); err == nil {
		t.Error("pages of seven bytes were accepted")
	}
}
