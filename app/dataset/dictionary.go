package dataset

import (
	"bytes"
	"encoding/json"
	"regexp"
	"strings"
	"unicode"

	"tresor/app/fault"
)

// Dictionary describes the tables and columns of the files to ingest. Tables are
// matched by name or by file, columns by name or by header, without regard to
// case. What it does not name keeps what the files say.
type Dictionary struct {
	Tables []TableEntry `json:"tables"`
}

// TableEntry describes one table.
type TableEntry struct {
	Name        string        `json:"name"`
	File        string        `json:"file"`
	Label       string        `json:"label"`
	Description string        `json:"description"`
	Missing     []string      `json:"missing"` // texts that mean "no value", such as "NA"
	Columns     []ColumnEntry `json:"columns"`
}

// ColumnEntry describes one column.
type ColumnEntry struct {
	Name        string `json:"name"`
	Label       string `json:"label"`
	Description string `json:"description"`
	Unit        string `json:"unit"`
	Role        string `json:"role"`
	Type        Type   `json:"type"` // empty: found from the values
}

// RoleIdentifier marks a column whose values name somebody or something.
const RoleIdentifier = "identifier"

const maxDictionary = 8 << 20 // bytes of JSON

var roleForm = regexp.MustCompile(`^[a-z-]{0,20}$`)

// ParseDictionary reads a dictionary and refuses unknown fields, so that a
// mistyped one is not lost in silence. Empty input is an empty dictionary.
func ParseDictionary(b []byte) (Dictionary, error) {
	const op = "dataset.ParseDictionary"
	var d Dictionary
	if len(bytes.TrimSpace(b)) == 0 {
		return d, nil
	}
	if len(b) > maxDictionary {
		return d, fault.New(op, fault.Exhausted, "The dictionary is larger than 8 MiB. Shorten its descriptions.")
	}
	dec := json.NewDecoder(bytes.NewReader(b))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&d); err != nil {
		return d, fault.Kinded(op, fault.Invalid, err, `The dictionary cannot be read: %s. It is JSON of the form {"tables":[{"name":"…","columns":[{"name":"…","label":"…"}]}]}.`, err)
	}
	if dec.More() {
		return d, fault.New(op, fault.Invalid, "The dictionary holds more than one JSON value. Send one object.")
	}
	return d, d.check(op)
}

func (d Dictionary) check(op string) error {
	for _, t := range d.Tables {
		for _, c := range t.Columns {
			if err := c.check(op, t); err != nil {
				return err
			}
		}
		if len(t.Missing) > 20 {
			return fault.New(op, fault.Invalid, "The dictionary gives table %q more than 20 texts for missing values.", t.title())
		}
		if unprintable(t.Label + t.Description) {
			return fault.New(op, fault.Invalid, "The dictionary describes table %q with control characters. Remove them.", t.title())
		}
	}
	return nil
}

func (c ColumnEntry) check(op string, t TableEntry) error {
	switch {
	case c.Name == "":
		return fault.New(op, fault.Invalid, "The dictionary of table %q has a column without a name.", t.title())
	case c.Type != "" && c.Type != Text && kindOf(c.Type) == 0:
		return fault.New(op, fault.Invalid, "The dictionary gives column %q the type %q. Types are integer, real, boolean, date and text.", c.Name, c.Type)
	case !roleForm.MatchString(c.Role):
		return fault.New(op, fault.Invalid, "The dictionary gives column %q the role %q. Roles are identifier, dimension, measure, weight and time.", c.Name, c.Role)
	case len(c.Label) > 500 || len(c.Description) > 8000 || len(c.Unit) > 100:
		return fault.New(op, fault.Invalid, "The dictionary describes column %q at too great length: label up to 500 bytes, description 8,000, unit 100.", c.Name)
	case unprintable(c.Label + c.Description + c.Unit):
		return fault.New(op, fault.Invalid, "The dictionary describes column %q with control characters. Remove them.", c.Name)
	}
	return nil
}

func unprintable(s string) bool {
	return strings.ContainsFunc(s, func(r rune) bool { return unicode.IsControl(r) && r != '\n' && r != '\t' })
}

func (t TableEntry) title() string {
	if t.Name != "" {
		return t.Name
	}
	return t.File
}

// entry finds what the dictionary says about a file.
func (d Dictionary) entry(file, table string) TableEntry {
	for _, t := range d.Tables {
		if strings.EqualFold(t.Name, table) || strings.EqualFold(t.File, file) {
			return t
		}
	}
	return TableEntry{}
}

// describe copies the descriptions to the columns; one that the file does not
// have is a flaw, because a description that is lost is worse than none.
func (t TableEntry) describe(cols []Column) *flaw {
	byName := map[string]*Column{}
	for i := range cols {
		byName[strings.ToLower(cols[i].Name)] = &cols[i]
		if cols[i].Header != "" {
			byName[strings.ToLower(cols[i].Header)] = &cols[i]
		}
	}
	for _, e := range t.Columns {
		c := byName[strings.ToLower(e.Name)]
		if c == nil {
			return flawed(1, "Correct the dictionary or the header.", "the dictionary describes a column %q that the file does not have", e.Name)
		}
		if e.Label != "" {
			c.Label = e.Label
		}
		c.Description, c.Unit, c.Role, c.Type = e.Description, e.Unit, e.Role, e.Type
	}
	return nil
}

// unused returns the title of a table that no file became, or "".
func (d Dictionary) unused(tables []Table) string {
	for _, e := range d.Tables {
		found := false
		for _, t := range tables {
			found = found || strings.EqualFold(e.Name, t.Name) || strings.EqualFold(e.File, t.File)
		}
		if !found {
			return e.title()
		}
	}
	return ""
}
