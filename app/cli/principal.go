package cli

import (
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"tresor/app/fault"
)

type principalView struct {
	ID       string `json:"id"`
	Slug     string `json:"slug"`
	Name     string `json:"name"`
	Kind     string `json:"kind"`
	State    string `json:"state"`
	Paused   bool   `json:"paused"`
	Approval string `json:"approval"`
	Airlock  string `json:"airlock"`
	Quotas   struct {
		TasksPerHour int `json:"tasks_per_hour"`
		OpenTasks    int `json:"open_tasks"`
		Cores        int `json:"cores"`
	} `json:"quotas"`
	Projects []struct {
		Slug    string `json:"slug"`
		Sponsor struct {
			Handle string `json:"handle"`
		} `json:"sponsor"`
		Datasets []string  `json:"dataset_names"`
		Since    time.Time `json:"since"`
		By       string    `json:"by"`
	} `json:"projects"`
	CreatedBy string     `json:"created_by"`
	LastSeen  *time.Time `json:"last_seen"`
	HasToken  bool       `json:"has_token"`
	HubKey    string     `json:"hub_key"`
	HubURL    string     `json:"hub_url"`
	Words     string     `json:"words"`
	Publishes bool       `json:"publishes"`
	Plugins   []string   `json:"plugins"`
	Reason    string     `json:"reason"`
}

func principalPath(id string) string { return "/federation/principals/" + esc(id) }

// newOutside is `tresor client`: programs outside that have a token of their own.
func newOutside(e *env) *cobra.Command {
	return group("client", "Outside clients: programs elsewhere that may send tasks here",
		`An outside client is a program with a token, such as a workflow engine at another
institution. An operator makes it; it may use nothing until the lead of a project lends
it the project. For a program of your own, make a token instead: tresor token new.`,
		clientList(e), clientShow(e), clientAdd(e), clientToken(e), principalProject(e, "client", someClients),
		principalChange(e, "client", someClients), ledger(e, someClients), principalRevoke(e, "client", someClients))
}

func clientList(e *env) *cobra.Command {
	return &cobra.Command{Use: "list", Short: "List the outside clients", Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			return show(c.Context(), e, http.MethodGet, "/federation/principals", nil, printClients)
		}}
}

func printClients(w io.Writer, p page[principalView]) {
	var rows [][]string
	for _, x := range p.Items {
		if x.Kind == "client" {
			rows = append(rows, []string{x.Slug, x.Name, stateOf(x), yes(x.HasToken, "yes", "no"), when(x.LastSeen), projectsOf(x)})
		}
	}
	table(w, "client|name|state|token|last seen|projects", rows)
}

func stateOf(p principalView) string {
	if p.State == "active" && p.Paused {
		return "paused"
	}
	return p.State
}

func projectsOf(p principalView) string {
	var out []string
	for _, u := range p.Projects {
		out = append(out, u.Slug)
	}
	return strings.Join(out, " ")
}

func clientShow(e *env) *cobra.Command {
	return completes(e, &cobra.Command{Use: "show CLIENT", Short: "Show one outside client with what it may do", Args: cobra.ExactArgs(1),
		Example: "  tresor client show nextflow",
		RunE: func(c *cobra.Command, args []string) error {
			return show(c.Context(), e, http.MethodGet, principalPath(args[0]), nil, printPrincipal)
		}}, someClients)
}

func printPrincipal(w io.Writer, p principalView) {
	approval := map[string]string{"project": "as the project says", "every": "every job waits for a person"}[p.Approval]
	airlock := map[string]string{"submit": "requests are made and submitted in the sponsor's name", "sponsor": "the sponsor makes the requests"}[p.Airlock]
	facts(w, p.Kind, p.Slug, "name", p.Name, "id", p.ID, "state", stateOf(p), "reason", p.Reason, "address", p.HubURL, "key", p.HubKey, "words", p.Words,
		"job approval", firstOf(approval, p.Approval), "airlock", firstOf(airlock, p.Airlock),
		"reaches the plugins", firstOf(strings.Join(p.Plugins, " "), "none"),
		"quotas", fmt.Sprintf("%d tasks an hour, %d open at once, %d cores each", p.Quotas.TasksPerHour, p.Quotas.OpenTasks, p.Quotas.Cores),
		"token", yes(p.Kind == "client", yes(p.HasToken, "made", "none yet"), ""), "sees the catalogue", yes(p.Kind == "hub", yes(p.Publishes, "yes", "no"), ""),
		"last seen", when(p.LastSeen), "made by", p.CreatedBy)
	fmt.Fprintln(w, "\nprojects")
	var rows [][]string
	for _, u := range p.Projects {
		data := strings.Join(u.Datasets, " ")
		if data == "*" {
			data = "all that the project is granted"
		}
		rows = append(rows, []string{u.Slug, u.Sponsor.Handle, firstOf(data, "none"), u.By, when(&u.Since)})
	}
	table(w, "project|sponsor|datasets|lent by|since", rows)
}

func clientAdd(e *env) *cobra.Command {
	return &cobra.Command{Use: "add NAME", Short: "Make an outside client", Args: cobra.ExactArgs(1),
		Example: `  tresor client add "Nextflow at Uppsala"`,
		RunE: func(c *cobra.Command, args []string) error {
			body := map[string]string{"name": args[0], "kind": "client"}
			return show(c.Context(), e, http.MethodPost, "/federation/principals", body, func(w io.Writer, p principalView) {
				printPrincipal(w, p)
				fmt.Fprintf(w, "next: tresor client token %[1]s, and the lead of a project lends it: tresor client project %[1]s PROJECT --sponsor PERSON --as LEAD\n", clean(p.Slug))
			})
		}}
}

func clientToken(e *env) *cobra.Command {
	return completes(e, &cobra.Command{Use: "token CLIENT", Short: "Make the client's token, in place of the one before", Args: cobra.ExactArgs(1),
		Example: "  tresor client token nextflow > token && chmod 600 token",
		RunE: func(c *cobra.Command, args []string) error {
			return show(c.Context(), e, http.MethodPost, principalPath(args[0])+"/token", nil, func(w io.Writer, t tokenView) { e.printSecret(t.Token) })
		}}, someClients)
}

// printSecret writes a token alone on standard output, so that it can go into a
// file, and the warning beside it.
func (e *env) printSecret(token string) {
	fmt.Fprintln(e.out, clean(token))
	fmt.Fprintln(e.err, "This is shown once. Hand it over by a channel that you trust: whoever holds it is this program.")
}

func principalProject(e *env, noun string, some completer) *cobra.Command {
	var sponsor string
	var datasets []string
	var drop bool
	var reason string
	c := &cobra.Command{Use: "project " + strings.ToUpper(noun) + " PROJECT", Args: cobra.ExactArgs(2),
		Short: "Lend a project to the " + noun + " (or --drop it): for the project's lead",
		Long: `The sponsor is a member of the project who answers for this work: its jobs are submitted
in the sponsor's name. Without --dataset the ` + noun + ` may name no data; --dataset '*' is all
that the project is granted. Saying it again replaces sponsor and datasets.`,
		Example: fmt.Sprintf("  tresor %[1]s project %[2]s aurora --sponsor rosa --dataset randhie --as lena\n  tresor %[1]s project %[2]s aurora --drop --reason \"the study is over\" --as lena",
			yes(noun == "hub", "federation", noun), yes(noun == "hub", "north", "nextflow")),
		RunE: func(c *cobra.Command, args []string) error {
			path := principalPath(args[0]) + "/projects/" + esc(args[1])
			if drop {
				return show(c.Context(), e, http.MethodPost, path+"/take-back", because(reason), printPrincipal)
			}
			if sponsor == "" {
				return fault.WithNext(fault.New("cli.principal", fault.Invalid, "The sponsor is missing."), "Name a member of the project with --sponsor, or take the project back with --drop.")
			}
			id, err := personID(c, e, sponsor)
			if fault.KindOf(err) == fault.Denied && err != nil { // a lead may look people up
				return fault.WithNext(fault.New("cli.principal", fault.Denied, "Only a lead of the project lets a hub or client into it."), "Ask the project's lead.")
			}
			if err != nil {
				return err
			}
			return show(c.Context(), e, http.MethodPut, path, map[string]any{"sponsor": id, "datasets": append([]string{}, datasets...)}, printPrincipal)
		}}
	f := c.Flags()
	f.StringVar(&sponsor, "sponsor", "", "sign-in name of the member who answers for the work")
	f.StringSliceVar(&datasets, "dataset", nil, "dataset that may be named (repeatable), or '*'")
	f.BoolVar(&drop, "drop", false, "take the project back")
	whyFlag(c, &reason, "drop")
	c.MarkFlagsMutuallyExclusive("drop", "sponsor")
	flagCompletes(e, c, "sponsor", somePeople)
	flagCompletes(e, c, "dataset", someDatasets)
	return completes(e, c, some, someProjects)
}

func principalChange(e *env, noun string, some completer) *cobra.Command {
	var name, approval, airlock string
	var hour, open, cores int
	var publishes bool
	var plugins []string
	c := &cobra.Command{Use: "change " + strings.ToUpper(noun), Short: "Change the " + noun + "'s name, approval, quotas, airlock policy or the plugins that it reaches; what is not named stays", Args: cobra.ExactArgs(1),
		Example: fmt.Sprintf("  tresor %s change %s --approval every --tasks-per-hour 100", yes(noun == "hub", "federation", noun), yes(noun == "hub", "north", "nextflow")),
		RunE: func(c *cobra.Command, args []string) error {
			body := map[string]any{}
			for flag, v := range map[string]any{"name": name, "approval": approval, "airlock": airlock, "publishes": publishes} {
				if c.Flags().Changed(flag) {
					body[flag] = v
				}
			}
			if c.Flags().Changed("plugin") {
				body["plugins"] = pluginsOf(plugins)
			}
			if anyChanged(c, "tasks-per-hour", "open-tasks", "cores") {
				var p principalView
				if err := e.client.do(c.Context(), http.MethodGet, principalPath(args[0]), nil, &p); err != nil {
					return err
				}
				quotas := map[string]int{"tasks_per_hour": p.Quotas.TasksPerHour, "open_tasks": p.Quotas.OpenTasks, "cores": p.Quotas.Cores}
				for flag, v := range map[string]int{"tasks-per-hour": hour, "open-tasks": open, "cores": cores} {
					if c.Flags().Changed(flag) {
						quotas[strings.ReplaceAll(flag, "-", "_")] = v
					}
				}
				body["quotas"] = quotas
			}
			return show(c.Context(), e, http.MethodPatch, principalPath(args[0]), body, printPrincipal)
		}}
	f := c.Flags()
	f.StringVar(&name, "name", "", "name for people")
	f.StringVar(&approval, "approval", "", "project: as the project says; every: each job waits for a person")
	f.StringVar(&airlock, "airlock", "", "submit: requests are made in the sponsor's name; sponsor: the sponsor makes them")
	f.IntVar(&hour, "tasks-per-hour", 0, "most tasks in an hour")
	f.IntVar(&open, "open-tasks", 0, "most tasks that have not ended")
	f.IntVar(&cores, "cores", 0, "most cores of one task")
	f.StringSliceVar(&plugins, "plugin", nil, "plugin that it reaches (repeatable, replaces the list), or none")
	flags := []string{"name", "approval", "airlock", "tasks-per-hour", "open-tasks", "cores", "plugin"}
	if noun == "hub" {
		f.BoolVar(&publishes, "publishes", false, "show the catalogue of its projects and datasets to the hub")
		flags = append(flags, "publishes")
	}
	c.MarkFlagsOneRequired(flags...)
	flagCompletes(e, c, "approval", words("project", "every"))
	flagCompletes(e, c, "airlock", words("submit", "sponsor"))
	flagCompletes(e, c, "plugin", somePlugins)
	return completes(e, c, some)
}

// pluginsOf is the list that is sent; the word none stands for an empty one.
func pluginsOf(names []string) []string {
	if len(names) == 1 && names[0] == "none" {
		return []string{}
	}
	return names
}

func anyChanged(c *cobra.Command, flags ...string) bool {
	for _, f := range flags {
		if c.Flags().Changed(f) {
			return true
		}
	}
	return false
}

func principalRevoke(e *env, noun string, some completer) *cobra.Command {
	var reason string
	c := &cobra.Command{Use: "revoke " + strings.ToUpper(noun), Short: "End the " + noun + " for good: its key or token stops working at once, what is queued ends, what runs goes on", Args: cobra.ExactArgs(1),
		Example: fmt.Sprintf(`  tresor %s revoke %s --reason "the agreement has ended"`, yes(noun == "hub", "federation", noun), yes(noun == "hub", "north", "nextflow")),
		RunE: func(c *cobra.Command, args []string) error {
			return show(c.Context(), e, http.MethodPost, principalPath(args[0])+"/revoke", map[string]string{"reason": reason}, printPrincipal)
		}}
	whyFlag(c, &reason, "")
	return completes(e, c, some)
}

type entryView struct {
	Seq       int64     `json:"seq"`
	At        time.Time `json:"at"`
	Direction string    `json:"direction"`
	What      string    `json:"what"`
	RemoteID  string    `json:"remote_id"`
	Task      string    `json:"task"`
	SHA256    string    `json:"sha256"`
	Bytes     int64     `json:"bytes"`
	Count     int64     `json:"count"`
	Outcome   string    `json:"outcome"`
	Code      string    `json:"code"`
	Text      string    `json:"text"`
}

func ledger(e *env, some completer) *cobra.Command {
	var p paging
	c := &cobra.Command{Use: "ledger HUB|CLIENT", Short: "List exactly what arrived and what left, newest first", Args: cobra.ExactArgs(1),
		Example: "  tresor federation ledger north --limit 20\n  tresor client ledger nextflow --all --json > ledger.json",
		RunE: func(c *cobra.Command, args []string) error {
			return list(c.Context(), e, &p, principalPath(args[0])+"/ledger", nil, "line|time|way|what|times|task|bytes|outcome|code|text",
				func(v entryView) []string {
					return []string{strconv.FormatInt(v.Seq, 10), when(&v.At), v.Direction, v.What, strconv.FormatInt(v.Count, 10), firstOf(v.Task, v.RemoteID), size(v.Bytes), v.Outcome, v.Code, v.Text}
				})
		}}
	p.flags(c)
	return completes(e, c, some)
}
