package check

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"strings"
)

// Page is part of a table.
type Page struct {
	Columns []string
	Rows    [][]string
	Total   int // data rows of the whole table
}

// ReadPage reads rows offset to offset+limit with the parser that the checks
// use, so a reviewer sees the cells that were checked. Cells are cut at 2,000
// bytes. A table that the checks refuse is read as far as it can be.
func ReadPage(r io.Reader, name string, p Profile, offset, limit int) (Page, error) {
	lines := newLines(bufio.NewReaderSize(r, 64<<10), p.MaxLine)
	header, err := lines.next()
	if err != nil {
		return Page{}, end(err)
	}
	delim := delimiterOf(name, header)
	head, _ := split(header, delim, nil)
	page := Page{Columns: shownCells(head), Rows: [][]string{}}
	if len(page.Columns) > 4*p.MaxCols {
		page.Columns = page.Columns[:4*p.MaxCols]
	}
	var cells [][]byte
	for ; page.Total < 4*p.MaxRows; page.Total++ {
		line, err := lines.next()
		if err != nil {
			return page, end(err)
		}
		if page.Total >= offset && page.Total < offset+limit {
			cells, _ = split(line, delim, cells)
			page.Rows = append(page.Rows, shownCells(cells))
		}
	}
	return page, nil
}

func end(err error) error {
	if err == io.EOF || errors.Is(err, errLong) {
		return nil
	}
	return err
}

func shownCells(cells [][]byte) []string {
	out := make([]string, 0, len(cells))
	for _, b := range cells {
		out = append(out, Shown(b, 2000))
	}
	return out
}

// Shown makes bytes readable for a person: cut at max bytes, with invisible
// and control characters replaced by a visible mark.
func Shown(b []byte, max int) string {
	if len(b) > max {
		b = append(bytes.Clone(b[:max]), "…"...)
	}
	if badText(b, true) == "" {
		return string(b)
	}
	var s strings.Builder
	for _, r := range strings.ToValidUTF8(string(b), "\ufffd") {
		n := len(string(r))
		if r == '\n' || r == '\t' || badRune(r, n) == "" {
			s.WriteRune(r)
		} else {
			s.WriteRune('\ufffd')
		}
	}
	return s.String()
}
