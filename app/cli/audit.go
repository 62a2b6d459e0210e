package cli

import (
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"tresor/app/audit"
	"tresor/app/fault"
)

type eventView struct {
	Seq     int64             `json:"seq"`
	At      time.Time         `json:"at"`
	Actor   string            `json:"actor_name"`
	Via     string            `json:"via"`
	Verb    string            `json:"verb"`
	Subject string            `json:"subject"`
	Detail  map[string]string `json:"detail"`
}

func newAudit(e *env) *cobra.Command {
	return group("audit", "The audit log: list, export, verify", "",
		auditList(e), auditVerify(e), auditExport(e), auditCheckpoint(e), auditKey(e))
}

func auditList(e *env) *cobra.Command {
	var subject, project string
	var limit int
	c := &cobra.Command{Use: "list", Short: "List events, newest first", Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			path := "/audit" + query("subject", subject, "project", project, "limit", strconv.Itoa(limit))
			return show(c.Context(), e, http.MethodGet, path, nil, func(w io.Writer, p page[eventView]) {
				var rows [][]string
				for _, v := range p.Items {
					rows = append(rows, []string{strconv.FormatInt(v.Seq, 10), when(&v.At), v.Actor, v.Verb, v.Subject})
				}
				table(w, "event|time|who|what|thing", rows)
			})
		}}
	c.Flags().StringVar(&subject, "subject", "", "only this thing, as job:<id>")
	c.Flags().StringVar(&project, "project", "", "only this project")
	c.Flags().IntVar(&limit, "limit", 50, "how many")
	return c
}

func auditVerify(e *env) *cobra.Command {
	var db, export, key string
	c := &cobra.Command{Use: "verify", Short: "Recompute the whole log and compare it with its signed checkpoints", Args: cobra.NoArgs,
		Long: `Verifies the database of the data folder, a copy of it (--db), or an exported log
(--export, no database needed). It reads only, and works while the server runs.
Exit code 9 when anything does not match; the message names the first wrong event.`,
		RunE: func(c *cobra.Command, _ []string) error {
			report, err := verifyAny(c, e, db, export, key)
			if err != nil {
				if fault.KindOf(err) == fault.NotFound || fault.KindOf(err) == fault.Unavailable {
					return err
				}
				return &exitError{code: ExitTampered, err: fmt.Errorf("the audit log does not verify: %w", err)}
			}
			if e.json {
				return printJSON(e.out, report)
			}
			fmt.Fprintf(e.out, "audit: verified %d events, root %s\n", report.Events, report.Root)
			return nil
		}}
	f := c.Flags()
	f.StringVar(&db, "db", "", "database file to verify (default <data>/tresor.db)")
	f.StringVar(&export, "export", "", "exported log to verify instead of a database (- for standard input)")
	f.StringVar(&key, "key", "", "verifier key, or a file that holds it (default: the one of the data folder, else the one in the database)")
	return c
}

func verifyAny(c *cobra.Command, e *env, db, export, key string) (audit.Report, error) {
	key = readKey(e, key)
	if export == "" {
		if db == "" {
			db = filepath.Join(e.data, "tresor.db")
		}
		if _, err := os.Stat(db); err != nil {
			return audit.Report{}, fault.Kinded("cli.audit", fault.NotFound, err, "There is no database at %s. Name it with --db or the data folder with --data.", db)
		}
		return audit.VerifyDB(c.Context(), db, key)
	}
	if export == "-" {
		return audit.VerifyExport(c.Context(), e.in, key)
	}
	f, err := os.Open(export)
	if err != nil {
		return audit.Report{}, fault.Kinded("cli.audit", fault.NotFound, err, "Cannot read the exported log: %v.", err)
	}
	defer f.Close()
	return audit.VerifyExport(c.Context(), f, key)
}

// readKey takes a key as text or file; without one, the data folder's public key.
func readKey(e *env, key string) string {
	if key == "" {
		key = filepath.Join(e.data, "keys", "audit.pub")
		if _, err := os.Stat(key); err != nil {
			return ""
		}
	}
	if b, err := os.ReadFile(key); err == nil {
		return strings.TrimSpace(string(b))
	}
	return strings.TrimSpace(key)
}

func auditExport(e *env) *cobra.Command {
	return stream(e, "export", "Print all events and the newest checkpoint, for verifying elsewhere", "/audit/export")
}

func auditCheckpoint(e *env) *cobra.Command {
	return stream(e, "checkpoint", "Print the newest signed checkpoint (C2SP tlog-checkpoint)", "/audit/checkpoint")
}

func stream(e *env, use, short, path string) *cobra.Command {
	return &cobra.Command{Use: use, Short: short, Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			resp, err := e.client.send(c.Context(), http.MethodGet, path, "", nil)
			if err != nil {
				return err
			}
			defer resp.Body.Close()
			_, err = io.Copy(e.out, resp.Body)
			return err
		}}
}

func auditKey(e *env) *cobra.Command {
	return &cobra.Command{Use: "key", Short: "Print the verifier key: give it to whoever verifies from outside", Args: cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			key := readKey(e, "")
			if key == "" {
				return fault.New("cli.audit", fault.NotFound, "There is no audit key in %s. Run `tresor init` first.", e.data)
			}
			fmt.Fprintln(e.out, key)
			return nil
		}}
}
