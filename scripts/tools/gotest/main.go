// Command gotest reads the events of `go test -json` and prints what a person needs:
// a line a package, everything that a failed test has written, and nothing of the
// others. It keeps two files in the folder that its argument names: skips, the tests
// that skipped themselves with their reasons, so that a skipped test is never taken for
// a passed one; and failures, what failed and the end of what it wrote, with how long
// each package and the slowest tests took, for whoever sees only the end of a long log.
package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// event is one line of go test -json.
type event struct {
	Action, Package, Test, Output string
	ImportPath                    string
	Elapsed                       float64
}

// Bounds of the file failures: lines of one failed test, characters of one line, and
// how many of the slowest tests it names.
const (
	lastLines = 40
	lineWidth = 1600
	slowest   = 12
)

func main() {
	if len(os.Args) != 2 {
		fmt.Fprintln(os.Stderr, "usage: go test -json ./... | gotest FOLDER")
		os.Exit(2)
	}
	failed, err := run(os.Stdin, os.Stdout, os.Args[1])
	switch {
	case err != nil:
		fmt.Fprintln(os.Stderr, err)
		os.Exit(2)
	case failed:
		os.Exit(1)
	}
}

// run reports the events and leaves the two files in dir.
func run(in io.Reader, out io.Writer, dir string) (failed bool, err error) {
	var skips, failures strings.Builder
	failed, err = report(in, out, &skips, &failures)
	for name, text := range map[string]string{"skips": skips.String(), "failures": failures.String()} {
		if werr := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err == nil {
			err = werr
		}
	}
	return failed, err
}

// report reads every event. What is no event (a compiler's words) is passed on.
func report(in io.Reader, out, skips, failures io.Writer) (failed bool, err error) {
	said := map[string]*strings.Builder{}
	var took []event
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
			fmt.Fprintf(failures, "does not build: %s\n%s", e.ImportPath, tail(text(said[e.ImportPath])))
		case "pass", "skip", "fail":
			if e.Action == "fail" {
				failed = true
				fmt.Fprintf(failures, "FAILED %s %s (%.1fs)\n%s", e.Package, e.Test, e.Elapsed, tail(text(said[key])))
			}
			took = append(took, e)
			ended(e, text(said[key]), out, skips)
			delete(said, key)
		}
	}
	// Killed in the middle (a time limit, no memory): the tests that never ended.
	for key, b := range said {
		if pkg, test, _ := strings.Cut(key, " "); test != "" && failed {
			fmt.Fprintf(failures, "never ended: %s %s\n%s", pkg, test, tail(b.String()))
		}
	}
	slices.SortFunc(took, func(a, b event) int { return int(1000 * (b.Elapsed - a.Elapsed)) })
	for i, e := range took {
		if i == slowest {
			break
		}
		fmt.Fprintf(failures, "took %6.1fs %s %s\n", e.Elapsed, e.Package, e.Test)
	}
	return failed, lines.Err()
}

// tail is the end of what a failed test has written, shortened line by line.
func tail(said string) string {
	var lines []string
	for line := range strings.Lines(said) {
		line = strings.TrimRight(line, "\n")
		if len(line) > lineWidth {
			line = line[:lineWidth] + " […]"
		}
		lines = append(lines, "    "+line+"\n")
	}
	if over := len(lines) - lastLines; over > 0 {
		lines = append([]string{fmt.Sprintf("    [%d lines before these]\n", over)}, lines[over:]...)
	}
	return strings.Join(lines, "")
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
