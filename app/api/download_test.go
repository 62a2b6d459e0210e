package api

import (
	"archive/zip"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"io"
	"net/http"
	"strconv"
	"strings"
	"testing"

	"tresor/app/release"
)

func TestDownload(t *testing.T) {
	w := newWorld(t)
	w.fill(t)
	var rel release.Release
	w.as(t, "researcher", "GET", "/releases/"+w.release, nil).want(t, 200).into(t, &rel)
	r := w.as(t, "researcher", "GET", "/releases/"+w.release+"/download", nil).want(t, 200)
	sum := sha256.Sum256([]byte(r.body))
	if hex.EncodeToString(sum[:]) != rel.SHA256 || int64(len(r.body)) != rel.Size {
		t.Error("the bytes are not those of the release")
	}
	for name, want := range map[string]string{
		"Content-Type": "application/zip", "Cache-Control": "no-store", "X-Content-Type-Options": "nosniff", "Accept-Ranges": "bytes",
		"Content-Length":      strconv.FormatInt(rel.Size, 10),
		"Content-Disposition": "attachment; filename=release-" + rel.ID + ".zip",
		"Repr-Digest":         "sha-256=:" + base64.StdEncoding.EncodeToString(sum[:]) + ":",
	} {
		if got := r.header.Get(name); got != want {
			t.Errorf("%s: %q, want %q", name, got, want)
		}
	}
	z, err := zip.NewReader(strings.NewReader(r.body), int64(len(r.body)))
	if err != nil {
		t.Fatal(err)
	}
	found := false
	for _, entry := range z.File {
		if strings.HasSuffix(entry.Name, "/data/outputs/visits.csv") {
			found = strings.Contains(unzip(t, entry), "good,120")
		}
	}
	if !found {
		t.Error("the reviewed table is not in the release")
	}
}

func unzip(t *testing.T, f *zip.File) string {
	t.Helper()
	r, err := f.Open()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	b, err := io.ReadAll(r)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func TestPartsOfADownload(t *testing.T) {
	w := newWorld(t)
	w.fill(t)
	path := "/releases/" + w.release + "/download"
	whole := w.as(t, "researcher", "GET", path, nil).want(t, 200)
	opened := w.events(t, "release.opened")
	ask := func(method, name, value string) reply {
		req, err := http.NewRequestWithContext(t.Context(), method, w.http.URL+prefix+path, nil)
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set(name, value)
		req.AddCookie(&http.Cookie{Name: cookieName, Value: w.token(t, "researcher")})
		return w.do(t, req)
	}
	if r := ask("GET", "Range", "bytes=10-19").want(t, 206); r.body != whole.body[10:20] {
		t.Errorf("another part: %q", r.body)
	}
	if n := w.events(t, "release.opened"); n != opened+1 {
		t.Errorf("an opened part is not recorded: %d after %d", n, opened)
	}
	ask("GET", "Range", "bytes=99999999-").want(t, 416)
	opened = w.events(t, "release.opened")
	if r := ask("HEAD", "X-Nothing", "x").want(t, 200); r.header.Get("Content-Length") != whole.header.Get("Content-Length") || r.header.Get("Repr-Digest") == "" {
		t.Errorf("HEAD: %v", r.header)
	}
	if n := w.events(t, "release.opened"); n != opened {
		t.Error("a HEAD is not an opening")
	}
}

func TestWhoMayNotDownload(t *testing.T) {
	w := newWorld(t)
	w.fill(t)
	for column, status := range map[string]int{"none": 401, "operator": 403, "checker": 403, "auditor": 403, "outsider": 404, "local": 403} {
		r := w.as(t, column, "GET", "/releases/"+w.release+"/download", nil)
		if r.status != status || strings.HasPrefix(r.body, "PK") || r.header.Get("Content-Disposition") != "" {
			t.Errorf("%s: %d %.80s", column, r.status, r.body)
		}
	}
	w.as(t, "researcher", "GET", "/releases/none/download", nil).want(t, 404)
}
