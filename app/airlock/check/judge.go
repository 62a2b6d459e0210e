package check

import (
	"encoding/binary"
	"hash/maphash"
)

// Numbers of the rules about single people (T10).
const (
	idRows     = 20   // from how many rows a column can look like an identifier
	idShare    = 0.95 // distinct cells over rows
	classes    = 20   // a column with at most this many different cells sorts people into classes
	classRows  = 20   // from how many rows classes are counted
	statsRows  = 200  // a table of statistics is seldom longer
	sampleSize = 1 << 16
)

// finish judges what only the whole table shows.
func (g *grid) finish() {
	if g.row == 0 {
		g.c.add("T1w", -1, -1, "", "The table has a header and no rows.")
		return
	}
	pure := g.pure()
	hasN := g.lineN
	for _, col := range g.cols {
		hasN = g.counts(col, pure) || hasN
	}
	stat := g.lineMu
	for _, col := range g.cols {
		if col.sense.has(needsN) && col.nums > 0 {
			stat = true
		}
	}
	if stat && !hasN {
		g.c.add("T6", -1, -1, "", "The table shows means, rates or percentages and not how many people are behind them.")
	}
	for i, col := range g.cols {
		if col.sense.has(extreme) && col.nums > 0 {
			g.c.add("T9", -1, i, "", "Column %q shows an extreme value, which may be one person's.", col.shown())
		}
		if col.sense.has(birth) && col.cells > 0 && !col.sense.has(countStrong|countWeak) {
			g.c.add("T11", -1, i, "birth", "Column %q holds dates of birth.", col.shown())
		}
	}
	g.people(hasN)
}

// pure reports whether a column is named n or count and nothing else, so that
// others beside it may be the groups.
func (g *grid) pure() bool {
	for _, col := range g.cols {
		if col.at > 0 && (col.stated || col.sense.has(countStrong)) && !col.sense.has(statistic) {
			return true
		}
	}
	return false
}

// counts applies T2 and T3 to one column and reports whether it holds counts.
func (g *grid) counts(col *column, pure bool) bool {
	group := col.at == 0 && pure && !col.stated && !col.sense.has(countStrong)
	free := !col.sense.has(statistic | identity | classCode | yearlike)
	whole := col.nums > 0 && col.points == 0
	is := col.named && !group ||
		col.sense.has(countStrong) && whole && !group ||
		g.allN && whole && free && col.at > 0
	if !is {
		if col.smalls > 0 && whole && free && !group && col.at > 0 && !col.sequence {
			g.c.add("T2w", first(col.small), col.at, "", "Column %q holds whole numbers under %d; they may be counts of people.", col.shown(), g.p.Threshold)
		}
		return false
	}
	g.small(col)
	g.zeros(col)
	if col.unreads > 0 {
		g.c.add("T2u", col.unreadRow, col.at, "", "Column %q is named like a count and %d of its cells are not numbers.", col.shown(), col.unreads)
	}
	return col.nums > 0 || col.smalls > 0
}

func first(rows []int) int {
	if len(rows) == 0 {
		return -1
	}
	return rows[0]
}

func (g *grid) small(col *column) {
	if col.smalls == 0 {
		return
	}
	if col.sense.has(sequenceable) && !col.stated && !col.sense.has(countStrong) && col.sequence && g.row >= 3 {
		g.c.add("T2w", col.small[0], col.at, "", "Column %q numbers the rows; say so if it counts people.", col.shown())
		return
	}
	for _, row := range col.small {
		g.c.add("T2", row, col.at, "", "Column %q holds counts under %d.", col.shown(), g.p.Threshold)
	}
	f := g.c.found[findingKey{"T2", "", col.at}]
	if f != nil && col.smalls > f.Count {
		f.Count = col.smalls
	}
}

func (g *grid) zeros(col *column) {
	if col.zeros > 0 {
		g.c.add("T3", col.zeroRow, col.at, "zero", "Column %q holds %d zeros: everybody of that group has the other value.", col.shown(), col.zeros)
	}
	if col.inner >= 2 && col.sum > 0 && (col.most >= 0.9*col.sum || col.nonzero == 1) {
		g.c.add("T3", col.mostRow, col.at, "column", "One row holds 90 %% or more of column %q.", col.shown())
	}
}

// people applies T10: rows that are people.
func (g *grid) people(hasN bool) {
	stats := false
	for _, col := range g.cols {
		stats = stats || col.sense.has(statistic|needsN)
	}
	stats = stats && g.row <= statsRows
	for i, col := range g.cols {
		if g.row < idRows || float64(col.size) <= idShare*float64(g.row) {
			continue
		}
		switch {
		case col.sense.has(identity) && !col.sense.has(countStrong|countWeak):
			g.c.add("T10", -1, i, "id", "Column %q names each row: the rows look like single people.", col.shown())
		case g.shaped(col) && !col.sense.has(classCode|yearlike|statistic|countStrong|countWeak):
			g.c.add("T10", -1, i, "shape", "Column %q holds codes that differ in each row: the rows look like single people.", col.shown())
		case !hasN && !stats && !col.sequence && (col.points == 0 || g.row >= classRows):
			g.c.add("T10", -1, i, "unique", "Nearly every row has its own value in column %q and no column counts people: the rows look like single people.", col.shown())
		}
	}
	if g.row < classRows || hasN {
		return
	}
	if k := g.smallest(); k > 0 && k < g.p.Threshold {
		rule := "T10"
		if stats {
			rule = "T10w"
		}
		g.c.add(rule, -1, -1, "k", "No column counts people, and some combination of classes has only %s rows.", few(k))
	}
}

// few hides the exact number: a message must not disclose what a cell may not.
func few(int) string { return "one or a few" }

// shaped reports whether nearly all cells of a column look like identifiers.
func (g *grid) shaped(col *column) bool {
	return col.codes >= idRows && float64(col.codes) > idShare*float64(col.cells)
}

// smallest returns the size of the smallest class of equal rows over the
// columns that sort people into classes; 0 without such columns.
func (g *grid) smallest() int {
	var use []int
	for i, col := range g.cols {
		if col.size > 1 && col.size <= classes {
			use = append(use, i)
		}
	}
	if len(use) == 0 {
		return 0
	}
	sizes := make(map[uint64]int)
	w := len(g.cols)
	key := make([]byte, 4*len(use))
	for r := 0; r < g.row && r < sampleSize; r++ {
		for k, i := range use {
			binary.LittleEndian.PutUint32(key[4*k:], g.slots[r*w+i])
		}
		sizes[maphash.Bytes(seed, key)]++
	}
	least := g.row
	for _, n := range sizes {
		least = min(least, n)
	}
	return least
}
