package task

import (
	"mime"
	"strings"
)

// What a plugin may publish to one hub.
const (
	MaxDocument  = 1 << 20 // bytes of one document
	MaxDocuments = 100     // of one plugin
	maxPath      = 200     // bytes of a document's path
)

// PublishedRoute is where a plugin's documents lie below its door; a document's
// path follows.
const PublishedRoute = "/published/"

// Document is a document that a plugin of the node publishes to this hub. It lies
// at PublishedPath.
type Document struct {
	Plugin string `json:"plugin"`
	Path   string `json:"path"`
	Type   string `json:"type"` // of its content, as DocumentType allows
	SHA256 string `json:"sha256"`
	Size   int64  `json:"size"` // bytes
}

// PublishedPath is where a hub reads a document.
func PublishedPath(plugin, path string) string { return PluginPath(plugin) + PublishedRoute + path }

// OK reports whether a document keeps the rules, whoever says that there is one.
func (d Document) OK() bool {
	return nameOK(d.Plugin) && DocumentPath(d.Path) && DocumentType(d.Type) && d.Size >= 0 && d.Size <= MaxDocument &&
		len(d.SHA256) == 64 && strings.Trim(d.SHA256, "0123456789abcdef") == ""
}

// DocumentPath reports whether a document may lie at path: names of letters, digits,
// dots, dashes and underscores, with single slashes between them, none of them all
// dots. So it needs no escape, and no two readers see different places.
func DocumentPath(path string) bool {
	if path == "" || len(path) > maxPath {
		return false
	}
	for name := range strings.SplitSeq(path, "/") {
		if strings.Trim(name, ".") == "" {
			return false
		}
		for _, c := range name {
			if (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && (c < '0' || c > '9') && c != '.' && c != '-' && c != '_' {
				return false
			}
		}
	}
	return true
}

// plainTypes are what a document may be besides JSON: nothing that a browser runs.
var plainTypes = []string{"text/plain", "text/markdown", "text/csv", "text/tab-separated-values", "text/turtle", "application/n-triples", "application/yaml"}

// DocumentType reports whether a document may have this media type.
func DocumentType(t string) bool {
	kind, params, err := mime.ParseMediaType(t)
	if err != nil || len(t) > 100 {
		return false
	}
	for k, v := range params {
		if k != "charset" || !strings.EqualFold(v, "utf-8") {
			return false
		}
	}
	if kind == "application/json" || strings.HasPrefix(kind, "application/") && strings.HasSuffix(kind, "+json") {
		return true
	}
	for _, p := range plainTypes {
		if kind == p {
			return true
		}
	}
	return false
}
