package release

import (
	"context"
	"encoding/json"
	"strings"

	"tresor/app/access"
	"tresor/app/fault"
	"tresor/app/store"
)

const columns = `id, request, project, job, title, sha256, size, files, made_at, made_by, made_by_handle, made_by_name,
 (SELECT count(*) FROM release_opening o WHERE o.release = release.id)`

func scan(row interface{ Scan(...any) error }) (Release, error) {
	var r Release
	var files string
	var made int64
	err := row.Scan(&r.ID, &r.Request, &r.Project, &r.Job, &r.Title, &r.SHA256, &r.Size, &files, &made, &r.MadeBy.ID, &r.MadeBy.Handle, &r.MadeBy.Name, &r.Opened)
	if err != nil {
		return r, err
	}
	r.MadeAt = store.Time(made)
	return r, json.Unmarshal([]byte(files), &r.Files)
}

func (s *Service) one(tx *store.Tx, where, arg string) (Release, error) {
	r, err := scan(tx.QueryRow(`SELECT `+columns+` FROM release WHERE `+where, arg))
	if store.NotFound(err) {
		return r, fault.New("release.find", fault.NotFound, access.NotSeen)
	}
	if err != nil {
		return r, err
	}
	return r, s.name(tx, &r)
}

func (s *Service) byRequest(tx *store.Tx, request string) (Release, error) {
	return s.one(tx, "request = ?", request)
}

func (s *Service) name(tx *store.Tx, r *Release) error {
	p, err := s.Projects.Lookup(tx, r.Project)
	r.ProjectName = p.Name
	return err
}

func (r Release) thing() access.Thing { return access.Thing{Project: r.Project} }

// Get returns a release; fault.NotFound when the actor may not see it.
func (s *Service) Get(ctx context.Context, actor access.Actor, id string) (Release, error) {
	return s.get(ctx, actor, access.ReleaseRead, id)
}

func (s *Service) get(ctx context.Context, actor access.Actor, action access.Action, id string) (Release, error) {
	var r Release
	err := s.DB.View(ctx, func(tx *store.Tx) error {
		var err error
		if r, err = s.one(tx, "id = ?", id); err != nil {
			return err
		}
		return access.May(actor, action, r.thing())
	})
	if err != nil {
		return Release{}, fault.Wrap("release.Get", err)
	}
	return r, nil
}

// Filter narrows List.
type Filter struct {
	Project string // id or slug; empty: all that the actor sees
	Before  string // the last id of the page before
	Limit   int    // at most 500; 0: 100
}

// List returns releases that the actor may see, newest first. A full page means
// that there may be more.
func (s *Service) List(ctx context.Context, actor access.Actor, f Filter) ([]Release, error) {
	list := []Release{}
	err := s.DB.View(ctx, func(tx *store.Tx) error {
		where, args, err := s.visible(tx, actor, f)
		if err != nil || where == "" {
			return err
		}
		if f.Before != "" {
			where, args = where+" AND id < ?", append(args, f.Before)
		}
		if f.Limit <= 0 {
			f.Limit = 100
		}
		list, err = s.page(tx, where, append(args, min(f.Limit, 500)))
		return err
	})
	return list, fault.Wrap("release.List", err)
}

func (s *Service) visible(tx *store.Tx, actor access.Actor, f Filter) (string, []any, error) {
	if f.Project != "" {
		p, err := s.Projects.Lookup(tx, f.Project)
		if err != nil {
			return "", nil, err
		}
		return "project = ?", []any{p.ID}, access.May(actor, access.ReleaseRead, access.Thing{Project: p.ID})
	}
	if access.Can(actor, access.ReleaseRead, access.Thing{}) { // a role for the whole site
		return "1", nil, nil
	}
	var args []any
	for id := range actor.Projects {
		if access.Can(actor, access.ReleaseRead, access.Thing{Project: id}) {
			args = append(args, id)
		}
	}
	if len(args) == 0 {
		return "", nil, nil
	}
	return "project IN (" + strings.TrimSuffix(strings.Repeat("?,", len(args)), ",") + ")", args, nil
}

func (s *Service) page(tx *store.Tx, where string, args []any) ([]Release, error) {
	rows, err := tx.Query(`SELECT `+columns+` FROM release WHERE `+where+` ORDER BY id DESC LIMIT ?`, args...)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	list := []Release{}
	for rows.Next() {
		r, err := scan(rows)
		if err != nil {
			return nil, err
		}
		list = append(list, r)
	}
	if err := rows.Err(); err != nil {
		return nil, err
	}
	for i := range list {
		if err := s.name(tx, &list[i]); err != nil {
			return nil, err
		}
	}
	return list, nil
}
