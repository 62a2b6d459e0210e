package dataset

import (
	"bytes"
)

// begin reads the first block and learns the shape of the file from it.
func (in *intake) begin() (*block, error) {
	k, err := in.next()
	if err != nil {
		return nil, err
	}
	if bad := in.header(k); bad != nil {
		in.fail(0, bad)
		return nil, errFlawed
	}
	return k, nil
}

var byteOrderMark = []byte("\xef\xbb\xbf")

// trimMark takes the byte order mark off the first block of a file.
func (k *block) trimMark() { k.data = bytes.TrimPrefix(k.data, byteOrderMark) }

// header takes the first record off the block; its lines count for the block.
func (in *intake) header(k *block) *flaw {
	if bad := foreign(k.raw); bad != nil {
		return bad
	}
	k.trimMark()
	if len(k.raw) == 0 || in.src.done && len(k.data) == 0 {
		return flawed(0, "Send the file again.", "the file is empty")
	}
	line, _, _ := bytes.Cut(k.raw, []byte{'\n'})
	delim := delimiterOf(in.name, line)
	if len(k.data) == 0 {
		return endless(k.raw, delim)
	}
	if bad := badBytes(line); bad != nil {
		return bad
	}
	names, rest, lines, bad := readHeader(k.data, delim)
	if bad != nil {
		return bad
	}
	if bad := in.shape(names, delim); bad != nil {
		return bad // before its lines count: the flaw is in the first of them
	}
	in.lines[0] = lines
	k.data = k.data[min(rest, len(k.data)):]
	return nil
}

// endless says what is wrong with a first line of more than a block.
func endless(raw []byte, delim byte) *flaw {
	if bytes.Count(raw, []byte{delim}) >= MaxColumns {
		return tooWide()
	}
	return flawed(1, "Is it a table at all? The first line names the columns.", "the first line is longer than 1 MiB")
}

func tooWide() *flaw {
	return flawed(1, "Bring the data into long form (one row for each measurement), or split it into several files with a common key.",
		"the header has more than %d columns", MaxColumns)
}

func (in *intake) shape(names []string, delim byte) *flaw {
	cols, bad := columnsOf(names)
	if bad != nil {
		return bad
	}
	table := tableName(in.name)
	entry := in.dict.entry(in.name, table)
	if bad := entry.describe(cols); bad != nil {
		return bad
	}
	in.table = Table{Name: table, Label: entry.Label, Description: entry.Description, File: in.name,
		Delimiter: string(delim), Missing: entry.Missing, Columns: cols}
	return nil
}

// fields collects the cells of a header.
type fields []string

func (f *fields) cell(c int, b []byte) *flaw {
	if c >= MaxColumns {
		return tooWide()
	}
	*f = append(*f, string(b))
	return nil
}

func (f *fields) row() *flaw { return nil }

// readHeader reads the first record. It returns where the next one starts and
// how many lines the header took.
func readHeader(block []byte, delim byte) (names []string, next int, lines int64, bad *flaw) {
	data, n := ended(block), len(block)
	var f fields
	next, extra, bad := newWalker(delim, anyWidth).record(data, n, 0, &f)
	if bad != nil {
		bad.line = 1
	}
	return f, next, 1 + extra, bad
}
