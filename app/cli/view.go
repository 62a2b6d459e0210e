package cli

import (
	"fmt"
	"io"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"tresor/app/fault"
)

// pageView is one page of a file that is still inside: a table, text or a picture.
type pageView struct {
	Kind      string        `json:"kind"`
	Path      string        `json:"path"`
	Columns   []string      `json:"columns"`
	Rows      [][]string    `json:"rows"`
	Offset    int64         `json:"offset"`
	Total     int64         `json:"total"`
	Text      string        `json:"text"`
	MediaType string        `json:"media_type"`
	Data      []byte        `json:"data"`
	Findings  []findingView `json:"findings"`
}

type findingView struct {
	Rule     string `json:"rule"`
	Severity string `json:"severity"`
	Message  string `json:"message"`
	Next     string `json:"next"`
	Count    int    `json:"count"`
}

func printFindings(w io.Writer, all []findingView) {
	for _, f := range all {
		fmt.Fprintf(w, "  %s %s: %s\n", f.Severity, f.Rule, clean(f.Message))
		if f.Next != "" {
			fmt.Fprintf(w, "    → %s\n", clean(f.Next))
		}
	}
}

func printView(w io.Writer, v pageView) {
	switch v.Kind {
	case "table":
		cols := make([]string, len(v.Columns))
		for i, c := range v.Columns {
			cols[i] = clean(strings.ReplaceAll(c, "|", "¦"))
		}
		table(w, strings.Join(cols, "|"), v.Rows)
		fmt.Fprintf(w, "rows %d to %d of %d\n", min(v.Offset+1, v.Total), v.Offset+int64(len(v.Rows)), v.Total)
	case "text":
		_, _ = io.WriteString(safeWriter{w}, v.Text) // a reader who left sees nothing either way
		if !strings.HasSuffix(v.Text, "\n") {
			fmt.Fprintln(w)
		}
	case "image":
		fmt.Fprintf(w, "a picture (%s, %s): look at it in the browser\n", v.MediaType, size(int64(len(v.Data))))
	default:
		fmt.Fprintln(w, "this kind of file has no view")
	}
	printFindings(w, v.Findings)
}

func windowFlags(c *cobra.Command, offset, limit *int64) {
	c.Flags().Int64Var(offset, "offset", 0, "first row or line, from 0")
	c.Flags().Int64Var(limit, "limit", 100, "at most so many (1 to 500)")
}

func window(offset, limit int64) string {
	return query("offset", strconv.FormatInt(offset, 10), "limit", strconv.FormatInt(limit, 10))
}

// thing is what an argument may name: by id or by path.
type thing struct{ id, path string }

// pick finds the one thing that word names; without a word there has to be only one.
func pick(all []thing, word []string, noun, look string) (string, error) {
	if len(word) == 0 && len(all) == 1 {
		return all[0].id, nil
	}
	if len(word) == 0 {
		return "", fault.WithNext(fault.New("cli.pick", fault.Invalid, "There are %d: say which %s.", len(all), noun), "See `%s`.", look)
	}
	for _, t := range all {
		if t.id == word[0] || t.path == word[0] {
			return t.id, nil
		}
	}
	return "", fault.WithNext(fault.New("cli.pick", fault.NotFound, "There is no %s %q.", noun, word[0]), "See `%s`.", look)
}
