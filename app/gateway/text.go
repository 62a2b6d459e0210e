package gateway

import (
	"crypto/sha256"
	"encoding/hex"
	"strings"
	"unicode"
	"unicode/utf8"
)

// line makes one printable line of at most max characters of what a stranger
// wrote. What cannot be shown is left out.
func line(s string, max int) string {
	s = strings.ToValidUTF8(s, "")
	s = strings.Join(strings.FieldsFunc(s, func(r rune) bool { return unicode.IsSpace(r) }), " ")
	s = strings.Map(func(r rune) rune {
		if r != ' ' && !unicode.IsPrint(r) {
			return -1
		}
		return r
	}, s)
	return cut(s, max)
}

// cut keeps at most max characters.
func cut(s string, max int) string {
	if utf8.RuneCountInString(s) <= max {
		return s
	}
	r := []rune(s)
	return strings.TrimSpace(string(r[:max-1])) + "…"
}

// paragraph is line for texts of several lines.
func paragraph(s string, max int) string {
	var lines []string
	for l := range strings.Lines(strings.ToValidUTF8(cut(s, max), "")) {
		lines = append(lines, line(l, max))
	}
	return strings.TrimSpace(strings.Join(lines, "\n"))
}

func digest(b []byte) string {
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:])
}

// quoted shows a stranger's word in an error text.
func quoted(s string) string { return "\"" + line(s, 60) + "\"" }
