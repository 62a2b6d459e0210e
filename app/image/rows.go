package image

import (
	"database/sql"

	"tresor/app/store"
)

const columns = `digest, id, ref, source, state, present, size, arch, setuid, imported_at, imported_by, approved_at, approved_by, reason`

// put records an image that the engine holds. A digest that is known keeps the
// decision about it: the same digest is the same bytes.
func put(tx *store.Tx, i Image) error {
	_, err := tx.Exec(`INSERT INTO image (digest, id, ref, source, state, present, size, arch, setuid, imported_at, imported_by)
		VALUES (?, ?, ?, ?, ?, 1, ?, ?, ?, ?, ?)
		ON CONFLICT (digest) DO UPDATE SET id = excluded.id, ref = excluded.ref, present = 1, imported_at = excluded.imported_at, imported_by = excluded.imported_by`,
		i.Digest, i.ID, i.Ref, i.Source, Imported, i.Size, i.Arch, i.Setuid, store.Millis(i.ImportedAt), i.ImportedBy)
	return err
}

func decide(tx *store.Tx, digest string, s State, by, reason string) error {
	q := `UPDATE image SET state = ?, reason = ?, approved_by = ?, approved_at = ? WHERE digest = ?`
	if s == Revoked {
		_, err := tx.Exec(`UPDATE image SET state = ?, reason = ? WHERE digest = ?`, s, reason, digest)
		return err
	}
	_, err := tx.Exec(q, s, reason, by, store.Millis(tx.Now()), digest)
	return err
}

// find returns the images that a digest, an id or a name stands for, the latest
// import first.
func find(tx *store.Tx, refOrDigest string) ([]Image, error) {
	rows, err := tx.Query(`SELECT `+columns+` FROM image WHERE digest = ? OR id = ? OR ref = ? ORDER BY imported_at DESC, digest`,
		refOrDigest, refOrDigest, refOrDigest)
	return scanAll(rows, err)
}

func all(tx *store.Tx) ([]Image, error) {
	rows, err := tx.Query(`SELECT ` + columns + ` FROM image ORDER BY imported_at DESC, digest`)
	return scanAll(rows, err)
}

func scanAll(rows *sql.Rows, err error) ([]Image, error) {
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	list := []Image{}
	for rows.Next() {
		i, err := scan(rows)
		if err != nil {
			return nil, err
		}
		list = append(list, i)
	}
	return list, rows.Err()
}

func scan(rows *sql.Rows) (Image, error) {
	var i Image
	var present bool
	var imported int64
	var approved sql.NullInt64
	err := rows.Scan(&i.Digest, &i.ID, &i.Ref, &i.Source, &i.State, &present, &i.Size, &i.Arch, &i.Setuid, &imported, &i.ImportedBy,
		&approved, &i.ApprovedBy, &i.Reason)
	i.ImportedAt = store.Time(imported)
	if approved.Valid {
		at := store.Time(approved.Int64)
		i.ApprovedAt = &at
	}
	if !present {
		i.State = Missing
	}
	return i, err
}
