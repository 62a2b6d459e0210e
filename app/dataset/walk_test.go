package dataset

import (
	"bytes"
	"context"
	"encoding/csv"
	"fmt"
	"io"
	"reflect"
	"strings"
	"testing"
)

// records collects what walk finds.
type records struct {
	rows [][]string
	row_ []string
}

func (r *records) cell(c int, b []byte) *flaw {
	if cap(b) < 8 && len(b) < 8 && len(b) > 0 {
		return flawed(0, "", "cell %d has no room behind it", c)
	}
	r.row_ = append(r.row_, string(b))
	return nil
}

func (r *records) row() *flaw {
	r.rows = append(r.rows, r.row_)
	r.row_ = nil
	return nil
}

// readAll reads text in blocks of the given size.
func readAll(text string, width, size int) ([][]string, int64, *flaw) {
	src := newBlocks(strings.NewReader(text), 2)
	src.size = size
	w := newWalker(',', width)
	var out records
	var before int64
	var raw bytes.Buffer
	for {
		k, bad, err := src.next()
		if err != nil {
			panic(err)
		}
		if k == nil {
			break
		}
		raw.Write(k.raw)
		if bad == nil {
			bad = badBytes(k.data)
		}
		var lines int64
		if bad == nil {
			_, lines, bad = w.walk(k.data, &out)
		}
		if bad != nil {
			bad.line += before
			return out.rows, bad.line, bad
		}
		before += lines
		src.release(k)
	}
	if raw.String() != text {
		panic("the blocks are not the file")
	}
	return out.rows, before, nil
}

func TestBlocksCutAnywhere(t *testing.T) {
	var text strings.Builder
	for i := range 200 {
		fmt.Fprintf(&text, "%d,\"a \"\"quoted\"\"\nline %d\",x\r\n", i, i)
	}
	whole, lines, bad := readAll(text.String(), 3, blockSize)
	if bad != nil || len(whole) != 200 || lines != 400 {
		t.Fatalf("%d records on %d lines: %v", len(whole), lines, bad)
	}
	for size := 1; size < 200; size++ {
		got, n, bad := readAll(text.String(), 3, size)
		if bad != nil || n != lines || !reflect.DeepEqual(got, whole) {
			t.Fatalf("blocks of %d bytes give %d records on %d lines: %v", size, len(got), n, bad)
		}
	}
}

func TestFlawsHaveTheSameLineInEveryBlockSize(t *testing.T) {
	text := strings.Repeat("1,2\n\"3\n\",4\n", 50) + "5\n" + strings.Repeat("1,2\n", 50)
	for size := 1; size < 300; size++ {
		if _, line, bad := readAll(text, 2, size); bad == nil || line != 151 {
			t.Fatalf("blocks of %d bytes: line %d, %v", size, line, bad)
		}
	}
}

// TestEarliestFlawWins: the parsers run side by side, and still the first wrong
// line of the file is reported.
func TestEarliestFlawWins(t *testing.T) {
	rows := strings.Repeat("1,2\n", 1_000_000)
	text := "a,b\n" + rows + "3\n" + rows + "\"open\n" + rows
	for range 5 {
		in := &intake{name: "a.csv", out: io.Discard}
		_, _, bad, err := in.run(context.Background(), strings.NewReader(text))
		if err != nil || bad == nil || bad.line != 1_000_002 {
			t.Fatalf("%+v, %v", bad, err)
		}
	}
}

func TestProfilesOfBlocksAddUp(t *testing.T) {
	var text strings.Builder
	text.WriteString("id,group,value,day,flag\n")
	for i := range 300_000 {
		fmt.Fprintf(&text, "%d,g%d,%d.5,20%02d-01-15,%v\n", i, i%7, i%100, i%90+10, i%2 == 0)
	}
	in := &intake{name: "a.csv", out: io.Discard}
	f, table, bad, err := in.run(context.Background(), strings.NewReader(text.String()))
	if err != nil || bad != nil {
		t.Fatal(bad, err)
	}
	if f.Size != int64(text.Len()) || table.Rows != 300_000 {
		t.Errorf("%d bytes, %d rows", f.Size, table.Rows)
	}
	want := []Column{
		{Name: "id", Type: Integer, Distinct: MaxDistinct, DistinctMore: true},
		{Name: "group", Type: Text, Distinct: 7},
		{Name: "value", Type: Real, Distinct: 100, Min: "0.5", Max: "99.5"},
		{Name: "day", Type: Date, Distinct: 90, Min: "2010-01-15", Max: "2099-01-15"},
		{Name: "flag", Type: Boolean, Distinct: 2},
	}
	if !reflect.DeepEqual(table.Columns, want) {
		t.Errorf("got  %+v\nwant %+v", table.Columns, want)
	}
}

func TestTypes(t *testing.T) {
	cases := []struct {
		values string
		want   Type
	}{
		{"1 2 -3", Integer}, {"9223372036854775807 -9223372036854775808", Integer},
		{"9223372036854775808", Text}, {"1 2.5", Real}, {".5 -.5 5.", Real}, {"1e3 1E-3", Real},
		{"01 2", Text}, {"-0", Real}, {"00", Text}, {"1e999", Text}, {"nan inf", Text}, {"0x10", Text}, {"+1", Text}, {"1,5", Text},
		{"9007199254740993 1.5", Text}, {"true FALSE True", Boolean}, {"true 1", Text},
		{"2024-02-29 1999-12-31", Date}, {"2023-02-29", Text}, {"2024-13-01", Text}, {"2024-1-1", Text}, {"2024-04-31", Text},
		{"a", Text}, {"", Text},
	}
	for _, c := range cases {
		t.Run(c.values, func(t *testing.T) {
			var text strings.Builder
			text.WriteString("v\n")
			for _, v := range strings.Fields(c.values) {
				fmt.Fprintf(&text, "\"%s\"\n", v)
			}
			in := &intake{name: "a.csv", out: io.Discard}
			_, table, bad, err := in.run(context.Background(), strings.NewReader(text.String()))
			if err != nil || bad != nil {
				t.Fatal(bad, err)
			}
			if got := table.Columns[0].Type; got != c.want {
				t.Errorf("%s, want %s", got, c.want)
			}
		})
	}
}

func TestIdentifiersHaveNoBounds(t *testing.T) {
	var text strings.Builder
	text.WriteString("patient,unique_number,age\n")
	for i := range 100 {
		fmt.Fprintf(&text, "%d,%d,%d\n", i%50, 1000+i, i%10)
	}
	dict := Dictionary{[]TableEntry{{Name: "a", Columns: []ColumnEntry{{Name: "patient", Role: RoleIdentifier}}}}}
	in := &intake{name: "a.csv", out: io.Discard, dict: dict}
	_, table, _, err := in.run(context.Background(), strings.NewReader(text.String()))
	if err != nil {
		t.Fatal(err)
	}
	for i, want := range []string{"", "", "9"} {
		if got := table.Columns[i].Max; got != want {
			t.Errorf("%s: max %q, want %q", table.Columns[i].Name, got, want)
		}
	}
}

func TestNames(t *testing.T) {
	for in, want := range map[string]string{
		"My Data-2024.csv": "my_data_2024", "2024.csv": "c2024", "_x.csv": "t_x", "sqlite_a.csv": "t_sqlite_a", "a.b.csv": "a_b",
	} {
		if got := tableName(in); got != want {
			t.Errorf("tableName(%q) = %q, want %q", in, got, want)
		}
	}
	for in, want := range map[string]string{
		" Age (years) ": "Age_years", "älter": "lter", "日本": "_", "%": "_", "1st": "c1st", "a__b": "a__b",
	} {
		if got := identifier(in); got != want {
			t.Errorf("identifier(%q) = %q, want %q", in, got, want)
		}
	}
}

// FuzzWalk: what walk accepts encoding/csv reads the same way, and block borders
// change nothing.
func FuzzWalk(f *testing.F) {
	f.Add("a,b\nc,d", 3)
	f.Add("\"a\"\"\n\",b\r\nc,\"\"\n", 5)
	f.Add("a,\"b", 1)
	f.Add("a\r,b\n", 2)
	f.Fuzz(func(t *testing.T, text string, size int) {
		size = 1 + abs(size)%64
		whole, _, bad := readAll(text, 2, blockSize)
		cut, line, cutBad := readAll(text, 2, size)
		if (bad == nil) != (cutBad == nil) {
			t.Fatalf("whole %v, in blocks of %d %v", bad, size, cutBad)
		}
		if bad != nil {
			if bad.line != line && !strings.Contains(bad.text, "UTF-8") && !strings.Contains(cutBad.text, "UTF-8") &&
				!strings.Contains(bad.text, "NUL") && !strings.Contains(cutBad.text, "NUL") && strings.Count(text, `"`)%2 == 0 {
				t.Fatalf("whole line %d (%s), in blocks of %d line %d (%s)", bad.line, bad.text, size, line, cutBad.text)
			}
			return
		}
		if !reflect.DeepEqual(whole, cut) {
			t.Fatalf("whole %q, in blocks of %d %q", whole, size, cut)
		}
		r := csv.NewReader(strings.NewReader(text))
		r.FieldsPerRecord = 2
		want, err := r.ReadAll()
		if err != nil {
			t.Fatalf("accepted, but encoding/csv says %v", err)
		}
		if !reflect.DeepEqual(normal(whole), normal(want)) {
			t.Fatalf("got %q, encoding/csv %q", whole, want)
		}
	})
}

// normal drops what encoding/csv rewrites: CRLF inside quotes.
func normal(rows [][]string) string {
	return strings.ReplaceAll(fmt.Sprintf("%q", rows), `\r\n`, `\n`)
}

func abs(n int) int {
	if n < 0 {
		return -(n + 1)
	}
	return n
}

// FuzzIntake: no input breaks the pipeline, and whatever it accepts is kept as it
// came and can be presented.
func FuzzIntake(f *testing.F) {
	f.Add([]byte("a,b\n1,2\n"))
	f.Add([]byte("\xef\xbb\xbfa;b\r\n\"1\n\";2"))
	f.Add([]byte("a\n\x00"))
	f.Fuzz(func(t *testing.T, b []byte) {
		var out bytes.Buffer
		in := &intake{name: "a.csv", out: &out}
		file, table, bad, err := in.run(context.Background(), bytes.NewReader(b))
		if err != nil {
			t.Fatal(err)
		}
		if bad != nil {
			if bad.text == "" || bad.next == "" || !strings.HasSuffix(bad.message("a.csv"), ".") {
				t.Fatalf("flaw without a text or a next step: %+v", bad)
			}
			return
		}
		if !bytes.Equal(out.Bytes(), b) || file.Size != int64(len(b)) {
			t.Fatal("the bytes are not what came")
		}
		for _, c := range table.Columns {
			if !slugless(c.Name) {
				t.Fatalf("column name %q needs quotes", c.Name)
			}
		}
	})
}

func slugless(s string) bool {
	return s != "" && identifier(s) == s
}
