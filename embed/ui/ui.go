// Package ui holds the built pages of the browser interface and serves them with
// the security headers they were written for. It owns dist/, what `npm run build`
// makes of src/, and never decides anything: every fact on a page comes from the
// documented API. It keeps no state, so a crash leaves nothing behind.
package ui

import (
	"crypto/rand"
	"embed"
	"encoding/base64"
	"io/fs"
	"net/http"
	"path"
	"strings"
)

//go:embed all:dist
var dist embed.FS

// index is named on its own so that a program without pages does not compile.
//
//go:embed dist/index.html
var index string

// nonceMark stands in index.html where the nonce of the response goes: scripts
// that make <style> elements (the editor) read it there.
const nonceMark = "%NONCE%"

// policy lets a page run our files and nothing else. 'self' covers web sockets
// to our own address. One named Trusted Types policy is Svelte's for its own
// templates; any other string that becomes markup is refused by the browser.
const policy = "default-src 'none'; script-src 'self'; style-src 'self' 'nonce-" + nonceMark + "'; " +
	"img-src 'self' data:; font-src 'self'; connect-src 'self'; base-uri 'none'; form-action 'self'; " +
	"frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types svelte-trusted-html"

// filePolicy is for what is not a page: a picture opened by its address runs nothing.
const filePolicy = "default-src 'none'; frame-ancestors 'none'"

// features a page of ours never asks for, so a hole in it could not either.
const features = "accelerometer=(), autoplay=(), camera=(), display-capture=(), encrypted-media=(), geolocation=(), " +
	"gyroscope=(), hid=(), magnetometer=(), microphone=(), midi=(), payment=(), serial=(), usb=(), xr-spatial-tracking=()"

// site is the files by address and the page that stands behind every other one.
type site struct {
	files map[string]*file
	page  string
}

// Handler serves the pages: files of the build under their own address, the one
// page everywhere else, and 404 for what looks like a file and is none, for
// /api/ and for /assets/. It answers GET and HEAD.
func Handler() http.Handler {
	built, _ := fs.Sub(dist, "dist") // fails for an invalid name only
	return newSite(built, index)
}

func newSite(built fs.FS, page string) *site {
	return &site{files: filesOf(built), page: page}
}

func (s *site) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	secure(w.Header())
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		w.Header().Set("Allow", "GET, HEAD")
		refuse(w, http.StatusMethodNotAllowed, "Pages can only be read. Send changes to /api/v1/.")
		return
	}
	if f, ok := s.files[r.URL.Path]; ok {
		f.serve(w, r)
		return
	}
	if !isPage(r.URL.Path) {
		refuse(w, http.StatusNotFound, "There is no such file. Open / for the pages, /docs/ for the documentation.")
		return
	}
	s.servePage(w, r)
}

// secure sets what every answer carries.
func secure(h http.Header) {
	h.Set("Content-Security-Policy", filePolicy)
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("Permissions-Policy", features)
	h.Set("Cross-Origin-Opener-Policy", "same-origin")
	h.Set("Cross-Origin-Resource-Policy", "same-origin")
}

// isPage tells an address of the interface from one of a file: the former has no
// dot in its last part, none of its parts begins with one, and it lies outside
// the folders that hold something else.
func isPage(p string) bool {
	if p == "/api" || strings.HasPrefix(p, "/api/") || p == "/assets" || strings.HasPrefix(p, "/assets/") {
		return false
	}
	return !strings.Contains(p, "/.") && !strings.Contains(path.Base(p), ".")
}

// servePage answers with the page and a nonce of its own. It is never stored: a
// stored page would repeat the nonce and name the files of an older build.
func (s *site) servePage(w http.ResponseWriter, r *http.Request) {
	nonce := newNonce()
	h := w.Header()
	h.Set("Content-Security-Policy", strings.ReplaceAll(policy, nonceMark, nonce))
	h.Set("Cache-Control", "no-store")
	h.Set("Content-Type", "text/html; charset=utf-8")
	write(w, r, strings.ReplaceAll(s.page, nonceMark, nonce))
}

// newNonce is 128 random bits in the alphabet that a policy allows.
func newNonce() string {
	var b [16]byte
	_, _ = rand.Read(b[:]) // never fails: the runtime ends the program instead
	return base64.RawURLEncoding.EncodeToString(b[:])
}

func refuse(w http.ResponseWriter, status int, says string) {
	w.Header().Set("Cache-Control", "no-store")
	http.Error(w, says, status)
}
