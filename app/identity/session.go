package identity

import (
	"context"
	"time"

	"tresor/app/access"
	"tresor/app/audit"
	"tresor/app/fault"
	"tresor/app/store"
)

// Session is one signed-in browser. Its token is known to that browser only.
type Session struct {
	ID           string    `json:"id"`
	Person       string    `json:"person"`
	Kind         string    `json:"kind"` // password, enrol, demo
	Address      string    `json:"address"`
	CreatedAt    time.Time `json:"created_at"`
	SeenAt       time.Time `json:"seen_at"`
	ExpiresAt    time.Time `json:"expires_at"`    // the sooner of idle and absolute limit
	FreshUntil   time.Time `json:"fresh_until"`   // sensitive actions need no step-up before
	NeedPassword bool      `json:"need_password"` // must set a password first
	NeedTOTP     bool      `json:"need_totp"`     // must confirm a second factor first

	provedAt time.Time // last proof of presence
	endsAt   time.Time // absolute limit
}

// The kinds of session: how it began.
const (
	KindPassword = "password"
	KindEnrol    = "enrol"
	KindDemo     = "demo"
)

// MustEnrol reports whether the session may only finish the account.
func (x Session) MustEnrol() bool { return x.NeedPassword || x.NeedTOTP }

// Fresh reports whether the person proved at now, or shortly before, to be present.
func (x Session) Fresh(now time.Time) bool { return now.Before(x.FreshUntil) }

const sessionColumns = `id, person, kind, need_password, need_totp, address, created_at, seen_at, proved_at, ends_at`

func scanSession(row scanner) (x Session, err error) {
	var created, seen, proved, ends int64
	err = row.Scan(&x.ID, &x.Person, &x.Kind, &x.NeedPassword, &x.NeedTOTP, &x.Address, &created, &seen, &proved, &ends)
	x.CreatedAt, x.SeenAt = store.Time(created), store.Time(seen)
	x.provedAt, x.endsAt = store.Time(proved), store.Time(ends)
	return x, err
}

// limits computes when the session ends for a person of these roles.
func (s *Service) limits(x *Session, roles []access.Role) {
	x.ExpiresAt = x.SeenAt.Add(s.idle(roles))
	if x.ExpiresAt.After(x.endsAt) {
		x.ExpiresAt = x.endsAt
	}
	x.FreshUntil = x.provedAt.Add(s.Config.StepUp.Duration)
	if x.Kind == KindDemo { // demo people have no password to prove themselves with
		x.FreshUntil = x.endsAt
	}
}

func (s *Service) idle(roles []access.Role) time.Duration {
	a := access.Actor{Roles: roles}
	if a.Has(access.Operator) || a.Has(access.Checker) {
		return s.Config.IdlePrivileged.Duration
	}
	return s.Config.Idle.Duration
}

// Session returns who holds the token, with roles and memberships as they are
// now, and counts as use of the session. Errors: Denied with ErrUnauthenticated.
func (s *Service) Session(ctx context.Context, token string) (access.Actor, Session, error) {
	actor, x, now, err := s.find(ctx, token)
	if err != nil || now.Sub(x.SeenAt) < s.touchEvery() {
		return actor, x, err
	}
	return actor, x, s.touch(ctx, &x)
}

// Peek is Session without counting as use: for long-lived connections that check
// again whether their person may still be here.
func (s *Service) Peek(ctx context.Context, token string) (access.Actor, Session, error) {
	actor, x, _, err := s.find(ctx, token)
	return actor, x, err
}

// touchEvery keeps requests from writing each time; the idle limit is exact to
// a thirtieth.
func (s *Service) touchEvery() time.Duration {
	return min(time.Minute, s.Config.IdlePrivileged.Duration/30)
}

func (s *Service) touch(ctx context.Context, x *Session) error {
	return s.DB.Update(ctx, func(tx *store.Tx) error {
		now := store.Millis(tx.Now())
		if _, err := tx.Exec(`UPDATE session SET seen_at = ? WHERE id = ? AND ended_at IS NULL`, now, x.ID); err != nil {
			return fault.Wrap("identity.touch", err)
		}
		x.SeenAt = tx.Now()
		_, err := tx.Exec(`UPDATE person SET last_seen = ? WHERE id = ?`, now, x.Person)
		return fault.Wrap("identity.touch", err)
	})
}

func (s *Service) find(ctx context.Context, token string) (actor access.Actor, x Session, now time.Time, err error) {
	err = s.DB.View(ctx, func(tx *store.Tx) error {
		now = tx.Now()
		var p Person
		if x, p, err = s.sessionOf(tx, token); err != nil {
			return err
		}
		actor, err = s.actor(tx, p, "web", x.ID)
		if x.MustEnrol() { // whoever forgets to ask MustEnrol gives nothing away
			actor.Roles, actor.Projects = nil, map[string]access.Role{}
		}
		return err
	})
	return actor, x, now, fault.Wrap("identity.Session", err)
}

// sessionOf returns the live session of a token and its person.
func (s *Service) sessionOf(tx *store.Tx, token string) (x Session, p Person, err error) {
	const op = "identity.Session"
	if token == "" {
		return x, p, unauthenticated(op, "Sign in first.")
	}
	x, err = scanSession(tx.QueryRow(`SELECT `+sessionColumns+` FROM session WHERE hash = ? AND ended_at IS NULL`, digest(token)))
	if store.NotFound(err) {
		return x, p, unauthenticated(op, "Your session has ended. Sign in again.")
	}
	if err != nil {
		return x, p, fault.Wrap(op, err)
	}
	if p, err = Lookup(tx, x.Person); err != nil {
		return x, p, err
	}
	s.limits(&x, p.Roles)
	switch {
	case p.Disabled:
		return x, p, unauthenticated(op, "This account is disabled. Ask an operator.")
	case x.Kind == KindDemo && !s.Demo: // nobody proved anything, and step-up would not ask
		return x, p, unauthenticated(op, "The demonstration has ended. Sign in.")
	case !tx.Now().Before(x.ExpiresAt):
		return x, p, unauthenticated(op, "Your session has ended because it was not used. Sign in again.")
	}
	return x, p, nil
}

func (s *Service) actor(tx *store.Tx, p Person, via, session string) (access.Actor, error) {
	memberships, err := s.Memberships(tx, p.ID)
	if err != nil {
		return access.Actor{}, fault.Wrap("identity.actor", err)
	}
	if memberships == nil {
		memberships = map[string]access.Role{}
	}
	return access.Actor{ID: p.ID, Handle: p.Handle, Name: p.Name, Roles: p.Roles, Projects: memberships, Session: session, Via: via}, nil
}

// mostSessions is how many browsers a person may be signed in with; one more
// ends the one that was used least recently.
const mostSessions = 5

// start begins a session and returns its token.
func (s *Service) start(tx *store.Tx, p Person, kind string, needPassword, needTOTP bool, c Client) (string, Session, error) {
	token, now := newToken(), tx.Now()
	x := Session{ID: s.IDs(), Person: p.ID, Kind: kind, Address: c.Address, CreatedAt: now, SeenAt: now,
		NeedPassword: needPassword, NeedTOTP: needTOTP, provedAt: now, endsAt: now.Add(s.Config.Absolute.Duration)}
	s.limits(&x, p.Roles)
	actor := access.Actor{ID: p.ID, Handle: p.Handle, Name: p.Name, Session: x.ID, Via: "web"}
	if err := s.makeRoom(tx, actor, c.Replaces); err != nil {
		return "", x, err
	}
	_, err := tx.Exec(`INSERT INTO session (id, hash, person, kind, need_password, need_totp, address, created_at, seen_at, proved_at, ends_at)
		VALUES (?,?,?,?,?,?,?,?,?,?,?)`, x.ID, digest(token), p.ID, kind, needPassword, needTOTP, c.Address,
		store.Millis(now), store.Millis(now), store.Millis(now), store.Millis(x.endsAt))
	if err != nil {
		return "", x, err
	}
	if _, err := tx.Exec(`UPDATE person SET last_seen = ? WHERE id = ?`, store.Millis(now), p.ID); err != nil {
		return "", x, err
	}
	_, err = s.Log.Append(tx, audit.By(actor, "session.opened", "session:"+x.ID, "", "kind", kind, "address", c.Address))
	return token, x, err
}

// makeRoom ends the session that this browser had and, when there are too many,
// the least recently used ones.
func (s *Service) makeRoom(tx *store.Tx, actor access.Actor, replaces string) error {
	if replaces != "" {
		if err := s.end(tx, actor, `hash = ?`, "replaced", digest(replaces)); err != nil {
			return err
		}
	}
	return s.end(tx, actor, `id IN (SELECT id FROM session WHERE person = ? AND ended_at IS NULL ORDER BY seen_at DESC, id DESC LIMIT -1 OFFSET ?)`,
		"too-many", actor.ID, mostSessions-1)
}

// rotate gives the session a new token; the old one is worth nothing from the
// commit on.
func (s *Service) rotate(tx *store.Tx, x *Session, roles []access.Role) (string, error) {
	token, now := newToken(), tx.Now()
	_, err := tx.Exec(`UPDATE session SET hash = ?, seen_at = ?, proved_at = ?, need_password = ?, need_totp = ? WHERE id = ?`,
		digest(token), store.Millis(now), store.Millis(now), x.NeedPassword, x.NeedTOTP, x.ID)
	x.SeenAt, x.provedAt = now, now
	s.limits(x, roles)
	return token, err
}
