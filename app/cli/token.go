package cli

import (
	"fmt"
	"io"
	"net/http"
	"time"

	"github.com/spf13/cobra"
)

type tokenView struct {
	ID        string     `json:"id"`
	Name      string     `json:"name"`
	Slug      string     `json:"slug"`
	CreatedAt time.Time  `json:"created_at"`
	ExpiresAt time.Time  `json:"expires_at"`
	LastUsed  *time.Time `json:"last_used"`
	Revoked   bool       `json:"revoked"`
	Token     string     `json:"token"`
}

func newToken(e *env) *cobra.Command {
	return group("token", "Tokens: let a program of your own send tasks in your name",
		"A token is bound to one project and ends by itself. It reaches the task service and nothing else.",
		tokenNew(e), tokenList(e), tokenRevoke(e))
}

func tokenNew(e *env) *cobra.Command {
	var project string
	var days int
	c := &cobra.Command{Use: "new NAME", Short: "Make a token; it is shown once", Args: cobra.ExactArgs(1),
		Example: "  tresor token new laptop --project aurora --as rosa\n  tresor token new snakemake --project aurora --days 7 --as rosa > token",
		RunE: func(c *cobra.Command, args []string) error {
			body := map[string]any{"name": args[0], "project": project, "days": days}
			return show(c.Context(), e, http.MethodPost, "/tokens", body, func(_ io.Writer, t tokenView) {
				e.printSecret(t.Token)
				fmt.Fprintf(e.err, "Good for project %s until %s. Send it as: Authorization: Bearer TOKEN\n", clean(t.Slug), when(&t.ExpiresAt))
			})
		}}
	c.Flags().StringVar(&project, "project", "", "the project it is good for")
	c.Flags().IntVar(&days, "days", 30, "how long it is good for, 1 to 90 days")
	required(c, "project")
	flagCompletes(e, c, "project", someProjects)
	return c
}

func tokenList(e *env) *cobra.Command {
	return &cobra.Command{Use: "list", Short: "List your tokens, newest first", Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			return show(c.Context(), e, http.MethodGet, "/tokens", nil, func(w io.Writer, p page[tokenView]) {
				var rows [][]string
				for _, t := range p.Items {
					rows = append(rows, []string{t.ID, t.Name, t.Slug, yes(t.Revoked, "revoked", "good"), when(&t.ExpiresAt), when(t.LastUsed)})
				}
				table(w, "token|name|project|state|until|last used", rows)
			})
		}}
}

func tokenRevoke(e *env) *cobra.Command {
	var reason string
	c := &cobra.Command{Use: "revoke TOKEN", Short: "End a token at once", Args: cobra.ExactArgs(1),
		Example: "  tresor token revoke 01a20d1a… --as rosa\n  tresor token revoke 01a20d1a… --reason \"found in a repository\"",
		RunE: func(c *cobra.Command, args []string) error {
			return done(c, e, http.MethodPost, "/tokens/"+esc(args[0])+"/revoke", because(reason), "revoked")
		}}
	c.Flags().StringVar(&reason, "reason", "", "why (recorded); needed for another person's token")
	return completes(e, c, someTokens)
}

// done sends a request whose success has nothing to show but that it was done.
func done(c *cobra.Command, e *env, method, path string, body any, word string) error {
	if err := e.client.do(c.Context(), method, path, body, nil); err != nil {
		return err
	}
	if e.json {
		return printJSON(e.out, map[string]bool{word: true})
	}
	fmt.Fprintln(e.out, word)
	return nil
}
