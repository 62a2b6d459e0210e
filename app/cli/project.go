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
	Ended     bool       `json:"ended"`
	Reason    string     `json:"reason"`
	Waiver    *struct {
		Reason  string    `json:"reason"`
		Until   time.Time `json:"until"`
		Expired bool      `json:"expired"`
	} `json:"waiver"`
	Members []struct {
		Handle string `json:"handle"`
		Name   string `json:"name"`
		Role   string `json:"role"`
	} `json:"members"`
	Datasets []struct {
		Slug    string `json:"slug"`
		Name    string `json:"name"`
		Version int    `json:"version"`
	} `json:"datasets"`
}

func newProject(e *env) *cobra.Command {
	return group("project", "Projects: who may work on what, for which purpose, until when", "",
		projectList(e), projectShow(e), projectCreate(e), projectChange(e), projectMember(e), projectGrant(e), projectTree(e),
		projectState(e, "close", "closed", "Close a project: no new work is accepted"), projectState(e, "reopen", "open", "Open a closed project again"))
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
	return completes(e, &cobra.Command{Use: "show PROJECT", Short: "Show one project with members and datasets", Args: cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			return show(c.Context(), e, http.MethodGet, "/projects/"+esc(args[0]), nil, printProject)
		}}, someProjects)
}

func printProject(w io.Writer, p projectView) {
	ends, waiver := when(p.EndsAt), ""
	if p.Ended {
		ends += " (over: no new work)"
	}
	if p.Waiver != nil {
		waiver = fmt.Sprintf("one reviewer until %s: %s", when(&p.Waiver.Until), p.Waiver.Reason)
		if p.Waiver.Expired {
			waiver += " (expired: two again)"
		}
	}
	facts(w, "project", p.Slug, "name", p.Name, "id", p.ID, "state", p.State, "purpose", p.Purpose, "ends", ends, "job approval", p.Approval,
		"smallest count released", strconv.Itoa(p.Threshold), "reviewers", strconv.Itoa(p.Reviewers), "waiver", waiver, "reason", p.Reason)
	fmt.Fprintln(w, "\nmembers")
	var rows [][]string
	for _, m := range p.Members {
		rows = append(rows, []string{m.Handle, m.Name, m.Role})
	}
	table(w, "person|name|role", rows)
	fmt.Fprintln(w, "\ndatasets")
	rows = nil
	for _, d := range p.Datasets {
		rows = append(rows, []string{d.Slug, d.Name, strconv.Itoa(d.Version)})
	}
	table(w, "dataset|name|latest version", rows)
}

func required(c *cobra.Command, names ...string) {
	for _, n := range names {
		_ = c.MarkFlagRequired(n) // fails only for a flag that is not defined
	}
}

func projectMember(e *env) *cobra.Command {
	var drop bool
	var reason string
	c := &cobra.Command{Use: "member PROJECT PERSON [researcher|lead]", Short: "Add a person to a project, change the role, or --drop them", Args: cobra.RangeArgs(2, 3),
		Example: "  tresor project member aurora rosa researcher\n  tresor project member aurora rosa --drop --reason \"left the institute\"",
		RunE: func(c *cobra.Command, args []string) error {
			id, err := personID(c, e, args[1])
			if err != nil {
				return err
			}
			path := "/projects/" + esc(args[0]) + "/members/" + esc(id)
			if drop {
				return show(c.Context(), e, http.MethodPost, path+"/remove", because(reason), printProject)
			}
			if len(args) < 3 {
				return fault.WithNext(fault.New("cli.project", fault.Invalid, "The role is missing."), "Add researcher or lead, or --drop.")
			}
			return show(c.Context(), e, http.MethodPut, path, map[string]string{"role": args[2]}, printProject)
		}}
	c.Flags().BoolVar(&drop, "drop", false, "remove the person from the project")
	whyFlag(c, &reason, "drop")
	return completes(e, c, someProjects, somePeople, words("researcher", "lead"))
}

func projectGrant(e *env) *cobra.Command {
	var revoke bool
	var reason string
	c := &cobra.Command{Use: "grant PROJECT DATASET", Short: "Let a project use a dataset (or --revoke it)", Args: cobra.ExactArgs(2),
		Example: "  tresor project grant aurora randhie --as stefan\n  tresor project grant aurora randhie --revoke --reason \"the agreement ended\" --as stefan",
		RunE: func(c *cobra.Command, args []string) error {
			path := "/projects/" + esc(args[0]) + "/datasets/" + esc(args[1])
			if revoke {
				return show(c.Context(), e, http.MethodPost, path+"/revoke", because(reason), printProject)
			}
			return show(c.Context(), e, http.MethodPut, path, map[string]any{}, printProject)
		}}
	c.Flags().BoolVar(&revoke, "revoke", false, "take the dataset away from the project")
	whyFlag(c, &reason, "revoke")
	return completes(e, c, someProjects, someDatasets)
}

func projectState(e *env, verb, state, short string) *cobra.Command {
	var reason string
	c := &cobra.Command{Use: verb + " PROJECT", Short: short, Args: cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			return show(c.Context(), e, http.MethodPatch, "/projects/"+esc(args[0]), map[string]any{"state": state, "reason": reason}, printProject)
		}}
	whyFlag(c, &reason, "")
	return completes(e, c, someProjects)
}

// whyFlag adds --reason: needed always, or together with the flag that ends something.
func whyFlag(c *cobra.Command, reason *string, with string) {
	c.Flags().StringVar(reason, "reason", "", "why (recorded)")
	if with == "" {
		required(c, "reason")
		return
	}
	c.MarkFlagsRequiredTogether(with, "reason")
}

// because is the body of a request that ends something.
func because(reason string) map[string]string { return map[string]string{"reason": reason} }
