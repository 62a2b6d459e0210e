package dataset

import (
	"fmt"
	"path/filepath"
	"strings"
	"testing"

	"tresor/app/store"
)

func TestDialects(t *testing.T) {
	cases := []struct {
		name, file, text string
		want             string // rows of SELECT * with | and /
	}{
		{"byte order mark and CRLF", "a.csv", "\xef\xbb\xbfa,b\r\n1,2\r\n3,4", "1|2/3|4/"},
		{"tab by extension", "a.tsv", "a,b\tc\n1\t2\n", "1|2/"},
		{"semicolon by sniffing", "a.csv", "a;b,c;d\n1;2;3\n", "1|2|3/"},
		{"pipe in a txt", "a.txt", "a|b\n1|2\n", "1|2/"},
		{"quotes, doubled, delimiter and line end inside", "a.csv", "a,b\n\"x \"\"y\"\"\",\"1,\n2\"\n", "x \"y\"|1,\n2/"},
		{"one column", "a.csv", "a\n1\n\n3\n", "1|/|/3|/"},
		{"header only", "a.csv", "a,b\n", ""},
		{"empty and quoted empty are no value", "a.csv", "a,b\n,\"\"\n1,2\n", "NULL|NULL/1|2/"},
		{"leading zeros stay", "a.csv", "a,b\n007,1\n010,2\n", "007|1/010|2/"},
		{"long integers stay", "a.csv", "a,b\n12345678901234567890,1\n", "12345678901234567890|1/"},
		{"point without zero", "a.csv", "a,b\n.5,1e3\n-1,2\n", "0.5|1000.0/-1.0|2.0/"},
		{"booleans", "a.csv", "a,b\nTRUE,1\nfalse,2\n", "1|1/0|2/"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			r := newRig(t)
			d := r.dataset("ds")
			v := r.mustIngest("ds", source(c.file, c.text))
			want := c.want
			if c.name == "one column" {
				want = "1/NULL/3/"
			}
			if got := dump(t, filepath.Join(versionDir(r.dir, d.ID, v.N), PresentationFile), "a"); got != want {
				t.Errorf("got %q, want %q", got, want)
			}
		})
	}
}

func dump(t *testing.T, path, table string) string {
	t.Helper()
	db, err := store.OpenReadOnly(path)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	rows, err := db.Query("SELECT * FROM " + quoted(table))
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	names, _ := rows.Columns()
	var b strings.Builder
	for rows.Next() {
		cells, into := make([]any, len(names)), make([]any, len(names))
		for i := range cells {
			into[i] = &cells[i]
		}
		if err := rows.Scan(into...); err != nil {
			t.Fatal(err)
		}
		for i, c := range cells {
			if i > 0 {
				b.WriteByte('|')
			}
			switch x := c.(type) {
			case nil:
				b.WriteString("NULL")
			case float64:
				s := formatReal(x)
				if !strings.ContainsAny(s, ".e") {
					s += ".0"
				}
				b.WriteString(s)
			default:
				fmt.Fprint(&b, x)
			}
		}
		b.WriteByte('/')
	}
	return b.String()
}

func TestMissingValues(t *testing.T) {
	r := newRig(t)
	d := r.dataset("ds")
	dict := Dictionary{[]TableEntry{{File: "a.csv", Missing: []string{"NA", "."}}}}
	v, err := r.Ingest(t.Context(), steward, "ds", []Source{source("a.csv", "x,y\n1,NA\nNA,2.5\n.,.\nNA,\n")}, Ingestion{Dictionary: dict})
	if err != nil {
		t.Fatal(err)
	}
	x, y := v.Tables[0].Columns[0], v.Tables[0].Columns[1]
	if x.Type != Integer || x.Nulls != 3 || x.Distinct != 1 || y.Type != Real || y.Nulls != 3 {
		t.Errorf("x %+v\ny %+v", x, y)
	}
	if got := dump(t, filepath.Join(versionDir(r.dir, d.ID, 1), PresentationFile), "a"); got != "1|NULL/NULL|2.5/NULL|NULL/NULL|NULL/" {
		t.Errorf("got %q", got)
	}
}
