// Package cli is the command line of the appliance.
//
// The administrative commands are clients of the running server: they speak the
// same JSON API as the browser over the local socket <data>/run/admin.sock,
// where the server knows the caller by the kernel's word (peer credentials).
// So they meet the same rules and leave the same audit events. Only serve,
// init, doctor and the offline verifiers work without a running server.
//
// The package owns one translation: a fault kind becomes an exit code here and
// nowhere else. It never opens the database of a running server for writing.
package cli

import (
	"context"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"

	"github.com/spf13/cobra"

	"tresor/app/config"
	"tresor/app/fault"
)

// Version is the release of the program, set by the linker.
var Version = "0.1.0-dev"

// env is what a command works with: streams and the flags that all share.
type env struct {
	in       io.Reader
	out, err io.Writer
	data     string // --data, or where the settings put it
	config   string // --config
	set      []string
	json     bool
	as       string // --as
	client   *client

	dataGiven bool // --data was said
	cfg       config.Config
	cfgErr    error
}

// Main runs the command line args (without the program name) and returns the exit code.
func Main(args []string, in io.Reader, out, errw io.Writer) int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	e := &env{in: in, out: out, err: errw}
	root := newRoot(e)
	root.SetArgs(args)
	root.SetIn(in)
	root.SetOut(out)
	root.SetErr(errw)
	cmd, err := root.ExecuteContextC(ctx)
	if err != nil {
		e.report(err, cmd, args)
	}
	return ExitCode(err)
}

func newRoot(e *env) *cobra.Command {
	root := &cobra.Command{
		Use:   "tresor",
		Short: "A Trusted Research Environment in one binary",
		Long: `Tresor lets researchers analyse sensitive data on one server of their institution.
Every analysis runs in a container without a network; nothing leaves before two
people who are not part of the project have looked at it.

Commands other than serve, init, doctor and the verifiers talk to the running
server over its local socket. Lists and answers are JSON with --json; then an
error is a JSON problem (RFC 9457) on the error stream.`,
		Example: `  tresor init && tresor doctor && tresor serve
  tresor person create ada --name "Ada Lovelace" --role checker
  tresor job list --project aurora --json`,
		Args:          cobra.ArbitraryArgs,
		RunE:          helpOrUnknown,
		SilenceUsage:  true,
		SilenceErrors: true,
		Version:       Version,
	}
	root.SetVersionTemplate("tresor {{.Version}}\n")
	root.SetHelpTemplate(root.HelpTemplate() + "\n" + exitHelp + "\n")
	f := root.PersistentFlags()
	f.StringVar(&e.data, "data", "", "data folder of the appliance (default "+config.Default().Data+")")
	f.StringVar(&e.config, "config", "", "settings file (default <data>/config.toml)")
	f.StringArrayVar(&e.set, "set", nil, "one setting, as section.key=value (repeatable)")
	f.BoolVar(&e.json, "json", false, "print JSON instead of text")
	f.StringVar(&e.as, "as", "", "act for the person with this sign-in name (local socket only; recorded)")
	root.PersistentPreRunE = func(*cobra.Command, []string) error { return e.resolve() }
	root.AddCommand(
		newServe(e), newInit(e), newDoctor(e), newDemo(e), newDataset(e), newProject(e), newPerson(e),
		newJob(e), newAirlock(e), newRelease(e), newImage(e), newFederation(e), newHub(e), newOutside(e), newPlugin(e), newToken(e),
		newAudit(e), newTLS(e), newMetrics(e), newVersion(e),
	)
	addExamples(root)
	return root
}

// resolve reads the settings and finds the data folder. Commands that need no
// settings work even where they are wrong; settings returns the error to the others.
func (e *env) resolve() error {
	set := e.set
	if e.data != "" {
		abs, err := filepath.Abs(e.data)
		if err != nil {
			return fault.Kinded("cli.resolve", fault.Invalid, err, "%q is not a usable folder.", e.data)
		}
		e.data, e.dataGiven = abs, true
		set = append([]string{"data=" + abs}, set...)
	}
	e.cfg, e.cfgErr = config.Load(e.config, os.Environ(), set)
	if e.data == "" {
		e.data = e.cfg.Data
	}
	if e.data == "" {
		e.data = config.Default().Data
	}
	e.client = newClient(filepath.Join(e.data, "run", "admin.sock"), e.as)
	return nil
}

// group makes a command that only holds subcommands. Cobra alone would answer a
// misspelt one with the help text and exit code 0.
func group(use, short, long string, subs ...*cobra.Command) *cobra.Command {
	c := &cobra.Command{Use: use, Short: short, Long: long, Args: cobra.ArbitraryArgs, RunE: helpOrUnknown}
	c.AddCommand(subs...)
	return c
}

func helpOrUnknown(c *cobra.Command, args []string) error {
	if len(args) == 0 {
		return c.Help()
	}
	return unknown(c, args[0])
}

func unknown(c *cobra.Command, word string) error {
	err := fault.New("cli", fault.Invalid, "There is no command `%s %s`.", c.CommandPath(), word)
	c.SuggestionsMinimumDistance = 2
	if near := c.SuggestionsFor(word); len(near) > 0 {
		return fault.WithNext(err, "Did you mean `%s %s`?", c.CommandPath(), near[0])
	}
	return err
}
