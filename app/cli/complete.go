package cli

import (
	"context"
	"encoding/json"
	"net/http"
	"time"

	"github.com/spf13/cobra"
)

// completer offers words for one position of a command line.
type completer func(*env) []string

// Where the words of arguments come from: the server's lists, newest first.
var (
	someJobs     = from("/jobs?limit=50", "id", "name")
	someRequests = from("/airlock?limit=50", "id", "title")
	someReleases = from("/releases?limit=50", "id", "title")
	someProjects = from("/projects", "slug", "name")
	someDatasets = from("/datasets", "slug", "name")
	somePeople   = from("/people", "handle", "name")
	someImages   = from("/images", "digest", "ref")
	somePlugins  = from("/plugins", "name", "title")
	someTokens   = from("/tokens", "id", "name")
	someSources  = from("/federation/sources", "id", "prefix")

	somePrincipals = fromWhere("/federation/principals", "slug", "name", "")
	someHubs       = fromWhere("/federation/principals", "slug", "name", "hub")
	someClients    = fromWhere("/federation/principals", "slug", "name", "client")
)

// from completes with a list of the server. A server that is slow, away or says
// no completes with nothing: a shell must never hang or show an error here.
func from(path, word, says string) completer { return fromWhere(path, word, says, "") }

// fromWhere is from, for the items of one kind only.
func fromWhere(path, word, says, kind string) completer {
	return func(e *env) []string {
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		if e.resolve() != nil {
			return nil
		}
		var p page[map[string]json.RawMessage]
		if e.client.do(ctx, http.MethodGet, path, nil, &p) != nil {
			return nil
		}
		var out []string
		for _, item := range p.Items {
			var w, s, k string
			_ = json.Unmarshal(item["kind"], &k) // most lists have no kinds
			if kind != "" && k != kind {
				continue
			}
			if json.Unmarshal(item[word], &w) == nil && w != "" {
				_ = json.Unmarshal(item[says], &s) // without a description the word is still good
				out = append(out, w+"\t"+clean(s))
			}
		}
		return out
	}
}

// words completes with fixed words.
func words(w ...string) completer { return func(*env) []string { return w } }

// completes sets what the positional arguments of c may be, one completer per position.
func completes(e *env, c *cobra.Command, at ...completer) *cobra.Command {
	c.ValidArgsFunction = func(_ *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
		if len(args) >= len(at) {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		return at[len(args)](e), cobra.ShellCompDirectiveNoFileComp
	}
	return c
}

// flagCompletes sets what the value of a flag may be.
func flagCompletes(e *env, c *cobra.Command, flag string, with completer) {
	_ = c.RegisterFlagCompletionFunc(flag, func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
		return with(e), cobra.ShellCompDirectiveNoFileComp
	}) // fails only for a flag that is not defined, which a test looks for
}
