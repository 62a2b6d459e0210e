package crate

import (
	"bytes"
	"encoding/json"
	"net/url"
	"sort"
	"strconv"
	"strings"
	"time"

	"tresor/app/fault"
)

// object is one JSON-LD entity; encoding/json sorts its keys, so the same facts
// give the same bytes.
type object map[string]any

func ref(id string) object { return object{"@id": id} }

func refs(ids []string) []object {
	out := []object{}
	for _, id := range ids {
		out = append(out, ref(id))
	}
	return out
}

// writer collects the entities of a document by id.
type writer struct {
	f        Facts
	graph    []object
	seen     map[string]bool
	mentions []string
	parts    []string
}

func (w *writer) put(o object) string {
	id := o["@id"].(string)
	if w.seen[id] {
		return id
	}
	w.seen[id] = true
	for k, v := range o {
		if v == "" || v == nil {
			delete(o, k)
		}
	}
	w.graph = append(w.graph, o)
	return id
}

// Describe returns the metadata document of f, indented, ending in a newline.
// It is Invalid to leave out a fact that the profile requires; Check finds
// nothing wrong with what Describe returns.
func Describe(f Facts) ([]byte, error) {
	if err := f.check(); err != nil {
		return nil, err
	}
	w := &writer{f: f, seen: map[string]bool{}}
	main := w.workflow()
	run := w.run(main)
	w.phases(run, main)
	root := w.root(main)
	descriptor := object{
		"@id": MetadataName, "@type": "CreativeWork",
		"about": ref("./"), "conformsTo": ref(rocrate),
	}
	doc := object{"@context": contextIRI, "@graph": append([]object{descriptor, root}, w.graph...)}
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	if err := enc.Encode(doc); err != nil {
		return nil, fault.Wrap("crate.Describe", err)
	}
	c, err := Parse(b.Bytes())
	if err != nil {
		return nil, err
	}
	if problems := c.Check(); len(problems) > 0 {
		return nil, fault.New("crate.Describe", fault.Invalid, "The package cannot be described: %s", problems[0])
	}
	return b.Bytes(), nil
}

func (w *writer) root(main string) object {
	f := w.f
	return object{
		"@id": "./", "@type": "Dataset",
		"identifier": "urn:uuid:" + f.ID, "name": f.Name, "description": f.Description,
		"license":       ref(w.put(object{"@id": f.License, "@type": "CreativeWork", "name": "Terms of release"})),
		"datePublished": stamp(f.Published), "publisher": ref(w.institution()),
		"conformsTo": ref(profile), "mainEntity": ref(main),
		"sourceOrganization": ref(w.project()),
		"mentions":           refs(w.mentions), "hasPart": refs(w.parts),
	}
}

func (w *writer) institution() string {
	id := w.f.Institution.URL
	if id == "" {
		id = "#institution"
	}
	return w.put(object{"@id": id, "@type": "Organization", "name": w.f.Institution.Name})
}

func (w *writer) project() string {
	return w.put(object{
		"@id": "#project-" + token(w.f.Project.ID), "@type": "Project",
		"name": w.f.Project.Name, "identifier": w.f.Project.ID,
		"member": refs([]string{w.institution()}),
	})
}

func (w *writer) person(p Person) string {
	name := p.Name
	if name == "" {
		name = p.ID
	}
	o := object{
		"@id": "#person-" + token(p.ID), "@type": "Person", "name": name,
		"affiliation": ref(w.institution()),
	}
	if p.ID == w.f.Person.ID { // reviewers are not members of the project
		o["memberOf"] = refs([]string{w.project()})
	}
	return w.put(o)
}

func (w *writer) software() string {
	s := w.f.Software
	return w.put(object{
		"@id": "#software", "@type": "SoftwareApplication", "name": s.Name,
		"version": s.Version, "url": s.URL, "provider": ref(w.institution()),
	})
}

func (w *writer) workflow() string {
	wf := w.f.Workflow
	o := object{
		"@id": "workflow/", "@type": "Dataset", "name": wf.Name, "description": wf.Description,
		"conformsTo": ref(workflow), "hasPart": refs(w.files(wf.Files)),
	}
	if wf.Digest != "" {
		o["softwareRequirements"] = ref(w.put(object{
			"@id": "#image", "@type": "SoftwareApplication", "name": wf.Image, "identifier": wf.Digest,
		}))
	}
	id := w.put(o)
	w.parts = append(w.parts, id)
	return id
}

// files describes payload files, sorted by path.
func (w *writer) files(list []Output) []string {
	sorted := append([]Output(nil), list...)
	sort.Slice(sorted, func(i, j int) bool { return sorted[i].Path < sorted[j].Path })
	var ids []string
	for _, o := range sorted {
		name := o.Name
		if name == "" {
			name = o.Path
		}
		ids = append(ids, w.put(object{
			"@id": (&url.URL{Path: o.Path}).String(), "@type": "File", "name": name,
			"encodingFormat": o.MediaType, "contentSize": strconv.FormatInt(o.Size, 10), "sha256": o.SHA256,
		}))
	}
	return ids
}

func (w *writer) run(main string) string {
	r := w.f.Run
	var inputs []string
	for _, in := range w.f.Inputs {
		inputs = append(inputs, w.put(object{
			"@id": "#input-" + token(in.ID), "@type": "PropertyValue", "name": in.Name, "value": in.Value,
		}))
	}
	outputs := w.files(w.f.Outputs)
	w.parts = append(w.parts, outputs...)
	return w.action(object{
		"@id": "#run-" + r.ID, "@type": "CreateAction", "name": long(r.Name, "Execution"),
		"actionStatus": string(r.Status), "startTime": stamp(r.Start), "endTime": stamp(r.End),
		"instrument": ref(main), "agent": ref(w.person(w.f.Person)),
		"object": refs(inputs), "result": refs(outputs),
	})
}

// token makes s fit for a fragment identifier.
func token(s string) string { return strings.ReplaceAll(url.PathEscape(s), "/", "%2F") }

func stamp(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.UTC().Format(time.RFC3339)
}

// long gives an action's name the ten characters that the validator asks for.
func long(name, kind string) string {
	if len([]rune(name)) < 10 {
		return strings.TrimSpace(kind + " of the work " + name)
	}
	return name
}
