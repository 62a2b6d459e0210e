package dataset

import (
	"bytes"
	"fmt"
	"strings"
	"unicode/utf8"
)

// flaw is why a file is refused. line counts from 1 within the block until the
// pipeline makes it a line of the file; 0 means the file as a whole.
type flaw struct {
	line int64
	text string // what is wrong, without a value of the data
	next string // what to do about it
}

func flawed(line int64, next, format string, args ...any) *flaw {
	return &flaw{line: line, next: next, text: fmt.Sprintf(format, args...)}
}

// message is the sentence for people.
func (f *flaw) message(file string) string {
	if f.line == 0 {
		return fmt.Sprintf("%s: %s.", file, f.text)
	}
	return fmt.Sprintf("%s, line %d: %s.", file, f.line, f.text)
}

// foreign recognises files that are not delimited text at all.
func foreign(head []byte) *flaw {
	kinds := []struct{ magic, what, next string }{
		{"PK\x03\x04", "a ZIP archive or an Excel workbook", "Unpack it, or save the sheet as CSV in UTF-8."},
		{"\xd0\xcf\x11\xe0", "an old Excel or Office file", "Save the sheet as CSV in UTF-8."},
		{"\x1f\x8b", "compressed with gzip", "Unpack it first with gunzip."},
		{"\x28\xb5\x2f\xfd", "compressed with zstd", "Unpack it first with unzstd."},
		{"PAR1", "a Parquet file", "Export it as CSV in UTF-8."},
		{"SQLite format 3\x00", "an SQLite database", "Export its tables as CSV in UTF-8."},
		{"%PDF", "a PDF document", "Send the data as CSV in UTF-8."},
		{"\xff\xfe", "text in UTF-16", "Convert it: iconv -f UTF-16 -t UTF-8 in.csv > out.csv"},
		{"\xfe\xff", "text in UTF-16", "Convert it: iconv -f UTF-16 -t UTF-8 in.csv > out.csv"},
	}
	for _, k := range kinds {
		if bytes.HasPrefix(head, []byte(k.magic)) {
			return flawed(0, k.next, "the file is %s, not CSV or TSV text in UTF-8", k.what)
		}
	}
	return nil
}

// badBytes finds the first byte of a block that text must not hold.
func badBytes(data []byte) *flaw {
	nul := bytes.IndexByte(data, 0)
	if nul < 0 && utf8.Valid(data) {
		return nil
	}
	bad := firstInvalid(data)
	if nul >= 0 && (bad < 0 || nul < bad) {
		line, col := position(data, nul)
		return flawed(line, "Remove it, or export the file again.", "byte %d of the line is a NUL byte, which text does not hold", col)
	}
	line, col := position(data, bad)
	return flawed(line, "Convert the file, for example: iconv -f WINDOWS-1252 -t UTF-8 in.csv > out.csv",
		"byte %d of the line (0x%02X) is not valid UTF-8", col, data[bad])
}

func firstInvalid(data []byte) int {
	for i := 0; i < len(data); {
		if data[i] < utf8.RuneSelf {
			i++
			continue
		}
		r, n := utf8.DecodeRune(data[i:])
		if r == utf8.RuneError && n == 1 {
			return i
		}
		i += n
	}
	return -1
}

// position turns an offset into line and byte, both from 1.
func position(data []byte, at int) (line, col int64) {
	before := data[:at]
	return int64(bytes.Count(before, []byte{'\n'})) + 1, int64(at - bytes.LastIndexByte(before, '\n'))
}

// plural spells a count with its noun.
func plural(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return fmt.Sprintf("%d %ss", n, strings.TrimSuffix(noun, "s"))
}
