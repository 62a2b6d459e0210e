package hub

import (
	"context"
	"regexp"
	"strings"

	"tresor/app/access"
	"tresor/app/fault"
	"tresor/app/identity"
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
		return Project{}, fault.New(op, fault.Invalid, "%q is not a short name. Use 2 to 40 lower-case letters, digits and hyphens, starting with a letter.", clip(d.Slug, 60))
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
			return fault.New(op, fault.Conflict, "There is a project %s already. Choose another short name.", d.Slug)
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
			return fault.New(op, fault.Invalid, "%q is not a state of a project. Choose open or closed.", clip(p.State, 40))
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

func readNodes(tx *store.Tx, p *Project) error {
	rows, err := tx.Query(`SELECT n.id, n.name, x.remote FROM hub_project_node x JOIN hub_node n ON n.id = x.node WHERE x.project = ? ORDER BY n.name, n.id`, p.ID)
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		var n ProjectNode
		if err := rows.Scan(&n.Node, &n.Name, &n.Remote); err != nil {
			return err
		}
		p.Nodes = append(p.Nodes, n)
	}
	return rows.Err()
}

// nodeStates fills in which nodes are online.
func (s *Service) nodeStates(all []Project) {
	online := s.online()
	for _, p := range all {
		for i := range p.Nodes {
			p.Nodes[i].State = NodeOffline
			if online[p.Nodes[i].Node] {
				p.Nodes[i].State = NodeOnline
			}
		}
	}
}

// online tells which nodes have a link. The map must not be changed.
func (s *Service) online() map[string]bool {
	if m := s.up.Load(); m != nil {
		return *m
	}
	return nil
}

// recount finds out which nodes have a link, at every beginning and end of one.
func (s *Service) recount() {
	s.counting.Lock()
	defer s.counting.Unlock()
	m := map[string]bool{}
	for _, st := range s.fed().Nodes() {
		m[string(st.Peer.ID)] = st.Online && st.Peer.Revoked.IsZero()
	}
	s.up.Store(&m)
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
			return fault.New(op, fault.Conflict, "The account of %s is disabled. Enable it before you make them a member.", who.Name)
		}
		after, err := s.MembershipsOf(tx, who.ID)
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

// DropMember takes a person out of a project and revokes their tokens for it.
func (s *Service) DropMember(ctx context.Context, actor access.Actor, idOrSlug, person string) (Project, error) {
	const op = "hub.DropMember"
	return s.change(ctx, op, actor, idOrSlug, func(tx *store.Tx, p Project) error {
		r, err := tx.Exec(`DELETE FROM hub_member WHERE project = ? AND person = ?`, p.ID, person)
		if err != nil {
			return err
		}
		if n, _ := r.RowsAffected(); n == 0 {
			return fault.New(op, fault.NotFound, "This person is not a member of the project %s.", p.Slug)
		}
		if _, err := tx.Exec(`UPDATE hub_token SET revoked_at = ? WHERE project = ? AND person = ? AND revoked_at IS NULL`, store.Millis(tx.Now()), p.ID, person); err != nil {
			return err
		}
		return s.note(tx, actor, "member.dropped", projectSubject(p.ID), p.ID, "person", person)
	})
}

// SetNode lets a project run at a node, there in the project named remote.
func (s *Service) SetNode(ctx context.Context, actor access.Actor, idOrSlug, node, remote string) (Project, error) {
	const op = "hub.SetNode"
	n, err := s.manage(ctx, op, actor, node)
	if err != nil {
		return Project{}, err
	}
	return s.change(ctx, op, actor, idOrSlug, func(tx *store.Tx, p Project) error {
		if n.RevokedAt != nil || n.ConfirmedAt == nil {
			return fault.New(op, fault.Conflict, "The node %s is %s. Compare its words with its operator and confirm it first.", n.Name, n.State)
		}
		if !slugForm.MatchString(remote) {
			return fault.New(op, fault.Invalid, "%q is not the short name of a project at the node %s. Its catalogue lists them.", clip(remote, 60), n.Name)
		}
		if !nodeTag.MatchString(n.Name) {
			return fault.New(op, fault.Invalid, "The name of the node %s cannot stand in the tag tres. Enrol it with a name of letters, digits, dots, dashes and spaces.", n.Name)
		}
		for _, other := range p.Nodes {
			if strings.EqualFold(other.Name, n.Name) && other.Node != n.ID {
				return fault.New(op, fault.Conflict, "The project has another node %s already. Two of one name cannot be told apart in the tag tres.", n.Name)
			}
		}
		_, err := tx.Exec(`INSERT INTO hub_project_node (project, node, remote, added_at, added_by) VALUES (?, ?, ?, ?, ?)
			ON CONFLICT (project, node) DO UPDATE SET remote = excluded.remote`, p.ID, n.ID, remote, store.Millis(tx.Now()), actor.ID)
		if err != nil {
			return err
		}
		return s.note(tx, actor, "hub-project.node-added", projectSubject(p.ID), p.ID, "node", n.ID, "remote", remote)
	})
}

var nodeTag = regexp.MustCompile(`^[\p{L}\p{N}][\p{L}\p{N} ._-]*$`)

// DropNode sends no more of a project's tasks to a node. Those under way go on.
func (s *Service) DropNode(ctx context.Context, actor access.Actor, idOrSlug, node string) (Project, error) {
	const op = "hub.DropNode"
	n, err := s.manage(ctx, op, actor, node)
	if err != nil {
		return Project{}, err
	}
	return s.change(ctx, op, actor, idOrSlug, func(tx *store.Tx, p Project) error {
		r, err := tx.Exec(`DELETE FROM hub_project_node WHERE project = ? AND node = ?`, p.ID, n.ID)
		if err != nil {
			return err
		}
		if rows, _ := r.RowsAffected(); rows == 0 {
			return fault.New(op, fault.NotFound, "The project %s does not run at the node %s.", p.Slug, n.Name)
		}
		return s.note(tx, actor, "hub-project.node-dropped", projectSubject(p.ID), p.ID, "node", n.ID)
	})
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

// MembershipsOf returns project id -> role of a person; never nil. In hub mode
// these are the projects that identity hands to package access.
func (s *Service) MembershipsOf(tx *store.Tx, person string) (map[string]access.Role, error) {
	return MembershipsOf(tx, person)
}

// MembershipsOf is Service.MembershipsOf for those who have no Service yet.
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
