package dataset

import "bytes"

// sink takes the cells of the records that walk finds. The cell's bytes are
// valid only during the call, and at least slack bytes of capacity follow them
// (or precede the end of the buffer), so that a sink may load whole words.
type sink interface {
	cell(c int, b []byte) *flaw
	row() *flaw
}

// anyWidth is the want of a walker that reads a header.
const anyWidth = -1

// walker knows the shape of one file: strict RFC 4180 with a given delimiter.
type walker struct {
	delim byte
	want  int       // fields of every record
	stop  [256]bool // bytes that end an unquoted field
	spare []byte    // an unescaped quoted field
}

func newWalker(delim byte, want int) *walker {
	w := &walker{delim: delim, want: want}
	for _, b := range []byte{delim, '\n', '\r', '"'} {
		w.stop[b] = true
	}
	return w
}

// walk hands the records of a block to s. The block holds whole records and its
// buffer has slack bytes of capacity after them. It returns the number of
// records and of lines, and the first flaw.
func (w *walker) walk(block []byte, s sink) (rows, lines int64, bad *flaw) {
	data, n := ended(block), len(block)
	for p := 0; p < n; {
		next, extra, bad := w.record(data, n, p, s)
		if bad != nil {
			bad.line += lines + 1
			return rows, lines, bad
		}
		if bad := s.row(); bad != nil {
			bad.line += lines + 1
			return rows, lines, bad
		}
		lines += 1 + extra
		rows++
		p = next
	}
	return rows, lines, nil
}

// ended returns the block with one byte more. Every block but the last of a file
// ends with a line end, which stops every scan; the last one may not, and gets
// one behind its end, where nothing of the file lies. So a block that others are
// reading is never written to.
func ended(block []byte) []byte {
	n := len(block)
	data := block[:n+1]
	if n > 0 && data[n-1] != '\n' {
		data[n] = '\n'
	}
	return data
}

// record reads one record from p. It returns where the next one starts and how
// many line ends lie inside quoted fields. A flaw's line counts from 0 here.
func (w *walker) record(data []byte, n, p int, s sink) (next int, extra int64, bad *flaw) {
	for c := 0; ; c++ {
		q := p
		for !w.stop[data[q]] {
			q++
		}
		if data[q] == w.delim && c+1 < w.want { // nearly every field: plain, and not the last one
			if bad := s.cell(c, data[p:q]); bad != nil {
				bad.line += extra
				return 0, 0, bad
			}
			p = q + 1
			continue
		}
		field := data[p:q]
		if data[p] == '"' {
			var inner int64
			if field, q, inner, bad = w.quoted(data, n, p, c); bad != nil {
				bad.line += extra
				return 0, 0, bad
			}
			extra += inner
		}
		end, last, bad := w.after(data, q, c)
		if bad == nil && w.want != anyWidth && (c >= w.want || last && c+1 != w.want) {
			bad = w.ragged(c, last, c == 0 && len(field) == 0 && data[p] != '"')
		}
		if bad == nil {
			bad = s.cell(c, field)
		}
		if bad != nil {
			bad.line += extra
			return 0, 0, bad
		}
		if last {
			return end, extra, nil
		}
		p = end
	}
}

// after looks at the byte that ended field c and returns where the next field or
// record starts.
func (w *walker) after(data []byte, q, c int) (next int, last bool, bad *flaw) {
	switch data[q] {
	case w.delim:
		return q + 1, false, nil
	case '\n':
		return q + 1, true, nil
	case '\r':
		if data[q+1] == '\n' {
			return q + 2, true, nil
		}
		return 0, false, flawed(0, "Convert the line ends to LF, for example with dos2unix.", "field %d holds a carriage return that ends no line", c+1)
	default:
		return 0, false, flawed(0, `Put the whole field in quotes and double each quote inside: "say ""so""".`, "field %d has a quote inside an unquoted field", c+1)
	}
}

// ragged says how many fields the record has and how many it should have.
func (w *walker) ragged(c int, last, empty bool) *flaw {
	const next = "Correct the line, or put fields that hold the delimiter in quotes."
	if last && empty {
		return flawed(0, "Remove the empty line.", "the line is empty")
	}
	if last {
		return flawed(0, next, "the row has %s, the header has %d", plural(c+1, "field"), w.want)
	}
	return flawed(0, next, "the row has more than the %s of the header", plural(w.want, "field"))
}

// quoted reads the quoted field at p and returns its text, where it ended, and
// the line ends inside.
func (w *walker) quoted(data []byte, n, p, c int) (field []byte, end int, extra int64, bad *flaw) {
	w.spare = w.spare[:0]
	plain := true
	for i := p + 1; ; {
		j := bytes.IndexByte(data[i:n], '"')
		if j < 0 {
			return nil, 0, 0, flawed(0, `Close it, or double each quote inside it: "".`, "field %d opens a quote that is never closed", c+1)
		}
		j += i
		if data[j+1] == '"' && j+1 < n {
			w.spare = append(w.spare, data[i:j+1]...)
			plain, i = false, j+2
			continue
		}
		if b := data[j+1]; b != w.delim && b != '\n' && b != '\r' {
			return nil, 0, 0, flawed(0, "Double each quote inside a quoted field.", "field %d goes on after its closing quote", c+1)
		}
		extra = int64(bytes.Count(data[p:j], []byte{'\n'}))
		if plain {
			return data[p+1 : j], j + 1, extra, nil
		}
		w.spare = append(w.spare, data[i:j]...)
		return w.roomy(), j + 1, extra, nil
	}
}

// roomy returns the spare field with slack capacity after it.
func (w *walker) roomy() []byte {
	n := len(w.spare)
	for cap(w.spare) < n+slack {
		w.spare = append(w.spare[:cap(w.spare)], 0)
	}
	w.spare = w.spare[:n]
	return w.spare
}
