package crate

import (
	"flag"
	"os"
	"strings"
	"testing"
	"time"

	"tresor/app/fault"
)

var update = flag.Bool("update", false, "write the golden files anew")

func TestDescribeGolden(t *testing.T) {
	got, err := Describe(goodFacts())
	if err != nil {
		t.Fatal(err)
	}
	const golden = "testdata/ro-crate-metadata.json"
	if *update {
		if err := os.WriteFile(golden, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if string(got) != string(want) {
		t.Errorf("the document differs from %s (run with -update and read the difference)", golden)
	}
}

func TestDescribeRefuses(t *testing.T) {
	for _, c := range []struct {
		name string
		edit func(*Facts)
		want string
	}{
		{"no id", func(f *Facts) { f.ID = "" }, "UUID"},
		{"an id that is no UUID", func(f *Facts) { f.ID = "1" }, "UUID"},
		{"no name", func(f *Facts) { f.Name = "" }, "name"},
		{"no description", func(f *Facts) { f.Description = "" }, "description"},
		{"no licence", func(f *Facts) { f.License = "" }, "licence"},
		{"no publication time", func(f *Facts) { f.Published = time.Time{} }, "publication"},
		{"no institution", func(f *Facts) { f.Institution.Name = "" }, "institution"},
		{"no software", func(f *Facts) { f.Software.Name = "" }, "software"},
		{"no project", func(f *Facts) { f.Project.ID = "" }, "project"},
		{"no person", func(f *Facts) { f.Person.ID = "" }, "person"},
		{"no workflow", func(f *Facts) { f.Workflow.Name = "" }, "workflow"},
		{"no run", func(f *Facts) { f.Run.ID = "" }, "run"},
		{"unknown state of the run", func(f *Facts) { f.Run.Status = "done" }, "actionStatus"},
		{"unknown state of a check", func(f *Facts) { f.Disclosure.Status = "ok" }, "actionStatus"},
	} {
		t.Run(c.name, func(t *testing.T) {
			f := goodFacts()
			c.edit(&f)
			_, err := Describe(f)
			if fault.KindOf(err) != fault.Invalid || !strings.Contains(fault.Message(err), c.want) {
				t.Errorf("error %v, want Invalid about %q", err, c.want)
			}
		})
	}
}

func TestDescribeCopesWithLittle(t *testing.T) {
	f := goodFacts()
	f.Inputs, f.Outputs, f.SignOff, f.Disclosure, f.Workflow.Files = nil, nil, nil, nil, nil
	f.Institution.URL, f.Run.Name, f.Run.Start = "", "", time.Time{}
	if _, err := Describe(f); err != nil {
		t.Error(err)
	}
}

// Each edit breaks one required rule; Check must name it.
func TestCheckNamesEachBrokenRule(t *testing.T) {
	good, err := Describe(goodFacts())
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ name, old, new, want string }{
		{"old context", contextIRI, "https://w3id.org/ro/crate/1.1/context", "@context"},
		{"old version", `"` + rocrate + `"`, `"https://w3id.org/ro/crate/1.1"`, "descriptor"},
		{"root renamed", `"@id": "./",` + "\n      \"@type\"", `"@id": "./x",` + "\n      \"@type\"", "root"},
		{"root without name", `"name": "Visits by plan"`, `"nome": "x"`, "no name"},
		{"root without description", `"description": "Mean`, `"desc": "Mean`, "no description"},
		{"root without date", `"datePublished"`, `"date"`, "datePublished"},
		{"root without licence", `"license"`, `"licence"`, "license"},
		{"no source organisation", `"sourceOrganization"`, `"source"`, "sourceOrganization"},
		{"project of another type", `"@type": "Project"`, `"@type": "Thing"`, "not a Project"},
		{"no main entity", `"mainEntity"`, `"main"`, "mainEntity"},
		{"workflow of another form", workflow, "https://example.org/x", "Workflow RO-Crate"},
		{"no execution", `"CreateAction"`, `"Action"`, "no CreateAction"},
		{"execution without instrument", `"instrument": {` + "\n        \"@id\": \"workflow/\"", `"instrument": {` + "\n        \"@id\": \"other/\"", "instrument"},
		{"input not described", `"@id": "#input-randhie@1",` + "\n      \"@type\"", `"@id": "#gone",` + "\n      \"@type\"", "input"},
		{"agent is no person", `"@type": "Person"`, `"@type": "Robot"`, "not a Person"},
		{"affiliation of another type", `"@type": "Organization"`, `"@type": "Club"`, "not an Organization"},
		{"time without zone", `T11:00:00Z`, `T11:00:00`, "zone"},
		{"unknown action status", string(Completed), "http://schema.org/Done", "actionStatus"},
		{"short name of the disclosure check", "Output check by two people", "check", "ten characters"},
		{"action not mentioned", `"@id": "#SignOff-` + crateID + `",` + "\n      \"@type\"", `"@id": "#lost",` + "\n      \"@type\"", "does not mention"},
	} {
		t.Run(c.name, func(t *testing.T) {
			doc := strings.ReplaceAll(string(good), c.old, c.new)
			if doc == string(good) {
				t.Fatal("the edit changed nothing")
			}
			parsed, err := Parse([]byte(doc))
			if err != nil {
				t.Fatal(err)
			}
			if all := strings.Join(parsed.Check(), "\n"); !strings.Contains(all, c.want) {
				t.Errorf("problems %q do not name %q", all, c.want)
			}
		})
	}
}

func TestParseRefuses(t *testing.T) {
	for _, c := range []struct{ name, doc string }{
		{"nothing", ""},
		{"not JSON", "{"},
		{"two documents", `{"@graph":[]}{}`},
		{"graph is no list", `{"@graph":{}}`},
		{"entity without id", `{"@graph":[{"@type":"X"}]}`},
		{"entity without type", `{"@graph":[{"@id":"a"}]}`},
		{"type of the official example, spelt wrong", `{"@graph":[{"@id":"a","type":"AssessAction"}]}`},
		{"the same id twice", `{"@graph":[{"@id":"a","@type":"X"},{"@id":"a","@type":"X"}]}`},
	} {
		t.Run(c.name, func(t *testing.T) {
			if _, err := Parse([]byte(c.doc)); fault.KindOf(err) != fault.Invalid {
				t.Errorf("error %v, want Invalid", err)
			}
		})
	}
}

func FuzzParse(f *testing.F) {
	good, err := Describe(goodFacts())
	if err != nil {
		f.Fatal(err)
	}
	f.Add(good)
	f.Add([]byte(`{"@context":["x"],"@graph":[{"@id":"./","@type":["Dataset"],"mentions":[{"@id":"./"}]}]}`))
	f.Fuzz(func(t *testing.T, doc []byte) {
		if c, err := Parse(doc); err == nil {
			c.Check()
			c.files()
		}
	})
}
