package dataset

import (
	"strings"
	"testing"

	"tresor/app/access"
	"tresor/app/fault"
	"tresor/app/project"
	"tresor/app/store"
)

func TestRegisterRefuses(t *testing.T) {
	r := newRig(t)
	r.dataset("taken")
	cases := []struct {
		name string
		d    Draft
		kind fault.Kind
	}{
		{"no slug", Draft{Name: "n", Controller: "c"}, fault.Invalid},
		{"upper case", Draft{Slug: "Data", Name: "n", Controller: "c"}, fault.Invalid},
		{"hyphen", Draft{Slug: "a-b", Name: "n", Controller: "c"}, fault.Invalid},
		{"main", Draft{Slug: "main", Name: "n", Controller: "c"}, fault.Invalid},
		{"temp", Draft{Slug: "temp", Name: "n", Controller: "c"}, fault.Invalid},
		{"sqlite_x", Draft{Slug: "sqlite_x", Name: "n", Controller: "c"}, fault.Invalid},
		{"no name", Draft{Slug: "ab", Controller: "c"}, fault.Invalid},
		{"no controller", Draft{Slug: "ab", Name: "n"}, fault.Invalid},
		{"long", Draft{Slug: "ab", Name: strings.Repeat("n", 201), Controller: "c"}, fault.Invalid},
		{"control", Draft{Slug: "ab", Name: "n\x07", Controller: "c"}, fault.Invalid},
		{"taken", Draft{Slug: "taken", Name: "n", Controller: "c"}, fault.Conflict},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			if _, err := r.Register(t.Context(), steward, c.d); fault.KindOf(err) != c.kind {
				t.Errorf("got %v", err)
			}
		})
	}
}

func TestWhoSeesWhat(t *testing.T) {
	r := newRig(t)
	r.dataset("ds")
	r.mustIngest("ds", source("a.csv", "x,y\n1,2\n5,7\n"))
	p, err := r.projects.Create(t.Context(), access.System, project.Draft{Slug: "aurora", Name: "Aurora", Purpose: "p"})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := r.projects.Grant(t.Context(), steward, p.ID, "ds"); err != nil {
		t.Fatal(err)
	}
	member := access.Actor{ID: "p-rosa", Name: "Rosa", Projects: map[string]access.Role{p.ID: access.Researcher}}
	other := access.Actor{ID: "p-other", Name: "Other", Projects: map[string]access.Role{"another": access.Lead}}
	checker := access.Actor{ID: "p-carl", Name: "Carl", Roles: []access.Role{access.Checker}}
	auditor := access.Actor{ID: "p-ada", Name: "Ada", Roles: []access.Role{access.Auditor}}
	cases := []struct {
		actor        access.Actor
		sees, values bool
	}{
		{steward, true, true}, {member, true, true}, {checker, true, true},
		{operator, true, false}, {auditor, true, false},
		{other, false, false}, {stranger, false, false},
	}
	for _, c := range cases {
		t.Run(c.actor.Name, func(t *testing.T) {
			d, err := r.Get(t.Context(), c.actor, "ds")
			list, listErr := r.List(t.Context(), c.actor)
			if listErr != nil || (len(list) == 1) != c.sees {
				t.Errorf("list %v (%v)", list, listErr)
			}
			if !c.sees {
				if fault.KindOf(err) != fault.NotFound || d.ID != "" {
					t.Errorf("got %+v, %v", d, err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			col := d.Versions[0].Tables[0].Columns[0]
			if shown := col.Max == "5" && col.Distinct == 2; shown != c.values || !c.values && (col.Max != "" || col.Distinct != 0) {
				t.Errorf("column %+v", col)
			}
		})
	}
	if _, err := r.Get(t.Context(), steward, "nothing"); fault.KindOf(err) != fault.NotFound {
		t.Errorf("an unknown slug: %v", err)
	}
}

func TestMountFor(t *testing.T) {
	r := newRig(t)
	d := r.dataset("ds")
	r.dataset("empty")
	p, err := r.projects.Create(t.Context(), access.System, project.Draft{Slug: "aurora", Name: "Aurora", Purpose: "p"})
	if err != nil {
		t.Fatal(err)
	}
	for _, slug := range []string{"ds", "empty"} {
		if _, err := r.projects.Grant(t.Context(), steward, "aurora", slug); err != nil {
			t.Fatal(err)
		}
	}
	one := r.mustIngest("ds", source("a.csv", "x\n1\n"))
	two := r.mustIngest("ds", source("a.csv", "x\n2\n"))
	set := func(state Presentation) func() {
		return func() {
			err := r.db.Update(t.Context(), func(tx *store.Tx) error {
				_, err := tx.Exec(`UPDATE dataset_version SET presentation = ? WHERE dataset = ? AND n = 2`, state, d.ID)
				return err
			})
			if err != nil {
				t.Fatal(err)
			}
		}
	}
	retire := func(s State) func() {
		return func() {
			if _, err := r.Retire(t.Context(), steward, "ds", s); err != nil {
				t.Fatal(err)
			}
		}
	}
	cases := []struct {
		name          string
		before, after func()
		project, slug string
		version       int
		kind          fault.Kind
		want          string // hash, when it is mounted
	}{
		{name: "latest", project: p.ID, slug: "ds", want: two.SHA256},
		{name: "first, by id", project: p.ID, slug: d.ID, version: 1, want: one.SHA256},
		{name: "no such version", project: p.ID, slug: "ds", version: 3, kind: fault.NotFound},
		{name: "no such dataset", project: p.ID, slug: "nope", kind: fault.NotFound},
		{name: "no version yet", project: p.ID, slug: "empty", kind: fault.Conflict},
		{name: "not granted", project: "another", slug: "ds", kind: fault.Denied},
		{name: "building", before: set(Building), after: set(Ready), project: p.ID, slug: "ds", kind: fault.Unavailable},
		{name: "failed", before: set(Failed), after: set(Ready), project: p.ID, slug: "ds", kind: fault.Unavailable},
		{name: "retired", before: retire(Retired), after: retire(Active), project: p.ID, slug: "ds", kind: fault.Conflict},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			if c.before != nil {
				c.before()
				defer c.after()
			}
			var m []Mount
			err := r.db.View(t.Context(), func(tx *store.Tx) error {
				var err error
				m, err = r.MountFor(tx, c.project, c.slug, c.version)
				return err
			})
			if c.want == "" {
				if fault.KindOf(err) != c.kind || err == nil {
					t.Errorf("got %v", err)
				}
				return
			}
			if err != nil || len(m) != 1 || m[0].SHA256 != c.want || m[0].Target != "/data/ds" {
				t.Errorf("got %+v, %v", m, err)
			}
		})
	}
}

func TestRetiredTakesNothing(t *testing.T) {
	r := newRig(t)
	r.dataset("ds")
	if _, err := r.Retire(t.Context(), steward, "ds", "gone"); fault.KindOf(err) != fault.Invalid {
		t.Errorf("unknown state: %v", err)
	}
	if _, err := r.Retire(t.Context(), steward, "ds", Retired); err != nil {
		t.Fatal(err)
	}
	if _, err := r.ingest("ds", source("a.csv", "x\n1\n")); fault.KindOf(err) != fault.Conflict {
		t.Errorf("got %v", err)
	}
}

func TestDictionaryRefuses(t *testing.T) {
	cases := []struct{ name, text, want string }{
		{"not JSON", "{", "cannot be read"},
		{"unknown field", `{"tables":[{"nome":"x"}]}`, "cannot be read"},
		{"two values", `{}{}`, "more than one JSON value"},
		{"no column name", `{"tables":[{"name":"a","columns":[{"label":"x"}]}]}`, "a column without a name"},
		{"type", `{"tables":[{"name":"a","columns":[{"name":"x","type":"float"}]}]}`, `the type "float"`},
		{"role", `{"tables":[{"name":"a","columns":[{"name":"x","role":"Key!"}]}]}`, `the role "Key!"`},
		{"long", `{"tables":[{"name":"a","columns":[{"name":"x","unit":"` + strings.Repeat("u", 101) + `"}]}]}`, "too great length"},
		{"control", `{"tables":[{"name":"a","columns":[{"name":"x","label":"\u0007"}]}]}`, "control characters"},
		{"control in a table", `{"tables":[{"name":"a","label":"\u0007"}]}`, "control characters"},
		{"many missing", `{"tables":[{"name":"a","missing":[` + strings.Repeat(`"x",`, 20) + `"x"]}]}`, "more than 20"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			if _, err := ParseDictionary([]byte(c.text)); err == nil || !strings.Contains(fault.Message(err), c.want) {
				t.Errorf("got %v, want %q", err, c.want)
			}
		})
	}
	if d, err := ParseDictionary([]byte(" ")); err != nil || len(d.Tables) != 0 {
		t.Errorf("empty input: %v %v", d, err)
	}
}
