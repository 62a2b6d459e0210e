package dataset

import (
	"encoding/binary"
	"hash/maphash"
	"math"
	"strconv"
)

// profiler is the sink that learns what a file's columns are. Several profilers
// see different blocks of a file; merge adds them up.
type profiler struct {
	seed maphash.Seed
	cols []profile
	rows int64
}

// profile is what one profiler knows of one column.
type profile struct {
	memo     [memoSize]uint64 // keys of values already taken into account
	kinds    kinds
	need     kinds  // the declared type: losing it is a flaw
	declared Type   // for the message
	name     string // for the message
	missing  []string
	full     bool // more than MaxDistinct distinct values
	values   bool // a value was seen
	nulls    int64
	distinct map[uint64]struct{}
	ints     span[int64]
	reals    span[float64]
	days     span[string]
}

// memoSize is a trade: hits save the whole analysis of a value, and all memos
// of a narrow file must fit the fastest cache.
const memoSize = 64

type span[T int64 | float64 | string] struct {
	min, max T
	set      bool
}

func (s *span[T]) add(v T) {
	if !s.set {
		s.min, s.max, s.set = v, v, true
		return
	}
	if v < s.min {
		s.min = v
	}
	if v > s.max {
		s.max = v
	}
}

func (s *span[T]) merge(o span[T]) {
	if o.set {
		s.add(o.min)
		s.add(o.max)
	}
}

func newProfiler(seed maphash.Seed, shape []Column, missing []string) *profiler {
	p := &profiler{seed: seed, cols: make([]profile, len(shape))}
	for i, c := range shape {
		p.cols[i].kinds = anyKind
		p.cols[i].need, p.cols[i].declared, p.cols[i].name = kindOf(c.Type), c.Type, c.Name
		if c.Type != "" {
			p.cols[i].kinds = kindOf(c.Type)
		}
		p.cols[i].missing = missing
	}
	return p
}

func (p *profiler) row() *flaw {
	p.rows++
	return nil
}

// key names a value in 64 bits: up to eight bytes exactly, longer ones by a hash
// with a seed that nobody outside this process knows. The top byte keeps them
// apart: it is the length of a value under eight bytes, at least 0x08 for one of
// eight, and 0xff, which no UTF-8 text holds, for a hash.
func (p *profiler) key(b []byte) uint64 {
	n := len(b)
	if n <= 8 && cap(b) >= 8 {
		word := binary.LittleEndian.Uint64(b[:8])
		if n < 8 {
			return word&(1<<(8*uint(n))-1) | uint64(n)<<56
		}
		if word>>56 >= 8 {
			return word
		}
	}
	return maphash.Bytes(p.seed, b) | 0xff<<56
}

func (p *profiler) cell(c int, b []byte) *flaw {
	col := &p.cols[c]
	if len(b) == 0 {
		col.nulls++
		return nil
	}
	if col.full && col.kinds == 0 && len(col.missing) == 0 {
		return nil // a text column with many values: nothing more to learn
	}
	key := p.key(b)
	slot := &col.memo[key*0x9E3779B97F4A7C15>>(64-6)]
	if *slot == key {
		return nil
	}
	if col.isMissing(b) {
		col.nulls++
		return nil
	}
	*slot = key
	return col.see(b, key)
}

func (c *profile) isMissing(b []byte) bool {
	for _, m := range c.missing {
		if string(b) == m {
			return true
		}
	}
	return false
}

// see takes a value into account that is not in the memo.
func (c *profile) see(b []byte, key uint64) *flaw {
	c.values = true
	if !c.full {
		if c.distinct == nil {
			c.distinct = make(map[uint64]struct{})
		}
		c.distinct[key] = struct{}{}
		c.full = len(c.distinct) > MaxDistinct
	}
	c.narrow(b)
	if c.need != 0 && c.kinds&c.need == 0 {
		return flawed(0, "Correct the value, or declare another type in the dictionary.", "the value of column %q is not of the type %s that the dictionary declares", c.name, c.declared)
	}
	return nil
}

func (c *profile) narrow(b []byte) {
	if c.kinds&isInteger != 0 {
		if v, ok := parseInteger(b); ok {
			c.ints.add(v)
		} else {
			c.kinds &^= isInteger
		}
	}
	if c.kinds&isReal != 0 {
		if v, ok := parseReal(b); ok {
			c.reals.add(v)
		} else {
			c.kinds &^= isReal
		}
	}
	if c.kinds&isBoolean != 0 {
		if _, ok := parseBoolean(b); !ok {
			c.kinds &^= isBoolean
		}
	}
	if c.kinds&isDate != 0 {
		if isDay(b) {
			c.days.add(string(b))
		} else {
			c.kinds &^= isDate
		}
	}
}

// merge adds what o saw of other blocks of the same file.
func (p *profiler) merge(o *profiler) {
	p.rows += o.rows
	for i := range p.cols {
		p.cols[i].merge(&o.cols[i])
	}
}

func (c *profile) merge(o *profile) {
	c.kinds &= o.kinds
	c.values = c.values || o.values
	c.nulls += o.nulls
	c.ints.merge(o.ints)
	c.reals.merge(o.reals)
	c.days.merge(o.days)
	c.full = c.full || o.full
	for k := range o.distinct {
		if c.full {
			break
		}
		if c.distinct == nil {
			c.distinct = make(map[uint64]struct{})
		}
		c.distinct[k] = struct{}{}
		c.full = len(c.distinct) > MaxDistinct
	}
}

// columns completes the shape of the file with what was learned.
func (p *profiler) columns(shape []Column) []Column {
	out := make([]Column, len(shape))
	for i := range shape {
		out[i] = p.cols[i].column(shape[i], p.rows)
	}
	return out
}

func (c *profile) column(col Column, rows int64) Column {
	if col.Type == "" {
		col.Type = c.kinds.best(c.values)
	}
	col.Nulls, col.Distinct, col.DistinctMore = c.nulls, int64(len(c.distinct)), c.full
	if c.full {
		col.Distinct = MaxDistinct
	}
	if c.values && !c.identifies(col, rows) {
		col.Min, col.Max = c.bounds(col.Type)
	}
	return col
}

// identifies reports whether the bounds of the column would name somebody: a
// declared identifier, or whole numbers of which every one is another.
func (c *profile) identifies(col Column, rows int64) bool {
	unique := !c.full && int64(len(c.distinct)) == rows-c.nulls && rows > 20
	return col.Role == RoleIdentifier || col.Type == Integer && (unique || c.full && looksLikeID(col.Name))
}

func (c *profile) bounds(t Type) (string, string) {
	switch t {
	case Integer:
		return strconv.FormatInt(c.ints.min, 10), strconv.FormatInt(c.ints.max, 10)
	case Real:
		return formatReal(c.reals.min), formatReal(c.reals.max)
	case Date:
		return c.days.min, c.days.max
	}
	return "", ""
}

func formatReal(f float64) string {
	if f == 0 {
		f = math.Abs(f)
	}
	return strconv.FormatFloat(f, 'g', -1, 64)
}
