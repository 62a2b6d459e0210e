package cli

import (
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"
)

// asked is what a job of a machine names besides its commands, for whoever decides.
type asked struct {
	Via          string `json:"via"`
	OnBehalf     string `json:"on_behalf"`
	WaitingImage string `json:"waiting_image"`
	Places       []struct {
		Path      string `json:"path"`
		Directory bool   `json:"directory"`
		From      string `json:"from"`
		Dataset   string `json:"dataset"`
		Version   int    `json:"version"`
		File      string `json:"file"`
		Tree      string `json:"tree"`
		Origin    string `json:"origin"`
		SHA256    string `json:"sha256"`
		Size      int64  `json:"size"`
	} `json:"places"`
	Wants []struct {
		Path   string `json:"path"`
		Target string `json:"target"`
		Tree   string `json:"tree"`
	} `json:"wants"`
	Images []struct {
		Ref        string     `json:"ref"`
		Digest     string     `json:"digest"`
		State      string     `json:"state"`
		ApprovedBy string     `json:"approved_by"`
		ApprovedAt *time.Time `json:"approved_at"`
		Runs       int        `json:"runs"`
	} `json:"images"`
}

// printAsked shows what a machine asked for: what goes in, from where and with
// which hash, what is to come out, and the history of the images.
func printAsked(w io.Writer, a asked) {
	var rows [][]string
	for _, p := range a.Places {
		from := p.From
		switch p.From {
		case "dataset":
			from = strings.TrimSuffix(fmt.Sprintf("%s version %d %s", p.Dataset, p.Version, p.File), " ")
		case "tree":
			from = "project files: " + p.Tree
		case "fetched":
			from = p.Origin
		}
		rows = append(rows, []string{p.Path, from, size(p.Size), p.SHA256})
	}
	section(w, "input|from|size|sha256", rows)
	rows = nil
	for _, x := range a.Wants {
		rows = append(rows, []string{x.Path, yes(x.Tree != "", "stays inside: "+x.Tree, "held until it is released"), x.Target})
	}
	section(w, "asked for|then|target", rows)
	if a.Via == "" && a.WaitingImage == "" {
		return
	}
	rows = nil
	for _, i := range a.Images {
		rows = append(rows, []string{i.Ref, i.State, i.ApprovedBy, when(i.ApprovedAt), strconv.Itoa(i.Runs), i.Digest})
	}
	section(w, "image|state|approved by|approved|jobs so far|digest", rows)
}

// section is a table that is left out when it is empty.
func section(w io.Writer, header string, rows [][]string) {
	if len(rows) > 0 {
		fmt.Fprintln(w)
		table(w, header, rows)
	}
}

type treeView struct {
	Items []struct {
		Path      string    `json:"path"`
		SHA256    string    `json:"sha256"`
		Size      int64     `json:"size"`
		Job       string    `json:"job"`
		CreatedAt time.Time `json:"created_at"`
	} `json:"items"`
	Next  string `json:"next"`
	Used  int64  `json:"used"`
	Quota int64  `json:"quota"`
}

func projectTree(e *env) *cobra.Command {
	var after string
	var erase bool
	var limit int
	c := &cobra.Command{Use: "tree PROJECT [PATH]", Short: "List the files that a project keeps inside, or --erase some", Args: cobra.RangeArgs(1, 2),
		Long: `A project's tree holds the files that its jobs wrote to file:///project/… or left in /project. They stay inside;
later jobs read them. Members list them, the lead erases them.`,
		Example: "  tresor project tree aurora --as rosa\n  tresor project tree aurora counts/2026 --erase --as lena",
		RunE: func(c *cobra.Command, args []string) error {
			path := ""
			if len(args) == 2 {
				path = args[1]
			}
			at := "/projects/" + esc(args[0]) + "/tree"
			if erase {
				return show(c.Context(), e, http.MethodDelete, at+query("path", path), nil, func(w io.Writer, v struct {
					Files int `json:"files"`
				}) {
					fmt.Fprintf(w, "erased %d files\n", v.Files)
				})
			}
			return show(c.Context(), e, http.MethodGet, at+query("path", path, "after", after, "limit", strconv.Itoa(limit)), nil, printTree)
		}}
	f := c.Flags()
	f.BoolVar(&erase, "erase", false, "erase the file, or everything below the folder")
	f.IntVar(&limit, "limit", 200, "at most so many, by path (1 to 500)")
	f.StringVar(&after, "after", "", "continue behind this path")
	return completes(e, c, someProjects)
}

func printTree(w io.Writer, t treeView) {
	var rows [][]string
	for _, f := range t.Items {
		rows = append(rows, []string{f.Path, size(f.Size), when(&f.CreatedAt), f.Job, f.SHA256})
	}
	table(w, "path|size|written|by job|sha256", rows)
	fmt.Fprintf(w, "used %s of %s\n", size(t.Used), size(t.Quota))
	if t.Next != "" {
		fmt.Fprintf(w, "there are more: --after %s\n", clean(t.Next))
	}
}
