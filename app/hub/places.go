package hub

import (
	"context"
	"regexp"
	"strings"

	"tresor/app/access"
	"tresor/app/audit"
	"tresor/app/fault"
	"tresor/app/store"
	"tresor/fed/wire"
)

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

// nodeStates fills in which nodes are online, and which are gone for good.
func (s *Service) nodeStates(all []Project) {
	online := s.online()
	for _, p := range all {
		for i := range p.Nodes {
			p.Nodes[i].State = NodeOffline
			if online[p.Nodes[i].Node] {
				p.Nodes[i].State = NodeOnline
			}
			if peer, ok := s.book.Peer(wire.KeyID(p.Nodes[i].Node)); ok && peer.Gone() {
				p.Nodes[i].State = NodeRevoked
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
		m[string(st.Peer.ID)] = st.Online && !st.Peer.Gone()
	}
	s.up.Store(&m)
}

// SetNode lets a project run at a node, there in the project named remote.
func (s *Service) SetNode(ctx context.Context, actor access.Actor, idOrSlug, node, remote string) (Project, error) {
	const op = "hub.SetNode"
	n, err := s.manage(ctx, op, actor, node)
	if err != nil {
		return Project{}, err
	}
	return s.change(ctx, op, actor, idOrSlug, func(tx *store.Tx, p Project) error {
		if n.RevokedAt != nil {
			return fault.WithNext(fault.New(op, fault.Conflict, "The node %s was revoked, or has revoked this hub.", n.Name), "Enrol it again with a new code.")
		}
		if n.ConfirmedAt == nil {
			return fault.WithNext(fault.New(op, fault.Conflict, "The node %s is not confirmed yet.", n.Name), "Compare its words with its operator, then confirm it.")
		}
		if !slugForm.MatchString(remote) {
			return fault.WithNext(fault.New(op, fault.Invalid, "%q is not the short name of a project at the node %s.", clip(remote, 60), n.Name), "Its catalogue lists them.")
		}
		if !nodeTag.MatchString(n.Name) {
			return fault.WithNext(fault.New(op, fault.Invalid, "The name of the node %s cannot stand in the tag tres.", n.Name), "Enrol it with a name of letters, digits, dots, dashes and spaces.")
		}
		for _, other := range p.Nodes {
			if strings.EqualFold(other.Name, n.Name) && other.Node != n.ID {
				return fault.WithNext(fault.New(op, fault.Conflict, "The project has another node %s already. Two of one name cannot be told apart in the tag tres.", n.Name), "Take that one out first, or enrol this one under another name.")
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

// DropNode sends no more of a project's tasks to a node. Those under way go on. The
// reason is kept with the event.
func (s *Service) DropNode(ctx context.Context, actor access.Actor, idOrSlug, node, reason string) (Project, error) {
	const op = "hub.DropNode"
	n, err := s.manage(ctx, op, actor, node)
	if err != nil {
		return Project{}, err
	}
	if reason, err = audit.Reason(op, reason); err != nil {
		return Project{}, err
	}
	return s.change(ctx, op, actor, idOrSlug, func(tx *store.Tx, p Project) error {
		r, err := tx.Exec(`DELETE FROM hub_project_node WHERE project = ? AND node = ?`, p.ID, n.ID)
		if err != nil {
			return err
		}
		if rows, _ := r.RowsAffected(); rows == 0 {
			return fault.WithNext(fault.New(op, fault.NotFound, "The project %s does not run at the node %s.", p.Slug, n.Name), "The project lists its nodes.")
		}
		return s.because(tx, reason, audit.By(actor, "hub-project.node-dropped", projectSubject(p.ID), p.ID, "node", n.ID))
	})
}
