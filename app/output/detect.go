package output

import (
	"bytes"
	"encoding/csv"
	"errors"
	"io"
	"path"
	"strings"
	"unicode/utf8"
)

const headSize = 64 << 10 // bytes that decide what a file could be

// Shape is what a file turned out to be.
type Shape struct {
	Kind Kind
	Rows int64 // of a table, without the header
	Cols int   // of a table
}

// Examine reads r to its end and says what it is. name only breaks ties between
// comma and tab. A file is a table when all of it is: one ragged row makes it text.
func Examine(name string, r io.Reader) (Shape, error) {
	head := make([]byte, headSize)
	n, err := io.ReadFull(r, head)
	if err != nil && !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) {
		return Shape{}, err
	}
	head = head[:n]
	if isImage(head) {
		return Shape{Kind: Image}, drain(r)
	}
	seen := &watch{r: io.MultiReader(bytes.NewReader(head), r), text: true}
	return examineText(name, head, seen)
}

func examineText(name string, head []byte, seen *watch) (Shape, error) {
	shape := Shape{Kind: Text}
	if comma := Delimiter(name, head); comma != 0 {
		shape = count(comma, seen)
		if !named(name) && (shape.Cols < 2 || shape.Rows == 0) {
			shape = Shape{Kind: Text} // a sentence with a comma is no table
		}
	}
	if err := drain(seen); err != nil {
		return Shape{}, err
	}
	switch {
	case seen.size == 0:
		return Shape{Kind: Text}, nil
	case !seen.isText():
		return Shape{Kind: Other}, nil
	}
	return shape, nil
}

// count reads a strict table; anything else is text. A read error is seen again by the drain after it.
func count(comma rune, r io.Reader) Shape {
	c := csv.NewReader(r)
	c.Comma, c.ReuseRecord = comma, true
	header, err := c.Read()
	if err != nil {
		return Shape{Kind: Text}
	}
	cols, rows := len(header), int64(0)
	for {
		_, err := c.Read()
		if errors.Is(err, io.EOF) {
			return Shape{Kind: Table, Rows: rows, Cols: cols}
		}
		if err != nil {
			return Shape{Kind: Text}
		}
		rows++
	}
}

// Delimiter guesses how a table is separated from its name and its first bytes;
// 0 when it does not look like one.
func Delimiter(name string, head []byte) rune {
	switch strings.ToLower(path.Ext(name)) {
	case ".csv":
		return ','
	case ".tsv", ".tab":
		return '\t'
	}
	line, _, _ := bytes.Cut(head, []byte("\n"))
	switch {
	case bytes.IndexByte(line, '\t') > 0:
		return '\t'
	case bytes.IndexByte(line, ',') > 0:
		return ','
	}
	return 0
}

// named reports whether the file's name claims a table.
func named(name string) bool {
	switch strings.ToLower(path.Ext(name)) {
	case ".csv", ".tsv", ".tab":
		return true
	}
	return false
}

var magics = []string{"\x89PNG\r\n\x1a\n", "\xff\xd8\xff", "GIF87a", "GIF89a"}

func isImage(head []byte) bool {
	for _, m := range magics {
		if bytes.HasPrefix(head, []byte(m)) {
			return true
		}
	}
	return len(head) >= 12 && string(head[:4]) == "RIFF" && string(head[8:12]) == "WEBP"
}

func drain(r io.Reader) error {
	_, err := io.Copy(io.Discard, r)
	return err
}

// watch passes bytes on and checks on the way whether they are text.
type watch struct {
	r    io.Reader
	size int64
	text bool
	rest []byte // an unfinished UTF-8 sequence
	err  error
}

func (w *watch) Read(p []byte) (int, error) {
	if w.err != nil {
		return 0, w.err
	}
	n, err := w.r.Read(p)
	w.size += int64(n)
	if w.text {
		w.check(p[:n])
	}
	w.err = err
	return n, err
}

func (w *watch) check(p []byte) {
	if len(w.rest) > 0 {
		p = append(w.rest, p...)
		w.rest = nil
	}
	for len(p) > 0 {
		if p[0] < utf8.RuneSelf {
			if p[0] < ' ' && p[0] != '\n' && p[0] != '\r' && p[0] != '\t' || p[0] == 0x7f {
				w.text = false
				return
			}
			p = p[1:]
			continue
		}
		if !utf8.FullRune(p) {
			w.rest = append([]byte(nil), p...)
			return
		}
		r, size := utf8.DecodeRune(p)
		if r == utf8.RuneError && size == 1 {
			w.text = false
			return
		}
		p = p[size:]
	}
}

func (w *watch) isText() bool { return w.text && len(w.rest) == 0 }
