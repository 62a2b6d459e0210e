package access

import (
	"bytes"
	"flag"
	"fmt"
	"os"
	"testing"

	"tresor/app/fault"
)

var update = flag.Bool("update", false, "rewrite the golden files")

// subjects are the kinds of people that can ask about a thing of project "p"
// which somebody else owns, unless the name says otherwise.
var subjects = []struct {
	name  string
	actor Actor
	thing Thing
}{
	{"nobody", Actor{}, inP("else")},
	{"signed in", Actor{ID: "me"}, inP("else")},
	{"operator", Actor{ID: "me", Roles: []Role{Operator}}, inP("else")},
	{"steward", Actor{ID: "me", Roles: []Role{Steward}}, inP("else")},
	{"checker", Actor{ID: "me", Roles: []Role{Checker}}, inP("else")},
	{"auditor", Actor{ID: "me", Roles: []Role{Auditor}}, inP("else")},
	{"researcher", member(Researcher), inP("else")},
	{"lead", member(Lead), inP("else")},
	{"own work", member(Researcher), inP("me")},
	{"lead, own work", member(Lead), inP("me")},
	{"checker in project", member(Researcher, Checker), inP("else")},
	{"operator+steward", Actor{ID: "me", Roles: []Role{Operator, Steward}}, inP("else")},
	{"elsewhere", Actor{ID: "me", Projects: map[string]Role{"q": Lead}}, inP("else")},
	{"system", System, inP("else")},
}

func inP(owner string) Thing { return Thing{Project: "p", Owner: owner, Role: Researcher} }

func member(r Role, site ...Role) Actor {
	return Actor{ID: "me", Roles: site, Projects: map[string]Role{"p": r}}
}

// The matrix is policy: a change shows up in review as a changed line here.
func TestMatrixGolden(t *testing.T) {
	got := printMatrix()
	if *update {
		if err := os.WriteFile("testdata/matrix.golden", got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile("testdata/matrix.golden")
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Errorf("the access matrix changed; look at the difference and run with -update if it is meant\n%s", got)
	}
}

func printMatrix() []byte {
	var b bytes.Buffer
	fmt.Fprintf(&b, "%-18s %-7s", "action", "step-up")
	for _, s := range subjects {
		fmt.Fprintf(&b, " | %s", s.name)
	}
	b.WriteByte('\n')
	for _, action := range Actions() {
		fmt.Fprintf(&b, "%-18s %-7s", action, mark(action.NeedsStepUp()))
		for _, s := range subjects {
			fmt.Fprintf(&b, " | %-*s", len(s.name), answer(May(s.actor, action, s.thing)))
		}
		b.WriteByte('\n')
	}
	return b.Bytes()
}

func mark(yes bool) string {
	if yes {
		return "yes"
	}
	return "-"
}

func answer(err error) string {
	switch {
	case err == nil:
		return "yes"
	case fault.KindOf(err) == fault.NotFound:
		return "404"
	}
	return "-"
}
