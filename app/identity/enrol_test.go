package identity

import (
	"errors"
	"strings"
	"testing"
	"time"

	"tresor/app/access"
	"tresor/app/fault"
	"tresor/app/store"
)

func contains(s, part string) bool { return part != "" && strings.Contains(s, part) }

func TestEnrolment(t *testing.T) {
	b := newBench(t)
	p := b.person("ada", access.Checker)
	link, err := b.IssueLink(t.Context(), operator, p.ID, KindEnrol)
	must(t, err)
	if link.URL != "https://tresor.example/link#"+link.Token {
		t.Errorf("url = %s", link.URL)
	}
	token, x, err := b.OpenLink(t.Context(), link.Token, home)
	must(t, err)
	if !x.NeedPassword || !x.NeedTOTP || !x.MustEnrol() {
		t.Errorf("session = %+v", x)
	}
	if a, _ := b.alive(token); len(a.Roles) > 0 || access.Can(a, access.AirlockReview, access.Thing{Project: "p"}) {
		t.Errorf("somebody who must enrol may review: %+v", a)
	}
	_, _, err = b.ConfirmTOTP(t.Context(), token, "123456", home)
	refused(t, err, fault.Conflict, "QR code first")

	next, x, err := b.SetPassword(t.Context(), token, "", "", password, home)
	must(t, err)
	b.gone(token)
	if x.NeedPassword || !x.NeedTOTP {
		t.Errorf("session = %+v", x)
	}
	e, err := b.BeginTOTP(t.Context(), next)
	must(t, err)
	if !strings.Contains(e.URI, "Test%20site:ada") || !strings.Contains(e.URI, e.Secret) || !strings.HasPrefix(e.QR, "<svg ") {
		t.Errorf("enrolment = %s", e.URI)
	}
	_, _, err = b.ConfirmTOTP(t.Context(), next, "000000", home)
	refused(t, err, fault.Invalid, "clock of your phone")
	code := b.code(e.Secret)
	last, x, err := b.ConfirmTOTP(t.Context(), next, code, home)
	must(t, err)
	if x.MustEnrol() {
		t.Errorf("session = %+v", x)
	}
	if a, _ := b.alive(last); !a.Has(access.Checker) {
		t.Error("the role is missing after enrolment")
	}
	_, _, err = b.SignIn(t.Context(), Credentials{Handle: "ada", Password: password, TOTP: code}, home)
	refused(t, err, fault.Denied, "has been used") // the enrolment's code counts, too
	b.signIn("ada", e.Secret)
}

func TestLinkRefusals(t *testing.T) {
	b := newBench(t, inDemo)
	p := b.person("ada")
	issue := func() Link {
		l, err := b.IssueLink(t.Context(), operator, p.ID, KindEnrol)
		must(t, err)
		return l
	}
	used := issue()
	_, _, err := b.OpenLink(t.Context(), used.Token, home)
	must(t, err)
	replaced := issue()
	late := issue()
	cases := []struct {
		name, token string
		wait        time.Duration
	}{
		{"nonsense", "nonsense", 0},
		{"empty", "", 0},
		{"used before", used.Token, 0},
		{"replaced by a newer one", replaced.Token, 0},
		{"expired", late.Token, 73 * time.Hour},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			b.clock.add(c.wait)
			_, _, err := b.OpenLink(t.Context(), c.token, home)
			refused(t, err, fault.Denied, "link does not work")
			if !errors.Is(err, ErrUnauthenticated) {
				t.Error("not an unauthenticated error")
			}
		})
	}
	if b.events("session.refused") == 0 {
		t.Error("no event")
	}
	t.Run("disabled", func(t *testing.T) {
		l, yes := issue(), true
		_, err := b.ChangePerson(t.Context(), operator, p.ID, Change{Disabled: &yes, Reason: "Left."})
		must(t, err)
		_, _, err = b.OpenLink(t.Context(), l.Token, home)
		refused(t, err, fault.Denied, "link does not work")
		_, err = b.IssueLink(t.Context(), operator, p.ID, KindEnrol)
		refused(t, err, fault.Conflict, "disabled")
		no := false
		_, err = b.ChangePerson(t.Context(), operator, p.ID, Change{Disabled: &no})
		must(t, err)
		_, _, err = b.OpenLink(t.Context(), l.Token, Client{Address: "192.0.2.99"})
		refused(t, err, fault.Denied, "link does not work") // also after the account is back
	})
	t.Run("guessing", func(t *testing.T) {
		from := Client{Address: "198.51.100.7"}
		var err error
		for range freeForAddress + 1 {
			_, _, err = b.OpenLink(t.Context(), "guess", from)
		}
		refused(t, err, fault.Exhausted, "Try again")
	})
}

func TestIssueLinkRefusals(t *testing.T) {
	b := newBench(t)
	p := b.person("ada")
	_, err := b.IssueLink(t.Context(), access.Actor{ID: "x"}, p.ID, KindEnrol)
	refused(t, err, fault.Denied, "operator")
	_, err = b.IssueLink(t.Context(), operator, "nobody", KindEnrol)
	refused(t, err, fault.NotFound, "no such person")
	_, err = b.IssueLink(t.Context(), operator, p.ID, "magic")
	refused(t, err, fault.Invalid, "not a kind of link")
	_, err = b.IssueLink(t.Context(), operator, p.ID, KindDemo)
	refused(t, err, fault.Conflict, "only in a demo")
}

func TestDemoLink(t *testing.T) {
	b := newBench(t, inDemo)
	p := b.person("carl", access.Checker)
	l, err := b.IssueLink(t.Context(), operator, p.ID, KindDemo)
	must(t, err)
	b.clock.add(6 * 24 * time.Hour)
	token, x, err := b.OpenLink(t.Context(), l.Token, home)
	must(t, err)
	b.clock.add(10 * time.Minute)
	if x.MustEnrol() || !x.Fresh(b.clock.now()) {
		t.Errorf("session = %+v", x)
	}
	if a, _ := b.alive(token); !a.Has(access.Checker) {
		t.Error("the role is missing")
	}
	_, err = b.BeginTOTP(t.Context(), token)
	refused(t, err, fault.Denied, "Confirm your password")

	l, err = b.IssueLink(t.Context(), operator, p.ID, KindDemo)
	must(t, err)
	b.Demo = false // the demo was switched off
	_, _, err = b.OpenLink(t.Context(), l.Token, home)
	refused(t, err, fault.Denied, "link does not work")
}

func TestChangePassword(t *testing.T) {
	b := newBench(t)
	_, secret, other := b.enrolled("ada")
	token, _ := b.signIn("ada", secret)
	const better = "seven slow rivers sing"
	_, _, err := b.SetPassword(t.Context(), token, "wrong", b.code(secret), better, home)
	refused(t, err, fault.Denied, "not right")
	if errors.Is(err, ErrUnauthenticated) {
		t.Error("a wrong password looks like a session that has ended")
	}
	_, _, err = b.SetPassword(t.Context(), token, password, "", better, home)
	refused(t, err, fault.Denied, "six digits")
	_, _, err = b.SetPassword(t.Context(), token, password, b.code(secret), "short", home)
	refused(t, err, fault.Invalid, "too short")
	_, _, err = b.SetPassword(t.Context(), "nonsense", password, b.code(secret), better, home)
	refused(t, err, fault.Denied, "session has ended")
	b.alive(other)
	next, _, err := b.SetPassword(t.Context(), token, password, b.code(secret), better, home)
	must(t, err)
	b.gone(other)
	b.gone(token)
	b.alive(next)
	_, _, err = b.SignIn(t.Context(), Credentials{Handle: "ada", Password: password, TOTP: b.code(secret)}, home)
	refused(t, err, fault.Denied, "not right")
	_, _, err = b.SignIn(t.Context(), Credentials{Handle: "ada", Password: better, TOTP: b.code(secret)}, home)
	must(t, err)
}

func TestANewFactorNeedsAFreshSession(t *testing.T) {
	b := newBench(t)
	_, secret, _ := b.enrolled("ada")
	token, _ := b.signIn("ada", secret)
	b.clock.add(6 * time.Minute)
	_, err := b.BeginTOTP(t.Context(), token)
	refused(t, err, fault.Denied, "Confirm your password")
	token, _, err = b.StepUp(t.Context(), token, password, b.code(secret), home)
	must(t, err)
	e, err := b.BeginTOTP(t.Context(), token)
	must(t, err)
	b.signIn("ada", secret) // the old one works until the new one is confirmed
	_, _, err = b.ConfirmTOTP(t.Context(), token, b.code(e.Secret), home)
	must(t, err)
	_, _, err = b.SignIn(t.Context(), Credentials{Handle: "ada", Password: password, TOTP: b.code(secret)}, home)
	refused(t, err, fault.Denied, "not right")
	b.signIn("ada", e.Secret)
}

// A lost phone: what the person had works until the new enrolment is complete.
func TestRecovery(t *testing.T) {
	b := newBench(t)
	p, secret, _ := b.enrolled("ada")
	l, err := b.IssueLink(t.Context(), operator, p.ID, KindEnrol)
	must(t, err)
	token, x, err := b.OpenLink(t.Context(), l.Token, home)
	must(t, err)
	if !x.MustEnrol() {
		t.Error("a recovery link opens everything")
	}
	old, _ := b.signIn("ada", secret)
	_, _, err = b.SetPassword(t.Context(), token, "", "", "nine warm lamps glow", home)
	must(t, err)
	b.gone(old)
}

func TestBootstrap(t *testing.T) {
	b := newBench(t)
	p, first, err := b.Bootstrap(t.Context(), "olga", "Olga Berg")
	must(t, err)
	again, second, err := b.Bootstrap(t.Context(), "olga", "Olga Berg") // init once more
	must(t, err)
	if again.ID != p.ID || first.Token == second.Token {
		t.Error("init once more made another person or gave the same link")
	}
	_, _, err = b.OpenLink(t.Context(), first.Token, home)
	refused(t, err, fault.Denied, "does not work")
	token, _, err := b.OpenLink(t.Context(), second.Token, home)
	must(t, err)
	_, _, err = b.SetPassword(t.Context(), token, "", "", password, home)
	must(t, err)
	_, _, err = b.Bootstrap(t.Context(), "eve", "Eve")
	refused(t, err, fault.Conflict, "operator already")
	_, _, err = newBench(t).Bootstrap(t.Context(), "Olga Berg", "")
	refused(t, err, fault.Invalid, "sign-in name")
}

func TestLocalOperator(t *testing.T) {
	a := LocalOperator(0)
	for action, want := range map[access.Action]bool{access.PersonManage: true, access.SystemRead: true, access.JobLog: false, access.AirlockReview: false, access.DatasetIngest: false} {
		if got := access.Can(a, action, access.Thing{Project: "p"}); got != want {
			t.Errorf("%s: %v", action, got)
		}
	}
}

func TestActFor(t *testing.T) {
	b := newBench(t)
	p := b.person("stefan", access.Steward)
	b.person("carl", access.Checker)
	gone, yes := b.person("gone"), true
	_, err := b.ChangePerson(t.Context(), operator, gone.ID, Change{Disabled: &yes, Reason: "Left."})
	must(t, err)
	local := LocalOperator(1000)
	a, err := b.ActFor(t.Context(), local, "stefan")
	must(t, err)
	if a.ID != p.ID || a.Via != "local" || a.Session != "local:1000" || !a.Has(access.Steward) || a.Has(access.Operator) {
		t.Errorf("actor = %+v", a)
	}
	_, err = b.ActFor(t.Context(), operator, "stefan")
	refused(t, err, fault.Denied, "administration socket")
	_, err = b.ActFor(t.Context(), local, "nobody")
	refused(t, err, fault.NotFound, "no such person")
	_, err = b.ActFor(t.Context(), local, "gone")
	refused(t, err, fault.Conflict, "disabled")
	_, err = b.ActFor(t.Context(), local, "carl")
	refused(t, err, fault.Denied, "in person")
	b.Demo = true
	_, err = b.ActFor(t.Context(), local, "carl")
	must(t, err)
}

// A secret that was sealed for one person does not open for another.
func TestSealedSecretsStayWithTheirPerson(t *testing.T) {
	b := newBench(t)
	ada, secret, _ := b.enrolled("ada")
	eve, _, _ := b.enrolled("eve")
	must(t, b.DB.Update(t.Context(), func(tx *store.Tx) error {
		_, err := tx.Exec(`UPDATE person SET totp = (SELECT totp FROM person WHERE id = ?) WHERE id = ?`, ada.ID, eve.ID)
		return err
	}))
	_, _, err := b.SignIn(t.Context(), Credentials{Handle: "eve", Password: password, TOTP: b.code(secret)}, home)
	refused(t, err, fault.Denied, "not right")
}
