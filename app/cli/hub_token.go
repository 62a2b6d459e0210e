package cli

import (
	"fmt"
	"io"
	"net/http"
	"time"

	"github.com/spf13/cobra"
)

type hubTokenView struct {
	ID          string     `json:"id"`
	Name        string     `json:"name"`
	ProjectSlug string     `json:"project_slug"`
	Handle      string     `json:"handle"`
	ExpiresAt   time.Time  `json:"expires_at"`
	LastUsed    *time.Time `json:"last_used"`
	RevokedAt   *time.Time `json:"revoked_at"`
	Token       string     `json:"token"`
}

func hubToken(e *env) *cobra.Command {
	return group("token", "Tokens with which a person's programs send tasks", "", hubTokenNew(e), hubTokenList(e), hubTokenRevoke(e))
}

func hubTokenNew(e *env) *cobra.Command {
	var name string
	var days int
	c := &cobra.Command{Use: "new PROJECT", Short: "Make a token of your own for one project; it is shown this once", Args: cobra.ExactArgs(1),
		Example: "  tresor hub token new aurora --name laptop --as hanna",
		RunE: func(c *cobra.Command, args []string) error {
			body := map[string]any{"name": name, "project": args[0], "days": days}
			return show(c.Context(), e, http.MethodPost, "/hub/tokens", body, func(_ io.Writer, t hubTokenView) {
				e.printSecret(t.Token)
				fmt.Fprintf(e.err, "Good for project %s until %s. Send it as: Authorization: Bearer TOKEN\n", clean(t.ProjectSlug), when(&t.ExpiresAt))
			})
		}}
	c.Flags().StringVar(&name, "name", "program", "what it is for")
	c.Flags().IntVar(&days, "days", 30, "how long it works, at most 90")
	return completes(e, c, someHubProjects)
}

func hubTokenList(e *env) *cobra.Command {
	return &cobra.Command{Use: "list", Short: "List your tokens; an operator sees all", Args: cobra.NoArgs,
		Example: "  tresor hub token list --as hanna",
		RunE: func(c *cobra.Command, _ []string) error {
			return show(c.Context(), e, http.MethodGet, "/hub/tokens", nil, func(w io.Writer, p page[hubTokenView]) {
				var rows [][]string
				for _, t := range p.Items {
					rows = append(rows, []string{t.ID, t.Name, t.Handle, t.ProjectSlug, when(&t.ExpiresAt), when(t.LastUsed), when(t.RevokedAt)})
				}
				table(w, "token|name|person|project|expires|last used|revoked", rows)
			})
		}}
}

func hubTokenRevoke(e *env) *cobra.Command {
	var reason string
	c := &cobra.Command{Use: "revoke TOKEN", Short: "End a token", Args: cobra.ExactArgs(1),
		Example: "  tresor hub token revoke 01a20d17… --as hanna\n  tresor hub token revoke 01a20d17… --reason \"found in a repository\"",
		RunE: func(c *cobra.Command, args []string) error {
			return done(c, e, http.MethodPost, "/hub/tokens/"+esc(args[0])+"/revoke", because(reason), "revoked")
		}}
	c.Flags().StringVar(&reason, "reason", "", "why (recorded); needed for another person's token")
	return completes(e, c, someHubTokens)
}
