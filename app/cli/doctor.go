package cli

import (
	"errors"
	"fmt"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"tresor/app"
	"tresor/app/doctor"
)

func newDoctor(e *env) *cobra.Command {
	var probe, limits bool
	c := &cobra.Command{Use: "doctor", Short: "Say whether this host is fit, and what to do if it is not", Args: cobra.NoArgs,
		Long: `Looks at the kernel, the accounts, Podman, the limits that bind, disk and clock.
With --probe it also runs a program inside a sandbox that tries what a hostile
analysis would try, and prints what it could do. Exit code 8 when the host is unfit.`,
		RunE: func(c *cobra.Command, _ []string) error {
			if e.cfgErr != nil {
				return e.cfgErr
			}
			o := app.Options{Log: newLog(e.err, e.cfg.Log), Version: Version}
			if probe {
				report, err := app.Probe(c.Context(), e.cfg, o)
				if err != nil {
					return err
				}
				_, err = e.out.Write(report)
				return err
			}
			checks := app.Doctor(c.Context(), e.cfg, o)
			if limits {
				checks = only(checks, "podman", "limits")
			}
			if err := printChecks(e, checks); err != nil {
				return err
			}
			if doctor.Unfit(checks) {
				return &exitError{code: ExitUnfit, err: errors.New("this host is not fit; the lines marked FAIL say what to do")}
			}
			return nil
		}}
	c.Flags().BoolVar(&probe, "probe", false, "run the probe inside a sandbox and print what it could do")
	c.Flags().BoolVar(&limits, "limits", false, "only whether Podman runs and its limits bind")
	return c
}

func only(checks []doctor.Check, names ...string) []doctor.Check {
	var out []doctor.Check
	for _, c := range checks {
		for _, n := range names {
			if c.Name == n {
				out = append(out, c)
			}
		}
	}
	return out
}

func printChecks(e *env, checks []doctor.Check) error {
	if e.json {
		return printJSON(e.out, page[doctor.Check]{Items: checks})
	}
	words := map[doctor.State]string{doctor.OK: "ok", doctor.Warn: "warn", doctor.Fail: "FAIL"}
	tw := tabwriter.NewWriter(e.out, 0, 4, 2, ' ', 0)
	for _, c := range checks {
		fmt.Fprintf(tw, "%s\t%s\t%s\n", words[c.State], c.Name, c.Detail)
		if c.Next != "" && c.State != doctor.OK {
			fmt.Fprintf(tw, "\t\t→ %s\n", c.Next)
		}
	}
	return tw.Flush()
}
