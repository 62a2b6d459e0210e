package sqlrun

import (
	"fmt"
	"regexp"
	"sort"
	"strings"
)

var (
	nearForm  = regexp.MustCompile(`(?s)^near "(.*)": syntax error$`)
	tokenForm = regexp.MustCompile(`(?s)^unrecognized token: "(.*)"$`)
	nameForm  = regexp.MustCompile(`^(no such (?:table|column|function)|ambiguous column name|misuse of aggregate|wrong number of arguments to function):? ?(.*)$`)
)

// explain turns SQLite's word into one with a place and a suggestion.
func (s *session) explain(q Query, err error, p preparer) error {
	text := err.Error()
	if m := nearForm.FindStringSubmatch(text); m != nil {
		at := nearPlace(q.SQL, m[1], p)
		return q.at(at, "syntax error near %q.%s", clip(m[1]), keywordHint(q.SQL, at))
	}
	if text == "incomplete input" {
		return q.at(len(strings.TrimRight(q.SQL, " \t\r\n;")), "the statement ends too early: a bracket, a table or a condition is missing.")
	}
	if m := tokenForm.FindStringSubmatch(text); m != nil {
		return q.at(strings.Index(q.SQL, m[1]), "%q is not SQL.", clip(m[1]))
	}
	if m := nameForm.FindStringSubmatch(text); m != nil {
		name := strings.TrimSuffix(strings.TrimSuffix(m[2], "()"), " in")
		return q.at(wordPlace(q.SQL, name), "%s: %s.%s", m[1], clip(name), s.hint(m[1], name))
	}
	return failed(ExitQuery, "%s: %s.", q.Output, text)
}

// at makes a failure that shows the line of the SQL and points at the place.
func (q Query) at(offset int, format string, args ...any) error {
	what := fmt.Sprintf(format, args...)
	if offset < 0 || offset > len(q.SQL) {
		return failed(ExitQuery, "%s: %s", q.Output, what)
	}
	line, col := place(q.SQL, offset)
	text := strings.Split(q.SQL, "\n")[line-1]
	shown := strings.Map(func(r rune) rune {
		if r < ' ' {
			return ' '
		}
		return r
	}, text)
	if r := []rune(shown); len(r) > 160 {
		return failed(ExitQuery, "%s, line %d, column %d: %s", q.Output, line, col, what)
	}
	return failed(ExitQuery, "%s, line %d, column %d: %s\n    %s\n    %s^", q.Output, line, col, what, shown, strings.Repeat(" ", col-1))
}

// nearPlace finds which of several equal words the parser stopped at: the first
// one whose beginning of the statement gives the same error.
func nearPlace(sql, word string, p preparer) int {
	tokens, _, _ := lex(sql)
	first := -1
	for _, t := range tokens {
		if t.text(sql) != word {
			continue
		}
		if first < 0 {
			first = t.start
		}
		stmt, err := p.Prepare(sql[:t.end])
		if err == nil {
			_ = stmt.Close()
			continue
		}
		if m := nearForm.FindStringSubmatch(err.Error()); m != nil && m[1] == word {
			return t.start
		}
	}
	return first
}

// wordPlace finds a name, which may be qualified, outside texts and comments.
func wordPlace(sql, name string) int {
	last := name[strings.LastIndexByte(name, '.')+1:]
	tokens, _, _ := lex(sql)
	for i, t := range tokens {
		if t.kind == 's' || !strings.EqualFold(strings.Trim(t.text(sql), "\"`[]"), last) {
			continue
		}
		if i >= 2 && last != name && tokens[i-1].text(sql) == "." {
			return tokens[i-2].start
		}
		return t.start
	}
	return -1
}

// keywords are those that people mistype; a mistyped one is often taken for an
// alias, and the error then shows at the word after it.
var keywords = []string{"SELECT", "FROM", "WHERE", "GROUP", "ORDER", "HAVING", "LIMIT", "JOIN", "DISTINCT", "BETWEEN", "UNION", "WITH", "CASE", "WHEN", "THEN", "ELSE"}

// keywordHint names the keyword that the word at the error, or the one before
// it, may have been.
func keywordHint(sql string, at int) string {
	tokens, _, _ := lex(sql)
	for i, t := range tokens {
		if t.start != at {
			continue
		}
		for _, word := range []token{t, tokens[max(0, i-1)]} {
			if near := nearest(word.text(sql), keywords); word.kind == 'w' && len(near) > 0 && !strings.EqualFold(near[0], word.text(sql)) {
				return fmt.Sprintf(" Did you mean %s instead of %s?", near[0], clip(word.text(sql)))
			}
		}
	}
	return ""
}

func (s *session) hint(what, name string) string {
	last := name[strings.LastIndexByte(name, '.')+1:]
	switch what {
	case "no such table":
		near := nearest(last, s.schema.tables)
		if len(near) == 0 {
			return " Tables: " + list(s.schema.tables) + "."
		}
		return suggestion(near)
	case "no such column":
		near := nearest(last, s.schema.columns)
		if len(near) == 0 {
			return " The table _dictionary lists all columns. Texts stand in single quotes."
		}
		return suggestion(near)
	case "no such function":
		return suggestion(nearest(last, functionNames()))
	case "ambiguous column name":
		return " Write the table's name or alias before it."
	case "misuse of aggregate":
		return " Aggregates stand in SELECT and HAVING, not in WHERE."
	}
	return ""
}

func suggestion(near []string) string {
	if len(near) == 0 {
		return ""
	}
	return " Did you mean " + strings.Join(near, " or ") + "?"
}

func list(names []string) string {
	var shown []string
	for _, n := range names {
		if !strings.HasPrefix(n, "_") {
			shown = append(shown, n)
		}
	}
	if len(shown) > 20 {
		shown = append(shown[:20], "…")
	}
	return strings.Join(shown, ", ")
}

// nearest returns up to two names that are a few keystrokes away.
func nearest(word string, names []string) []string {
	type near struct {
		name string
		d    int
	}
	limit := max(1, len(word)/3)
	var all []near
	seen := map[string]bool{}
	for _, n := range names {
		if d := distance(strings.ToLower(word), strings.ToLower(n)); d <= limit && !seen[n] {
			all = append(all, near{n, d})
			seen[n] = true
		}
	}
	sort.SliceStable(all, func(i, j int) bool { return all[i].d < all[j].d })
	var out []string
	for _, n := range all[:min(2, len(all))] {
		out = append(out, n.name)
	}
	return out
}

// distance is how many letters must be added, dropped, replaced or swapped with
// the next one to get from a to b.
func distance(a, b string) int {
	if len(a) > 64 || len(b) > 64 {
		return 64
	}
	rows := make([][]int, len(a)+1)
	for i := range rows {
		rows[i] = make([]int, len(b)+1)
		rows[i][0] = i
	}
	for j := range rows[0] {
		rows[0][j] = j
	}
	for i := 1; i <= len(a); i++ {
		for j := 1; j <= len(b); j++ {
			cost := 1
			if a[i-1] == b[j-1] {
				cost = 0
			}
			rows[i][j] = min(rows[i-1][j]+1, rows[i][j-1]+1, rows[i-1][j-1]+cost)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				rows[i][j] = min(rows[i][j], rows[i-2][j-2]+1)
			}
		}
	}
	return rows[len(a)][len(b)]
}
