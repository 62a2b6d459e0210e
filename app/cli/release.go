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
	"time"

	"github.com/spf13/cobra"

	"tresor/app/fault"
	"tresor/app/release"
)

type releaseView struct {
	ID      string    `json:"id"`
	Request string    `json:"request"`
	Title   string    `json:"title"`
	SHA256  string    `json:"sha256"`
	Size    int64     `json:"size"`
	MadeAt  time.Time `json:"made_at"`
	Opened  int       `json:"opened"`
	Files   []struct {
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
	return &cobra.Command{Use: "list", Short: "List the releases", Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			return show(c.Context(), e, http.MethodGet, "/releases", nil, func(w io.Writer, p page[releaseView]) {
				var rows [][]string
				for _, r := range p.Items {
					rows = append(rows, []string{r.ID, r.Title, size(r.Size), r.SHA256, when(&r.MadeAt)})
				}
				table(w, "release|title|size|sha256|made", rows)
			})
		}}
}

func releaseShow(e *env) *cobra.Command {
	return &cobra.Command{Use: "show RELEASE", Short: "Show a release with the hashes of its files", Args: cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			return show(c.Context(), e, http.MethodGet, "/releases/"+esc(args[0]), nil, printRelease)
		}}
}

func printRelease(w io.Writer, r releaseView) {
	facts(w, "release", r.ID, "title", r.Title, "sha256", r.SHA256, "size", size(r.Size), "made", when(&r.MadeAt))
	var rows [][]string
	for _, f := range r.Files {
		rows = append(rows, []string{f.Path, size(f.Size), f.SHA256})
	}
	table(w, "file|size|sha256", rows)
}

func releaseMake(e *env) *cobra.Command {
	return &cobra.Command{Use: "make REQUEST", Short: "Make the release of an approved request", Args: cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			return show(c.Context(), e, http.MethodPost, "/airlock/"+esc(args[0])+"/release", map[string]any{}, printRelease)
		}}
}

func releaseDownload(e *env) *cobra.Command {
	var to string
	c := &cobra.Command{Use: "download RELEASE", Short: "Download a release and check its hash", Args: cobra.ExactArgs(1),
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
	return c
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
		return fault.Kinded("cli.download", fault.Invalid, err, "Cannot write in %s: %v.", filepath.Dir(path), err)
	}
	defer os.Remove(tmp.Name())
	h := sha256.New()
	_, err = io.Copy(io.MultiWriter(tmp, h, newBar(e, r.Size, "downloading")), resp.Body)
	if cerr := tmp.Close(); err == nil {
		err = cerr
	}
	if err != nil {
		return fault.Kinded("cli.download", fault.Unavailable, err, "The download broke off. Nothing was kept; run the command again.")
	}
	if got := hex.EncodeToString(h.Sum(nil)); got != r.SHA256 {
		return &exitError{code: ExitTampered, err: fmt.Errorf("the downloaded bytes have sha256 %s, the release has %s: nothing was kept", got, r.SHA256)}
	}
	return os.Rename(tmp.Name(), path)
}

func releaseVerify(e *env) *cobra.Command {
	var key string
	c := &cobra.Command{Use: "verify ZIP", Short: "Verify a release outside, without the server: hashes, manifest, audit proof", Args: cobra.ExactArgs(1),
		Long: "With --key (from `tresor audit key`) the signature of the audit proof is checked too; without it only the hashes and the proof's arithmetic.",
		RunE: func(c *cobra.Command, args []string) error {
			f, err := os.Open(args[0])
			if err != nil {
				return fault.Kinded("cli.release", fault.Invalid, err, "Cannot read the release: %v.", err)
			}
			defer f.Close()
			st, err := f.Stat()
			if err != nil {
				return fault.Wrap("cli.release", err)
			}
			report, err := release.Verify(f, st.Size(), key)
			if err != nil {
				return &exitError{code: ExitTampered, err: fmt.Errorf("%s does not verify: %w", args[0], err)}
			}
			if e.json {
				return printJSON(e.out, report)
			}
			fmt.Fprintf(e.out, "verified: %s\n", args[0])
			return nil
		}}
	c.Flags().StringVar(&key, "key", "", "verifier key of the appliance's audit log")
	return c
}
