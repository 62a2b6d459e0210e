package check

import (
	"path"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Meta is what a request knows of a file before it is read.
type Meta struct {
	Path string
	Size int64 // bytes
}

// Request checks what only the whole set of files shows: their number, their
// sizes together, names that collide, figures without counts. Findings have no
// position.
func Request(p Profile, files []Meta) []Finding {
	c := newCollector()
	if len(files) == 0 {
		c.add("I2", -1, -1, "none", "The request holds no file.")
		c.next("Choose at least one output.")
	}
	if len(files) > p.MaxFiles {
		c.add("I2", -1, -1, "many", "The request holds %d files; at most %d are allowed.", len(files), p.MaxFiles)
	}
	if total(files) > p.MaxRequest {
		c.add("I2", -1, -1, "sum", "The files are %d bytes together; at most %d are allowed.", total(files), p.MaxRequest)
	}
	c.collisions(files)
	c.figures(files)
	return c.list()
}

func total(files []Meta) int64 {
	var n int64
	for _, f := range files {
		n += f.Size
	}
	return n
}

func (c *collector) collisions(files []Meta) {
	seen := map[string]bool{}
	for _, f := range files {
		k := strings.ToLower(path.Clean(f.Path))
		if seen[k] {
			c.add("I2", -1, -1, "twice", "Two files have the same name when capitals are ignored.")
		}
		seen[k] = true
	}
}

func (c *collector) figures(files []Meta) {
	figure, counts := false, false
	for _, f := range files {
		figure = figure || KindOf(f.Path) == KindImage
		counts = counts || KindOf(f.Path) == KindTable || ext(f.Path) == "json"
	}
	if figure && !counts {
		c.add("I5", -1, -1, "", "The request holds a picture and no table with the counts behind it.")
	}
}

// name applies the rules for names: a name travels with the file, so it may
// carry nothing that a reader does not see.
func (c *collector) name(name string) {
	if why := badName(name); why != "" {
		c.add("I2", -1, -1, "name", "The file name %s.", why)
		c.next("Give the file a short name of letters, digits, spaces and . _ - and run the job again.")
	}
	if encoded([]byte(name)) {
		c.add("T15", -1, -1, "name", "The file name looks like encoded data.")
		c.next("Give the file a name in plain words.")
	}
	c.identifiers([]byte(name), -1, -1, "in the file name")
}

func badName(name string) string {
	switch {
	case name == "" || len(name) > 255:
		return "is empty or longer than 255 bytes"
	case !utf8.ValidString(name):
		return "is not UTF-8"
	case strings.HasPrefix(name, "/") || path.Clean(name) != name:
		return "is not a plain relative path"
	case strings.Count(name, "/") >= 8:
		return "is deeper than 8 folders"
	}
	for _, part := range strings.Split(name, "/") {
		if why := badPart(part); why != "" {
			return why
		}
	}
	return ""
}

func badPart(part string) string {
	if part == "" || part == ".." || strings.ContainsAny(part[:1], ".- ") || strings.HasSuffix(part, " ") || strings.HasSuffix(part, ".") {
		return "starts with a dot, dash or space, or ends with a dot or space"
	}
	for _, r := range part {
		if !unicode.IsLetter(r) && !unicode.IsDigit(r) && !strings.ContainsRune(" ._-()+,=@%~", r) {
			return "holds a character other than letters, digits, spaces and . _ - ( ) + , = @ % ~"
		}
	}
	stem, _, _ := strings.Cut(strings.ToLower(part), ".")
	switch stem {
	case "con", "prn", "aux", "nul", "com1", "com2", "com3", "lpt1", "lpt2", "lpt3":
		return "is reserved by Windows"
	}
	return ""
}
