package project

import (
	"context"
	"database/sql"

	"tresor/app/access"
	"tresor/app/fault"
	"tresor/app/store"
)

const columns = `id, slug, name, purpose, state, ends_at, approval, threshold, reviewers, waiver_reason, waiver_until, reason, created_at, created_by`

// Get returns a project by id or slug. One that the actor may not see is
// fault.NotFound, as if it did not exist.
func (s *Service) Get(ctx context.Context, actor access.Actor, idOrSlug string) (Project, error) {
	var p Project
	err := s.db.View(ctx, func(tx *store.Tx) error {
		var err error
		p, err = s.visible(tx, actor, idOrSlug)
		return err
	})
	return p, fault.Wrap("project.Get", err)
}

// List returns every project that the actor may see, by name.
func (s *Service) List(ctx context.Context, actor access.Actor) ([]Project, error) {
	list := []Project{}
	err := s.db.View(ctx, func(tx *store.Tx) error {
		ids, err := allIDs(tx)
		if err != nil {
			return err
		}
		for _, id := range ids {
			if !access.Can(actor, access.ProjectRead, access.Thing{Project: id}) {
				continue
			}
			p, err := s.Lookup(tx, id)
			if err != nil {
				return err
			}
			list = append(list, p)
		}
		return nil
	})
	return list, fault.Wrap("project.List", err)
}

func allIDs(tx *store.Tx) ([]string, error) {
	rows, err := tx.Query(`SELECT id FROM project ORDER BY name COLLATE NOCASE, id`)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var ids []string
	for rows.Next() {
		var id string
		if err := rows.Scan(&id); err != nil {
			return nil, err
		}
		ids = append(ids, id)
	}
	return ids, rows.Err()
}

// visible is Lookup for an actor.
func (s *Service) visible(tx *store.Tx, actor access.Actor, idOrSlug string) (Project, error) {
	p, err := s.Lookup(tx, idOrSlug)
	if err != nil {
		return p, err
	}
	return p, access.May(actor, access.ProjectRead, access.Thing{Project: p.ID})
}

// Lookup returns a project by id or slug, without asking who wants it.
func (s *Service) Lookup(tx *store.Tx, idOrSlug string) (Project, error) {
	p, err := s.Head(tx, idOrSlug)
	if err == nil {
		err = s.fill(tx, &p)
	}
	return p, fault.Wrap("project.Lookup", err)
}

// Head is Lookup without members and datasets: what a door asks for each request.
func (s *Service) Head(tx *store.Tx, idOrSlug string) (Project, error) {
	p, err := scan(tx.QueryRow(`SELECT `+columns+` FROM project WHERE id = ? OR slug = ?`, idOrSlug, idOrSlug), tx)
	if store.NotFound(err) {
		return p, fault.New("project.Lookup", fault.NotFound, access.NotSeen)
	}
	return p, fault.Wrap("project.Lookup", err)
}

// Grants lists the datasets that a project may use, oldest grant first.
func (s *Service) Grants(tx *store.Tx, id string) ([]Grant, error) {
	all, err := s.grants(tx, id)
	return all, fault.Wrap("project.Grants", err)
}

func scan(row *sql.Row, tx *store.Tx) (Project, error) {
	var p Project
	var ends, until sql.NullInt64
	var why string
	var created int64
	err := row.Scan(&p.ID, &p.Slug, &p.Name, &p.Purpose, &p.State, &ends, &p.Approval, &p.Threshold, &p.Reviewers,
		&why, &until, &p.Reason, &created, &p.CreatedBy)
	if err != nil {
		return p, err
	}
	p.CreatedAt = store.Time(created)
	if ends.Valid {
		at := store.Time(ends.Int64)
		p.EndsAt, p.Ended = &at, !at.After(tx.Now())
	}
	if p.Reviewers < DefaultReviewers {
		p.Waiver = &Waiver{Reviewers: p.Reviewers, Reason: why, Until: store.Time(until.Int64)}
		if p.Waiver.Expired = !p.Waiver.Until.After(tx.Now()); p.Waiver.Expired {
			p.Reviewers = DefaultReviewers
		}
	}
	return p, nil
}

func (s *Service) fill(tx *store.Tx, p *Project) error {
	var err error
	if p.Members, err = s.members(tx, p.ID); err != nil {
		return err
	}
	p.Datasets, err = s.grants(tx, p.ID)
	return err
}

func (s *Service) members(tx *store.Tx, id string) ([]Member, error) {
	rows, err := tx.Query(`SELECT person, role, added_at FROM project_member WHERE project = ? ORDER BY role, added_at, person`, id)
	if err != nil {
		return nil, err
	}
	all := []Member{}
	err = each(rows, func() error {
		var m Member
		var at int64
		err := rows.Scan(&m.PersonID, &m.Role, &at)
		m.AddedAt = store.Time(at)
		all = append(all, m)
		return err
	})
	for i := range all {
		if err != nil {
			return nil, err
		}
		var who Person
		if who, err = s.links.People(tx, all[i].PersonID); err == nil {
			all[i].Handle, all[i].Name = who.Handle, who.Name
		}
	}
	return all, err
}

func (s *Service) grants(tx *store.Tx, id string) ([]Grant, error) {
	rows, err := tx.Query(`SELECT dataset, granted_at, granted_by FROM project_dataset WHERE project = ? ORDER BY granted_at, dataset`, id)
	if err != nil {
		return nil, err
	}
	all := []Grant{}
	err = each(rows, func() error {
		var g Grant
		var at int64
		err := rows.Scan(&g.DatasetID, &at, &g.GrantedBy)
		g.GrantedAt = store.Time(at)
		all = append(all, g)
		return err
	})
	for i := range all {
		if err != nil || s.links.Datasets == nil {
			return all, err
		}
		var d Named
		if d, err = s.links.Datasets(tx, all[i].DatasetID); err == nil {
			all[i].Slug, all[i].Name, all[i].Version = d.Slug, d.Name, d.Version
		}
	}
	return all, err
}

func each(rows *sql.Rows, one func() error) error {
	defer rows.Close()
	for rows.Next() {
		if err := one(); err != nil {
			return err
		}
	}
	return rows.Err()
}

// Open returns nil when the project accepts new work now, or a refusal that
// says what to do: fault.Conflict when it is closed or has ended.
func (s *Service) Open(tx *store.Tx, id string) error {
	const op = "project.Open"
	p, err := s.Head(tx, id)
	switch {
	case err != nil:
		return fault.Wrap(op, err)
	case p.State != Active:
		return fault.New(op, fault.Conflict, "The project %s is closed and accepts no new work. An operator can reopen it.", p.Slug)
	case p.Ended:
		return fault.New(op, fault.Conflict, "The project %s ended on %s and accepts no new work. An operator can give it a later end date.", p.Slug, p.EndsAt.Format("2 January 2006"))
	}
	return nil
}
