package api

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/pquerna/otp/totp"

	"tresor/app/access"
	"tresor/app/identity"
)

const goodPassword = "four calm otters swim north"

// browser keeps its cookie as a real one does.
type browser struct {
	w      *world
	cookie string
}

func (b *browser) send(t *testing.T, method, path, body string) reply {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, b.w.http.URL+prefix+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Origin", b.w.http.URL)
	req.Header.Set("Sec-Fetch-Site", "same-origin")
	if b.cookie != "" {
		req.AddCookie(&http.Cookie{Name: cookieName, Value: b.cookie})
	}
	r := b.w.do(t, req)
	for _, k := range (&http.Response{Header: r.header}).Cookies() {
		if k.Name == cookieName {
			b.keep(t, k)
		}
	}
	return r
}

func (b *browser) keep(t *testing.T, k *http.Cookie) {
	t.Helper()
	if !k.Secure || !k.HttpOnly || k.SameSite != http.SameSiteStrictMode || k.Path != "/" || k.Domain != "" {
		t.Errorf("the cookie is not a strict __Host- cookie: %s", k)
	}
	b.cookie = k.Value
	if k.MaxAge < 0 {
		b.cookie = ""
	}
}

// enrol takes a person from a one-time link to a finished account, and returns
// the secret of the authenticator.
func (b *browser) enrol(t *testing.T, column string) string {
	t.Helper()
	w := b.w
	link, err := w.server.Identity.IssueLink(t.Context(), access.System, w.people[column].ID, identity.KindEnrol)
	if err != nil {
		t.Fatal(err)
	}
	var s Session
	b.send(t, "POST", "/session/link", `{"token":"`+link.Token+`"}`).want(t, 200).into(t, &s)
	if !s.MustEnrol || !s.NeedPassword || !s.NeedTOTP {
		t.Fatalf("a new person has to enrol: %+v", s)
	}
	if r := b.send(t, "GET", "/home", "").want(t, 403); !strings.Contains(r.body, codeEnrol) {
		t.Fatal(r.body)
	}
	b.send(t, "POST", "/session/password", `{"password":"short"}`).want(t, 400)
	b.send(t, "POST", "/session/password", `{"password":"`+goodPassword+`"}`).want(t, 200)
	var e identity.Enrolment
	b.send(t, "POST", "/session/totp", ``).want(t, 200).into(t, &e)
	b.send(t, "POST", "/session/totp/confirm", `{"code":"000000"}`).want(t, 400)
	b.send(t, "POST", "/session/totp/confirm", `{"code":"`+w.code(t, e.Secret)+`"}`).want(t, 200).into(t, &s)
	if s.MustEnrol || !s.TOTP {
		t.Fatalf("the account is not finished: %+v", s)
	}
	return e.Secret
}

func (w *world) code(t *testing.T, secret string) string {
	t.Helper()
	code, err := totp.GenerateCode(secret, w.now())
	if err != nil {
		t.Fatal(err)
	}
	return code
}

func (w *world) wait(d time.Duration) { w.skew.Add(int64(d)) }

func TestEnrolSignInAndStepUp(t *testing.T) {
	w := buildWorld(t, options{limits: unlimited, real: true})
	b := &browser{w: w}
	secret := b.enrol(t, "operator")
	old := b.cookie
	b.send(t, "DELETE", "/session", "").want(t, 204)
	if b.cookie != "" {
		t.Error("signing out has to clear the cookie")
	}
	b.cookie = old
	b.send(t, "GET", "/session", "").want(t, 401)
	b.cookie = ""

	w.wait(time.Minute)
	for name, body := range map[string]string{
		"unknown name":   `{"handle":"nobody","password":"` + goodPassword + `","totp":"` + w.code(t, secret) + `"}`,
		"wrong password": `{"handle":"olga","password":"wrong","totp":"` + w.code(t, secret) + `"}`,
		"wrong code":     `{"handle":"olga","password":"` + goodPassword + `","totp":"123456"}`,
	} {
		r := b.send(t, "POST", "/session", body).want(t, 401)
		if !strings.Contains(r.body, "The sign-in name, password or code is not right.") || !strings.Contains(r.body, codeSignIn) {
			t.Errorf("%s: the answer tells which part was wrong: %s", name, r.body)
		}
	}
	if r := b.send(t, "POST", "/session", `{"handle":"olga","password":"`+goodPassword+`"}`).want(t, 401); !strings.Contains(r.body, codeNeedTOTP) {
		t.Error(r.body)
	}
	w.wait(2 * time.Minute)
	b.send(t, "POST", "/session", `{"handle":"olga","password":"`+goodPassword+`","totp":"`+w.code(t, secret)+`"}`).want(t, 200)

	create := `{"handle":"fresh1","name":"Fresh One"}`
	b.send(t, "POST", "/people", create).want(t, 201)
	w.wait(6 * time.Minute)
	r := b.send(t, "POST", "/people", `{"handle":"fresh2","name":"Fresh Two"}`).want(t, 403)
	if !strings.Contains(r.body, codeStepUp) {
		t.Error(r.body)
	}
	b.send(t, "GET", "/people", "").want(t, 200)
	b.send(t, "PATCH", "/projects/aurora", `{"name":"Renamed"}`).want(t, 200)
	before := b.cookie
	b.send(t, "POST", "/session/step-up", `{"password":"wrong","totp":"`+w.code(t, secret)+`"}`).want(t, 403)
	b.send(t, "POST", "/session/step-up", `{"password":"`+goodPassword+`","totp":"`+w.code(t, secret)+`"}`).want(t, 200)
	if b.cookie == before {
		t.Error("the token has to change at the step-up")
	}
	b.send(t, "POST", "/people", `{"handle":"fresh2","name":"Fresh Two"}`).want(t, 201)
	stolen := &browser{w: w, cookie: before}
	stolen.send(t, "GET", "/session", "").want(t, 401)
}

func TestSetPasswordRotatesAndEndsOthers(t *testing.T) {
	w := buildWorld(t, options{limits: unlimited, real: true})
	first := &browser{w: w}
	secret := first.enrol(t, "researcher")
	w.wait(time.Minute)
	second := &browser{w: w}
	second.send(t, "POST", "/session", `{"handle":"rosa","password":"`+goodPassword+`","totp":"`+w.code(t, secret)+`"}`).want(t, 200)
	w.wait(time.Minute)
	second.send(t, "POST", "/session/password", `{"current":"wrong","totp":"`+w.code(t, secret)+`","password":"six brave herons fly at dusk"}`).want(t, 403)
	second.send(t, "POST", "/session/password", `{"current":"`+goodPassword+`","totp":"`+w.code(t, secret)+`","password":"six brave herons fly at dusk"}`).want(t, 200)
	second.send(t, "GET", "/home", "").want(t, 200)
	first.send(t, "GET", "/home", "").want(t, 401)
}

func TestSessionsEnd(t *testing.T) {
	cases := []struct {
		name string
		do   func(w *world)
	}{
		{"when nobody uses them", func(w *world) { w.wait(31 * time.Minute) }},
		{"when the account is disabled", func(w *world) {
			w.as(t, "operator", "PATCH", "/people/"+w.people["researcher"].ID, `{"disabled":true,"reason":"Left."}`).want(t, 200)
		}},
		{"when roles change", func(w *world) {
			w.as(t, "operator", "PATCH", "/people/"+w.people["researcher"].ID, `{"roles":["auditor"]}`).want(t, 200)
		}},
		{"when an operator ends them", func(w *world) {
			w.as(t, "operator", "DELETE", "/people/"+w.people["researcher"].ID+"/sessions", nil).want(t, 204)
		}},
		{"when they sign out", func(w *world) { w.as(t, "researcher", "DELETE", "/session", nil).want(t, 204) }},
	}
	for _, tc := range cases {
		t.Run(tc.name, func(t *testing.T) {
			w := newWorld(t)
			w.token(t, "operator")
			w.as(t, "researcher", "GET", "/home", nil).want(t, 200)
			tc.do(w)
			r := w.as(t, "researcher", "GET", "/home", nil).want(t, 401)
			if !strings.Contains(r.header.Get("Set-Cookie"), "Max-Age=0") {
				t.Error("the dead cookie stays in the browser")
			}
		})
	}
}

func TestMembershipBindsAtOnce(t *testing.T) {
	w := newWorld(t)
	w.as(t, "researcher", "GET", "/projects/aurora", nil).want(t, 200)
	w.as(t, "operator", "POST", "/projects/aurora/members/"+w.people["researcher"].ID+"/remove", `{"reason":"Left."}`).want(t, 200)
	w.as(t, "researcher", "GET", "/projects/aurora", nil).want(t, 403)
	for _, path := range []string{"/projects", "/datasets", "/jobs"} {
		var all List[any]
		if w.as(t, "researcher", "GET", path, nil).want(t, 200).into(t, &all); len(all.Items) != 0 {
			t.Errorf("%s shows a person without a project %v", path, all.Items)
		}
	}
}

func TestAStaleCookieDoesNotKeepAnybodyOut(t *testing.T) {
	w := newWorld(t)
	b := &browser{w: w, cookie: "stale"}
	b.send(t, "GET", "/server", "").want(t, 200)
	link, err := w.server.Identity.IssueLink(t.Context(), access.System, w.people["researcher"].ID, identity.KindDemo)
	if err != nil {
		t.Fatal(err)
	}
	b.send(t, "POST", "/session/link", `{"token":"`+link.Token+`"}`).want(t, 200)
	b.send(t, "POST", "/session/link", `{"token":"`+link.Token+`"}`).want(t, 401)
}

func TestOwnSessions(t *testing.T) {
	w := newWorld(t)
	var mine, theirs List[identity.Session]
	w.as(t, "researcher", "GET", "/sessions", nil).want(t, 200).into(t, &mine)
	w.as(t, "lead", "GET", "/sessions", nil).want(t, 200).into(t, &theirs)
	if len(mine.Items) != 1 {
		t.Fatalf("got %+v", mine)
	}
	w.as(t, "researcher", "DELETE", "/sessions/"+theirs.Items[0].ID, nil).want(t, 403)
	w.as(t, "researcher", "DELETE", "/sessions/"+mine.Items[0].ID, nil).want(t, 204)
	w.as(t, "researcher", "GET", "/sessions", nil).want(t, 401)
}

func TestEndingAnothersSessionNeedsAFreshProof(t *testing.T) {
	w := buildWorld(t, options{limits: unlimited, real: true})
	operator, other := &browser{w: w}, &browser{w: w}
	operator.enrol(t, "operator")
	other.enrol(t, "researcher")
	var mine, theirs List[identity.Session]
	operator.send(t, "GET", "/sessions", "").want(t, 200).into(t, &mine)
	other.send(t, "GET", "/sessions", "").want(t, 200).into(t, &theirs)
	w.wait(6 * time.Minute)
	if r := operator.send(t, "DELETE", "/sessions/"+theirs.Items[0].ID, "").want(t, 403); !strings.Contains(r.body, codeStepUp) {
		t.Error(r.body)
	}
	other.send(t, "GET", "/sessions", "").want(t, 200)
	operator.send(t, "DELETE", "/sessions/"+mine.Items[0].ID, "").want(t, 204)
}
