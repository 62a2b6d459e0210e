package crate

import (
	"fmt"
	"regexp"
	"sort"
	"strings"
	"time"
)

// The properties that rocrate-validator's five-safes-crate profile requires, as
// far as they can be judged from the document alone. Numbers in the comments are
// those of its list.

var (
	contextPattern = regexp.MustCompile(`^https://w3id\.org/ro/crate/1\.[2-9](-DRAFT)?/context$`)
	versionPattern = regexp.MustCompile(`^https://w3id\.org/ro/crate/1\.[2-9](-DRAFT)?$`)
)

// Check returns what the document lacks, as sentences for people, sorted; none
// means that it follows the required part of Five Safes RO-Crate 0.4.
func (c *Crate) Check() []string {
	k := &checker{c: c}
	root, ok := c.byID["./"]
	if !ok {
		return []string{`there is no root entity "./".`}
	}
	k.frame(root)
	project := k.project(root)
	main := k.main(root)
	k.executions(root, main, project)
	k.actions(root)
	k.projects()
	sort.Strings(k.problems)
	return k.problems
}

type checker struct {
	c        *Crate
	problems []string
}

func (k *checker) need(ok bool, format string, args ...any) bool {
	if !ok {
		k.problems = append(k.problems, fmt.Sprintf(format, args...))
	}
	return ok
}

// frame: 1, 2, 14.
func (k *checker) frame(root entity) {
	known := false
	for _, s := range k.c.contexts {
		known = known || contextPattern.MatchString(s)
	}
	k.need(known, "its @context is not RO-Crate 1.2 or later.")
	version := false
	for _, id := range k.c.byID[MetadataName].ids("conformsTo") {
		version = version || versionPattern.MatchString(id)
	}
	k.need(version, "its descriptor does not conform to RO-Crate 1.2 or later.")
	k.need(root.is("Dataset"), "the root is not a Dataset.")
	for _, p := range []string{"name", "description", "datePublished"} {
		k.need(root.text(p) != "", "the root has no %s.", p)
	}
	k.need(len(root.ids("license")) > 0 || root.text("license") != "", "the root has no license.")
}

// project: 3. It returns the ids of the source organisations.
func (k *checker) project(root entity) []string {
	ids := root.ids("sourceOrganization")
	k.need(len(ids) > 0, "the root has no sourceOrganization.")
	for _, id := range ids {
		k.need(k.c.byID[id].is("Project"), "the sourceOrganization %q is not a Project.", id)
	}
	return ids
}

// main: 4. It returns the id of the workflow.
func (k *checker) main(root entity) string {
	ids := root.ids("mainEntity")
	if !k.need(len(ids) == 1, "the root does not have exactly one mainEntity.") {
		return ""
	}
	e := k.c.byID[ids[0]]
	k.need(e.is("Dataset"), "the mainEntity is not a Dataset.")
	forms := e.ids("conformsTo")
	k.need(len(forms) == 1 && strings.HasPrefix(forms[0], "https://w3id.org/workflowhub/workflow-ro-crate"),
		"the mainEntity does not conform to Workflow RO-Crate.")
	return ids[0]
}

// executions: 5, 6, 7, 10.
func (k *checker) executions(root entity, main string, projects []string) {
	count := 0
	for _, id := range root.ids("mentions") {
		e := k.c.byID[id]
		if !e.is("CreateAction") {
			continue
		}
		count++
		k.need(main != "" && has(e.ids("instrument"), main), "the execution %q does not name the workflow as its instrument.", id)
		for _, o := range e.ids("object") {
			k.need(k.c.byID[o] != nil, "the execution %q has an input %q that is not described.", id, o)
		}
		k.need(len([]rune(e.text("name"))) >= 10, "the execution %q has no name of ten characters.", id)
		k.need(Status(e.text("actionStatus")).known(), "the execution %q has an unknown actionStatus.", id)
		k.agents(id, e, projects)
	}
	k.need(count > 0, "the root mentions no CreateAction.")
}

func (k *checker) agents(id string, e entity, projects []string) {
	agents := e.ids("agent")
	k.need(len(agents) > 0, "the execution %q has no agent.", id)
	for _, a := range agents {
		p := k.c.byID[a]
		k.need(p.is("Person"), "the agent %q is not a Person.", a)
		for _, o := range p.ids("affiliation") {
			k.need(k.c.byID[o].is("Organization"), "the affiliation %q is not an Organization.", o)
		}
		members := p.ids("memberOf")
		match := len(members) == 0
		for _, m := range members {
			k.need(k.c.byID[m].is("Project"), "the agent %q is a member of %q, which is not a Project.", a, m)
			match = match || has(projects, m)
		}
		k.need(match, "the agent %q is not a member of the crate's project.", a)
	}
}

// actions: 9, 11, 13, and names of disclosure checks (10).
func (k *checker) actions(root entity) {
	mentions := map[string]bool{}
	for _, id := range root.ids("mentions") {
		mentions[id] = true
		k.need(k.c.byID[id] != nil, "the root mentions %q, which is not described.", id)
	}
	for id, e := range k.c.byID {
		k.times(id, e)
		if !e.is("AssessAction") {
			continue
		}
		k.need(mentions[id], "the root does not mention the action %q.", id)
		k.need(e.text("name") != "", "the action %q has no name.", id)
		_, stated := e["actionStatus"]
		k.need(!stated || Status(e.text("actionStatus")).known(), "the action %q has an unknown actionStatus.", id)
		if has(e.ids("additionalType"), shp+"DisclosureCheck") {
			k.need(len([]rune(e.text("name"))) >= 10, "the disclosure check %q has no name of ten characters.", id)
		}
	}
}

func (k *checker) times(id string, e entity) {
	for _, p := range []string{"startTime", "endTime"} {
		if v, ok := e[p]; ok {
			s, _ := v.(string)
			_, err := time.Parse(time.RFC3339, s)
			k.need(err == nil, "the %s of %q is not a time with a zone.", p, id)
		}
	}
}

// projects: 8.
func (k *checker) projects() {
	for id, e := range k.c.byID {
		if !e.is("Project") {
			continue
		}
		for _, g := range e.ids("funding") {
			k.need(k.c.byID[g].is("Grant"), "the funding %q of %q is not a Grant.", g, id)
		}
		for _, m := range e.ids("member") {
			o := k.c.byID[m]
			k.need(o.is("Organization") || o.is("Person"), "the member %q of %q is neither an Organization nor a Person.", m, id)
		}
	}
}

func has(list []string, s string) bool {
	for _, x := range list {
		if x == s {
			return true
		}
	}
	return false
}
