package ui

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"io/fs"
	"net/http"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"sort"
	"strings"
	"testing"
)

// sourceHash is what stamp.mjs writes to dist/.srchash: one SHA-256 over every
// file that the build reads. Keep the two in step.
func sourceHash(t *testing.T) string {
	t.Helper()
	names := []string{"index.html", "package.json", "package-lock.json", "svelte.config.js", "tsconfig.json", "vite.config.ts"}
	for _, dir := range []string{"public", "src"} {
		if err := filepath.WalkDir(dir, func(name string, e fs.DirEntry, err error) error {
			if err == nil && e.Type().IsRegular() {
				names = append(names, filepath.ToSlash(name))
			}
			return err
		}); err != nil {
			t.Fatal(err)
		}
	}
	sort.Strings(names)
	sum := sha256.New()
	for _, name := range names {
		b, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprintf(sum, "%s %x\n", name, sha256.Sum256(b))
	}
	return fmt.Sprintf("%x", sum.Sum(nil))
}

func TestDistIsWhatTheSourcesBuild(t *testing.T) {
	stamp, err := dist.ReadFile("dist/.srchash")
	if err != nil {
		t.Fatal(err)
	}
	if got := strings.TrimSpace(string(stamp)); got != sourceHash(t) {
		t.Errorf("embed/ui/dist is older or newer than embed/ui/src. Run `npm --prefix embed/ui run build` and commit dist with src.")
	}
}

// built gives every file of the build by its name below dist.
func built(t *testing.T) map[string][]byte {
	t.Helper()
	files := map[string][]byte{}
	if err := fs.WalkDir(dist, "dist", func(name string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		b, err := dist.ReadFile(name)
		files[strings.TrimPrefix(name, "dist/")] = b
		return err
	}); err != nil {
		t.Fatal(err)
	}
	return files
}

func TestEveryFileOfTheBuildIsServed(t *testing.T) {
	h := Handler()
	for name, b := range built(t) {
		if strings.HasPrefix(name, ".") || name == "index.html" {
			continue
		}
		if _, ok := types[path.Ext(name)]; !ok {
			t.Errorf("%s: no media type for %s", name, path.Ext(name))
		}
		res := ask(h, http.MethodGet, "/"+name)
		if res.StatusCode != 200 || text(t, res) != string(b) {
			t.Errorf("%s: status %d or other bytes", name, res.StatusCode)
		}
	}
}

var (
	script    = regexp.MustCompile(`(?is)<script([^>]*)>(.*?)</script>`)
	inline    = regexp.MustCompile(`(?i)\son[a-z]+\s*=|\sstyle\s*=|javascript:|<style|<base`)
	reference = regexp.MustCompile(`(?:src|href)="([^"]*)"`)
)

func TestThePageHasNothingInline(t *testing.T) {
	if strings.Count(index, nonceMark) != 1 {
		t.Errorf("index.html names the nonce %d times, want once", strings.Count(index, nonceMark))
	}
	if m := inline.FindString(index); m != "" {
		t.Errorf("index.html holds %q, which the policy refuses", m)
	}
	for _, m := range script.FindAllStringSubmatch(index, -1) {
		if strings.TrimSpace(m[2]) != "" || !strings.Contains(m[1], "src=") {
			t.Errorf("an inline script: %s", m[0])
		}
	}
	for _, m := range reference.FindAllStringSubmatch(index, -1) {
		if !strings.HasPrefix(m[1], "/") || strings.HasPrefix(m[1], "//") {
			t.Errorf("index.html names %q outside this server", m[1])
		}
	}
}

// address finds what a page could fetch. XML namespaces, links into error messages of
// libraries and the reserved names in empty fields are texts, not addresses that anything
// asks for.
var (
	address = regexp.MustCompile(`(?:https?:)?//[a-zA-Z0-9][a-zA-Z0-9.-]*\.[a-z]{2,}[^\s"'` + "`" + `)]*`)
	fetched = regexp.MustCompile(`(?:url\(|@import|import\(?|src\s*=|href\s*=|fetch\(|sourceMappingURL=|WebSocket\()\s*["'` + "`" + `]?\s*((?:https?:|wss?:)?//[^\s"'` + "`" + `)]+)`)
	texts   = regexp.MustCompile(`^https?://(www\.w3\.org/|svelte\.dev/e/|[a-z0-9]+\.example\.org(/|$))`)
)

func TestTheBuildNamesNoOtherServer(t *testing.T) {
	for name, b := range built(t) {
		for _, m := range fetched.FindAllSubmatch(b, -1) {
			t.Errorf("%s fetches %s", name, m[1])
		}
		for _, a := range address.FindAll(b, -1) {
			if bytes.HasPrefix(a, []byte("http")) && !texts.Match(a) {
				t.Errorf("%s names %s", name, a)
			}
		}
		if bytes.Contains(b, []byte("sourceMappingURL")) || path.Ext(name) == ".map" {
			t.Errorf("%s carries a source map", name)
		}
	}
}

var (
	evaluates = regexp.MustCompile(`\beval\(|new Function\(|[^.\w]Function\(["'` + "`" + `]`)
	imports   = regexp.MustCompile(`(?:\bfrom|\bimport)\s*["'` + "`" + `]\.{1,2}/([\w./-]+)["'` + "`" + `]`)
)

func TestTheBuildEvaluatesNothing(t *testing.T) {
	for name, b := range built(t) {
		if m := evaluates.Find(b); m != nil && path.Ext(name) == ".js" {
			t.Errorf("%s holds %s, which the policy refuses", name, m)
		}
	}
}

// A slow link has to bring the first page in a breath.
const firstLoad = 60_000 // bytes, compressed

func TestTheFirstLoadIsSmall(t *testing.T) {
	files := filesOf(os.DirFS("dist"))
	need := map[string]bool{}
	var want func(name string)
	want = func(name string) {
		if need[name] {
			return
		}
		need[name] = true
		f, ok := files[name]
		if !ok {
			t.Fatalf("the page needs %s, which was not built", name)
		}
		if path.Ext(name) != ".js" {
			return
		}
		for _, m := range imports.FindAllStringSubmatch(f.body, -1) {
			want(path.Join("/assets", m[1]))
		}
	}
	for _, m := range reference.FindAllStringSubmatch(index, -1) {
		want(m[1])
	}
	size := len(index)
	for name := range need {
		if strings.Contains(name, "editor") {
			t.Errorf("%s is loaded with the first page", name)
		}
		if packed := files[name].packed(); packed != "" {
			size += len(packed)
		} else {
			size += len(files[name].body)
		}
	}
	t.Logf("first load: %d files, %d bytes compressed", len(need)+1, size)
	if size >= firstLoad {
		t.Errorf("first load is %d bytes compressed, want under %d", size, firstLoad)
	}
}
