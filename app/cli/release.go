package cli

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"tresor/app/fault"
	"tresor/app/release"
)

type releaseView struct {
	ID      string    `json:"id"`
	Request string    `json:"request"`
	Project string    `json:"project_name"`
	Title   string    `json:"title"`
	SHA256  string    `json:"sha256"`
	Size    int64     `json:"size"`
	MadeAt  time.Time `json:"made_at"`
	MadeBy  struct {
		Handle string `json:"handle"`
	} `json:"made_by"`
	Opened int `json:"opened"`
	Files  []struct {
		Path   string `json:"path"`
		SHA256 string `json:"sha256"`
		Size   int64  `json:"size"`
	} `json:"files"`
}

func newRelease(e *env) *cobra.Command {
	return group("release", "Releases: approved files, opened outside", "",
		releaseList(e), releaseShow(e), releaseMake(e), releaseDownload(e), releaseVerify(e))
}

func releaseList(e *env) *cobra.Command {
	var project string
	var p paging
	c := &cobra.Command{Use: "list", Short: "List the releases, newest first", Args: cobra.NoArgs,
		Example: `  tresor release list --as rosa --project aurora`,
		RunE: func(c *cobra.Command, _ []string) error {
			return list(c.Context(), e, &p, "/releases", []string{"project", project}, "release|project|title|size|sha256|made|by",
				func(r releaseView) []string {
					return []string{r.ID, r.Project, r.Title, size(r.Size), r.SHA256, when(&r.MadeAt), r.MadeBy.Handle}
				})
		}}
	p.flags(c)
	c.Flags().StringVar(&project, "project", "", "only this project")
	flagCompletes(e, c, "project", someProjects)
	return c
}

func releaseShow(e *env) *cobra.Command {
	return completes(e, &cobra.Command{Use: "show RELEASE", Short: "Show a release with the hashes of its files", Args: cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			return show(c.Context(), e, http.MethodGet, "/releases/"+esc(args[0]), nil, printRelease)
		}}, someReleases)
}

func printRelease(w io.Writer, r releaseView) {
	facts(w, "release", r.ID, "title", r.Title, "project", r.Project, "request", r.Request, "sha256", r.SHA256, "size", size(r.Size),
		"made", when(&r.MadeAt), "by", r.MadeBy.Handle, "opened", strconv.Itoa(r.Opened)+" times")
	var rows [][]string
	for _, f := range r.Files {
		rows = append(rows, []string{f.Path, size(f.Size), f.SHA256})
	}
	table(w, "file|size|sha256", rows)
}

func releaseMake(e *env) *cobra.Command {
	return completes(e, &cobra.Command{Use: "make REQUEST", Short: "Make the release of an approved request", Args: cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			return show(c.Context(), e, http.MethodPost, "/airlock/"+esc(args[0])+"/release", map[string]any{}, printRelease)
		}}, someRequests)
}

func releaseDownload(e *env) *cobra.Command {
	var to string
	c := &cobra.Command{Use: "download RELEASE", Short: "Download a release and check its hash", Args: cobra.ExactArgs(1),
		Example: `  tresor release download RELEASE --as rosa --to visits.zip`,
		RunE: func(c *cobra.Command, args []string) error {
			var r releaseView
			if err := e.client.do(c.Context(), http.MethodGet, "/releases/"+esc(args[0]), nil, &r); err != nil {
				return err
			}
			path := to
			if path == "" {
				path = "release-" + r.ID + ".zip"
			}
			if err := download(c.Context(), e, e.client, r, path); err != nil {
				return err
			}
			if e.json {
				return printJSON(e.out, map[string]string{"path": path, "sha256": r.SHA256})
			}
			fmt.Fprintf(e.out, "released: %s\nsha256: %s\n", path, r.SHA256)
			return nil
		}}
	c.Flags().StringVar(&to, "to", "", "file to write (default release-<id>.zip)")
	return completes(e, c, someReleases)
}

// download writes the release beside its final name, compares the hash with the
// one the server recorded, and only then gives it the name.
func download(ctx context.Context, e *env, cl *client, r releaseView, path string) error {
	resp, err := cl.send(ctx, http.MethodGet, "/releases/"+esc(r.ID)+"/download", "", nil)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	tmp, err := os.CreateTemp(filepath.Dir(path), ".release-*")
	if err != nil {
		return fault.Kinded("cli.download", fault.Invalid, err, "Cannot write in %s: %s.", filepath.Dir(path), reason(err))
	}
	defer os.Remove(tmp.Name())
	h := sha256.New()
	_, err = io.Copy(io.MultiWriter(tmp, h, newBar(e, r.Size, "downloading")), resp.Body)
	if cerr := tmp.Close(); err == nil {
		err = cerr
	}
	if err != nil {
		return fault.WithNext(fault.Kinded("cli.download", fault.Unavailable, err, "The download broke off; nothing was kept."), "Run the command again.")
	}
	if got := hex.EncodeToString(h.Sum(nil)); got != r.SHA256 {
		return &exitError{code: ExitTampered, err: fmt.Errorf("the downloaded bytes have sha256 %s, the release has %s: nothing was kept", got, r.SHA256)}
	}
	if err := os.Rename(tmp.Name(), path); err != nil {
		return fault.Kinded("cli.download", fault.Invalid, err, "Cannot write %s: %s.", path, reason(err))
	}
	return nil
}

func releaseVerify(e *env) *cobra.Command {
	var key string
	c := &cobra.Command{Use: "verify ZIP", Short: "Verify a release outside, without the server: hashes, manifest, audit proof", Args: cobra.ExactArgs(1),
		Long: `Checks every file against the manifest, the manifest against what the reviewers
approved, and that approval against the signed audit log. It needs the zip and the
verifier key (from ` + "`tresor audit key`" + `), no server and no data folder. Without a key
only the signature is left unchecked, and the answer says so.`,
		Example: `  tresor release verify release.zip --key audit.pub`,
		RunE: func(_ *cobra.Command, args []string) error {
			report, err := verifyZip(args[0], readKey(e, key))
			if err != nil {
				return err
			}
			if e.json {
				return printJSON(e.out, report)
			}
			fmt.Fprintf(e.out, "verified: %s\n", args[0])
			facts(e.out, "release", report.Release, "title", report.Title, "approved", when(&report.Approved), "sha256", report.SHA256,
				"audit event", strconv.FormatInt(report.Seq, 10), "signature", yes(report.Signed, "good", "NOT CHECKED: give --key"))
			return nil
		}}
	c.Flags().StringVar(&key, "key", "", "verifier key, or a file that holds it (default: the one of the data folder, if there is one)")
	return c
}

// verifyZip reports a zip that cannot be read apart from one that is not sound.
func verifyZip(path, key string) (release.Report, error) {
	f, err := os.Open(path)
	if err != nil {
		return release.Report{}, unreadable(path, err)
	}
	defer f.Close()
	st, err := f.Stat()
	if err != nil {
		return release.Report{}, unreadable(path, err)
	}
	report, err := release.Verify(f, st.Size(), key)
	if err != nil {
		return report, &exitError{code: ExitTampered, err: fmt.Errorf("%s does not verify: %s", path, text(err)),
			next: "Do not use the files. Download the release again, and compare its sha256 with `tresor release show`."}
	}
	return report, nil
}
