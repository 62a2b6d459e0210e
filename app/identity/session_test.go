package identity

import (
	"testing"
	"time"

	"tresor/app/access"
	"tresor/app/fault"
)

func TestSessionLimits(t *testing.T) {
	cases := []struct {
		name  string
		roles []access.Role
		idle  time.Duration
	}{
		{"researcher", nil, 30 * time.Minute},
		{"auditor", []access.Role{access.Auditor}, 30 * time.Minute},
		{"checker", []access.Role{access.Checker}, 15 * time.Minute},
		{"operator", []access.Role{access.Operator}, 15 * time.Minute},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			b := newBench(t, noTOTP)
			_, _, token := b.enrolled("ada", c.roles...)
			b.clock.add(c.idle - time.Second)
			b.alive(token) // counts as use
			b.clock.add(c.idle - time.Second)
			b.alive(token)
			b.clock.add(c.idle)
			b.gone(token)
		})
	}
}

func TestSessionAbsoluteLimit(t *testing.T) {
	b := newBench(t, noTOTP)
	_, _, token := b.enrolled("ada")
	for range 12*3 - 1 {
		b.clock.add(20 * time.Minute)
		b.alive(token)
	}
	b.clock.add(20 * time.Minute)
	b.gone(token)
}

func TestPeekDoesNotCountAsUse(t *testing.T) {
	b := newBench(t, noTOTP)
	_, _, token := b.enrolled("ada")
	for range 3 {
		b.clock.add(9 * time.Minute)
		_, _, err := b.Peek(t.Context(), token)
		must(t, err)
	}
	b.clock.add(4 * time.Minute)
	b.gone(token)
}

func TestSignOut(t *testing.T) {
	b := newBench(t, noTOTP)
	_, _, token := b.enrolled("ada")
	_, x := b.alive(token)
	must(t, b.SignOut(t.Context(), token))
	b.gone(token)
	must(t, b.SignOut(t.Context(), token)) // again: no error
	must(t, b.SignOut(t.Context(), "nonsense"))
	if len(b.ended) == 0 || b.ended[len(b.ended)-1] != x.ID {
		t.Errorf("ended = %v", b.ended)
	}
}

func TestSessionsEndWithRolesAndDisabling(t *testing.T) {
	yes, none, checker := true, []access.Role{}, []access.Role{access.Checker}
	cases := []struct {
		name   string
		change Change
		ends   bool
	}{
		{"disabled", Change{Disabled: &yes, Reason: "Left."}, true},
		{"a new role", Change{Roles: &checker}, true},
		{"the same roles", Change{Roles: &none}, false},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			b := newBench(t, noTOTP)
			p, _, token := b.enrolled("ada")
			_, err := b.ChangePerson(t.Context(), operator, p.ID, c.change)
			must(t, err)
			if !c.ends {
				b.alive(token)
				return
			}
			b.gone(token)
		})
	}
}

// A membership that ends binds at the next request, without a new sign-in.
func TestMembershipsAreReadAfresh(t *testing.T) {
	b := newBench(t, noTOTP)
	p, _, token := b.enrolled("ada")
	b.roles[p.ID] = map[string]access.Role{"p": access.Lead}
	if a, _ := b.alive(token); a.In("p") != access.Lead {
		t.Error("the membership is missing")
	}
	delete(b.roles, p.ID)
	if a, _ := b.alive(token); a.In("p") != "" {
		t.Error("the membership is still there")
	}
}

func TestManySessions(t *testing.T) {
	b := newBench(t, noTOTP)
	p, _, first := b.enrolled("ada")
	right := Credentials{Handle: "ada", Password: password}
	var last string
	for range mostSessions {
		b.clock.add(time.Second)
		var err error
		last, _, err = b.SignIn(t.Context(), right, home)
		must(t, err)
	}
	b.gone(first) // used least recently
	again, _, err := b.SignIn(t.Context(), right, Client{Address: home.Address, Replaces: last})
	must(t, err)
	b.gone(last)
	me, x := b.alive(again)

	all, err := b.Sessions(t.Context(), me, p.ID)
	must(t, err)
	if len(all) != mostSessions || all[0].ID != x.ID {
		t.Errorf("%d sessions, first %s", len(all), all[0].ID)
	}
	must(t, b.EndSession(t.Context(), me, all[1].ID))
	refused(t, b.EndSession(t.Context(), operator, all[1].ID), fault.NotFound, "ended already")
	stranger := access.Actor{ID: "x"}
	refused(t, b.EndSession(t.Context(), stranger, all[2].ID), fault.Denied, "operator")
	_, err = b.Sessions(t.Context(), stranger, p.ID)
	refused(t, err, fault.Denied, "operator")
	refused(t, b.EndSessions(t.Context(), stranger, p.ID), fault.Denied, "operator")
	must(t, b.EndSessions(t.Context(), operator, p.ID))
	b.gone(again)
}

func TestTokensAreNotReadableInTheDatabase(t *testing.T) {
	b := newBench(t)
	p, secret, token := b.enrolled("ada")
	link, err := b.IssueLink(t.Context(), operator, p.ID, KindEnrol)
	must(t, err)
	a, err := b.account(t.Context(), byID(p.ID))
	must(t, err)
	stored := b.dump() + string(a.sealed)
	for name, s := range map[string]string{"session token": token, "link token": link.Token, "password": password, "secret": secret} {
		if contains(stored, s) {
			t.Errorf("the %s can be read", name)
		}
	}
}
