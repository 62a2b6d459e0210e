package check

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"strings"
)

// tableRun is how many lines of equal shape make a table inside a text.
const tableRun = 20

// text checks txt and md. Tables hidden in them go through the table rules.
func text(p Profile, c *collector, res *Result, name string, br *bufio.Reader) error {
	if strings.Contains(strings.Join(tokens(name), " "), "log") {
		c.add("X2w", -1, -1, "", "The file looks like a log.")
	}
	lines := newLines(br, int(min(p.MaxText, 1<<20)))
	var run tableLines
	dense := 0
	for {
		b, err := lines.next()
		if err == io.EOF {
			run.flush(p, c)
			return nil
		}
		if errors.Is(err, errLong) {
			c.add("X1", lines.n-1, -1, "long", "A line is too long.")
			return drain(br)
		}
		if err != nil {
			return err
		}
		row := lines.n - 1
		res.Rows = lines.n
		if lines.n > p.MaxLines {
			c.add("X1", -1, -1, "lines", "The text has more than %d lines.", p.MaxLines)
			return drain(br)
		}
		c.prose(p, b, row)
		if dense = denseLines(dense, b); dense == 5 {
			c.add("T15", row, -1, "lines", "Several lines in a row look like encoded data.")
		}
		run.add(p, c, b, row)
	}
}

// prose judges one line of text.
func (c *collector) prose(p Profile, b []byte, row int) {
	if why := badText(b, true); why != "" {
		c.add("X1", row, -1, why, "A line holds %s.", why)
	}
	if what := hidden(b); what != "" {
		c.add("I4", row, -1, "hidden", "The text holds %s.", what)
	}
	if len(b) >= 64 && encoded(b) {
		c.add("T15", row, -1, "code", "A line holds what looks like encoded data.")
	}
	c.identifiers(b, row, -1, "in the text")
	for v, at := numbered(b, 0); at >= 0; v, at = numbered(b, at) {
		if v >= 1 && v < p.Threshold {
			c.add("T2", row, -1, "n=", "The text says n = a count under %d.", p.Threshold)
		}
	}
	c.spoken(p, b, row)
}

// spoken finds "7 patients".
func (c *collector) spoken(p Profile, b []byte, row int) {
	for i := 0; i < len(b); {
		j := i
		v := 0
		for j < len(b) && isDigit(b[j]) && j-i < 9 {
			v = v*10 + int(b[j]-'0')
			j++
		}
		if j == i {
			i++
			continue
		}
		free := i == 0 || b[i-1] == ' ' || b[i-1] == '('
		if free && j < len(b) && b[j] == ' ' && v >= 1 && v < p.Threshold {
			w, _, _ := bytes.Cut(b[j+1:], []byte(" "))
			if senses[strings.ToLower(strings.Trim(string(w), ".,;:)"))].has(people) {
				c.add("T2w", row, -1, "spoken", "The text speaks of fewer than %d people.", p.Threshold)
			}
		}
		i = j + 1
	}
}

// denseLines counts lines in a row that are one unbroken run of code characters.
func denseLines(n int, b []byte) int {
	b = trim(b)
	if len(b) < 24 {
		return 0
	}
	upper, lower, digit := false, false, false
	for _, x := range b {
		if !codeByte(x) {
			return 0
		}
		upper = upper || x >= 'A' && x <= 'Z'
		lower = lower || x >= 'a' && x <= 'z'
		digit = digit || isDigit(x)
	}
	if !digit || !upper && !lower {
		return 0
	}
	return n + 1
}

// tableLines collects lines of equal shape.
type tableLines struct {
	delim byte
	n     int // delimiters a line
	start int
	lines [][]byte
}

func (t *tableLines) add(p Profile, c *collector, b []byte, row int) {
	b = bytes.Trim(b, " |")
	if len(t.lines) > 0 && bytes.Count(b, []byte{t.delim}) == t.n {
		t.lines = append(t.lines, bytes.Clone(b))
		return
	}
	t.flush(p, c)
	for _, d := range []byte{'|', '\t', ';', ','} {
		if n := bytes.Count(b, []byte{d}); n > 0 {
			t.delim, t.n, t.start = d, n, row
			t.lines = append(t.lines[:0], bytes.Clone(b))
			return
		}
	}
}

// flush sends a run that is long enough through the table rules. Rows of its
// findings count from the start of the run's text line.
func (t *tableLines) flush(p Profile, c *collector) {
	lines := t.lines
	t.lines = nil
	if len(lines) <= tableRun {
		return
	}
	inner := newCollector()
	head, _ := split(lines[0], t.delim, nil)
	g := newGrid(p, inner, clone(head), t.delim == ';', false)
	for _, b := range lines[1:] {
		if len(bytes.Trim(b, "-|: ")) == 0 {
			continue // the rule under a markdown header
		}
		cells, _ := split(b, t.delim, nil)
		g.add(cells)
	}
	g.finish()
	for _, f := range inner.list() {
		if f.Rule == "T1" {
			continue
		}
		row := t.start
		if f.Row >= 0 {
			row += f.Row + 1
		}
		c.add(f.Rule, row, -1, "table"+f.Message, "In a table inside the text: %s", f.Message)
		c.next("Send the table as csv, where its cells can be checked. %s", f.Next)
	}
}
