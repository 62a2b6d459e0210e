package cli

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"tresor/app/fault"
)

type jobView struct {
	ID          string     `json:"id"`
	Project     string     `json:"project"`
	ProjectName string     `json:"project_name"`
	Name        string     `json:"name"`
	State       string     `json:"state"`
	Reason      string     `json:"reason"`
	Next        string     `json:"next"`
	CreatedAt   time.Time  `json:"created_at"`
	FinishedAt  *time.Time `json:"finished_at"`
	Unlimited   bool       `json:"unlimited"`
	Submitter   struct {
		Handle string `json:"handle"`
	} `json:"submitter"`
	Outputs []struct {
		ID     string `json:"id"`
		Path   string `json:"path"`
		Size   int64  `json:"size"`
		SHA256 string `json:"sha256"`
	} `json:"outputs"`
}

func newJob(e *env) *cobra.Command {
	return group("job", "Jobs: submit, follow, decide, cancel", "",
		jobList(e), jobShow(e), jobSubmit(e), jobWait(e), jobLog(e),
		jobDecide(e, "cancel", "Stop a job; its container ends and nothing is released"),
		jobDecide(e, "approve", "Let a job that waits for a decision run"),
		jobDecide(e, "refuse", "Refuse a job that waits for a decision"))
}

func jobList(e *env) *cobra.Command {
	var project, state string
	c := &cobra.Command{Use: "list", Short: "List jobs, newest first", Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			return show(c.Context(), e, http.MethodGet, "/jobs"+query("project", project, "state", state), nil, func(w io.Writer, p page[jobView]) {
				var rows [][]string
				for _, j := range p.Items {
					rows = append(rows, []string{j.ID, j.ProjectName, j.Name, j.State, j.Submitter.Handle, when(&j.CreatedAt)})
				}
				table(w, "job|project|name|state|by|submitted", rows)
			})
		}}
	c.Flags().StringVar(&project, "project", "", "only this project")
	c.Flags().StringVar(&state, "state", "", "only this state")
	return c
}

func jobShow(e *env) *cobra.Command {
	return &cobra.Command{Use: "show JOB", Short: "Show one job with its outputs", Args: cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			return show(c.Context(), e, http.MethodGet, "/jobs/"+esc(args[0]), nil, printJob)
		}}
}

func printJob(w io.Writer, j jobView) {
	limits := ""
	if j.Unlimited {
		limits = "NOT ENFORCED on this host (sandbox.allow_unlimited)"
	}
	facts(w, "job", j.ID, "name", j.Name, "project", j.ProjectName, "state", j.State, "reason", j.Reason, "next", j.Next,
		"limits", limits, "submitted", when(&j.CreatedAt), "ended", when(j.FinishedAt))
	if len(j.Outputs) == 0 {
		return
	}
	fmt.Fprintln(w, "\noutputs")
	var rows [][]string
	for _, o := range j.Outputs {
		rows = append(rows, []string{o.ID, o.Path, size(o.Size), o.SHA256})
	}
	table(w, "output|path|size|sha256", rows)
}

func jobSubmit(e *env) *cobra.Command {
	var project, name, purpose string
	var sql []string
	c := &cobra.Command{Use: "submit", Short: "Submit SQL analyses, one output file each", Args: cobra.NoArgs,
		Example: `  tresor job submit --as rosa --project aurora --name visits --sql visits.csv=visits.sql`,
		RunE: func(c *cobra.Command, _ []string) error {
			queries, err := readQueries(sql)
			if err != nil {
				return err
			}
			body := map[string]any{"name": name, "purpose": purpose, "sql": queries}
			return show(c.Context(), e, http.MethodPost, "/projects/"+esc(project)+"/jobs", body, printJob)
		}}
	f := c.Flags()
	f.StringVar(&project, "project", "", "project")
	f.StringVar(&name, "name", "", "name for people")
	f.StringVar(&purpose, "purpose", "", "what the analysis is for")
	f.StringArrayVar(&sql, "sql", nil, "OUTPUT.csv=FILE.sql: one statement and the file it fills (repeatable)")
	required(c, "project", "name", "sql")
	return c
}

func readQueries(pairs []string) ([]map[string]string, error) {
	var out []map[string]string
	for _, p := range pairs {
		name, file, ok := strings.Cut(p, "=")
		if !ok {
			file = p
			name = strings.TrimSuffix(filepath.Base(p), filepath.Ext(p)) + ".csv"
		}
		text, err := os.ReadFile(file)
		if err != nil {
			return nil, fault.Kinded("cli.job", fault.Invalid, err, "Cannot read %s: %v.", file, err)
		}
		out = append(out, map[string]string{"output": name, "sql": string(text)})
	}
	return out, nil
}

// ended lists the states in which a job needs nothing from the machine any more.
var ended = map[string]bool{"held": true, "released": true, "rejected": true, "failed": true, "cancelled": true, "refused": true}

func jobWait(e *env) *cobra.Command {
	return &cobra.Command{Use: "wait JOB", Short: "Wait until a job is held or has ended otherwise", Args: cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			j, err := waitJob(c.Context(), e.client, args[0])
			if err != nil {
				return err
			}
			if e.json {
				return printJSON(e.out, j)
			}
			printJob(e.out, j)
			if j.State == "failed" || j.State == "refused" || j.State == "cancelled" {
				return fault.New("cli.job", fault.Conflict, "The job ended as %s: %s", j.State, j.Reason)
			}
			return nil
		}}
}

// waitJob asks until the job has ended; the pause grows to two seconds.
func waitJob(ctx context.Context, c *client, id string) (jobView, error) {
	pause := 50 * time.Millisecond
	for {
		var j jobView
		if err := c.do(ctx, http.MethodGet, "/jobs/"+esc(id), nil, &j); err != nil {
			return j, err
		}
		if ended[j.State] {
			return j, nil
		}
		select {
		case <-ctx.Done():
			return j, fault.Kinded("cli.wait", fault.Unavailable, ctx.Err(), "Stopped waiting; the job goes on (state %s).", j.State)
		case <-time.After(pause):
		}
		if pause *= 2; pause > 2*time.Second {
			pause = 2 * time.Second
		}
	}
}

func jobLog(e *env) *cobra.Command {
	var from int64
	c := &cobra.Command{Use: "log JOB", Short: "Print a job's log (members of its project only)", Args: cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			path := "/jobs/" + esc(args[0]) + "/log" + query("from", strconv.FormatInt(from, 10))
			resp, err := e.client.send(c.Context(), http.MethodGet, path, "", nil)
			if err != nil {
				return err
			}
			defer resp.Body.Close()
			_, err = io.Copy(e.out, resp.Body)
			return err
		}}
	c.Flags().Int64Var(&from, "from", 0, "byte offset to start at")
	return c
}

func jobDecide(e *env, verb, short string) *cobra.Command {
	var reason string
	c := &cobra.Command{Use: verb + " JOB", Short: short, Args: cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			return show(c.Context(), e, http.MethodPost, "/jobs/"+esc(args[0])+"/"+verb, map[string]string{"reason": reason}, printJob)
		}}
	c.Flags().StringVar(&reason, "reason", "", "why (recorded)")
	if verb != "approve" {
		required(c, "reason")
	}
	return c
}
