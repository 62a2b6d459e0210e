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

func TestSignIn(t *testing.T) {
	b := newBench(t)
	ada, secret, _ := b.enrolled("ada", access.Checker)
	b.roles[ada.ID] = map[string]access.Role{"p": access.Researcher}
	token, x := b.signIn("ADA", secret)
	if x.MustEnrol() || x.Kind != KindPassword || !x.Fresh(b.clock.now()) {
		t.Errorf("session = %+v", x)
	}
	a, y := b.alive(token)
	if a.ID != ada.ID || a.Via != "web" || a.Session != x.ID || y.ID != x.ID || !a.Has(access.Checker) || a.In("p") != access.Researcher {
		t.Errorf("actor = %+v", a)
	}
	if b.events("session.opened") == 0 {
		t.Error("no event")
	}
}

func TestSignInRefusals(t *testing.T) {
	b := newBench(t)
	_, secret, _ := b.enrolled("ada")
	gone, goneSecret, _ := b.enrolled("gone")
	b.person("fresh") // without a password
	yes := true
	_, err := b.ChangePerson(t.Context(), operator, gone.ID, Change{Disabled: &yes, Reason: "Left."})
	must(t, err)
	right := func(c Credentials, s string) Credentials { c.TOTP = b.code(s); return c }
	cases := []struct {
		name  string
		c     Credentials
		cause error
		says  string
	}{
		{"unknown name", right(Credentials{Handle: "nobody", Password: password}, secret), ErrUnauthenticated, "not right"},
		{"wrong password", right(Credentials{Handle: "ada", Password: "wrong"}, secret), ErrUnauthenticated, "not right"},
		{"empty password", right(Credentials{Handle: "ada"}, secret), ErrUnauthenticated, "not right"},
		{"huge password", right(Credentials{Handle: "ada", Password: strings.Repeat("x", 1<<20)}, secret), ErrUnauthenticated, "not right"},
		{"no password yet", Credentials{Handle: "fresh"}, ErrUnauthenticated, "not right"},
		{"wrong code", Credentials{Handle: "ada", Password: password, TOTP: "000000"}, ErrUnauthenticated, "not right"},
		{"disabled", right(Credentials{Handle: "gone", Password: password}, goneSecret), ErrUnauthenticated, "not right"},
		{"code missing", Credentials{Handle: "ada", Password: password}, ErrNeedTOTP, "six digits"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			token, _, err := b.SignIn(t.Context(), c.c, home)
			refused(t, err, fault.Denied, c.says)
			if !errors.Is(err, c.cause) || token != "" {
				t.Errorf("cause %v, token %q", err, token)
			}
		})
	}
}

func TestACodeWorksOnce(t *testing.T) {
	b := newBench(t)
	_, secret, _ := b.enrolled("ada")
	c := Credentials{Handle: "ada", Password: password, TOTP: b.code(secret)}
	_, _, err := b.SignIn(t.Context(), c, home)
	must(t, err)
	_, _, err = b.SignIn(t.Context(), c, home)
	refused(t, err, fault.Denied, "has been used")
	if !errors.Is(err, ErrUnauthenticated) {
		t.Error("not an unauthenticated error")
	}
	if b.events("session.refused") != 1 {
		t.Error("a replayed code leaves no event")
	}
	b.clock.add(-totpPeriod * time.Second) // a code of an earlier step, which was never used
	earlier := Credentials{Handle: "ada", Password: password, TOTP: b.code(secret)}
	_, _, err = b.SignIn(t.Context(), earlier, home)
	refused(t, err, fault.Denied, "has been used")
}

func TestSignInWithoutASecondFactorMustEnrol(t *testing.T) {
	b := newBench(t, noTOTP)
	b.enrolled("ada", access.Operator)
	b.Config.RequireTOTP = true // switched on later
	token, x, err := b.SignIn(t.Context(), Credentials{Handle: "ada", Password: password}, home)
	must(t, err)
	if !x.NeedTOTP || x.NeedPassword {
		t.Errorf("session = %+v", x)
	}
	if a, _ := b.alive(token); len(a.Roles) != 0 {
		t.Errorf("a session that must enrol has roles: %+v", a)
	}
}

// The wrong password a thousand times: refused with a time to wait, a handful of
// events, and the right password works once the wait is over.
func TestWrongPasswordAThousandTimes(t *testing.T) {
	b := newBench(t, noTOTP)
	b.enrolled("ada")
	wrong := Credentials{Handle: "ada", Password: "wrong"}
	exhausted := 0
	for range 1000 {
		_, _, err := b.SignIn(t.Context(), wrong, home)
		if fault.KindOf(err) == fault.Exhausted {
			exhausted++
			if wait := RetryAfter(err); wait <= 0 || wait > longestWait {
				t.Fatalf("wait = %v", wait)
			}
		}
		b.clock.add(50 * time.Millisecond)
	}
	if exhausted < 980 {
		t.Errorf("only %d attempts were held back", exhausted)
	}
	if n := b.events("session.refused"); n != 3 { // near the 1st, 10th and 100th; the 1000th was not looked at
		t.Errorf("%d events for a thousand failures", n)
	}
	if n := b.FailedSignIns(); n != 1000 {
		t.Errorf("FailedSignIns = %d", n)
	}
	right := Credentials{Handle: "ada", Password: password}
	_, _, err := b.SignIn(t.Context(), right, home)
	refused(t, err, fault.Exhausted, "Try again in")
	b.clock.add(longestWait)
	_, _, err = b.SignIn(t.Context(), right, home)
	must(t, err)
}

// Only somebody who has the password can send wrong codes; they wait longer, and
// the wait holds even for the right one.
func TestWrongCodesWaitLonger(t *testing.T) {
	b := newBench(t)
	_, secret, _ := b.enrolled("ada")
	guess := Credentials{Handle: "ada", Password: password, TOTP: "000000"}
	var err error
	for range 40 {
		b.clock.add(longestWait)
		_, _, err = b.SignIn(t.Context(), guess, home)
	}
	refused(t, err, fault.Exhausted, "Try again")
	if RetryAfter(err) <= longestWait {
		t.Errorf("wait = %v", RetryAfter(err))
	}
	b.clock.add(longestForCode)
	b.signIn("ada", secret)
}

func TestRefusalsTakeTheirTime(t *testing.T) {
	b := newBench(t, noTOTP)
	b.enrolled("ada")
	b.answerAfter = answerAfter
	for _, handle := range []string{"ada", "nobody"} {
		start := time.Now()
		_, _, err := b.SignIn(t.Context(), Credentials{Handle: handle, Password: "wrong"}, home)
		refused(t, err, fault.Denied, "not right")
		if took := time.Since(start); took < answerAfter {
			t.Errorf("%s: answered after %v", handle, took)
		}
	}
}

func TestThrottleForUnknownNamesAndAddresses(t *testing.T) {
	b := newBench(t, noTOTP)
	b.enrolled("ada")
	t.Run("an unknown name waits like a known one", func(t *testing.T) {
		var err error
		for range freeForAccount + 1 {
			_, _, err = b.SignIn(t.Context(), Credentials{Handle: "nobody", Password: "x"}, Client{Address: "198.51.100.1"})
		}
		refused(t, err, fault.Exhausted, "Try again")
	})
	t.Run("an address that tries many names waits", func(t *testing.T) {
		var err error
		for i := range freeForAddress + 1 {
			_, _, err = b.SignIn(t.Context(), Credentials{Handle: "guess" + string(rune('a'+i)), Password: "x"}, Client{Address: "203.0.113.9"})
		}
		refused(t, err, fault.Exhausted, "Try again")
	})
	t.Run("others are not held back", func(t *testing.T) {
		_, _, err := b.SignIn(t.Context(), Credentials{Handle: "ada", Password: password}, Client{Address: "2001:db8::1"})
		must(t, err)
	})
}

func TestStepUp(t *testing.T) {
	b := newBench(t)
	_, secret, _ := b.enrolled("ada")
	token, _ := b.signIn("ada", secret)
	b.clock.add(6 * time.Minute)
	if _, x := b.alive(token); x.Fresh(b.clock.now()) {
		t.Error("still fresh after six minutes")
	}
	_, _, err := b.StepUp(t.Context(), token, "wrong", b.code(secret), home)
	refused(t, err, fault.Denied, "not right")
	if errors.Is(err, ErrUnauthenticated) {
		t.Error("a wrong password looks like a session that has ended")
	}
	_, _, err = b.StepUp(t.Context(), token, password, "", home)
	if !errors.Is(err, ErrNeedTOTP) {
		t.Errorf("got %v", err)
	}
	next, x, err := b.StepUp(t.Context(), token, password, b.code(secret), home)
	must(t, err)
	if !x.Fresh(b.clock.now()) {
		t.Error("not fresh after a step-up")
	}
	b.gone(token) // rotated
	b.alive(next)
	_, _, err = b.StepUp(t.Context(), token, password, b.code(secret), home)
	if !errors.Is(err, ErrUnauthenticated) {
		t.Errorf("the old token: %v", err)
	}
}

func TestRehashWithTodaysCost(t *testing.T) {
	b := newBench(t, noTOTP)
	ada, _, _ := b.enrolled("ada")
	salt := newSalt()
	weak := strings.Replace(encodeHash(salt, derive(password, salt, params{16, 1, 1})), "m=19456,t=2,p=1", "m=16,t=1,p=1", 1)
	must(t, b.DB.Update(t.Context(), func(tx *store.Tx) error {
		_, err := tx.Exec(`UPDATE person SET password = ? WHERE id = ?`, weak, ada.ID)
		return err
	}))
	for range 2 {
		_, _, err := b.SignIn(t.Context(), Credentials{Handle: "ada", Password: password}, home)
		must(t, err)
	}
	a, err := b.account(t.Context(), byID(ada.ID))
	must(t, err)
	if outdated(a.phc) || a.phc == weak {
		t.Errorf("the stored hash is %q", a.phc)
	}
}
