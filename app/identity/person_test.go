package identity

import (
	"strings"
	"testing"

	"tresor/app/access"
	"tresor/app/fault"
	"tresor/app/store"
)

func TestCreatePerson(t *testing.T) {
	b := newBench(t)
	b.person("taken")
	cases := []struct {
		name  string
		actor access.Actor
		draft Draft
		kind  fault.Kind
		says  string
	}{
		{"denied: not an operator", access.Actor{ID: "x", Roles: []access.Role{access.Steward}}, Draft{Handle: "ada", Name: "Ada"}, fault.Denied, "operator"},
		{"bad handle", operator, Draft{Handle: "Ada Lovelace", Name: "Ada"}, fault.Invalid, "sign-in name"},
		{"handle too short", operator, Draft{Handle: "a", Name: "Ada"}, fault.Invalid, "sign-in name"},
		{"reserved handle", operator, Draft{Handle: "system", Name: "Ada"}, fault.Invalid, "sign-in name"},
		{"handle that looks like another", operator, Draft{Handle: "аda", Name: "Ada"}, fault.Invalid, "sign-in name"},
		{"no name", operator, Draft{Handle: "ada", Name: "  "}, fault.Invalid, "person's name"},
		{"name with a direction mark", operator, Draft{Handle: "ada", Name: "Ada\u202egnp"}, fault.Invalid, "person's name"},
		{"long name", operator, Draft{Handle: "ada", Name: strings.Repeat("a", 101)}, fault.Invalid, "100"},
		{"bad e-mail", operator, Draft{Handle: "ada", Name: "Ada", Email: "ada"}, fault.Invalid, "e-mail"},
		{"e-mail with a name", operator, Draft{Handle: "ada", Name: "Ada", Email: "Ada <a@b.c>"}, fault.Invalid, "e-mail"},
		{"taken", operator, Draft{Handle: "Taken", Name: "Ada"}, fault.Conflict, "taken"},
		{"unknown role", operator, Draft{Handle: "ada", Name: "Ada", Roles: []access.Role{"root"}}, fault.Invalid, "not a site role"},
		{"roles that exclude each other", operator, Draft{Handle: "ada", Name: "Ada", Roles: []access.Role{access.Operator, access.Checker}}, fault.Conflict, "output checker"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			_, err := b.CreatePerson(t.Context(), c.actor, c.draft)
			refused(t, err, c.kind, c.says)
		})
	}
	t.Run("ok", func(t *testing.T) {
		p, err := b.CreatePerson(t.Context(), operator, Draft{Handle: " ADA ", Name: " Ada ", Email: "ada@example.org", Roles: []access.Role{access.Checker}})
		must(t, err)
		got, err := b.ByHandle(t.Context(), "Ada")
		must(t, err)
		if got.ID != p.ID || got.Handle != "ada" || got.Name != "Ada" || got.Password || got.TOTP {
			t.Errorf("got %+v", got)
		}
	})
}

func TestChangePerson(t *testing.T) {
	b := newBench(t)
	only := b.person("olga", access.Operator)
	ada := b.person("ada")
	b.roles[ada.ID] = map[string]access.Role{"p": access.Researcher}
	name, bad, yes := "New name", "", true
	roles := func(r ...access.Role) *[]access.Role { return &r }
	self := access.Actor{ID: ada.ID, Roles: []access.Role{access.Operator}}
	cases := []struct {
		name   string
		actor  access.Actor
		id     string
		change Change
		kind   fault.Kind
		says   string
	}{
		{"denied: own roles", self, ada.ID, Change{Roles: roles()}, fault.Denied, "own roles"},
		{"denied: not an operator", access.Actor{ID: "x"}, ada.ID, Change{Name: &name}, fault.Denied, "operator"},
		{"nobody", operator, "none", Change{Name: &name}, fault.NotFound, "no such person"},
		{"empty name", operator, ada.ID, Change{Name: &bad}, fault.Invalid, "name"},
		{"operator in a project", operator, ada.ID, Change{Roles: roles(access.Operator)}, fault.Conflict, "member of a project"},
		{"last operator loses the role", operator, only.ID, Change{Roles: roles()}, fault.Conflict, "last operator"},
		{"last operator is disabled", operator, only.ID, Change{Disabled: &yes, Reason: "Left."}, fault.Conflict, "last operator"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			_, err := b.ChangePerson(t.Context(), c.actor, c.id, c.change)
			refused(t, err, c.kind, c.says)
		})
	}
	t.Run("ok", func(t *testing.T) {
		p, err := b.ChangePerson(t.Context(), operator, ada.ID, Change{Name: &name, Roles: roles(access.Checker)})
		must(t, err)
		if p.Name != name || !(access.Actor{Roles: p.Roles}).Has(access.Checker) {
			t.Errorf("got %+v", p)
		}
	})
	t.Run("a second operator frees the first", func(t *testing.T) {
		b.person("otto", access.Operator)
		_, err := b.ChangePerson(t.Context(), operator, only.ID, Change{Disabled: &yes, Reason: "Left."})
		must(t, err)
	})
}

func TestPeopleAndGet(t *testing.T) {
	b := newBench(t)
	bob, ada := b.person("bob"), b.person("ada")
	all, err := b.People(t.Context(), operator)
	must(t, err)
	if len(all) != 2 || all[0].Handle != "ada" {
		t.Errorf("got %+v", all)
	}
	_, err = b.People(t.Context(), access.Actor{ID: ada.ID})
	refused(t, err, fault.Denied, "list of people")
	lead := access.Actor{ID: ada.ID, Projects: map[string]access.Role{"p": access.Lead}}
	_, err = b.People(t.Context(), lead)
	must(t, err)

	got, err := b.Get(t.Context(), access.Actor{ID: ada.ID}, ada.ID)
	must(t, err)
	if got.ID != ada.ID {
		t.Errorf("got %+v", got)
	}
	_, err = b.Get(t.Context(), access.Actor{ID: ada.ID}, bob.ID)
	refused(t, err, fault.Denied, "list of people")
	_, err = b.Get(t.Context(), access.Actor{ID: ada.ID}, "nobody")
	refused(t, err, fault.Denied, "list of people") // the same, whether or not they exist
	_, err = b.Get(t.Context(), operator, "nobody")
	refused(t, err, fault.NotFound, "no such person")
	got, err = b.Get(t.Context(), operator, "BOB")
	must(t, err)
	if got.ID != bob.ID {
		t.Errorf("got %+v", got)
	}
}

func TestLookup(t *testing.T) {
	b := newBench(t)
	ada := b.person("ada")
	must(t, b.DB.View(t.Context(), func(tx *store.Tx) error {
		p, err := Lookup(tx, ada.ID)
		must(t, err)
		if p.Name != ada.Name {
			t.Errorf("got %+v", p)
		}
		_, err = LookupHandle(tx, "nobody")
		refused(t, err, fault.NotFound, "no such person")
		return nil
	}))
}
