package gateway

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"strings"
	"time"

	"tresor/app/access"
	"tresor/app/audit"
	"tresor/app/fault"
	"tresor/app/store"
)

const (
	tokenPrefix = "trs_"
	tokenBytes  = 32
	tokenLength = len(tokenPrefix) + 43 // of base64url without padding
	clientDays  = 365                   // for which a client's token is good
	mostTokens  = 20                    // of one person that are good at a time
	day         = 24 * time.Hour
)

// newToken returns an unguessable text that is safe in a header.
func newToken() string {
	b := make([]byte, tokenBytes)
	rand.Read(b) // never fails: crypto/rand ends the program instead
	return tokenPrefix + base64.RawURLEncoding.EncodeToString(b)
}

// tokenHash is how the table keeps a token; false for what cannot be one.
func tokenHash(token string) (string, bool) {
	secret, ok := strings.CutPrefix(token, tokenPrefix)
	if !ok || len(token) != tokenLength {
		return "", false
	}
	if _, err := base64.RawURLEncoding.Strict().DecodeString(secret); err != nil {
		return "", false
	}
	return digest([]byte(token)), true
}

// NewToken makes the bearer token of a client, in place of the one before. It is
// shown once and good for a year. Errors: Denied, NotFound, Conflict for hubs,
// which have keys.
func (s *Service) NewToken(ctx context.Context, actor access.Actor, id string) (string, error) {
	const op = "gateway.NewToken"
	if err := access.May(actor, access.FederationManage, access.Thing{}); err != nil {
		return "", err
	}
	token := newToken()
	err := s.update(ctx, func(tx *store.Tx) error {
		p, err := s.find(tx, id)
		switch {
		case err != nil:
			return err
		case p.State == Revoked:
			return fault.New(op, fault.Conflict, "%s was revoked for good and gets no token.", p.Name)
		case p.Kind != Client:
			return fault.New(op, fault.Conflict, "%s is a hub and proves itself with its key over its link. It needs no token.", p.Name)
		}
		now := store.Millis(tx.Now())
		if _, err := tx.Exec(`UPDATE gateway_token SET revoked_at = ? WHERE principal = ? AND revoked_at IS NULL`, now, p.ID); err != nil {
			return err
		}
		tid := s.IDs()
		_, err = tx.Exec(`INSERT INTO gateway_token (id, hash, principal, name, created_at, expires_at) VALUES (?, ?, ?, ?, ?, ?)`,
			tid, digest([]byte(token)), p.ID, p.Name, now, store.Millis(tx.Now().Add(clientDays*day)))
		if err != nil {
			return err
		}
		s.changed(tx)
		_, err = s.Log.Append(tx, audit.By(actor, "gateway.token-made", Subject(p.ID), "", "token", tid))
		return err
	})
	if err != nil {
		return "", fault.Wrap(op, err)
	}
	return token, nil
}

const tokenColumns = `id, name, project, created_at, expires_at, last_used, revoked_at IS NOT NULL`

// Tokens lists the actor's own tokens, newest first.
func (s *Service) Tokens(ctx context.Context, actor access.Actor) ([]Token, error) {
	list := []Token{}
	err := s.DB.View(ctx, func(tx *store.Tx) error {
		rows, err := tx.Query(`SELECT `+tokenColumns+` FROM gateway_token WHERE person = ? ORDER BY id DESC`, actor.ID)
		if err != nil {
			return err
		}
		defer rows.Close()
		for rows.Next() {
			t, err := scanToken(rows)
			if err != nil {
				return err
			}
			list = append(list, t)
		}
		if err := rows.Err(); err != nil {
			return err
		}
		_ = rows.Close()
		return s.nameTokens(tx, list)
	})
	return list, fault.Wrap("gateway.Tokens", err)
}

func scanToken(row scanner) (Token, error) {
	var t Token
	var created, expires, used int64
	err := row.Scan(&t.ID, &t.Name, &t.Project, &created, &expires, &used, &t.Revoked)
	t.CreatedAt, t.ExpiresAt, t.LastUsed = store.Time(created), store.Time(expires), moment(used)
	return t, err
}

func (s *Service) nameTokens(tx *store.Tx, list []Token) error {
	for i := range list {
		p, err := s.Projects.Lookup(tx, list[i].Project)
		if err != nil {
			return err
		}
		list[i].Slug = p.Slug
	}
	return nil
}

// NewPersonToken makes a token with which programs act as the actor in one
// project, for 1 to MaxTokenDays days. The secret is returned once. Errors:
// Denied, NotFound, Invalid, Exhausted.
func (s *Service) NewPersonToken(ctx context.Context, actor access.Actor, name, projectID string, days int) (Token, string, error) {
	const op = "gateway.NewPersonToken"
	name = strings.TrimSpace(name)
	if name == "" || line(name, 100) != name {
		return Token{}, "", fault.New(op, fault.Invalid, "Give the token a name in one line, so that you know later what uses it.")
	}
	if days < 1 || days > MaxTokenDays {
		return Token{}, "", fault.New(op, fault.Invalid, "A token is good for 1 to %d days. Choose a number of days in that range.", MaxTokenDays)
	}
	secret := newToken()
	var t Token
	err := s.update(ctx, func(tx *store.Tx) error {
		p, err := s.Projects.Lookup(tx, projectID)
		if err != nil {
			return err
		}
		if err := access.May(actor, access.TokenMake, access.Thing{Project: p.ID, Owner: actor.ID, Person: actor.ID}); err != nil {
			return err
		}
		if err := s.roomForToken(tx, actor.ID); err != nil {
			return err
		}
		t = Token{ID: s.IDs(), Name: name, Project: p.ID, Slug: p.Slug, CreatedAt: tx.Now(), ExpiresAt: tx.Now().Add(time.Duration(days) * day)}
		_, err = tx.Exec(`INSERT INTO gateway_token (id, hash, person, project, name, created_at, expires_at) VALUES (?, ?, ?, ?, ?, ?, ?)`,
			t.ID, digest([]byte(secret)), actor.ID, p.ID, name, store.Millis(t.CreatedAt), store.Millis(t.ExpiresAt))
		if err != nil {
			return err
		}
		_, err = s.Log.Append(tx, audit.By(actor, "gateway.token-made", "token:"+t.ID, p.ID))
		return err
	})
	if err != nil {
		return Token{}, "", fault.Wrap(op, err)
	}
	return t, secret, nil
}

func (s *Service) roomForToken(tx *store.Tx, person string) error {
	var n int
	err := tx.QueryRow(`SELECT count(*) FROM gateway_token WHERE person = ? AND revoked_at IS NULL AND expires_at > ?`, person, store.Millis(tx.Now())).Scan(&n)
	if err == nil && n >= mostTokens {
		return fault.New("gateway.NewPersonToken", fault.Exhausted, "You have %d tokens that are good. Revoke one that you do not use first.", n)
	}
	return err
}

// RevokeToken ends a token: one's own, or anybody's as an operator, who has to say
// why. Ending it again is no error. Errors: Denied, NotFound, Invalid.
func (s *Service) RevokeToken(ctx context.Context, actor access.Actor, id, reason string) error {
	const op = "gateway.RevokeToken"
	return fault.Wrap(op, s.update(ctx, func(tx *store.Tx) error {
		var person, project string
		err := tx.QueryRow(`SELECT person, project FROM gateway_token WHERE id = ? AND person IS NOT NULL`, id).Scan(&person, &project)
		if store.NotFound(err) || err == nil && person != actor.ID && !access.Can(actor, access.PersonManage, access.Thing{Person: person}) {
			return fault.New(op, fault.NotFound, access.NotSeen)
		}
		if err != nil {
			return err
		}
		check := audit.OptionalReason
		if person != actor.ID {
			check = audit.Reason
		}
		reason, err := check(op, reason)
		if err != nil {
			return err
		}
		res, err := tx.Exec(`UPDATE gateway_token SET revoked_at = ? WHERE id = ? AND revoked_at IS NULL`, store.Millis(tx.Now()), id)
		if err != nil {
			return err
		}
		if n, err := res.RowsAffected(); err != nil || n == 0 {
			return err
		}
		s.changed(tx)
		_, err = s.Log.Append(tx, audit.By(actor, "gateway.token-revoked", "token:"+id, project).Because(reason))
		return err
	}))
}
