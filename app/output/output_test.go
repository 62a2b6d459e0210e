package output

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"testing/iotest"

	"tresor/app/fault"
	"tresor/app/store"
	"tresor/app/vault"
	"tresor/sandbox"
)

func TestExamine(t *testing.T) {
	png := "\x89PNG\r\n\x1a\n" + strings.Repeat("x", 100)
	cases := []struct {
		name, file, content string
		want                Shape
	}{
		{"table", "a.csv", "a,b\n1,2\n3,4\n", Shape{Table, 2, 2}},
		{"table without last newline", "a.csv", "a,b\n1,2", Shape{Table, 1, 2}},
		{"one column", "a.csv", "a\n1\n2\n", Shape{Table, 2, 1}},
		{"header only", "a.csv", "a,b\n", Shape{Table, 0, 2}},
		{"tabs", "a.tsv", "a\tb\n1,5\t2\n", Shape{Table, 1, 2}},
		{"tabs by content", "a", "a\tb\n1\t2\n", Shape{Table, 1, 2}},
		{"commas by content", "a.txt", "a,b\n1,2\n", Shape{Table, 1, 2}},
		{"quoted newline", "a.csv", "a,b\n\"1\n2\",3\n", Shape{Table, 1, 2}},
		{"ragged", "a.csv", "a,b\n1,2,3\n", Shape{Kind: Text}},
		{"ragged far below", "a.csv", "a,b\n" + strings.Repeat("1,2\n", 50_000) + "1\n", Shape{Kind: Text}},
		{"broken quote", "a.csv", "a,b\n\"1,2\n", Shape{Kind: Text}},
		{"a sentence", "a.txt", "Hello, world\n", Shape{Kind: Text}},
		{"sentences", "a.md", "Hello, world\nand more\n", Shape{Kind: Text}},
		{"empty", "a.csv", "", Shape{Kind: Text}},
		{"UTF-8", "a.txt", "Größe", Shape{Kind: Text}},
		{"torn UTF-8", "a.txt", "Gr\xc3", Shape{Kind: Other}},
		{"Latin-1 table", "a.csv", "a,b\nGr\xf6\xdfe,2\n", Shape{Kind: Other}},
		{"NUL in a table", "a.csv", "a,b\n1\x00,2\n", Shape{Kind: Other}},
		{"escape in a text", "a.txt", "a\x1b[31m", Shape{Kind: Other}},
		{"binary", "a.bin", "\x00\x01\x02", Shape{Kind: Other}},
		{"PNG", "a.csv", png, Shape{Kind: Image}},
		{"JPEG", "a", "\xff\xd8\xff\xe0", Shape{Kind: Image}},
		{"GIF", "a", "GIF89a", Shape{Kind: Image}},
		{"WebP", "a", "RIFF1234WEBPVP8 ", Shape{Kind: Image}},
		{"SVG is text", "a.svg", "<svg></svg>", Shape{Kind: Text}},
		{"large table", "a.csv", "a,b\n" + strings.Repeat("1,2\n", 100_000), Shape{Table, 100_000, 2}},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			for how, r := range map[string]io.Reader{"at once": strings.NewReader(c.content), "half": iotest.HalfReader(strings.NewReader(c.content))} {
				if got, err := Examine(c.file, r); err != nil || got != c.want {
					t.Errorf("%s: %+v, %v, want %+v", how, got, err, c.want)
				}
			}
		})
	}
}

func TestExamineReadsToTheEndAndReportsErrors(t *testing.T) {
	broken := errors.New("broken")
	for _, content := range []string{"", "a,b\n1,2\n", "\x00", "\x89PNG\r\n\x1a\n"} {
		_, err := Examine("a.csv", io.MultiReader(strings.NewReader(content), iotest.ErrReader(broken)))
		if !errors.Is(err, broken) {
			t.Errorf("%q: %v", content, err)
		}
	}
}

func FuzzExamine(f *testing.F) {
	f.Add("a.csv", []byte("a,b\n1,2\n"))
	f.Add("a", []byte("\"\x00\xff\t"))
	f.Fuzz(func(t *testing.T, name string, content []byte) {
		shape, err := Examine(name, bytes.NewReader(content))
		if err != nil {
			t.Fatal(err)
		}
		o := Output{Path: name, Kind: shape.Kind, Rows: shape.Rows, Size: int64(len(content))}
		p, err := ReadPage(o, bytes.NewReader(content), 0, MaxPageRows)
		if err != nil {
			t.Fatalf("a %s has no page: %v", shape.Kind, err)
		}
		if shape.Kind == Table && int64(len(p.Rows)) != min(shape.Rows, MaxPageRows) {
			t.Fatalf("%d rows shown of %d", len(p.Rows), shape.Rows)
		}
	})
}

type house struct {
	t       *testing.T
	db      *store.DB
	vault   *vault.Vault
	outputs *Service
	n       atomic.Int64
}

func newHouse(t *testing.T) *house {
	t.Helper()
	h := &house{t: t}
	dir := t.TempDir()
	var err error
	if h.db, err = store.Open(context.Background(), filepath.Join(dir, "t.db"), store.Options{}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { h.db.Close() })
	if h.vault, err = vault.Open(filepath.Join(dir, "vault")); err != nil {
		t.Fatal(err)
	}
	h.outputs = New(h.vault, func() string { return fmt.Sprintf("o%04d", h.n.Add(1)) })
	h.do(func(tx *store.Tx) error {
		if _, err := tx.Exec(`INSERT INTO project (id, slug, name, purpose, state, approval, threshold, reviewers, created_at, created_by)
			VALUES ('p', 'p', 'P', 'x', 'open', 'image', 10, 2, 0, '')`); err != nil {
			return err
		}
		_, err := tx.Exec(`INSERT INTO job (id, project, name, purpose, state, submitter, submitter_handle, submitter_name, request_hash, queries, datasets, outputs, limits, created_at)
			VALUES ('j', 'p', 'J', '', 'collecting', 'a', 'a', 'A', '', '[]', '[]', '[]', '{}', 0)`)
		return err
	})
	return h
}

func (h *house) do(f func(tx *store.Tx) error) {
	h.t.Helper()
	if err := h.db.Update(context.Background(), f); err != nil {
		h.t.Fatal(err)
	}
}

func (h *house) list() []Output {
	h.t.Helper()
	var list []Output
	h.do(func(tx *store.Tx) error {
		var err error
		list, err = h.outputs.ListByJob(tx, "j")
		return err
	})
	return list
}

func (h *house) keep(k *Sink) {
	h.t.Helper()
	if err := k.Commit(context.Background()); err != nil {
		h.t.Fatal(err)
	}
	h.do(func(tx *store.Tx) error { _, err := k.Record(tx, "j", "p"); return err })
}

func take(t *testing.T, k *Sink, path, content string) {
	t.Helper()
	if err := k.Take(sandbox.File{Path: path, Size: int64(len(content))}, strings.NewReader(content)); err != nil {
		t.Fatal(err)
	}
}

var roomy = Caps{Files: 100, Bytes: 1 << 20}

func TestFilesAreKept(t *testing.T) {
	h := newHouse(t)
	k := h.outputs.Sink(roomy)
	take(t, k, "/work/out/b.csv", "a,b\n1,2\n")
	take(t, k, "/work/out/sub/a.txt", "text")
	take(t, k, "/work/out/same.txt", "text")
	h.keep(k)
	list := h.list()
	if len(list) != 3 || list[0].Path != "b.csv" || list[0].Kind != Table || list[0].Rows != 1 || list[1].SHA256 != list[2].SHA256 || list[2].Path != "sub/a.txt" {
		t.Fatalf("%+v", list)
	}
	r, err := h.outputs.Content(list[0])
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	if b, err := io.ReadAll(r); err != nil || string(b) != "a,b\n1,2\n" {
		t.Errorf("%q, %v", b, err)
	}
	h.do(func(tx *store.Tx) error {
		if n, err := h.outputs.Usage(tx, "p"); err != nil || n != 12 {
			t.Errorf("usage %d, %v", n, err)
		}
		return nil
	})
}

func TestCollectingAgainReplaces(t *testing.T) {
	h := newHouse(t)
	for _, name := range []string{"a.txt", "b.txt"} {
		k := h.outputs.Sink(roomy)
		take(t, k, "/work/out/"+name, "x")
		h.keep(k)
	}
	if list := h.list(); len(list) != 1 || list[0].Path != "b.txt" {
		t.Errorf("%+v", list)
	}
}

func TestFilesThatAreRefused(t *testing.T) {
	cases := []struct {
		name string
		file sandbox.File
		text string
		why  string
	}{
		{"outside", sandbox.File{Path: "/etc/passwd", Size: 1}, "x", "outside"},
		{"beside", sandbox.File{Path: "/work/outside/a", Size: 1}, "x", "outside"},
		{"the folder", sandbox.File{Path: "/work/out", Size: 1}, "x", "outside"},
		{"climbs", sandbox.File{Path: "/work/out/../a", Size: 1}, "x", "not absolute and clean"},
		{"relative", sandbox.File{Path: "a", Size: 1}, "x", "not absolute and clean"},
		{"bidi", sandbox.File{Path: "/work/out/a\u202e.csv", Size: 1}, "x", "invisible"},
		{"not UTF-8", sandbox.File{Path: "/work/out/a\xff", Size: 1}, "x", "not UTF-8"},
		{"dash", sandbox.File{Path: "/work/out/-rf", Size: 1}, "x", "starts with '-'"},
		{"negative size", sandbox.File{Path: "/work/out/a", Size: -1}, "", "not a number"},
		{"twice", sandbox.File{Path: "/work/out/first.txt", Size: 1}, "x", "twice"},
		{"too large", sandbox.File{Path: "/work/out/a", Size: 100}, strings.Repeat("x", 100), "together are larger than 50 bytes"},
		{"shorter than announced", sandbox.File{Path: "/work/out/a", Size: 10}, "x", "announced with 10 bytes and held 1"},
		{"longer than announced", sandbox.File{Path: "/work/out/a", Size: 2}, "xyz", "announced with 2 bytes and held 3"},
		{"endless", sandbox.File{Path: "/work/out/a", Size: 2}, strings.Repeat("x", 1<<20), "held 3"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			h := newHouse(t)
			k := h.outputs.Sink(Caps{Files: 10, Bytes: 50})
			take(t, k, "/work/out/first.txt", "1")
			if err := k.Take(c.file, strings.NewReader(c.text)); err != nil {
				t.Fatal(err)
			}
			if r := k.Refused(); len(r) != 1 || !strings.Contains(r[0].Reason, c.why) {
				t.Errorf("%+v", r)
			}
			h.keep(k)
			if list := h.list(); len(list) != 1 {
				t.Errorf("%+v", list)
			}
		})
	}
}

func TestTooManyFiles(t *testing.T) {
	h := newHouse(t)
	k := h.outputs.Sink(Caps{Files: 3, Bytes: 1000})
	for i := range 1000 {
		take(t, k, fmt.Sprintf("/work/out/%04d", i), "x")
	}
	if k.Len() != 3 || len(k.Refused()) != sandbox.MaxRefusals {
		t.Errorf("%d taken, %d refusals", k.Len(), len(k.Refused()))
	}
	k.Abort()
	k.Abort()
	if k.Len() != 0 {
		t.Error("something is left after Abort")
	}
}

func TestABrokenStreamKeepsNothing(t *testing.T) {
	h := newHouse(t)
	k := h.outputs.Sink(roomy)
	broken := errors.New("broken")
	err := k.Take(sandbox.File{Path: "/work/out/a", Size: 10}, io.MultiReader(strings.NewReader("abc"), iotest.ErrReader(broken)))
	if !errors.Is(err, broken) || k.Len() != 0 {
		t.Errorf("%v, %d files", err, k.Len())
	}
}

func TestStatesOfAnOutput(t *testing.T) {
	h := newHouse(t)
	k := h.outputs.Sink(roomy)
	take(t, k, "/work/out/a.txt", "x")
	h.keep(k)
	id := h.list()[0].ID
	for _, st := range []State{Requested, Released, Erased} {
		h.do(func(tx *store.Tx) error { return h.outputs.MarkState(tx, st, id) })
	}
	err := h.db.Update(context.Background(), func(tx *store.Tx) error { return h.outputs.MarkState(tx, Held, id) })
	if fault.KindOf(err) != fault.Conflict {
		t.Errorf("an erased output is held again: %v", err)
	}
	if _, err := h.outputs.Content(h.list()[0]); fault.KindOf(err) != fault.NotFound {
		t.Errorf("erased bytes: %v", err)
	}
	err = h.db.View(context.Background(), func(tx *store.Tx) error { _, err := h.outputs.Get(tx, "nothing"); return err })
	if fault.KindOf(err) != fault.NotFound {
		t.Errorf("no such output: %v", err)
	}
}

func TestReadPage(t *testing.T) {
	table := "name,n\nann,1\nbob,2\ncid,3\n"
	long := "a\n" + strings.Repeat("ä", MaxCell+10) + "\n"
	text := strings.Repeat("ä", MaxPageText)
	cases := []struct {
		name    string
		o       Output
		content string
		offset  int64
		limit   int64
		want    func(Page) bool
	}{
		{"first rows", Output{Path: "a.csv", Kind: Table, Rows: 3}, table, 0, 2, func(p Page) bool {
			return len(p.Rows) == 2 && p.Rows[1][0] == "bob" && p.Columns[1] == "n" && p.Total == 3 && p.Kind == "table"
		}},
		{"last row", Output{Path: "a.csv", Kind: Table, Rows: 3}, table, 2, 10, func(p Page) bool { return len(p.Rows) == 1 && p.Rows[0][0] == "cid" }},
		{"after the end", Output{Path: "a.csv", Kind: Table, Rows: 3}, table, 9, 10, func(p Page) bool { return len(p.Rows) == 0 && len(p.Columns) == 2 }},
		{"default limit", Output{Path: "a.csv", Kind: Table}, "a\n" + strings.Repeat("1\n", 1000), 0, 0, func(p Page) bool { return len(p.Rows) == 100 }},
		{"most rows", Output{Path: "a.csv", Kind: Table}, "a\n" + strings.Repeat("1\n", 1000), 0, 9999, func(p Page) bool { return len(p.Rows) == MaxPageRows }},
		{"long cell", Output{Path: "a.csv", Kind: Table}, long, 0, 1, func(p Page) bool { return strings.Count(p.Rows[0][0], "ä") == MaxCell }},
		{"many columns", Output{Path: "a.csv", Kind: Table}, strings.Repeat("a,", 5000) + "a\n", 0, 1, func(p Page) bool { return len(p.Columns) == maxPageCols }},
		{"text", Output{Path: "a.txt", Kind: Text, Size: 5}, "hello", 1, 0, func(p Page) bool { return p.Text == "ello" && p.Total == 5 && p.Bytes == 4 }},
		{"text after the end", Output{Path: "a.txt", Kind: Text, Size: 5}, "hello", 99, 0, func(p Page) bool { return p.Text == "" }},
		{"whole characters", Output{Path: "a.txt", Kind: Text}, "x" + text, 0, 0, func(p Page) bool { return len(p.Text) == MaxPageText-1 && strings.HasSuffix(p.Text, "ä") }},
		{"image", Output{Path: "a.png", Kind: Image, Size: 7}, "xxxxxxx", 0, 0, func(p Page) bool { return p.Kind == "none" && p.Text == "" && p.Total == 7 }},
		{"other", Output{Path: "a.bin", Kind: Other}, "\x00", 0, 0, func(p Page) bool { return p.Kind == "none" && p.Rows == nil }},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			p, err := ReadPage(c.o, strings.NewReader(c.content), c.offset, c.limit)
			if err != nil || !c.want(p) {
				t.Errorf("%+v, %v", p, err)
			}
		})
	}
	if _, err := ReadPage(Output{}, strings.NewReader(""), -1, 0); fault.KindOf(err) != fault.Invalid {
		t.Errorf("negative offset: %v", err)
	}
	if _, err := ReadPage(Output{Path: "a.csv", Kind: Table}, strings.NewReader("a,b\n1\n"), 0, 5); fault.KindOf(err) != fault.Internal {
		t.Errorf("a table that is none: %v", err)
	}
}

func BenchmarkExamine(b *testing.B) {
	content := []byte("age,visits,group\n" + strings.Repeat("42,3.14159,control\n", 1<<16))
	b.SetBytes(int64(len(content)))
	for range b.N {
		if _, err := Examine("a.csv", bytes.NewReader(content)); err != nil {
			b.Fatal(err)
		}
	}
}
