package check

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"image"
	"image/color"
	"image/jpeg"
	"image/png"
	"io"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"testing/iotest"
	"time"
)

func run(name, content string) Result {
	return File(context.Background(), Standard(10), name, int64(len(content)), strings.NewReader(content))
}

func rulesOf(fs []Finding) []string {
	var ids []string
	for _, f := range fs {
		ids = append(ids, f.Rule)
	}
	return ids
}

func TestPositions(t *testing.T) {
	res := run("a.csv", "region,n,m\nNorth,120,3.1\nSouth,5,2.2\nEast,130,2.1\nWest,\"7\",2.0\n")
	f := res.Findings[0]
	if f.Rule != "T2" || f.Row != 1 || f.Col != 1 || f.Count != 2 || !slices.Equal(f.Cells, []Cell{{1, 1}, {3, 1}}) {
		t.Errorf("%+v", f)
	}
	if res.Rows != 4 || res.Cols != 3 || res.Kind != KindTable {
		t.Errorf("%+v", res)
	}
}

// TestThreshold: the profile's number is the smallest count that passes.
func TestThreshold(t *testing.T) {
	for _, threshold := range []int{1, 2, 5, 10, 20, 100} {
		for count := 0; count <= 101; count++ {
			data := fmt.Sprintf("region,n\nNorth,120\nSouth,%d\n", count)
			res := File(context.Background(), Standard(threshold), "a.csv", int64(len(data)), strings.NewReader(data))
			if want := count >= 1 && count < threshold; (res.Blocks() > 0) != want {
				t.Fatalf("threshold %d, count %d: blocks %v, want %v", threshold, count, res.Blocks() > 0, want)
			}
		}
	}
}

func TestDeclaredCountColumn(t *testing.T) {
	p := Standard(10)
	p.CountColumns = []string{"Q17"}
	data := "region,q17\nNorth,120\nSouth,5\n"
	if res := File(context.Background(), p, "a.csv", int64(len(data)), strings.NewReader(data)); !has(res.Findings, "T2") {
		t.Errorf("%v", res.Findings)
	}
}

// TestCannotBeChecked: whatever goes wrong is a finding that blocks.
func TestCannotBeChecked(t *testing.T) {
	ended, stop := context.WithCancel(context.Background())
	stop()
	late, stop2 := context.WithDeadline(context.Background(), time.Unix(1, 0))
	defer stop2()
	good := "region,n\nNorth,120\n"
	for _, c := range []struct {
		name string
		ctx  context.Context
		file string
		size int64
		r    io.Reader
		says string
	}{
		{"the disk fails", context.Background(), "a.csv", 100, iotest.ErrReader(errors.New("secret cause")), "could not be read"},
		{"the disk fails later", context.Background(), "a.txt", 100, io.MultiReader(strings.NewReader(good), iotest.ErrReader(errors.New("secret cause"))), "could not be read"},
		{"stopped", ended, "a.csv", int64(len(good)), strings.NewReader(good), "was stopped"},
		{"too slow", late, "a.json", int64(len(good)), strings.NewReader(good), "longer than the time"},
		{"shorter than it says", context.Background(), "a.csv", 100, strings.NewReader(good), "expected"},
		{"longer than it says", context.Background(), "a.csv", 9, strings.NewReader(good), "expected"},
		{"the check itself fails", context.Background(), "a.csv", 100, panics{}, "the check itself failed"},
		{"a picture that fails to come", context.Background(), "a.png", 100, iotest.ErrReader(errors.New("secret cause")), "could not be read"},
	} {
		t.Run(c.name, func(t *testing.T) {
			res := File(c.ctx, Standard(10), c.file, c.size, c.r)
			text := show(res.Findings)
			if !has(res.Findings, "I0") || !strings.Contains(text, c.says) || strings.Contains(text, "secret cause") {
				t.Errorf("%s", text)
			}
		})
	}
}

type panics struct{}

func (panics) Read([]byte) (int, error) { panic("boom") }

func TestNames(t *testing.T) {
	content := "region,n\nNorth,120\n"
	for name, bad := range map[string]bool{
		"a.csv": false, "tables/visits by health (2026).csv": false, "Größe.csv": false, "a_b-c+d=e,f@g%h~i.csv": false,
		"": true, "/a.csv": true, "../a.csv": true, "a/../b.csv": true, "./a.csv": true, "a//b.csv": true, ".hidden.csv": true, "-rf.csv": true, "a/-b.csv": true,
		" a.csv": true, "a .csv ": true, "a.": true, "a\u202ecsv.exe.csv": true, "a\u200b.csv": true, "a\x00.csv": true, "a\nb.csv": true, "a\\b.csv": true,
		"con.csv": true, "x/NUL.txt": true, "a:b.csv": true, "a*b.csv": true, "a<b>.csv": true, "\xff.csv": true, strings.Repeat("a", 256) + ".csv": true,
		"a/b/c/d/e/f/g/h/i.csv": true, "a/b/c/d/e/f/g/h.csv": false,
	} {
		if got := has(run(name, content).Findings, "I2"); got != bad {
			t.Errorf("%q: refused %v, want %v", name, got, bad)
		}
	}
	for _, name := range []string{"ann@example.org.csv", "aGVsbG8gd29ybGQgdGhpcyBpcyBhIHNlY3JldCBtZXNzYWdlIGZvciB5b3UgMTIzNDU2Nzg5MA.csv"} {
		if run(name, content).Blocks() == 0 {
			t.Errorf("%q carries data and passes", name)
		}
	}
}

func TestRequest(t *testing.T) {
	many := make([]Meta, 201)
	for i := range many {
		many[i] = Meta{fmt.Sprintf("%d.csv", i), 1}
	}
	for _, c := range []struct {
		name  string
		files []Meta
		want  []string
	}{
		{"a table", []Meta{{"a.csv", 10}}, nil},
		{"a figure with its table", []Meta{{"a.png", 10}, {"a.csv", 10}}, nil},
		{"a figure alone", []Meta{{"a.png", 10}}, []string{"I5"}},
		{"nothing", nil, []string{"I2"}},
		{"201 files", many, []string{"I2"}},
		{"too much together", []Meta{{"a.csv", 40 << 20}, {"b.csv", 40 << 20}}, []string{"I2"}},
		{"the same name in capitals", []Meta{{"a.csv", 1}, {"A.CSV", 1}}, []string{"I2"}},
	} {
		if got := rulesOf(Request(Standard(10), c.files)); !slices.Equal(got, c.want) {
			t.Errorf("%s: %v, want %v", c.name, got, c.want)
		}
	}
}

func TestSizes(t *testing.T) {
	p := Standard(10)
	for _, c := range []struct {
		name string
		size int64
		rule string
	}{{"a.csv", p.MaxFile + 1, "I2"}, {"a.png", p.MaxFile + 1, "I2"}, {"a.txt", p.MaxText + 1, "X1"}, {"a.md", p.MaxFile + 1, "X1"}, {"a.json", 0, "I2"}} {
		res := File(context.Background(), p, c.name, c.size, iotest.ErrReader(errors.New("must not be read")))
		if !has(res.Findings, c.rule) || has(res.Findings, "I0") {
			t.Errorf("%s of %d bytes: %s", c.name, c.size, show(res.Findings))
		}
	}
}

// TestRulesSHA256: the hash stands for the profile's numbers and never changes
// between runs. If this fails on purpose, raise Version.
func TestRulesSHA256(t *testing.T) {
	a := RulesSHA256(Standard(10))
	if a != RulesSHA256(Standard(10)) || len(a) != 64 {
		t.Errorf("not stable: %s", a)
	}
	if a == RulesSHA256(Standard(5)) {
		t.Error("another threshold has the same hash")
	}
	seen := map[string]bool{}
	for _, r := range Rules() {
		if seen[r.ID] || r.Title == "" || r.Next == "" || r.Severity == "" {
			t.Errorf("rule %+v", r)
		}
		seen[r.ID] = true
	}
}

// TestBounded: a hostile table cannot make findings without end.
func TestBounded(t *testing.T) {
	var b strings.Builder
	for c := range 100 {
		fmt.Fprintf(&b, ",=c%d n=3 a@b.cc", c)
	}
	row := b.String()[1:] + "\n"
	res := run("a.csv", strings.Repeat(row, 4000))
	cells := 0
	for _, f := range res.Findings {
		cells += len(f.Cells)
	}
	if len(res.Findings) > 2*maxFindings || cells > 2*maxFindings*maxCells || res.Blocks() == 0 {
		t.Errorf("%d findings, %d cells", len(res.Findings), cells)
	}
}

func TestReadPageIsTheCheckedTable(t *testing.T) {
	data := "a;\"b;b\";c\n1;2;\"x \"\"y\"\"\"\n3;4;z\n5;6;7\n"
	page, err := ReadPage(strings.NewReader(data), "a.csv", Standard(10), 1, 1)
	if err != nil || page.Total != 3 || !slices.Equal(page.Columns, []string{"a", "b;b", "c"}) || len(page.Rows) != 1 || page.Rows[0][2] != "z" {
		t.Errorf("%+v (%v)", page, err)
	}
	page, _ = ReadPage(strings.NewReader(data), "a.csv", Standard(10), 0, 1)
	if page.Rows[0][2] != `x "y"` {
		t.Errorf("%+v", page.Rows)
	}
}

func TestNumbers(t *testing.T) {
	for text, want := range map[string]float64{
		"5": 5, "-5": -5, "+5": 5, "5.0": 5, "5e0": 5, "0.5E1": 5, "1,234": 1234, "12,345,678.5": 12345678.5, "1 234": 1234, "50%": 50, "007": 7, "5.": 5, ".5": 0.5, "1'000": 1000,
	} {
		if n := numberOf([]byte(text), false); !n.ok || n.value != want {
			t.Errorf("%q: %+v, want %v", text, n, want)
		}
	}
	for _, text := range []string{"", "-", "+", "e5", "1,23", "1,2345", "a5", "5a", "1.2.3", "--5", "5e", "0x10", "1,,234", "NaN", ".", "%", strings.Repeat("9", 50)} {
		if n := numberOf([]byte(text), false); n.ok {
			t.Errorf("%q is read as %v", text, n.value)
		}
	}
	if n := numberOf([]byte("1.234,5"), true); !n.ok || n.value != 1234.5 {
		t.Errorf("decimal comma: %+v", n)
	}
}

// TestStegoIsLost: bits hidden in the lowest bits of a picture do not survive.
func TestStegoIsLost(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for round := range 100 {
		img := image.NewNRGBA(image.Rect(0, 0, 32, 32))
		for i := range img.Pix {
			img.Pix[i] = uint8(r.UintN(256))
		}
		payload := make([]byte, 64)
		for i := range payload {
			payload[i] = byte(r.UintN(256))
		}
		for i := range len(payload) * 8 { // one bit in the lowest bit of each red, green and blue
			at := i/3*4 + i%3
			img.Pix[at] = img.Pix[at]&^1 | payload[i/8]>>(i%8)&1
		}
		var in, out bytes.Buffer
		if err := png.Encode(&in, img); err != nil {
			t.Fatal(err)
		}
		if err := Clean("a.png", &in, &out); err != nil {
			t.Fatal(err)
		}
		again, err := png.Decode(&out)
		if err != nil {
			t.Fatal(err)
		}
		got := make([]byte, len(payload))
		for i := range len(payload) * 8 {
			p := i / 3
			c := color.NRGBAModel.Convert(again.At(p%32, p/32)).(color.NRGBA)
			got[i/8] |= ([3]uint8{c.R, c.G, c.B}[i%3] & 1) << (i % 8)
		}
		if bytes.Equal(got, payload) {
			t.Fatalf("round %d: the payload survived", round)
		}
	}
}

func TestCleanIsStable(t *testing.T) {
	img := image.NewNRGBA(image.Rect(0, 0, 8, 8))
	for i := range img.Pix {
		img.Pix[i] = uint8(i * 7)
	}
	var in, one, two bytes.Buffer
	_ = png.Encode(&in, img)
	if err := Clean("a.png", bytes.NewReader(in.Bytes()), &one); err != nil {
		t.Fatal(err)
	}
	if err := Clean("a.png", bytes.NewReader(one.Bytes()), &two); err != nil || !bytes.Equal(one.Bytes(), two.Bytes()) {
		t.Errorf("cleaning twice differs (%v)", err)
	}
	for v := 0; v < 256; v++ {
		if six(six(uint8(v))) != six(uint8(v)) || (v == 0 || v == 255) && six(uint8(v)) != uint8(v) {
			t.Errorf("%d becomes %d", v, six(uint8(v)))
		}
	}
}

func TestJPEG(t *testing.T) {
	img := image.NewNRGBA(image.Rect(0, 0, 40, 30))
	for i := range img.Pix {
		img.Pix[i] = uint8(i)
	}
	var b bytes.Buffer
	if err := jpeg.Encode(&b, img, nil); err != nil {
		t.Fatal(err)
	}
	good := b.String()
	comment := good[:2] + "\xff\xfe\x00\x08hidden" + good[2:]
	zipped := good[:2] + "\xff\xfe\x00\x0cPK\x03\x04hidden" + good[2:]
	for name, c := range map[string]struct {
		data   string
		blocks bool
	}{"plain": {good, false}, "with a comment": {comment, false}, "a zip in a comment": {zipped, true}, "a zip after it": {good + "PK\x03\x04xx", true}, "cut": {good[:len(good)/2], true}, "a second picture": {good + good, true}} {
		if res := run("a.jpg", c.data); (res.Blocks() > 0) != c.blocks {
			t.Errorf("%s: %s", name, show(res.Findings))
		}
	}
	var out bytes.Buffer
	if err := Clean("a.jpg", strings.NewReader(comment), &out); err != nil || strings.Contains(out.String(), "hidden") {
		t.Errorf("the comment survived (%v)", err)
	}
}
