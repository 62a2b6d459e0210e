package check

import (
	"bytes"
	"errors"
)

var errQuote = errors.New("quote")

// delimiterOf chooses the one delimiter of a table by its name and header.
func delimiterOf(name string, header []byte) byte {
	if ext(name) == "tsv" {
		return '\t'
	}
	for _, d := range []byte{',', ';', '\t', '|'} {
		if bytes.IndexByte(header, d) >= 0 {
			return d
		}
	}
	return ','
}

// split cuts a line into cells, RFC 4180 with no line breaks inside quotes.
// Cells point into line, which split may change (doubled quotes). A quote that
// opens in the middle of a cell, or never closes, is errQuote.
func split(line []byte, delim byte, cells [][]byte) ([][]byte, error) {
	cells = cells[:0]
	if bytes.IndexByte(line, '"') < 0 {
		for {
			i := bytes.IndexByte(line, delim)
			if i < 0 {
				return append(cells, line), nil
			}
			cells = append(cells, line[:i])
			line = line[i+1:]
		}
	}
	for {
		cell, rest, more, err := one(line, delim)
		if err != nil {
			return cells, err
		}
		cells = append(cells, cell)
		if !more {
			return cells, nil
		}
		line = rest
	}
}

func one(line []byte, delim byte) (cell, rest []byte, more bool, err error) {
	if len(line) == 0 || line[0] != '"' {
		i := bytes.IndexByte(line, delim)
		if i >= 0 {
			cell, rest, more = line[:i], line[i+1:], true
		} else {
			cell = line
		}
		if bytes.IndexByte(cell, '"') >= 0 {
			err = errQuote
		}
		return cell, rest, more, err
	}
	w := 0
	body := line[1:]
	for i := 0; i < len(body); i++ {
		if body[i] != '"' {
			body[w] = body[i]
			w++
			continue
		}
		if i+1 < len(body) && body[i+1] == '"' {
			body[w] = '"'
			w++
			i++
			continue
		}
		cell = body[:w]
		switch {
		case i+1 == len(body):
			return cell, nil, false, nil
		case body[i+1] == delim:
			return cell, body[i+2:], true, nil
		}
		return nil, nil, false, errQuote
	}
	return nil, nil, false, errQuote
}
