package sqlrun

import "strings"

// token is a piece of SQL that means something; comments and blanks are left out.
type token struct {
	kind  byte // 'w' word, 'q' quoted name, 's' string, 'n' number, 'p' anything else
	start int  // byte offset
	end   int
}

func (t token) text(sql string) string { return sql[t.start:t.end] }

// lex cuts SQL the way SQLite does. open is the quote or comment that is never
// closed, or "", and openAt is where it starts.
func lex(sql string) (tokens []token, open string, openAt int) {
	for i := 0; i < len(sql); {
		start := i
		switch c := sql[i]; {
		case c == '-' && strings.HasPrefix(sql[i:], "--"):
			i = after(sql, i, "\n")
		case c == '/' && strings.HasPrefix(sql[i:], "/*"):
			if !strings.Contains(sql[i+2:], "*/") {
				return tokens, "/*", i // SQLite accepts it; here it is a mistake
			}
			i = after(sql, i+2, "*/")
		case c == '\'' || c == '"' || c == '`' || c == '[':
			end := closing(sql, i)
			if end < 0 {
				return tokens, string(c), i
			}
			i = end
			tokens = append(tokens, token{quoteKind(c), start, i})
		case isWord(c):
			for i < len(sql) && (isWord(sql[i]) || sql[i] == '.' && sql[start] >= '0' && sql[start] <= '9') {
				i++
			}
			tokens = append(tokens, token{wordKind(c), start, i})
		case c == ' ' || c == '\t' || c == '\n' || c == '\r' || c == '\f':
			i++
		default:
			i++
			tokens = append(tokens, token{'p', start, i})
		}
	}
	return tokens, "", 0
}

func after(sql string, i int, mark string) int {
	if at := strings.Index(sql[i:], mark); at >= 0 {
		return i + at + len(mark)
	}
	return len(sql)
}

// closing returns the offset after the quote that starts at i, or -1. A quote is
// doubled to stand inside, except ']'.
func closing(sql string, i int) int {
	q := sql[i]
	if q == '[' {
		if at := strings.IndexByte(sql[i:], ']'); at >= 0 {
			return i + at + 1
		}
		return -1
	}
	for j := i + 1; j < len(sql); j++ {
		if sql[j] != q {
			continue
		}
		if j+1 < len(sql) && sql[j+1] == q {
			j++
			continue
		}
		return j + 1
	}
	return -1
}

func isWord(c byte) bool {
	return c == '_' || c == '$' || c >= '0' && c <= '9' || c|0x20 >= 'a' && c|0x20 <= 'z' || c >= 0x80
}

func wordKind(c byte) byte {
	if c >= '0' && c <= '9' {
		return 'n'
	}
	return 'w'
}

func quoteKind(c byte) byte {
	if c == '\'' {
		return 's'
	}
	return 'q'
}

// place turns a byte offset into line and column, both from 1; the column counts
// characters.
func place(sql string, at int) (line, col int) {
	before := sql[:min(at, len(sql))]
	last := strings.LastIndexByte(before, '\n')
	return strings.Count(before, "\n") + 1, len([]rune(before[last+1:])) + 1
}
