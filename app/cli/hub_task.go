package cli

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"tresor/app/fault"
)

type hubTaskView struct {
	ID          string        `json:"id"`
	Name        string        `json:"name"`
	ProjectSlug string        `json:"project_slug"`
	Owner       string        `json:"owner"`
	State       string        `json:"state"`
	CreatedAt   time.Time     `json:"created_at"`
	EndedAt     *time.Time    `json:"ended_at"`
	CancelAt    *time.Time    `json:"cancel_at"`
	KeepUntil   *time.Time    `json:"keep_until"`
	Images      []string      `json:"images"`
	Parts       []hubPartView `json:"parts"`
}

type hubPartView struct {
	NodeID      string     `json:"node_id"`
	Node        string     `json:"node"`
	State       string     `json:"state"`
	Delivery    string     `json:"delivery"`
	Code        string     `json:"code"`
	Text        string     `json:"text"`
	Correlation string     `json:"correlation"`
	Turn        string     `json:"turn"`
	Trouble     string     `json:"trouble"`
	LastSeen    *time.Time `json:"last_seen"`
	Messages    []string   `json:"messages"`
	Result      *struct {
		State  string `json:"state"`
		SHA256 string `json:"sha256"`
		Size   int64  `json:"size"`
		Files  []struct {
			Path string `json:"path"`
		} `json:"files"`
		KeepUntil *time.Time `json:"keep_until"`
	} `json:"result"`
}

func hubTask(e *env) *cobra.Command {
	return group("task", "Tasks: where they stand at each node, and what was released",
		`Researchers send tasks with a token to the task service of the hub (GA4GH TES 1.1, at
/ga4gh/tes/v1); these commands look at them.`,
		hubTaskList(e), hubTaskShow(e), hubTaskCancel(e), hubTaskEnd(e), hubTaskResults(e), hubTaskDelete(e))
}

func hubTaskList(e *env) *cobra.Command {
	var project, state string
	var p paging
	c := &cobra.Command{Use: "list", Short: "List tasks, newest first", Args: cobra.NoArgs,
		Example: "  tresor hub task list --project aurora --state RUNNING",
		RunE: func(c *cobra.Command, _ []string) error {
			filter := []string{"project", project, "state", strings.ToUpper(state)}
			return list(c.Context(), e, &p, "/hub/tasks", filter, "task|name|project|person|state|nodes|sent", func(t hubTaskView) []string {
				var parts []string
				for _, x := range t.Parts {
					parts = append(parts, x.Node+" "+x.State)
				}
				return []string{t.ID, t.Name, t.ProjectSlug, t.Owner, t.State, strings.Join(parts, ", "), when(&t.CreatedAt)}
			})
		}}
	p.flags(c)
	c.Flags().StringVar(&project, "project", "", "only this project")
	c.Flags().StringVar(&state, "state", "", "only this state, such as RUNNING")
	flagCompletes(e, c, "project", someHubProjects)
	flagCompletes(e, c, "state", words("QUEUED", "INITIALIZING", "RUNNING", "COMPLETE", "EXECUTOR_ERROR", "SYSTEM_ERROR", "CANCELED"))
	return c
}

func hubTaskShow(e *env) *cobra.Command {
	return completes(e, &cobra.Command{Use: "show TASK", Short: "Show one task at each of its nodes", Args: cobra.ExactArgs(1),
		Example: "  tresor hub task show 01a20d17…",
		RunE: func(c *cobra.Command, args []string) error {
			return show(c.Context(), e, http.MethodGet, "/hub/tasks/"+esc(args[0]), nil, printHubTask)
		}}, someHubTasks)
}

func printHubTask(w io.Writer, t hubTaskView) {
	facts(w, "task", t.ID, "name", t.Name, "project", t.ProjectSlug, "sent by", t.Owner, "state", t.State, "sent", when(&t.CreatedAt), "ended", when(t.EndedAt),
		"end asked for", when(t.CancelAt), "kept here until", when(t.KeepUntil), "images", strings.Join(t.Images, " "))
	fmt.Fprintln(w)
	var rows [][]string
	for _, p := range t.Parts {
		result := ""
		if p.Result != nil {
			result = fmt.Sprintf("%s, %d file%s", p.Result.State, len(p.Result.Files), yes(len(p.Result.Files) == 1, "", "s"))
			if p.Result.KeepUntil != nil {
				result += ", kept until " + when(p.Result.KeepUntil)
			}
		}
		rows = append(rows, []string{p.Node, p.State, p.Delivery, when(p.LastSeen), result})
	}
	table(w, "node|state|order|last word|result", rows)
	for _, p := range t.Parts {
		if p.Text != "" {
			fmt.Fprintf(w, "%s: %s (%s%s)\n", clean(p.Node), clean(p.Text), clean(p.Code), reference(p.Correlation))
		}
		if p.Turn != "" {
			fmt.Fprintf(w, "%s: %s\n", clean(p.Node), clean(p.Turn))
		}
		if p.Trouble != "" {
			fmt.Fprintf(w, "%s: %s\n", clean(p.Node), clean(p.Trouble))
		}
		for _, m := range p.Messages {
			fmt.Fprintf(w, "%s: %s\n", clean(p.Node), clean(m))
		}
	}
}

func reference(correlation string) string {
	if correlation == "" {
		return ""
	}
	return "; reference " + clean(correlation)
}

func hubTaskCancel(e *env) *cobra.Command {
	return completes(e, &cobra.Command{Use: "cancel TASK", Short: "Ask all nodes for the end of a task", Args: cobra.ExactArgs(1),
		Example: "  tresor hub task cancel 01a20d17…",
		RunE: func(c *cobra.Command, args []string) error {
			return show(c.Context(), e, http.MethodPost, "/hub/tasks/"+esc(args[0])+"/cancel", map[string]any{}, printHubTask)
		}}, someHubTasks)
}

func hubTaskEnd(e *env) *cobra.Command {
	return completes(e, &cobra.Command{Use: "end TASK", Short: "Stop waiting for the nodes that have not ended a cancelled task", Args: cobra.ExactArgs(1),
		Long: `Ends a task that was cancelled at once, whatever nodes have not answered: it is CANCELED
from then on. A node that comes back is still told to stop.`,
		Example: "  tresor hub task end 01a20d17…",
		RunE: func(c *cobra.Command, args []string) error {
			return show(c.Context(), e, http.MethodPost, "/hub/tasks/"+esc(args[0])+"/end", map[string]any{}, printHubTask)
		}}, someHubTasks)
}

func hubTaskDelete(e *env) *cobra.Command {
	var node string
	c := &cobra.Command{Use: "delete-results TASK", Short: "Delete the hub's copies of what the nodes released", Args: cobra.ExactArgs(1),
		Long: `Deletes the zips of a task on this hub. Names and hashes stay, and the nodes keep their
releases. Who sent the task may do this, and the operator.`,
		Example: "  tresor hub task delete-results 01a20d17… --node north --as hanna",
		RunE: func(c *cobra.Command, args []string) error {
			path := "/hub/tasks/" + esc(args[0]) + "/results"
			if node != "" {
				path += "/" + esc(node)
			}
			return show(c.Context(), e, http.MethodDelete, path, nil, printHubTask)
		}}
	c.Flags().StringVar(&node, "node", "", "only what this node released")
	flagCompletes(e, c, "node", someHubNodes)
	return completes(e, c, someHubTasks)
}

type savedResult struct {
	Node   string `json:"node"`
	File   string `json:"file"`
	SHA256 string `json:"sha256"`
	Size   int64  `json:"size"`
}

func hubTaskResults(e *env) *cobra.Command {
	dir := "."
	c := &cobra.Command{Use: "results TASK", Short: "Download what the nodes have released: one zip per node", Args: cobra.ExactArgs(1),
		Example: "  tresor hub task results 01a20d17… --to results --as hanna",
		RunE: func(c *cobra.Command, args []string) error {
			var t hubTaskView
			if err := e.client.do(c.Context(), http.MethodGet, "/hub/tasks/"+esc(args[0]), nil, &t); err != nil {
				return err
			}
			if err := os.MkdirAll(dir, 0o755); err != nil {
				return fault.Kinded("cli.hub", fault.Invalid, err, "Cannot make %s: %v.", dir, err)
			}
			saved := []savedResult{}
			for _, p := range t.Parts {
				if p.Result == nil || p.Result.State != "stored" {
					continue
				}
				s, err := saveResult(c.Context(), e, t.ID, p, dir)
				if err != nil {
					return err
				}
				saved = append(saved, s)
			}
			if e.json {
				return printJSON(e.out, page[savedResult]{Items: saved})
			}
			var rows [][]string
			for _, s := range saved {
				rows = append(rows, []string{s.Node, s.File, size(s.Size), s.SHA256})
			}
			table(e.out, "node|file|size|sha-256", rows)
			next := "tresor release verify FILE --key KEY-OF-THE-NODE"
			if len(saved) == 0 {
				next = "tresor hub task show " + clean(t.ID) + " says whose turn it is, and what was deleted"
			}
			_, err := fmt.Fprintln(e.out, "next:", next)
			return err
		}}
	c.Flags().StringVar(&dir, "to", ".", "folder for the zips")
	return completes(e, c, someHubTasks)
}

// saveResult downloads one zip and compares its hash before it gets its name.
func saveResult(ctx context.Context, e *env, task string, p hubPartView, dir string) (savedResult, error) {
	resp, err := e.client.send(ctx, http.MethodGet, "/hub/tasks/"+esc(task)+"/results/"+esc(p.NodeID), "", nil)
	if err != nil {
		return savedResult{}, err
	}
	defer resp.Body.Close()
	to := filepath.Join(dir, task+"-"+strings.Map(fileSafe, p.Node)+".zip")
	f, err := os.CreateTemp(dir, ".part-*")
	if err != nil {
		return savedResult{}, fault.Kinded("cli.hub", fault.Invalid, err, "Cannot write into %s: %v.", dir, err)
	}
	defer os.Remove(f.Name()) // does nothing once it has its name
	sum := sha256.New()
	n, err := io.Copy(io.MultiWriter(f, sum), resp.Body)
	if cerr := f.Close(); err == nil {
		err = cerr
	}
	if err != nil {
		return savedResult{}, fault.Kinded("cli.hub", fault.Unavailable, err, "The result of %s broke off.", p.Node)
	}
	got := hex.EncodeToString(sum.Sum(nil))
	if got != p.Result.SHA256 {
		return savedResult{}, &exitError{code: ExitTampered, err: fmt.Errorf("the result of %s has sha256 %s, the hub listed %s: nothing was kept", clean(p.Node), got, p.Result.SHA256)}
	}
	if err := os.Rename(f.Name(), to); err != nil {
		return savedResult{}, fault.Kinded("cli.hub", fault.Invalid, err, "Cannot write %s: %v.", to, err)
	}
	return savedResult{Node: p.Node, File: to, SHA256: got, Size: n}, nil
}

// fileSafe keeps what every file system takes.
func fileSafe(r rune) rune {
	if r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || r == '-' || r == '.' {
		return r
	}
	return '_'
}
