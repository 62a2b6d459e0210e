package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"slices"
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
	Project string            `json:"project"`
	Via     string            `json:"via"`
	Verb    string            `json:"verb"`
	Subject string            `json:"subject"`
	Detail  map[string]string `json:"detail"`
	Reason  string            `json:"reason"`
}

func newAudit(e *env) *cobra.Command {
	return group("audit", "The audit log: list, export, verify", "",
		auditList(e), auditVerify(e), auditProof(e), auditExport(e), auditCheckpoint(e), auditKey(e))
}

func auditList(e *env) *cobra.Command {
	var subject, project, actor, verb, since, until string
	var p paging
	c := &cobra.Command{Use: "list", Short: "List events, newest first", Args: cobra.NoArgs,
		Example: `  tresor audit list --subject job:01a2…
  tresor audit list --by rosa --verb job. --since 2026-11-01T00:00:00Z
  tresor audit list --all --json > events.json`,
		RunE: func(c *cobra.Command, _ []string) error {
			who, err := actorID(c, e, actor)
			if err != nil {
				return err
			}
			return list(c.Context(), e, &p, "/audit", []string{"subject", subject, "project", project, "actor", who, "verb", verb, "since", since, "until", until}, "event|time|who|via|what|thing|detail",
				func(v eventView) []string {
					return []string{strconv.FormatInt(v.Seq, 10), when(&v.At), v.Actor, v.Via, v.Verb, v.Subject, details(v)}
				})
		}}
	p.flags(c)
	c.Flags().StringVar(&subject, "subject", "", "only this thing, as job:<id>")
	c.Flags().StringVar(&project, "project", "", "only this project")
	c.Flags().StringVar(&actor, "by", "", "only what this person did")
	c.Flags().StringVar(&verb, "verb", "", "only this verb, as job.submitted, or all of a noun, as job.")
	c.Flags().StringVar(&since, "since", "", "only events of this time and later, as 2026-11-24T15:04:05Z")
	c.Flags().StringVar(&until, "until", "", "only events before this time")
	flagCompletes(e, c, "project", someProjects)
	flagCompletes(e, c, "by", somePeople)
	return c
}

// actorID turns a sign-in name into the id that events carry; "" stays.
func actorID(c *cobra.Command, e *env, who string) (string, error) {
	if who == "" {
		return "", nil
	}
	return personID(c, e, who)
}

// details are the event's pairs; a reason stands in its words, for its hash.
func details(e eventView) string {
	var out []string
	for _, k := range slices.Sorted(maps.Keys(e.Detail)) {
		v := e.Detail[k]
		if k == "reason_hash" && e.Reason != "" {
			out = append(out, "reason="+strconv.Quote(e.Reason))
			continue
		}
		if len(v) > 40 {
			v = v[:37] + "..."
		}
		out = append(out, k+"="+v)
	}
	return strings.Join(out, " ")
}

func auditVerify(e *env) *cobra.Command {
	var v logSource
	c := &cobra.Command{Use: "verify", Short: "Recompute the whole log and compare it with its signed checkpoints", Args: cobra.NoArgs,
		Long: `Verifies the database of the data folder, a copy of it (--db), or an exported log
(--export, no database needed). It reads only, and works while the server runs.

Where the data folder is at hand, the log is also compared with the newest
checkpoint that the appliance keeps outside the database (keys/audit.head): so an
older database that was put back is noticed too. --checkpoint FILE compares with
one that you kept elsewhere (from ` + "`tresor audit checkpoint`" + `).

Exit code 9 when anything does not match; the message names the first wrong event.`,
		Example: `  tresor audit verify
  tresor audit verify --db /backup/tresor.db --data /var/lib/tresor
  tresor audit export | tresor audit verify --export - --key audit.pub`,
		RunE: func(c *cobra.Command, _ []string) error {
			report, err := v.verify(c.Context(), e)
			if err != nil {
				return tampered(err)
			}
			if e.json {
				return printJSON(e.out, report)
			}
			fmt.Fprintf(e.out, "audit: verified %d events, root %s\n", report.Events, report.Root)
			return nil
		}}
	f := c.Flags()
	f.StringVar(&v.db, "db", "", "database file to verify (default <data>/tresor.db)")
	f.StringVar(&v.export, "export", "", "exported log to verify instead of a database (- for standard input)")
	f.StringArrayVar(&v.known, "checkpoint", nil, "file with a checkpoint that was kept elsewhere (repeatable)")
	f.StringVar(&v.key, "key", "", "verifier key, or a file that holds it (default: the one of the data folder, else the one in the database)")
	return c
}

// tampered gives a log that does not match its exit code; what could not be
// read at all keeps its own.
func tampered(err error) error {
	switch fault.KindOf(err) {
	case fault.NotFound, fault.Unavailable, fault.Denied:
		return err
	}
	return &exitError{code: ExitTampered, err: fmt.Errorf("the audit log does not verify: %s", text(err)),
		next: firstOf(fault.Next(err), "Keep the file as it is, and compare it with your newest backup and the checkpoints that you kept elsewhere.")}
}

// logSource says which log to verify, and against what.
type logSource struct {
	db, export, key string
	known           []string // files with checkpoints
}

func (v *logSource) verify(ctx context.Context, e *env) (audit.Report, error) {
	key := readKey(e, v.key)
	switch v.export {
	case "":
		known, err := v.checkpoints(e)
		if err != nil {
			return audit.Report{}, err
		}
		return verifyDB(ctx, firstOf(v.db, filepath.Join(e.data, "tresor.db")), key, known)
	case "-":
		return audit.VerifyExport(ctx, e.in, key)
	}
	f, err := os.Open(v.export)
	if err != nil {
		return audit.Report{}, missing(v.export, err)
	}
	defer f.Close()
	return audit.VerifyExport(ctx, f, key)
}

// checkpoints are the signed states kept outside the database: the caller's
// own, and the data folder's. A copy of another appliance's database is not
// compared with this folder's, unless --data says that they belong together.
func (v *logSource) checkpoints(e *env) ([][]byte, error) {
	var all [][]byte
	for _, name := range v.known {
		b, err := os.ReadFile(name)
		if err != nil {
			return nil, missing(name, err)
		}
		all = append(all, b)
	}
	if v.db != "" && !e.dataGiven {
		return all, nil
	}
	head, err := audit.Head(filepath.Join(e.data, "keys"))
	if err != nil || head == nil {
		return all, err
	}
	return append(all, head), nil
}

func verifyDB(ctx context.Context, path, key string, known [][]byte) (audit.Report, error) {
	if _, err := os.Stat(path); err != nil {
		return audit.Report{}, missing(path, err)
	}
	return audit.VerifyDB(ctx, path, key, known...)
}

func missing(path string, err error) error {
	if errors.Is(err, os.ErrPermission) {
		return fault.WithNext(fault.Kinded("cli.audit", fault.Denied, err, "%s may not be read by this account.", path),
			"Run the command as root or as the account that runs the server.")
	}
	return fault.WithNext(fault.Kinded("cli.audit", fault.NotFound, err, "Cannot read %s: %s.", path, reason(err)),
		"Name the file with --db or --export, or the data folder with --data.")
}

// readKey takes a key as text or file; without one, the data folder's public key.
func readKey(e *env, key string) string {
	if key == "" {
		key = filepath.Join(e.data, "keys", "audit.pub")
		if _, err := os.Stat(key); err != nil {
			return ""
		}
	}
	if b, err := os.ReadFile(key); err == nil { // else it is the key itself
		return strings.TrimSpace(string(b))
	}
	return strings.TrimSpace(key)
}

func auditProof(e *env) *cobra.Command {
	return &cobra.Command{Use: "proof EVENT", Short: "Prove that the log holds an event (its number): leaf, hashes, signed checkpoint", Args: cobra.ExactArgs(1),
		Long: "The proof is checked with the data folder's key, where there is one. With --json it is a document for somebody else to check.",
		RunE: func(c *cobra.Command, args []string) error {
			seq, err := strconv.ParseInt(args[0], 10, 64)
			if err != nil || seq < 0 {
				return fault.WithNext(fault.New("cli.audit", fault.Invalid, "%q is not the number of an event.", args[0]), "See `tresor audit list`.")
			}
			var p audit.InclusionProof
			if err := e.client.do(c.Context(), http.MethodGet, "/audit/proof/"+strconv.FormatInt(seq, 10), nil, &p); err != nil {
				return err
			}
			ev, cp, signed, err := p.Verify(readKey(e, ""))
			if err != nil {
				return tampered(err)
			}
			if e.json {
				return printJSON(e.out, p)
			}
			facts(e.out, "event", strconv.FormatInt(ev.Seq, 10), "time", when(&ev.At), "who", ev.ActorName, "what", ev.Verb, "thing", ev.Subject,
				"in a log of", fmt.Sprintf("%d events, root %s", cp.Size, cp.RootText()), "signature", yes(signed, "good", "not checked: no key at hand"))
			return nil
		}}
}

func auditExport(e *env) *cobra.Command {
	return stream(e, "export", "Print all events and the newest checkpoint, for verifying elsewhere", "/audit/export")
}

func auditCheckpoint(e *env) *cobra.Command {
	c := stream(e, "checkpoint", "Print the newest signed checkpoint (C2SP tlog-checkpoint): keep it elsewhere", "/audit/checkpoint")
	c.Example = "  tresor audit checkpoint > /mnt/other-machine/tresor.note"
	plain := c.RunE
	c.RunE = func(c *cobra.Command, args []string) error {
		if !e.json {
			return plain(c, args)
		}
		return show(c.Context(), e, http.MethodGet, "/audit/checkpoint", nil, func(io.Writer, struct{}) {})
	}
	return c
}

func stream(e *env, use, short, path string) *cobra.Command {
	return &cobra.Command{Use: use, Short: short, Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			resp, err := e.client.send(c.Context(), http.MethodGet, path, "", nil)
			if err != nil {
				return err
			}
			defer resp.Body.Close()
			if _, err = io.Copy(e.out, resp.Body); err != nil {
				return broken(err)
			}
			return nil
		}}
}

// newMetrics prints numbers for a monitoring system that reads them from a file.
func newMetrics(e *env) *cobra.Command {
	c := stream(e, "metrics", "Print numbers for a monitoring system (Prometheus text format)", "/metrics")
	c.Example = "  tresor metrics > /var/lib/node_exporter/tresor.prom"
	return c
}

func auditKey(e *env) *cobra.Command {
	return &cobra.Command{Use: "key", Short: "Print the verifier key: give it to whoever verifies from outside", Args: cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			key := readKey(e, "")
			if key == "" {
				return fault.WithNext(fault.New("cli.audit", fault.NotFound, "There is no audit key in %s.", e.data), "Name the data folder with --data, or run `tresor init` first.")
			}
			if e.json {
				return printJSON(e.out, map[string]string{"key": key})
			}
			fmt.Fprintln(e.out, key)
			return nil
		}}
}
