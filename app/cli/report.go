package cli

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	"github.com/spf13/cobra"

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

// exitError carries an exit code that no fault kind stands for.
type exitError struct {
	code int
	err  error
	next string
}

func (e *exitError) Error() string { return e.err.Error() }
func (e *exitError) Unwrap() error { return e.err }

// refusal is an error that the server sent: its code is narrower than a kind.
type refusal struct {
	code, correlation string
	status            int
	err               error
}

func (r *refusal) Error() string { return r.err.Error() }
func (r *refusal) Unwrap() error { return r.err }

// problem is an error for programs (RFC 9457), printed on the error stream with --json.
type problem struct {
	Type        string `json:"type"`
	Title       string `json:"title"`
	Status      int    `json:"status,omitempty"` // only when the server answered
	Detail      string `json:"detail"`
	Code        string `json:"code"`
	Next        string `json:"next,omitempty"`
	Correlation string `json:"correlation,omitempty"`
	Exit        int    `json:"exit_code"`
}

// Titles and next steps for errors that bring none of their own, by exit code.
var defaults = map[int]struct{ code, title, next string }{
	ExitInternal:    {"internal", "The program or the server failed", "Look for the cause in the server's log, and report it if it comes again."},
	ExitUsage:       {"invalid", "Wrong usage", ""}, // the help of the command that was asked for
	ExitNotFound:    {"not-found", "Not found", "Look at the list of what there is and you may see."},
	ExitDenied:      {"denied", "Not allowed", "Ask somebody who has the role, or act for such a person with --as."},
	ExitConflict:    {"conflict", "Not possible in the present state", "Look at the present state, then decide anew."},
	ExitUnavailable: {"unavailable", "Not available now", "Try again; `tresor doctor` looks at the host."},
	ExitExhausted:   {"exhausted", "A limit is reached", "Free what is used up, or raise the limit in the settings."},
	ExitUnfit:       {"unfit", "This host is not fit", "Do what the lines marked FAIL say, then run `tresor doctor` again."},
	ExitTampered:    {"tampered", "Verification failed", "Keep the file as it is, trust nothing in it, and compare it with your newest backup."},
}

// explain turns an error into the problem that is shown; cmd is the command that failed.
func explain(err error, cmd *cobra.Command) problem {
	p := problem{Type: "about:blank", Exit: ExitCode(err), Next: fault.Next(err)}
	d := defaults[p.Exit]
	p.Title, p.Code = d.title, d.code
	var fe *fault.Error
	var xe *exitError
	var re *refusal
	switch {
	case errors.As(err, &xe):
		p.Detail, p.Next = text(xe.err), firstOf(xe.next, p.Next)
	case errors.As(err, &fe):
		p.Detail = fault.Message(err)
	default:
		p.Detail = err.Error()
	}
	if errors.As(err, &re) {
		p.Code, p.Correlation, p.Status = firstOf(re.code, p.Code), re.correlation, re.status
	}
	p.Next = firstOf(p.Next, nearby(cmd, p.Exit), d.next)
	return p
}

// nearby names the command that helps on: the list of what there is, the state
// of the thing, or the help.
func nearby(cmd *cobra.Command, exit int) string {
	if cmd == nil {
		return ""
	}
	verb := map[int]string{ExitNotFound: "list", ExitConflict: "show"}[exit]
	if cmd.HasParent() && verb != "" && cmd.Name() != verb {
		for _, c := range cmd.Parent().Commands() {
			if c.Name() == verb {
				return fmt.Sprintf("See `%s`.", c.CommandPath())
			}
		}
	}
	if exit == ExitUsage {
		return fmt.Sprintf("See `%s --help`.", cmd.CommandPath())
	}
	return ""
}

// text prefers the words for people inside a plainly wrapped error.
func text(err error) string {
	var fe *fault.Error
	if !errors.As(err, &fe) {
		return err.Error()
	}
	return fault.Message(err)
}

// report prints err: what happened, then the next step; with --json as one JSON document.
func (e *env) report(err error, cmd *cobra.Command, args []string) {
	p := explain(err, cmd)
	if e.json || slices.Contains(args, "--json") {
		b, _ := json.Marshal(p) // strings and numbers only: cannot fail
		fmt.Fprintf(e.err, "%s\n", b)
		return
	}
	fmt.Fprintf(e.err, "tresor: %s\nnext: %s\n", clean(p.Detail), clean(p.Next))
	if p.Correlation != "" && p.Exit == ExitInternal {
		fmt.Fprintf(e.err, "correlation: %s\n", clean(p.Correlation))
	}
	if c := cause(err); c != "" && (p.Exit == ExitInternal || p.Exit == ExitUnavailable) {
		fmt.Fprintf(e.err, "cause: %s\n", clean(c))
	}
}

// cause is the deepest error that did not come as words for people.
func cause(err error) string {
	var last error
	for ; err != nil; err = errors.Unwrap(err) {
		last = err
	}
	if _, words := last.(*fault.Error); words || last == nil {
		return ""
	}
	return last.Error()
}

// ExitCode maps an error to the documented exit code; nil is ExitOK.
func ExitCode(err error) int {
	if err == nil {
		return ExitOK
	}
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
