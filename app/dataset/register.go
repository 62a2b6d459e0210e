package dataset

import (
	"context"
	"strings"

	"tresor/app/access"
	"tresor/app/fault"
	"tresor/app/store"
)

// Draft is what a new dataset starts with.
type Draft struct {
	Slug        string `json:"slug"` // SQL uses it as the schema name
	Name        string `json:"name"`
	Description string `json:"description"`
	Controller  string `json:"controller"`
	Licence     string `json:"licence"`
	Source      string `json:"source"`
}

// Register makes a dataset without versions. A taken slug is fault.Conflict.
func (s *Service) Register(ctx context.Context, actor access.Actor, d Draft) (Dataset, error) {
	const op = "dataset.Register"
	if err := access.May(actor, access.DatasetRegister, access.Thing{}); err != nil {
		return Dataset{}, err
	}
	if err := d.check(op); err != nil {
		return Dataset{}, err
	}
	var made Dataset
	err := s.DB.Update(ctx, func(tx *store.Tx) error {
		id := s.IDs()
		_, err := tx.Exec(`INSERT INTO dataset (id, slug, name, description, controller, licence, source, state, created_at, created_by)
			VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`,
			id, d.Slug, d.Name, d.Description, d.Controller, d.Licence, d.Source, Active, store.Millis(tx.Now()), actor.ID)
		if store.Duplicate(err) {
			return fault.Kinded(op, fault.Conflict, err, "The short name %q is taken by another dataset. Choose another one, or add a version to that dataset.", d.Slug)
		}
		if err == nil {
			err = s.note(tx, actor, "dataset.registered", id)
		}
		if err == nil {
			made, err = s.Lookup(tx, id)
		}
		return err
	})
	return made, fault.Wrap(op, err)
}

// Retire takes a dataset out of use: no new version, no new job. Reversible.
func (s *Service) Retire(ctx context.Context, actor access.Actor, idOrSlug string, state State) (Dataset, error) {
	const op = "dataset.Retire"
	if err := access.May(actor, access.DatasetRegister, access.Thing{}); err != nil {
		return Dataset{}, err
	}
	if state != Active && state != Retired {
		return Dataset{}, fault.New(op, fault.Invalid, "%q is not a state of a dataset. Choose active or retired.", state)
	}
	var now Dataset
	err := s.DB.Update(ctx, func(tx *store.Tx) error {
		d, err := s.Lookup(tx, idOrSlug)
		if err != nil {
			return err
		}
		if _, err := tx.Exec(`UPDATE dataset SET state = ? WHERE id = ?`, state, d.ID); err != nil {
			return err
		}
		verb := "dataset.retired"
		if state == Active {
			verb = "dataset.reactivated"
		}
		if err := s.note(tx, actor, verb, d.ID); err != nil {
			return err
		}
		now, err = s.Lookup(tx, d.ID)
		return err
	})
	return now, fault.Wrap(op, err)
}

func (d Draft) check(op string) error {
	if !slugForm.MatchString(d.Slug) || reserved[d.Slug] || strings.HasPrefix(d.Slug, "sqlite_") {
		return fault.New(op, fault.Invalid, "%q cannot be the short name: SQL uses it as a schema name. Use 2 to 40 lower-case letters, digits and underscores, starting with a letter; main, temp and sqlite are taken.", clip(d.Slug))
	}
	texts := []struct {
		what, s string
		max     int
		must    bool
	}{
		{"name", d.Name, 200, true},
		{"controller", d.Controller, 300, true},
		{"description", d.Description, 8000, false},
		{"licence", d.Licence, 300, false},
		{"source", d.Source, 2000, false},
	}
	for _, t := range texts {
		if t.must && strings.TrimSpace(t.s) == "" {
			return fault.New(op, fault.Invalid, "The %s of the dataset is missing.", t.what)
		}
		if len([]rune(t.s)) > t.max || unprintable(t.s) {
			return fault.New(op, fault.Invalid, "The %s of the dataset is longer than %d characters or holds control characters. Correct it.", t.what, t.max)
		}
	}
	return nil
}

func clip(s string) string {
	if r := []rune(s); len(r) > 60 {
		return string(r[:60]) + "…"
	}
	return s
}
