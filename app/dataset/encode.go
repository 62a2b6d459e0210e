package dataset

import (
	"encoding/binary"
	"math"
)

// encoder is the sink that turns rows into SQLite records, one after the other
// in out, each behind its length (four bytes, little-endian).
type encoder struct {
	cols    []encoding
	missing []string
	types   []byte // serial types of the present row
	body    []byte
	out     []byte
}

// encoding remembers how values of a column were written. Only values of up to
// eight bytes are remembered, and those exactly.
type encoding struct {
	kind Type
	memo [memoSize]encoded
}

type encoded struct {
	word   uint64
	length uint8 // of the cell; 0: free
	serial uint8
	n      uint8 // bytes of the value
	value  [8]byte
}

func newEncoder(t Table) *encoder {
	e := &encoder{cols: make([]encoding, len(t.Columns)), missing: t.Missing}
	for i, c := range t.Columns {
		e.cols[i].kind = c.Type
	}
	return e
}

// Serial types of the record format.
const (
	serialNull  = 0
	serialReal  = 7
	serialZero  = 8
	serialOne   = 9
	serialText0 = 13
)

func (e *encoder) cell(c int, b []byte) *flaw {
	col := &e.cols[c]
	if len(b) == 0 {
		e.types = append(e.types, serialNull)
		return nil
	}
	if len(b) > 8 || cap(b) < 8 || col.kind == Text || col.kind == Date {
		return e.slow(col.kind, b, c)
	}
	word := binary.LittleEndian.Uint64(b[:8]) & (^uint64(0) >> (8 * (8 - uint(len(b)))))
	m := &col.memo[word*0x9E3779B97F4A7C15>>(64-6)]
	if m.word != word || int(m.length) != len(b) {
		if e.isMissing(b) {
			e.types = append(e.types, serialNull)
			return nil
		}
		x, ok := encodeValue(col.kind, b)
		if !ok {
			return misfit(c)
		}
		x.word, x.length = word, uint8(len(b))
		*m = x
	}
	e.types = append(e.types, m.serial)
	e.body = append(e.body, m.value[:m.n]...)
	return nil
}

func misfit(c int) *flaw { return flawed(0, "", "field %d does not fit its type", c+1) }

// slow writes texts and long numbers.
func (e *encoder) slow(kind Type, b []byte, c int) *flaw {
	if e.isMissing(b) {
		e.types = append(e.types, serialNull)
		return nil
	}
	if kind == Text || kind == Date {
		var v [9]byte
		n := putVarint(v[:], uint64(serialText0+2*len(b)))
		e.types = append(e.types, v[:n]...)
		e.body = append(e.body, b...)
		return nil
	}
	x, ok := encodeValue(kind, b)
	if !ok {
		return misfit(c)
	}
	e.types = append(e.types, x.serial)
	e.body = append(e.body, x.value[:x.n]...)
	return nil
}

func (e *encoder) isMissing(b []byte) bool {
	for _, m := range e.missing {
		if string(b) == m {
			return true
		}
	}
	return false
}

// encodeValue writes a number. A whole real is written as an integer, as SQLite
// does in a REAL column, which reads it as a real again.
func encodeValue(kind Type, b []byte) (encoded, bool) {
	switch kind {
	case Integer:
		v, ok := parseInteger(b)
		return encodeInteger(v), ok
	case Boolean:
		v, ok := parseBoolean(b)
		if v {
			return encodeInteger(1), ok
		}
		return encodeInteger(0), ok
	}
	f, ok := parseReal(b)
	if i := int64(f); ok && math.Abs(f) < exactInteger>>6 && float64(i) == f {
		return encodeInteger(i), true
	}
	x := encoded{serial: serialReal, n: 8}
	binary.BigEndian.PutUint64(x.value[:], math.Float64bits(f))
	return x, ok
}

func encodeInteger(v int64) encoded {
	switch {
	case v == 0:
		return encoded{serial: serialZero}
	case v == 1:
		return encoded{serial: serialOne}
	}
	x := encoded{}
	for _, w := range [...]struct{ serial, n uint8 }{{1, 1}, {2, 2}, {3, 3}, {4, 4}, {5, 6}, {6, 8}} {
		x.serial, x.n = w.serial, w.n
		if bits := 8*uint(w.n) - 1; bits == 63 || v >= -1<<bits && v < 1<<bits {
			break
		}
	}
	var whole [8]byte
	binary.BigEndian.PutUint64(whole[:], uint64(v))
	copy(x.value[:], whole[8-x.n:])
	return x
}

// row completes a record: the length of its header, the types, the values.
func (e *encoder) row() *flaw {
	head := len(e.types) + 1
	if head > 0x7f {
		head++ // two bytes say up to 16,383: 2,000 columns have at most 8,002 bytes of types
	}
	var v [9]byte
	n := putVarint(v[:], uint64(head))
	e.out = binary.LittleEndian.AppendUint32(e.out, uint32(n+len(e.types)+len(e.body)))
	e.out = append(e.out, v[:n]...)
	e.out = append(e.out, e.types...)
	e.out = append(e.out, e.body...)
	e.types, e.body = e.types[:0], e.body[:0]
	return nil
}

// take returns the records so far and begins anew with the given buffer.
func (e *encoder) take(next []byte) []byte {
	out := e.out
	e.out = next[:0]
	return out
}
