package cli

import (
	"fmt"
	"io"
	"net/http"
	"time"

	"github.com/spf13/cobra"
)

type requestView struct {
	ID          string     `json:"id"`
	ProjectName string     `json:"project_name"`
	Job         string     `json:"job"`
	JobName     string     `json:"job_name"`
	Title       string     `json:"title"`
	State       string     `json:"state"`
	Context     string     `json:"context"`
	SubmittedAt *time.Time `json:"submitted_at"`
	Release     string     `json:"release"`
	Turn        struct {
		Who  string `json:"who"`
		Next string `json:"next"`
	} `json:"turn"`
	Items []struct {
		ID       string `json:"id"`
		Path     string `json:"path"`
		SHA256   string `json:"sha256"`
		Size     int64  `json:"size"`
		Findings []struct {
			Rule     string `json:"rule"`
			Severity string `json:"severity"`
			Message  string `json:"message"`
		} `json:"findings"`
	} `json:"items"`
	ReviewsDone   int `json:"reviews_done"`
	ReviewsNeeded int `json:"reviews_needed"`
}

func newAirlock(e *env) *cobra.Command {
	return group("airlock", "Airlock requests: ask to move outputs out, review them", "",
		airlockList(e), airlockShow(e), airlockRequest(e), airlockSubmit(e), airlockVote(e), airlockWithdraw(e))
}

func airlockList(e *env) *cobra.Command {
	var project, state string
	c := &cobra.Command{Use: "list", Short: "List airlock requests", Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			return show(c.Context(), e, http.MethodGet, "/airlock"+query("project", project, "state", state), nil, func(w io.Writer, p page[requestView]) {
				var rows [][]string
				for _, r := range p.Items {
					rows = append(rows, []string{r.ID, r.ProjectName, r.Title, r.State, r.Turn.Who, when(r.SubmittedAt)})
				}
				table(w, "request|project|title|state|turn|submitted", rows)
			})
		}}
	c.Flags().StringVar(&project, "project", "", "only this project")
	c.Flags().StringVar(&state, "state", "", "only this state")
	return c
}

func airlockShow(e *env) *cobra.Command {
	return &cobra.Command{Use: "show REQUEST", Short: "Show a request with its files and findings", Args: cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			return show(c.Context(), e, http.MethodGet, "/airlock/"+esc(args[0]), nil, printRequest)
		}}
}

func printRequest(w io.Writer, r requestView) {
	facts(w, "request", r.ID, "title", r.Title, "project", r.ProjectName, "job", r.JobName, "state", r.State,
		"whose turn", r.Turn.Who, "next", r.Turn.Next, "reviews", fmt.Sprintf("%d of %d", r.ReviewsDone, r.ReviewsNeeded), "release", r.Release)
	for _, it := range r.Items {
		fmt.Fprintf(w, "\n%s  %s  %s  sha256 %s\n", it.ID, it.Path, size(it.Size), it.SHA256)
		for _, f := range it.Findings {
			fmt.Fprintf(w, "  %s %s: %s\n", f.Severity, f.Rule, f.Message)
		}
	}
}

func airlockRequest(e *env) *cobra.Command {
	var title, context, population, controls, exception string
	var outputs []string
	c := &cobra.Command{Use: "request JOB", Short: "Draft a request for a held job's outputs", Args: cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			body := map[string]any{"title": title, "context": context, "population": population, "controls": controls}
			if len(outputs) > 0 {
				body["outputs"] = outputs
			}
			if exception != "" {
				body["exception"] = exception
			}
			return show(c.Context(), e, http.MethodPost, "/jobs/"+esc(args[0])+"/airlock", body, printRequest)
		}}
	f := c.Flags()
	f.StringVar(&title, "title", "", "what the files show, in a few words")
	f.StringVar(&context, "context", "", "what the files show and why they are safe")
	f.StringVar(&population, "population", "", "who is counted, and how many")
	f.StringVar(&controls, "controls", "", "disclosure controls applied: rounding, suppression")
	f.StringVar(&exception, "exception", "", "reason for asking despite a blocking finding")
	f.StringSliceVar(&outputs, "output", nil, "output ids (default: all of the job)")
	required(c, "title", "context")
	return c
}

func airlockSubmit(e *env) *cobra.Command {
	return &cobra.Command{Use: "submit REQUEST", Short: "Submit a draft: its files are frozen, checked and put to the reviewers", Args: cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			return show(c.Context(), e, http.MethodPost, "/airlock/"+esc(args[0])+"/submit", map[string]any{}, printRequest)
		}}
}

func airlockVote(e *env) *cobra.Command {
	var comment string
	c := &cobra.Command{Use: "vote REQUEST approve|reject|change", Short: "Vote as a checker (every file has to be viewed first)", Args: cobra.ExactArgs(2),
		RunE: func(c *cobra.Command, args []string) error {
			body := map[string]string{"decision": args[1], "comment": comment}
			return show(c.Context(), e, http.MethodPost, "/airlock/"+esc(args[0])+"/votes", body, printRequest)
		}}
	c.Flags().StringVar(&comment, "comment", "", "for the other reviewer and the requester, shown when both have voted")
	return c
}

func airlockWithdraw(e *env) *cobra.Command {
	return &cobra.Command{Use: "withdraw REQUEST", Short: "Take a request back", Args: cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			return show(c.Context(), e, http.MethodPost, "/airlock/"+esc(args[0])+"/withdraw", map[string]any{}, printRequest)
		}}
}
