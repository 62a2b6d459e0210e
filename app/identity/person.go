package identity

import (
	"context"
	"encoding/json"
	"net/mail"
	"regexp"
	"strings"
	"time"
	"unicode"

	"tresor/app/access"
	"tresor/app/audit"
	"tresor/app/fault"
	"tresor/app/store"
)

// Person is one account.
type Person struct {
	ID        string        `json:"id"`
	Handle    string        `json:"handle"` // sign-in name
	Name      string        `json:"name"`
	Email     string        `json:"email,omitempty"`
	Roles     []access.Role `json:"roles"`
	Disabled  bool          `json:"disabled"`
	Password  bool          `json:"password"` // has set one
	TOTP      bool          `json:"totp"`     // has confirmed a second factor
	CreatedAt time.Time     `json:"created_at"`
	LastSeen  *time.Time    `json:"last_seen"`
}

// Draft is a person to create.
type Draft struct {
	Handle string        `json:"handle"`
	Name   string        `json:"name"`
	Email  string        `json:"email"`
	Roles  []access.Role `json:"roles"`
}

// Change holds the new values of a person; nil leaves as it is.
type Change struct {
	Name     *string        `json:"name"`
	Email    *string        `json:"email"`
	Roles    *[]access.Role `json:"roles"`
	Disabled *bool          `json:"disabled"`
	Reason   string         `json:"reason"` // needed to disable an account
}

var handleForm = regexp.MustCompile(`^[a-z0-9][a-z0-9._-]{1,31}$`)

// CreatePerson adds a person. Errors: Denied, Invalid for a bad name, Conflict for a
// taken handle or roles that exclude each other.
func (s *Service) CreatePerson(ctx context.Context, actor access.Actor, d Draft) (Person, error) {
	const op = "identity.CreatePerson"
	if err := access.May(actor, access.PersonManage, access.Thing{}); err != nil {
		return Person{}, err
	}
	p := Person{Handle: normalHandle(d.Handle), Name: strings.TrimSpace(d.Name), Email: strings.TrimSpace(d.Email), Roles: d.Roles}
	if err := p.validate(); err != nil {
		return Person{}, err
	}
	if err := access.ValidateRoles(p.Roles, nil); err != nil {
		return Person{}, err
	}
	err := s.DB.Update(ctx, func(tx *store.Tx) error {
		p.ID, p.CreatedAt = s.IDs(), tx.Now()
		if err := insertPerson(tx, p); err != nil {
			return err
		}
		_, err := s.Log.Append(tx, audit.By(actor, "person.created", "person:"+p.ID, "", "roles", roleList(p.Roles)))
		return err
	})
	return p, fault.Wrap(op, err)
}

// ChangePerson gives a person new values. A change of roles and disabling end all
// sessions of the person, disabling ends their links, too. The last operator stays
// one. Disabling needs a reason. Errors: Denied, NotFound, Invalid, Conflict.
func (s *Service) ChangePerson(ctx context.Context, actor access.Actor, id string, c Change) (Person, error) {
	const op = "identity.ChangePerson"
	if err := access.May(actor, access.PersonManage, access.Thing{Person: id}); err != nil {
		return Person{}, err
	}
	reason, err := audit.OptionalReason(op, c.Reason)
	if err != nil {
		return Person{}, err
	}
	var p Person
	err = s.DB.Update(ctx, func(tx *store.Tx) error {
		before, err := Lookup(tx, id)
		if err != nil {
			return err
		}
		p = before.with(c)
		if p.Disabled && !before.Disabled && reason == "" {
			return fault.New(op, fault.Invalid, "Say why the account is disabled, for those who ask later.")
		}
		if err := s.checkChange(tx, before, p); err != nil {
			return err
		}
		if err := updatePerson(tx, p); err != nil {
			return err
		}
		if err := s.endAfterChange(tx, actor, before, p); err != nil {
			return err
		}
		_, err = s.Log.Append(tx, audit.By(actor, "person.changed", "person:"+id, "", "roles", roleList(p.Roles), "state", state(p)).Because(reason))
		return err
	})
	return p, fault.Wrap(op, err)
}

func (p Person) with(c Change) Person {
	if c.Name != nil {
		p.Name = strings.TrimSpace(*c.Name)
	}
	if c.Email != nil {
		p.Email = strings.TrimSpace(*c.Email)
	}
	if c.Roles != nil {
		p.Roles = append([]access.Role{}, *c.Roles...)
	}
	if c.Disabled != nil {
		p.Disabled = *c.Disabled
	}
	return p
}

func (s *Service) checkChange(tx *store.Tx, before, after Person) error {
	if err := after.validate(); err != nil {
		return err
	}
	memberships, err := s.Memberships(tx, after.ID)
	if err != nil {
		return err
	}
	if err := access.ValidateRoles(after.Roles, memberships); err != nil {
		return err
	}
	if before.operates() && !after.operates() {
		return notTheLastOperator(tx, after.ID)
	}
	return nil
}

func (p Person) operates() bool {
	return !p.Disabled && access.Actor{Roles: p.Roles}.Has(access.Operator)
}

func notTheLastOperator(tx *store.Tx, leaving string) error {
	all, err := people(tx)
	if err != nil {
		return err
	}
	for _, p := range all {
		if p.ID != leaving && p.operates() {
			return nil
		}
	}
	return fault.New("identity.ChangePerson", fault.Conflict, "This is the last operator. Make somebody else an operator first.")
}

func (s *Service) endAfterChange(tx *store.Tx, actor access.Actor, before, after Person) error {
	switch {
	case after.Disabled && !before.Disabled:
		if _, err := tx.Exec(`DELETE FROM signin_link WHERE person = ? AND used_at IS NULL`, after.ID); err != nil {
			return err
		}
		return s.endAll(tx, actor, after.ID, "", "disabled")
	case roleList(before.Roles) != roleList(after.Roles):
		return s.endAll(tx, actor, after.ID, "", "roles")
	}
	return nil
}

func (p Person) validate() error {
	const op = "identity.validate"
	switch {
	case !handleForm.MatchString(p.Handle) || p.Handle == "system" || p.Handle == "local":
		return fault.New(op, fault.Invalid, "%q cannot be a sign-in name. Use 2 to 32 small letters, digits, dots, dashes or underscores, starting with a letter or digit.", p.Handle)
	case p.Name == "" || len(p.Name) > 100 || strings.ContainsFunc(p.Name, unprintable):
		return fault.New(op, fault.Invalid, "Give the person's name, in at most 100 characters.")
	}
	if p.Email == "" {
		return nil
	}
	if a, err := mail.ParseAddress(p.Email); err != nil || a.Address != p.Email {
		return fault.New(op, fault.Invalid, "%q is not an e-mail address.", p.Email)
	}
	return nil
}

// unprintable refuses control and direction marks, which can make one name look
// like another.
func unprintable(r rune) bool { return !unicode.IsPrint(r) }

func normalHandle(s string) string { return strings.ToLower(strings.TrimSpace(s)) }

func state(p Person) string {
	if p.Disabled {
		return "disabled"
	}
	return "enabled"
}

func roleList(roles []access.Role) string {
	names := make([]string, len(roles))
	for i, r := range roles {
		names[i] = string(r)
	}
	return strings.Join(names, " ")
}

func roleJSON(roles []access.Role) string {
	if roles == nil {
		return "[]"
	}
	b, _ := json.Marshal(roles)
	return string(b)
}
