package cli

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"tresor/app"
	"tresor/app/config"
)

func newInit(e *env) *cobra.Command {
	return initCommand(e, app.Init, "tresor doctor, then tresor serve, then open the link", &cobra.Command{
		Short: "Make the data folder, settings, keys and the first operator",
		Long: `Makes what a new installation needs and prints the first operator's one-time link.
It changes nothing that is there already; run it again to get a new link while no
operator has signed in yet.`})
}

func hubInit(e *env) *cobra.Command {
	return initCommand(e, app.InitHub, "tresor hub serve, then open the link", &cobra.Command{
		Short: "Make the hub's data folder, settings, keys and the first operator",
		Long: `Makes what a new hub needs and prints the first operator's one-time link. It changes
nothing that is there already; run it again to get a new link while no operator has
signed in yet.`,
		Example: "  tresor hub init --data /var/lib/tresor-hub"})
}

// initCommand completes c as an init command: setUp makes the folder, next is what
// to do then.
func initCommand(e *env, setUp func(context.Context, config.Config, app.Options, string, string) (app.Made, error), next string, c *cobra.Command) *cobra.Command {
	var handle, name string
	c.Use, c.Args = "init", cobra.NoArgs
	c.RunE = func(c *cobra.Command, _ []string) error {
		if e.cfgErr != nil {
			return e.cfgErr
		}
		made, err := setUp(c.Context(), e.cfg, app.Options{Log: newLog(e.err, e.cfg.Log), Version: Version}, handle, name)
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
		fmt.Fprintf(e.out, "\nOne-time link for %s (good until %s):\n%s\n", handle, when(&made.Expires), made.Link)
		fmt.Fprintf(e.out, "next: %s.\n", next)
		return nil
	}
	c.Flags().StringVar(&handle, "operator", "operator", "sign-in name of the first operator")
	c.Flags().StringVar(&name, "name", "Operator", "full name of the first operator")
	return c
}
