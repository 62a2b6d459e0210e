// Package check reads the files of an airlock request and says what in them
// may disclose a person. It is pure: bytes in, findings out, no clock, no
// files, no database. It never panics outwards and never guesses: a file that
// cannot be checked in full has a finding that blocks, so silence always means
// "looked at everything". The rules are numbered as in the security notes; the
// rule set has a version and a hash, so a vote can say which rules it saw.
package check

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"path"
	"strings"
)

// Severity says what a finding does to a request.
type Severity string

// The severities. A Block needs an exception text to be submitted; a Warn is
// for the reviewers to weigh; an Info is for reading.
const (
	Block Severity = "block"
	Warn  Severity = "warn"
	Info  Severity = "info"
)

// Cell is a position in a table, both from 0, the header line not counted.
type Cell struct {
	Row int `json:"row"`
	Col int `json:"col"`
}

// Finding is one thing a rule found in one file, or in one column of it.
type Finding struct {
	Rule     string   `json:"rule"`
	Severity Severity `json:"severity"`
	Message  string   `json:"message"` // what was found, for people
	Next     string   `json:"next"`    // what to do about it
	Row      int      `json:"row"`     // first place: data row of a table or line of a text, from 0; -1 none
	Col      int      `json:"col"`     // first place: column from 0; -1 none
	Count    int      `json:"count"`   // how many places
	Cells    []Cell   `json:"cells,omitempty"`
}

// Kinds of file as a reviewer sees them.
const (
	KindTable = "table"
	KindText  = "text"
	KindImage = "image"
	KindNone  = "none" // cannot be shown
)

// Result is what the checks say about one file.
type Result struct {
	Kind     string    `json:"kind"`
	Rows     int       `json:"rows"` // data rows of a table, lines of a text
	Cols     int       `json:"cols"`
	Findings []Finding `json:"findings"`
}

// Blocks counts the findings that block.
func (r Result) Blocks() int { return count(r.Findings, Block) }

// Warnings counts the findings to weigh.
func (r Result) Warnings() int { return count(r.Findings, Warn) }

func count(fs []Finding, s Severity) int {
	n := 0
	for _, f := range fs {
		if f.Severity == s {
			n++
		}
	}
	return n
}

// File checks one file of the given name and size in bytes, read once from r.
// It stops when ctx ends. Whatever goes wrong inside becomes a finding of rule
// I0, which blocks.
func File(ctx context.Context, p Profile, name string, size int64, r io.Reader) (res Result) {
	c := newCollector()
	c.ctx = ctx
	res.Kind = KindOf(name)
	defer func() {
		if v := recover(); v != nil {
			c.add("I0", -1, -1, "", "The file could not be checked: the check itself failed.")
		}
		res.Findings = c.list()
	}()
	c.name(name)
	if !c.typeAllowed(name) || !c.sizeAllowed(p, name, size) {
		return res
	}
	src := &guarded{ctx: ctx, r: io.LimitReader(r, size+1)}
	br := bufio.NewReaderSize(src, 64<<10)
	err := body(p, c, &res, name, br)
	if err == nil && src.n != size {
		err = fmt.Errorf("%d bytes were expected, %d read", size, src.n)
	}
	if err != nil {
		c.add("I0", -1, -1, "", "The file could not be checked: %s.", reason(err))
	}
	return res
}

// Unchecked is the finding for a file that could not even be handed to File;
// why completes "could not be checked: …" and is for people.
func Unchecked(why string) Finding {
	c := newCollector()
	c.add("I0", -1, -1, "", "The file could not be checked: %s", why)
	return c.list()[0]
}

func body(p Profile, c *collector, res *Result, name string, br *bufio.Reader) error {
	c.magic(name, br)
	switch ext(name) {
	case "csv", "tsv":
		return table(p, c, res, name, br)
	case "json":
		return document(p, c, res, br)
	case "txt", "md":
		return text(p, c, res, name, br)
	default:
		return picture(c, res, name, br)
	}
}

func reason(err error) string {
	switch {
	case errors.Is(err, context.DeadlineExceeded):
		return "it took longer than the time a check may take"
	case errors.Is(err, context.Canceled):
		return "the check was stopped"
	case errors.Is(err, errRead):
		return "it could not be read"
	}
	return err.Error()
}

var errRead = errors.New("read failed")

// guarded counts bytes and ends when its context does.
type guarded struct {
	ctx context.Context
	r   io.Reader
	n   int64
}

func (g *guarded) Read(b []byte) (int, error) {
	if err := g.ctx.Err(); err != nil {
		return 0, err
	}
	n, err := g.r.Read(b)
	g.n += int64(n)
	if err != nil && err != io.EOF {
		err = fmt.Errorf("%w: %w", errRead, err)
	}
	return n, err
}

// KindOf returns how a file of this name is shown to a reviewer.
func KindOf(name string) string {
	switch ext(name) {
	case "csv", "tsv":
		return KindTable
	case "txt", "md", "json":
		return KindText
	case "png", "jpg", "jpeg":
		return KindImage
	}
	return KindNone
}

func ext(name string) string {
	return strings.ToLower(strings.TrimPrefix(path.Ext(path.Base(name)), "."))
}
