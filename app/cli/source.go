package cli

import (
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/spf13/cobra"
)

type sourceView struct {
	ID           string     `json:"id"`
	Prefix       string     `json:"prefix"`
	Kind         string     `json:"kind"`
	Endpoint     string     `json:"endpoint"`
	Plugin       string     `json:"plugin"`
	AddedAt      time.Time  `json:"added_at"`
	AddedBy      string     `json:"added_by"`
	Private      bool       `json:"private"`
	CredentialAt *time.Time `json:"credential_at"`
}

func newSource(e *env) *cobra.Command {
	return group("source", "Addresses that inputs may be fetched from",
		"Without one, no task may name an input that is not here already. The server fetches, pins by hash, and shows it to the approver.",
		sourceList(e), sourceAdd(e), sourceCredential(e), sourceRemove(e))
}

func sourceList(e *env) *cobra.Command {
	return &cobra.Command{Use: "list", Short: "List the allowed addresses", Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			return show(c.Context(), e, http.MethodGet, "/federation/sources", nil, func(w io.Writer, p page[sourceView]) {
				var rows [][]string
				for _, s := range p.Items {
					rows = append(rows, []string{s.ID, s.Prefix, s.Endpoint, s.Plugin, credentialSet(s), s.AddedBy, when(&s.AddedAt)})
				}
				table(w, "source|prefix|endpoint|plugin|credential|added by|since", rows)
			})
		}}
}

func sourceAdd(e *env) *cobra.Command {
	var endpoint, plugin string
	var private bool
	c := &cobra.Command{Use: "add PREFIX", Short: "Allow inputs from addresses that begin with this", Args: cobra.ExactArgs(1),
		Example: "  tresor federation source add https://data.example.org/open/\n  tresor federation source add s3://lab/in/ --endpoint https://minio.hospital.example:9000 --private",
		RunE: func(c *cobra.Command, args []string) error {
			kind, _, _ := strings.Cut(args[0], "://")
			body := map[string]any{"prefix": args[0], "kind": kind, "endpoint": endpoint, "plugin": plugin, "private": private}
			return show(c.Context(), e, http.MethodPost, "/federation/sources", body, printSource)
		}}
	c.Flags().StringVar(&endpoint, "endpoint", "", "https:// address that answers for s3:// and drs://")
	c.Flags().StringVar(&plugin, "plugin", "", "a plugin that may call it; without: inputs of jobs only")
	c.Flags().BoolVar(&private, "private", false, "its host may have an address of your own network")
	flagCompletes(e, c, "plugin", somePlugins)
	return c
}

func sourceRemove(e *env) *cobra.Command {
	return completes(e, &cobra.Command{Use: "remove SOURCE", Short: "Take an address off the list", Args: cobra.ExactArgs(1),
		Example: "  tresor federation source remove https://data.example.org/open/",
		RunE: func(c *cobra.Command, args []string) error {
			return done(c, e, http.MethodDelete, "/federation/sources/"+esc(args[0]), nil, "removed")
		}}, someSources)
}
