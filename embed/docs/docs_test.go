package docs

import (
	"io/fs"
	"net/http"
	"net/http/httptest"
	"path"
	"regexp"
	"strings"
	"testing"
)

func get(t *testing.T, url string) (int, string, http.Header) {
	t.Helper()
	rec := httptest.NewRecorder()
	Handler().ServeHTTP(rec, httptest.NewRequest("GET", url, nil))
	return rec.Code, rec.Body.String(), rec.Header()
}

func TestEveryPageShows(t *testing.T) {
	pages := List()
	if len(pages) < 5 {
		t.Fatalf("only %d pages", len(pages))
	}
	for _, p := range pages {
		code, body, head := get(t, "/docs/"+p.Path)
		if code != 200 || p.Title == "" || !strings.Contains(body, "<h1") {
			t.Errorf("%s: status %d, title %q", p.Path, code, p.Title)
		}
		if strings.Contains(body, "<script") || !strings.HasPrefix(head.Get("Content-Security-Policy"), "default-src 'none'") {
			t.Errorf("%s: scripts or no policy", p.Path)
		}
	}
}

func TestRefusals(t *testing.T) {
	for _, url := range []string{"/docs/pages/absent", "/docs/../docs.go", "/docs/pages/%2e%2e/docs", "/docs/docs.go"} {
		if code, body, _ := get(t, url); code != 404 || strings.Contains(body, "package docs") {
			t.Errorf("%s: status %d", url, code)
		}
	}
	if code, _, head := get(t, "/docs/"); code != 303 || head.Get("Location") != "/docs/pages/start" {
		t.Errorf("the front page: status %d", code)
	}
}

// A link inside the documentation leads to a page that exists.
func TestLinksInsideResolve(t *testing.T) {
	link := regexp.MustCompile(`\]\(([^)#:]+\.md)(#[^)]*)?\)`)
	_ = fs.WalkDir(files, ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		b, _ := files.ReadFile(name)
		for _, m := range link.FindAllStringSubmatch(string(b), -1) {
			if _, err := fs.Stat(files, path.Join(path.Dir(name), m[1])); err != nil {
				t.Errorf("%s links to %s, which is not there", name, m[1])
			}
		}
		return nil
	})
}
