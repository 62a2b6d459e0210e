package ui

import (
	"compress/gzip"
	"io"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"testing"
	"testing/fstest"
)

const samplePage = `<!doctype html><meta name="csp-nonce" content="%NONCE%"><title>x</title>`

// sample is a small build, so that these tests say the same for every real one.
func sample() *site {
	return newSite(fstest.MapFS{
		"index.html":             {Data: []byte(samplePage)},
		".srchash":               {Data: []byte("00\n")},
		"icon.svg":               {Data: []byte(`<svg xmlns="http://www.w3.org/2000/svg"/>` + strings.Repeat(" ", 500))},
		"assets/index-Ab12.js":   {Data: []byte(strings.Repeat("export const a = 1;\n", 200))},
		"assets/index-Cd34.css":  {Data: []byte(strings.Repeat(".a { color: red }\n", 200))},
		"assets/tiny-Ef56.js":    {Data: []byte("1")},
		"assets/mono-Gh78.woff2": {Data: []byte(strings.Repeat("w", 4000))},
	}, samplePage)
}

func ask(h http.Handler, method, target string, header ...string) *http.Response {
	r := httptest.NewRequest(method, "/", nil)
	r.URL.Path = target
	for i := 0; i+1 < len(header); i += 2 {
		r.Header.Add(header[i], header[i+1])
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w.Result()
}

func text(t *testing.T, res *http.Response) string {
	t.Helper()
	b, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func TestWhatAnswersAnAddress(t *testing.T) {
	const page, file, none = "page", "file", "none"
	tests := []struct{ path, want string }{
		{"/", page},
		{"/projects", page},
		{"/projects/aurora/new", page},
		{"/jobs/0198c7a4-1f2e-7000-8000-000000000001", page},
		{"/images", page},
		{"/link", page},
		{"/apian", page},
		{"/a//b", page},
		{"/icon.svg", file},
		{"/assets/index-Ab12.js", file},
		{"/assets/mono-Gh78.woff2", file},
		{"/index.html", none},
		{"/api", none},
		{"/api/", none},
		{"/api/v1/nothing", none},
		{"/assets", none},
		{"/assets/", none},
		{"/assets/index-Old1.js", none},
		{"/assets/page", none},
		{"/assets/../.srchash", none},
		{"/.srchash", none},
		{"/.git/config", none},
		{"/.well-known/acme-challenge/x", none},
		{"/../../etc/passwd", none},
		{"/..%2f..%2fetc/passwd", none},
		{"/assets/../../ui.go", none},
		{"/favicon.ico", none},
		{"/robots.txt", none},
		{"icon.svg", none},
		{"", none},
	}
	s := sample()
	for _, c := range tests {
		t.Run(c.path, func(t *testing.T) {
			res := ask(s, http.MethodGet, c.path)
			got := none
			switch body := text(t, res); {
			case res.StatusCode == 200 && strings.Contains(body, "<!doctype html>"):
				got = page
			case res.StatusCode == 200:
				got = file
			case res.StatusCode != 404:
				t.Fatalf("status %d", res.StatusCode)
			}
			if got != c.want {
				t.Errorf("answered by %s, want %s", got, c.want)
			}
		})
	}
}

func TestEveryAnswerCarriesTheSecurityHeaders(t *testing.T) {
	want := map[string]string{
		"X-Content-Type-Options":       "nosniff",
		"Referrer-Policy":              "no-referrer",
		"Cross-Origin-Opener-Policy":   "same-origin",
		"Cross-Origin-Resource-Policy": "same-origin",
		"Permissions-Policy":           features,
	}
	s := sample()
	for _, target := range []string{"/", "/jobs/1", "/icon.svg", "/assets/index-Ab12.js", "/assets/gone.js", "/api/v1/x"} {
		res := ask(s, http.MethodGet, target)
		for name, value := range want {
			if got := res.Header.Get(name); got != value {
				t.Errorf("%s: %s is %q, want %q", target, name, got, value)
			}
		}
		if csp := res.Header.Get("Content-Security-Policy"); !strings.HasPrefix(csp, "default-src 'none'; ") || !strings.Contains(csp, "frame-ancestors 'none'") {
			t.Errorf("%s: policy %q", target, csp)
		}
		if strings.Contains(res.Header.Get("Content-Security-Policy"), "unsafe") {
			t.Errorf("%s: the policy allows something unsafe", target)
		}
	}
}

var metaNonce = regexp.MustCompile(`<meta name="csp-nonce" content="([A-Za-z0-9_-]{22})"`)

func TestEveryPageHasANonceOfItsOwn(t *testing.T) {
	seen := map[string]bool{}
	for range 50 {
		res := ask(Handler(), http.MethodGet, "/")
		m := metaNonce.FindStringSubmatch(text(t, res))
		if m == nil {
			t.Fatal("the page carries no nonce")
		}
		if seen[m[1]] {
			t.Fatal("a nonce came twice")
		}
		seen[m[1]] = true
		csp := res.Header.Get("Content-Security-Policy")
		if !strings.Contains(csp, "style-src 'self' 'nonce-"+m[1]+"';") {
			t.Fatalf("page and policy disagree: %q in %q", m[1], csp)
		}
		if !strings.Contains(csp, "script-src 'self';") || !strings.Contains(csp, "require-trusted-types-for 'script'") {
			t.Fatalf("policy %q", csp)
		}
		if res.Header.Get("Cache-Control") != "no-store" {
			t.Fatal("a page may not be stored")
		}
	}
}

func TestFilesAreKeptByTheBrowser(t *testing.T) {
	s := sample()
	for _, c := range []struct{ path, kind, cache string }{
		{"/assets/index-Ab12.js", "text/javascript; charset=utf-8", "public, max-age=31536000, immutable"},
		{"/assets/index-Cd34.css", "text/css; charset=utf-8", "public, max-age=31536000, immutable"},
		{"/icon.svg", "image/svg+xml", "no-cache"},
	} {
		res := ask(s, http.MethodGet, c.path)
		tag := res.Header.Get("ETag")
		if res.Header.Get("Content-Type") != c.kind || res.Header.Get("Cache-Control") != c.cache || len(tag) < 20 {
			t.Errorf("%s: %v", c.path, res.Header)
		}
		if res.Header.Get("Vary") != "Accept-Encoding" {
			t.Errorf("%s: a proxy could mix up the two forms", c.path)
		}
		for _, none := range []string{tag, "W/" + tag, `"other", ` + tag, "*"} {
			again := ask(s, http.MethodGet, c.path, "If-None-Match", none)
			if again.StatusCode != 304 || text(t, again) != "" || again.Header.Get("ETag") != tag {
				t.Errorf("%s with %s: status %d", c.path, none, again.StatusCode)
			}
		}
		if res := ask(s, http.MethodGet, c.path, "If-None-Match", `"other"`); res.StatusCode != 200 {
			t.Errorf("%s with another tag: status %d", c.path, res.StatusCode)
		}
	}
}

func TestFilesArePackedForThoseWhoTakeIt(t *testing.T) {
	s := sample()
	for _, c := range []struct {
		accept string
		packed bool
	}{
		{"", false}, {"gzip", true}, {"br, GZIP;q=0.5", true}, {"*", true}, {"gzip;q=0", false},
		{"gzip; q=0.000", false}, {"identity", false}, {"*, gzip;q=0", false}, {"*;q=0", false}, {"gzip;q=x", false}, {"xgzip", false},
	} {
		res := ask(s, http.MethodGet, "/assets/index-Ab12.js", "Accept-Encoding", c.accept)
		if got := res.Header.Get("Content-Encoding") == "gzip"; got != c.packed {
			t.Errorf("Accept-Encoding %q: packed is %v", c.accept, got)
		}
	}
	plain := ask(s, http.MethodGet, "/assets/index-Ab12.js")
	packed := ask(s, http.MethodGet, "/assets/index-Ab12.js", "Accept-Encoding", "gzip")
	if plain.Header.Get("ETag") == packed.Header.Get("ETag") {
		t.Error("two forms share one tag")
	}
	z, err := gzip.NewReader(packed.Body)
	if err != nil {
		t.Fatal(err)
	}
	b, err := io.ReadAll(z)
	if err != nil || string(b) != text(t, plain) {
		t.Errorf("the packed form holds something else (%v)", err)
	}
	tag := packed.Header.Get("ETag")
	again := ask(s, http.MethodGet, "/assets/index-Ab12.js", "Accept-Encoding", "gzip", "If-None-Match", tag)
	if again.StatusCode != 304 || again.Header.Get("Content-Encoding") != "" {
		t.Errorf("packed form again: status %d, %v", again.StatusCode, again.Header)
	}
	for _, small := range []string{"/assets/tiny-Ef56.js", "/assets/mono-Gh78.woff2"} {
		if res := ask(s, http.MethodGet, small, "Accept-Encoding", "gzip"); res.Header.Get("Content-Encoding") != "" {
			t.Errorf("%s was packed for nothing", small)
		}
	}
}

func TestOnlyReading(t *testing.T) {
	s := sample()
	for _, target := range []string{"/", "/assets/index-Ab12.js"} {
		get, head := ask(s, http.MethodGet, target), ask(s, http.MethodHead, target)
		if head.StatusCode != 200 || text(t, head) != "" || head.Header.Get("Content-Length") != get.Header.Get("Content-Length") {
			t.Errorf("HEAD %s: status %d, length %s, want %s", target, head.StatusCode, head.Header.Get("Content-Length"), get.Header.Get("Content-Length"))
		}
		for _, method := range []string{"POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "PROPFIND"} {
			res := ask(s, method, target)
			if res.StatusCode != 405 || res.Header.Get("Allow") != "GET, HEAD" {
				t.Errorf("%s %s: status %d", method, target, res.StatusCode)
			}
		}
	}
}
