package sqlrun

import (
	"regexp"
	"strings"
	"unicode/utf8"

	"tresor/app/fault"
)

// What a script may hold.
const (
	MaxQueries = 50
	MaxSQL     = 64 << 10 // bytes of one statement
)

var outputForm = regexp.MustCompile(`^[a-z0-9][a-z0-9_-]{0,60}\.csv$`)

// Validate refuses scripts that cannot run, without a database: names, sizes,
// one statement for each output, and statements that do not start as a query.
// It is cheap, and is what the server asks at submission.
func Validate(queries []Query) error {
	if len(queries) == 0 {
		return invalid("There is no query. Write one SELECT for each output file.")
	}
	if len(queries) > MaxQueries {
		return invalid("There are %d queries; one job runs at most %d. Split it into several jobs.", len(queries), MaxQueries)
	}
	seen := map[string]bool{}
	for _, q := range queries {
		if !outputForm.MatchString(q.Output) {
			return invalid("%q cannot be the name of an output. Use lower-case letters, digits, hyphens and underscores, and the extension .csv, as in visits_by_health.csv.", clip(q.Output))
		}
		if seen[q.Output] {
			return invalid("Two queries write %s. Give each its own file.", q.Output)
		}
		seen[q.Output] = true
		if err := q.check(); err != nil {
			return err
		}
	}
	return nil
}

func invalid(format string, args ...any) error {
	return fault.New("sqlrun.Validate", fault.Invalid, format, args...)
}

func message(err error) string { return fault.Message(err) }

func clip(s string) string {
	if r := []rune(s); len(r) > 80 {
		return string(r[:80]) + "…"
	}
	return s
}

func (q Query) check() error {
	switch {
	case len(q.SQL) > MaxSQL:
		return invalid("%s: the SQL is longer than 64 KiB. Shorten it.", q.Output)
	case !utf8.ValidString(q.SQL) || strings.ContainsRune(q.SQL, 0):
		return invalid("%s: the SQL holds bytes that are not text. Type it again.", q.Output)
	}
	tokens, open, at := lex(q.SQL)
	if open != "" {
		return q.wrong(at, "%s is opened here and never closed", openName(open))
	}
	tokens = dropLast(tokens, q.SQL)
	if len(tokens) == 0 {
		return invalid("%s: there is no SQL. Write one SELECT.", q.Output)
	}
	for i, t := range tokens {
		if t.text(q.SQL) == ";" {
			return q.wrong(tokens[min(i+1, len(tokens)-1)].start, "a second statement starts here, and each output is made by one. Add another output for it")
		}
	}
	return q.begins(tokens[0])
}

func openName(open string) string {
	switch open {
	case "/*":
		return "A comment /*"
	case "'":
		return "A text in single quotes"
	}
	return "A name in " + open
}

// dropLast takes the semicolons off the end.
func dropLast(tokens []token, sql string) []token {
	for len(tokens) > 0 && tokens[len(tokens)-1].text(sql) == ";" {
		tokens = tokens[:len(tokens)-1]
	}
	return tokens
}

func (q Query) begins(first token) error {
	word := strings.ToUpper(first.text(q.SQL))
	switch word {
	case "SELECT", "WITH", "VALUES":
		return nil
	case "INSERT", "UPDATE", "DELETE", "REPLACE", "CREATE", "DROP", "ALTER", "VACUUM", "REINDEX", "ANALYZE":
		return q.wrong(first.start, "%s writes, and datasets are read-only here. Write a SELECT; WITH … AS (…) names a result for use in the same query", word)
	case "ATTACH", "DETACH", "PRAGMA", "BEGIN", "COMMIT", "END", "ROLLBACK", "SAVEPOINT", "RELEASE", "EXPLAIN":
		return q.wrong(first.start, "%s is not available here. Write a SELECT; the tables and columns are listed in the table _dictionary", word)
	}
	return q.wrong(first.start, "a query starts with SELECT, WITH or VALUES, not with %q", clip(first.text(q.SQL)))
}

// wrong says where in the SQL something is wrong.
func (q Query) wrong(at int, format string, args ...any) error {
	line, col := place(q.SQL, at)
	return invalid("%s, line %d, column %d: "+format+".", append([]any{q.Output, line, col}, args...)...)
}
