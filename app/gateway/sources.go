package gateway

import (
	"context"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"tresor/app/access"
	"tresor/app/audit"
	"tresor/app/fault"
	"tresor/app/store"
)

// Sources lists the allow-list: for operators and auditors, and for whoever leads a
// project, who approves jobs with fetched inputs. Errors: Denied.
func (s *Service) Sources(ctx context.Context, actor access.Actor) ([]Source, error) {
	if access.Can(actor, access.FederationRead, access.Thing{Projects: slices.Collect(maps.Keys(actor.Projects))}) {
		return s.sources(ctx)
	}
	return nil, access.May(actor, access.FederationRead, access.Thing{})
}

func (s *Service) sources(ctx context.Context) ([]Source, error) {
	list := []Source{}
	err := s.DB.View(ctx, func(tx *store.Tx) error {
		rows, err := tx.Query(`SELECT ` + sourceColumns + ` FROM gateway_source ORDER BY prefix, plugin`)
		if err != nil {
			return err
		}
		defer rows.Close()
		for rows.Next() {
			x, err := scanSource(rows)
			if err != nil {
				return err
			}
			list = append(list, x)
		}
		return rows.Err()
	})
	return list, fault.Wrap("gateway.sources", err)
}

const sourceColumns = `id, prefix, kind, endpoint, plugin, added_at, added_by_handle, private, credential, coalesce(credential_at, 0)`

func scanSource(row interface{ Scan(...any) error }) (x Source, err error) {
	var added, given int64
	err = row.Scan(&x.ID, &x.Prefix, &x.Kind, &x.Endpoint, &x.Plugin, &added, &x.AddedBy, &x.Private, &x.sealed, &given)
	if x.AddedAt = store.Time(added); x.sealed != nil {
		x.CredentialAt = store.Time(given)
	}
	return x, err
}

// findSource finds the source that a name, its prefix or its id, stands for.
func findSource(tx *store.Tx, op, name string) (Source, error) {
	var id string
	var n int
	err := tx.QueryRow(`SELECT coalesce(min(id), ''), count(*) FROM gateway_source WHERE id = ?1 OR prefix = ?1`, name).Scan(&id, &n)
	switch {
	case err != nil:
		return Source{}, err
	case n == 0:
		return Source{}, fault.New(op, fault.NotFound, access.NotSeen)
	case n > 1:
		return Source{}, fault.WithNext(fault.New(op, fault.Conflict, "%s is on the list %d times, for different plugins.", quoted(name), n), "Name one of them by its id.")
	}
	return scanSource(tx.QueryRow(`SELECT `+sourceColumns+` FROM gateway_source WHERE id = ?`, id))
}

// AddSource allows a prefix; of src only Prefix, Kind, Endpoint, Plugin, Private
// and Credential count. Operators only. Errors: Denied, Invalid, Conflict for one that is there.
func (s *Service) AddSource(ctx context.Context, actor access.Actor, src Source) (Source, error) {
	const op = "gateway.AddSource"
	if err := access.May(actor, access.FederationManage, access.Thing{}); err != nil {
		return Source{}, err
	}
	if err := src.normalise(op); err != nil {
		return Source{}, err
	}
	key := src.Credential
	src.Credential = nil // it is in no answer
	err := s.update(ctx, func(tx *store.Tx) (err error) {
		src.ID, src.AddedAt, src.AddedBy = s.IDs(), tx.Now(), actor.Handle
		if src.sealed, src.CredentialAt = nil, (time.Time{}); key != nil {
			src.CredentialAt = tx.Now()
			if src.sealed, err = s.keep(op, src, *key); err != nil {
				return err
			}
		}
		_, err = tx.Exec(`INSERT INTO gateway_source (id, prefix, kind, endpoint, plugin, added_at, added_by, added_by_handle, private, credential, credential_at) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`,
			src.ID, src.Prefix, src.Kind, src.Endpoint, src.Plugin, store.Millis(src.AddedAt), actor.ID, actor.Handle, src.Private, src.sealed, src.keptAt())
		if store.Duplicate(err) {
			return fault.Kinded(op, fault.Conflict, err, "%s is on the list already.", src.Prefix)
		}
		if err != nil {
			return err
		}
		_, err = s.Log.Append(tx, audit.By(actor, "gateway.source-added", "source:"+src.ID, "", "kind", src.Kind, "prefix_sha256", digest([]byte(src.Prefix)), "private", strconv.FormatBool(src.Private)))
		return err
	})
	if err != nil {
		return Source{}, fault.Wrap(op, err)
	}
	return src, nil
}

// DropSource takes a prefix off the list; it is named by itself or by its id. Operators
// only. Errors: Denied, NotFound, Conflict for a prefix that several plugins have.
func (s *Service) DropSource(ctx context.Context, actor access.Actor, name string) error {
	const op = "gateway.DropSource"
	if err := access.May(actor, access.FederationManage, access.Thing{}); err != nil {
		return err
	}
	return fault.Wrap(op, s.update(ctx, func(tx *store.Tx) error {
		src, err := findSource(tx, op, name)
		if err != nil {
			return err
		}
		if _, err := tx.Exec(`DELETE FROM gateway_source WHERE id = ?`, src.ID); err != nil {
			return err
		}
		_, err = s.Log.Append(tx, audit.By(actor, "gateway.source-dropped", "source:"+src.ID, ""))
		return err
	}))
}

// normalise checks an entry of the list. A prefix ends with a slash, so that
// "data.example.org" does not allow "data.example.org.evil.net".
func (src *Source) normalise(op string) error {
	src.Prefix, src.Endpoint, src.Plugin = strings.TrimSpace(src.Prefix), strings.TrimSpace(src.Endpoint), strings.TrimSpace(src.Plugin)
	u, err := plainURL(src.Prefix)
	if err != nil || u.RawQuery != "" {
		return fault.New(op, fault.Invalid, "Write the source as https://host/path/, s3://bucket/path/ or drs://host/, without a name, a password or a question mark.")
	}
	if src.Kind == "" {
		src.Kind = u.Scheme
	}
	if src.Kind != u.Scheme || (src.Kind != SourceHTTPS && src.Kind != SourceS3 && src.Kind != SourceDRS) {
		return fault.New(op, fault.Invalid, "The source begins with https://, s3:// or drs://, and its kind is the same word.")
	}
	if src.Plugin != "" && (src.Kind != SourceHTTPS || !word(src.Plugin)) {
		return fault.New(op, fault.Invalid, "A plugin calls https:// addresses only, and is named by its short name.")
	}
	if src.Kind == SourceHTTPS {
		src.Endpoint = ""
	} else if e, err := plainURL(src.Endpoint); err != nil || e.Scheme != SourceHTTPS || e.RawQuery != "" {
		return fault.New(op, fault.Invalid, "Say which https:// address answers for %s.", src.Prefix)
	} else {
		src.Endpoint = strings.TrimSuffix(e.String(), "/")
	}
	if src.Kind == SourceS3 && (u.Port() != "" || strings.Trim(u.Host, ".") == "") {
		return fault.New(op, fault.Invalid, "Write s3:// with the name of a bucket; the server and its port belong to the endpoint.")
	}
	if !strings.HasSuffix(u.Path, "/") {
		u.Path += "/"
	}
	src.Prefix = u.String()
	return nil
}
