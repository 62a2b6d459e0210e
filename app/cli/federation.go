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

type linkState struct {
	State       string     `json:"state"`
	Since       *time.Time `json:"since"`
	LastContact *time.Time `json:"last_contact"`
	Error       string     `json:"error"`
	Next        string     `json:"next"`
	RoundTrip   float64    `json:"round_trip_ms"`
}

type nodeView struct {
	Name     string `json:"name"`
	Key      string `json:"key"`
	Words    string `json:"words"`
	Paused   bool   `json:"paused"`
	Enrolled bool   `json:"enrolled"`
}

type linkedHub struct {
	principalView
	Link linkState `json:"link"`
}

type federationView struct {
	Node    nodeView        `json:"node"`
	Hubs    []linkedHub     `json:"hubs"`
	Clients []principalView `json:"clients"`
	Plugins []pluginView    `json:"plugins"`
	Waiting int             `json:"waiting"`
}

func newFederation(e *env) *cobra.Command {
	return group("federation", "Hubs: enrol, pause, look at what arrived and what left",
		`A hub asks this appliance to run tasks; it never reaches in. The appliance dials out,
and what it does with a task is decided here: an operator enrols the hub, the lead of
a project lends it the project, the project's own people approve and release.`,
		federationShow(e), federationEnrol(e), federationConfirm(e), federationCode(e), federationTest(e), federationRotate(e),
		federationRequests(e), brake(e, "pause", true), brake(e, "resume", false), ledger(e, someHubs),
		principalChange(e, "hub", someHubs), principalProject(e, "hub", someHubs), principalRevoke(e, "hub", someHubs), newSource(e))
}

func federationShow(e *env) *cobra.Command {
	return completes(e, &cobra.Command{Use: "show [HUB]", Short: "Show this node with its hubs and outside clients, or one hub", Args: cobra.MaximumNArgs(1),
		Example: "  tresor federation show\n  tresor federation show north --json",
		RunE: func(c *cobra.Command, args []string) error {
			if len(args) == 1 {
				return show(c.Context(), e, http.MethodGet, principalPath(args[0]), nil, printPrincipal)
			}
			return show(c.Context(), e, http.MethodGet, "/federation", nil, printFederation)
		}}, someHubs)
}

func printFederation(w io.Writer, f federationView) {
	facts(w, "node", f.Node.Name, "key", f.Node.Key, "words", f.Node.Words, "state", yes(f.Node.Paused, "paused: nothing is taken from outside", "open"),
		"waiting for a decision", strconv.Itoa(f.Waiting))
	fmt.Fprintln(w, "\nhubs")
	var rows [][]string
	for _, h := range f.Hubs {
		rows = append(rows, []string{h.Slug, h.Name, stateOf(h.principalView), h.Link.State, when(h.Link.LastContact), projectsOf(h.principalView)})
	}
	table(w, "hub|name|state|link|last contact|projects", rows)
	for _, h := range f.Hubs {
		if h.Link.Error != "" {
			fmt.Fprintf(w, "%s: %s\nnext: %s\n", clean(h.Slug), clean(h.Link.Error), clean(h.Link.Next))
		}
	}
	fmt.Fprintln(w, "\noutside clients")
	printClients(w, page[principalView]{Items: f.Clients})
	if len(f.Plugins) > 0 {
		fmt.Fprintln(w, "\nplugins")
		printPlugins(w, page[pluginView]{Items: f.Plugins})
	}
}

func federationEnrol(e *env) *cobra.Command {
	var name string
	c := &cobra.Command{Use: "enrol URL CODE", Short: "Enrol at a hub with the one-time code of its operator", Args: cobra.ExactArgs(2),
		Long: `The hub is dialled and both keys are pinned. Nothing is taken from the hub until you
have compared the words with its operator, over the telephone or in person, and run
tresor federation confirm.`,
		Example: `  tresor federation enrol https://hub.example.org 4F7K-9QXM-2HTD --name "Northern hub"`,
		RunE: func(c *cobra.Command, args []string) error {
			body := map[string]string{"url": args[0], "code": args[1], "name": name}
			return show(c.Context(), e, http.MethodPost, "/federation/hubs", body, func(w io.Writer, h linkedHub) {
				printPrincipal(w, h.principalView)
				fmt.Fprintf(w, "next: compare the words with the hub's operator; if they are the same: tresor federation confirm %s\n", clean(h.Slug))
			})
		}}
	c.Flags().StringVar(&name, "name", "", "what to call the hub here (default: as it calls itself)")
	return c
}

func federationConfirm(e *env) *cobra.Command {
	return completes(e, &cobra.Command{Use: "confirm HUB", Short: "Say that the words are the same at both ends", Args: cobra.ExactArgs(1),
		Example: "  tresor federation confirm north",
		RunE: func(c *cobra.Command, args []string) error {
			return show(c.Context(), e, http.MethodPost, "/federation/hubs/"+esc(args[0])+"/confirm", nil, func(w io.Writer, h linkedHub) {
				printPrincipal(w, h.principalView)
				if len(h.Projects) == 0 {
					fmt.Fprintf(w, "next: the lead of a project lends it: tresor federation project %s PROJECT --sponsor PERSON --as LEAD\n", clean(h.Slug))
				}
			})
		}}, someHubs)
}

func federationCode(e *env) *cobra.Command {
	return &cobra.Command{Use: "code NAME", Short: "Make a one-time code that a hub's operator types there", Args: cobra.ExactArgs(1),
		Example: `  tresor federation code "Northern hub"`,
		RunE: func(c *cobra.Command, args []string) error {
			return show(c.Context(), e, http.MethodPost, "/federation/codes", map[string]string{"name": args[0]}, func(w io.Writer, v codeView) {
				fmt.Fprintf(w, "%s\n", clean(v.Code))
				fmt.Fprintf(w, "Good once, until %s. Give it to the hub's operator by a channel that you trust.\n", when(&v.ExpiresAt))
			})
		}}
}

type codeView struct {
	Code      string    `json:"code"`
	ExpiresAt time.Time `json:"expires_at"`
}

func federationTest(e *env) *cobra.Command {
	return completes(e, &cobra.Command{Use: "test HUB", Short: "Try the connection to a hub step by step", Args: cobra.ExactArgs(1),
		Example: "  tresor federation test north",
		RunE: func(c *cobra.Command, args []string) error {
			return testSteps(c, e, "/federation/hubs/"+esc(args[0])+"/test")
		}}, someHubs)
}

func federationRotate(e *env) *cobra.Command {
	return &cobra.Command{Use: "rotate", Short: "Announce a new key of this node to its hubs", Args: cobra.NoArgs,
		Long:    `The old key serves on until every hub has pinned the new one, so no link is lost.`,
		Example: "  tresor federation rotate",
		RunE: func(c *cobra.Command, _ []string) error {
			return show(c.Context(), e, http.MethodPost, "/federation/rotate", nil, func(w io.Writer, n nodeView) {
				facts(w, "node", n.Name, "key", n.Key, "words", n.Words)
			})
		}}
}

// brake pauses or resumes one hub or client, or with no name all of them.
func brake(e *env, verb string, on bool) *cobra.Command {
	short := "Take nothing from one hub or client, or from all: what is queued waits, what runs goes on"
	if !on {
		short = "Take work again from one hub or client, or from all that were paused together: what waited goes on"
	}
	var reason string
	c := &cobra.Command{Use: verb + " [HUB|CLIENT]", Short: short, Args: cobra.MaximumNArgs(1),
		Example: fmt.Sprintf("  tresor federation %s\n  tresor federation %s north", verb, verb),
		RunE: func(c *cobra.Command, args []string) error {
			body := map[string]any{"paused": on, "reason": reason}
			if len(args) == 1 {
				return show(c.Context(), e, http.MethodPost, principalPath(args[0])+"/pause", body, printPrincipal)
			}
			return show(c.Context(), e, http.MethodPost, "/federation/pause", body, func(w io.Writer, n nodeView) {
				facts(w, "node", n.Name, "state", yes(n.Paused, "paused: nothing is taken from outside, running work goes on", "open"))
			})
		}}
	c.Flags().StringVar(&reason, "reason", "", "why, when there is time to say it (recorded)")
	return completes(e, c, somePrincipals)
}

type machineRequest struct {
	Job          string    `json:"job"`
	Name         string    `json:"name"`
	Project      string    `json:"project_name"`
	From         string    `json:"from"`
	OnBehalf     string    `json:"on_behalf"`
	WaitingSince time.Time `json:"waiting_since"`
	WaitingImage string    `json:"waiting_image"`
	CanDecide    bool      `json:"can_decide"`
	Images       []struct {
		Ref   string `json:"ref"`
		State string `json:"state"`
	} `json:"images"`
}

func federationRequests(e *env) *cobra.Command {
	var after string
	var limit int
	c := &cobra.Command{Use: "requests", Short: "List what machines sent that waits for a decision or an image", Args: cobra.NoArgs,
		Long:    "With --json everything is there that an approver has to see: commands, images with their history, inputs with hashes, outputs asked for.",
		Example: "  tresor federation requests --as lena\n  tresor federation requests --as lena --json",
		RunE: func(c *cobra.Command, _ []string) error {
			return show(c.Context(), e, http.MethodGet, "/federation/requests"+query("after", after, "limit", strconv.Itoa(limit)), nil, func(w io.Writer, p page[machineRequest]) {
				var rows [][]string
				for _, r := range p.Items {
					var images []string
					for _, i := range r.Images {
						images = append(images, i.Ref+" ("+i.State+")")
					}
					waits := "a decision"
					if r.WaitingImage != "" {
						waits = "the image " + r.WaitingImage
					}
					rows = append(rows, []string{r.Job, r.Project, r.From, r.OnBehalf, r.Name, strings.Join(images, " "), waits, when(&r.WaitingSince)})
				}
				table(w, "job|project|from|for|name|images|waits for|since", rows)
				if p.Next != "" {
					fmt.Fprintf(w, "there are more: --after %s\n", clean(p.Next))
				}
			})
		}}
	c.Flags().IntVar(&limit, "limit", 50, "at most so many, oldest first (1 to 500)")
	c.Flags().StringVar(&after, "after", "", "continue behind this job, as the end of the list before says")
	return c
}
