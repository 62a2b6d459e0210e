package hub

import (
	"archive/zip"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestPartsOfAResult: ranges, conditions and HEAD, as RFC 9110 has them.
func TestPartsOfAResult(t *testing.T) {
	r, _, id := released(t, "0123456789")
	whole := "PLAIN rel-north 0123456789"
	sum := r.part(id, "north").Result.SHA256
	for _, c := range []struct {
		name, method, header, value, and string
		status                           int
		body                             string
	}{
		{"whole", "GET", "", "", "", 200, whole},
		{"head", "HEAD", "", "", "", 200, ""},
		{"the first five", "GET", "Range", "bytes=0-4", "", 206, "PLAIN"},
		{"the last three", "GET", "Range", "bytes=-3", "", 206, "789"},
		{"from a place on", "GET", "Range", "bytes=16-", "", 206, "0123456789"},
		{"behind the end", "GET", "Range", "bytes=1000-", "", 416, ""},
		{"no range", "GET", "Range", "lines=1-2", "", 416, ""},
		{"if it is the same", "GET", "If-Range", `"` + sum + `"`, "bytes=0-4", 206, "PLAIN"},
		{"it is another", "GET", "If-Range", `"other"`, "bytes=0-4", 200, whole},
		{"known already", "GET", "If-None-Match", `"` + sum + `"`, "", 304, ""},
		{"only if it is the same", "GET", "If-Match", `"other"`, "", 412, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			q, err := http.NewRequestWithContext(t.Context(), c.method, r.server.URL+"/ga4gh/tes/results/"+id+"/north", nil)
			must(t, err)
			q.Header.Set("Authorization", "Bearer "+r.token)
			if c.header != "" {
				q.Header.Set(c.header, c.value)
			}
			if c.and != "" {
				q.Header.Set("Range", c.and)
			}
			resp, err := http.DefaultClient.Do(q)
			must(t, err)
			defer resp.Body.Close()
			body, err := io.ReadAll(resp.Body)
			must(t, err)
			if resp.StatusCode != c.status || c.status < 300 && string(body) != c.body {
				t.Errorf("%d %q", resp.StatusCode, body)
			}
			if c.status == 200 && (resp.Header.Get("ETag") != `"`+sum+`"` || resp.Header.Get("Accept-Ranges") != "bytes" || resp.ContentLength != int64(len(whole)) ||
				!strings.HasPrefix(resp.Header.Get("Repr-Digest"), "sha-256=:")) {
				t.Errorf("%v", resp.Header)
			}
		})
	}
}

// TestPartsOfOneFile: a file that the zip holds as it is comes in parts, a packed one whole.
func TestPartsOfOneFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "r.zip")
	out, err := os.Create(path)
	must(t, err)
	w := zip.NewWriter(out)
	for name, method := range map[string]uint16{"stored.csv": zip.Store, "packed.csv": zip.Deflate, "unnamed.csv": zip.Store} {
		f, err := w.CreateHeader(&zip.FileHeader{Name: "rel/data/outputs/" + name, Method: method})
		must(t, err)
		_, err = io.WriteString(f, "0123456789")
		must(t, err)
	}
	must(t, w.Close())
	must(t, out.Close())
	f, err := os.Open(path)
	must(t, err)
	defer f.Close()
	info, err := f.Stat()
	must(t, err)
	sum := strings.Repeat("ab", 32)
	file := &ResultFile{File: f, Size: info.Size(), files: []File{{Path: "stored.csv", SHA256: sum}, {Path: "packed.csv", SHA256: sum}}}
	z, err := zip.NewReader(f, file.Size)
	must(t, err)
	for _, c := range []struct {
		name, method, ranges string
		status               int
		body, accepts        string
	}{
		{"stored.csv", "GET", "", 200, "0123456789", "bytes"},
		{"stored.csv", "GET", "bytes=2-4", 206, "234", "bytes"},
		{"stored.csv", "HEAD", "", 200, "", "bytes"},
		{"packed.csv", "GET", "", 200, "0123456789", "none"},
		{"packed.csv", "GET", "bytes=2-4", 200, "0123456789", "none"},
		{"packed.csv", "HEAD", "", 200, "", "none"},
		{"unnamed.csv", "GET", "bytes=0-0", 206, "0", "bytes"},
	} {
		q := httptest.NewRequest(c.method, "/", nil)
		if c.ranges != "" {
			q.Header.Set("Range", c.ranges)
		}
		rec := httptest.NewRecorder()
		must(t, sendEntry(rec, q, file, entryOf(z, c.name), c.name))
		if rec.Code != c.status || rec.Body.String() != c.body || rec.Header().Get("Accept-Ranges") != c.accepts ||
			(rec.Header().Get("ETag") == `"`+sum+`"`) != (c.name != "unnamed.csv") || rec.Header().Get("Content-Type") != "application/octet-stream" {
			t.Errorf("%s %s %s: %d %q %v", c.method, c.name, c.ranges, rec.Code, rec.Body, rec.Header())
		}
	}
	if file.sumOf("nothing") != "" {
		t.Error("a file that is not there has a hash")
	}
}
