package gateway

import (
	"context"
	"crypto/subtle"

	"tresor/app/fault"
	"tresor/app/store"
)

// authenticate finds whom a bearer token belongs to. Every failure is one and the
// same text, except that an expired token says so to whoever holds it.
func (s *Service) authenticate(ctx context.Context, token string) (Caller, error) {
	hash, ok := tokenHash(token)
	if !ok {
		return Caller{}, unknown()
	}
	now := s.Now()
	k, turn, ok := s.parties.token(hash, now)
	if ok {
		s.touch(tokenTouch+k.id, now)
		return k.who, nil
	}
	var id, kept string
	var principal, person *string
	var expires int64
	var ended bool
	err := s.DB.View(ctx, func(tx *store.Tx) error {
		return tx.QueryRow(`SELECT id, hash, principal, person, expires_at, revoked_at IS NOT NULL FROM gateway_token WHERE hash = ?`, hash).
			Scan(&id, &kept, &principal, &person, &expires, &ended)
	})
	switch {
	case store.NotFound(err):
		return Caller{}, unknown()
	case err != nil:
		return Caller{}, fault.Wrap("gateway.authenticate", err)
	case subtle.ConstantTimeCompare([]byte(hash), []byte(kept)) != 1 || ended:
		return Caller{}, unknown()
	case !now.Before(store.Time(expires)):
		return Caller{}, &refusal{code: CodeUnknown, err: fault.WithNext(fault.New("gateway.authenticate", fault.Denied, "This token has expired."), "Make a new one.")}
	}
	k = known{who: Caller{Kind: Human, ID: id}, id: id, until: now.Add(s.times.party)}
	if principal != nil {
		k.who = Caller{Kind: Client, ID: *principal}
	}
	if end := store.Time(expires); end.Before(k.until) {
		k.until = end
	}
	s.parties.keepToken(hash, k, turn)
	s.touch(tokenTouch+id, now)
	return k.who, nil
}

func unknown() error {
	return &refusal{code: CodeUnknown, err: fault.WithNext(fault.New("gateway.authenticate", fault.Denied, "The request carries no token that is known here."),
		"Send the header \"Authorization: Bearer <token>\" with a token that is good now.")}
}
