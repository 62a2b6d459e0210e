package identity

import (
	"context"
	"database/sql"
	"encoding/json"
	"time"

	"tresor/app/access"
	"tresor/app/fault"
	"tresor/app/store"
)

const personColumns = `id, handle, name, email, roles, disabled, password <> '', totp IS NOT NULL, created_at, last_seen`

type scanner interface{ Scan(...any) error }

func scanPerson(row scanner) (Person, error) {
	var p Person
	var roles string
	var created int64
	var seen sql.NullInt64
	err := row.Scan(&p.ID, &p.Handle, &p.Name, &p.Email, &roles, &p.Disabled, &p.Password, &p.TOTP, &created, &seen)
	if err != nil {
		return p, err
	}
	p.CreatedAt, p.LastSeen = store.Time(created), optional(seen)
	return p, json.Unmarshal([]byte(roles), &p.Roles)
}

func optional(ms sql.NullInt64) *time.Time {
	if !ms.Valid {
		return nil
	}
	t := store.Time(ms.Int64)
	return &t
}

func insertPerson(tx *store.Tx, p Person) error {
	_, err := tx.Exec(`INSERT INTO person (id, handle, name, email, roles, created_at) VALUES (?,?,?,?,?,?)`,
		p.ID, p.Handle, p.Name, p.Email, roleJSON(p.Roles), store.Millis(p.CreatedAt))
	if store.Duplicate(err) {
		return fault.New("identity.CreatePerson", fault.Conflict, "The sign-in name %q is taken. Choose another one.", p.Handle)
	}
	return err
}

func updatePerson(tx *store.Tx, p Person) error {
	_, err := tx.Exec(`UPDATE person SET name = ?, email = ?, roles = ?, disabled = ? WHERE id = ?`,
		p.Name, p.Email, roleJSON(p.Roles), p.Disabled, p.ID)
	return err
}

// Lookup returns a person by id, inside the caller's transaction and without an
// access check. Errors: NotFound.
func Lookup(tx *store.Tx, id string) (Person, error) {
	return onePerson(tx.QueryRow(`SELECT `+personColumns+` FROM person WHERE id = ?`, id))
}

// LookupHandle returns a person by sign-in name, as Lookup does by id.
func LookupHandle(tx *store.Tx, handle string) (Person, error) {
	return onePerson(tx.QueryRow(`SELECT `+personColumns+` FROM person WHERE handle = ?`, normalHandle(handle)))
}

func onePerson(row *sql.Row) (Person, error) {
	p, err := scanPerson(row)
	if store.NotFound(err) {
		return p, fault.New("identity.Lookup", fault.NotFound, "There is no such person.")
	}
	return p, fault.Wrap("identity.Lookup", err)
}

func people(tx *store.Tx) ([]Person, error) {
	rows, err := tx.Query(`SELECT ` + personColumns + ` FROM person ORDER BY handle`)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	all := []Person{}
	for rows.Next() {
		p, err := scanPerson(rows)
		if err != nil {
			return nil, err
		}
		all = append(all, p)
	}
	return all, rows.Err()
}

// People lists everybody by sign-in name. Errors: Denied.
func (s *Service) People(ctx context.Context, actor access.Actor) (all []Person, err error) {
	if err := access.May(actor, access.PersonRead, access.Thing{}); err != nil {
		return nil, err
	}
	err = s.DB.View(ctx, func(tx *store.Tx) error {
		all, err = people(tx)
		return err
	})
	return all, fault.Wrap("identity.People", err)
}

// Get returns one person by id or sign-in name. People may always see
// themselves. Errors: Denied, NotFound.
func (s *Service) Get(ctx context.Context, actor access.Actor, idOrHandle string) (p Person, err error) {
	err = s.DB.View(ctx, func(tx *store.Tx) error {
		if p, err = Lookup(tx, idOrHandle); fault.KindOf(err) == fault.NotFound && err != nil {
			p, err = LookupHandle(tx, idOrHandle)
		}
		return err
	})
	if actor.ID != "" && actor.ID == p.ID {
		return p, fault.Wrap("identity.Get", err)
	}
	if denied := access.May(actor, access.PersonRead, access.Thing{}); denied != nil {
		return Person{}, denied
	}
	return p, fault.Wrap("identity.Get", err)
}

// ByHandle returns a person by sign-in name without an access check, for the
// composition root. Errors: NotFound.
func (s *Service) ByHandle(ctx context.Context, handle string) (p Person, err error) {
	err = s.DB.View(ctx, func(tx *store.Tx) error {
		p, err = LookupHandle(tx, handle)
		return err
	})
	return p, fault.Wrap("identity.ByHandle", err)
}
