package identity

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"tresor/app/access"
	"tresor/app/audit"
	"tresor/app/config"
	"tresor/app/fault"
	"tresor/app/store"

	"github.com/pquerna/otp/totp"
)

// bench is a Service on a real database with a clock that tests move.
type bench struct {
	*Service
	t     *testing.T
	path  string
	clock *clock
	ids   int
	roles map[string]map[string]access.Role // memberships by person
	mu    sync.Mutex
	ended []string
}

type clock struct {
	mu sync.Mutex
	t  time.Time
}

func (c *clock) now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.t
}

func (c *clock) add(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.t = c.t.Add(d)
}

const password = "four quiet horses read"

var home = Client{Address: "192.0.2.1"}

func newBench(t *testing.T, change ...func(*Deps)) *bench {
	t.Helper()
	b := &bench{t: t, path: filepath.Join(t.TempDir(), "tresor.db"), roles: map[string]map[string]access.Role{},
		clock: &clock{t: time.Date(2026, 11, 24, 9, 0, 0, 0, time.UTC)}}
	db, err := store.Open(t.Context(), b.path, store.Options{Now: b.clock.now})
	must(t, err)
	t.Cleanup(func() { must(t, db.Close()) })
	log, err := audit.Open(t.Context(), db, filepath.Join(t.TempDir(), "audit.key"), "tresor/test")
	must(t, err)
	key, err := LoadKey(filepath.Join(t.TempDir(), "identity.key"))
	must(t, err)
	d := Deps{DB: db, Log: log, IDs: b.id, Now: b.clock.now, Key: key, Config: config.Default().Identity, Site: "Test site",
		URL: func() string { return "https://tresor.example" }, Memberships: b.memberships, Ended: b.noteEnded}
	for _, f := range change {
		f(&d)
	}
	b.Service, err = New(d)
	must(t, err)
	b.answerAfter = 0 // see TestRefusalsTakeTheirTime
	return b
}

func inDemo(d *Deps) { d.Demo = true }
func noTOTP(d *Deps) { d.Config.RequireTOTP = false }
func (b *bench) id() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.ids++
	return fmt.Sprintf("id-%03d", b.ids)
}

func (b *bench) memberships(_ *store.Tx, person string) (map[string]access.Role, error) {
	return b.roles[person], nil
}

func (b *bench) noteEnded(ids []string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.ended = append(b.ended, ids...)
}

var operator = access.Actor{ID: "op", Handle: "op", Roles: []access.Role{access.Operator}, Via: "web"}

func (b *bench) person(handle string, roles ...access.Role) Person {
	b.t.Helper()
	p, err := b.CreatePerson(b.t.Context(), operator, Draft{Handle: handle, Name: "Name of " + handle, Roles: roles})
	must(b.t, err)
	return p
}

// enrolled makes a person who has a password and a second factor, and returns
// the factor's secret and the token of the session it was made in.
func (b *bench) enrolled(handle string, roles ...access.Role) (p Person, secret, token string) {
	b.t.Helper()
	p = b.person(handle, roles...)
	link, err := b.IssueLink(b.t.Context(), operator, p.ID, KindEnrol)
	must(b.t, err)
	token, _, err = b.OpenLink(b.t.Context(), link.Token, home)
	must(b.t, err)
	token, _, err = b.SetPassword(b.t.Context(), token, "", "", password, home)
	must(b.t, err)
	if !b.Config.RequireTOTP {
		return p, "", token
	}
	e, err := b.BeginTOTP(b.t.Context(), token)
	must(b.t, err)
	token, _, err = b.ConfirmTOTP(b.t.Context(), token, b.code(e.Secret), home)
	must(b.t, err)
	return p, e.Secret, token
}

// code returns the code that an app shows now and moves the clock on, so that
// the next one is another.
func (b *bench) code(secret string) string {
	b.t.Helper()
	b.clock.add(totpPeriod * time.Second)
	c, err := totp.GenerateCode(secret, b.clock.now())
	must(b.t, err)
	return c
}

func (b *bench) signIn(handle, secret string) (string, Session) {
	b.t.Helper()
	token, x, err := b.SignIn(b.t.Context(), Credentials{Handle: handle, Password: password, TOTP: b.code(secret)}, home)
	must(b.t, err)
	return token, x
}

// events counts the audit events of a verb.
func (b *bench) events(verb string) (n int) {
	b.t.Helper()
	must(b.t, b.DB.View(b.t.Context(), func(tx *store.Tx) error {
		return tx.QueryRow(`SELECT count(*) FROM audit_leaf WHERE verb = ?`, verb).Scan(&n)
	}))
	return n
}

func (b *bench) gone(token string) {
	b.t.Helper()
	if _, _, err := b.Session(b.t.Context(), token); !errors.Is(err, ErrUnauthenticated) {
		b.t.Errorf("the session still works: %v", err)
	}
}

func (b *bench) alive(token string) (access.Actor, Session) {
	b.t.Helper()
	a, x, err := b.Session(b.t.Context(), token)
	must(b.t, err)
	return a, x
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func refused(t *testing.T, err error, kind fault.Kind, says string) {
	t.Helper()
	if err == nil {
		t.Fatal("accepted")
	}
	if got := fault.KindOf(err); got != kind || !strings.Contains(fault.Message(err), says) {
		t.Errorf("got %v %q, want %v with %q", got, fault.Message(err), kind, says)
	}
}

func TestNewRefusesAShortKey(t *testing.T) {
	if _, err := New(Deps{Key: []byte("short")}); err == nil {
		t.Error("accepted")
	}
}

func TestSweep(t *testing.T) {
	b := newBench(t)
	_, _, token := b.enrolled("ada")
	must(t, b.Sweep(t.Context()))
	b.alive(token)
	b.clock.add((30 + 4) * 24 * time.Hour) // the link lives for 3 days
	must(t, b.Sweep(t.Context()))
	var links, sessions int
	must(t, b.DB.View(t.Context(), func(tx *store.Tx) error {
		return errors.Join(tx.QueryRow(`SELECT count(*) FROM signin_link`).Scan(&links), tx.QueryRow(`SELECT count(*) FROM session`).Scan(&sessions))
	}))
	if links != 0 || sessions != 0 {
		t.Errorf("%d old links and %d old sessions are left", links, sessions)
	}
}

// A change that cannot be audited does not happen: the log's table is full of
// triggers that refuse, here it is made to refuse everything.
func TestNoChangeWithoutItsEvent(t *testing.T) {
	b := newBench(t, inDemo, noTOTP)
	p, _, token := b.enrolled("ada")
	demo, err := b.IssueLink(t.Context(), operator, p.ID, KindDemo)
	must(t, err)
	must(t, b.DB.Update(t.Context(), func(tx *store.Tx) error {
		_, err := tx.Exec(`CREATE TRIGGER no_more BEFORE INSERT ON audit_leaf BEGIN SELECT RAISE(ABORT, 'log broken'); END`)
		return err
	}))
	before := b.dump()
	name, off := "Other", true
	writes := map[string]func(ctx context.Context) error{
		"create": func(ctx context.Context) error {
			_, err := b.CreatePerson(ctx, operator, Draft{Handle: "bob", Name: "Bob"})
			return err
		},
		"change": func(ctx context.Context) error {
			_, err := b.ChangePerson(ctx, operator, p.ID, Change{Name: &name})
			return err
		},
		"disable": func(ctx context.Context) error {
			_, err := b.ChangePerson(ctx, operator, p.ID, Change{Disabled: &off, Reason: "Left."})
			return err
		},
		"link":      func(ctx context.Context) error { _, err := b.IssueLink(ctx, operator, p.ID, KindEnrol); return err },
		"open link": func(ctx context.Context) error { _, _, err := b.OpenLink(ctx, demo.Token, home); return err },
		"sign in": func(ctx context.Context) error {
			_, _, err := b.SignIn(ctx, Credentials{Handle: "ada", Password: password}, home)
			return err
		},
		"wrong": func(ctx context.Context) error {
			_, _, err := b.SignIn(ctx, Credentials{Handle: "ada", Password: "x"}, home)
			return err
		},
		"step up": func(ctx context.Context) error { _, _, err := b.StepUp(ctx, token, password, "", home); return err },
		"password": func(ctx context.Context) error {
			_, _, err := b.SetPassword(ctx, token, password, "", "another good sentence", home)
			return err
		},
		"sign out":     func(ctx context.Context) error { return b.SignOut(ctx, token) },
		"end sessions": func(ctx context.Context) error { return b.EndSessions(ctx, operator, p.ID) },
		"bootstrap":    func(ctx context.Context) error { _, _, err := b.Bootstrap(ctx, "root1", "Root"); return err },
	}
	for name, write := range writes {
		if err := write(t.Context()); err == nil {
			t.Errorf("%s: done without its audit event", name)
		}
	}
	if after := b.dump(); after != before {
		t.Errorf("rows changed:\n%s\n%s", before, after)
	}
}

// dump prints every row of the package's tables.
func (b *bench) dump() string {
	var out strings.Builder
	must(b.t, b.DB.View(b.t.Context(), func(tx *store.Tx) error {
		for _, q := range []string{
			`SELECT id || handle || name || roles || disabled || password || totp_step FROM person ORDER BY id`,
			`SELECT hash || person || kind || ifnull(used_at, '-') FROM signin_link ORDER BY hash`,
			`SELECT id || hash || person || ifnull(ended_at, '-') FROM session ORDER BY id`,
		} {
			rows, err := tx.Query(q)
			if err != nil {
				return err
			}
			lines, err := texts(rows)
			if err != nil {
				return err
			}
			out.WriteString(strings.Join(lines, "\n") + "\n")
		}
		return nil
	}))
	return out.String()
}
