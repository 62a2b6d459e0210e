package cli

import (
	"context"
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
	Licence     string        `json:"licence"`
	Source      string        `json:"source"`
	State       string        `json:"state"`
	Latest      int           `json:"latest"`
	Versions    []versionView `json:"versions"`
}

type versionView struct {
	N         int       `json:"n"`
	SHA256    string    `json:"sha256"`
	Rows      int64     `json:"rows"`
	Bytes     int64     `json:"bytes"`
	CreatedAt time.Time `json:"created_at"`
	CreatedBy string    `json:"created_by"`
	Note      string    `json:"note"`
	Files     []struct {
		Name   string `json:"name"`
		SHA256 string `json:"sha256"`
		Size   int64  `json:"size"`
	} `json:"files"`
	Tables []struct {
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
		datasetList(e), datasetShow(e), datasetVersions(e), datasetRegister(e), datasetIngest(e))
}

func datasetList(e *env) *cobra.Command {
	return &cobra.Command{Use: "list", Short: "List the datasets", Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			return show(c.Context(), e, http.MethodGet, "/datasets", nil, func(w io.Writer, p page[datasetView]) {
				var rows [][]string
				for _, d := range p.Items {
					latest := "none yet"
					if d.Latest > 0 {
						latest = strconv.Itoa(d.Latest)
					}
					rows = append(rows, []string{d.Slug, d.Name, d.Controller, latest})
				}
				table(w, "dataset|name|controller|latest version", rows)
			})
		}}
}

func datasetShow(e *env) *cobra.Command {
	var n int
	c := &cobra.Command{Use: "show DATASET", Short: "Show a dataset with its newest version, tables and dictionary", Args: cobra.ExactArgs(1),
		Example: "  tresor dataset show randhie\n  tresor dataset show randhie --version-number 1 --json",
		RunE: func(c *cobra.Command, args []string) error {
			path := "/datasets/" + esc(args[0])
			if n > 0 {
				return show(c.Context(), e, http.MethodGet, path+"/versions/"+strconv.Itoa(n), nil, printVersion)
			}
			return show(c.Context(), e, http.MethodGet, path, nil, printDataset)
		}}
	c.Flags().IntVar(&n, "version-number", 0, "only this version, with its files and their hashes")
	return completes(e, c, someDatasets)
}

func printDataset(w io.Writer, d datasetView) {
	facts(w, "dataset", d.Slug, "name", d.Name, "id", d.ID, "state", d.State, "controller", d.Controller, "licence", d.Licence, "source", d.Source, "description", d.Description)
	if len(d.Versions) == 0 {
		fmt.Fprintf(w, "next: tresor dataset ingest %s FILE.csv\n", d.Slug)
		return
	}
	printVersion(w, d.Versions[0])
	if older := len(d.Versions) - 1; older > 0 {
		fmt.Fprintf(w, "\n%d older: tresor dataset versions %s\n", older, d.Slug)
	}
}

func printVersion(w io.Writer, v versionView) {
	fmt.Fprintf(w, "\nversion %d  %d rows  %s  sha256 %s  %s\n", v.N, v.Rows, size(v.Bytes), v.SHA256, when(&v.CreatedAt))
	facts(w, "by", v.CreatedBy, "note", v.Note)
	for _, f := range v.Files {
		fmt.Fprintf(w, "  file %s  %s  sha256 %s\n", clean(f.Name), size(f.Size), f.SHA256)
	}
	for _, t := range v.Tables {
		fmt.Fprintf(w, "  table %s, %d rows\n", clean(t.Name), t.Rows)
		for _, col := range t.Columns {
			fmt.Fprintf(w, "    %-16s %-8s %s\n", clean(col.Name), col.Type, clean(firstOf(col.Label, col.Description)))
		}
	}
}

func datasetVersions(e *env) *cobra.Command {
	return completes(e, &cobra.Command{Use: "versions DATASET", Short: "List the versions of a dataset, newest first", Args: cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			var raw struct {
				Versions json.RawMessage `json:"versions"`
			}
			if err := e.client.do(c.Context(), http.MethodGet, "/datasets/"+esc(args[0]), nil, &raw); err != nil {
				return err
			}
			if e.json {
				return printJSON(e.out, map[string]any{"items": raw.Versions})
			}
			return printRaw(e, raw.Versions, func(w io.Writer, all []versionView) {
				var rows [][]string
				for _, v := range all {
					rows = append(rows, []string{strconv.Itoa(v.N), strconv.FormatInt(v.Rows, 10), size(v.Bytes), v.SHA256, v.CreatedBy, when(&v.CreatedAt), v.Note})
				}
				table(w, "version|rows|size|sha256|by|made|note", rows)
			})
		}}, someDatasets)
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
		Example: `  tresor dataset register --as stefan --slug visits --name "Visits 2019-2024" --controller "Clinic for Internal Medicine"`,
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
		Long:    "Each file becomes one typed table. The files are checked row by row; a version is complete or it does not exist.",
		Example: `  tresor dataset ingest visits visits.csv persons.csv --as stefan --dictionary dictionary.json --note "first delivery"`,
		RunE: func(c *cobra.Command, args []string) error {
			raw, err := ingest(c.Context(), e, args[0], args[1:], dictionary, note)
			if err != nil {
				return err
			}
			return printRaw(e, raw, func(w io.Writer, v versionView) {
				fmt.Fprintf(w, "version %d: %d rows, %s, sha256 %s\n", v.N, v.Rows, size(v.Bytes), v.SHA256)
			})
		}}
	c.Flags().StringVar(&dictionary, "dictionary", "", "JSON file that describes tables and columns")
	c.Flags().StringVar(&note, "note", "", "what is new in this version")
	c.ValidArgsFunction = func(_ *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
		if len(args) > 0 {
			return nil, cobra.ShellCompDirectiveDefault // files
		}
		return someDatasets(e), cobra.ShellCompDirectiveNoFileComp
	}
	return c
}

// ingest sends the files, then shows the server's own progress until it answers.
func ingest(ctx context.Context, e *env, dataset string, files []string, dictionary, note string) (json.RawMessage, error) {
	body, contentType, err := ingestBody(e, files, dictionary, note)
	if err != nil {
		return nil, err
	}
	defer body.Close()
	var d datasetView
	if e.watched() { // topics are named by ids
		if err := e.client.do(ctx, http.MethodGet, "/datasets/"+esc(dataset), nil, &d); err != nil {
			return nil, err
		}
	}
	sent, stop := e.sending(ctx, body, "dataset:"+d.ID, "building tables")
	defer stop()
	resp, err := e.client.send(ctx, http.MethodPost, "/datasets/"+esc(dataset)+"/versions", contentType, sent)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	raw, err := io.ReadAll(resp.Body)
	if err != nil {
		return nil, broken(err)
	}
	return raw, nil
}

// ingestBody streams the files as one multipart body with a progress bar; it
// holds none of them in memory.
func ingestBody(e *env, files []string, dictionary, note string) (io.ReadCloser, string, error) {
	var total int64
	for _, f := range files {
		st, err := os.Stat(f)
		if err != nil {
			return nil, "", unreadable(f, err)
		}
		if st.IsDir() {
			return nil, "", fault.WithNext(fault.New("cli.ingest", fault.Invalid, "%s is a folder.", f), "Name its files, as in %s/*.csv", f)
		}
		total += st.Size()
	}
	var dict []byte
	if dictionary != "" {
		b, err := os.ReadFile(dictionary)
		if err != nil {
			return nil, "", unreadable(dictionary, err)
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
