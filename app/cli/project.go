package cli

import (
	"fmt"
	"io"
	"net/http"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"tresor/app/fault"
)

type projectView struct {
	ID        string     `json:"id"`
	Slug      string     `json:"slug"`
	Name      string     `json:"name"`
	Purpose   string     `json:"purpose"`
	State     string     `json:"state"`
	EndsAt    *time.Time `json:"ends_at"`
	Approval  string     `json:"approval"`
	Threshold int        `json:"threshold"`
	Reviewers int        `json:"reviewers"`
	Members   []struct {
		Handle string `json:"handle"`
		Name   string `json:"name"`
		Role   string `json:"role"`
	} `json:"members"`
	Datasets []struct {
		Slug string `json:"slug"`
		Name string `json:"name"`
	} `json:"datasets"`
}

func newProject(e *env) *cobra.Command {
	return group("project", "Projects: who may work on what, for which purpose, until when", "",
		projectList(e), projectShow(e), projectCreate(e), projectMember(e), projectGrant(e), projectClose(e))
}

func projectList(e *env) *cobra.Command {
	return &cobra.Command{Use: "list", Short: "List the projects", Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			return show(c.Context(), e, http.MethodGet, "/projects", nil, func(w io.Writer, p page[projectView]) {
				var rows [][]string
				for _, x := range p.Items {
					rows = append(rows, []string{x.Slug, x.Name, x.State, when(x.EndsAt), x.Approval})
				}
				table(w, "project|name|state|ends|job approval", rows)
			})
		}}
}

func projectShow(e *env) *cobra.Command {
	return &cobra.Command{Use: "show PROJECT", Short: "Show one project with members and datasets", Args: cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			return show(c.Context(), e, http.MethodGet, "/projects/"+esc(args[0]), nil, printProject)
		}}
}

func printProject(w io.Writer, p projectView) {
	facts(w, "project", p.Slug, "name", p.Name, "id", p.ID, "state", p.State, "purpose", p.Purpose, "ends", when(p.EndsAt),
		"job approval", p.Approval, "smallest count released", strconv.Itoa(p.Threshold), "reviewers", strconv.Itoa(p.Reviewers))
	fmt.Fprintln(w, "\nmembers")
	var rows [][]string
	for _, m := range p.Members {
		rows = append(rows, []string{m.Handle, m.Name, m.Role})
	}
	table(w, "person|name|role", rows)
	fmt.Fprintln(w, "\ndatasets")
	rows = nil
	for _, d := range p.Datasets {
		rows = append(rows, []string{d.Slug, d.Name})
	}
	table(w, "dataset|name", rows)
}

func projectCreate(e *env) *cobra.Command {
	var slug, name, purpose, ends, approval string
	var threshold int
	c := &cobra.Command{Use: "create", Short: "Create a project", Args: cobra.NoArgs,
		Example: `  tresor project create --slug aurora --name "Aurora" --purpose "Effect of cost sharing on visits" --ends 2027-12-31`,
		RunE: func(c *cobra.Command, _ []string) error {
			body := map[string]any{"slug": slug, "name": name, "purpose": purpose}
			if approval != "" {
				body["approval"] = approval
			}
			if threshold > 0 {
				body["threshold"] = threshold
			}
			if ends != "" {
				t, err := time.ParseInLocation("2006-01-02", ends, time.Local)
				if err != nil {
					return fault.New("cli.project", fault.Invalid, "%q is not a date. Write it as 2027-12-31.", ends)
				}
				body["ends_at"] = t.AddDate(0, 0, 1) // the whole last day counts
			}
			return show(c.Context(), e, http.MethodPost, "/projects", body, printProject)
		}}
	f := c.Flags()
	f.StringVar(&slug, "slug", "", "short name for addresses, lower case")
	f.StringVar(&name, "name", "", "name for people")
	f.StringVar(&purpose, "purpose", "", "what the data may be used for")
	f.StringVar(&ends, "ends", "", "last day of the project, as 2027-12-31")
	f.StringVar(&approval, "approval", "", "job approval: every, image (default) or off")
	f.IntVar(&threshold, "threshold", 0, "smallest count that may be released (default 10)")
	required(c, "slug", "name", "purpose")
	return c
}

func required(c *cobra.Command, names ...string) {
	for _, n := range names {
		_ = c.MarkFlagRequired(n) // fails only for a flag that is not defined
	}
}

func projectMember(e *env) *cobra.Command {
	var drop bool
	c := &cobra.Command{Use: "member PROJECT PERSON [researcher|lead]", Short: "Add a person to a project, change the role, or --drop them", Args: cobra.RangeArgs(2, 3),
		RunE: func(c *cobra.Command, args []string) error {
			id, err := personID(c, e, args[1])
			if err != nil {
				return err
			}
			path := "/projects/" + esc(args[0]) + "/members/" + esc(id)
			if drop {
				return e.client.do(c.Context(), http.MethodDelete, path, nil, nil)
			}
			if len(args) < 3 {
				return fault.New("cli.project", fault.Invalid, "Say which role: researcher or lead.")
			}
			return show(c.Context(), e, http.MethodPut, path, map[string]string{"role": args[2]}, printProject)
		}}
	c.Flags().BoolVar(&drop, "drop", false, "remove the person from the project")
	return c
}

func projectGrant(e *env) *cobra.Command {
	var revoke bool
	c := &cobra.Command{Use: "grant PROJECT DATASET", Short: "Let a project use a dataset (or --revoke it)", Args: cobra.ExactArgs(2),
		RunE: func(c *cobra.Command, args []string) error {
			path := "/projects/" + esc(args[0]) + "/datasets/" + esc(args[1])
			if revoke {
				return e.client.do(c.Context(), http.MethodDelete, path, nil, nil)
			}
			return show(c.Context(), e, http.MethodPut, path, map[string]any{}, printProject)
		}}
	c.Flags().BoolVar(&revoke, "revoke", false, "take the dataset away from the project")
	return c
}

func projectClose(e *env) *cobra.Command {
	var reason string
	c := &cobra.Command{Use: "close PROJECT", Short: "Close a project: no new work is accepted", Args: cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			return show(c.Context(), e, http.MethodPatch, "/projects/"+esc(args[0]), map[string]any{"state": "closed", "reason": reason}, printProject)
		}}
	c.Flags().StringVar(&reason, "reason", "", "why the project ends")
	return c
}
