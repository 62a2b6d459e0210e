package sqlrun

import (
	"bufio"
	"context"
	"database/sql"
	"encoding/hex"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"time"
)

// beat is how often a running query says that it is alive.
const beat = 5 * time.Second

// write runs one query and writes its rows to out/<Output>: RFC 4180 with LF and
// a header. The file gets its name when it is complete and on the disk.
func (s *session) write(ctx context.Context, q Query, out string, maxRows int64) error {
	var n atomic.Int64
	stop := s.alive(q.Output, &n)
	err := s.writeFile(ctx, q, out, maxRows, &n)
	stop()
	if err != nil {
		return err
	}
	fmt.Fprintf(s.log, "%s: %s\n", q.Output, rowCount(n.Load()))
	return nil
}

func rowCount(n int64) string {
	if n == 1 {
		return "1 row"
	}
	return grouped(n) + " rows"
}

// grouped writes 1234567 as 1,234,567.
func grouped(n int64) string {
	s := strconv.FormatInt(n, 10)
	for i := len(s) - 3; i > 0; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}

// alive reports the number of rows now and then until stop is called.
func (s *session) alive(name string, n *atomic.Int64) (stop func()) {
	done, gone := make(chan struct{}), make(chan struct{})
	t := time.NewTicker(beat)
	go func() {
		defer close(gone)
		defer t.Stop()
		for {
			select {
			case <-done:
				return
			case <-t.C:
				fmt.Fprintf(s.log, "%s: running, %s so far\n", name, rowCount(n.Load()))
			}
		}
	}()
	return func() { close(done); <-gone }
}

func (s *session) writeFile(ctx context.Context, q Query, out string, maxRows int64, n *atomic.Int64) error {
	temp := filepath.Join(out, "."+q.Output+".part")
	f, err := os.OpenFile(temp, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o644)
	if err != nil {
		return failed(ExitOutput, "%s cannot be written: %v.", q.Output, err)
	}
	w := bufio.NewWriterSize(f, 1<<18)
	err = s.rows(ctx, q, w, maxRows, n)
	if err == nil {
		err = outputFault(q, errors.Join(w.Flush(), f.Sync()))
	}
	err = errors.Join(err, outputFault(q, f.Close()))
	if err == nil {
		err = outputFault(q, os.Rename(temp, filepath.Join(out, q.Output)))
	}
	if err != nil {
		_ = os.Remove(temp) // a hidden file that nobody declared is not collected either
		return first(err)
	}
	return nil
}

// first keeps the exit code of the failure that came first.
func first(err error) error {
	var f *failure
	if errors.As(err, &f) {
		return f
	}
	return err
}

func outputFault(q Query, err error) error {
	if err == nil {
		return nil
	}
	return failed(ExitOutput, "%s cannot be written: %v. Is the result larger than the job may write?", q.Output, err)
}

func (s *session) rows(ctx context.Context, q Query, w *bufio.Writer, maxRows int64, n *atomic.Int64) error {
	rows, err := s.conn.QueryContext(ctx, q.SQL)
	if err != nil {
		return failed(ExitQuery, "%s: %v.", q.Output, err)
	}
	defer rows.Close()
	names, err := rows.Columns()
	if err != nil {
		return failed(ExitQuery, "%s: %v.", q.Output, err)
	}
	if err := header(q, w, names); err != nil {
		return err
	}
	cells, into := make([]any, len(names)), make([]any, len(names))
	for i := range cells {
		into[i] = &cells[i]
	}
	for rows.Next() {
		if maxRows > 0 && n.Load() == maxRows {
			return failed(ExitQuery, "%s: the result has more than %s rows. Aggregate it, or add LIMIT.", q.Output, grouped(maxRows))
		}
		if err := one(q, rows, w, cells, into); err != nil {
			return err
		}
		n.Add(1)
	}
	if err := rows.Err(); err != nil {
		return failed(ExitQuery, "%s: %v.", q.Output, err)
	}
	return nil
}

func one(q Query, rows *sql.Rows, w *bufio.Writer, cells, into []any) error {
	if err := rows.Scan(into...); err != nil {
		return failed(ExitQuery, "%s: %v.", q.Output, err)
	}
	for i, c := range cells {
		if i > 0 {
			w.WriteByte(',') //nolint:errcheck // a bufio.Writer keeps its first error for Flush
		}
		writeCell(w, c)
	}
	return outputFault(q, w.WriteByte('\n'))
}

// header writes the column names, which must differ: a table with two columns of
// one name cannot be checked.
func header(q Query, w *bufio.Writer, names []string) error {
	seen := map[string]int{}
	for i, n := range names {
		if j, twice := seen[strings.ToLower(n)]; twice {
			return failed(ExitQuery, "%s: columns %d and %d are both named %q. Name one of them with AS.", q.Output, j+1, i+1, clip(n))
		}
		seen[strings.ToLower(n)] = i
		if i > 0 {
			w.WriteByte(',') //nolint:errcheck // see one
		}
		writeText(w, n)
	}
	return outputFault(q, w.WriteByte('\n'))
}

// writeCell writes NULL as an empty field, an empty text as "", whole reals with
// ".0", other reals with as many digits as tell them from their neighbours, and
// a blob in hex.
func writeCell(w *bufio.Writer, c any) {
	var buf [32]byte
	switch v := c.(type) {
	case nil:
	case int64:
		w.Write(strconv.AppendInt(buf[:0], v, 10)) //nolint:errcheck // see one
	case float64:
		w.Write(appendReal(buf[:0], v)) //nolint:errcheck // see one
	case bool:
		w.WriteString(strconv.FormatBool(v)) //nolint:errcheck // see one
	case string:
		writeText(w, v)
	case []byte:
		w.WriteString(hex.EncodeToString(v)) //nolint:errcheck // see one
	case time.Time:
		w.WriteString(v.UTC().Format(time.RFC3339)) //nolint:errcheck // see one
	default:
		writeText(w, fmt.Sprint(v))
	}
}

func appendReal(b []byte, f float64) []byte {
	switch {
	case math.IsInf(f, 1):
		return append(b, "Inf"...)
	case math.IsInf(f, -1):
		return append(b, "-Inf"...)
	case f == 0:
		return append(b, "0.0"...)
	case f == math.Trunc(f) && math.Abs(f) < 1e15:
		return strconv.AppendFloat(b, f, 'f', 1, 64)
	case math.Abs(f) >= 1e-5 && math.Abs(f) < 1e15:
		return strconv.AppendFloat(b, f, 'f', -1, 64)
	}
	return strconv.AppendFloat(b, f, 'e', -1, 64)
}

func writeText(w *bufio.Writer, s string) {
	if s != "" && !strings.ContainsAny(s, ",\"\r\n") && s[0] != ' ' && s[len(s)-1] != ' ' {
		w.WriteString(s) //nolint:errcheck // see one
		return
	}
	w.WriteByte('"')                                //nolint:errcheck // see one
	w.WriteString(strings.ReplaceAll(s, `"`, `""`)) //nolint:errcheck // see one
	w.WriteByte('"')                                //nolint:errcheck // see one
}
