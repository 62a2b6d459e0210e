package gateway

import (
	"context"
	"strconv"

	"tresor/app/access"
	"tresor/app/audit"
	"tresor/app/fault"
	"tresor/app/project"
	"tresor/app/store"
)

// anyData in a Use's datasets stands for all that the project is granted.
const anyData = "*"

// AddProject lets a principal send work to a project, in the name of a sponsor who
// is a member. Only a lead of the project does this, and not who made the
// principal. datasets are ids or slugs of granted datasets, or "*" for all; none
// means no data. Calling it again changes sponsor and datasets. Errors: Denied,
// NotFound, Invalid, Conflict.
func (s *Service) AddProject(ctx context.Context, actor access.Actor, id, projectID, sponsor string, datasets []string) (Principal, error) {
	const op = "gateway.AddProject"
	return s.lend(ctx, op, actor, id, projectID, func(tx *store.Tx, p Principal, pr project.Project) error {
		if p.State == Revoked {
			return fault.New(op, fault.Conflict, "%s was revoked and gets no project.", p.Name)
		}
		if err := notTheMaker(tx, p, actor); err != nil {
			return err
		}
		who, err := s.sponsor(tx, pr, sponsor)
		if err != nil {
			return err
		}
		data, err := grantedIDs(pr, datasets)
		if err != nil {
			return err
		}
		return s.put(tx, actor, p, pr, who, data)
	})
}

// DropProject takes a project back from a principal: by a lead. Its jobs that wait
// do not start. Errors: Denied, NotFound.
func (s *Service) DropProject(ctx context.Context, actor access.Actor, id, projectID, reason string) (Principal, error) {
	const op = "gateway.DropProject"
	return s.lend(ctx, op, actor, id, projectID, func(tx *store.Tx, p Principal, pr project.Project) error {
		reason, err := audit.Reason(op, reason)
		if err != nil {
			return err
		}
		res, err := tx.Exec(`DELETE FROM gateway_use WHERE principal = ? AND project = ?`, p.ID, pr.ID)
		if err != nil {
			return err
		}
		if n, err := res.RowsAffected(); err != nil || n == 0 {
			return fault.Kinded(op, fault.NotFound, err, "%s does not use the project %s.", p.Name, pr.Name)
		}
		s.bound(tx)
		_, err = s.Log.Append(tx, audit.By(actor, "gateway.withdrawn", Subject(p.ID), pr.ID).Because(reason))
		return err
	})
}

// lend does what a lead decides about a principal and a project, in one
// transaction, and returns the principal as the lead may see it then.
func (s *Service) lend(ctx context.Context, op string, actor access.Actor, id, projectID string, do func(*store.Tx, Principal, project.Project) error) (Principal, error) {
	var p Principal
	err := s.update(ctx, func(tx *store.Tx) error {
		pr, err := s.lent(tx, actor, projectID)
		if err != nil {
			return err
		}
		if p, err = s.find(tx, id); err != nil {
			return err
		}
		if err := do(tx, p, pr); err != nil {
			return err
		}
		p, err = s.find(tx, p.ID)
		return err
	})
	if err != nil {
		return Principal{}, fault.Wrap(op, err)
	}
	p, _ = visibleTo(actor, p)
	return p, nil
}

// notTheMaker keeps it at two people: one makes a principal, another lets it in.
func notTheMaker(tx *store.Tx, p Principal, actor access.Actor) error {
	var maker string
	if err := tx.QueryRow(`SELECT created_by FROM gateway_principal WHERE id = ?`, p.ID).Scan(&maker); err != nil {
		return err
	}
	if maker == actor.ID {
		return fault.New("gateway.AddProject", fault.Denied, "You made %s known here yourself, so another lead of the project has to let it in.", p.Name)
	}
	return nil
}

// lent is the project, if the actor may lend it.
func (s *Service) lent(tx *store.Tx, actor access.Actor, id string) (project.Project, error) {
	pr, err := s.Projects.Lookup(tx, id)
	if err != nil {
		return pr, err
	}
	return pr, access.May(actor, access.FederationUse, access.Thing{Project: pr.ID})
}

// sponsor finds the member by id or sign-in name.
func (s *Service) sponsor(tx *store.Tx, pr project.Project, name string) (access.Actor, error) {
	for _, m := range pr.Members {
		if m.PersonID != name && m.Handle != name {
			continue
		}
		a, err := s.ActorOf(tx, m.PersonID)
		if err == nil {
			err = access.May(a, access.JobSubmit, access.Thing{Project: pr.ID, Owner: a.ID})
		}
		if err != nil {
			return a, fault.Kinded("gateway.sponsor", fault.Conflict, err, "%s cannot submit jobs in this project and so cannot answer for others. Choose another member.", m.Name)
		}
		return a, nil
	}
	return access.Actor{}, fault.New("gateway.sponsor", fault.Invalid, "The sponsor has to be a member of %s, who answers for the work that comes in. Choose one of its members.", pr.Name)
}

// grantedIDs turns ids and slugs into ids of datasets that the project is granted.
func grantedIDs(pr project.Project, names []string) ([]string, error) {
	ids := []string{}
	for _, n := range names {
		if n == anyData {
			return []string{anyData}, nil
		}
		g, ok := grantOf(pr, n)
		if !ok {
			return nil, fault.New("gateway.AddProject", fault.Invalid, "The dataset %s is not granted to %s. Choose one that is, or \"*\" for all of them.", quoted(n), pr.Name)
		}
		if !has(ids, g.DatasetID) {
			ids = append(ids, g.DatasetID)
		}
	}
	return ids, nil
}

func grantOf(pr project.Project, name string) (project.Grant, bool) {
	for _, g := range pr.Datasets {
		if name != "" && (g.DatasetID == name || g.Slug == name) {
			return g, true
		}
	}
	return project.Grant{}, false
}

func has(list []string, v string) bool {
	for _, x := range list {
		if x == v {
			return true
		}
	}
	return false
}

func (s *Service) put(tx *store.Tx, actor access.Actor, p Principal, pr project.Project, sponsor access.Actor, data []string) error {
	_, err := tx.Exec(`INSERT INTO gateway_use (principal, project, sponsor, datasets, since, added_by, added_by_handle) VALUES (?, ?, ?, ?, ?, ?, ?)
		ON CONFLICT (principal, project) DO UPDATE SET sponsor = excluded.sponsor, datasets = excluded.datasets, added_by = excluded.added_by, added_by_handle = excluded.added_by_handle`,
		p.ID, pr.ID, sponsor.ID, mustJSON(data), store.Millis(tx.Now()), actor.ID, actor.Handle)
	if err != nil {
		return err
	}
	s.bound(tx)
	_, err = s.Log.Append(tx, audit.By(actor, "gateway.lent", Subject(p.ID), pr.ID, "sponsor", sponsor.ID, "datasets", dataCount(data)))
	return err
}

func dataCount(ids []string) string {
	if len(ids) == 1 && ids[0] == anyData {
		return "all"
	}
	return strconv.Itoa(len(ids))
}
