package crate

import (
	"archive/zip"
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"io"
	"strings"
	"testing"
	"time"
)

const (
	crateID = "0192f0c1-0000-7000-8000-000000000001"
	runID   = "0192f0c1-0000-7000-8000-000000000002"
)

var noon = time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC)

const csv = "site,visits\nA,120\nB,98\n"

func hash256(s string) string {
	h := sha256.Sum256([]byte(s))
	return hex.EncodeToString(h[:])
}

func goodFacts() Facts {
	return Facts{
		ID: crateID, Name: "Visits by plan", Description: "Mean visits by insurance plan.",
		License: "https://creativecommons.org/licenses/by/4.0/", Published: noon,
		Institution: Organization{URL: "https://tre.example", Name: "Example Institute"},
		Software:    Software{Name: "Tresor", Version: "0.1"},
		Project:     Project{ID: "0192-p", Name: "Health insurance"},
		Person:      Person{ID: "rosa", Name: "Rosa Lindqvist"},
		Workflow: Workflow{Name: "SQL queries", Description: "One SELECT per file", Image: "tresor/sql", Digest: "sha256:ab",
			Files: []Output{{Path: "workflow/queries.json", SHA256: hash256("{}"), Size: 2, MediaType: "application/json"}}},
		Run:        Run{ID: runID, Name: "visits", Status: Completed, Start: noon.Add(-time.Hour), End: noon.Add(-30 * time.Minute)},
		Inputs:     []Input{{ID: "randhie@1", Name: "RAND HIE, version 1", Value: "sha256:cd"}},
		Outputs:    []Output{{Path: "outputs/visits by plan.csv", Name: "visits", SHA256: hash256(csv), Size: int64(len(csv)), MediaType: "text/csv"}},
		SignOff:    &Action{ID: crateID, Name: "Approval of the image", Status: Completed, End: noon.Add(-2 * time.Hour), Agents: []Person{{ID: "stefan"}}},
		Disclosure: &Action{ID: crateID, Name: "Output check by two people", Status: Completed, End: noon, Agents: []Person{{ID: "carl"}, {ID: "cemile"}}, Policy: "Threshold 10"},
	}
}

func file(path, text string) File {
	return File{Path: path, Size: int64(len(text)), Open: func() (io.ReadCloser, error) {
		return io.NopCloser(strings.NewReader(text)), nil
	}}
}

func goodBag(t testing.TB) Bag {
	t.Helper()
	doc, err := Describe(goodFacts())
	if err != nil {
		t.Fatal(err)
	}
	return Bag{
		Folder: "release-1", ExternalID: "urn:uuid:" + crateID,
		Info:  map[string]string{"Source-Organization": "Example Institute"},
		Files: []File{file("outputs/visits by plan.csv", csv), file(MetadataName, string(doc)), file("workflow/queries.json", "{}")},
	}
}

func write(t testing.TB, b Bag) []byte {
	t.Helper()
	var buf bytes.Buffer
	if err := Write(&buf, b); err != nil {
		t.Fatal(err)
	}
	return buf.Bytes()
}

// zipEntry is one entry of a hand-made archive.
type zipEntry struct {
	name, text string
	edit       func(*zip.FileHeader)
}

func makeZip(t testing.TB, entries []zipEntry) []byte {
	t.Helper()
	var buf bytes.Buffer
	z := zip.NewWriter(&buf)
	for _, e := range entries {
		h := &zip.FileHeader{Name: e.name, Method: zip.Deflate}
		if e.edit != nil {
			e.edit(h)
		}
		w, err := z.CreateHeader(h)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := io.WriteString(w, e.text); err != nil {
			t.Fatal(err)
		}
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	return buf.Bytes()
}

// unzip returns the entries of a good bag, for a test to damage and pack again.
func unzip(t testing.TB, b []byte) []zipEntry {
	t.Helper()
	z, err := zip.NewReader(bytes.NewReader(b), int64(len(b)))
	if err != nil {
		t.Fatal(err)
	}
	var out []zipEntry
	for _, f := range z.File {
		r, err := f.Open()
		if err != nil {
			t.Fatal(err)
		}
		text, err := io.ReadAll(r)
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, zipEntry{name: f.Name, text: string(text)})
	}
	return out
}
