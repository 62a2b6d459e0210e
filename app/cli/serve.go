package cli

import (
	"fmt"
	"io"
	"log/slog"
	"strings"

	"github.com/spf13/cobra"

	"tresor/app"
	"tresor/app/config"
	"tresor/app/fault"
	"tresor/embed/demo"
)

func newServe(e *env) *cobra.Command {
	var listen string
	var demoMode bool
	c := &cobra.Command{Use: "serve", Short: "Run the appliance until Ctrl-C or SIGTERM", Args: cobra.NoArgs,
		Long: `Runs the appliance. Ctrl-C or SIGTERM stops it cleanly: running jobs go on in their
containers and are found again at the next start.

With --demo the first start makes a demonstration: public data, one project, four
people with one-time sign-in links. Do not use --demo with real data.`,
		RunE: func(c *cobra.Command, _ []string) error {
			if listen != "" {
				e.set = append(e.set, "listen="+listen)
			}
			if demoMode {
				e.set = append(e.set, "demo=true")
			}
			if err := e.resolve(); err != nil {
				return err
			}
			if e.cfgErr != nil {
				return e.cfgErr
			}
			if e.cfg.Hub {
				return fault.WithNext(fault.New("cli.serve", fault.Conflict, "The settings of this folder say that it is a hub."), "Start it with: tresor hub serve")
			}
			a, err := app.New(c.Context(), e.cfg, app.Options{Log: newLog(e.err, e.cfg.Log), Version: Version})
			if err != nil {
				return err
			}
			defer a.Close()
			return a.Run(c.Context(), func(n app.News) { banner(e, n) })
		}}
	c.Flags().StringVar(&listen, "listen", "", "address and port to serve on (setting listen)")
	c.Flags().BoolVar(&demoMode, "demo", false, "make and serve the demonstration (setting demo)")
	return c
}

func newLog(w io.Writer, l config.Log) *slog.Logger {
	var level slog.Level
	_ = level.UnmarshalText([]byte(l.Level)) // config has validated it
	o := &slog.HandlerOptions{Level: level}
	if l.Format == "json" {
		return slog.New(slog.NewJSONHandler(w, o))
	}
	return slog.New(slog.NewTextHandler(w, o))
}

// banner prints what a person who started the server by hand wants to know.
func banner(e *env, n app.News) {
	if n.Listening {
		fmt.Fprintf(e.out, "\nTresor %s is running: %s\n", Version, n.URL)
		fmt.Fprintf(e.out, "  data folder  %s\n", n.Data)
		fmt.Fprintf(e.out, "  certificate  %s\n", n.TLS)
	}
	for _, w := range n.Warnings {
		fmt.Fprintf(e.out, "  WARNING      %s\n", w)
	}
	if len(n.Links) > 0 {
		fmt.Fprintln(e.out, "\nSign in (each link works once; `tresor demo links` makes new ones):")
		for _, p := range demo.People {
			if link, ok := n.Links[p.Handle]; ok {
				fmt.Fprintf(e.out, "  %-11s %-15s %s\n", p.Part, p.Name, link)
			}
		}
	}
	if n.Note != "" {
		fmt.Fprintf(e.out, "  %s\n", strings.TrimSpace(n.Note))
	}
}
