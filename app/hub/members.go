package hub

import (
	"context"

	"tresor/app/access"
	"tresor/app/audit"
	"tresor/app/fault"
	"tresor/app/identity"
	"tresor/app/store"
)

func (s *Service) readMembers(tx *store.Tx, p *Project) error {
	rows, err := tx.Query(`SELECT person, role FROM hub_member WHERE project = ? ORDER BY person`, p.ID)
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		var m Member
		if err := rows.Scan(&m.Person, &m.Role); err != nil {
			return err
		}
		p.Members = append(p.Members, m)
	}
	if err := rows.Err(); err != nil {
		return err
	}
	for i := range p.Members {
		who, err := identity.Lookup(tx, p.Members[i].Person)
		if err != nil {
			return err
		}
		p.Members[i].Handle, p.Members[i].Name = who.Handle, who.Name
	}
	return nil
}

// SetMember lets a person work in a project, or changes their role.
func (s *Service) SetMember(ctx context.Context, actor access.Actor, idOrSlug, person string, role access.Role) (Project, error) {
	const op = "hub.SetMember"
	return s.change(ctx, op, actor, idOrSlug, func(tx *store.Tx, p Project) error {
		who, err := identity.Lookup(tx, person)
		if err != nil {
			return err
		}
		if who.Disabled {
			return fault.WithNext(fault.New(op, fault.Conflict, "The account of %s is disabled.", who.Name), "Enable it before you make them a member.")
		}
		after, err := MembershipsOf(tx, who.ID)
		if err != nil {
			return err
		}
		after[p.ID] = role
		if err := access.ValidateRoles(who.Roles, after); err != nil {
			return err
		}
		_, err = tx.Exec(`INSERT INTO hub_member (project, person, role, added_at, added_by) VALUES (?, ?, ?, ?, ?)
			ON CONFLICT (project, person) DO UPDATE SET role = excluded.role`, p.ID, who.ID, string(role), store.Millis(tx.Now()), actor.ID)
		if err != nil {
			return err
		}
		return s.note(tx, actor, "member.added", projectSubject(p.ID), p.ID, "person", who.ID, "role", string(role))
	})
}

// DropMember takes a person out of a project and revokes their tokens for it. The
// reason is kept with the event.
func (s *Service) DropMember(ctx context.Context, actor access.Actor, idOrSlug, person, reason string) (Project, error) {
	const op = "hub.DropMember"
	return s.change(ctx, op, actor, idOrSlug, func(tx *store.Tx, p Project) error {
		reason, err := audit.Reason(op, reason)
		if err != nil {
			return err
		}
		r, err := tx.Exec(`DELETE FROM hub_member WHERE project = ? AND person = ?`, p.ID, person)
		if err != nil {
			return err
		}
		if n, _ := r.RowsAffected(); n == 0 {
			return fault.WithNext(fault.New(op, fault.NotFound, "This person is not a member of the project %s.", p.Slug), "The project lists its members.")
		}
		if _, err := tx.Exec(`UPDATE hub_token SET revoked_at = ? WHERE project = ? AND person = ? AND revoked_at IS NULL`, store.Millis(tx.Now()), p.ID, person); err != nil {
			return err
		}
		return s.because(tx, reason, audit.By(actor, "member.dropped", projectSubject(p.ID), p.ID, "person", person))
	})
}

// MembershipsOf returns project id -> role of a person; never nil. On a hub these
// are the projects that identity hands to package access; it needs no Service,
// because identity opens first.
func MembershipsOf(tx *store.Tx, person string) (map[string]access.Role, error) {
	rows, err := tx.Query(`SELECT project, role FROM hub_member WHERE person = ?`, person)
	if err != nil {
		return nil, fault.Wrap("hub.MembershipsOf", err)
	}
	defer rows.Close()
	all := map[string]access.Role{}
	for rows.Next() {
		var id string
		var role access.Role
		if err := rows.Scan(&id, &role); err != nil {
			return nil, fault.Wrap("hub.MembershipsOf", err)
		}
		all[id] = role
	}
	return all, fault.Wrap("hub.MembershipsOf", rows.Err())
}
