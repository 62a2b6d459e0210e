package check

import (
	"bufio"
	"bytes"
)

// signature is how a format announces itself in its first bytes.
type signature struct{ magic, what string }

var signatures = []signature{
	{"\x89PNG\r\n\x1a\n", "png"}, {"\xff\xd8\xff", "jpg"}, {"PK\x03\x04", "a zip archive"}, {"PK\x05\x06", "a zip archive"},
	{"%PDF", "a PDF"}, {"\x7fELF", "a program"}, {"MZ\x90", "a program"}, {"#!", "a script"}, {"SQLite format 3", "a database"},
	{"GIF8", "a GIF picture"}, {"\x1f\x8b", "a gzip archive"}, {"BZh", "a bzip2 archive"}, {"\xfd7zXZ", "an xz archive"},
	{"7z\xbc\xaf", "a 7z archive"}, {"Rar!", "a rar archive"}, {"PAR1", "a parquet table"}, {"ARROW1", "an arrow table"},
	{"\x89HDF", "an HDF5 file"}, {"\xd0\xcf\x11\xe0", "an office document"}, {"{\\rtf", "an office document"},
	{"RDX", "an R object"}, {"%!PS", "a PostScript page"}, {"\x28\xb5\x2f\xfd", "a zstd archive"}, {"\x00asm", "a program"},
}

// magic compares the first bytes with what the name promises.
func (c *collector) magic(name string, br *bufio.Reader) {
	head, _ := br.Peek(64)
	want := ext(name)
	if want == "jpeg" {
		want = "jpg"
	}
	got := ""
	for _, s := range signatures {
		if bytes.HasPrefix(head, []byte(s.magic)) {
			got = s.what
			break
		}
	}
	if picture := want == "png" || want == "jpg"; picture && got == "" {
		c.add("I4", -1, -1, "magic", "The name says %s, and the content is not a %s picture.", want, want)
	} else if got != "" && got != want {
		c.add("I4", -1, -1, "magic", "The name says %s, and the content is %s.", want, article(got))
	}
}

func article(what string) string {
	if what == "png" || what == "jpg" {
		return "a " + what + " picture"
	}
	return what
}

// second formats that are plain enough to hide in text; binary ones are already
// refused because of their control characters.
var markup = [][]byte{
	[]byte("html"), []byte("script"), []byte("svg"), []byte("iframe"), []byte("object"), []byte("embed"),
	[]byte("!doctype"), []byte("?xml"), []byte("?php"), []byte("img"), []byte("style"), []byte("link"), []byte("body"), []byte("form"),
}

// hidden looks in one line of text for the start of another format.
func hidden(line []byte) string {
	if i := bytes.Index(line, []byte("%PDF-")); i >= 0 {
		return "a PDF"
	}
	for rest := line; ; {
		i := bytes.IndexByte(rest, '<')
		if i < 0 {
			return ""
		}
		rest = bytes.TrimPrefix(rest[i+1:], []byte("/"))
		for _, m := range markup {
			if len(rest) >= len(m) && bytes.EqualFold(rest[:len(m)], m) && !wordAt(rest, len(m)) {
				return "markup of a web page"
			}
		}
	}
}

func wordAt(b []byte, i int) bool { return i < len(b) && isLetter(b[i]) }
