package cli

import (
	"fmt"
	"io"
	"net/http"
	"strconv"
	"time"

	"github.com/spf13/cobra"
)

type requestView struct {
	ID          string `json:"id"`
	ProjectName string `json:"project_name"`
	Job         string `json:"job"`
	JobName     string `json:"job_name"`
	Title       string `json:"title"`
	State       string `json:"state"`
	Round       int    `json:"round"`
	Context     string `json:"context"`
	Population  string `json:"population"`
	Controls    string `json:"controls"`
	Exception   string `json:"exception"`
	Requester   struct {
		Handle string `json:"handle"`
	} `json:"requester"`
	SubmittedAt *time.Time `json:"submitted_at"`
	Release     string     `json:"release"`
	Turn        struct {
		Who  string `json:"who"`
		Next string `json:"next"`
	} `json:"turn"`
	Items []struct {
		ID       string        `json:"id"`
		Path     string        `json:"path"`
		SHA256   string        `json:"sha256"`
		Size     int64         `json:"size"`
		Kind     string        `json:"kind"`
		Rows     int           `json:"rows"`
		Seen     bool          `json:"seen"`
		Findings []findingView `json:"findings"`
	} `json:"items"`
	Findings []findingView `json:"findings"` // of the request as a whole
	Reviews  []struct {
		Reviewer struct {
			Handle string `json:"handle"`
		} `json:"reviewer"`
		Decision string    `json:"decision"`
		Comment  string    `json:"comment"`
		At       time.Time `json:"at"`
	} `json:"reviews"`
	Comments []struct {
		By struct {
			Handle string `json:"handle"`
		} `json:"by"`
		At   time.Time `json:"at"`
		Text string    `json:"text"`
	} `json:"comments"`
	ReviewsDone   int `json:"reviews_done"`
	ReviewsNeeded int `json:"reviews_needed"`
}

func newAirlock(e *env) *cobra.Command {
	return group("airlock", "Airlock requests: ask to move outputs out, review them",
		"Requests are seen by members of the project, checkers, stewards and auditors: use --as. Checkers vote in the browser, where they look at every file first.",
		airlockList(e), airlockShow(e), airlockRequest(e), airlockEdit(e), airlockSubmit(e), airlockView(e), airlockComment(e),
		airlockVote(e), airlockReturn(e), airlockWithdraw(e))
}

func airlockList(e *env) *cobra.Command {
	var project, state string
	var p paging
	c := &cobra.Command{Use: "list", Short: "List airlock requests, newest first", Args: cobra.NoArgs,
		Example: `  tresor airlock list --as stefan --state in-review`,
		RunE: func(c *cobra.Command, _ []string) error {
			return list(c.Context(), e, &p, "/airlock", []string{"project", project, "state", state}, "request|project|title|state|turn|submitted",
				func(r requestView) []string {
					return []string{r.ID, r.ProjectName, r.Title, r.State, r.Turn.Who, when(r.SubmittedAt)}
				})
		}}
	p.flags(c)
	c.Flags().StringVar(&project, "project", "", "only this project")
	c.Flags().StringVar(&state, "state", "", "only these states, separated by commas")
	flagCompletes(e, c, "project", someProjects)
	flagCompletes(e, c, "state", words("draft", "submitted", "in-review", "returned", "approved", "rejected", "released", "withdrawn"))
	return c
}

func airlockShow(e *env) *cobra.Command {
	return completes(e, &cobra.Command{Use: "show REQUEST", Short: "Show a request with its files, findings and reviews", Args: cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			return show(c.Context(), e, http.MethodGet, "/airlock/"+esc(args[0]), nil, printRequest)
		}}, someRequests)
}

func printRequest(w io.Writer, r requestView) {
	round := ""
	if r.Round > 1 {
		round = strconv.Itoa(r.Round)
	}
	facts(w, "request", r.ID, "title", r.Title, "project", r.ProjectName, "job", r.JobName, "job id", r.Job, "by", r.Requester.Handle, "state", r.State, "round", round,
		"whose turn", r.Turn.Who, "next", r.Turn.Next, "reviews", fmt.Sprintf("%d of %d", r.ReviewsDone, r.ReviewsNeeded), "context", r.Context,
		"population", r.Population, "controls", r.Controls, "exception", r.Exception, "release", r.Release)
	printFindings(w, r.Findings)
	for _, it := range r.Items {
		fmt.Fprintf(w, "\n%s  %s  %s %s  sha256 %s\n", it.ID, clean(it.Path), size(it.Size), it.Kind, it.SHA256)
		printFindings(w, it.Findings)
	}
	for _, v := range r.Reviews {
		fmt.Fprintf(w, "\n%s  %s: %s  %s\n", when(&v.At), v.Reviewer.Handle, v.Decision, clean(v.Comment))
	}
	for _, c := range r.Comments {
		fmt.Fprintf(w, "\n%s  %s: %s\n", when(&c.At), c.By.Handle, clean(c.Text))
	}
}

// letter holds what a requester writes to the reviewers.
type letter struct {
	title, context, population, controls, exception string
	outputs                                         []string
}

func (l *letter) flags(c *cobra.Command) {
	f := c.Flags()
	f.StringVar(&l.title, "title", "", "what the files show, in a few words")
	f.StringVar(&l.context, "context", "", "what the files show and why they are safe")
	f.StringVar(&l.population, "population", "", "who is counted, and how many")
	f.StringVar(&l.controls, "controls", "", "disclosure controls applied: rounding, suppression")
	f.StringVar(&l.exception, "exception", "", "reason for asking despite a blocking finding")
	f.StringSliceVar(&l.outputs, "output", nil, "ids of outputs (default: all of the job)")
}

// body holds what was said on the command line and nothing else, so that an
// edit leaves the rest as it is.
func (l *letter) body(c *cobra.Command) map[string]any {
	body := map[string]any{}
	for name, v := range map[string]string{"title": l.title, "context": l.context, "population": l.population, "controls": l.controls, "exception": l.exception} {
		if c.Flags().Changed(name) {
			body[name] = v
		}
	}
	if len(l.outputs) > 0 {
		body["outputs"] = l.outputs
	}
	return body
}

func airlockRequest(e *env) *cobra.Command {
	var l letter
	c := &cobra.Command{Use: "request JOB", Short: "Draft a request for a held job's outputs", Args: cobra.ExactArgs(1),
		Example: `  tresor airlock request JOB --as rosa --title "Visits by health" --context "Counts of visits; every group has 100 people or more"`,
		RunE: func(c *cobra.Command, args []string) error {
			return show(c.Context(), e, http.MethodPost, "/jobs/"+esc(args[0])+"/airlock", l.body(c), printRequest)
		}}
	l.flags(c)
	required(c, "title", "context")
	return completes(e, c, someJobs)
}

func airlockEdit(e *env) *cobra.Command {
	var l letter
	c := &cobra.Command{Use: "edit REQUEST", Short: "Change a draft or a returned request; what is not named stays", Args: cobra.ExactArgs(1),
		Example: `  tresor airlock edit REQUEST --as rosa --controls "counts under 10 suppressed"`,
		RunE: func(c *cobra.Command, args []string) error {
			return show(c.Context(), e, http.MethodPatch, "/airlock/"+esc(args[0]), l.body(c), printRequest)
		}}
	l.flags(c)
	c.MarkFlagsOneRequired("title", "context", "population", "controls", "exception", "output")
	return completes(e, c, someRequests)
}

func airlockView(e *env) *cobra.Command {
	var offset, limit int64
	c := &cobra.Command{Use: "view REQUEST [FILE]", Short: "Look at a page of a file under review (audited)", Args: cobra.RangeArgs(1, 2),
		Long: "FILE is an id or a path; it may be left out when the request has one file.",
		RunE: func(c *cobra.Command, args []string) error {
			var r requestView
			if err := e.client.do(c.Context(), http.MethodGet, "/airlock/"+esc(args[0]), nil, &r); err != nil {
				return err
			}
			var things []thing
			for _, it := range r.Items {
				things = append(things, thing{it.ID, it.Path})
			}
			id, err := pick(things, args[1:], "file", "tresor airlock show "+r.ID)
			if err != nil {
				return err
			}
			return show(c.Context(), e, http.MethodGet, "/airlock/"+esc(r.ID)+"/items/"+esc(id)+"/view"+window(offset, limit), nil, printView)
		}}
	windowFlags(c, &offset, &limit)
	return completes(e, c, someRequests)
}

func airlockComment(e *env) *cobra.Command {
	var item string
	c := &cobra.Command{Use: "comment REQUEST TEXT", Short: "Comment on a request or one of its files", Args: cobra.ExactArgs(2),
		RunE: func(c *cobra.Command, args []string) error {
			return show(c.Context(), e, http.MethodPost, "/airlock/"+esc(args[0])+"/comments", map[string]string{"text": args[1], "item": item}, printRequest)
		}}
	c.Flags().StringVar(&item, "file", "", "id of the file that is meant (default: the request as a whole)")
	return completes(e, c, someRequests)
}

func airlockReturn(e *env) *cobra.Command {
	var comment string
	c := &cobra.Command{Use: "return REQUEST", Short: "Vote for a change: send the request back to the requester", Args: cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error { return vote(c, e, args[0], "change", comment) }}
	c.Flags().StringVar(&comment, "comment", "", "what has to change")
	required(c, "comment")
	return completes(e, c, someRequests)
}

func vote(c *cobra.Command, e *env, request, decision, comment string) error {
	body := map[string]string{"decision": decision, "comment": comment}
	return show(c.Context(), e, http.MethodPost, "/airlock/"+esc(request)+"/votes", body, printRequest)
}

func airlockSubmit(e *env) *cobra.Command {
	return completes(e, &cobra.Command{Use: "submit REQUEST", Short: "Submit a draft: its files are frozen, checked and put to the reviewers", Args: cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			return show(c.Context(), e, http.MethodPost, "/airlock/"+esc(args[0])+"/submit", map[string]any{}, printRequest)
		}}, someRequests)
}

func airlockVote(e *env) *cobra.Command {
	var comment string
	c := &cobra.Command{Use: "vote REQUEST approve|reject|change", Short: "Vote as a checker (every file has to be viewed first)", Args: cobra.ExactArgs(2),
		RunE: func(c *cobra.Command, args []string) error { return vote(c, e, args[0], args[1], comment) }}
	c.Flags().StringVar(&comment, "comment", "", "for the other reviewer and the requester, shown when both have voted")
	return completes(e, c, someRequests, words("approve", "reject", "change"))
}

func airlockWithdraw(e *env) *cobra.Command {
	return completes(e, &cobra.Command{Use: "withdraw REQUEST", Short: "Take a request back", Args: cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			return show(c.Context(), e, http.MethodPost, "/airlock/"+esc(args[0])+"/withdraw", map[string]any{}, printRequest)
		}}, someRequests)
}
