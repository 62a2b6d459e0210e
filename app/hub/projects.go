package hub

import (
	"context"
	"regexp"

	"tresor/app/access"
	"tresor/app/fault"
	"tresor/app/store"
)

// The states of a project.
const (
	Open   = "open"
	Closed = "closed"
)

var slugForm = regexp.MustCompile(`^[a-z][a-z0-9-]{1,39}$`)

func projectSubject(id string) string { return "hub-project:" + id }

func checkName(op, what, s string) error {
	if s == "" || len(s) > 200 || clean(s) != s {
		return fault.New(op, fault.Invalid, "Give the %s in one line of at most 200 characters.", what)
	}
	return nil
}

// CreateProject makes a project without members or nodes.
func (s *Service) CreateProject(ctx context.Context, actor access.Actor, d ProjectDraft) (Project, error) {
	const op = "hub.CreateProject"
	if err := access.May(actor, access.HubManage, access.Thing{}); err != nil {
		return Project{}, fault.Wrap(op, err)
	}
	if !slugForm.MatchString(d.Slug) {
		return Project{}, fault.WithNext(fault.New(op, fault.Invalid, "%q is not a short name.", clip(d.Slug, 60)), "Use 2 to 40 lower-case letters, digits and hyphens, starting with a letter.")
	}
	if d.Name == "" {
		d.Name = d.Slug
	}
	if err := checkName(op, "name", d.Name); err != nil {
		return Project{}, err
	}
	var p Project
	err := s.DB.Update(ctx, func(tx *store.Tx) error {
		id := s.IDs()
		_, err := tx.Exec(`INSERT INTO hub_project (id, slug, name, state, created_at, created_by) VALUES (?, ?, ?, 'open', ?, ?)`,
			id, d.Slug, d.Name, store.Millis(tx.Now()), actor.ID)
		if store.Duplicate(err) {
			return fault.WithNext(fault.New(op, fault.Conflict, "There is a project %s already.", d.Slug), "Choose another short name.")
		}
		if err != nil {
			return err
		}
		if err := s.note(tx, actor, "hub-project.created", projectSubject(id), id); err != nil {
			return err
		}
		p, err = s.project(tx, id)
		return err
	})
	return p, fault.Wrap(op, err)
}

// ChangeProject renames a project, closes it for new tasks or opens it again.
func (s *Service) ChangeProject(ctx context.Context, actor access.Actor, idOrSlug string, c ProjectChange) (Project, error) {
	const op = "hub.ChangeProject"
	return s.change(ctx, op, actor, idOrSlug, func(tx *store.Tx, p Project) error {
		if c.Name != nil {
			p.Name = *c.Name
		}
		if c.State != nil {
			p.State = *c.State
		}
		if err := checkName(op, "name", p.Name); err != nil {
			return err
		}
		if p.State != Open && p.State != Closed {
			return fault.WithNext(fault.New(op, fault.Invalid, "%q is not a state of a project.", clip(p.State, 40)), "Choose open or closed.")
		}
		if _, err := tx.Exec(`UPDATE hub_project SET name = ?, state = ? WHERE id = ?`, p.Name, p.State, p.ID); err != nil {
			return err
		}
		return s.note(tx, actor, "hub-project.changed", projectSubject(p.ID), p.ID, "state", p.State)
	})
}

// Projects lists the projects that the actor sees, by short name.
func (s *Service) Projects(ctx context.Context, actor access.Actor) (all []Project, err error) {
	const op = "hub.Projects"
	if err := access.May(actor, access.HubRead, access.Thing{}); err != nil {
		return nil, fault.Wrap(op, err)
	}
	all = []Project{}
	err = s.DB.View(ctx, func(tx *store.Tx) error {
		ids, err := texts(tx, `SELECT id FROM hub_project ORDER BY slug`)
		if err != nil {
			return err
		}
		for _, id := range ids {
			if !access.Can(actor, access.HubTasks, access.Thing{Project: id}) {
				continue
			}
			p, err := s.project(tx, id)
			if err != nil {
				return err
			}
			all = append(all, p)
		}
		return nil
	})
	s.nodeStates(all)
	return all, fault.Wrap(op, err)
}

// Project shows one project by id or short name.
func (s *Service) Project(ctx context.Context, actor access.Actor, idOrSlug string) (p Project, err error) {
	err = s.DB.View(ctx, func(tx *store.Tx) error {
		p, err = s.visibleProject(tx, actor, idOrSlug)
		return err
	})
	s.nodeStates([]Project{p})
	return p, fault.Wrap("hub.Project", err)
}

// visibleProject finds a project; one that the actor may not see is not there.
func (s *Service) visibleProject(tx *store.Tx, actor access.Actor, idOrSlug string) (Project, error) {
	p, err := s.project(tx, idOrSlug)
	if err == nil {
		err = access.May(actor, access.HubTasks, access.Thing{Project: p.ID})
	}
	if err != nil && fault.KindOf(err) != fault.Internal {
		return Project{}, fault.New("hub.Project", fault.NotFound, access.NotSeen)
	}
	return p, err
}

// project reads one project with its members and nodes.
func (s *Service) project(tx *store.Tx, idOrSlug string) (Project, error) {
	p := Project{Members: []Member{}, Nodes: []ProjectNode{}}
	var created int64
	err := tx.QueryRow(`SELECT id, slug, name, state, created_at FROM hub_project WHERE id = ? OR slug = ?`, idOrSlug, idOrSlug).
		Scan(&p.ID, &p.Slug, &p.Name, &p.State, &created)
	if store.NotFound(err) {
		return p, fault.New("hub.Project", fault.NotFound, access.NotSeen)
	}
	if err != nil {
		return p, err
	}
	p.CreatedAt = store.Time(created)
	if err := s.readMembers(tx, &p); err != nil {
		return p, err
	}
	return p, readNodes(tx, &p)
}

func (s *Service) change(ctx context.Context, op string, actor access.Actor, idOrSlug string, do func(*store.Tx, Project) error) (now Project, err error) {
	if err := access.May(actor, access.HubManage, access.Thing{}); err != nil {
		return now, fault.Wrap(op, err)
	}
	err = s.DB.Update(ctx, func(tx *store.Tx) error {
		p, err := s.project(tx, idOrSlug)
		if err != nil {
			return err
		}
		if err := do(tx, p); err != nil {
			return err
		}
		now, err = s.project(tx, p.ID)
		return err
	})
	s.nodeStates([]Project{now})
	return now, fault.Wrap(op, err)
}

func texts(tx *store.Tx, query string, args ...any) ([]string, error) {
	rows, err := tx.Query(query, args...)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var all []string
	for rows.Next() {
		var one string
		if err := rows.Scan(&one); err != nil {
			return nil, err
		}
		all = append(all, one)
	}
	return all, rows.Err()
}
