package dataset

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"tresor/app/access"
	"tresor/app/fault"
	"tresor/app/store"
	"tresor/embed/demo"
)

func TestIngestTheDemo(t *testing.T) {
	r := newRig(t)
	r.dataset("randhie")
	dict, err := ParseDictionary(demo.Dictionary)
	if err != nil {
		t.Fatal(err)
	}
	var seen int64
	v, err := r.Ingest(t.Context(), steward, "randhie", []Source{source(demo.FileName, string(demo.CSV))},
		Ingestion{Dictionary: dict, Note: "first", Progress: func(done, total int64) {
			if done < seen || done > total {
				t.Errorf("progress went from %d to %d of %d", seen, done, total)
			}
			seen = done
		}})
	if err != nil {
		t.Fatal(err)
	}
	if v.N != 1 || v.Rows != demo.Rows || v.Bytes != int64(len(demo.CSV)) || v.Presentation != Ready || seen != v.Bytes {
		t.Errorf("version %+v, progress %d", v, seen)
	}
	c := v.Tables[0].Columns[0]
	if c.Name != "mdvis" || c.Type != Integer || c.Label != "Outpatient visits" || c.Min != "0" || c.Max != "77" || c.Distinct != 59 {
		t.Errorf("column %+v", c)
	}
	if got := fmt.Sprintf("%x", sha256.Sum256(Manifest(v.Files))); got != v.SHA256 {
		t.Errorf("manifest %s, version says %s", got, v.SHA256)
	}
	checkFolder(t, versionDir(r.dir, v.DatasetID, 1))
	checkPresentation(t, versionDir(r.dir, v.DatasetID, 1))
	if err := r.Verify(t.Context(), v); err != nil {
		t.Error(err)
	}
}

// checkFolder: other accounts can read, nobody can write.
func checkFolder(t *testing.T, dir string) {
	t.Helper()
	want := map[string]os.FileMode{"": 0o755, "files": 0o755, "files/randhie.csv": 0o444, PresentationFile: 0o444}
	for name, mode := range want {
		info, err := os.Stat(filepath.Join(dir, name))
		if err != nil || info.Mode().Perm() != mode {
			t.Errorf("%q: mode %v (%v), want %v", name, info.Mode().Perm(), err, mode)
		}
	}
	got, err := os.ReadFile(filepath.Join(dir, "files", demo.FileName))
	if err != nil || string(got) != string(demo.CSV) {
		t.Errorf("the file is not what was sent (%v)", err)
	}
	if all, _ := filepath.Glob(filepath.Join(dir, "*")); len(all) != 2 {
		t.Errorf("the folder holds %v", all)
	}
}

func checkPresentation(t *testing.T, dir string) {
	t.Helper()
	db, err := store.OpenReadOnly(filepath.Join(dir, PresentationFile))
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	var rows, visits int
	var kinds string
	err = db.QueryRow(`SELECT count(*), sum(mdvis), group_concat(DISTINCT typeof(mdvis) || typeof(lncoins) || typeof(idp)) FROM randhie`).Scan(&rows, &visits, &kinds)
	if err != nil || rows != demo.Rows || visits != 57752 || kinds != "integerrealinteger" {
		t.Errorf("%d rows, %d visits, types %s (%v)", rows, visits, kinds, err)
	}
	var label, check string
	if err := db.QueryRow(`SELECT label FROM _dictionary WHERE column_name = 'disea'`).Scan(&label); err != nil || label != "Chronic diseases" {
		t.Errorf("dictionary says %q (%v)", label, err)
	}
	if err := db.QueryRow(`PRAGMA integrity_check`).Scan(&check); err != nil || check != "ok" {
		t.Errorf("integrity: %s (%v)", check, err)
	}
}

func TestIngestRefuses(t *testing.T) {
	wide := "c0"
	for i := 1; i < 2001; i++ {
		wide += fmt.Sprintf(",c%d", i)
	}
	cases := []struct {
		name, file, text string
		want             string
	}{
		{"ragged: too few", "a.csv", "a,b\n1,2\n3\n", "a.csv, line 3: the row has 1 field, the header has 2"},
		{"ragged: too many", "a.csv", "a,b\n1,2\n3,4,5\n", "line 3: the row has 3 fields, the header has 2"},
		{"ragged: far too many", "a.csv", "a,b\n1,2\n3,4,5,6\n", "line 3: the row has more than the 2 fields"},
		{"ragged after a field of several lines", "a.csv", "a,b\n\"1\n1\",2\n3\n", "line 4: the row has 1 field"},
		{"empty line", "a.csv", "a,b\n1,2\n\n3,4\n", "line 3: the line is empty"},
		{"NUL", "a.csv", "a,b\n1,2\n3,\x004\n", "line 3: byte 3 of the line is a NUL byte"},
		{"Latin-1", "a.csv", "a,b\n1,caf\xe9\n", "line 2: byte 6 of the line (0xE9) is not valid UTF-8"},
		{"Latin-1 header", "a.csv", "a,caf\xe9\n1,2\n", "line 1: byte 6"},
		{"UTF-16", "a.csv", "\xff\xfea\x00\n\x00", "text in UTF-16"},
		{"Excel", "a.csv", "PK\x03\x04rest", "an Excel workbook"},
		{"gzip", "a.csv", "\x1f\x8b\x08rest", "compressed with gzip"},
		{"Parquet", "a.csv", "PAR1rest", "a Parquet file"},
		{"SQLite", "a.csv", "SQLite format 3\x00rest", "an SQLite database"},
		{"empty", "a.csv", "", "the file is empty"},
		{"only a byte order mark", "a.csv", "\xef\xbb\xbf", "the file is empty"},
		{"quote never closed", "a.csv", "a,b\n1,\"2\n3,4\n", "line 2: field 2 opens a quote that is never closed"},
		{"quote inside", "a.csv", "a,b\n1,2\"3\n", "line 2: field 2 has a quote inside an unquoted field"},
		{"after closing quote", "a.csv", "a,b\n1,\"2\"3\n", "line 2: field 2 goes on after its closing quote"},
		{"lone carriage return", "a.csv", "a,b\n1,2\r3\n", "line 2: field 2 holds a carriage return"},
		{"2,001 columns", "a.csv", wide + "\n", "line 1: the header has more than 2000 columns"},
		{"header of numbers", "a.csv", "1,2\n3,4\n", "does not name the columns"},
		{"R row names", "a.csv", "\"\",b\n1,2\n", "column 1 has no name"},
		{"no name", "a.csv", "a,,c\n1,2,3\n", "column 2 has no name"},
		{"same name", "a.csv", "Age,b,age\n1,2,3\n", "a.csv, line 1: columns 1 and 3 have the same name"},
		{"same name without signs", "a.csv", "a b,a-b\n1,2\n", "columns 1 and 2 have the same name"},
		{"control character in a name", "a.csv", "a,b\x07\n1,2\n", "invisible or control character"},
		{"extension", "a.xlsx", "a,b\n", "extension is not one"},
		{"file name", "-a.csv", "a,b\n", "the file name cannot be used"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			r := newRig(t)
			d := r.dataset("ds")
			_, err := r.ingest("ds", source("fine.csv", "a,b\n1,2\n"), source(c.file, c.text))
			if fault.KindOf(err) != fault.Invalid || !strings.Contains(fault.Message(err), c.want) || fault.Next(err) == "" {
				t.Errorf("got %v (next %q), want %q", err, fault.Next(err), c.want)
			}
			r.nothingKept(d.ID)
		})
	}
}

func (r *rig) nothingKept(id string) {
	r.t.Helper()
	if left := r.folders(id); len(left) != 0 {
		r.t.Errorf("left on the disk: %v", left)
	}
	d, err := r.Get(r.t.Context(), steward, id)
	if err != nil || d.Latest != 0 || len(d.Versions) != 0 {
		r.t.Errorf("left in the database: %+v (%v)", d, err)
	}
}

func TestIngestRefusesTogether(t *testing.T) {
	ok := source("a.csv", "x,y\n1,2\n")
	cases := []struct {
		name    string
		sources []Source
		dict    Dictionary
		note    string
		kind    fault.Kind
		want    string
	}{
		{name: "no file", kind: fault.Invalid, want: "No file was sent"},
		{name: "same file twice", sources: []Source{ok, source("A.CSV", "x\n1\n")}, kind: fault.Invalid, want: "two files have this name"},
		{name: "same table twice", sources: []Source{ok, source("a.tsv", "x\ty\n1\t2\n")}, kind: fault.Invalid, want: `its table would be named "a", as that of a.csv`},
		{name: "dictionary of an unknown column", sources: []Source{ok}, dict: Dictionary{[]TableEntry{{Name: "a", Columns: []ColumnEntry{{Name: "z"}}}}}, kind: fault.Invalid, want: `a column "z" that the file does not have`},
		{name: "dictionary of an unknown table", sources: []Source{ok}, dict: Dictionary{[]TableEntry{{Name: "b"}}}, kind: fault.Invalid, want: `a table "b" that no file became`},
		{name: "declared type", sources: []Source{source("a.csv", "x,y\n1,2\nx,4\n")}, dict: Dictionary{[]TableEntry{{Name: "a", Columns: []ColumnEntry{{Name: "x", Type: Integer}}}}}, kind: fault.Invalid, want: `a.csv, line 3: the value of column "x" is not of the type integer`},
		{name: "note", sources: []Source{ok}, note: strings.Repeat("n", 2001), kind: fault.Invalid, want: "The note is longer"},
		{name: "cannot be opened", sources: []Source{{Name: "a.csv", Open: func() (io.ReadCloser, error) { return nil, errors.New("gone") }}}, kind: fault.Unavailable, want: "cannot be read"},
		{name: "breaks off", sources: []Source{{Name: "a.csv", Open: func() (io.ReadCloser, error) {
			return io.NopCloser(io.MultiReader(strings.NewReader("x,y\n1,"), brokenReader{})), nil
		}}}, kind: fault.Unavailable, want: "broke off before its end"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			r := newRig(t)
			d := r.dataset("ds")
			_, err := r.Ingest(t.Context(), steward, "ds", c.sources, Ingestion{Dictionary: c.dict, Note: c.note})
			if fault.KindOf(err) != c.kind || !strings.Contains(fault.Message(err), c.want) {
				t.Errorf("got %v, want %v %q", err, c.kind, c.want)
			}
			r.nothingKept(d.ID)
		})
	}
}

type brokenReader struct{}

func (brokenReader) Read([]byte) (int, error) { return 0, errors.New("connection reset") }

func TestTwoMillionColumnsFailFast(t *testing.T) {
	r := newRig(t)
	d := r.dataset("ds")
	read := 0
	endless := readerFunc(func(p []byte) (int, error) {
		read += len(p)
		for i := range p {
			p[i] = "ab,"[i%3]
		}
		return len(p), nil
	})
	_, err := r.ingest("ds", Source{Name: "wide.csv", Size: -1, Open: func() (io.ReadCloser, error) { return io.NopCloser(endless), nil }})
	if fault.KindOf(err) != fault.Invalid || !strings.Contains(fault.Message(err), "more than 2000 columns") {
		t.Errorf("got %v", err)
	}
	if read > 2*blockSize {
		t.Errorf("read %d bytes before refusing", read)
	}
	r.nothingKept(d.ID)
}

func TestEndlessRecordsFailFast(t *testing.T) {
	for _, c := range []struct{ name, begin, want string }{
		{"line", "a,b\n1,2\n", "line 3: a line is longer than 1 MiB"},
		{"open quote", "a,b\n1,2\n3,\"", "line 3: a record is longer than 1 MiB and stands inside an open quote"},
		{"first line", "", "line 1: the first line is longer than 1 MiB"},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := newRig(t)
			r.dataset("ds")
			read := 0
			endless := readerFunc(func(p []byte) (int, error) {
				read += len(p)
				for i := range p {
					p[i] = 'x'
				}
				return len(p), nil
			})
			_, err := r.ingest("ds", Source{Name: "long.csv", Size: -1, Open: func() (io.ReadCloser, error) {
				return io.NopCloser(io.MultiReader(strings.NewReader(c.begin), endless)), nil
			}})
			if fault.KindOf(err) != fault.Invalid || !strings.Contains(fault.Message(err), c.want) {
				t.Errorf("got %v, want %q", err, c.want)
			}
			if read > 5*blockSize {
				t.Errorf("read %d bytes before refusing", read)
			}
		})
	}
}

type readerFunc func(p []byte) (int, error)

func (f readerFunc) Read(p []byte) (int, error) { return f(p) }

func TestVersionsAreSeparate(t *testing.T) {
	r := newRig(t)
	d := r.dataset("ds")
	one := r.mustIngest("ds", source("a.csv", "x\n1\n"))
	two := r.mustIngest("ds", source("a.csv", "x\n2\n"))
	if one.N != 1 || two.N != 2 || one.SHA256 == two.SHA256 {
		t.Errorf("versions %+v, %+v", one, two)
	}
	if err := os.Chmod(filepath.Join(versionDir(r.dir, d.ID, 1), "files", "a.csv"), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(versionDir(r.dir, d.ID, 1), "files", "a.csv"), []byte("x\n3\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := r.Verify(t.Context(), one); fault.KindOf(err) != fault.Internal || !strings.Contains(fault.Message(err), "has changed") {
		t.Errorf("a changed file: %v", err)
	}
	if err := r.Verify(t.Context(), two); err != nil {
		t.Error(err)
	}
}

func TestOnlyOneIngestAtATime(t *testing.T) {
	r := newRig(t)
	r.dataset("ds")
	inside, goOn := make(chan struct{}), make(chan struct{})
	slow := Source{Name: "a.csv", Open: func() (io.ReadCloser, error) {
		close(inside)
		<-goOn
		return io.NopCloser(strings.NewReader("x\n1\n")), nil
	}}
	done := make(chan error)
	go func() { _, err := r.ingest("ds", slow); done <- err }()
	<-inside
	if _, err := r.ingest("ds", source("b.csv", "x\n1\n")); fault.KindOf(err) != fault.Conflict {
		t.Errorf("second ingest: %v", err)
	}
	close(goOn)
	if err := <-done; err != nil {
		t.Error(err)
	}
	r.mustIngest("ds", source("b.csv", "x\n1\n"))
}

func TestIngestStopsWithItsContext(t *testing.T) {
	r := newRig(t)
	d := r.dataset("ds")
	ctx, cancel := context.WithCancel(t.Context())
	_, err := r.Ingest(ctx, steward, "ds", []Source{{Name: "a.csv", Open: func() (io.ReadCloser, error) {
		cancel()
		return io.NopCloser(strings.NewReader("x\n1\n")), nil
	}}}, Ingestion{})
	if fault.KindOf(err) != fault.Unavailable {
		t.Errorf("got %v", err)
	}
	r.nothingKept(d.ID)
}

func TestWhoMayIngest(t *testing.T) {
	r := newRig(t)
	r.dataset("ds")
	for _, a := range []access.Actor{operator, stranger} {
		if _, err := r.Register(t.Context(), a, Draft{Slug: "xx", Name: "x", Controller: "c"}); fault.KindOf(err) != fault.Denied {
			t.Errorf("%s registers: %v", a.Name, err)
		}
		if _, err := r.Ingest(t.Context(), a, "ds", nil, Ingestion{}); fault.KindOf(err) != fault.Denied {
			t.Errorf("%s ingests: %v", a.Name, err)
		}
		if _, err := r.Retire(t.Context(), a, "ds", Retired); fault.KindOf(err) != fault.Denied {
			t.Errorf("%s retires: %v", a.Name, err)
		}
	}
}
