package identity

import (
	"context"
	"errors"
	"time"

	"tresor/app/access"
	"tresor/app/fault"
	"tresor/app/store"
)

// Link is a one-time link. Whoever opens it first becomes the person, so it is
// handed over by a channel that is trusted; the table holds only its hash.
type Link struct {
	Token     string    `json:"-"`
	URL       string    `json:"url"` // the token stands behind #, where no server log sees it
	Kind      string    `json:"kind"`
	ExpiresAt time.Time `json:"expires_at"`
}

// IssueLink makes a one-time link for a person: KindEnrol for a new person or
// lost credentials, KindDemo to sign in to a demo without any. Links of the same
// kind issued before stop working. Errors: Denied, NotFound, Invalid, Conflict
// for a disabled person or a demo link outside a demo.
func (s *Service) IssueLink(ctx context.Context, actor access.Actor, person, kind string) (l Link, err error) {
	const op = "identity.IssueLink"
	if err := access.May(actor, access.PersonManage, access.Thing{Person: person}); err != nil {
		return l, err
	}
	err = s.DB.Update(ctx, func(tx *store.Tx) error {
		p, err := Lookup(tx, person)
		if err != nil {
			return err
		}
		l, err = s.issue(tx, actor, p, kind)
		return err
	})
	return l, fault.Wrap(op, err)
}

func (s *Service) issue(tx *store.Tx, actor access.Actor, p Person, kind string) (l Link, err error) {
	life, err := s.linkLife(kind)
	if err != nil {
		return l, err
	}
	if p.Disabled {
		return l, fault.New("identity.issue", fault.Conflict, "%s is disabled. Enable the account first.", p.Name)
	}
	token, now := newToken(), tx.Now()
	l = Link{Token: token, URL: s.URL() + "/link#" + token, Kind: kind, ExpiresAt: now.Add(life)}
	if _, err := tx.Exec(`DELETE FROM signin_link WHERE person = ? AND kind = ? AND used_at IS NULL`, p.ID, kind); err != nil {
		return l, err
	}
	_, err = tx.Exec(`INSERT INTO signin_link (hash, person, kind, created_at, expires_at) VALUES (?,?,?,?,?)`,
		digest(token), p.ID, kind, store.Millis(now), store.Millis(l.ExpiresAt))
	if err != nil {
		return l, err
	}
	_, err = s.Log.Append(tx, by(actor, "link.issued", "person:"+p.ID, "kind", kind))
	return l, err
}

func (s *Service) linkLife(kind string) (time.Duration, error) {
	switch {
	case kind == KindEnrol:
		return s.Config.Link.Duration, nil
	case kind == KindDemo && s.Demo:
		return s.Config.DemoLink.Duration, nil
	case kind == KindDemo:
		return 0, fault.New("identity.IssueLink", fault.Conflict, "Demo links exist only in a demo. Issue an enrolment link instead.")
	}
	return 0, fault.New("identity.IssueLink", fault.Invalid, "%q is not a kind of link. Use enrol or demo.", kind)
}

// Bootstrap makes the first operator, or finds the one who was made but never
// set a password, and returns an enrolment link. Errors: Conflict once an
// operator has a password, Invalid.
func (s *Service) Bootstrap(ctx context.Context, handle, name string) (p Person, l Link, err error) {
	const op = "identity.Bootstrap"
	d := Person{Handle: normalHandle(handle), Name: name, Roles: []access.Role{access.Operator}}
	if err := d.validate(); err != nil {
		return p, l, err
	}
	err = s.DB.Update(ctx, func(tx *store.Tx) error {
		if p, err = s.firstOperator(tx, d); err != nil {
			return err
		}
		l, err = s.issue(tx, access.System, p, KindEnrol)
		return err
	})
	return p, l, fault.Wrap(op, err)
}

func (s *Service) firstOperator(tx *store.Tx, d Person) (Person, error) {
	all, err := people(tx)
	if err != nil {
		return d, err
	}
	for _, p := range all {
		if p.operates() && p.Password {
			return d, fault.New("identity.Bootstrap", fault.Conflict,
				"There is an operator already (%s). Operators issue links for others; `tresor person link` does it on this machine.", p.Handle)
		}
		if p.operates() && p.Handle == d.Handle {
			return p, nil
		}
	}
	d.ID, d.CreatedAt = s.IDs(), tx.Now()
	if err := insertPerson(tx, d); err != nil {
		return d, err
	}
	_, err = s.Log.Append(tx, by(access.System, "person.created", "person:"+d.ID, "roles", roleList(d.Roles)))
	return d, err
}

// OpenLink uses up a one-time link and begins a session. An enrolment link's
// session has to set a password and, where required, a second factor before it
// may do anything else; what the person had before works until then. Errors:
// Denied with ErrUnauthenticated for a wrong, used or expired link, Exhausted.
func (s *Service) OpenLink(ctx context.Context, token string, from Client) (session string, x Session, err error) {
	const op = "identity.OpenLink"
	place := network(from.Address)
	if err := s.throttle.check(place); err != nil {
		return "", x, err
	}
	err = s.DB.Update(ctx, func(tx *store.Tx) error {
		p, kind, err := s.spend(tx, token)
		if err != nil {
			return err
		}
		enrol := kind == KindEnrol
		session, x, err = s.start(tx, p, kind, enrol, enrol && s.Config.RequireTOTP, from)
		return err
	})
	if errors.Is(err, errLink) {
		s.throttle.fail(place, freeForAddress, longestWait)
		if noted := s.refuse(ctx, "", whyLink, from.Address); noted != nil {
			return "", x, noted
		}
	}
	return session, x, fault.Wrap(op, err)
}

var errLink = unauthenticated("identity.OpenLink", "This link does not work: it was used, has expired or was replaced. Ask an operator for a new one.")

// spend marks the link as used and returns whom it was for.
func (s *Service) spend(tx *store.Tx, token string) (p Person, kind string, err error) {
	now := store.Millis(tx.Now())
	var person string
	err = tx.QueryRow(`UPDATE signin_link SET used_at = ? WHERE hash = ? AND used_at IS NULL AND expires_at > ? RETURNING person, kind`,
		now, digest(token), now).Scan(&person, &kind)
	if store.NotFound(err) {
		return p, "", errLink
	}
	if err != nil {
		return p, "", err
	}
	if p, err = Lookup(tx, person); err != nil {
		return p, "", err
	}
	if p.Disabled || (kind == KindDemo && !s.Demo) {
		return p, "", errLink
	}
	return p, kind, nil
}
