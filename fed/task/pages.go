package task

import (
	"time"

	"tresor/fed/wire"
)

// What a hub may read at a node with a plain GET. Below PluginPath(name) lie the
// routes of the plugins that the node publishes to this hub.
const (
	PathPing      = "/ping"
	PathCatalogue = "/catalogue"
)

// MaxCatalogue is the largest catalogue, in bytes.
const MaxCatalogue = 2 << 20

// PluginPath is where a plugin's routes begin, without a slash at the end.
func PluginPath(plugin string) string { return "/ga4gh/" + plugin }

// Ping is the answer of PathPing.
type Ping struct {
	Name    string    `json:"name"`
	Version string    `json:"version,omitempty"` // of the program
	Time    time.Time `json:"time"`
	Plugins []string  `json:"plugins"` // that answer on this link
	Paused  bool      `json:"paused,omitempty"`
}

// Catalogue is what a node chooses to publish to one hub. It holds names and
// descriptions that people wrote, and nothing that was derived from a value.
type Catalogue struct {
	Node     string    `json:"node"`
	Projects []Project `json:"projects"`
	Datasets []Dataset `json:"datasets"`
	// Documents are what plugins publish; each lies at PublishedPath.
	Documents []Document `json:"documents"`
}

// Project is a project in which the hub's tasks may run.
type Project struct {
	Slug string `json:"slug"`
	Name string `json:"name"`
}

// Dataset is one dataset that the hub's tasks may name.
type Dataset struct {
	Slug        string   `json:"slug"`
	Name        string   `json:"name"`
	Description string   `json:"description,omitempty"`
	Version     int      `json:"version,omitempty"`
	Projects    []string `json:"projects"` // slugs
	Tables      []Table  `json:"tables,omitempty"`
}

// Table is one table of a dataset.
type Table struct {
	Name        string   `json:"name"`
	Description string   `json:"description,omitempty"`
	Columns     []Column `json:"columns,omitempty"`
}

// Column is one column of a table.
type Column struct {
	Name        string `json:"name"`
	Type        string `json:"type,omitempty"`
	Description string `json:"description,omitempty"`
}

// DecodePing reads the answer of PathPing.
func DecodePing(data []byte) (p Ping, err error) {
	return p, decode(data, wire.MaxMessage, &p)
}

// DecodeCatalogue reads the answer of PathCatalogue.
func DecodeCatalogue(data []byte) (c Catalogue, err error) {
	return c, decode(data, MaxCatalogue, &c)
}
