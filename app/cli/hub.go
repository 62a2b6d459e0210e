package cli

import (
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"tresor/app"
)

// Where the words of a hub's commands come from.
var (
	someHubNodes    = from("/hub/nodes", "name", "state")
	someHubProjects = from("/hub/projects", "slug", "name")
	someHubTasks    = from("/hub/tasks?limit=50", "id", "name")
	someHubTokens   = from("/hub/tokens", "id", "name")
)

func newHub(e *env) *cobra.Command {
	return group("hub", "Run a federation hub: nodes, projects that span them, tasks and released results",
		`A hub gives researchers one task service for several appliances. It holds no data:
it passes signed tasks on, and the nodes decide. Its data folder is its own; name it
with --data. The verbs person and audit work on a hub too.`,
		hubServe(e), hubInit(e), hubShow(e), hubRotate(e), hubNode(e), hubProject(e), hubToken(e), hubTask(e), hubCatalogue(e))
}

func hubServe(e *env) *cobra.Command {
	var listen, keep, keepTasks string
	c := &cobra.Command{Use: "serve", Short: "Run the hub until Ctrl-C or SIGTERM", Args: cobra.NoArgs,
		Long: `Runs the hub on its own data folder. Ctrl-C or SIGTERM stops it cleanly: tasks at the
nodes go on, and the hub asks about them at the next start.`,
		Example: "  tresor hub serve --data /var/lib/tresor-hub --listen :443",
		RunE: func(c *cobra.Command, _ []string) error {
			for name, value := range map[string]string{"listen": listen, "federation.keep_results": keep, "federation.keep_tasks": keepTasks} {
				if value != "" {
					e.set = append(e.set, name+"="+value)
				}
			}
			e.set = append(e.set, "hub=true")
			if err := e.resolve(); err != nil {
				return err
			}
			if e.cfgErr != nil {
				return e.cfgErr
			}
			h, err := app.NewHub(c.Context(), e.cfg, app.Options{Log: newLog(e.err, e.cfg.Log), Version: Version})
			if err != nil {
				return err
			}
			defer h.Close()
			return h.Run(c.Context(), func(n app.News) { banner(e, n) })
		}}
	c.Flags().StringVar(&listen, "listen", "", "address and port to serve on (setting listen)")
	c.Flags().StringVar(&keep, "keep-results", "", "how long released results stay after their task, such as 30d; 0s for ever (setting federation.keep_results)")
	c.Flags().StringVar(&keepTasks, "keep-tasks", "", "how long a task stays after its end, such as 180d; 0s for ever (setting federation.keep_tasks)")
	return c
}

type hubOverview struct {
	Name     string `json:"name"`
	Key      string `json:"key"`
	Address  string `json:"address"`
	Nodes    int    `json:"nodes"`
	Online   int    `json:"online"`
	Open     int    `json:"open_tasks"`
	Rotation *struct {
		Next  string    `json:"next"`
		Until time.Time `json:"until"`
		Known int       `json:"known"`
		Nodes int       `json:"nodes"`
	} `json:"rotation"`
}

func printHub(w io.Writer, h hubOverview) {
	rotation := ""
	if r := h.Rotation; r != nil {
		rotation = fmt.Sprintf("to %s: %d of %d nodes know it, both keys are good until %s", r.Next, r.Known, r.Nodes, when(&r.Until))
	}
	facts(w, "hub", h.Name, "address for nodes", h.Address, "key", h.Key, "nodes", fmt.Sprintf("%d, %d online", h.Nodes, h.Online),
		"open tasks", strconv.Itoa(h.Open), "key change", rotation)
	if h.Rotation != nil {
		fmt.Fprintln(w, "next: nothing; the key changes by itself when all nodes know the new one")
	}
}

func hubShow(e *env) *cobra.Command {
	return &cobra.Command{Use: "show", Short: "Show the hub: address, key, how many nodes are online", Args: cobra.NoArgs,
		Example: "  tresor hub show --data /var/lib/tresor-hub",
		RunE: func(c *cobra.Command, _ []string) error {
			return show(c.Context(), e, http.MethodGet, "/hub", nil, printHub)
		}}
}

func hubRotate(e *env) *cobra.Command {
	return &cobra.Command{Use: "rotate", Short: "Announce a new key of the hub; it changes when every node knows it", Args: cobra.NoArgs,
		Example: "  tresor hub rotate",
		RunE: func(c *cobra.Command, _ []string) error {
			return show(c.Context(), e, http.MethodPost, "/hub/rotate", map[string]any{}, printHub)
		}}
}

type hubPublished struct {
	Node      string     `json:"node"`
	At        *time.Time `json:"at"`
	Catalogue struct {
		Projects []struct {
			Slug string `json:"slug"`
			Name string `json:"name"`
		} `json:"projects"`
		Datasets []struct {
			Slug    string `json:"slug"`
			Name    string `json:"name"`
			Version int    `json:"version"`
			Tables  []struct {
				Name string `json:"name"`
			} `json:"tables"`
		} `json:"datasets"`
	} `json:"catalogue"`
}

func hubCatalogue(e *env) *cobra.Command {
	return &cobra.Command{Use: "catalogue", Short: "Show what the nodes choose to publish", Args: cobra.NoArgs,
		Example: "  tresor hub catalogue --json",
		RunE: func(c *cobra.Command, _ []string) error {
			return show(c.Context(), e, http.MethodGet, "/hub/catalogue", nil, func(w io.Writer, p page[hubPublished]) {
				var rows [][]string
				for _, n := range p.Items {
					var projects []string
					for _, x := range n.Catalogue.Projects {
						projects = append(projects, x.Slug)
					}
					if len(n.Catalogue.Datasets) == 0 {
						rows = append(rows, []string{n.Node, strings.Join(projects, " "), "", "", when(n.At)})
					}
					for _, d := range n.Catalogue.Datasets {
						var tables []string
						for _, t := range d.Tables {
							tables = append(tables, t.Name)
						}
						rows = append(rows, []string{n.Node, strings.Join(projects, " "), d.Slug + " v" + strconv.Itoa(d.Version), strings.Join(tables, " "), when(n.At)})
					}
				}
				table(w, "node|projects|dataset|tables|read", rows)
			})
		}}
}
