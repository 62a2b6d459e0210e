package sqlrun

import (
	"bytes"
	"context"
	"encoding/csv"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"tresor/app/fault"
	"tresor/app/store"
)

// build makes <dir>/<dataset>/presentation.sqlite from SQL.
func build(t *testing.T, dir, dataset, script string) {
	t.Helper()
	path := filepath.Join(dir, dataset, presentation)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	db, err := store.CreateFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := db.Exec(script); err != nil {
		t.Fatal(err)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	if err := store.Seal(path); err != nil {
		t.Fatal(err)
	}
}

const visits = `
CREATE TABLE visits (person INTEGER, n INTEGER, cost REAL, note TEXT);
INSERT INTO visits VALUES (1, 2, 1.5, 'plain'), (2, 4, 2.25, 'with, comma'), (3, 4, NULL, 'say "so"'), (4, 10, -0.0, ''), (5, NULL, 1e20, NULL);
CREATE TABLE "_dictionary" (table_name TEXT, column_name TEXT);`

type bench struct{ data, out string }

func newBench(t *testing.T) bench {
	b := bench{t.TempDir(), filepath.Join(t.TempDir(), "out")}
	build(t, b.data, "clinic", visits)
	return b
}

// run writes the script and runs it; it returns code and standard error.
func (b bench) run(t *testing.T, queries ...Query) (int, string) {
	t.Helper()
	text, err := Script(queries)
	if err != nil {
		t.Fatal(err)
	}
	return b.runText(t, string(text))
}

func (b bench) runText(t *testing.T, script string) (int, string) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "queries.json")
	if err := os.WriteFile(path, []byte(script), 0o600); err != nil {
		t.Fatal(err)
	}
	var log bytes.Buffer
	code := run(context.Background(), []string{"--script", path, "--out", b.out, "--data", b.data}, &log)
	return code, log.String()
}

func (b bench) read(t *testing.T, name string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(b.out, name))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func TestRowsBecomeCSV(t *testing.T) {
	b := newBench(t)
	code, log := b.run(t, Query{"all.csv", "SELECT * FROM visits ORDER BY person;"}, Query{"none.csv", "SELECT n FROM clinic.visits WHERE 0 -- nothing"})
	if code != ExitOK {
		t.Fatalf("exit %d: %s", code, log)
	}
	want := "person,n,cost,note\n1,2,1.5,plain\n2,4,2.25,\"with, comma\"\n3,4,,\"say \"\"so\"\"\"\n4,10,0.0,\"\"\n5,,1e+20,\n"
	if got := b.read(t, "all.csv"); got != want {
		t.Errorf("all.csv:\n%s\nwant:\n%s", got, want)
	}
	if got := b.read(t, "none.csv"); got != "n\n" {
		t.Errorf("none.csv: %q", got)
	}
	if !strings.Contains(log, "all.csv: 5 rows\n") || !strings.Contains(log, "none.csv: 0 rows\n") {
		t.Errorf("progress: %q", log)
	}
	if left, _ := filepath.Glob(filepath.Join(b.out, ".*")); len(left) != 0 {
		t.Errorf("left behind: %v", left)
	}
}

func TestFunctions(t *testing.T) {
	b := newBench(t)
	cases := []struct{ name, sql, want string }{
		{"stdev", "stdev(n)", "3.4641016151377544"},
		{"variance of one value", "variance(CASE person WHEN 1 THEN n END)", ""},
		{"median even", "median(n)", "4.0"},
		{"median none", "median(NULL)", ""},
		{"quantile", "quantile(n, 0.25)", "3.5"},
		{"corr", "ROUND(corr(person, n), 6)", "0.894427"},
		{"corr constant", "corr(1, n)", ""},
		{"exp and ln", "ROUND(exp(ln(5)), 6)", "5.0"},
		{"ln of nothing", "ln(0)", ""},
		{"sqrt of text", "sqrt('a')", ""},
		{"power", "power(2, 10)", "1024.0"},
		{"floor", "floor(-1.5)", "-2.0"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			code, log := b.run(t, Query{"x.csv", "SELECT " + c.sql + " AS x FROM visits"})
			if code != ExitOK {
				t.Fatal(log)
			}
			if got := strings.Split(b.read(t, "x.csv"), "\n")[1]; got != c.want {
				t.Errorf("%s = %q, want %q", c.sql, got, c.want)
			}
		})
	}
}

func TestMistakesAreExplained(t *testing.T) {
	b := newBench(t)
	cases := []struct{ name, sql, want string }{
		{"mistyped keyword", "SELECT n\nFORM visits", "x.csv, line 2, column 6: syntax error near \"visits\". Did you mean FROM instead of FORM?"},
		{"near the second of two", "SELECT n, n FROM visits WHERE n n", `line 1, column 33`},
		{"mistyped GROUP", "SELECT n FROM visits GRUOP BY n", `Did you mean GROUP instead of GRUOP?`},
		{"too short", "SELECT n FROM (SELECT 1", `the statement ends too early`},
		{"table", "SELECT * FROM vists", `no such table: vists. Did you mean visits?`},
		{"table far off", "SELECT * FROM hospital", `Tables: visits.`},
		{"column", "SELECT persn FROM visits", `x.csv, line 1, column 8: no such column: persn. Did you mean person?`},
		{"qualified column", "SELECT v.cots FROM visits v", `line 1, column 8: no such column: v.cots. Did you mean cost?`},
		{"function", "SELECT medan(n) FROM visits", `Did you mean median?`},
		{"ambiguous", "SELECT n FROM visits a JOIN visits b", `ambiguous column name: n`},
		{"aggregate in where", "SELECT 1 FROM visits WHERE COUNT(*) > 1", "misuse of aggregate"},
		{"writes in WITH", "WITH a AS (SELECT 1) INSERT INTO visits SELECT 1,1,1,1", "the statement writes"},
		{"placeholder", "SELECT ? FROM visits", "placeholder"},
		{"two columns of one name", "SELECT n, n FROM visits", `columns 1 and 2 are both named "n"`},
		{"quantile share", "SELECT quantile(n, 25) FROM visits", "share from 0 to 1"},
		{"overflow", "SELECT SUM(9223372036854775807) FROM visits", "overflow"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			code, log := b.run(t, Query{"x.csv", c.sql})
			if code != ExitQuery || !strings.Contains(log, c.want) {
				t.Errorf("exit %d: %s\nwant %q", code, log, c.want)
			}
			if _, err := os.Stat(filepath.Join(b.out, "x.csv")); err == nil {
				t.Error("an output was written")
			}
		})
	}
}

func TestNothingRunsWhenOneStatementIsWrong(t *testing.T) {
	b := newBench(t)
	code, log := b.run(t, Query{"a.csv", "SELECT 1 AS one"}, Query{"b.csv", "SELECT nope"}, Query{"c.csv", "SELECT nopes"})
	if code != ExitQuery || !strings.Contains(log, "b.csv") || !strings.Contains(log, "c.csv") {
		t.Errorf("exit %d: %s", code, log)
	}
	if _, err := os.Stat(filepath.Join(b.out, "a.csv")); err == nil {
		t.Error("a.csv was written")
	}
}

func TestValidate(t *testing.T) {
	ok := Query{"a.csv", "SELECT 1"}
	many := make([]Query, MaxQueries+1)
	cases := []struct {
		name    string
		queries []Query
		want    string // "" means accepted
	}{
		{"select", []Query{ok}, ""},
		{"with, comments, semicolon in text", []Query{{"a.csv", "/* a; b */ WITH x AS (SELECT ';' AS s) -- c;\nSELECT * FROM x;;"}}, ""},
		{"quoted names", []Query{{"a.csv", "SELECT \"a;\"\"b\", [c;d], `e;` FROM t"}}, ""},
		{"none", nil, "There is no query"},
		{"too many", many, "at most 50"},
		{"name with folder", []Query{{"../a.csv", "SELECT 1"}}, "cannot be the name"},
		{"name upper case", []Query{{"A.csv", "SELECT 1"}}, "cannot be the name"},
		{"name without extension", []Query{{"a", "SELECT 1"}}, "cannot be the name"},
		{"same name twice", []Query{ok, ok}, "Two queries write a.csv"},
		{"empty", []Query{{"a.csv", " -- only a comment"}}, "there is no SQL"},
		{"too long", []Query{{"a.csv", "SELECT " + strings.Repeat("1", MaxSQL)}}, "longer than 64 KiB"},
		{"NUL", []Query{{"a.csv", "SELECT 1\x00"}}, "not text"},
		{"two statements", []Query{{"a.csv", "SELECT 1;\nSELECT 2"}}, "line 2, column 1: a second statement"},
		{"insert", []Query{{"a.csv", "insert into t values (1)"}}, "INSERT writes"},
		{"attach", []Query{{"a.csv", "ATTACH 'x' AS y"}}, "ATTACH is not available"},
		{"pragma", []Query{{"a.csv", "PRAGMA table_info(t)"}}, "PRAGMA is not available"},
		{"python", []Query{{"a.csv", "import pandas"}}, `not with "import"`},
		{"open text", []Query{{"a.csv", "SELECT 'a"}}, "line 1, column 8: A text in single quotes is opened"},
		{"open comment", []Query{{"a.csv", "SELECT 1 /* a"}}, "A comment /*"},
		{"open name", []Query{{"a.csv", "SELECT [a"}}, "never closed"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			err := Validate(c.queries)
			if c.want == "" && err != nil {
				t.Fatalf("refused: %v", err)
			}
			if c.want != "" && (fault.KindOf(err) != fault.Invalid || !strings.Contains(fault.Message(err), c.want)) {
				t.Errorf("got %v, want %q", err, c.want)
			}
		})
	}
}

func TestScriptAndDataTroubles(t *testing.T) {
	b := newBench(t)
	cases := []struct {
		name, script, data string
		code               int
		want               string
	}{
		{"not JSON", "{", b.data, ExitScript, "not JSON"},
		{"several statements", `{"queries":[{"output":"a.csv","sql":"SELECT 1; DROP TABLE visits"}]}`, b.data, ExitScript, "a second statement"},
		{"no dataset", `{"queries":[{"output":"a.csv","sql":"SELECT 1"}]}`, t.TempDir(), ExitData, "No dataset is mounted"},
		{"row cap", `{"max_rows":2,"queries":[{"output":"a.csv","sql":"SELECT n FROM visits"}]}`, b.data, ExitQuery, "more than 2 rows"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			x := bench{c.data, b.out}
			code, log := x.runText(t, c.script)
			if code != c.code || !strings.Contains(log, c.want) {
				t.Errorf("exit %d: %s\nwant %d %q", code, log, c.code, c.want)
			}
		})
	}
	if code := run(context.Background(), []string{"--nope"}, &bytes.Buffer{}); code != ExitScript {
		t.Errorf("unknown flag: exit %d", code)
	}
}

func TestDamagedDatasetIsRefused(t *testing.T) {
	b := newBench(t)
	if err := os.MkdirAll(filepath.Join(b.data, "broken"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(b.data, "broken", presentation), []byte("not a database, but long enough to look at, is it not?"), 0o600); err != nil {
		t.Fatal(err)
	}
	code, log := b.run(t, Query{"a.csv", "SELECT 1 AS one"})
	if code != ExitData || !strings.Contains(log, "Tell the data steward") {
		t.Errorf("exit %d: %s", code, log)
	}
}

func TestOutputThatCannotBeWritten(t *testing.T) {
	b := newBench(t)
	if err := os.WriteFile(b.out, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if code, log := b.run(t, Query{"a.csv", "SELECT 1 AS one"}); code != ExitOutput {
		t.Errorf("exit %d: %s", code, log)
	}
}

func TestSeveralDatasets(t *testing.T) {
	b := newBench(t)
	build(t, b.data, "labs", "CREATE TABLE visits (n INTEGER); INSERT INTO visits VALUES (99); CREATE TABLE results (value REAL); INSERT INTO results VALUES (7);")
	code, log := b.run(t, Query{"a.csv", "SELECT MAX(labs.visits.n) AS labs, (SELECT MAX(n) FROM visits) AS clinic, (SELECT value FROM results) AS value FROM labs.visits"})
	if code != ExitOK {
		t.Fatal(log)
	}
	if got := b.read(t, "a.csv"); got != "labs,clinic,value\n99,10,7.0\n" {
		t.Errorf("got %q", got)
	}
	if !strings.Contains(log, "both have a table visits") {
		t.Errorf("no note about the hidden table: %q", log)
	}
}

func TestDataStayAsTheyAre(t *testing.T) {
	b := newBench(t)
	path := filepath.Join(b.data, "clinic", presentation)
	before, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	b.run(t, Query{"a.csv", "SELECT n FROM visits ORDER BY n"})
	after, _ := os.ReadFile(path)
	if !bytes.Equal(before, after) {
		t.Error("the presentation changed")
	}
	if files, _ := filepath.Glob(filepath.Join(b.data, "clinic", "*")); len(files) != 1 {
		t.Errorf("side files: %v", files)
	}
}

func FuzzCellsReadBack(f *testing.F) {
	f.Add("a,b", "x\"y")
	f.Add(" lead", "line\nend")
	f.Fuzz(func(t *testing.T, a, b string) {
		if strings.ContainsAny(a+b, "\r") {
			t.Skip("encoding/csv drops it")
		}
		var buf bytes.Buffer
		w := newWriter(&buf)
		writeText(w, a)
		w.WriteByte(',')
		writeText(w, b)
		w.WriteByte('\n')
		w.Flush()
		got, err := csv.NewReader(&buf).Read()
		if err != nil || got[0] != a || got[1] != b {
			t.Errorf("%q, %q came back as %q (%v)", a, b, got, err)
		}
	})
}

func FuzzValidate(f *testing.F) {
	f.Add("SELECT 1; -- a")
	f.Add("/* '")
	f.Fuzz(func(t *testing.T, sql string) {
		_ = Validate([]Query{{"a.csv", sql}})
		tokens, _, _ := lex(sql)
		last := 0
		for _, k := range tokens {
			if k.start < last || k.end <= k.start || k.end > len(sql) {
				t.Fatalf("token %v overlaps", k)
			}
			last = k.end
		}
	})
}
