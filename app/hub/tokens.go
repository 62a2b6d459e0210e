package hub

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"strings"
	"time"

	"tresor/app/access"
	"tresor/app/audit"
	"tresor/app/fault"
	"tresor/app/identity"
	"tresor/app/store"
)

// TokenPrefix is how a researcher's token begins, so that scanners for secrets find one.
const TokenPrefix = "trh_"

const maxTokenDays = 90

func digest(token string) string {
	sum := sha256.Sum256([]byte(token))
	return hex.EncodeToString(sum[:])
}

// NewToken makes a token of the actor's own for one project of theirs. The answer
// is the only place where it can be read.
func (s *Service) NewToken(ctx context.Context, actor access.Actor, d TokenDraft) (Token, error) {
	const op = "hub.NewToken"
	d.Name = strings.TrimSpace(d.Name)
	if err := checkName(op, "name of the token", d.Name); err != nil {
		return Token{}, err
	}
	if d.Days == 0 {
		d.Days = 30
	}
	if d.Days < 1 || d.Days > maxTokenDays {
		return Token{}, fault.New(op, fault.Invalid, "A token works for 1 to %d days, not %d.", maxTokenDays, d.Days)
	}
	var b [32]byte
	rand.Read(b[:]) // never fails: crypto/rand ends the program instead
	secret := TokenPrefix + base64.RawURLEncoding.EncodeToString(b[:])
	var t Token
	err := s.DB.Update(ctx, func(tx *store.Tx) error {
		p, err := s.visibleProject(tx, actor, d.Project)
		if err != nil {
			return err
		}
		if err := access.May(actor, access.HubToken, access.Thing{Project: p.ID}); err != nil {
			return err
		}
		now := tx.Now()
		t = Token{ID: s.IDs(), Name: d.Name, Project: p.ID, ProjectSlug: p.Slug, Handle: actor.Handle, CreatedAt: now, ExpiresAt: now.AddDate(0, 0, d.Days)}
		_, err = tx.Exec(`INSERT INTO hub_token (id, hash, person, project, name, created_at, expires_at) VALUES (?, ?, ?, ?, ?, ?, ?)`,
			t.ID, digest(secret), actor.ID, p.ID, t.Name, store.Millis(now), store.Millis(t.ExpiresAt))
		if err != nil {
			return err
		}
		return s.note(tx, actor, "token.made", "token:"+t.ID, p.ID)
	})
	t.Token = secret
	if err != nil {
		return Token{}, fault.Wrap(op, err)
	}
	return t, nil
}

// Tokens lists the actor's own tokens, newest first; an operator sees all.
func (s *Service) Tokens(ctx context.Context, actor access.Actor) (all []Token, err error) {
	const op = "hub.Tokens"
	if err := access.May(actor, access.HubRead, access.Thing{}); err != nil {
		return nil, fault.Wrap(op, err)
	}
	all = []Token{}
	err = s.DB.View(ctx, func(tx *store.Tx) error {
		rows, err := tx.Query(`SELECT t.id, t.name, t.person, t.project, p.slug, t.created_at, t.expires_at, t.used_at, t.revoked_at
			FROM hub_token t JOIN hub_project p ON p.id = t.project WHERE t.person = ? OR ? ORDER BY t.id DESC`, actor.ID, actor.Has(access.Operator))
		if err != nil {
			return err
		}
		defer rows.Close()
		var owners []string
		for rows.Next() {
			var t Token
			var person string
			var created, expires int64
			var used, revoked *int64
			if err := rows.Scan(&t.ID, &t.Name, &person, &t.Project, &t.ProjectSlug, &created, &expires, &used, &revoked); err != nil {
				return err
			}
			t.CreatedAt, t.ExpiresAt, t.LastUsed, t.RevokedAt = store.Time(created), store.Time(expires), when(used), when(revoked)
			all, owners = append(all, t), append(owners, person)
		}
		if err := rows.Err(); err != nil {
			return err
		}
		for i, id := range owners {
			who, err := identity.Lookup(tx, id)
			if err != nil {
				return err
			}
			all[i].Handle = who.Handle
		}
		return nil
	})
	return all, fault.Wrap(op, err)
}

// RevokeToken ends a token of the actor's own; an operator may end every one and then
// has to say why. The reason is kept with the event.
func (s *Service) RevokeToken(ctx context.Context, actor access.Actor, id, reason string) error {
	const op = "hub.RevokeToken"
	return fault.Wrap(op, s.DB.Update(ctx, func(tx *store.Tx) error {
		var person, project string
		var revoked *int64
		err := tx.QueryRow(`SELECT person, project, revoked_at FROM hub_token WHERE id = ?`, id).Scan(&person, &project, &revoked)
		if store.NotFound(err) || err == nil && person != actor.ID && !actor.Has(access.Operator) {
			return fault.New(op, fault.NotFound, access.NotSeen)
		}
		if err != nil || revoked != nil {
			return err
		}
		check := audit.Reason
		if person == actor.ID {
			check = audit.OptionalReason
		}
		reason, err := check(op, reason)
		if err != nil {
			return err
		}
		if _, err := tx.Exec(`UPDATE hub_token SET revoked_at = ? WHERE id = ?`, store.Millis(tx.Now()), id); err != nil {
			return err
		}
		return s.because(tx, reason, audit.By(actor, "token.revoked", "token:"+id, project))
	}))
}

// caller is who sends tasks.
type caller struct {
	token       string // id
	person      string
	handle      string
	name        string
	project     string // id
	projectSlug string
	role        access.Role
	open        bool // the project takes new tasks
}

func (c caller) actor() access.Actor {
	return access.Actor{ID: c.person, Handle: c.handle, Name: c.name, Projects: map[string]access.Role{c.project: c.role}, Session: c.token, Via: "token"}
}

var errToken = fault.New("hub.caller", fault.Denied, "The token is missing, was revoked or has expired. Make a new one at the hub and send it as Authorization: Bearer.")

// callerOf finds who holds a token. Whoever left the project or was disabled holds
// none, whatever the token says.
func (s *Service) callerOf(ctx context.Context, token string) (c caller, err error) {
	if !strings.HasPrefix(token, TokenPrefix) || len(token) > 100 {
		return c, errToken
	}
	var used *int64
	var now time.Time
	err = s.DB.View(ctx, func(tx *store.Tx) error {
		now = tx.Now()
		var state string
		err := tx.QueryRow(`SELECT t.id, t.person, t.project, p.slug, p.state, m.role, t.used_at FROM hub_token t JOIN hub_project p ON p.id = t.project
			JOIN hub_member m ON m.project = t.project AND m.person = t.person WHERE t.hash = ? AND t.revoked_at IS NULL AND t.expires_at > ?`,
			digest(token), store.Millis(now)).Scan(&c.token, &c.person, &c.project, &c.projectSlug, &state, &c.role, &used)
		if store.NotFound(err) {
			return errToken
		}
		if err != nil {
			return err
		}
		c.open = state == Open
		who, err := identity.Lookup(tx, c.person)
		if err == nil && who.Disabled {
			return errToken
		}
		c.handle, c.name = who.Handle, who.Name
		return err
	})
	if err != nil || used != nil && now.Sub(store.Time(*used)) < time.Minute {
		return c, err
	}
	err = s.DB.Update(ctx, func(tx *store.Tx) error {
		_, err := tx.Exec(`UPDATE hub_token SET used_at = ? WHERE id = ?`, store.Millis(tx.Now()), c.token)
		return err
	})
	return c, err
}
