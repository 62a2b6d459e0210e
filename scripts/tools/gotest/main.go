// Command gotest reads the events of `go test -json` and prints what a person needs:
// a line a package, everything that a failed test has written, and nothing of the
// others. Tests that skipped themselves are written to the file that its argument
// names, with their reasons, so that a skipped test is never taken for a passed one.
package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"strings"
)

// event is one line of go test -json.
type event struct {
	Action, Package, Test, Output string
	ImportPath                    string
	Elapsed                       float64
}

func main() {
	if len(os.Args) != 2 {
		fmt.Fprintln(os.Stderr, "usage: go test -json ./... | gotest FILE")
		os.Exit(2)
	}
	skips, err := os.Create(os.Args[1])
	if err == nil {
		var failed bool
		failed, err = report(os.Stdin, os.Stdout, skips)
		if cerr := skips.Close(); err == nil {
			err = cerr
		}
		if failed && err == nil {
			os.Exit(1)
		}
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(2)
	}
}

// report reads every event. What is no event (a compiler's words) is passed on.
func report(in io.Reader, out, skips io.Writer) (failed bool, err error) {
	said := map[string]*strings.Builder{}
	lines := bufio.NewScanner(in)
	lines.Buffer(nil, 64<<20)
	for lines.Scan() {
		var e event
		if json.Unmarshal(lines.Bytes(), &e) != nil {
			fmt.Fprintln(out, lines.Text())
			continue
		}
		key := e.Package + " " + e.Test
		switch e.Action {
		case "output", "build-output":
			if e.Action == "build-output" {
				key = e.ImportPath
			}
			if said[key] == nil {
				said[key] = &strings.Builder{}
			}
			if said[key].Len() < 1<<20 {
				said[key].WriteString(e.Output)
			}
		case "build-fail":
			failed = true
			fmt.Fprint(out, text(said[e.ImportPath]))
		case "pass", "skip", "fail":
			failed = failed || e.Action == "fail"
			ended(e, text(said[key]), out, skips)
			delete(said, key)
		}
	}
	return failed, lines.Err()
}

func text(b *strings.Builder) string {
	if b == nil {
		return ""
	}
	return b.String()
}

// ended prints the end of one test or package.
func ended(e event, said string, out, skips io.Writer) {
	switch {
	case e.Action == "fail":
		fmt.Fprintf(out, "FAILED %s %s (%.1fs)\n%s", e.Package, e.Test, e.Elapsed, said)
	case e.Action == "skip" && e.Test != "":
		fmt.Fprintf(skips, "%s %s: %s\n", e.Package, e.Test, reason(said))
	case e.Action == "pass" && e.Test == "":
		fmt.Fprintf(out, "ok  \t%s\t%.1fs\n", e.Package, e.Elapsed)
	}
}

// reason is what a test said when it skipped itself: the line behind its place in the source.
func reason(said string) string {
	for line := range strings.Lines(said) {
		if _, why, ok := strings.Cut(strings.TrimSpace(line), ".go:"); ok {
			if _, why, ok = strings.Cut(why, ": "); ok {
				return strings.TrimSpace(why)
			}
		}
	}
	return "no reason given"
}
