package task

import (
	"strings"
	"testing"
)

func TestWhereADocumentMayLie(t *testing.T) {
	for path, ok := range map[string]bool{
		"a": true, "a/b.json": true, "A_b-c.1/x": true, ".hidden": true, "..a": true, strings.Repeat("a", maxPath): true,
		"": false, "/a": false, "a/": false, "a//b": false, "..": false, "a/../b": false, "./a": false, "a/.": false, "...": false, "a b": false, "a%2fb": false,
		"ä": false, "a\\b": false, "a\x00": false, "a\n": false, "a?b": false, "a#b": false, strings.Repeat("a", maxPath+1): false,
	} {
		if DocumentPath(path) != ok {
			t.Errorf("%q: %v", path, !ok)
		}
	}
}

func TestWhatADocumentMayBe(t *testing.T) {
	for kind, ok := range map[string]bool{
		"application/json": true, "application/ld+json": true, "text/plain": true, "text/markdown; charset=utf-8": true, "TEXT/CSV": true, "application/json; charset=UTF-8": true,
		"": false, "text/html": false, "image/svg+xml": false, "application/xml": false, "text/javascript": false, "application/octet-stream": false, "text/x+json": false,
		"text/plain; charset=utf-7": false, "text/plain; x=y": false, "text/plain\r\nSet-Cookie: a=b": false, "json": false, "application/" + strings.Repeat("a", 200) + "+json": false,
	} {
		if DocumentType(kind) != ok {
			t.Errorf("%q: %v", kind, !ok)
		}
	}
	good := Document{Plugin: "tes", Path: "a", Type: "text/plain", SHA256: strings.Repeat("a", 64), Size: 1}
	if !good.OK() {
		t.Error("a good one")
	}
	for name, spoil := range map[string]func(*Document){
		"plugin": func(d *Document) { d.Plugin = "../x" }, "path": func(d *Document) { d.Path = "../x" }, "type": func(d *Document) { d.Type = "text/html" },
		"hash": func(d *Document) { d.SHA256 = strings.Repeat("Z", 64) }, "negative": func(d *Document) { d.Size = -1 }, "large": func(d *Document) { d.Size = MaxDocument + 1 },
	} {
		d := good
		if spoil(&d); d.OK() {
			t.Errorf("a document with a bad %s", name)
		}
	}
}
