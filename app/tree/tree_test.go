package tree

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"tresor/app/access"
	"tresor/app/audit"
	"tresor/app/fault"
	"tresor/app/store"
	"tresor/app/vault"
)

type house struct {
	t    *testing.T
	db   *store.DB
	log  *audit.Log
	tree *Service
}

var (
	lead       = access.Actor{ID: "lena", Name: "Lena", Projects: map[string]access.Role{"p": access.Lead}}
	researcher = access.Actor{ID: "rosa", Name: "Rosa", Projects: map[string]access.Role{"p": access.Researcher}}
	operator   = access.Actor{ID: "olga", Name: "Olga", Roles: []access.Role{access.Operator}}
)

func newHouse(t *testing.T) *house {
	t.Helper()
	h := &house{t: t}
	dir, ctx := t.TempDir(), context.Background()
	var err error
	if h.db, err = store.Open(ctx, filepath.Join(dir, "t.db"), store.Options{}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { h.db.Close() })
	if err := os.Mkdir(filepath.Join(dir, "keys"), 0o700); err != nil {
		t.Fatal(err)
	}
	if h.log, err = audit.Open(ctx, h.db, filepath.Join(dir, "keys", "audit.key"), "tresor/test"); err != nil {
		t.Fatal(err)
	}
	v, err := vault.Open(filepath.Join(dir, "vault"))
	if err != nil {
		t.Fatal(err)
	}
	h.tree = New(Deps{DB: h.db, Log: h.log, Vault: v, Quota: 100})
	h.must(func(tx *store.Tx) error {
		for _, p := range []string{"p", "q"} {
			_, err := tx.Exec(`INSERT INTO project (id, slug, name, purpose, state, approval, threshold, reviewers, created_at, created_by)
				VALUES (?, ?, 'P', 'x', 'open', 'image', 10, 2, 0, '')`, p, p)
			if err != nil {
				return err
			}
		}
		return nil
	})
	return h
}

func (h *house) must(f func(tx *store.Tx) error) {
	h.t.Helper()
	if err := h.db.Update(context.Background(), f); err != nil {
		h.t.Fatal(err)
	}
}

// put writes "path=content" pairs, all in one Put.
func (h *house) put(pairs ...string) error {
	h.t.Helper()
	var files []File
	for _, p := range pairs {
		path, content, _ := strings.Cut(p, "=")
		b, err := h.tree.Vault.Put(context.Background(), strings.NewReader(content), 1<<20)
		if err != nil {
			h.t.Fatal(err)
		}
		files = append(files, File{Path: path, SHA256: b.SHA256, Size: b.Size})
	}
	return h.db.Update(context.Background(), func(tx *store.Tx) error { return h.tree.Put(tx, access.System, "p", "job1", files) })
}

// list is what lies below a folder, as text.
func (h *house) list(folder, after string, limit int) string {
	h.t.Helper()
	var out []string
	h.must(func(tx *store.Tx) error {
		files, err := h.tree.List(tx, "p", folder, after, limit)
		for _, f := range files {
			out = append(out, f.Path)
		}
		return err
	})
	return strings.Join(out, " ")
}

func TestFilesAreKeptAndFound(t *testing.T) {
	h := newHouse(t)
	if err := h.put("/b/one.txt=1", "b/deep/two.txt=22", "a.csv=333", "b.csv=4444"); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name, folder, after string
		limit               int
		want                string
	}{
		{"everything", "", "", 0, "a.csv b.csv b/deep/two.txt b/one.txt"},
		{"everything, by a slash", "/", "", 0, "a.csv b.csv b/deep/two.txt b/one.txt"},
		{"a folder", "b", "", 0, "b/deep/two.txt b/one.txt"},
		{"a folder with slashes", "/b/", "", 0, "b/deep/two.txt b/one.txt"},
		{"a file is no folder", "a.csv", "", 0, ""},
		{"the first page", "", "", 2, "a.csv b.csv"},
		{"the second page", "", "b.csv", 2, "b/deep/two.txt b/one.txt"},
		{"a page of a folder", "b", "b/deep/two.txt", 2, "b/one.txt"},
		{"after the end", "", "zzz", 2, ""},
	} {
		if got := h.list(c.folder, c.after, c.limit); got != c.want {
			t.Errorf("%s: %q, want %q", c.name, got, c.want)
		}
	}
	h.must(func(tx *store.Tx) error {
		f, err := h.tree.Stat(tx, "p", "b/one.txt")
		if err != nil {
			return err
		}
		if f.Job != "job1" || f.Size != 1 || f.Project != "p" || f.CreatedAt.IsZero() {
			t.Errorf("%+v", f)
		}
		r, err := h.tree.Content(f)
		if err != nil {
			return err
		}
		defer r.Close()
		if b, err := io.ReadAll(r); err != nil || string(b) != "1" {
			t.Errorf("%q, %v", b, err)
		}
		if n, err := h.tree.Usage(tx, "p"); err != nil || n != 10 {
			t.Errorf("usage %d, %v", n, err)
		}
		if files, err := h.tree.List(tx, "q", "", "", 0); err != nil || len(files) != 0 {
			t.Errorf("another project sees %v, %v", files, err)
		}
		_, err = h.tree.Stat(tx, "q", "a.csv")
		if fault.KindOf(err) != fault.NotFound {
			t.Errorf("another project: %v", err)
		}
		return nil
	})
}

func TestTheLastWriterWins(t *testing.T) {
	h := newHouse(t)
	for _, content := range []string{"a=first", "a=second one"} {
		if err := h.put(content); err != nil {
			t.Fatal(err)
		}
	}
	if err := h.put("b=x", "b=yy"); err != nil {
		t.Fatal(err)
	}
	h.must(func(tx *store.Tx) error {
		if n, err := h.tree.Usage(tx, "p"); err != nil || n != 12 {
			t.Errorf("usage %d, %v", n, err)
		}
		events, err := h.log.Timeline(tx, "project:p")
		if err != nil || len(events) != 3 || events[0].Verb != "tree.written" || events[0].Detail["files"] != "1" || len(events[0].Detail["sha256"]) != 64 ||
			events[0].Detail["sha256"] == events[1].Detail["sha256"] || events[2].Detail["bytes"] != "2" {
			t.Errorf("%+v, %v", events, err)
		}
		return nil
	})
}

func TestPathsThatAreRefused(t *testing.T) {
	h := newHouse(t)
	for _, p := range []string{"", "/", "..", "../a", "a/../b", "a/./b", ".", "a//b", "a\x00", "a\u202eb", "-a", "a/-b", `a\b`, "a\nb", "\xff", strings.Repeat("a", 300), strings.Repeat("a/", 500) + "a"} {
		t.Run(fmt.Sprintf("%.20q", p), func(t *testing.T) {
			err := h.put(p + "=x")
			if fault.KindOf(err) != fault.Invalid || !strings.Contains(fault.Message(err), "cannot be used for the project's files") {
				t.Errorf("%v", err)
			}
		})
	}
	if got := h.list("", "", 0); got != "" {
		t.Errorf("left %q", got)
	}
}

func TestPutIsAllOrNothing(t *testing.T) {
	cases := []struct {
		name string
		put  []string
		kind fault.Kind
		text string
	}{
		{"a folder's path", []string{"ok=1", "dir=2"}, fault.Conflict, "is a folder"},
		{"below a file", []string{"ok=1", "file/x=2"}, fault.Conflict, "nothing can lie below it"},
		{"far below a file", []string{"ok=1", "file/x/y/z=2"}, fault.Conflict, "nothing can lie below it"},
		{"below a file of the same call", []string{"ok=1", "ok/x=2"}, fault.Conflict, "nothing can lie below it"},
		{"over the quota", []string{"ok=1", "big=" + strings.Repeat("x", 100)}, fault.Exhausted, "Have files erased"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			h := newHouse(t)
			if err := h.put("dir/a=1", "file=2"); err != nil {
				t.Fatal(err)
			}
			err := h.put(c.put...)
			if fault.KindOf(err) != c.kind || !strings.Contains(fault.Message(err), c.text) {
				t.Errorf("%v", err)
			}
			if got := h.list("", "", 0); got != "dir/a file" {
				t.Errorf("left %q", got)
			}
		})
	}
	h := newHouse(t)
	err := h.db.Update(context.Background(), func(tx *store.Tx) error {
		return h.tree.Put(tx, access.System, "p", "", []File{{Path: "a", SHA256: strings.Repeat("0", 64)}})
	})
	if fault.KindOf(err) != fault.Internal {
		t.Errorf("bytes that are not kept: %v", err)
	}
}

// TestChanges: whoever has seen one Change learns by one number whether there is
// anything new, and what.
func TestChanges(t *testing.T) {
	h := newHouse(t)
	change := func() (n int64) {
		h.must(func(tx *store.Tx) (err error) { n, err = h.tree.Change(tx, "p"); return err })
		return n
	}
	since := func(n int64) (got string) {
		h.must(func(tx *store.Tx) error {
			files, err := h.tree.Since(tx, "p", "", n, "", 0)
			for _, f := range files {
				got += f.Path + " "
			}
			return err
		})
		return got
	}
	empty := change()
	if err := h.put("a=1", "b=2"); err != nil {
		t.Fatal(err)
	}
	first := change()
	if err := h.put("b=3"); err != nil {
		t.Fatal(err)
	}
	if h.put("a/below=1") == nil {
		t.Fatal("no refusal")
	}
	second := change()
	if _, err := h.tree.Erase(context.Background(), lead, "p", "a"); err != nil {
		t.Fatal(err)
	}
	if empty != 0 || first <= empty || second != first+1 || change() != second+1 {
		t.Errorf("%d %d %d %d", empty, first, second, change())
	}
	if got := since(empty) + "," + since(first) + "," + since(second); got != "b ,b ," {
		t.Errorf("%q", got)
	}
}

func TestReplacingCountsOnce(t *testing.T) {
	h := newHouse(t)
	for range 3 {
		if err := h.put("a=" + strings.Repeat("x", 90)); err != nil {
			t.Fatal(err)
		}
	}
}

// TestPutFails has the transaction fail before and after the rows were written.
func TestPutFails(t *testing.T) {
	for name, after := range map[string]bool{"fails": false, "fails after it persisted": true} {
		t.Run(name, func(t *testing.T) {
			h := newHouse(t)
			if err := h.put("a=old"); err != nil {
				t.Fatal(err)
			}
			b, err := h.tree.Vault.Put(context.Background(), strings.NewReader("new"), 10)
			if err != nil {
				t.Fatal(err)
			}
			write := func(fail error) error {
				return h.db.Update(context.Background(), func(tx *store.Tx) error {
					return errors.Join(h.tree.Put(tx, access.System, "p", "", []File{{Path: "a", SHA256: b.SHA256, Size: b.Size}}), fail)
				})
			}
			if after {
				err = write(nil)
			}
			if err != nil {
				t.Fatal(err)
			}
			if err := write(errors.New("broken")); err == nil {
				t.Fatal("no error")
			}
			want := int64(len("old"))
			if after {
				want = b.Size
			}
			h.must(func(tx *store.Tx) error {
				f, err := h.tree.Stat(tx, "p", "a")
				if err == nil && f.Size != want {
					t.Errorf("%+v", f)
				}
				return err
			})
			if err := write(nil); err != nil {
				t.Errorf("again: %v", err)
			}
		})
	}
}

func TestErase(t *testing.T) {
	cases := []struct {
		name  string
		actor access.Actor
		path  string
		n     int
		kind  fault.Kind
		left  string
	}{
		{"a file", lead, "dir/a", 1, 0, "dir/b dirty file"},
		{"a folder", lead, "/dir/", 2, 0, "dirty file"},
		{"nothing there", lead, "no", 0, fault.NotFound, "dir/a dir/b dirty file"},
		{"the tree itself", lead, "/", 0, fault.Invalid, "dir/a dir/b dirty file"},
		{"denied: researcher", researcher, "file", 0, fault.Denied, "dir/a dir/b dirty file"},
		{"denied: operator", operator, "file", 0, fault.Denied, "dir/a dir/b dirty file"},
		{"not found: a stranger", access.Actor{ID: "x"}, "file", 0, fault.NotFound, "dir/a dir/b dirty file"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			h := newHouse(t)
			if err := h.put("dir/a=1", "dir/b=2", "dirty=3", "file=4"); err != nil {
				t.Fatal(err)
			}
			n, err := h.tree.Erase(context.Background(), c.actor, "p", c.path)
			if n != c.n || (err == nil) != (c.kind == 0) || err != nil && fault.KindOf(err) != c.kind {
				t.Errorf("%d, %v", n, err)
			}
			if got := h.list("", "", 0); got != c.left {
				t.Errorf("left %q", got)
			}
		})
	}
}

func FuzzClean(f *testing.F) {
	f.Add("a/b")
	f.Add("/../x\u202e")
	f.Fuzz(func(t *testing.T, p string) {
		c, err := Clean(p)
		if err != nil {
			if fault.KindOf(err) != fault.Invalid {
				t.Fatal(err)
			}
			return
		}
		if again, err := Clean(c); err != nil || again != c || strings.HasPrefix(c, "/") || strings.Contains("/"+c+"/", "/../") {
			t.Fatalf("%q became %q, %q, %v", p, c, again, err)
		}
	})
}
