package cli

import (
	"fmt"
	"io"
	"net/http"

	"github.com/spf13/cobra"
)

type hubProjectView struct {
	ID      string `json:"id"`
	Slug    string `json:"slug"`
	Name    string `json:"name"`
	State   string `json:"state"`
	Members []struct {
		Handle string `json:"handle"`
		Name   string `json:"name"`
		Role   string `json:"role"`
	} `json:"members"`
	Nodes []struct {
		Name   string `json:"name"`
		Remote string `json:"remote"`
		State  string `json:"state"`
	} `json:"nodes"`
}

func hubProject(e *env) *cobra.Command {
	return group("project", "Projects of the hub: who sends tasks, and to which nodes", "",
		hubProjectList(e), hubProjectShow(e), hubProjectAdd(e), hubProjectMember(e), hubProjectNode(e),
		hubProjectState(e, "close", "closed", "Close a project: no new tasks are taken"), hubProjectState(e, "reopen", "open", "Open a closed project again"))
}

func hubProjectList(e *env) *cobra.Command {
	return &cobra.Command{Use: "list", Short: "List the hub's projects", Args: cobra.NoArgs,
		Example: "  tresor hub project list",
		RunE: func(c *cobra.Command, _ []string) error {
			return show(c.Context(), e, http.MethodGet, "/hub/projects", nil, func(w io.Writer, p page[hubProjectView]) {
				var rows [][]string
				for _, x := range p.Items {
					rows = append(rows, []string{x.Slug, x.Name, x.State, fmt.Sprint(len(x.Members)), fmt.Sprint(len(x.Nodes))})
				}
				table(w, "project|name|state|members|nodes", rows)
			})
		}}
}

func hubProjectShow(e *env) *cobra.Command {
	return completes(e, &cobra.Command{Use: "show PROJECT", Short: "Show one project with members and nodes", Args: cobra.ExactArgs(1),
		Example: "  tresor hub project show aurora",
		RunE: func(c *cobra.Command, args []string) error {
			return show(c.Context(), e, http.MethodGet, "/hub/projects/"+esc(args[0]), nil, printHubProject)
		}}, someHubProjects)
}

func printHubProject(w io.Writer, p hubProjectView) {
	facts(w, "project", p.Slug, "name", p.Name, "id", p.ID, "state", p.State)
	fmt.Fprintln(w, "\nmembers")
	var rows [][]string
	for _, m := range p.Members {
		rows = append(rows, []string{m.Handle, m.Name, m.Role})
	}
	table(w, "person|name|role", rows)
	fmt.Fprintln(w, "\nnodes")
	rows = nil
	for _, n := range p.Nodes {
		rows = append(rows, []string{n.Name, n.Remote, n.State})
	}
	table(w, "node|project there|state", rows)
}

func hubProjectAdd(e *env) *cobra.Command {
	var name string
	c := &cobra.Command{Use: "add SLUG", Short: "Make a project", Args: cobra.ExactArgs(1),
		Example: `  tresor hub project add aurora --name "Aurora"`,
		RunE: func(c *cobra.Command, args []string) error {
			if name == "" {
				name = args[0]
			}
			return show(c.Context(), e, http.MethodPost, "/hub/projects", map[string]string{"slug": args[0], "name": name}, printHubProject)
		}}
	c.Flags().StringVar(&name, "name", "", "full name (default: the short name)")
	return c
}

func hubProjectState(e *env, verb, state, short string) *cobra.Command {
	return completes(e, &cobra.Command{Use: verb + " PROJECT", Short: short, Args: cobra.ExactArgs(1),
		Example: "  tresor hub project " + verb + " aurora",
		RunE: func(c *cobra.Command, args []string) error {
			return show(c.Context(), e, http.MethodPatch, "/hub/projects/"+esc(args[0]), map[string]string{"state": state}, printHubProject)
		}}, someHubProjects)
}

func hubProjectMember(e *env) *cobra.Command {
	var drop bool
	var reason string
	c := &cobra.Command{Use: "member PROJECT PERSON [researcher|lead]", Short: "Let a person send tasks in a project, or --drop them", Args: cobra.RangeArgs(2, 3),
		Example: "  tresor hub project member aurora hanna researcher\n  tresor hub project member aurora hanna --drop --reason \"left the institute\"",
		RunE: func(c *cobra.Command, args []string) error {
			id, err := personID(c, e, args[1])
			if err != nil {
				return err
			}
			path := "/hub/projects/" + esc(args[0]) + "/members/" + esc(id)
			if drop {
				return show(c.Context(), e, http.MethodPost, path+"/remove", because(reason), printHubProject)
			}
			role := "researcher"
			if len(args) > 2 {
				role = args[2]
			}
			return show(c.Context(), e, http.MethodPut, path, map[string]string{"role": role}, printHubProject)
		}}
	c.Flags().BoolVar(&drop, "drop", false, "remove the person from the project; their tokens for it end")
	whyFlag(c, &reason, "drop")
	return completes(e, c, someHubProjects, somePeople, words("researcher", "lead"))
}

func hubProjectNode(e *env) *cobra.Command {
	var drop bool
	var reason string
	c := &cobra.Command{Use: "node PROJECT NODE [PROJECT-THERE]", Short: "Let a project run at a node, or --drop it", Args: cobra.RangeArgs(2, 3),
		Long: `PROJECT-THERE is the short name of the node's own project, as its catalogue lists it;
without it the name of the hub's project is used.`,
		Example: "  tresor hub project node aurora north aurora-north\n  tresor hub project node aurora north --drop --reason \"its data has moved\"",
		RunE: func(c *cobra.Command, args []string) error {
			path := "/hub/projects/" + esc(args[0]) + "/nodes/" + esc(args[1])
			if drop {
				return show(c.Context(), e, http.MethodPost, path+"/remove", because(reason), printHubProject)
			}
			there := args[0]
			if len(args) > 2 {
				there = args[2]
			}
			return show(c.Context(), e, http.MethodPut, path, map[string]string{"remote": there}, printHubProject)
		}}
	c.Flags().BoolVar(&drop, "drop", false, "send no more of the project's tasks to the node")
	whyFlag(c, &reason, "drop")
	return completes(e, c, someHubProjects, someHubNodes)
}
