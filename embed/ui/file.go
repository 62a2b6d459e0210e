package ui

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/hex"
	"io"
	"io/fs"
	"net/http"
	"path"
	"strconv"
	"strings"
	"sync"
)

// types of the files a build makes. The system's table of types is not asked: it
// differs between hosts, and a wrong type is a blank page under nosniff.
var types = map[string]string{
	".css":   "text/css; charset=utf-8",
	".js":    "text/javascript; charset=utf-8",
	".json":  "application/json",
	".png":   "image/png",
	".svg":   "image/svg+xml",
	".txt":   "text/plain; charset=utf-8",
	".woff2": "font/woff2",
}

// file is one file of the build.
type file struct {
	kind   string // media type
	tag    string // first half of the SHA-256 of body, in hex
	named  bool   // the name holds a hash of the content: it may be kept for ever
	body   string
	packed func() string // body in gzip, or "" when that is not smaller
}

// filesOf holds all files of built by address, except pages and hidden files.
func filesOf(built fs.FS) map[string]*file {
	files := map[string]*file{}
	// An embedded file cannot fail to be read; a test compares the list.
	_ = fs.WalkDir(built, ".", func(name string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() || strings.HasPrefix(path.Base(name), ".") || path.Ext(name) == ".html" {
			return err
		}
		b, err := fs.ReadFile(built, name)
		if err == nil {
			files["/"+name] = newFile(name, b)
		}
		return err
	})
	return files
}

func newFile(name string, b []byte) *file {
	sum := sha256.Sum256(b)
	kind, ok := types[path.Ext(name)]
	if !ok {
		kind = "application/octet-stream"
	}
	return &file{
		kind: kind, tag: hex.EncodeToString(sum[:16]), named: strings.HasPrefix(name, "assets/"), body: string(b),
		packed: sync.OnceValue(func() string { return pack(kind, b) }),
	}
}

// pack compresses once, when the file is first asked for.
func pack(kind string, b []byte) string {
	if strings.HasPrefix(kind, "font/") || kind == "image/png" {
		return ""
	}
	var out bytes.Buffer
	z, _ := gzip.NewWriterLevel(&out, gzip.BestCompression) // the level is valid
	_, _ = z.Write(b)                                       // a bytes.Buffer takes everything
	_ = z.Close()
	if out.Len() >= len(b) {
		return ""
	}
	return out.String()
}

// serve answers with the file, packed where the browser takes it, or says that
// the browser's copy is good.
func (f *file) serve(w http.ResponseWriter, r *http.Request) {
	body, tag := f.body, `"`+f.tag+`"`
	h := w.Header()
	h.Set("Vary", "Accept-Encoding")
	h.Set("Cache-Control", "no-cache")
	if f.named {
		h.Set("Cache-Control", "public, max-age=31536000, immutable")
	}
	if takesGzip(r.Header.Values("Accept-Encoding")) && f.packed() != "" {
		body, tag = f.packed(), `"`+f.tag+`-gzip"`
		h.Set("Content-Encoding", "gzip")
	}
	h.Set("ETag", tag)
	if hasTag(r.Header.Values("If-None-Match"), tag) {
		h.Del("Content-Encoding")
		w.WriteHeader(http.StatusNotModified)
		return
	}
	h.Set("Content-Type", f.kind)
	write(w, r, body)
}

// write sends body with its length; HEAD gets the length only.
func write(w http.ResponseWriter, r *http.Request, body string) {
	w.Header().Set("Content-Length", strconv.Itoa(len(body)))
	if r.Method != http.MethodHead {
		_, _ = io.WriteString(w, body) // who has gone away needs no answer
	}
}

// hasTag reports whether one of the tags in If-None-Match is tag, compared weakly.
func hasTag(headers []string, tag string) bool {
	for _, t := range strings.Split(strings.Join(headers, ","), ",") {
		t = strings.TrimSpace(t)
		if t == "*" || strings.TrimPrefix(t, "W/") == tag {
			return true
		}
	}
	return false
}

// takesGzip reads Accept-Encoding: gzip named, or "*", and not with weight zero.
func takesGzip(headers []string) bool {
	takes := false
	for _, part := range strings.Split(strings.Join(headers, ","), ",") {
		name, weight, _ := strings.Cut(part, ";")
		name = strings.ToLower(strings.TrimSpace(name))
		if name != "gzip" && name != "*" {
			continue
		}
		_, q, found := strings.Cut(strings.ReplaceAll(weight, " ", ""), "q=")
		n, err := strconv.ParseFloat(q, 64)
		takes = !found || (err == nil && n > 0)
		if name == "gzip" {
			return takes
		}
	}
	return takes
}
