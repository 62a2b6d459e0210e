package identity

import (
	"context"
	"errors"

	"tresor/app/access"
	"tresor/app/audit"
	"tresor/app/fault"
	"tresor/app/store"
)

// by is audit.By for events that belong to no project.
func by(a access.Actor, verb, subject string, kv ...string) audit.Event {
	return audit.By(a, verb, subject, "", kv...)
}

// SetPassword gives the person of a session a new password. It asks for the
// current one, and the code, unless the session has to set a password anyway;
// ends all other sessions and gives this one a new token. Errors: Invalid for a
// weak password, and as StepUp.
func (s *Service) SetPassword(ctx context.Context, token, current, code, password string, from Client) (next string, x Session, err error) {
	const op = "identity.SetPassword"
	actor, x, err := s.Peek(ctx, token)
	if err != nil {
		return "", x, err
	}
	if err := checkPassword(password, actor.Handle, s.Config.PasswordMin); err != nil {
		return "", x, err
	}
	var proof proof
	if !x.NeedPassword {
		if proof.account, proof.step, err = s.prove(ctx, byID(x.Person), Credentials{Password: current, TOTP: code}, from); err != nil {
			return "", x, fault.Wrap(op, notForThisAccount(err))
		}
	}
	phc, err := s.hasher.hash(ctx, password)
	if err != nil {
		return "", x, fault.Wrap(op, err)
	}
	return s.enrolled(ctx, op, token, proof, from, "password", func(tx *store.Tx, x *Session) error {
		x.NeedPassword = false
		_, err := tx.Exec(`UPDATE person SET password = ? WHERE id = ?`, phc, x.Person)
		return err
	})
}

// notForThisAccount keeps a wrong current password from looking like a session
// that has ended: the person stays signed in and corrects it.
func notForThisAccount(err error) error {
	if errors.Is(err, ErrUnauthenticated) {
		return fault.New("identity.prove", fault.Denied, "The password or code is not right.")
	}
	return err
}

// BeginTOTP makes a new second factor that counts from its first code on, see
// ConfirmTOTP. A session that need not enrol has to be fresh. Errors: Denied.
func (s *Service) BeginTOTP(ctx context.Context, token string) (e Enrolment, err error) {
	const op = "identity.BeginTOTP"
	actor, x, err := s.Peek(ctx, token)
	if err != nil {
		return e, err
	}
	if !x.NeedTOTP && (x.Kind == KindDemo || !x.Fresh(s.Now())) {
		return e, fault.New(op, fault.Denied, "Confirm your password before you change the second factor.")
	}
	if e, err = newEnrolment(s.Site, actor.Handle); err != nil {
		return e, fault.Wrap(op, err)
	}
	sealed := s.sealer.seal(x.Person, e.Secret)
	err = s.DB.Update(ctx, func(tx *store.Tx) error {
		_, err := tx.Exec(`UPDATE person SET totp_pending = ? WHERE id = ?`, sealed, x.Person)
		return err
	})
	return e, fault.Wrap(op, err)
}

// ConfirmTOTP makes the factor of BeginTOTP the person's own when the code shows
// that the app has it; ends all other sessions and gives this one a new token.
// Errors: Invalid for a wrong code, Conflict without a BeginTOTP, Exhausted.
func (s *Service) ConfirmTOTP(ctx context.Context, token, code string, from Client) (next string, x Session, err error) {
	const op = "identity.ConfirmTOTP"
	actor, x, err := s.Peek(ctx, token)
	if err != nil {
		return "", x, err
	}
	key := s.byHandle(actor.Handle).key
	if err := s.throttle.check(key, network(from.Address)); err != nil {
		return "", x, err
	}
	next, x, err = s.enrolled(ctx, op, token, proof{}, from, "totp", func(tx *store.Tx, x *Session) error {
		x.NeedTOTP = false
		return s.adopt(tx, x.Person, code)
	})
	if errors.Is(err, errWrongCode) {
		s.throttle.fail(key, freeForAccount, longestWait)
	}
	return next, x, err
}

var errWrongCode = fault.New("identity.adopt", fault.Invalid,
	"This code is not the one that the app should show now. Check that the clock of your phone is right, then enter the newest code.")

// adopt replaces the person's factor by the pending one.
func (s *Service) adopt(tx *store.Tx, person, code string) error {
	var sealed []byte
	if err := tx.QueryRow(`SELECT totp_pending FROM person WHERE id = ?`, person).Scan(&sealed); err != nil {
		return err
	}
	if sealed == nil {
		return fault.New("identity.adopt", fault.Conflict, "Scan a new QR code first.")
	}
	secret, err := s.sealer.open(person, sealed)
	if err != nil {
		return err
	}
	step := matchCode(secret, code, tx.Now())
	if step == 0 {
		return errWrongCode
	}
	_, err = tx.Exec(`UPDATE person SET totp = totp_pending, totp_pending = NULL, totp_step = ? WHERE id = ?`, step, person)
	return err
}

// proof is a checked password and code that a transaction still has to use up.
type proof struct {
	account
	step int64
}

// enrolled applies a change of credentials: everything that the old ones opened
// ends, in the same transaction.
func (s *Service) enrolled(ctx context.Context, op, token string, used proof, from Client, what string,
	apply func(*store.Tx, *Session) error) (next string, x Session, err error) {
	err = s.DB.Update(ctx, func(tx *store.Tx) error {
		var p Person
		if x, p, err = s.sessionOf(tx, token); err != nil {
			return err
		}
		if used.ID != "" {
			if err = s.consume(tx, used.account, used.step); err != nil {
				return err
			}
		}
		if err = apply(tx, &x); err != nil {
			return err
		}
		if next, err = s.rotate(tx, &x, p.Roles); err != nil {
			return err
		}
		actor := access.Actor{ID: p.ID, Handle: p.Handle, Name: p.Name, Session: x.ID, Via: "web"}
		if err = s.endAll(tx, actor, p.ID, x.ID, what); err != nil {
			return err
		}
		return s.note(tx, p, x.ID, "credential.changed", "person:"+p.ID, "kind", what)
	})
	if used.ID != "" {
		return next, x, s.afterProof(ctx, op, used.account, from, err)
	}
	return next, x, fault.Wrap(op, err)
}
