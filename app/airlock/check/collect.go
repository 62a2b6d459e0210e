package check

import (
	"context"
	"fmt"
)

// Bounds on what one file may say about itself, so that a hostile file cannot
// make its findings larger than itself.
const (
	maxFindings = 300
	maxCells    = 200
)

type findingKey struct {
	rule, what string
	col        int
}

// collector gathers findings: one per rule, column and kind of thing, with the
// places counted.
type collector struct {
	ctx   context.Context
	found map[findingKey]*Finding
	order []*Finding
}

func newCollector() *collector {
	return &collector{ctx: context.Background(), found: map[findingKey]*Finding{}}
}

// add notes a place. what tells apart different messages of one rule; the
// message is made only for the first place. Never put a data value in it.
func (c *collector) add(rule string, row, col int, what, format string, args ...any) {
	k := findingKey{rule, what, col}
	f := c.found[k]
	if f == nil {
		if len(c.order) >= maxFindings && ruleByID[rule].Severity != Block {
			return
		}
		if len(c.order) >= 2*maxFindings {
			return
		}
		r := ruleByID[rule]
		f = &Finding{Rule: rule, Severity: r.Severity, Next: r.Next, Row: row, Col: col, Message: fmt.Sprintf(format, args...)}
		c.found[k] = f
		c.order = append(c.order, f)
	}
	f.Count++
	if row >= 0 && col >= 0 && len(f.Cells) < maxCells {
		f.Cells = append(f.Cells, Cell{row, col})
	}
}

// next replaces the step of the finding just added with a more exact one.
func (c *collector) next(format string, args ...any) {
	if n := len(c.order); n > 0 {
		c.order[n-1].Next = fmt.Sprintf(format, args...)
	}
}

// list returns blocks first, then warnings, then the rest, each in order of
// finding.
func (c *collector) list() []Finding {
	out := make([]Finding, 0, len(c.order))
	for _, s := range []Severity{Block, Warn, Info} {
		for _, f := range c.order {
			if f.Severity == s {
				out = append(out, *f)
			}
		}
	}
	return out
}
