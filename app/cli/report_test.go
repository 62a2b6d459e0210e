package cli

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/spf13/cobra"

	"tresor/app/fault"
)

func TestExitCodes(t *testing.T) {
	for _, c := range []struct {
		name string
		err  error
		want int
	}{
		{"nothing", nil, ExitOK},
		{"cobra's own complaint", errors.New("unknown flag: --x"), ExitUsage},
		{"internal", fault.New("op", fault.Internal, "x"), ExitInternal},
		{"an unclassified cause", fault.Wrap("op", errors.New("x")), ExitInternal},
		{"not found", fault.New("op", fault.NotFound, "x"), ExitNotFound},
		{"invalid", fault.New("op", fault.Invalid, "x"), ExitUsage},
		{"denied", fault.New("op", fault.Denied, "x"), ExitDenied},
		{"conflict", fault.New("op", fault.Conflict, "x"), ExitConflict},
		{"unavailable", fault.New("op", fault.Unavailable, "x"), ExitUnavailable},
		{"exhausted", fault.New("op", fault.Exhausted, "x"), ExitExhausted},
		{"with a next step", fault.WithNext(fault.New("op", fault.Denied, "x"), "y"), ExitDenied},
		{"from the server", &refusal{err: fault.New("op", fault.NotFound, "x")}, ExitNotFound},
		{"unfit", &exitError{code: ExitUnfit, err: errors.New("x")}, ExitUnfit},
		{"tampered, around a fault", &exitError{code: ExitTampered, err: fault.New("op", fault.Invalid, "x")}, ExitTampered},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := ExitCode(c.err); got != c.want {
				t.Errorf("exit code %d, want %d", got, c.want)
			}
		})
	}
}

func TestEveryErrorHasANextStep(t *testing.T) {
	cmd := &cobra.Command{Use: "verb"}
	for k := fault.Internal; k <= fault.Exhausted; k++ {
		if p := explain(fault.New("op", k, "What happened."), cmd); p.Next == "" || p.Detail != "What happened." || p.Code != k.String() {
			t.Errorf("%s: %+v", k, p)
		}
	}
	for _, code := range []int{ExitUnfit, ExitTampered} {
		if p := explain(&exitError{code: code, err: errors.New("x")}, cmd); p.Next == "" || p.Exit != code {
			t.Errorf("exit code %d: %+v", code, p)
		}
	}
	if p := explain(errors.New("unknown flag"), cmd); p.Next != "See `verb --help`." {
		t.Errorf("usage: %+v", p)
	}
}

func TestCauseIsForInternalErrorsOnly(t *testing.T) {
	secret := errors.New("dial unix: boom")
	for k, shown := range map[fault.Kind]bool{fault.Internal: true, fault.Unavailable: true, fault.Denied: false, fault.Invalid: false} {
		var errw bytes.Buffer
		e := &env{err: &errw}
		e.report(fault.Kinded("op", k, secret, "What happened."), nil, nil)
		if got := strings.Contains(errw.String(), "cause: dial unix: boom"); got != shown {
			t.Errorf("%s: cause shown = %v in %q", k, got, errw.String())
		}
	}
}

func answer(status int, body string) *http.Response {
	return &http.Response{StatusCode: status, Body: io.NopCloser(strings.NewReader(body))}
}

func TestReadProblem(t *testing.T) {
	for _, c := range []struct {
		name, body string
		status     int
		kind       fault.Kind
		detail     string
		next       string
	}{
		{"a whole problem", `{"title":"T","detail":"D","code":"conflict","next":"N","correlation":"c"}`, 409, fault.Conflict, "D", "N"},
		{"the title stands in", `{"title":"T"}`, 404, fault.NotFound, "T", ""},
		{"the code is narrower than the status", `{"detail":"D","code":"exhausted"}`, 409, fault.Exhausted, "D", ""},
		{"a code of the door", `{"detail":"D","code":"too-large"}`, 413, fault.Exhausted, "D", ""},
		{"sign in", `{"detail":"D","code":"sign-in-required"}`, 401, fault.Denied, "D", ""},
		{"a proxy's page", `<html>bad gateway`, 502, fault.Unavailable, "The server answered 502 without an explanation.", ""},
		{"nothing", ``, 500, fault.Internal, "The server answered 500 without an explanation.", ""},
		{"other JSON", `[1]`, 400, fault.Invalid, "The server answered 400 without an explanation.", ""},
		{"an empty object", `{}`, 418, fault.Internal, "The server answered 418 without an explanation.", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			err := readProblem(answer(c.status, c.body))
			if fault.KindOf(err) != c.kind || fault.Message(err) != c.detail || fault.Next(err) != c.next {
				t.Errorf("%v %q %q", fault.KindOf(err), fault.Message(err), fault.Next(err))
			}
			if p := explain(err, nil); p.Status != c.status {
				t.Errorf("status %d", p.Status)
			}
		})
	}
}

func FuzzReadProblem(f *testing.F) {
	f.Add(400, `{"title":"T","detail":"D","code":"invalid"}`)
	f.Add(502, "<html>")
	f.Add(0, "\x00{")
	f.Fuzz(func(t *testing.T, status int, body string) {
		err := readProblem(answer(status, body))
		if err == nil || fault.Message(err) == "" {
			t.Fatal("a refusal without words")
		}
		if c := ExitCode(err); c < ExitInternal || c > ExitExhausted {
			t.Fatalf("exit code %d", c)
		}
		var errw bytes.Buffer
		(&env{err: &errw, json: true}).report(err, nil, nil)
		var p problem
		if json.Unmarshal(errw.Bytes(), &p) != nil || p.Exit != ExitCode(err) {
			t.Fatalf("not a problem: %q", errw.String())
		}
		errw.Reset()
		(&env{err: &errw}).report(err, nil, nil)
		for _, r := range strings.ReplaceAll(errw.String(), "\n", "") {
			if r < ' ' || r == 0x7f {
				t.Fatalf("a control character reaches the terminal: %q", errw.String())
			}
		}
	})
}

// TestHelp walks through every command: what it does, its exit codes, and that
// its flags and completions are sound.
func TestHelp(t *testing.T) {
	var walk func(*cobra.Command)
	walk = func(c *cobra.Command) {
		for _, sub := range c.Commands() {
			walk(sub)
		}
		if c.Short == "" {
			t.Errorf("%s says nothing about itself", c.CommandPath())
		}
		if len(c.Commands()) == 0 && strings.Contains(c.Use, " ") && c.Example == "" {
			t.Errorf("%s takes arguments and shows no example", c.CommandPath())
		}
		for line := range strings.SplitSeq(c.Example, "\n") {
			if line != "" && !strings.HasPrefix(line, "  ") {
				t.Errorf("%s: example %q is not indented", c.CommandPath(), line)
			}
		}
		var out bytes.Buffer
		c.SetOut(&out)
		if err := c.Help(); err != nil || !strings.Contains(out.String(), exitHelp) {
			t.Errorf("%s: help without exit codes (%v)", c.CommandPath(), err)
		}
	}
	walk(newRoot(&env{in: strings.NewReader(""), out: io.Discard, err: io.Discard}))
}

func ExampleExitCode() {
	fmt.Println(ExitCode(fault.New("op", fault.Denied, "You may not do this.")))
	// Output: 4
}
