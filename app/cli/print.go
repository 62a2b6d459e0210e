package cli

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"
	"unicode"
	"unicode/utf8"

	"golang.org/x/term"

	"tresor/app/fault"
)

// show fetches path and prints it: raw JSON with --json, else through text.
func show[T any](ctx context.Context, e *env, method, path string, in any, text func(w io.Writer, v T)) error {
	var raw json.RawMessage
	if err := e.client.do(ctx, method, path, in, &raw); err != nil {
		return err
	}
	return printRaw(e, raw, text)
}

func printRaw[T any](e *env, raw json.RawMessage, text func(w io.Writer, v T)) error {
	if e.json {
		return printJSON(e.out, raw)
	}
	var v T
	if err := json.Unmarshal(raw, &v); err != nil {
		return otherVersion(err)
	}
	text(e.out, v)
	return nil
}

func printJSON(w io.Writer, v any) error {
	b, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(w, "%s\n", b)
	return err
}

// table prints rows under a header in aligned columns.
func table(w io.Writer, header string, rows [][]string) {
	if len(rows) == 0 {
		fmt.Fprintln(w, "none")
		return
	}
	tw := tabwriter.NewWriter(w, 0, 4, 2, ' ', 0)
	fmt.Fprintln(tw, strings.ToUpper(strings.ReplaceAll(header, "|", "\t")))
	for _, r := range rows {
		for i, cell := range r {
			if i > 0 {
				fmt.Fprint(tw, "\t")
			}
			fmt.Fprint(tw, clean(cell))
		}
		fmt.Fprintln(tw)
	}
	tw.Flush()
}

// facts prints name: value lines, leaving out empty values.
func facts(w io.Writer, pairs ...string) {
	tw := tabwriter.NewWriter(w, 0, 4, 2, ' ', 0)
	for i := 0; i+1 < len(pairs); i += 2 {
		if pairs[i+1] != "" {
			fmt.Fprintf(tw, "%s:\t%s\n", pairs[i], clean(pairs[i+1]))
		}
	}
	tw.Flush()
}

func when(t *time.Time) string {
	if t == nil || t.IsZero() {
		return ""
	}
	return t.Local().Format("2006-01-02 15:04 MST")
}

func size(n int64) string {
	const unit = 1024
	if n < unit {
		return fmt.Sprintf("%d B", n)
	}
	div, exp := int64(unit), 0
	for m := n / unit; m >= unit; m /= unit {
		div *= unit
		exp++
	}
	return fmt.Sprintf("%.1f %ciB", float64(n)/float64(div), "KMGTPE"[exp])
}

// parseSize reads a size such as 512MiB or 2GiB, in bytes.
func parseSize(s string) (int64, error) {
	digits := strings.TrimRight(s, "KMGTiBb ")
	n, err := strconv.ParseFloat(digits, 64)
	shift, ok := map[string]uint{"": 0, "B": 0, "K": 10, "M": 20, "G": 30, "T": 40}[strings.TrimSuffix(strings.TrimSuffix(strings.TrimSpace(s[len(digits):]), "B"), "i")]
	if v := n * float64(uint64(1)<<shift); err == nil && ok && v >= 1 && v < 1<<62 {
		return int64(v), nil
	}
	return 0, fault.WithNext(fault.New("cli.size", fault.Invalid, "%q is not a size.", s), "Write it as 512MiB or 2GiB.")
}

// parseDay reads a day; the instant is its end, because the whole last day counts.
func parseDay(s string) (time.Time, error) {
	t, err := time.ParseInLocation("2006-01-02", s, time.Local)
	if err != nil {
		return t, fault.WithNext(fault.New("cli.date", fault.Invalid, "%q is not a date.", s), "Write it as 2027-12-31.")
	}
	return t.AddDate(0, 0, 1), nil
}

// clean makes a text that came from a person harmless in one line of a
// terminal: no escape sequences, no line breaks, nothing that turns the
// direction of writing.
func clean(s string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsControl(r) || unicode.Is(unicode.Cf, r) || r == utf8.RuneError {
			return '\uFFFD'
		}
		return r
	}, s)
}

// safeWriter does to a stream of text what clean does to a line, but leaves line
// breaks and tabs. It works on bytes: C0 controls and DEL have no other meaning in UTF-8.
type safeWriter struct{ w io.Writer }

func (s safeWriter) Write(b []byte) (int, error) {
	out := make([]byte, len(b))
	for i, c := range b {
		if (c < ' ' && c != '\n' && c != '\t' && c != '\r') || c == 0x7f {
			c = '?'
		}
		out[i] = c
	}
	return s.w.Write(out)
}

// untrusted is where bytes go that a job made: as they are into a file or a
// pipe, without control characters onto a terminal.
func (e *env) untrusted() io.Writer {
	if f, ok := e.out.(*os.File); ok && term.IsTerminal(int(f.Fd())) {
		return safeWriter{e.out}
	}
	return e.out
}
