package cli

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"

	"github.com/spf13/cobra"

	"tresor/app/fault"
)

// page is the wire form of every list.
type page[T any] struct {
	Items []T    `json:"items"`
	Next  string `json:"next,omitempty"`
}

// pageMax is the most that the server gives at once.
const pageMax = 500

// paging holds the flags that long lists share.
type paging struct {
	limit  int
	all    bool
	before string
}

func (p *paging) flags(c *cobra.Command) {
	f := c.Flags()
	f.IntVar(&p.limit, "limit", 50, "at most so many, newest first (1 to 500)")
	f.BoolVar(&p.all, "all", false, "all of them, however many")
	f.StringVar(&p.before, "before", "", "continue behind this one, as the end of the list before says")
	c.MarkFlagsMutuallyExclusive("limit", "all")
}

// list prints a list of the server: one page, or with --all every page. The
// JSON is the server's own, item by item.
func list[T any](ctx context.Context, e *env, p *paging, path string, filter []string, header string, row func(T) []string) error {
	if !p.all && (p.limit < 1 || p.limit > pageMax) {
		return fault.WithNext(fault.New("cli.list", fault.Invalid, "--limit takes 1 to %d.", pageMax), "Use --all for everything.")
	}
	got, err := collect(ctx, e, p, path, filter)
	if err != nil {
		return err
	}
	if e.json {
		return printJSON(e.out, got)
	}
	var rows [][]string
	for _, raw := range got.Items {
		var v T
		if err := json.Unmarshal(raw, &v); err != nil {
			return otherVersion(err)
		}
		rows = append(rows, row(v))
	}
	table(e.out, header, rows)
	if got.Next != "" {
		fmt.Fprintf(e.out, "there are more: --before %s, or --all\n", got.Next)
	}
	return nil
}

func collect(ctx context.Context, e *env, p *paging, path string, filter []string) (page[json.RawMessage], error) {
	all := page[json.RawMessage]{Items: []json.RawMessage{}}
	limit, before := p.limit, p.before
	if p.all {
		limit = pageMax
	}
	for {
		var one page[json.RawMessage]
		q := query(append([]string{"limit", strconv.Itoa(limit), "before", before}, filter...)...)
		if err := e.client.do(ctx, http.MethodGet, path+q, nil, &one); err != nil {
			return all, err
		}
		all.Items = append(all.Items, one.Items...)
		if all.Next = one.Next; !p.all || one.Next == "" || one.Next == before {
			return all, nil
		}
		before = one.Next
	}
}

func otherVersion(err error) error {
	return fault.WithNext(fault.Kinded("cli.show", fault.Internal, err, "The server's answer is not what this program expects."),
		"Program and server are of different versions: use the one that the server was started with.")
}
