package api

import (
	"context"
	"errors"
	"net/http"
	"time"

	"tresor/app/access"
	"tresor/app/audit"
	"tresor/app/identity"
	"tresor/app/store"
)

// caller is who stands at the door.
type caller struct {
	actor     access.Actor
	session   string // session id, or "local:<uid>"
	token     string // of the cookie
	record    identity.Session
	address   string // of the network; "" at the local socket
	local     bool   // came through the local socket
	fresh     bool   // proved recently to be present
	mustEnrol bool   // may only finish the account
}

func (who caller) signedIn() bool { return who.session != "" }

// authenticate finds out who asks. A public route is served to strangers too,
// and a stale cookie does not keep anybody from signing in.
func (s *Server) authenticate(c *call) error {
	if c.who.local {
		return s.authenticateLocal(c)
	}
	cookie, err := c.r.Cookie(cookieName)
	if err != nil || cookie.Value == "" {
		return nil
	}
	actor, x, err := s.Identity.Session(c.ctx(), cookie.Value)
	switch {
	case err == nil:
	case errors.Is(err, identity.ErrUnauthenticated):
		if c.route.Access.Level == Public {
			return nil
		}
		clearCookie(c.w)
		return err
	default:
		return err
	}
	c.who.actor, c.who.record, c.who.token, c.who.session = actor, x, cookie.Value, x.ID
	c.who.mustEnrol, c.who.fresh = x.MustEnrol(), x.Fresh(s.now())
	return nil
}

// rotationWithin is how long the new token of a session may take to get from the
// database to its open sockets.
const rotationWithin = time.Second

// stillHere asks again whether the caller of a long connection may be here, as
// whom, without counting as use of the session. A token that is not known may
// have been replaced a moment ago, so it is asked for once more.
func (s *Server) stillHere(ctx context.Context, who caller) (access.Actor, error) {
	if who.local {
		return who.actor, nil
	}
	token := s.sockets.tokenOf(who.session, who.token)
	actor, _, err := s.Identity.Peek(ctx, token)
	if !errors.Is(err, identity.ErrUnauthenticated) {
		return actor, err
	}
	select {
	case <-ctx.Done():
		return actor, ctx.Err()
	case <-time.After(rotationWithin):
	}
	if next := s.sockets.tokenOf(who.session, who.token); next != token {
		actor, _, err = s.Identity.Peek(ctx, next)
	}
	return actor, err
}

// noteLocalRefusal records that an account knocked at the local socket that may
// not. A log that cannot be written must not open the door, so its failure only
// goes to the operators.
func (s *Server) noteLocalRefusal(ctx context.Context, p peer) {
	stranger := identity.LocalOperator(int(p.uid))
	stranger.Roles = nil
	err := s.DB.Update(ctx, func(tx *store.Tx) error {
		_, err := s.Audit.Append(tx, audit.By(stranger, "session.refused", "system", "", "reason", "local-socket"))
		return err
	})
	if err != nil {
		s.log.ErrorContext(ctx, "refusal not audited", "cause", err.Error())
	}
}

func setCookie(w http.ResponseWriter, token string) {
	http.SetCookie(w, &http.Cookie{Name: cookieName, Value: token, Path: "/", Secure: true, HttpOnly: true, SameSite: http.SameSiteStrictMode})
}

func clearCookie(w http.ResponseWriter) {
	http.SetCookie(w, &http.Cookie{Name: cookieName, Path: "/", MaxAge: -1, Secure: true, HttpOnly: true, SameSite: http.SameSiteStrictMode})
}
