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
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"

	"github.com/spf13/cobra"

	"tresor/app/config"
	"tresor/app/fault"
)

// Exit codes, as every command's help lists them.
const (
	ExitOK          = 0
	ExitInternal    = 1
	ExitUsage       = 2 // wrong flags, or a request that the server calls invalid
	ExitNotFound    = 3
	ExitDenied      = 4
	ExitConflict    = 5
	ExitUnavailable = 6 // the server or something it needs is not running
	ExitExhausted   = 7 // a limit, a quota or the disk
	ExitUnfit       = 8 // doctor: this host cannot run the appliance as asked
	ExitTampered    = 9 // audit or release verification failed
)

const exitHelp = `Exit codes: 0 done, 1 internal error, 2 wrong usage or invalid request, 3 not found,
4 not allowed, 5 conflict with the present state, 6 server or engine not available,
7 limit or disk exhausted, 8 host unfit (doctor), 9 verification failed.`

// Version is the release of the program, set by the linker.
var Version = "0.1.0-dev"

// exitError carries an exit code that no fault kind stands for.
type exitError struct {
	code int
	err  error
}

func (e *exitError) Error() string { return e.err.Error() }
func (e *exitError) Unwrap() error { return e.err }

// env is what a command works with: streams and the flags that all share.
type env struct {
	in       io.Reader
	out, err io.Writer
	data     string // --data
	config   string // --config
	set      []string
	json     bool
	as       string // --as
	client   *client
	cfg      config.Config
	cfgErr   error
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
	err := root.ExecuteContext(ctx)
	if err == nil {
		return ExitOK
	}
	e.report(err)
	return ExitCode(err)
}

// report prints err for people: what happened, then the next step.
func (e *env) report(err error) {
	var xe *exitError
	var fe *fault.Error
	switch {
	case errors.As(err, &fe):
		fmt.Fprintf(e.err, "tresor: %s\n", fault.Message(err))
		if next := fault.Next(err); next != "" {
			fmt.Fprintf(e.err, "next: %s\n", next)
		}
		if fe.Kind == fault.Internal || fe.Kind == fault.Unavailable {
			if cause := errors.Unwrap(fe); cause != nil {
				fmt.Fprintf(e.err, "cause: %v\n", cause)
			}
		}
	case errors.As(err, &xe) && xe.err != nil:
		fmt.Fprintf(e.err, "tresor: %v\n", xe.err)
	default:
		fmt.Fprintf(e.err, "tresor: %v\n", err)
	}
}

// ExitCode maps an error to the documented exit code.
func ExitCode(err error) int {
	var xe *exitError
	if errors.As(err, &xe) {
		return xe.code
	}
	var fe *fault.Error
	if !errors.As(err, &fe) {
		return ExitUsage // cobra's own complaints: unknown command or flag
	}
	switch fault.KindOf(err) {
	case fault.NotFound:
		return ExitNotFound
	case fault.Invalid:
		return ExitUsage
	case fault.Denied:
		return ExitDenied
	case fault.Conflict:
		return ExitConflict
	case fault.Unavailable:
		return ExitUnavailable
	case fault.Exhausted:
		return ExitExhausted
	default:
		return ExitInternal
	}
}

func newRoot(e *env) *cobra.Command {
	root := &cobra.Command{
		Use:   "tresor",
		Short: "A Trusted Research Environment in one binary",
		Long: `Tresor lets researchers analyse sensitive data on one server of their institution.
Every analysis runs in a container without a network; nothing leaves before two
people who are not part of the project have looked at it.

` + exitHelp,
		SilenceUsage:  true,
		SilenceErrors: true,
		Version:       Version,
	}
	root.SetVersionTemplate("tresor {{.Version}}\n")
	f := root.PersistentFlags()
	f.StringVar(&e.data, "data", "", "data folder of the appliance (default "+config.Default().Data+")")
	f.StringVar(&e.config, "config", "", "settings file (default <data>/config.toml)")
	f.StringArrayVar(&e.set, "set", nil, "one setting, as section.key=value (repeatable)")
	f.BoolVar(&e.json, "json", false, "print JSON instead of text")
	f.StringVar(&e.as, "as", "", "act for the person with this sign-in name (local socket only; recorded)")
	root.PersistentPreRunE = func(*cobra.Command, []string) error { return e.resolve() }
	root.AddCommand(
		newServe(e), newInit(e), newDoctor(e), newDemo(e), newDataset(e), newProject(e), newPerson(e),
		newJob(e), newAirlock(e), newRelease(e), newImage(e), newAudit(e), newTLS(e), newVersion(e),
	)
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
		e.data = abs
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

// group makes a command that only holds subcommands.
func group(use, short, long string, subs ...*cobra.Command) *cobra.Command {
	c := &cobra.Command{Use: use, Short: short, Long: long}
	c.AddCommand(subs...)
	return c
}
