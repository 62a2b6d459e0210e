// Package docs holds the documentation in the binary: the pages under pages/
// and the decision records under decisions/, as Markdown, and a handler that
// shows them as plain HTML without a script. It has no logic beside that and
// imports nothing of the program.
package docs

import (
	"bytes"
	"embed"
	"html/template"
	"io/fs"
	"net/http"
	"path"
	"sort"
	"strings"

	"github.com/yuin/goldmark"
	"github.com/yuin/goldmark/extension"
	"github.com/yuin/goldmark/parser"
)

//go:embed pages/*.md decisions/*.md
var files embed.FS

// Page is one document.
type Page struct {
	Path  string // "pages/operate" or "decisions/0001-layout"
	Title string // its first heading
}

// List returns all pages in reading order: pages by name, then decisions by number.
func List() []Page {
	var out []Page
	for _, dir := range []string{"pages", "decisions"} {
		names, _ := fs.Glob(files, dir+"/*.md")
		sort.Strings(names)
		for _, n := range names {
			b, _ := files.ReadFile(n)
			out = append(out, Page{Path: strings.TrimSuffix(n, ".md"), Title: title(b)})
		}
	}
	return out
}

func title(b []byte) string {
	line, _, _ := strings.Cut(string(b), "\n")
	return strings.TrimSpace(strings.TrimLeft(line, "# "))
}

var frame = template.Must(template.New("page").Parse(`<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>{{.Title}} - Tresor</title><link rel="stylesheet" href="/docs/style.css"></head>
<body><nav aria-label="Documentation"><a href="/">Tresor</a><ul>{{range .List}}<li><a href="/docs/{{.Path}}"{{if eq .Path $.Path}} aria-current="page"{{end}}>{{.Title}}</a></li>{{end}}</ul></nav>
<main>{{.Body}}</main></body></html>
`))

const style = `:root{color-scheme:light dark;--bg:#fbfaf8;--fg:#22201c;--mute:#5f5a52;--line:#ddd8cf;--accent:#0b6b6b}
@media(prefers-color-scheme:dark){:root{--bg:#191815;--fg:#ece8e1;--mute:#a8a297;--line:#3a3731;--accent:#5cc4bd}}
*{box-sizing:border-box}body{margin:0;font:15px/1.6 system-ui,sans-serif;background:var(--bg);color:var(--fg);display:grid;grid-template-columns:16rem minmax(0,1fr)}
nav{padding:16px;border-right:1px solid var(--line);font-size:14px}nav ul{list-style:none;padding:0}nav li{margin:4px 0}
main{padding:24px 32px;max-width:52rem}a{color:var(--accent)}a[aria-current]{font-weight:600;color:var(--fg)}
code,pre{font-family:ui-monospace,monospace;font-size:13px}pre{overflow:auto;padding:12px;border:1px solid var(--line);border-radius:6px}
table{border-collapse:collapse;display:block;overflow:auto}td,th{border:1px solid var(--line);padding:4px 8px;text-align:left;vertical-align:top}
@media(max-width:640px){body{display:block}nav{border-right:0;border-bottom:1px solid var(--line)}main{padding:16px}}`

// Handler serves the documentation under /docs/.
func Handler() http.Handler {
	md := goldmark.New(goldmark.WithExtensions(extension.Table), goldmark.WithParserOptions(parser.WithAutoHeadingID()))
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		name := strings.Trim(strings.TrimPrefix(path.Clean(r.URL.Path), "/docs"), "/")
		w.Header().Set("Content-Security-Policy", "default-src 'none'; style-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'")
		w.Header().Set("X-Content-Type-Options", "nosniff")
		w.Header().Set("Referrer-Policy", "no-referrer")
		switch name {
		case "":
			http.Redirect(w, r, "/docs/pages/start", http.StatusSeeOther)
			return
		case "style.css":
			w.Header().Set("Content-Type", "text/css; charset=utf-8")
			_, _ = w.Write([]byte(style))
			return
		}
		show(w, md, strings.TrimSuffix(name, ".md"))
	})
}

func show(w http.ResponseWriter, md goldmark.Markdown, name string) {
	src, err := files.ReadFile(name + ".md")
	if err != nil {
		http.Error(w, "There is no such page. See /docs/.", http.StatusNotFound)
		return
	}
	var body bytes.Buffer
	if err := md.Convert(src, &body); err != nil {
		http.Error(w, "This page cannot be shown.", http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	_ = frame.Execute(w, map[string]any{
		"Title": title(src), "List": List(), "Path": name,
		"Body": template.HTML(body.String()), // our own embedded text; goldmark drops raw HTML
	})
}
