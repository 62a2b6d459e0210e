package dataset

import (
	"database/sql"
	"encoding/json"

	"tresor/app/access"
	"tresor/app/fault"
	"tresor/app/store"
)

func insertVersion(tx *store.Tx, v Version, actor access.Actor) error {
	files, err := json.Marshal(v.Files)
	if err != nil {
		return err
	}
	tables, err := json.Marshal(v.Tables)
	if err != nil {
		return err
	}
	_, err = tx.Exec(`INSERT INTO dataset_version (dataset, n, sha256, files, tables, row_count, bytes, presentation, note, created_at, created_by, created_by_name)
		VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`,
		v.DatasetID, v.N, v.SHA256, string(files), string(tables), v.Rows, v.Bytes, v.Presentation, v.Note, store.Millis(v.CreatedAt), actor.ID, v.CreatedBy)
	if err != nil {
		return err
	}
	_, err = tx.Exec(`UPDATE dataset SET latest = ? WHERE id = ?`, v.N, v.DatasetID)
	return err
}

// Lookup returns a dataset by id or slug with all its versions, without asking
// who wants it and with the whole profile.
func (s *Service) Lookup(tx *store.Tx, idOrSlug string) (Dataset, error) {
	d := Dataset{Versions: []Version{}}
	var at int64
	err := tx.QueryRow(`SELECT id, slug, name, description, controller, licence, source, state, latest, created_at, created_by
		FROM dataset WHERE id = ? OR slug = ?`, idOrSlug, idOrSlug).Scan(
		&d.ID, &d.Slug, &d.Name, &d.Description, &d.Controller, &d.Licence, &d.Source, &d.State, &d.Latest, &at, &d.CreatedBy)
	if store.NotFound(err) {
		return d, notFound(idOrSlug)
	}
	if err != nil {
		return d, fault.Wrap("dataset.Lookup", err)
	}
	d.CreatedAt = store.Time(at)
	if d.Projects, err = s.Projects.ProjectsOf(tx, d.ID); err != nil {
		return d, err
	}
	if d.Projects == nil {
		d.Projects = []string{}
	}
	d.Versions, err = versions(tx, d.ID)
	return d, fault.Wrap("dataset.Lookup", err)
}

func notFound(idOrSlug string) error {
	return fault.New("dataset.Lookup", fault.NotFound, "There is no dataset %q, or it is not visible to you.", clip(idOrSlug))
}

const versionColumns = `dataset, n, sha256, files, tables, row_count, bytes, presentation, note, created_at, created_by_name`

func versions(tx *store.Tx, id string) ([]Version, error) {
	rows, err := tx.Query(`SELECT `+versionColumns+` FROM dataset_version WHERE dataset = ? ORDER BY n DESC`, id)
	if err != nil {
		return nil, err
	}
	all := []Version{}
	return all, each(rows, func() error {
		v, err := scanVersion(rows)
		all = append(all, v)
		return err
	})
}

func scanVersion(row interface{ Scan(...any) error }) (Version, error) {
	var v Version
	var files, tables string
	var at int64
	err := row.Scan(&v.DatasetID, &v.N, &v.SHA256, &files, &tables, &v.Rows, &v.Bytes, &v.Presentation, &v.Note, &at, &v.CreatedBy)
	if err != nil {
		return v, err
	}
	v.CreatedAt = store.Time(at)
	if err := json.Unmarshal([]byte(files), &v.Files); err != nil {
		return v, err
	}
	return v, json.Unmarshal([]byte(tables), &v.Tables)
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
