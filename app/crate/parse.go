package crate

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/url"
	"strings"

	"tresor/app/fault"
)

// Bounds on a document that somebody else wrote.
const (
	maxDocument = 32 << 20 // bytes
	maxEntities = 100_000
)

// Crate is a parsed metadata document: flattened JSON-LD, entities by id.
type Crate struct {
	contexts []string
	byID     map[string]entity
}

// entity is one node of the graph.
type entity map[string]any

// Parse reads a metadata document. Invalid when it is not flattened JSON-LD with
// one entity per id; whether it follows the profile is for Check to say.
func Parse(doc []byte) (*Crate, error) {
	const op = "crate.Parse"
	if len(doc) > maxDocument {
		return nil, fault.New(op, fault.Exhausted, "%s is larger than %d bytes.", MetadataName, maxDocument)
	}
	var raw struct {
		Context any              `json:"@context"`
		Graph   []map[string]any `json:"@graph"`
	}
	dec := json.NewDecoder(bytes.NewReader(doc))
	dec.UseNumber()
	err := dec.Decode(&raw)
	if err == nil {
		if _, more := dec.Token(); more != io.EOF {
			err = fmt.Errorf("text after the document")
		}
	}
	if err != nil {
		return nil, fault.Kinded(op, fault.Invalid, err, "%s is not a JSON-LD document with @context and @graph.", MetadataName)
	}
	if len(raw.Graph) > maxEntities {
		return nil, fault.New(op, fault.Exhausted, "%s describes more than %d things.", MetadataName, maxEntities)
	}
	c := &Crate{contexts: texts(raw.Context), byID: map[string]entity{}}
	for i, e := range raw.Graph {
		id, _ := e["@id"].(string)
		if id == "" || len(texts(e["@type"])) == 0 {
			return nil, fault.New(op, fault.Invalid, "Entity %d of %s has no @id or no @type.", i, MetadataName)
		}
		if _, twice := c.byID[id]; twice {
			return nil, fault.New(op, fault.Invalid, "%s describes %q twice.", MetadataName, id)
		}
		c.byID[id] = e
	}
	return c, nil
}

// texts returns the strings of a value that is one string or a list.
func texts(v any) []string {
	switch v := v.(type) {
	case string:
		return []string{v}
	case []any:
		var out []string
		for _, x := range v {
			if s, ok := x.(string); ok {
				out = append(out, s)
			}
		}
		return out
	}
	return nil
}

// ids returns the targets of a property that is one reference or a list of them.
func (e entity) ids(property string) []string {
	list, ok := e[property].([]any)
	if !ok {
		list = []any{e[property]}
	}
	var out []string
	for _, x := range list {
		if o, ok := x.(map[string]any); ok {
			if id, ok := o["@id"].(string); ok {
				out = append(out, id)
			}
		}
	}
	return out
}

func (e entity) is(kind string) bool {
	for _, t := range texts(e["@type"]) {
		if t == kind {
			return true
		}
	}
	return false
}

func (e entity) text(property string) string {
	s, _ := e[property].(string)
	return s
}

// claim is what a document says of a payload file; empty means nothing.
type claim struct{ sha256, size string }

// files returns the payload files that the document describes, by path.
func (c *Crate) files() map[string]claim {
	out := map[string]claim{}
	for id, e := range c.byID {
		if !e.is("File") || strings.HasPrefix(id, "#") {
			continue
		}
		u, err := url.Parse(id)
		if err != nil || u.Scheme != "" || u.Host != "" || u.Path == "" {
			continue
		}
		size := e.text("contentSize")
		if n, ok := e["contentSize"].(json.Number); ok {
			size = n.String()
		}
		out[strings.TrimPrefix(u.Path, "./")] = claim{sha256: strings.ToLower(e.text("sha256")), size: size}
	}
	return out
}
