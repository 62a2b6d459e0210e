package gateway

import (
	"archive/tar"
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"net/url"
	"path/filepath"
	"strings"
	"testing"

	"tresor/app/tree"
	"tresor/app/vault"
)

// entry is one file of an archive that a program posts.
type entry struct {
	name, content, seen string
	mode                int64
	kind                byte
}

func archived(t *testing.T, entries ...entry) string {
	t.Helper()
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for _, e := range entries {
		h := &tar.Header{Typeflag: e.kind, Name: e.name, Size: int64(len(e.content)), Mode: max(e.mode, 0o644)}
		if e.kind == 0 {
			h.Typeflag = tar.TypeReg
		}
		if h.Typeflag != tar.TypeReg {
			h.Size, h.Linkname = 0, e.content
		}
		if e.seen != "" {
			h.PAXRecords = map[string]string{SeenRecord: e.seen}
		}
		if err := w.WriteHeader(h); err != nil {
			t.Fatal(err)
		}
		if h.Size > 0 {
			_, _ = w.Write([]byte(e.content))
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func sumOf(content string) string {
	sum := sha256.Sum256([]byte(content))
	return hex.EncodeToString(sum[:])
}

// listed is what a program inside finds below a folder, with an ETag to ask again.
func (h *house) listed(inside Caller, query, seen string) (code int, tag, names string) {
	h.t.Helper()
	r := httptest.NewRequest("GET", "http://tes.local/project/"+query, nil)
	r.Header.Set("If-None-Match", seen)
	w := httptest.NewRecorder()
	h.g.InsideDoor(nil, inside.ID).ServeHTTP(w, r)
	var list Listing
	if w.Code == http.StatusOK {
		if err := json.Unmarshal(w.Body.Bytes(), &list); err != nil {
			h.t.Fatal(err)
		}
	}
	for _, f := range list.Files {
		names += f.Path
		if f.Executable {
			names += "*"
		}
		names += " "
	}
	return w.Code, w.Header().Get("ETag"), names
}

func TestManyFilesInOneRequest(t *testing.T) {
	h := newHouse(t)
	h.run()
	rosa, _ := h.person("rosa", "aurora")
	_, inside := h.working(rosa)
	body := archived(t, entry{name: "a.txt", content: "one", seen: NeverSeen}, entry{name: "bin/", kind: tar.TypeDir}, entry{name: "bin/tool", content: "#!", mode: 0o755})
	if w := h.files(inside, "POST", "/project/run/", body); w.Code != http.StatusNoContent {
		t.Fatalf("%d %s", w.Code, w.Body)
	}
	_, first, names := h.listed(inside, "", "")
	if names != "run/a.txt run/bin/tool* " {
		t.Fatalf("%q", names)
	}
	if code, tag, _ := h.listed(inside, "run/", first); code != http.StatusNotModified || tag != first {
		t.Errorf("nothing changed: %d %s %s", code, tag, first)
	}
	if w := h.files(inside, "POST", "/project/", archived(t, entry{name: "run/a.txt", content: "two", seen: sumOf("one")})); w.Code != http.StatusNoContent {
		t.Fatalf("%d %s", w.Code, w.Body)
	}
	if code, tag, names := h.listed(inside, "?since="+url.QueryEscape(first), first); code != 200 || tag == first || names != "run/a.txt " {
		t.Errorf("one changed: %d %s %q", code, tag, names)
	}
	if w := h.files(inside, "POST", "/project/", archived(t)); w.Code != http.StatusNoContent {
		t.Errorf("an empty archive: %d %s", w.Code, w.Body)
	}
	if code, _, _ := h.listed(inside, "?since=x", ""); code != http.StatusBadRequest {
		t.Errorf("since=x: %d", code)
	}
}

func TestArchivesThatAreRefused(t *testing.T) {
	h := newHouse(t)
	h.run()
	rosa, _ := h.person("rosa", "aurora")
	_, hub := h.hub("North hub")
	_, local := h.working(rosa)
	_, remote := h.working(hub)
	h.files(local, "PUT", "/project/mine.txt", "CANARY-CONTENT")
	many := make([]entry, MaxBatch+1)
	for i := range many {
		many[i] = entry{name: "many/" + itoa(int64(i))}
	}
	good := entry{name: "good.txt", content: "good"}
	for name, c := range map[string]struct {
		who        Caller
		path, body string
		code       int
		file, says string
	}{
		"not an archive":                   {local, "/project/", strings.Repeat("x", 2000), 400, "", "no whole tar"},
		"cut short":                        {local, "/project/", archived(t, good)[:514], 400, "good.txt", "before all of it"},
		"a symbolic link":                  {local, "/project/", archived(t, good, entry{name: "l", content: "good.txt", kind: tar.TypeSymlink}), 400, "l", "no plain file"},
		"a named pipe":                     {local, "/project/", archived(t, good, entry{name: "p", kind: tar.TypeFifo}), 400, "p", "no plain file"},
		"a path that climbs":               {local, "/project/run/", archived(t, good, entry{name: "../x"}), 400, "run/../x", ""},
		"a file without a name":            {local, "/project/run/", archived(t, good, entry{name: ""}), 400, "run/", "no plain file"},
		"a control character":              {local, "/project/", archived(t, good, entry{name: "a\x01b"}), 400, "a\x01b", ""},
		"a version that was not seen":      {local, "/project/", archived(t, good, entry{name: "mine.txt", content: "mine", seen: NeverSeen}), 409, "mine.txt", "not the one that the program has seen"},
		"another version was seen":         {local, "/project/", archived(t, good, entry{name: "mine.txt", content: "mine", seen: sumOf("else")}), 409, "mine.txt", "something else wrote"},
		"a version that is gone":           {local, "/project/", archived(t, good, entry{name: "gone.txt", seen: sumOf("was")}), 409, "gone.txt", ""},
		"a hub's program replaces":         {remote, "/project/", archived(t, good, entry{name: "mine.txt", content: "mine"}), 409, "mine.txt", "somebody else"},
		"too many files":                   {local, "/project/", archived(t, many...), 400, "many/1000", "more than 1000"},
		"no folder":                        {local, "/project/run", archived(t, good), 400, "", "slash"},
		"a file where a folder has to be":  {local, "/project/mine.txt/", archived(t, good), 409, "", ""},
		"a job that nobody knows":          {Caller{Kind: Inside, ID: "none"}, "/project/", archived(t, good), 401, "", ""},
		"the same bytes that are there":    {local, "/project/", archived(t, entry{name: "mine.txt", content: "CANARY-CONTENT", seen: NeverSeen}), 204, "", ""},
		"a file without a condition again": {local, "/project/", archived(t, entry{name: "mine.txt", content: "CANARY-CONTENT"}), 204, "", ""},
	} {
		w := h.files(c.who, "POST", c.path, c.body)
		file, _ := url.PathUnescape(w.Header().Get(FileHeader))
		if w.Code != c.code || file != c.file || !strings.Contains(w.Body.String(), c.says) {
			t.Errorf("%s: %d %q %s, want %d, %q and %q", name, w.Code, file, w.Body, c.code, c.file, c.says)
		}
	}
	if _, _, names := h.listed(local, "", ""); names != "mine.txt " {
		t.Errorf("left %q", names)
	}
}

func TestArchivesAreBounded(t *testing.T) {
	h := newHouse(t)
	h.run()
	rosa, _ := h.person("rosa", "aurora")
	_, inside := h.working(rosa)
	h.files(inside, "PUT", "/project/a.txt", "a")
	used := h.g.puts.all["inside:"+inside.ID]
	two := archived(t, entry{name: "b", content: "12"}, entry{name: "c", content: "34"})
	for name, c := range map[string]struct {
		set  func()
		says string
	}{
		"files":               {func() { used.files = putFiles - 1 }, "which is as many as it may"},
		"bytes":               {func() { used.files, used.bytes = 0, putBytes-3 }, "may be put now"},
		"the project's quota": {func() { used.files, used.bytes = 0, 0; h.tree.Quota = 4 }, "may be put now"},
	} {
		quota := h.tree.Quota
		c.set()
		w := h.files(inside, "POST", "/project/", two)
		used.files, used.bytes, h.tree.Quota = 0, 0, quota
		if w.Code != http.StatusTooManyRequests || !strings.Contains(w.Body.String(), c.says) || w.Header().Get(FileHeader) != "c" {
			t.Errorf("%s: %d %q %s", name, w.Code, w.Header().Get(FileHeader), w.Body)
		}
	}
	if _, _, names := h.listed(inside, "", ""); names != "a.txt " {
		t.Errorf("left %q", names)
	}
}

// TestConditionsOfOneFile: PUT knows the same by the headers that HTTP has for it.
func TestConditionsOfOneFile(t *testing.T) {
	h := newHouse(t)
	h.run()
	rosa, _ := h.person("rosa", "aurora")
	_, inside := h.working(rosa)
	put := func(content, header, value string) int {
		r := httptest.NewRequest("PUT", "http://tes.local/project/x.txt", strings.NewReader(content))
		r.Header.Set(header, value)
		w := httptest.NewRecorder()
		h.g.InsideDoor(nil, inside.ID).ServeHTTP(w, r)
		return w.Code
	}
	for _, c := range []struct {
		name, content, header, value string
		code                         int
	}{
		{"new", "1", "If-None-Match", "*", 204},
		{"not new any more", "2", "If-None-Match", "*", 409},
		{"another version", "2", "If-Match", `"` + sumOf("0") + `"`, 409},
		{"this version", "2", "If-Match", `"` + sumOf("1") + `"`, 204},
		{"without a condition", "3", "X-None", "", 204},
	} {
		if got := put(c.content, c.header, c.value); got != c.code {
			t.Errorf("%s: %d, want %d", c.name, got, c.code)
		}
	}
}

// FuzzArchives: whatever a container posts is answered, and what is kept has a name
// that the project's files may have.
func FuzzArchives(f *testing.F) {
	t := new(testing.T)
	f.Add([]byte(archived(t, entry{name: "a", content: "1"}, entry{name: "b/c", content: "2", seen: NeverSeen})))
	f.Add([]byte(archived(t, entry{name: "../a"}, entry{name: "l", kind: tar.TypeSymlink, content: "/etc/passwd"})))
	f.Add([]byte(archived(t, entry{name: "a", content: "1"}))[:600])
	f.Add([]byte("\x1f\x8b\x08 no archive"))
	v, err := vault.Open(filepath.Join(f.TempDir(), "vault"))
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		b := &batch{s: &Service{Deps: Deps{Vault: v}, puts: newAllowances()}, p: &party{counts: []counted{{key: "k"}}}, most: 1 << 20, slots: make(chan struct{}, 1)}
		b.r = httptest.NewRequest("POST", "/project/", bytes.NewReader(body))
		err := b.unpack(httptest.NewRecorder(), "run/")
		b.hands.Wait()
		for _, f := range b.list {
			if clean, cerr := tree.Clean(f.Path); cerr != nil || clean != f.Path || !strings.HasPrefix(clean, "run/") {
				t.Fatalf("%q was taken (%v)", f.Path, err)
			}
		}
	})
}
