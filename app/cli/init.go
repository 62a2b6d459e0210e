package cli

import (
	"fmt"

	"github.com/spf13/cobra"

	"tresor/app"
)

func newInit(e *env) *cobra.Command {
	var handle, name string
	c := &cobra.Command{Use: "init", Short: "Make the data folder, settings, keys and the first operator", Args: cobra.NoArgs,
		Long: `Makes what a new installation needs and prints the first operator's one-time link.
It changes nothing that is there already; run it again to get a new link while no
operator has signed in yet.`,
		RunE: func(c *cobra.Command, _ []string) error {
			if e.cfgErr != nil {
				return e.cfgErr
			}
			made, err := app.Init(c.Context(), e.cfg, app.Options{Log: newLog(e.err, e.cfg.Log), Version: Version}, handle, name)
			if err != nil {
				return err
			}
			if e.json {
				return printJSON(e.out, made)
			}
			for _, line := range made.Made {
				fmt.Fprintf(e.out, "made: %s\n", line)
			}
			if made.Link == "" {
				fmt.Fprintln(e.out, "An operator has an account already; `tresor person link` makes new links while the server runs.")
				return nil
			}
			fmt.Fprintf(e.out, "\nOne-time link for %s (good until %s):\n%s\n", handle, made.Expires.Local().Format("2006-01-02 15:04 MST"), made.Link)
			fmt.Fprintln(e.out, "next: tresor doctor, then tresor serve, then open the link.")
			return nil
		}}
	c.Flags().StringVar(&handle, "operator", "operator", "sign-in name of the first operator")
	c.Flags().StringVar(&name, "name", "Operator", "full name of the first operator")
	return c
}
