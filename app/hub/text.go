package hub

import (
	"strings"
	"unicode"
	"unicode/utf8"
)

// clean drops what a page could not show from words that came from outside.
func clean(s string) string {
	return strings.TrimSpace(strings.Map(func(r rune) rune {
		switch {
		case r == '\n' || r == '\t':
			return ' '
		case r == utf8.RuneError || !unicode.IsPrint(r):
			return -1
		}
		return r
	}, s))
}

// sentence makes a refusal of the federation, which begins small and ends without a
// full stop, one for a page.
func sentence(text string) string {
	text = clip(text, maxMessage)
	if text == "" {
		return ""
	}
	first, size := utf8.DecodeRuneInString(text)
	return string(unicode.ToUpper(first)) + strings.TrimSuffix(text[size:], ".") + "."
}

// clip cleans and shortens words from outside to at most n bytes.
func clip(s string, n int) string {
	if len(s) > 4*n { // cleaning never needs more
		s = s[:4*n]
	}
	s = clean(s)
	if len(s) <= n {
		return s
	}
	for n > 0 && !utf8.RuneStart(s[n]) {
		n--
	}
	return s[:n]
}
