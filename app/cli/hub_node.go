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

type hubNodeView struct {
	ID          string     `json:"id"`
	Name        string     `json:"name"`
	Words       string     `json:"words"`
	EnrolledAt  time.Time  `json:"enrolled_at"`
	ConfirmedAt *time.Time `json:"confirmed_at"`
	ConfirmedBy string     `json:"confirmed_by"`
	RevokedAt   *time.Time `json:"revoked_at"`
	Reason      string     `json:"reason"`
	State       string     `json:"state"`
	LastContact *time.Time `json:"last_contact"`
	Remote      string     `json:"remote"`
	Version     string     `json:"version"`
	Paused      bool       `json:"paused"`
	Plugins     []string   `json:"plugins"`
	Trouble     string     `json:"trouble"`
	Projects    []string   `json:"projects"`
	Open        int        `json:"open_tasks"`
}

type hubCodeView struct {
	Code      string    `json:"code"`
	ExpiresAt time.Time `json:"expires_at"`
	Address   string    `json:"address"`
}

func hubNode(e *env) *cobra.Command {
	return group("node", "Nodes of the hub: enrol, compare words, revoke", "",
		hubNodeList(e), hubNodeShow(e), hubNodeAdd(e), hubNodeConfirm(e), hubNodeRevoke(e))
}

func hubNodeList(e *env) *cobra.Command {
	return &cobra.Command{Use: "list", Short: "List the nodes", Args: cobra.NoArgs,
		Example: "  tresor hub node list",
		RunE: func(c *cobra.Command, _ []string) error {
			return show(c.Context(), e, http.MethodGet, "/hub/nodes", nil, func(w io.Writer, p page[hubNodeView]) {
				var rows [][]string
				for _, n := range p.Items {
					rows = append(rows, []string{n.Name, n.State, when(n.LastContact), n.Version, strings.Join(n.Projects, " "), strconv.Itoa(n.Open)})
				}
				table(w, "node|state|last contact|version|projects|open tasks", rows)
			})
		}}
}

func hubNodeShow(e *env) *cobra.Command {
	return completes(e, &cobra.Command{Use: "show NODE", Short: "Show one node with the words to compare", Args: cobra.ExactArgs(1),
		Example: "  tresor hub node show north",
		RunE: func(c *cobra.Command, args []string) error {
			return show(c.Context(), e, http.MethodGet, "/hub/nodes/"+esc(args[0]), nil, printHubNode)
		}}, someHubNodes)
}

func printHubNode(w io.Writer, n hubNodeView) {
	confirmed := when(n.ConfirmedAt)
	if n.ConfirmedBy != "" {
		confirmed += " by " + n.ConfirmedBy
	}
	facts(w, "node", n.Name, "id", n.ID, "state", n.State, "words", n.Words, "enrolled", when(&n.EnrolledAt), "confirmed", confirmed, "revoked", when(n.RevokedAt),
		"reason", n.Reason, "last contact", when(n.LastContact), "address", n.Remote, "version", n.Version, "takes work", takesWork(n),
		"plugins", strings.Join(n.Plugins, " "), "trouble", n.Trouble, "projects", strings.Join(n.Projects, " "), "open tasks", strconv.Itoa(n.Open))
	if n.State == "unconfirmed" {
		fmt.Fprintf(w, "next: compare the words with the node's operator; if they are the same: tresor hub node confirm %s\n", clean(n.Name))
	}
}

// takesWork says what a node does with a task now.
func takesWork(n hubNodeView) string {
	switch {
	case n.State == "revoked":
		return "no: revoked"
	case n.State == "unconfirmed":
		return "no: not confirmed here"
	case n.Paused:
		return "no: paused there"
	case n.State != "online":
		return "when it is back"
	}
	return "yes"
}

func hubNodeAdd(e *env) *cobra.Command {
	var code string
	c := &cobra.Command{Use: "add NAME", Short: "Make a one-time code for a new node, or take the one that its operator made", Args: cobra.ExactArgs(1),
		Long: `Without --code a code is made here, and the node's operator types it there:
tresor federation enrol ADDRESS CODE. With --code the node's operator made it, and the
node brings it within a day. Either way nothing is sent to the node until the words
were compared and confirmed at both ends.`,
		Example: "  tresor hub node add north\n  tresor hub node add north --code 7K3M-…",
		RunE: func(c *cobra.Command, args []string) error {
			path, body := "/hub/codes", map[string]string{"name": args[0]}
			if code != "" {
				path, body = "/hub/nodes", map[string]string{"name": args[0], "code": code}
			}
			return show(c.Context(), e, http.MethodPost, path, body, func(w io.Writer, v hubCodeView) {
				if v.Code == "" {
					fmt.Fprintf(w, "The node may bring the code until %s.\n", when(&v.ExpiresAt))
					return
				}
				fmt.Fprintf(w, "%s\n", clean(v.Code))
				fmt.Fprintf(w, "Good once, until %s. At the node: tresor federation enrol %s %s\n", when(&v.ExpiresAt), clean(v.Address), clean(v.Code))
			})
		}}
	c.Flags().StringVar(&code, "code", "", "the code that the node's operator made")
	return c
}

func hubNodeConfirm(e *env) *cobra.Command {
	return completes(e, &cobra.Command{Use: "confirm NODE", Short: "Say that the words are the same at both ends", Args: cobra.ExactArgs(1),
		Example: "  tresor hub node confirm north",
		RunE: func(c *cobra.Command, args []string) error {
			return show(c.Context(), e, http.MethodPost, "/hub/nodes/"+esc(args[0])+"/confirm", map[string]any{}, printHubNode)
		}}, someHubNodes)
}

func hubNodeRevoke(e *env) *cobra.Command {
	var reason string
	c := &cobra.Command{Use: "revoke NODE", Short: "Stop believing a node for good; its open tasks end", Args: cobra.ExactArgs(1),
		Example: `  tresor hub node revoke north --reason "the agreement has ended"`,
		RunE: func(c *cobra.Command, args []string) error {
			return show(c.Context(), e, http.MethodPost, "/hub/nodes/"+esc(args[0])+"/revoke", because(reason), printHubNode)
		}}
	whyFlag(c, &reason, "")
	return completes(e, c, someHubNodes)
}
