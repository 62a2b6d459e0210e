package plug

import (
	"database/sql"
	"encoding/json"
	"slices"
	"time"

	"tresor/app/access"
	"tresor/app/audit"
	"tresor/app/fault"
	"tresor/app/store"
	"tresor/plugins/protocol"
)

// row is a plugin as the table keeps it.
type row struct {
	Name        string
	Path        string // "" for a built-in
	SHA256      string
	Enabled     bool
	Settings    map[string]string // without secrets
	Secrets     []byte            // sealed
	Description protocol.Description
	Principal   string
	TrustedBy   string
	TrustedAt   time.Time
}

func readAll(tx *store.Tx) ([]row, error) {
	rows, err := tx.Query(`SELECT name, path, sha256, enabled, settings, secrets, description, principal, trusted_by, trusted_at FROM plugin ORDER BY name`)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var out []row
	for rows.Next() {
		var r row
		var settings, description string
		var at sql.NullInt64
		if err := rows.Scan(&r.Name, &r.Path, &r.SHA256, &r.Enabled, &settings, &r.Secrets, &description, &r.Principal, &r.TrustedBy, &at); err != nil {
			return nil, err
		}
		if at.Valid {
			r.TrustedAt = store.Time(at.Int64)
		}
		if err := json.Unmarshal([]byte(settings), &r.Settings); err != nil {
			return nil, fault.Kinded("plug.readAll", fault.Internal, err, "The settings of the plugin %s cannot be read.", r.Name)
		}
		if err := json.Unmarshal([]byte(description), &r.Description); err != nil {
			return nil, fault.Kinded("plug.readAll", fault.Internal, err, "The description of the plugin %s cannot be read.", r.Name)
		}
		out = append(out, r)
	}
	return out, rows.Err()
}

func (r row) write(tx *store.Tx) error {
	if r.Settings == nil {
		r.Settings = map[string]string{}
	}
	settings, err := json.Marshal(r.Settings)
	if err != nil {
		return err
	}
	description, err := json.Marshal(r.Description)
	if err != nil {
		return err
	}
	var at any
	if !r.TrustedAt.IsZero() {
		at = store.Millis(r.TrustedAt)
	}
	if r.Secrets == nil {
		r.Secrets = []byte{}
	}
	_, err = tx.Exec(`INSERT INTO plugin (name, path, sha256, enabled, settings, secrets, description, principal, trusted_by, trusted_at, changed_at)
		VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
		ON CONFLICT (name) DO UPDATE SET path = excluded.path, sha256 = excluded.sha256, enabled = excluded.enabled, settings = excluded.settings,
		secrets = excluded.secrets, description = excluded.description, principal = excluded.principal, trusted_by = excluded.trusted_by,
		trusted_at = excluded.trusted_at, changed_at = excluded.changed_at`,
		r.Name, r.Path, r.SHA256, r.Enabled, string(settings), r.Secrets, string(description), r.Principal, r.TrustedBy, at, store.Millis(tx.Now()))
	return err
}

// describe keeps what the plugin says of itself and nothing else of the row: an
// operator may be changing the rest at this moment.
func (r row) describe(tx *store.Tx) error {
	description, err := json.Marshal(r.Description)
	if err != nil {
		return err
	}
	res, err := tx.Exec(`UPDATE plugin SET description = ?, changed_at = ? WHERE name = ?`, string(description), store.Millis(tx.Now()), r.Name)
	if err != nil {
		return err
	}
	if n, err := res.RowsAffected(); err != nil || n > 0 || r.Path != "" {
		return err // one from outside without a row was removed meanwhile
	}
	return r.write(tx) // a part of the program that nobody has changed yet
}

// rowOf is the row of a plugin now.
func (s *Service) rowOf(e *entry) row {
	s.mu.Lock()
	defer s.mu.Unlock()
	return e.row
}

// note appends the event of a change.
func (s *Service) note(tx *store.Tx, actor access.Actor, verb, name string, kv ...string) error {
	_, err := s.Log.Append(tx, audit.By(actor, verb, Subject(name), "", kv...))
	return err
}

func (s *Service) names() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := make([]string, 0, len(s.entries))
	for n := range s.entries {
		out = append(out, n)
	}
	slices.Sort(out)
	return out
}
