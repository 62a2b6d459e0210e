package project

import (
	"context"

	"tresor/app/access"
	"tresor/app/audit"
	"tresor/app/fault"
	"tresor/app/store"
)

// SetMember gives a person a role in a project, or changes it. Combinations that
// separation of duties forbids are fault.Conflict.
func (s *Service) SetMember(ctx context.Context, actor access.Actor, idOrSlug, person string, role access.Role) (Project, error) {
	const op = "project.SetMember"
	var now Project
	err := s.db.Update(ctx, func(tx *store.Tx) error {
		p, err := s.visible(tx, actor, idOrSlug)
		if err != nil {
			return err
		}
		had := p.roleOf(person)
		if err := mayMember(actor, p.ID, person, had, role); err != nil {
			return err
		}
		if err := s.checkMember(op, tx, p, person, role); err != nil {
			return err
		}
		if now = p; had == role {
			return nil
		}
		if err := putMember(tx, p.ID, person, role, actor.ID); err != nil {
			return err
		}
		verb := "member.added"
		if had != "" {
			verb = "member.changed"
		}
		if err := s.note(tx, actor, verb, p.ID, "person", person, "role", string(role)); err != nil {
			return err
		}
		now, err = s.Lookup(tx, p.ID)
		return err
	})
	return now, fault.Wrap(op, err)
}

// mayMember asks for the new role and for the one that is taken away: a lead may
// not demote another lead by making them a researcher.
func mayMember(actor access.Actor, project, person string, had, role access.Role) error {
	for _, r := range []access.Role{had, role} {
		if r == "" {
			continue
		}
		if err := access.May(actor, access.ProjectMember, access.Thing{Project: project, Person: person, Role: r}); err != nil {
			return err
		}
	}
	return nil
}

func (p Project) roleOf(person string) access.Role {
	for _, m := range p.Members {
		if m.PersonID == person {
			return m.Role
		}
	}
	return ""
}

func (s *Service) checkMember(op string, tx *store.Tx, p Project, person string, role access.Role) error {
	if p.State == Closed {
		return fault.New(op, fault.Conflict, "The project %s is closed. Reopen it before you add or change members.", p.Slug)
	}
	who, err := s.links.People(tx, person)
	if err != nil {
		return err
	}
	if who.Disabled {
		return fault.New(op, fault.Conflict, "The account of %s is disabled. Enable it before you make them a member.", who.Name)
	}
	after, err := s.MembershipsOf(tx, who.ID)
	if err != nil {
		return err
	}
	after[p.ID] = role
	return access.ValidateRoles(who.Roles, after)
}

// DropMember takes a person out of a project and keeps why. Their jobs and requests stay.
func (s *Service) DropMember(ctx context.Context, actor access.Actor, idOrSlug, person, reason string) (Project, error) {
	const op = "project.DropMember"
	var now Project
	err := s.db.Update(ctx, func(tx *store.Tx) error {
		p, err := s.visible(tx, actor, idOrSlug)
		if err != nil {
			return err
		}
		had := p.roleOf(person)
		if err := access.May(actor, access.ProjectMember, access.Thing{Project: p.ID, Person: person, Role: had}); err != nil {
			return err
		}
		if had == "" {
			return fault.New(op, fault.NotFound, "This person is not a member of the project %s.", p.Slug)
		}
		if reason, err = audit.Reason(op, reason); err != nil {
			return err
		}
		if _, err := tx.Exec(`DELETE FROM project_member WHERE project = ? AND person = ?`, p.ID, person); err != nil {
			return err
		}
		if err := s.noteWhy(tx, actor, reason, "member.dropped", p.ID, "person", person, "role", string(had)); err != nil {
			return err
		}
		now, err = s.Lookup(tx, p.ID)
		return err
	})
	return now, fault.Wrap(op, err)
}

// MembershipsOf returns project id -> role of a person, closed projects
// included. The map is never nil.
func (s *Service) MembershipsOf(tx *store.Tx, person string) (map[string]access.Role, error) {
	rows, err := tx.Query(`SELECT project, role FROM project_member WHERE person = ?`, person)
	if err != nil {
		return nil, fault.Wrap("project.MembershipsOf", err)
	}
	defer rows.Close()
	all := map[string]access.Role{}
	for rows.Next() {
		var id string
		var role access.Role
		if err := rows.Scan(&id, &role); err != nil {
			return nil, fault.Wrap("project.MembershipsOf", err)
		}
		all[id] = role
	}
	return all, fault.Wrap("project.MembershipsOf", rows.Err())
}

// WorkingRoles returns a person's memberships as long as their account is
// enabled: what work that waits in their name may still rest on.
func (s *Service) WorkingRoles(tx *store.Tx, person string) (map[string]access.Role, error) {
	who, err := s.links.People(tx, person)
	if err != nil {
		return nil, fault.Wrap("project.WorkingRoles", err)
	}
	if who.Disabled {
		return map[string]access.Role{}, nil
	}
	return s.MembershipsOf(tx, person)
}
