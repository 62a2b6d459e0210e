package project

import (
	"context"
	"testing"

	"tresor/app/access"
	"tresor/app/fault"
	"tresor/app/store"
)

func TestMembers(t *testing.T) {
	r := newRig(t)
	p := r.project("aurora")
	add := func(person string, role access.Role) {
		t.Helper()
		if _, err := r.SetMember(t.Context(), operator, "aurora", person, role); err != nil {
			t.Fatal(err)
		}
	}
	add("rosa", access.Researcher)
	add("rosa", access.Researcher) // changes nothing and says nothing
	add("rosa", access.Lead)
	add("lena", access.Researcher)
	got, err := r.Get(t.Context(), operator, p.ID)
	if err != nil || len(got.Members) != 2 || got.roleOf("rosa") != access.Lead || got.Members[0].Name == "" {
		t.Errorf("%+v, %v", got.Members, err)
	}
	if _, err := r.DropMember(t.Context(), operator, p.ID, "lena", "Left."); err != nil {
		t.Error(err)
	}
	err = r.db.View(t.Context(), func(tx *store.Tx) error {
		m, err := r.MembershipsOf(tx, "rosa")
		if len(m) != 1 || m[p.ID] != access.Lead {
			t.Errorf("memberships %v", m)
		}
		return err
	})
	if err != nil {
		t.Error(err)
	}
	if got := r.events(p.ID); got != "project.created member.added member.changed member.added member.dropped" {
		t.Errorf("audit: %s", got)
	}
}

func TestMembersRefuse(t *testing.T) {
	r := newRig(t)
	p := r.project("aurora")
	closed := r.project("closed")
	for _, m := range []struct {
		person string
		role   access.Role
	}{{"lena", access.Lead}, {"rosa", access.Researcher}} {
		if _, err := r.SetMember(t.Context(), operator, p.ID, m.person, m.role); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := r.Change(t.Context(), operator, closed.ID, Change{State: ptr(Closed), Reason: "r"}); err != nil {
		t.Fatal(err)
	}
	lead := access.Actor{ID: "lena", Name: "Lena", Projects: map[string]access.Role{p.ID: access.Lead}}
	rosa := access.Actor{ID: "rosa", Name: "Rosa", Projects: map[string]access.Role{p.ID: access.Researcher}}
	other := access.Actor{ID: "ruth", Name: "Ruth", Projects: map[string]access.Role{p.ID: access.Lead}}
	cases := []struct {
		name    string
		actor   access.Actor
		project string
		person  string
		role    access.Role // "" drops
		kind    fault.Kind
	}{
		{"stranger", stranger, p.ID, "rosa", access.Researcher, fault.NotFound},
		{"researcher adds", rosa, p.ID, "lena", access.Researcher, fault.Denied},
		{"steward adds", steward, p.ID, "rosa", access.Lead, fault.Denied},
		{"lead appoints a lead", lead, p.ID, "rosa", access.Lead, fault.Denied},
		{"lead demotes another lead", other, p.ID, "lena", access.Researcher, fault.Denied},
		{"lead drops another lead", other, p.ID, "lena", "", fault.Denied},
		{"own role", lead, p.ID, "lena", access.Researcher, fault.Denied},
		{"operator becomes a member", access.Actor{ID: "otto", Roles: operator.Roles}, p.ID, "olga", access.Researcher, fault.Conflict},
		{"unknown person", operator, p.ID, "nobody", access.Researcher, fault.NotFound},
		{"disabled person", operator, p.ID, "gone", access.Researcher, fault.Conflict},
		{"unknown role", operator, p.ID, "rosa", "boss", fault.Invalid},
		{"closed project", operator, closed.ID, "rosa", access.Researcher, fault.Conflict},
		{"drop who is no member", operator, closed.ID, "rosa", "", fault.NotFound},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			var err error
			if c.role == "" {
				_, err = r.DropMember(t.Context(), c.actor, c.project, c.person, "Left.")
			} else {
				_, err = r.SetMember(t.Context(), c.actor, c.project, c.person, c.role)
			}
			if fault.KindOf(err) != c.kind || err == nil {
				t.Errorf("got %v", err)
			}
		})
	}
	if got := r.events(p.ID); got != "project.created member.added member.added" {
		t.Errorf("audit after refusals: %s", got)
	}
}

func TestGrants(t *testing.T) {
	r := newRig(t)
	p := r.project("aurora")
	for range 2 { // the second changes nothing
		got, err := r.Grant(t.Context(), steward, "aurora", "randhie")
		if err != nil || len(got.Datasets) != 1 || got.Datasets[0].DatasetID != "d1" || got.Datasets[0].Slug != "randhie" || got.Datasets[0].Version != 1 {
			t.Fatalf("%+v, %v", got.Datasets, err)
		}
	}
	err := r.db.View(t.Context(), func(tx *store.Tx) error {
		ids, err := r.ProjectsOf(tx, "d1")
		if len(ids) != 1 || ids[0] != p.ID {
			t.Errorf("projects of the dataset: %v", ids)
		}
		return err
	})
	if err != nil {
		t.Error(err)
	}
	cases := []struct {
		name    string
		actor   access.Actor
		dataset string
		revoke  bool
		kind    fault.Kind
	}{
		{"operator grants", operator, "d1", false, fault.Denied},
		{"operator revokes", operator, "d1", true, fault.Denied},
		{"stranger", stranger, "d1", false, fault.NotFound},
		{"unknown dataset", steward, "d9", false, fault.NotFound},
		{"revoke an unknown one", steward, "d9", true, fault.NotFound},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			do := r.Grant
			if c.revoke {
				do = func(ctx context.Context, actor access.Actor, project, dataset string) (Project, error) {
					return r.Revoke(ctx, actor, project, dataset, "Over.")
				}
			}
			if _, err := do(t.Context(), c.actor, "aurora", c.dataset); fault.KindOf(err) != c.kind || err == nil {
				t.Errorf("got %v", err)
			}
		})
	}
	if _, err := r.Revoke(t.Context(), steward, "aurora", "d1", " "); fault.KindOf(err) != fault.Invalid {
		t.Errorf("revoked without a reason: %v", err)
	}
	if got, err := r.Revoke(t.Context(), steward, "aurora", "d1", "Over."); err != nil || len(got.Datasets) != 0 {
		t.Errorf("revoked: %+v, %v", got.Datasets, err)
	}
	if _, err := r.Revoke(t.Context(), steward, "aurora", "d1", "Over."); fault.KindOf(err) != fault.NotFound {
		t.Errorf("revoked twice: %v", err)
	}
	if _, err := r.Change(t.Context(), operator, "aurora", Change{State: ptr(Closed), Reason: "r"}); err != nil {
		t.Fatal(err)
	}
	if _, err := r.Grant(t.Context(), steward, "aurora", "d1"); fault.KindOf(err) != fault.Conflict {
		t.Errorf("granted to a closed project: %v", err)
	}
	if got := r.events(p.ID); got != "project.created dataset.granted dataset.revoked project.closed" {
		t.Errorf("audit: %s", got)
	}
}
