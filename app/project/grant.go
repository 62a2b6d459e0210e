package project

import (
	"context"

	"tresor/app/access"
	"tresor/app/audit"
	"tresor/app/fault"
	"tresor/app/store"
)

// Grant lets a project use a dataset, named by id or slug. The same grant twice
// changes nothing.
func (s *Service) Grant(ctx context.Context, actor access.Actor, idOrSlug, dataset string) (Project, error) {
	const op = "project.Grant"
	return s.regrant(ctx, op, actor, idOrSlug, func(tx *store.Tx, p Project) error {
		if err := s.Open(tx, p.ID); err != nil {
			return err
		}
		dataset, err := s.datasetID(tx, dataset)
		if err != nil {
			return err
		}
		if p.granted(dataset) {
			return nil
		}
		_, err = tx.Exec(`INSERT INTO project_dataset (project, dataset, granted_at, granted_by) VALUES (?, ?, ?, ?)`,
			p.ID, dataset, store.Millis(tx.Now()), actor.ID)
		if err != nil {
			return err
		}
		return s.note(tx, actor, "dataset.granted", p.ID, "dataset", dataset)
	})
}

// Revoke takes a dataset away from a project and keeps why: no new job gets it.
func (s *Service) Revoke(ctx context.Context, actor access.Actor, idOrSlug, dataset, reason string) (Project, error) {
	const op = "project.Revoke"
	return s.regrant(ctx, op, actor, idOrSlug, func(tx *store.Tx, p Project) error {
		dataset, err := s.datasetID(tx, dataset)
		if err != nil {
			return err
		}
		if !p.granted(dataset) {
			return fault.New(op, fault.NotFound, "This dataset is not granted to the project %s.", p.Slug)
		}
		if reason, err = audit.Reason(op, reason); err != nil {
			return err
		}
		if _, err := tx.Exec(`DELETE FROM project_dataset WHERE project = ? AND dataset = ?`, p.ID, dataset); err != nil {
			return err
		}
		return s.noteWhy(tx, actor, reason, "dataset.revoked", p.ID, "dataset", dataset)
	})
}

// datasetID resolves a slug; without a link every text is an id.
func (s *Service) datasetID(tx *store.Tx, idOrSlug string) (string, error) {
	if s.links.Datasets == nil {
		return idOrSlug, nil
	}
	d, err := s.links.Datasets(tx, idOrSlug)
	return d.ID, err
}

func (s *Service) regrant(ctx context.Context, op string, actor access.Actor, idOrSlug string, do func(*store.Tx, Project) error) (Project, error) {
	var now Project
	err := s.db.Update(ctx, func(tx *store.Tx) error {
		p, err := s.visible(tx, actor, idOrSlug)
		if err != nil {
			return err
		}
		if err := access.May(actor, access.ProjectGrant, access.Thing{Project: p.ID}); err != nil {
			return err
		}
		if err := do(tx, p); err != nil {
			return err
		}
		now, err = s.Lookup(tx, p.ID)
		return err
	})
	return now, fault.Wrap(op, err)
}

func (p Project) granted(dataset string) bool {
	for _, g := range p.Datasets {
		if g.DatasetID == dataset {
			return true
		}
	}
	return false
}

// ProjectsOf returns the ids of the projects that a dataset is granted to.
func (s *Service) ProjectsOf(tx *store.Tx, dataset string) ([]string, error) {
	rows, err := tx.Query(`SELECT project FROM project_dataset WHERE dataset = ? ORDER BY project`, dataset)
	if err != nil {
		return nil, fault.Wrap("project.ProjectsOf", err)
	}
	defer rows.Close()
	var ids []string
	for rows.Next() {
		var id string
		if err := rows.Scan(&id); err != nil {
			return nil, fault.Wrap("project.ProjectsOf", err)
		}
		ids = append(ids, id)
	}
	return ids, fault.Wrap("project.ProjectsOf", rows.Err())
}
