package cli

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"time"

	"github.com/spf13/cobra"

	"tresor/app/fault"
)

type imageView struct {
	ID         string     `json:"id"`
	Digest     string     `json:"digest"`
	Ref        string     `json:"ref"`
	Source     string     `json:"source"`
	State      string     `json:"state"`
	Size       int64      `json:"size"`
	Arch       string     `json:"arch"`
	Setuid     int        `json:"setuid"`
	ImportedAt time.Time  `json:"imported_at"`
	ApprovedAt *time.Time `json:"approved_at"`
	ApprovedBy string     `json:"approved_by"`
	Reason     string     `json:"reason"`
}

func newImage(e *env) *cobra.Command {
	return group("image", "Container images: import, approve by digest, revoke", "",
		imageList(e), imageImport(e), imageDecide(e, "approve", "Allow jobs to run an image with exactly this digest"),
		imageDecide(e, "revoke", "Stop new jobs from using an image"))
}

func imageList(e *env) *cobra.Command {
	return &cobra.Command{Use: "list", Short: "List the images with size, digest and who approved them", Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			return show(c.Context(), e, http.MethodGet, "/images", nil, func(w io.Writer, p page[imageView]) {
				var rows [][]string
				for _, x := range p.Items {
					rows = append(rows, []string{x.Ref, x.Digest, size(x.Size), x.Arch, x.State, x.ApprovedBy, when(x.ApprovedAt)})
				}
				table(w, "image|digest|size|arch|state|approved by|approved", rows)
			})
		}}
}

func imageImport(e *env) *cobra.Command {
	var ref string
	c := &cobra.Command{Use: "import ARCHIVE", Short: "Import an OCI or docker archive (it runs only after approve)", Args: cobra.ExactArgs(1),
		Example: "  tresor image import jupyter.tar --ref tools/jupyter:2026-11",
		RunE: func(c *cobra.Command, args []string) error {
			f, err := os.Open(args[0])
			if err != nil {
				return unreadable(args[0], err)
			}
			defer f.Close()
			st, err := f.Stat()
			if err != nil {
				return fault.Wrap("cli.image", err)
			}
			sent, stop := e.sending(c.Context(), io.TeeReader(f, newBar(e, st.Size(), "sending")), "image", "unpacking")
			defer stop()
			resp, err := e.client.send(c.Context(), http.MethodPost, "/images"+query("ref", ref), "application/x-tar", sent)
			if err != nil {
				return err
			}
			defer resp.Body.Close()
			raw, err := io.ReadAll(resp.Body)
			if err != nil {
				return broken(err)
			}
			return printRaw(e, json.RawMessage(raw), func(w io.Writer, x imageView) {
				fmt.Fprintf(w, "imported %s, %s\ndigest: %s\nnext: tresor image approve %s --reason \"…\"\n", x.Ref, size(x.Size), x.Digest, x.Digest)
			})
		}}
	c.Flags().StringVar(&ref, "ref", "", "name for people (default: the name inside the archive)")
	return c
}

func imageDecide(e *env, verb, short string) *cobra.Command {
	var reason string
	c := &cobra.Command{Use: verb + " DIGEST", Short: short, Args: cobra.ExactArgs(1),
		Example: fmt.Sprintf("  tresor image %s sha256:4f0c… --reason \"ticket 4711\"", verb),
		RunE: func(c *cobra.Command, args []string) error {
			path := "/images/" + esc(args[0]) + "/" + verb
			stop := follow(c.Context(), e, "image", "preparing")
			defer stop()
			return show(c.Context(), e, http.MethodPost, path, map[string]string{"reason": reason}, func(w io.Writer, x imageView) {
				fmt.Fprintf(w, "%s %s: %s\n", x.Ref, x.Digest, x.State)
			})
		}}
	c.Flags().StringVar(&reason, "reason", "", "why (recorded in the audit log)")
	required(c, "reason")
	return completes(e, c, someImages)
}
