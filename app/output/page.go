package output

import (
	"bufio"
	"bytes"
	"encoding/csv"
	"errors"
	"io"
	"strings"
	"unicode/utf8"

	"tresor/app/fault"
)

// The most that one page shows.
const (
	MaxPageRows = 500
	MaxCell     = 2000     // characters of one cell
	MaxPageText = 64 << 10 // bytes of one page of text
	maxPageCols = 1000
)

// Page is a part of an output, parsed for people to look at.
type Page struct {
	Kind    string     `json:"kind"` // table, text, image or none
	Columns []string   `json:"columns,omitempty"`
	Rows    [][]string `json:"rows,omitempty"`
	Offset  int64      `json:"offset"` // of the first row; of the first byte of text
	Total   int64      `json:"total"`  // rows of the table; bytes of the text
	Text    string     `json:"text,omitempty"`
	Bytes   int64      `json:"-"` // what it shows, for metering
}

// ReadPage reads a page of an output from the start of its bytes. offset counts
// data rows of a table and bytes of a text; limit at most MaxPageRows rows, 0 for
// 100. Other kinds have no page: Kind is "none".
func ReadPage(o Output, r io.Reader, offset, limit int64) (Page, error) {
	if offset < 0 {
		return Page{}, fault.New("output.ReadPage", fault.Invalid, "The offset %d is negative.", offset)
	}
	if limit <= 0 {
		limit = 100
	}
	switch o.Kind {
	case Table:
		return readTable(o, r, offset, min(limit, MaxPageRows))
	case Text:
		return readText(o, r, offset)
	}
	return Page{Kind: "none", Total: o.Size}, nil
}

func readTable(o Output, r io.Reader, offset, limit int64) (Page, error) {
	b := bufio.NewReaderSize(r, headSize)
	head, err := b.Peek(headSize)
	if err != nil && !errors.Is(err, io.EOF) {
		return Page{}, fault.Wrap("output.ReadPage", err)
	}
	c := csv.NewReader(b)
	c.ReuseRecord = true
	if c.Comma = Delimiter(o.Path, head); c.Comma == 0 {
		c.Comma = ','
	}
	p := Page{Kind: "table", Offset: offset, Total: o.Rows, Rows: [][]string{}}
	for n := int64(-1); n < offset+limit; n++ {
		rec, err := c.Read()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return Page{}, fault.Kinded("output.ReadPage", fault.Internal, err, "The table %s cannot be read as it was recorded. Tell the operator.", o.Path)
		}
		if n < 0 {
			p.Columns = p.cells(rec)
		} else if n >= offset {
			p.Rows = append(p.Rows, p.cells(rec))
		}
	}
	return p, nil
}

// cells copies a record, shortened so that one page stays small, and counts it.
func (p *Page) cells(rec []string) []string {
	rec = rec[:min(len(rec), maxPageCols)]
	out := make([]string, len(rec))
	for i, s := range rec {
		out[i] = strings.Clone(shorten(s))
		p.Bytes += int64(len(out[i])) + 1
	}
	return out
}

func shorten(s string) string {
	if len(s) <= MaxCell {
		return s
	}
	n := 0
	for i := range s {
		if n == MaxCell {
			return s[:i] + "…"
		}
		n++
	}
	return s
}

func readText(o Output, r io.Reader, offset int64) (Page, error) {
	if _, err := io.CopyN(io.Discard, r, offset); err != nil && !errors.Is(err, io.EOF) {
		return Page{}, fault.Wrap("output.ReadPage", err)
	}
	text, err := io.ReadAll(io.LimitReader(r, MaxPageText))
	if err != nil {
		return Page{}, fault.Wrap("output.ReadPage", err)
	}
	text = wholeRunes(text)
	return Page{Kind: "text", Offset: offset, Total: o.Size, Text: string(text), Bytes: int64(len(text))}, nil
}

// wholeRunes drops the torn character at the end; the next page begins with it.
func wholeRunes(b []byte) []byte {
	for cut := 0; cut < utf8.UTFMax && cut < len(b); cut++ {
		if r, _ := utf8.DecodeLastRune(b[:len(b)-cut]); r != utf8.RuneError {
			return b[:len(b)-cut]
		}
	}
	return bytes.ToValidUTF8(b, []byte("\uFFFD"))
}
