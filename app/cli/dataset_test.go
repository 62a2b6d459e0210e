package cli

import (
	"bytes"
	"io"
	"mime"
	"mime/multipart"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"tresor/app/fault"
)

func writeFile(t *testing.T, name, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// TestIngestBody: the server reads the parts as they come, so dictionary and
// note have to stand before the files.
func TestIngestBody(t *testing.T) {
	big := strings.Repeat("1,2\n", 100_000)
	files := []string{writeFile(t, "a.csv", big), writeFile(t, "b.csv", "x\n")}
	body, contentType, err := ingestBody(&env{err: io.Discard}, files, writeFile(t, "d.json", `{"tables":[]}`), "first")
	if err != nil {
		t.Fatal(err)
	}
	defer body.Close()
	_, params, err := mime.ParseMediaType(contentType)
	if err != nil {
		t.Fatal(err)
	}
	r := multipart.NewReader(body, params["boundary"])
	for _, want := range []struct{ name, file, text string }{
		{"dictionary", "", `{"tables":[]}`}, {"note", "", "first"}, {"file", "a.csv", big}, {"file", "b.csv", "x\n"},
	} {
		p, err := r.NextPart()
		if err != nil {
			t.Fatal(err)
		}
		b, err := io.ReadAll(p)
		if err != nil || p.FormName() != want.name || p.FileName() != want.file || string(b) != want.text {
			t.Errorf("part %s %s of %d bytes, %v; want %s %s", p.FormName(), p.FileName(), len(b), err, want.name, want.file)
		}
	}
	if _, err := r.NextPart(); err != io.EOF {
		t.Errorf("more parts: %v", err)
	}
}

func TestIngestBodyRefusals(t *testing.T) {
	csv := writeFile(t, "a.csv", "x\n")
	for _, c := range []struct {
		name, dictionary string
		files            []string
	}{
		{"no such file", "", []string{csv, "none.csv"}},
		{"a folder", "", []string{t.TempDir()}},
		{"no such dictionary", "none.json", []string{csv}},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, _, err := ingestBody(&env{err: io.Discard}, c.files, c.dictionary, "")
			if fault.KindOf(err) != fault.Invalid || fault.Next(err) == "" {
				t.Errorf("%v", err)
			}
		})
	}
}

// A reader who goes away early must end the writer too, or its file stays open.
func TestIngestBodyAbandoned(t *testing.T) {
	body, _, err := ingestBody(&env{err: io.Discard}, []string{writeFile(t, "a.csv", strings.Repeat("1\n", 1<<20))}, "", "")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.CopyN(&bytes.Buffer{}, body, 10); err != nil {
		t.Fatal(err)
	}
	if err := body.Close(); err != nil {
		t.Fatal(err)
	}
}
