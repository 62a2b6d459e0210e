// Package identity knows who people are: accounts, passwords, second factors,
// one-time links and sessions.
//
// It owns the proof of identity and nothing of what people may do with it: roles
// and memberships are facts that it hands to package access, afresh for every
// request, so a change binds at once. No secret is readable from its tables:
// passwords are argon2id hashes, tokens are SHA-256 hashes, authenticator
// secrets are sealed with a key file outside the database.
//
// Every write names an actor and leaves its audit event in the same transaction,
// so a crash leaves both or neither. Failed sign-ins are counted in memory and
// audited about the 1st, 10th, 100th, … of a quarter of an hour for each account,
// and for all unknown names together, so a flood of guesses leaves a handful of
// events; a crash forgets the counters and nothing else.
package identity

import (
	"context"
	"errors"
	"time"

	"tresor/app/access"
	"tresor/app/audit"
	"tresor/app/config"
	"tresor/app/fault"
	"tresor/app/store"
)

// Deps is what a Service needs. All fields but Ended are required.
type Deps struct {
	DB          *store.DB
	Log         *audit.Log
	IDs         func() string                                                     // fresh UUIDv7
	Now         func() time.Time                                                  // for throttling; rows take the transaction's time
	Key         []byte                                                            // 32 bytes from LoadKey, seals authenticator secrets
	Config      config.Identity                                                   // times and password rules
	Demo        bool                                                              // allow demo links and local acting for checkers
	Site        string                                                            // shown in authenticator apps
	URL         func() string                                                     // public address, for links; no final slash
	Memberships func(tx *store.Tx, person string) (map[string]access.Role, error) // project id -> role
	Ended       func(sessions []string)                                           // optional: sessions that just ended, after commit
}

// Service is the people of one appliance. Its methods may be used from any goroutine.
type Service struct {
	Deps
	hasher   *hasher
	sealer   sealer
	throttle *throttle
	refusals *refusals

	answerAfter time.Duration
}

// New returns a Service. It fails only on a key of the wrong length.
func New(d Deps) (*Service, error) {
	s, err := newSealer(d.Key)
	if err != nil {
		return nil, err
	}
	if d.Ended == nil {
		d.Ended = func([]string) {}
	}
	return &Service{Deps: d, hasher: newHasher(), sealer: s, throttle: newThrottle(d.Now), refusals: newRefusals(d.Now), answerAfter: answerAfter}, nil
}

// ErrUnauthenticated is the cause of every error that says "we do not know who
// you are": no session, an ended session, wrong credentials. Doors answer 401.
var ErrUnauthenticated = errors.New("not signed in")

// ErrNeedTOTP is the cause when the password was right and the code is missing.
var ErrNeedTOTP = errors.New("second factor missing")

func unauthenticated(op, msg string) error {
	return fault.Kinded(op, fault.Denied, ErrUnauthenticated, "%s", msg)
}

// Client is what the door knows about the other end of a sign-in.
type Client struct {
	Address  string // IP address, for throttling and the session list
	Replaces string // token of the session this browser already has, which then ends; may be empty
}

// Sweep removes links and sessions that ended more than 30 days ago. The audit
// log keeps their traces.
func (s *Service) Sweep(ctx context.Context) error {
	return s.DB.Update(ctx, func(tx *store.Tx) error {
		old := store.Millis(tx.Now().AddDate(0, 0, -30))
		if _, err := tx.Exec(`DELETE FROM signin_link WHERE expires_at < ?`, old); err != nil {
			return fault.Wrap("identity.Sweep", err)
		}
		_, err := tx.Exec(`DELETE FROM session WHERE ends_at < ? OR ended_at < ?`, old, old)
		return fault.Wrap("identity.Sweep", err)
	})
}
