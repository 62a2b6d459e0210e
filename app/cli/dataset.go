package cli

import (
	"encoding/json"
	"fmt"
	"io"
	"mime/multipart"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"tresor/app/fault"
)

type datasetView struct {
	ID          string        `json:"id"`
	Slug        string        `json:"slug"`
	Name        string        `json:"name"`
	Description string        `json:"description"`
	Controller  string        `json:"controller"`
	Latest      int           `json:"latest"`
	Versions    []versionView `json:"versions"`
}

type versionView struct {
	N         int       `json:"n"`
	SHA256    string    `json:"sha256"`
	Rows      int64     `json:"rows"`
	Bytes     int64     `json:"bytes"`
	CreatedAt time.Time `json:"created_at"`
	Tables    []struct {
		Name    string `json:"name"`
		Rows    int64  `json:"rows"`
		Columns []struct {
			Name        string `json:"name"`
			Type        string `json:"type"`
			Label       string `json:"label"`
			Description string `json:"description"`
		} `json:"columns"`
	} `json:"tables"`
}

func newDataset(e *env) *cobra.Command {
	return group("dataset", "Datasets: register, ingest, look up", "",
		datasetList(e), datasetShow(e), datasetRegister(e), datasetIngest(e))
}

func datasetList(e *env) *cobra.Command {
	return &cobra.Command{Use: "list", Short: "List the datasets", Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			return show(c.Context(), e, http.MethodGet, "/datasets", nil, func(w io.Writer, p page[datasetView]) {
				var rows [][]string
				for _, d := range p.Items {
					rows = append(rows, []string{d.Slug, d.Name, d.Controller, strconv.Itoa(d.Latest)})
				}
				table(w, "dataset|name|controller|latest version", rows)
			})
		}}
}

func datasetShow(e *env) *cobra.Command {
	return &cobra.Command{Use: "show DATASET", Short: "Show a dataset with its versions, tables and dictionary", Args: cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			return show(c.Context(), e, http.MethodGet, "/datasets/"+esc(args[0]), nil, printDataset)
		}}
}

func printDataset(w io.Writer, d datasetView) {
	facts(w, "dataset", d.Slug, "name", d.Name, "id", d.ID, "controller", d.Controller, "description", d.Description)
	for _, v := range d.Versions {
		fmt.Fprintf(w, "\nversion %d  %d rows  %s  sha256 %s  %s\n", v.N, v.Rows, size(v.Bytes), v.SHA256, when(&v.CreatedAt))
		for _, t := range v.Tables {
			fmt.Fprintf(w, "  table %s, %d rows\n", t.Name, t.Rows)
			for _, col := range t.Columns {
				fmt.Fprintf(w, "    %-16s %-8s %s\n", col.Name, col.Type, firstOf(col.Label, col.Description))
			}
		}
	}
}

func firstOf(s ...string) string {
	for _, x := range s {
		if x != "" {
			return x
		}
	}
	return ""
}

func datasetRegister(e *env) *cobra.Command {
	var slug, name, desc, controller, licence, source string
	c := &cobra.Command{Use: "register", Short: "Register a dataset (its files come with ingest)", Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			body := map[string]string{"slug": slug, "name": name, "description": desc, "controller": controller, "licence": licence, "source": source}
			return show(c.Context(), e, http.MethodPost, "/datasets", body, printDataset)
		}}
	f := c.Flags()
	f.StringVar(&slug, "slug", "", "short name, lower case; SQL uses it as the schema name")
	f.StringVar(&name, "name", "", "name for people")
	f.StringVar(&desc, "description", "", "what it holds")
	f.StringVar(&controller, "controller", "", "data controller: who answers for the data")
	f.StringVar(&licence, "licence", "", "licence or agreement")
	f.StringVar(&source, "source", "", "where the data come from")
	required(c, "slug", "name", "controller")
	return c
}

func datasetIngest(e *env) *cobra.Command {
	var dictionary, note string
	c := &cobra.Command{Use: "ingest DATASET FILE…", Short: "Add an immutable version made of CSV or TSV files", Args: cobra.MinimumNArgs(2),
		Long: "Each file becomes one typed table. The files are checked row by row; a version is complete or it does not exist.",
		RunE: func(c *cobra.Command, args []string) error {
			body, contentType, err := ingestBody(e, args[1:], dictionary, note)
			if err != nil {
				return err
			}
			defer body.Close()
			resp, err := e.client.send(c.Context(), http.MethodPost, "/datasets/"+esc(args[0])+"/versions", contentType, body)
			if err != nil {
				return err
			}
			defer resp.Body.Close()
			raw, err := io.ReadAll(resp.Body)
			if err != nil {
				return fault.Wrap("cli.ingest", err)
			}
			return printRaw(e, json.RawMessage(raw), func(w io.Writer, v versionView) {
				fmt.Fprintf(w, "version %d: %d rows, %s, sha256 %s\n", v.N, v.Rows, size(v.Bytes), v.SHA256)
			})
		}}
	c.Flags().StringVar(&dictionary, "dictionary", "", "JSON file that describes tables and columns")
	c.Flags().StringVar(&note, "note", "", "what is new in this version")
	return c
}

// ingestBody streams the files as one multipart body with a progress bar; it
// holds none of them in memory.
func ingestBody(e *env, files []string, dictionary, note string) (io.ReadCloser, string, error) {
	var total int64
	for _, f := range files {
		st, err := os.Stat(f)
		if err != nil {
			return nil, "", fault.Kinded("cli.ingest", fault.Invalid, err, "Cannot read %s: %v.", f, err)
		}
		total += st.Size()
	}
	var dict []byte
	if dictionary != "" {
		b, err := os.ReadFile(dictionary)
		if err != nil {
			return nil, "", fault.Kinded("cli.ingest", fault.Invalid, err, "Cannot read the dictionary %s: %v.", dictionary, err)
		}
		dict = b
	}
	bar := newBar(e, total, "sending")
	pr, pw := io.Pipe()
	mw := multipart.NewWriter(pw)
	go func() {
		err := writeIngest(mw, files, dict, note, bar)
		if err == nil {
			err = mw.Close()
		}
		pw.CloseWithError(err)
	}()
	return pr, mw.FormDataContentType(), nil
}

func writeIngest(mw *multipart.Writer, files []string, dict []byte, note string, bar io.Writer) error {
	if dict != nil {
		if err := mw.WriteField("dictionary", string(dict)); err != nil {
			return err
		}
	}
	if note != "" {
		if err := mw.WriteField("note", note); err != nil {
			return err
		}
	}
	for _, name := range files {
		if err := writePart(mw, name, bar); err != nil {
			return err
		}
	}
	return nil
}

func writePart(mw *multipart.Writer, name string, bar io.Writer) error {
	f, err := os.Open(name)
	if err != nil {
		return err
	}
	defer f.Close()
	w, err := mw.CreateFormFile("file", filepath.Base(name))
	if err != nil {
		return err
	}
	_, err = io.Copy(io.MultiWriter(w, bar), f)
	return err
}
