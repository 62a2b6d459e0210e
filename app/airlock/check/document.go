package check

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"strconv"
)

const maxDepth = 32

var errDepth = errors.New("its values are nested too deep")

// document checks json: every key and value, and records as a table too.
func document(p Profile, c *collector, res *Result, br *bufio.Reader) error {
	raw, err := io.ReadAll(br) // bounded: File allows no more than Profile.MaxFile
	if err != nil {
		return err
	}
	res.Rows = bytes.Count(raw, []byte("\n")) + 1
	text := bytes.TrimPrefix(raw, []byte("\xef\xbb\xbf"))
	for i, line := range bytes.Split(text, []byte("\n")) {
		if why := badText(bytes.TrimSuffix(line, []byte("\r")), true); why != "" {
			c.add("T1", i, -1, why, "A line holds %s.", why)
		}
		if what := hidden(line); what != "" {
			c.add("I4", i, -1, "hidden", "The text holds %s.", what)
		}
	}
	d := json.NewDecoder(bytes.NewReader(text))
	d.UseNumber()
	w := &walker{p: p, c: c, d: d, keys: map[string]*column{}}
	if err := w.value("", 0); err != nil {
		return w.refuse(err)
	}
	if _, err := d.Token(); err != io.EOF {
		c.add("T1", -1, -1, "after", "Something follows the end of the JSON value.")
	}
	w.finish()
	return nil
}

// walker goes through a JSON value token by token.
type walker struct {
	p      Profile
	c      *collector
	d      *json.Decoder
	g      *grid
	fields []string
	rows   int
	keys   map[string]*column
	broken bool // records are not a table: fields differ
}

func (w *walker) refuse(err error) error {
	if errors.Is(err, errDepth) {
		w.c.add("T1", -1, -1, "depth", "The JSON is nested deeper than %d levels.", maxDepth)
		return nil
	}
	if w.c.ctx.Err() != nil {
		return err
	}
	w.c.add("T1", -1, -1, "json", "The file is not valid JSON.")
	w.c.next("Write it again with a JSON library; NaN and comments are not JSON.")
	return nil
}

// value walks one value; key is the nearest name above it.
func (w *walker) value(key string, depth int) error {
	if depth > maxDepth {
		return errDepth
	}
	if err := w.c.ctx.Err(); err != nil {
		return err
	}
	t, err := w.d.Token()
	if err != nil {
		return err
	}
	switch v := t.(type) {
	case json.Delim:
		if v == '[' {
			for w.d.More() {
				if err := w.value(key, depth+1); err != nil {
					return err
				}
			}
		} else if err := w.object(key, depth); err != nil {
			return err
		}
		_, err = w.d.Token()
		return err
	case string:
		w.text(v)
	case json.Number:
		w.number(key, string(v))
	}
	return nil
}

// object walks the fields; one of only plain values is also a table row.
func (w *walker) object(parent string, depth int) error {
	seen := map[string]string{}
	var order []string
	flat := true
	for w.d.More() {
		t, err := w.d.Token()
		if err != nil {
			return err
		}
		key, _ := t.(string)
		if _, twice := seen[key]; twice {
			w.c.add("T1", -1, -1, "twice", "An object has the same key twice; readers would see only one of them.")
		}
		w.text(key)
		name := key
		if senseOf(name) == 0 && parent != "" {
			name = parent // {"n": {"good": 12, "poor": 5}}
		}
		var raw json.RawMessage
		if err := w.d.Decode(&raw); err != nil {
			return err
		}
		cell, scalar := plainValue(raw)
		flat = flat && scalar
		seen[key] = cell
		order = append(order, key)
		if err := w.inside(raw, name, depth+1); err != nil {
			return err
		}
	}
	if flat && len(order) > 1 {
		w.record(order, seen)
	}
	return nil
}

// inside walks a value already read.
func (w *walker) inside(raw json.RawMessage, key string, depth int) error {
	d := w.d
	w.d = json.NewDecoder(bytes.NewReader(raw))
	w.d.UseNumber()
	err := w.value(key, depth)
	w.d = d
	return err
}

func plainValue(raw json.RawMessage) (string, bool) {
	if len(raw) == 0 || raw[0] == '{' || raw[0] == '[' {
		return "", false
	}
	if raw[0] == '"' {
		var s string
		if json.Unmarshal(raw, &s) != nil {
			return "", false
		}
		return s, true
	}
	if string(raw) == "null" {
		return "", true
	}
	return string(raw), true
}

func (w *walker) text(s string) {
	b := []byte(s)
	if why := badText(bytes.ReplaceAll(b, []byte("\n"), []byte(" ")), true); why != "" {
		w.c.add("T1", -1, -1, "escaped", "A text holds %s, written as an escape.", why)
	}
	switch {
	case len(b) > 500:
		w.c.add("T15", -1, -1, "long", "A value holds more than 500 characters of text.")
	case len(b) > 100:
		w.c.add("T15w", -1, -1, "long", "A value holds more than 100 characters of text.")
	}
	if encoded(b) {
		w.c.add("T15", -1, -1, "code", "A value holds what looks like encoded data.")
	}
	w.c.identifiers(b, -1, -1, "in the file")
	for v, at := numbered(b, 0); at >= 0; v, at = numbered(b, at) {
		if v >= 1 && v < w.p.Threshold {
			w.c.add("T2", -1, -1, "n=", "A text says n = a count under %d.", w.p.Threshold)
		}
	}
}

func (w *walker) number(key, s string) {
	n := numberOf([]byte(s), false)
	if n.point && n.digits > 6 {
		w.c.add("T13", -1, -1, "", "The file holds numbers with more than 6 significant digits.")
	}
	if len(s) >= 10 {
		w.c.identifiers([]byte(s), -1, -1, "in the file")
	}
	col := w.column(key)
	counts := col.named || col.sense.has(countStrong)
	if counts && n.whole && n.value >= 1 && n.value < float64(w.p.Threshold) {
		w.c.add("T2", -1, -1, "json", "A value named like a count is under %d.", w.p.Threshold)
	}
	if counts && n.value == 0 {
		w.c.add("T3", -1, -1, "zero", "A value named like a count is zero.")
	}
	if col.sense.has(extreme) {
		w.c.add("T9", -1, -1, "", "A value is named as an extreme, which may be one person's.")
	}
}

// column is what a key says of its values; keys repeat, so it is remembered.
func (w *walker) column(key string) *column {
	col := w.keys[key]
	if col == nil {
		col = newColumn(w.p, 1, key)
		if len(w.keys) < 4096 {
			w.keys[key] = col
		}
	}
	return col
}

// record adds a flat object to the table that all flat objects make.
func (w *walker) record(order []string, cells map[string]string) {
	if w.g == nil {
		w.fields = order
		head := make([][]byte, len(order))
		for i, k := range order {
			head[i] = []byte(k)
		}
		if len(order) > w.p.MaxCols {
			w.broken = true
			w.c.add("T1", -1, -1, "cols", "The records have more than %d fields.", w.p.MaxCols)
			return
		}
		w.g = newGrid(w.p, newCollector(), head, false, false)
	}
	if w.rows++; w.rows > w.p.MaxRows {
		if !w.broken {
			w.c.add("T1", -1, -1, "rows", "The file has more than %d records.", w.p.MaxRows)
		}
		w.broken = true
	}
	if w.broken {
		return
	}
	row := make([][]byte, len(w.fields))
	for i, k := range w.fields {
		row[i] = []byte(cells[k])
	}
	w.g.add(row)
}

// finish takes over what the table rules say of the records.
func (w *walker) finish() {
	if w.g == nil || w.broken {
		return
	}
	w.g.finish()
	for _, f := range w.g.c.list() {
		switch f.Rule {
		case "T3", "T6", "T10", "T10w", "T11", "T2w", "T14":
			w.c.add(f.Rule, f.Row, -1, "record"+strconv.Itoa(f.Col)+f.Message, "In the records: %s", f.Message)
		}
	}
}
