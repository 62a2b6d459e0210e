package check

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"unicode"
	"unicode/utf8"
)

var errLong = errors.New("line too long")

// lineReader hands out lines without their end. A line is valid until the next
// call. Memory is bounded by max.
type lineReader struct {
	br    *bufio.Reader
	max   int
	n     int // lines handed out
	long  []byte
	first bool
}

func newLines(br *bufio.Reader, max int) *lineReader {
	return &lineReader{br: br, max: max, first: true}
}

// next returns the next line, io.EOF at the end, errLong for a line over max.
func (l *lineReader) next() ([]byte, error) {
	b, err := l.br.ReadSlice('\n')
	if err == bufio.ErrBufferFull {
		b, err = l.rest(b)
	}
	if err != nil && (err != io.EOF || len(b) == 0) {
		return nil, err
	}
	b = bytes.TrimSuffix(b, []byte("\n"))
	b = bytes.TrimSuffix(b, []byte("\r"))
	if l.first {
		b, l.first = bytes.TrimPrefix(b, []byte("\xef\xbb\xbf")), false
	}
	l.n++
	if len(b) > l.max {
		return nil, errLong
	}
	return b, nil
}

func (l *lineReader) rest(b []byte) ([]byte, error) {
	l.long = append(l.long[:0], b...)
	for {
		b, err := l.br.ReadSlice('\n')
		l.long = append(l.long, b...)
		if len(l.long) > l.max+2 {
			return nil, errLong
		}
		if err != bufio.ErrBufferFull {
			return l.long, err
		}
	}
}

// badText says what in b a reader could not see or a program would obey, or "".
// Tabs are plain where tab is true.
func badText(b []byte, tab bool) string {
	i := 0
	for ; i+8 <= len(b); i += 8 {
		if !plain8(binary.LittleEndian.Uint64(b[i:])) {
			break
		}
	}
	for i < len(b) {
		if c := b[i]; c >= 0x20 && c < 0x7f || c == '\t' && tab {
			i++
			continue
		}
		r, n := utf8.DecodeRune(b[i:])
		if why := badRune(r, n); why != "" {
			return why
		}
		i += n
	}
	return ""
}

// plain8 reports whether eight bytes are all printable ASCII.
func plain8(w uint64) bool {
	const ones, highs = 0x0101010101010101, 0x8080808080808080
	low := (w - ones*0x20) &^ w & highs // a byte under 0x20 (or an ASCII false alarm after a borrow)
	del := w ^ ones*0x7f
	return w&highs == 0 && low == 0 && (del-ones)&^del&highs == 0
}

func badRune(r rune, n int) string {
	switch {
	case r == utf8.RuneError && n == 1:
		return "bytes that are not UTF-8"
	case r == 0:
		return "a NUL byte"
	case unicode.Is(unicode.Bidi_Control, r):
		return "an invisible character that turns the reading direction"
	case r == '\r':
		return "a line break of an old Mac"
	case r == '\ufeff' || unicode.Is(unicode.Cf, r) || r == '\u115f' || r == '\u1160' || r == '\u3164' || r == '\u2800':
		return "an invisible character"
	case unicode.IsControl(r):
		return "a control character"
	case unicode.Is(unicode.Co, r) || unicode.Is(unicode.Noncharacter_Code_Point, r) || r == '\u2028' || r == '\u2029':
		return "a character without a meaning in text"
	case unicode.Is(unicode.Variation_Selector, r) || r == '\u034f':
		return "an invisible character"
	}
	return ""
}
