package check

import (
	"hash/maphash"
	"strings"
)

var seed = maphash.MakeSeed()

const noSlot = 0

// column is what the rules remember of one column.
type column struct {
	at     int
	name   string
	sense  sense
	stated bool // declared to hold counts
	named  bool // its name says counts
	margin bool // its name says total

	cells, nums, points, texts int
	sum, most                  float64
	mostRow, nonzero, inner    int
	zeros, zeroRow             int
	unreads, unreadRow         int
	small                      []int // rows with 1..T-1
	smalls                     int
	threshold                  float64
	sequence                   bool
	base                       float64

	codes    int // cells that look like an identifier
	set      []uint32
	size     int
	full     bool
	shownTag string
}

func newColumn(p Profile, at int, name string) *column {
	c := &column{at: at, name: name, sense: senseOf(name), threshold: float64(p.Threshold), sequence: true}
	for _, d := range p.CountColumns {
		c.stated = c.stated || strings.EqualFold(strings.TrimSpace(d), name)
	}
	s := c.sense
	c.named = c.stated || s.has(countStrong|people) && !s.has(statistic|identity) || s.has(countWeak) && !s.has(statistic|identity|classCode|yearlike)
	for _, w := range tokens(name) {
		c.margin = c.margin || isTotal([]byte(w))
	}
	return c
}

// shown is the column's name short enough for a message.
func (c *column) shown() string {
	if c.shownTag == "" {
		c.shownTag = c.name
		if r := []rune(c.name); len(r) > 40 {
			c.shownTag = string(r[:40]) + "…"
		}
		if c.shownTag == "" {
			c.shownTag = "(no name)"
		}
	}
	return c.shownTag
}

func (c *column) seen(row int, n number, total bool) {
	c.cells++
	if !n.ok {
		c.texts++
		c.sequence = false
		return
	}
	c.nums++
	if !n.whole {
		c.points++
	}
	if c.nums == 1 {
		c.base = n.value - float64(row)
	}
	c.sequence = c.sequence && n.value == c.base+float64(row)
	if n.whole && n.value >= 1 && n.value < c.threshold {
		c.candidate(row)
	}
	if n.value == 0 {
		if c.zeros++; c.zeros == 1 {
			c.zeroRow = row
		}
	}
	if !total {
		c.inner++
		if n.value > 0 {
			c.nonzero++
			c.sum += n.value
		}
		if n.value > c.most {
			c.most, c.mostRow = n.value, row
		}
	}
}

func (c *column) candidate(row int) {
	c.smalls++
	if len(c.small) < maxCells {
		c.small = append(c.small, row)
	}
}

func (c *column) unread(row int) {
	if c.unreads++; c.unreads == 1 {
		c.unreadRow = row
	}
}

// code counts cells shaped like an identifier: letters mixed with at least four
// digits and no space.
func (c *column) code(b []byte) {
	digits, letters := 0, 0
	for _, x := range b {
		switch {
		case isDigit(x):
			digits++
		case isLetter(x):
			letters++
		case x != '-' && x != '_':
			return
		}
	}
	if digits >= 4 && letters >= 1 {
		c.codes++
	}
}

// distinct adds the cell to the column's set and returns its mark: equal cells
// have equal marks, different ones practically never.
func (c *column) distinct(b []byte) uint32 {
	if c.full {
		return noSlot
	}
	h := hashOf(b)
	if c.set == nil {
		c.set = make([]uint32, 64)
	}
	if c.size*2 >= len(c.set) && !c.grow() {
		return noSlot
	}
	mark := uint32(h>>32) | 1 // never 0, which is an empty place
	mask := uint32(len(c.set) - 1)
	for i := mark >> 1 & mask; ; i = (i + 1) & mask {
		if c.set[i] == mark {
			return mark
		}
		if c.set[i] == 0 {
			c.set[i] = mark
			c.size++
			return mark
		}
	}
}

// hashOf mixes a cell's bytes. Longer cells could collide on purpose only for
// somebody who knew the seed.
func hashOf(b []byte) uint64 {
	if len(b) < 8 {
		var h uint64
		for _, x := range b {
			h = h<<8 | uint64(x)
		}
		h = (h<<8 | uint64(len(b)+1)) * 0x9e3779b97f4a7c15
		return h ^ h>>29
	}
	return maphash.Bytes(seed, b)
}

func (c *column) grow() bool {
	if len(c.set) >= 1<<15 {
		c.full = true // more distinct cells than any table may have rows
		return false
	}
	old := c.set
	c.set = make([]uint32, len(old)*2)
	mask := uint32(len(c.set) - 1)
	for _, mark := range old {
		if mark == 0 {
			continue
		}
		i := mark >> 1 & mask
		for c.set[i] != 0 {
			i = (i + 1) & mask
		}
		c.set[i] = mark
	}
	return true
}
