package cli

import (
	"bytes"
	"math"
	"strings"
	"testing"
	"time"
	"unicode"

	"tresor/app/fault"
)

func TestTable(t *testing.T) {
	for _, c := range []struct {
		name string
		rows [][]string
		want string
	}{
		{"no rows", nil, "none\n"},
		{"columns line up", [][]string{{"a", "long name"}, {"bbbb", "x"}}, "ID    NAME\na     long name\nbbbb  x\n"},
		{"an empty cell", [][]string{{"", "x"}}, "ID  NAME\n    x\n"},
		{"an escape sequence", [][]string{{"a", "\x1b[2Jx"}}, "ID  NAME\na   \uFFFD[2Jx\n"},
		{"a line break and a tab", [][]string{{"a\nb", "c\td"}}, "ID   NAME\na\uFFFDb  c\uFFFDd\n"},
		{"writing turned round", [][]string{{"a", "\u202Egpj.exe"}}, "ID  NAME\na   \uFFFDgpj.exe\n"},
	} {
		t.Run(c.name, func(t *testing.T) {
			var b bytes.Buffer
			table(&b, "id|name", c.rows)
			if b.String() != c.want {
				t.Errorf("got %q, want %q", b.String(), c.want)
			}
		})
	}
}

func TestFactsLeaveOutWhatIsEmpty(t *testing.T) {
	var b bytes.Buffer
	facts(&b, "job", "x", "reason", "", "state", "held", "odd")
	if want := "job:    x\nstate:  held\n"; b.String() != want {
		t.Errorf("got %q, want %q", b.String(), want)
	}
}

func TestSize(t *testing.T) {
	for n, want := range map[int64]string{0: "0 B", 1023: "1023 B", 1024: "1.0 KiB", 1536: "1.5 KiB", 26 << 20: "26.0 MiB", 3 << 40: "3.0 TiB", math.MaxInt64: "8.0 EiB"} {
		if got := size(n); got != want {
			t.Errorf("size(%d) = %q, want %q", n, got, want)
		}
	}
}

func TestParseSize(t *testing.T) {
	for s, want := range map[string]int64{"1": 1, "512MiB": 512 << 20, "2GiB": 2 << 30, "2G": 2 << 30, "1.5GiB": 3 << 29, "10 KiB": 10 << 10, "7B": 7} {
		if got, err := parseSize(s); err != nil || got != want {
			t.Errorf("parseSize(%q) = %d, %v, want %d", s, got, err, want)
		}
	}
	for _, s := range []string{"", "lots", "0", "-1", "NaN", "Inf", "1e30", "9999999TiB", "GiB", "1PiB", "1 GiBB"} {
		if n, err := parseSize(s); fault.KindOf(err) != fault.Invalid || fault.Next(err) == "" {
			t.Errorf("parseSize(%q) = %d, %v, want a refusal", s, n, err)
		}
	}
}

func TestParseDay(t *testing.T) {
	got, err := parseDay("2027-12-31")
	if want := time.Date(2028, 1, 1, 0, 0, 0, 0, time.Local); err != nil || !got.Equal(want) {
		t.Errorf("the last day does not count to its end: %v, %v", got, err)
	}
	for _, s := range []string{"", "tomorrow", "2027-13-01", "2027-02-30", "31.12.2027"} {
		if _, err := parseDay(s); fault.KindOf(err) != fault.Invalid {
			t.Errorf("parseDay(%q): %v", s, err)
		}
	}
}

func TestPick(t *testing.T) {
	two := []thing{{"1", "a.csv"}, {"2", "b.csv"}}
	for _, c := range []struct {
		name string
		all  []thing
		word []string
		want string
		kind fault.Kind
	}{
		{"the only one", two[:1], nil, "1", 0},
		{"by path", two, []string{"b.csv"}, "2", 0},
		{"by id", two, []string{"1"}, "1", 0},
		{"none of two named", two, nil, "", fault.Invalid},
		{"nothing there", nil, nil, "", fault.Invalid},
		{"no such", two, []string{"c.csv"}, "", fault.NotFound},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, err := pick(c.all, c.word, "output", "tresor job show X")
			if got != c.want || (err != nil) != (c.want == "") || (err != nil && (fault.KindOf(err) != c.kind || fault.Next(err) == "")) {
				t.Errorf("%q, %v", got, err)
			}
		})
	}
}

func FuzzClean(f *testing.F) {
	f.Add("plain")
	f.Add("\x1b]0;title\x07\u202e\xff")
	f.Fuzz(func(t *testing.T, s string) {
		if i := strings.IndexFunc(clean(s), func(r rune) bool { return unicode.IsControl(r) || unicode.Is(unicode.Cf, r) }); i >= 0 {
			t.Fatalf("%q keeps a control at %d", clean(s), i)
		}
		var b bytes.Buffer
		if n, err := (safeWriter{&b}).Write([]byte(s)); n != len(s) || err != nil || strings.ContainsRune(b.String(), 0x1b) {
			t.Fatalf("%d %v %q", n, err, b.String())
		}
	})
}
