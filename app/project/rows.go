package project

import (
	"database/sql"
	"time"

	"tresor/app/access"
	"tresor/app/fault"
	"tresor/app/store"
)

func insert(tx *store.Tx, p Project) error {
	why, until := p.waiverColumns()
	_, err := tx.Exec(`INSERT INTO project (`+columns+`) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`,
		p.ID, p.Slug, p.Name, p.Purpose, p.State, millis(p.EndsAt), p.Approval, p.Threshold, p.Reviewers, why, until, p.Reason,
		store.Millis(p.CreatedAt), p.CreatedBy)
	if store.Duplicate(err) {
		return fault.Kinded("project.insert", fault.Conflict, err, "The short name %q is taken by another project. Choose another one.", p.Slug)
	}
	return err
}

func update(tx *store.Tx, p Project) error {
	why, until := p.waiverColumns()
	reviewers := p.Reviewers
	if p.Waiver != nil {
		reviewers = p.Waiver.Reviewers // what was decided, not what is in force
	}
	_, err := tx.Exec(`UPDATE project SET name = ?, purpose = ?, state = ?, ends_at = ?, approval = ?, threshold = ?, reviewers = ?,
		waiver_reason = ?, waiver_until = ?, reason = ? WHERE id = ?`,
		p.Name, p.Purpose, p.State, millis(p.EndsAt), p.Approval, p.Threshold, reviewers, why, until, p.Reason, p.ID)
	return err
}

func (p Project) waiverColumns() (string, sql.NullInt64) {
	if p.Waiver == nil {
		return "", sql.NullInt64{}
	}
	return p.Waiver.Reason, sql.NullInt64{Int64: store.Millis(p.Waiver.Until), Valid: true}
}

func millis(t *time.Time) sql.NullInt64 {
	if t == nil {
		return sql.NullInt64{}
	}
	return sql.NullInt64{Int64: store.Millis(*t), Valid: true}
}

func putMember(tx *store.Tx, project, person string, role access.Role, by string) error {
	_, err := tx.Exec(`INSERT INTO project_member (project, person, role, added_at, added_by) VALUES (?, ?, ?, ?, ?)
		ON CONFLICT (project, person) DO UPDATE SET role = excluded.role, added_at = excluded.added_at, added_by = excluded.added_by`,
		project, person, role, store.Millis(tx.Now()), by)
	return err
}
