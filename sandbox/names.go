package sandbox

import (
	"fmt"
	"path"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// The longest names that may leave a sandbox.
const (
	MaxPath  = 1024 // bytes of a whole path
	MaxName  = 255  // bytes of one element
	MaxDepth = 32   // elements
)

// CheckPath refuses a file name that could deceive a person or a program later on:
// not UTF-8, control, invisible or direction-changing characters, a leading '-',
// "." and ".." elements, or too long. Agent and host both call it, because the host
// believes nothing that comes out of a container.
func CheckPath(p string) error {
	if len(p) > MaxPath {
		return fmt.Errorf("the path is longer than %d bytes", MaxPath)
	}
	if !cleanAbsolute(p) || p == "/" {
		return fmt.Errorf("the path is not absolute and clean")
	}
	parts := strings.Split(strings.TrimPrefix(p, "/"), "/")
	if len(parts) > MaxDepth {
		return fmt.Errorf("the path is deeper than %d directories", MaxDepth)
	}
	for _, part := range parts {
		if err := checkName(part); err != nil {
			return err
		}
	}
	return nil
}

func checkName(name string) error {
	switch {
	case !utf8.ValidString(name):
		return fmt.Errorf("the name is not UTF-8")
	case len(name) > MaxName:
		return fmt.Errorf("the name is longer than %d bytes", MaxName)
	case strings.HasPrefix(name, "-"):
		return fmt.Errorf("the name starts with '-'")
	case strings.TrimSpace(name) != name:
		return fmt.Errorf("the name starts or ends with a space")
	}
	for _, r := range name {
		if deceptive(r) {
			return fmt.Errorf("the name holds the invisible or control character U+%04X", r)
		}
	}
	return nil
}

// deceptive is true for what a reader cannot see or what reorders the text around it.
// unicode.Cf covers the bidi controls, zero-width characters and tags.
func deceptive(r rune) bool {
	if r == ' ' {
		return false
	}
	return r == utf8.RuneError || !unicode.IsGraphic(r) || unicode.Is(unicode.Zs, r) || invisible(r)
}

// invisible are graphic by the tables and yet show nothing.
func invisible(r rune) bool {
	switch r {
	case '\u115F', '\u1160', '\u3164', '\uFFA0', '\u034F', '\u2800', '\\':
		return true // Hangul fillers, combining joiner, blank Braille; '\' is a separator elsewhere
	}
	return r >= 0xFE00 && r <= 0xFE0F || r >= 0xE0100 && r <= 0xE01EF // variation selectors
}

// Printable shows any bytes as one line of harmless ASCII, about 200 bytes at most.
// What is printable already stays as it is, so it may be applied twice.
func Printable(s string) string {
	if strings.IndexFunc(s, func(r rune) bool { return r < ' ' || r > '~' }) >= 0 {
		q := strconv.QuoteToASCII(s)
		s = q[1 : len(q)-1]
	}
	if len(s) > 203 {
		return s[:200] + "..."
	}
	return s
}

// MatchOutput says whether a declared output covers the path: the same path, a glob
// that matches it, or a directory (or a glob of one) that it lies in.
func MatchOutput(pattern, p string) bool {
	depth := strings.Count(pattern, "/")
	parts := strings.Split(p, "/")
	if len(parts) <= depth {
		return false
	}
	ok, err := path.Match(pattern, strings.Join(parts[:depth+1], "/"))
	return ok && err == nil
}

// Literal is the output pattern that covers exactly this path, and what lies in it when it
// is a directory, whatever glob characters its name holds.
func Literal(p string) string {
	return strings.NewReplacer(`\`, `\\`, `*`, `\*`, `?`, `\?`, `[`, `\[`).Replace(p)
}
