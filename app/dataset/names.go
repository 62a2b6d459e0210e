package dataset

import (
	"fmt"
	"path"
	"regexp"
	"strings"
	"unicode"
	"unicode/utf8"
)

var (
	slugForm = regexp.MustCompile(`^[a-z][a-z0-9_]{1,39}$`)
	fileForm = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._ -]{0,119}$`)
	idName   = regexp.MustCompile(`(?i)(^|_)(id|pid|uid|nr|no|num|number|key|code)$`)
)

// reserved are schema names that SQLite keeps for itself.
var reserved = map[string]bool{"main": true, "temp": true, "sqlite": true}

func looksLikeID(column string) bool { return idName.MatchString(column) }

// fileName checks the name of a source file: it becomes a file on the host and a
// table's name, so it is plain ASCII and has a known extension.
func fileName(name string) (string, *flaw) {
	base := path.Base(strings.ReplaceAll(name, `\`, "/"))
	if !fileForm.MatchString(base) || strings.HasSuffix(base, " ") || strings.HasSuffix(base, ".") {
		return "", flawed(0, "Rename it: letters, digits, dot, hyphen, underscore and space, at most 120 characters.", "the file name cannot be used")
	}
	switch strings.ToLower(path.Ext(base)) {
	case ".csv", ".tsv", ".tab", ".txt":
		return base, nil
	}
	return "", flawed(0, "Send CSV or TSV text in UTF-8, with the extension .csv, .tsv, .tab or .txt.", "the extension is not one of a text table")
}

// delimiterOf decides by extension, else by what separates the header best.
func delimiterOf(name string, firstLine []byte) byte {
	switch strings.ToLower(path.Ext(name)) {
	case ".tsv", ".tab":
		return '\t'
	}
	best, most := byte(','), 0
	for _, d := range []byte{',', ';', '\t', '|'} {
		if n := outsideQuotes(firstLine, d); n > most {
			best, most = d, n
		}
	}
	return best
}

func outsideQuotes(line []byte, d byte) (n int) {
	inside := false
	for _, b := range line {
		if b == '"' {
			inside = !inside
		}
		if b == d && !inside {
			n++
		}
	}
	return n
}

// tableName makes the SQL name of a file's table.
func tableName(file string) string {
	stem := strings.TrimSuffix(file, path.Ext(file))
	name := identifier(strings.ToLower(stem))
	if strings.HasPrefix(name, "_") || strings.HasPrefix(name, "sqlite_") {
		return "t_" + strings.TrimLeft(name, "_")
	}
	return name
}

// identifier turns any text into a name that needs no quotes in SQL: ASCII
// letters, digits and underscores, at most 63. It may come out as "_".
func identifier(s string) string {
	var b strings.Builder
	gap := false
	for _, r := range strings.TrimSpace(s) {
		if r < utf8.RuneSelf && (unicode.IsLetter(r) || unicode.IsDigit(r) || r == '_') {
			if gap && b.Len() > 0 {
				b.WriteByte('_')
			}
			b.WriteRune(r)
			gap = false
			continue
		}
		gap = true
	}
	name := b.String()
	if name == "" {
		return "_"
	}
	if name[0] <= '9' {
		name = "c" + name
	}
	return name[:min(len(name), 63)]
}

// columnsOf turns a header into columns, or says why it cannot be one.
func columnsOf(header []string) ([]Column, *flaw) {
	if bad := notHeader(header); bad != nil {
		return nil, bad
	}
	seen := map[string]int{}
	cols := make([]Column, len(header))
	for i, h := range header {
		name := identifier(h)
		if name == "_" {
			name = fmt.Sprintf("column_%d", i+1)
		}
		low := strings.ToLower(name)
		if first, taken := seen[low]; taken {
			return nil, flawed(1, "Rename one of them. Case, spaces and signs make no difference.", "columns %d and %d have the same name %q", first, i+1, name)
		}
		seen[low] = i + 1
		cols[i] = Column{Name: name}
		if h != name {
			cols[i].Header, cols[i].Label = h, h
		}
	}
	return cols, nil
}

func notHeader(header []string) *flaw {
	numbers := 0
	for i, h := range header {
		switch {
		case strings.TrimSpace(h) == "" && i == 0 && len(header) > 1:
			return flawed(1, "Name it. R writes row names there unless told otherwise: write.csv(…, row.names = FALSE).", "column 1 has no name")
		case strings.TrimSpace(h) == "":
			return flawed(1, "Name every column in the first line.", "column %d has no name", i+1)
		case len(h) > 200:
			return flawed(1, "Shorten it, and put the long text into the dictionary.", "the name of column %d is longer than 200 bytes", i+1)
		case strings.ContainsFunc(h, func(r rune) bool { return !unicode.IsGraphic(r) }):
			return flawed(1, "Remove it.", "the name of column %d holds an invisible or control character", i+1)
		}
		if _, ok := parseReal([]byte(strings.TrimSpace(h))); ok {
			numbers++
		}
	}
	if numbers == len(header) {
		return flawed(1, "Put a line with the column names first.", "the first line holds only numbers, so it does not name the columns")
	}
	return nil
}
