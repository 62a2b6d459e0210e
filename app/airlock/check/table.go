package check

import (
	"bufio"
	"bytes"
	"errors"
	"io"
)

// grid judges a table cell by cell, in one pass, with memory bounded by the
// profile's rows and columns.
type grid struct {
	p       Profile
	c       *collector
	comma   bool // the comma is the decimal mark
	cols    []*column
	row     int
	labels  map[string]sense
	lineN   bool // a row is labelled as counts
	lineMu  bool // a row is labelled as a statistic that needs its n
	allN    bool // the file's name says that every cell counts
	slots   []uint32
	ncounts int // columns named as counts, without the first and the totals
}

func newGrid(p Profile, c *collector, header [][]byte, comma, allN bool) *grid {
	g := &grid{p: p, c: c, comma: comma, allN: allN, labels: map[string]sense{}}
	numbers := 0
	for i, h := range header {
		name := string(bytes.TrimSpace(h))
		g.cols = append(g.cols, newColumn(p, i, name))
		if numberOf([]byte(name), comma).ok {
			numbers++
		}
		g.words(-1, i, []byte(name))
		if c := g.cols[i]; i > 0 && c.named && !c.margin {
			g.ncounts++
		}
	}
	if numbers == len(header) {
		c.add("T1", -1, -1, "header", "The first line holds only numbers: a header line is missing.")
	}
	return g
}

// table checks csv and tsv.
func table(p Profile, c *collector, res *Result, name string, br *bufio.Reader) error {
	lines := newLines(br, p.MaxLine)
	header, err := lines.next()
	if err != nil {
		return tableEnd(c, br, err, 0)
	}
	delim := delimiterOf(name, header)
	c.line(header, -1, delim == '\t')
	head, err := split(header, delim, nil)
	if err != nil {
		c.add("T1", -1, -1, "quote", "The header line has a quote that does not open or close a cell.")
	}
	res.Cols = len(head)
	if len(head) > p.MaxCols {
		c.add("T1", -1, -1, "cols", "The table has %d columns; at most %d are allowed.", len(head), p.MaxCols)
		return drain(br)
	}
	g := newGrid(p, c, clone(head), delim == ';', nameSaysCounts(name))
	cells := make([][]byte, 0, len(head))
	for {
		line, err := lines.next()
		if err != nil {
			res.Rows = g.row
			g.finish()
			return tableEnd(c, br, err, g.row)
		}
		if g.row >= p.MaxRows {
			res.Rows = g.row
			c.add("T1", -1, -1, "rows", "The table has more than %d rows.", p.MaxRows)
			c.next("Send a summary; a table this long usually holds single people.")
			return drain(br)
		}
		c.line(line, g.row, delim == '\t')
		if cells, err = split(line, delim, cells); err != nil {
			c.add("T1", g.row, -1, "quote", "A line has a quote that does not open or close a cell.")
			c.next("Put the whole cell in quotes, double a quote inside it, and keep line breaks out of cells.")
		}
		g.add(cells)
	}
}

func tableEnd(c *collector, br *bufio.Reader, err error, row int) error {
	switch {
	case errors.Is(err, errLong):
		c.add("T1", row, -1, "long", "A line is too long.")
		return drain(br)
	case err == io.EOF:
		return nil
	}
	return err
}

// drain reads what is left, so that the size is still compared.
func drain(br *bufio.Reader) error {
	_, err := io.Copy(io.Discard, br)
	return err
}

func clone(cells [][]byte) [][]byte {
	out := make([][]byte, len(cells))
	for i, b := range cells {
		out[i] = bytes.Clone(b)
	}
	return out
}

// line judges the bytes of a table line before it is cut into cells.
func (c *collector) line(line []byte, row int, tab bool) {
	if why := badText(line, tab); why != "" {
		c.add("T1", row, -1, why, "A line holds %s.", why)
	}
	if what := hidden(line); what != "" {
		c.add("I4", row, -1, "hidden", "The table holds %s.", what)
	}
}

// add judges one row.
func (g *grid) add(cells [][]byte) {
	if len(cells) != len(g.cols) {
		g.c.add("T1", g.row, -1, "ragged", "A line has another number of cells than the header (%d instead of %d).", len(cells), len(g.cols))
	}
	label := sense(0)
	total := false
	var sum, most float64
	counts, mostAt := 0, 0
	for i, col := range g.cols {
		var b []byte
		if i < len(cells) {
			b = trim(cells[i])
		}
		if i == 0 && len(b) > 0 {
			label, total = g.label(b), isTotal(b)
		}
		g.slots = append(g.slots, col.distinct(b))
		n := g.cell(col, i, b, label, total)
		if n.ok && n.value > 0 && i > 0 && col.named && !col.margin {
			counts++
			sum += n.value
			if n.value > most {
				most, mostAt = n.value, i
			}
		}
	}
	if counts > 0 && !total && g.ncounts > 1 && most >= 0.9*sum {
		g.c.add("T3", g.row, mostAt, "row", "One count holds 90 %% or more of its row.")
	}
	g.row++
}

func trim(b []byte) []byte {
	for len(b) > 0 && (b[0] == ' ' || b[0] == '\t') {
		b = b[1:]
	}
	for len(b) > 0 && (b[len(b)-1] == ' ' || b[len(b)-1] == '\t') {
		b = b[:len(b)-1]
	}
	return b
}

func (g *grid) label(b []byte) sense {
	if len(b) > 60 {
		return 0
	}
	if s, ok := g.labels[string(b)]; ok {
		return s
	}
	s := senseOf(string(b))
	if len(g.labels) < 4096 {
		g.labels[string(b)] = s
	}
	return s
}

// cell judges one cell and returns it as a number.
func (g *grid) cell(col *column, i int, b []byte, label sense, total bool) number {
	if len(b) == 0 {
		return number{}
	}
	n := numberOf(b, g.comma)
	col.seen(g.row, n, total)
	if !n.ok {
		g.other(col, i, b)
		return n
	}
	if n.point && n.digits > 6 {
		g.c.add("T13", g.row, i, "", "Column %q holds numbers with more than 6 significant digits.", col.shown())
	}
	if len(b) >= 10 {
		g.c.identifiers(b, g.row, i, "in column "+col.shown())
	}
	if i > 0 && label.has(countStrong) && !label.has(statistic) {
		g.lineN = true
		if n.whole && n.value >= 1 && n.value < float64(g.p.Threshold) {
			g.c.add("T2", g.row, i, "label", "The row of counts holds a count under %d.", g.p.Threshold)
		}
	}
	if i > 0 && label.has(needsN) {
		g.lineMu = true
	}
	if i > 0 && label.has(extreme) {
		g.c.add("T9", g.row, i, "label", "A row shows an extreme value, which is one person's.")
	}
	return n
}

// other judges a cell that is not a number.
func (g *grid) other(col *column, i int, b []byte) {
	if v, ok := leading(b); ok && v >= 1 && v < g.p.Threshold {
		col.candidate(g.row)
	} else if !ok && !suppressed(b) {
		col.unread(g.row)
	}
	col.code(b)
	g.words(g.row, i, b)
}

// words judges the text of a cell or a header.
func (g *grid) words(row, i int, b []byte) {
	switch {
	case len(b) > 500:
		g.c.add("T15", row, i, "long", "A cell holds more than 500 characters of text.")
	case len(b) > 100:
		g.c.add("T15w", row, i, "long", "A cell holds more than 100 characters of text.")
	}
	if len(b) >= 64 && encoded(b) {
		g.c.add("T15", row, i, "code", "A cell holds what looks like encoded data.")
	}
	if len(b) > 1 && (b[0] == '=' || b[0] == '+' || b[0] == '-' || b[0] == '@') && string(b) != "--" {
		g.c.add("T14", row, i, "", "A cell starts with =, +, - or @ and is not a number.")
	}
	for v, at := numbered(b, 0); at >= 0; v, at = numbered(b, at) {
		if v >= 1 && v < g.p.Threshold {
			g.c.add("T2", row, i, "n=", "A text says n = a count under %d.", g.p.Threshold)
		}
	}
	if postcode(b) {
		g.c.add("T11w", row, i, "", "A cell holds a full postcode, which is a few homes.")
	}
	if len(b) >= 6 {
		g.c.identifiers(b, row, i, "in the table")
	}
}

// suppressed reports whether a cell is one of the usual marks for "not shown".
func suppressed(b []byte) bool {
	switch string(bytes.ToLower(b)) {
	case "", "*", "**", "-", "--", ".", "..", ":", "na", "n/a", "nan", "null", "none", "[c]", "c", "[x]", "x", "s", "[s]", "suppressed", "redacted", "[redacted]":
		return true
	}
	return b[0] == '<' || b[0] == '>' || bytes.HasPrefix(b, []byte("≤"))
}
