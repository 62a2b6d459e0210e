// Package dataset owns registered data and their immutable versions: the source
// files as they came, by hash, their typed profile, and the presentation, one
// read-only SQLite file that jobs query.
//
// A version is complete or it does not exist. Its files are hashed, parsed and
// profiled while they are written to a staging folder; the folder is flushed,
// renamed to its final place, and only then do the row and the audit event
// appear, in one transaction. A crash leaves at most a folder that no row names,
// and Open sweeps it. Nothing in a version changes afterwards, except that the
// presentation, which can be built again from the files at any time, becomes
// ready. Messages name files, lines and columns, never a value of the data.
package dataset

import (
	"io"
	"time"
)

// State says whether a dataset may still be used.
type State string

// The states of a dataset.
const (
	Active  State = "active"
	Retired State = "retired"
)

// Presentation says whether a version can be queried.
type Presentation string

// The states of a presentation.
const (
	Building Presentation = "building"
	Ready    Presentation = "ready"
	Failed   Presentation = "failed"
)

// Dataset is registered data with a controller.
type Dataset struct {
	ID          string    `json:"id"`
	Slug        string    `json:"slug"`
	Name        string    `json:"name"`
	Description string    `json:"description"`
	Controller  string    `json:"controller"` // who answers for the data
	Licence     string    `json:"licence"`
	Source      string    `json:"source"`
	State       State     `json:"state"`
	CreatedAt   time.Time `json:"created_at"`
	CreatedBy   string    `json:"created_by"`
	Latest      int       `json:"latest"`   // highest version; 0: nothing ingested yet
	Projects    []string  `json:"projects"` // ids of the projects it is granted to
	Versions    []Version `json:"versions"` // newest first
}

// Version is one immutable set of files.
type Version struct {
	DatasetID    string       `json:"dataset_id"`
	N            int          `json:"n"`
	SHA256       string       `json:"sha256"` // of the manifest, see Manifest
	Files        []File       `json:"files"`
	Tables       []Table      `json:"tables"`
	Rows         int64        `json:"rows"`
	Bytes        int64        `json:"bytes"`
	Presentation Presentation `json:"presentation"`
	CreatedAt    time.Time    `json:"created_at"`
	CreatedBy    string       `json:"created_by"` // name of the person
	Note         string       `json:"note"`
}

// File is one source file, byte for byte as it was sent.
type File struct {
	Name   string `json:"name"`
	SHA256 string `json:"sha256"`
	Size   int64  `json:"size"`
}

// Table is what a file became.
type Table struct {
	Name        string   `json:"name"`
	Label       string   `json:"label"`
	Description string   `json:"description,omitempty"`
	File        string   `json:"file"`
	Delimiter   string   `json:"delimiter"`
	Missing     []string `json:"missing,omitempty"` // texts that mean "no value", besides an empty field
	Rows        int64    `json:"rows"`
	Columns     []Column `json:"columns"`
}

// Type is what a column's values are. Numbers are SQLite INTEGER and REAL, a
// boolean is 0 or 1, a date is a text of the form 2026-12-31.
type Type string

// The types, in the order in which they are tried.
const (
	Integer Type = "integer"
	Real    Type = "real"
	Boolean Type = "boolean"
	Date    Type = "date"
	Text    Type = "text"
)

// Column is one column with its description and profile. The profile (Nulls,
// Distinct, Min, Max) derives from values: only who may see them gets it.
type Column struct {
	Name         string `json:"name"`             // as in SQL
	Header       string `json:"header,omitempty"` // as in the file, when it had to be changed
	Type         Type   `json:"type"`
	Label        string `json:"label"`
	Description  string `json:"description"`
	Unit         string `json:"unit"`
	Role         string `json:"role"` // identifier, dimension, measure, weight, time or empty
	Nulls        int64  `json:"nulls"`
	Distinct     int64  `json:"distinct"`                // without nulls; exact up to MaxDistinct
	DistinctMore bool   `json:"distinct_more,omitempty"` // there are more than Distinct
	Min          string `json:"min,omitempty"`           // numbers and dates; never of identifiers
	Max          string `json:"max,omitempty"`
}

// Source is one file to ingest. Open is called once.
type Source struct {
	Name string
	Open func() (io.ReadCloser, error)
	Size int64 // bytes, for the progress only; -1 when not known
}

// Ingestion is what comes with the files.
type Ingestion struct {
	Dictionary Dictionary
	Note       string
	Total      int64                   // bytes to come, for the progress; 0: not known
	Progress   func(done, total int64) // bytes; may be nil
}

// Mount is what a job gets of a version: the host's folder, to be bound
// read-only at Target. It holds presentation.sqlite and files/.
type Mount struct {
	Source    string
	Target    string
	DatasetID string
	Slug      string
	Version   int
	SHA256    string
}

// Subject is how the audit log names a dataset.
func Subject(id string) string { return "dataset:" + id }
