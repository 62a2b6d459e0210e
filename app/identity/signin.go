package identity

import (
	"context"
	"database/sql"
	"errors"
	"time"

	"tresor/app/access"
	"tresor/app/fault"
	"tresor/app/store"
)

// Credentials is what a person types to sign in.
type Credentials struct {
	Handle   string `json:"handle"`
	Password string `json:"password"`
	TOTP     string `json:"totp"` // six digits; empty when the account has no second factor yet
}

// account is what checking credentials needs to know.
type account struct {
	Person
	phc    string
	sealed []byte
}

// SignIn checks credentials and begins a session; the token goes into the
// browser's cookie. A person without a second factor where one is required gets
// a session that must enrol.
//
// Errors: Denied with ErrUnauthenticated for anything wrong (the text is the
// same for an unknown name, a wrong password, a wrong code and a disabled
// account), Denied with ErrNeedTOTP when only the code is missing,
// Exhausted after many failures (see RetryAfter), Unavailable.
func (s *Service) SignIn(ctx context.Context, c Credentials, from Client) (token string, x Session, err error) {
	const op = "identity.SignIn"
	a, step, err := s.prove(ctx, s.byHandle(c.Handle), c, from)
	if err != nil {
		return "", x, fault.Wrap(op, err)
	}
	fresh, err := s.rehash(ctx, a, c.Password)
	if err != nil {
		return "", x, fault.Wrap(op, err)
	}
	err = s.DB.Update(ctx, func(tx *store.Tx) error {
		if err := s.consume(tx, a, step); err != nil {
			return err
		}
		if fresh != "" {
			if _, err := tx.Exec(`UPDATE person SET password = ? WHERE id = ?`, fresh, a.ID); err != nil {
				return err
			}
		}
		token, x, err = s.start(tx, a.Person, KindPassword, false, s.Config.RequireTOTP && !a.Person.TOTP, from)
		return err
	})
	if err = s.afterProof(ctx, op, a, from, err); errors.Is(err, errReplay) || errors.Is(err, errStale) {
		err = unauthenticated(op, fault.Message(err))
	}
	return token, x, err
}

// StepUp proves again that the person of a session is present, and gives the
// session a new token. Errors: Denied with ErrUnauthenticated when the session
// has ended, Denied alone for a wrong password or code, and as SignIn.
func (s *Service) StepUp(ctx context.Context, token, password, code string, from Client) (next string, x Session, err error) {
	const op = "identity.StepUp"
	_, x, err = s.Peek(ctx, token)
	if err != nil {
		return "", x, err
	}
	a, step, err := s.prove(ctx, byID(x.Person), Credentials{Password: password, TOTP: code}, from)
	if err != nil {
		return "", x, fault.Wrap(op, notForThisAccount(err))
	}
	err = s.DB.Update(ctx, func(tx *store.Tx) error {
		if x, _, err = s.sessionOf(tx, token); err != nil {
			return err
		}
		if err = s.consume(tx, a, step); err != nil {
			return err
		}
		if next, err = s.rotate(tx, &x, a.Roles); err != nil {
			return err
		}
		return s.note(tx, a.Person, x.ID, "session.proved", "session:"+x.ID)
	})
	return next, x, s.afterProof(ctx, op, a, from, err)
}

// which selects an account; its throttle key must not tell apart names that
// exist and names that do not.
type which struct {
	column, value, key string
}

func (s *Service) byHandle(handle string) which {
	h := normalHandle(handle)
	return which{"handle", h, "handle:" + digest(h)}
}

func codeKey(person string) string { return "code:" + person }

func byID(id string) which { return which{column: "id", value: id} }

// answerAfter is how long a refused sign-in takes at least, so that the time does
// not tell whether an event was written and so whether the name exists.
const answerAfter = 250 * time.Millisecond

// prove checks password and code outside any transaction, because hashing takes
// long, and counts what fails. The step of the code is used up by consume.
func (s *Service) prove(ctx context.Context, w which, c Credentials, from Client) (a account, step int64, err error) {
	if a, err = s.account(ctx, w); err != nil {
		return a, 0, err
	}
	if w.key == "" {
		w = s.byHandle(a.Handle)
	}
	if err := s.throttle.check(w.key, codeKey(a.ID), network(from.Address)); err != nil {
		s.refusals.add(subject(a.ID), false)
		return a, 0, err
	}
	timer := time.NewTimer(s.answerAfter)
	defer timer.Stop()
	if len(c.Password) > longestPassword {
		c.Password = "" // never a valid one: same answer, no work
	}
	ok, err := s.hasher.verify(ctx, c.Password, a.phc)
	if err != nil {
		return a, 0, err
	}
	step, why := s.judge(a, ok, c.TOTP)
	if why == whyCode && c.TOTP == "" {
		return a, 0, fault.Kinded("identity.prove", fault.Denied, ErrNeedTOTP, "Enter the six digits that your authenticator app shows now.")
	}
	if why != "" {
		err := s.failed(ctx, w.key, a.ID, why, from)
		select {
		case <-timer.C:
		case <-ctx.Done():
		}
		return a, 0, err
	}
	return a, step, nil
}

// judge returns why the proof fails, or "" and the step of the code.
func (s *Service) judge(a account, passwordOK bool, code string) (step int64, why string) {
	switch {
	case a.ID == "":
		return 0, whyUnknown
	case !passwordOK:
		return 0, whyPassword
	case a.Disabled:
		return 0, whyDisabled
	case a.sealed == nil:
		return 0, ""
	}
	secret, err := s.sealer.open(a.ID, a.sealed)
	if err != nil {
		return 0, whyCode
	}
	if step = matchCode(secret, code, s.Now()); step == 0 {
		return 0, whyCode
	}
	return step, ""
}

func (s *Service) failed(ctx context.Context, key, person, why string, from Client) error {
	s.throttle.fail(key, freeForAccount, longestWait)
	s.throttle.fail(network(from.Address), freeForAddress, longestWait)
	if why == whyCode {
		s.throttle.fail(codeKey(person), freeForAccount, longestForCode)
	}
	if err := s.refuse(ctx, person, why, from.Address); err != nil {
		return err
	}
	return unauthenticated("identity.prove", "The sign-in name, password or code is not right.")
}

// consume uses up the code's time step and makes sure that the account is still
// as it was when the password was checked.
func (s *Service) consume(tx *store.Tx, a account, step int64) error {
	now, err := loadAccount(tx, byID(a.ID))
	if err != nil {
		return err
	}
	if now.Disabled || now.phc != a.phc {
		return errStale
	}
	if step == 0 {
		return nil
	}
	done, err := tx.Exec(`UPDATE person SET totp_step = ? WHERE id = ? AND totp_step < ?`, step, a.ID, step)
	if err != nil {
		return err
	}
	if n, err := done.RowsAffected(); err != nil || n == 0 {
		return errReplay
	}
	return nil
}

var (
	errStale  = fault.New("identity.consume", fault.Denied, "This account has just changed. Try again.")
	errReplay = fault.New("identity.consume", fault.Denied, "This code has been used. Wait for the next one.")
)

// afterProof settles the counters once the transaction has ended.
func (s *Service) afterProof(ctx context.Context, op string, a account, from Client, err error) error {
	key := s.byHandle(a.Handle).key
	if errors.Is(err, errReplay) {
		s.throttle.fail(key, freeForAccount, longestWait)
		if noted := s.refuse(ctx, a.ID, whyReplay, from.Address); noted != nil {
			return noted
		}
	}
	if err == nil {
		s.throttle.succeed(key, codeKey(a.ID))
	}
	return fault.Wrap(op, err)
}

// rehash returns a hash of today's cost when the stored one has another cost.
func (s *Service) rehash(ctx context.Context, a account, password string) (string, error) {
	if !outdated(a.phc) {
		return "", nil
	}
	return s.hasher.hash(ctx, password)
}

func (s *Service) account(ctx context.Context, w which) (a account, err error) {
	err = s.DB.View(ctx, func(tx *store.Tx) error {
		a, err = loadAccount(tx, w)
		return err
	})
	return a, err
}

// loadAccount returns the zero account for an unknown name.
func loadAccount(tx *store.Tx, w which) (a account, err error) {
	query := `SELECT ` + personColumns + `, password, totp FROM person WHERE ` + w.column + ` = ?`
	a.Person, err = scanPerson(withMore{tx.QueryRow(query, w.value), []any{&a.phc, &a.sealed}})
	if store.NotFound(err) {
		return account{}, nil
	}
	return a, fault.Wrap("identity.account", err)
}

// withMore scans further columns after the ones of a person.
type withMore struct {
	row  *sql.Row
	more []any
}

func (w withMore) Scan(dest ...any) error { return w.row.Scan(append(dest, w.more...)...) }

// note appends an event by the person of a session.
func (s *Service) note(tx *store.Tx, p Person, session, verb, subject string, kv ...string) error {
	actor := access.Actor{ID: p.ID, Handle: p.Handle, Name: p.Name, Session: session, Via: "web"}
	_, err := s.Log.Append(tx, by(actor, verb, subject, kv...))
	return err
}
