package api

import (
	"flag"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"tresor/app/access"
	"tresor/app/fault"
)

var update = flag.Bool("update", false, "write the golden files anew")

// columns are everybody whom the matrix names, in the order of the golden file.
var columns = []string{"none", "enrolling", "operator", "steward", "checker", "auditor", "researcher", "lead", "outsider", "local"}

// thingOf is what a route of the fixture is about: everything belongs to the
// project aurora and was made by its researcher.
func thingOf(rt Route, w *world) (access.Thing, bool) {
	project := access.Thing{Project: w.aurora, Owner: w.people["researcher"].ID, Involved: []string{w.people["researcher"].ID}}
	switch {
	case strings.HasPrefix(rt.Path, "/hub/"):
		return project, strings.Contains(rt.Path, "{project}") || strings.Contains(rt.Path, "{task}")
	case strings.Contains(rt.Path, "{person}") && strings.Contains(rt.Path, "{project}"):
		return access.Thing{Project: w.aurora, Person: w.people["extra"].ID, Role: access.Researcher}, true
	case strings.Contains(rt.Path, "{person}"):
		return access.Thing{Person: w.people["extra"].ID}, true
	case rt.Path == "/federation/sources" && rt.Method == "GET":
		return access.Thing{Projects: []string{w.aurora}}, true // the site's, and read by whoever leads a project
	case rt.Path == "/federation/sources":
		return access.Thing{}, true // the list belongs to the site, not to a project
	case strings.Contains(rt.Path, "{principal}") && !strings.Contains(rt.Path, "{project}"):
		return access.Thing{Projects: []string{w.aurora}}, true
	case strings.Contains(rt.Path, "{project}"), strings.Contains(rt.Path, "{job}"), strings.Contains(rt.Path, "{request}"), strings.Contains(rt.Path, "{release}"):
		return project, true
	case strings.Contains(rt.Path, "{dataset}"):
		return access.Thing{Projects: []string{w.aurora}}, true
	}
	return access.Thing{}, false
}

// expected is what the declared access and the matrix of package access say
// about one column of one route.
func expected(rt Route, column string, w *world) string {
	switch {
	case rt.Access.Level == Public:
		return "in"
	case column == "none":
		return "401"
	case rt.Access.Level == Enrol:
		return "in"
	case column == "enrolling":
		return "enrol"
	case rt.Path == "/tokens/{token}/revoke":
		return map[string]string{"researcher": "in", "operator": "in", "local": "in"}[column] + map[bool]string{true: "", false: "404"}[column == "researcher" || column == "operator" || column == "local"]
	case rt.Access.Level == SignedIn:
		return "in"
	case rt.Access.Level != ByAction:
		return "403"
	}
	if rt.Access.Local && column != "local" {
		return "403"
	}
	actor := w.actor(column)
	if anyOf(actor, rt.Access.Actions) != nil {
		return "403"
	}
	thing, one := thingOf(rt, w)
	if !one {
		return "in"
	}
	answer := ""
	for _, action := range rt.Access.Actions {
		err := access.May(actor, action, thing)
		if err == nil {
			return "in"
		}
		if answer = "403"; fault.KindOf(err) == fault.NotFound {
			answer = "404"
		}
	}
	return answer
}

func TestEveryRouteDeclaresItsAccess(t *testing.T) {
	w := newWorld(t)
	known := map[access.Action]bool{}
	for _, a := range access.Actions() {
		known[a] = true
	}
	used := map[access.Action]bool{}
	for _, rt := range w.server.Routes() {
		a := rt.Access
		if a.Level == Nobody || len(a.Actions) == 0 {
			t.Errorf("%s %s declares no access: choose a level and an action", rt.Method, rt.Path)
			continue
		}
		for _, action := range a.Actions {
			used[action] = true
			if !known[action] {
				t.Errorf("%s %s names %q, which the matrix does not list", rt.Method, rt.Path, action)
			}
			if (a.Level == Public) != action.Public() {
				t.Errorf("%s %s: level and matrix disagree whether %q is public", rt.Method, rt.Path, action)
			}
			if (a.Level == Enrol) && !action.WhileEnrolling() {
				t.Errorf("%s %s is open while enrolling, and %q is not", rt.Method, rt.Path, action)
			}
		}
		if a.StepUp != a.Actions[0].NeedsStepUp() {
			t.Errorf("%s %s: step-up is %v, the matrix says %v", rt.Method, rt.Path, a.StepUp, a.Actions[0].NeedsStepUp())
		}
		if rt.Summary == "" || rt.serve == nil {
			t.Errorf("%s %s has no summary or no handler", rt.Method, rt.Path)
		}
		if changes(rt.Method) && (rt.body == Multipart || rt.body == Stream) && rt.Max <= 0 {
			t.Errorf("%s %s streams without a cap", rt.Method, rt.Path)
		}
	}
	// Actions without a route of their own, with the reason.
	elsewhere := map[access.Action]string{
		access.HealthRead:    "/healthz stands outside the API",
		access.DatasetValues: "decides what DatasetRead shows",
	}
	for _, rt := range (&Server{Deps: Deps{Hub: &fakeHub{}}}).table() {
		for _, action := range rt.Access.Actions {
			used[action] = true
		}
	}
	for action := range known {
		if !used[action] && elsewhere[action] == "" {
			t.Errorf("no route uses %q", action)
		}
	}
}

func TestTheZeroAccessDenies(t *testing.T) {
	s := &Server{}
	for _, who := range []caller{{}, {session: "x", actor: access.Actor{ID: "p", Roles: access.SiteRoles}}, {local: true, session: "local:0", actor: access.System}} {
		if err := s.checkAccess(&call{s: s, route: &Route{}, who: who}); err == nil {
			t.Errorf("%+v got through a route that declares nothing", who)
		}
	}
}

func TestRoutesGolden(t *testing.T) {
	w := newWorld(t)
	golden(t, "routes.golden", w.matrix(columns))
}

// matrix prints who comes through which route of the server.
func (w *world) matrix(columns []string) string {
	var out strings.Builder
	fmt.Fprintf(&out, "%-62s %-8s", "route", "step-up")
	for _, column := range columns {
		fmt.Fprintf(&out, " %-10s", column)
	}
	out.WriteString("\n")
	for _, rt := range w.server.Routes() {
		stepUp := "-"
		if rt.Access.StepUp {
			stepUp = "yes"
		}
		fmt.Fprintf(&out, "%-62s %-8s", rt.Method+" "+rt.Path, stepUp)
		for _, column := range columns {
			fmt.Fprintf(&out, " %-10s", expected(rt, column, w))
		}
		out.WriteString("\n")
	}
	return trimLines(out.String())
}

func trimLines(s string) string {
	lines := strings.Split(s, "\n")
	for i := range lines {
		lines[i] = strings.TrimRight(lines[i], " ")
	}
	return strings.Join(lines, "\n")
}

func golden(t *testing.T, name, got string) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		if err := os.MkdirAll("testdata", 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("%s is not what the code says; look at the difference, then run with -update:\n%s", name, got)
	}
}

// TestTheMuxKeepsTheMatrix drives the real server as everybody, on every route,
// and compares what comes back with what the golden file promises.
func TestTheMuxKeepsTheMatrix(t *testing.T) {
	w := newWorld(t)
	w.fill(t)
	w.asked = w.ask(t, wish("tresor/sql"))
	doc := w.description(t)
	for _, rt := range w.server.Routes() {
		for _, column := range columns {
			t.Run(rt.Method+rt.Path+"/"+column, func(t *testing.T) {
				w.restore(t, rt)
				want := expected(rt, column, w)
				resp := w.attempt(t, rt, column)
				conform(t, doc, rt, resp)
				if got := outcome(rt, resp); got != want {
					t.Errorf("got %s (%d %s), want %s", got, resp.status, resp.body, want)
				}
			})
		}
	}
}

// outcome is the answer as the golden file writes it. A 404 counts as one only
// when the fixture holds the thing, which it does.
func outcome(rt Route, r reply) string {
	wrongProof := r.status == http.StatusUnauthorized && rt.Access.Level == Public ||
		r.status == http.StatusForbidden && provers[rt.Path] && !strings.Contains(r.body, codeEnrol)
	switch {
	case wrongProof:
		return "in"
	case r.status == http.StatusUnauthorized:
		return "401"
	case r.status == http.StatusForbidden && strings.Contains(r.body, codeEnrol):
		return "enrol"
	case r.status == http.StatusForbidden:
		return "403"
	case r.status == http.StatusNotFound:
		return "404"
	case r.status >= 500:
		return fmt.Sprintf("broken: %d", r.status)
	}
	return "in"
}
