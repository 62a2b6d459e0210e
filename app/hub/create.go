package hub

import (
	"context"
	"slices"
	"strings"

	"tresor/app/fault"
	"tresor/app/live"
	"tresor/app/store"
	"tresor/fed/wire"
	"tresor/plugins/builtin/tes/model"
)

// nodesTag names the nodes of a task, joined by "|".
const nodesTag = "tres"

const maxOpen = 5000 // tasks of one project that have not ended

// create splits a task into one signed order per node and keeps all of it, then
// answers. What comes after is the workers' work. The same key of the same person
// is the same task, so that a client may repeat a request whose answer was lost.
func (s *Service) create(ctx context.Context, c caller, t model.Task, key string) (string, error) {
	const op = "hub.create"
	if p := t.Tags["project"]; p != "" && p != c.projectSlug && p != c.project {
		return "", fault.WithNext(fault.New(op, fault.Invalid, "The tag project names %q, but this token is for the project %s.", clip(p, 60), c.projectSlug), "Leave the tag out.")
	}
	if len(key) > 200 {
		return "", fault.New(op, fault.Invalid, "The Idempotency-Key is longer than 200 bytes.")
	}
	if id, err := s.repeated(ctx, op, c, t, key); err != nil || id != "" {
		return id, err
	}
	if !c.open {
		return "", fault.WithNext(fault.New(op, fault.Conflict, "The project %s is closed: it takes no new tasks.", c.projectSlug), "Ask the hub's operator to open it again.")
	}
	nodes, err := s.targets(ctx, c, t)
	if err != nil {
		return "", err
	}
	id := s.IDs()
	rows, err := s.orders(ctx, c, id, t, nodes)
	if err != nil {
		return "", refused(op, err)
	}
	if err := s.keep(ctx, op, c, id, t, key, rows); store.Duplicate(err) {
		return s.repeated(ctx, op, c, t, key) // two at once: the other one was faster
	} else if err != nil {
		return "", fault.Wrap(op, err)
	}
	for _, n := range nodes {
		s.wake(n.Node)
	}
	return id, nil
}

// repeated finds the task that was made with a key before.
func (s *Service) repeated(ctx context.Context, op string, c caller, t model.Task, key string) (id string, err error) {
	if key == "" {
		return "", nil
	}
	var document string
	err = s.DB.View(ctx, func(tx *store.Tx) error {
		return tx.QueryRow(`SELECT id, document FROM hub_task WHERE project = ? AND person = ? AND repeat = ?`, c.project, c.person, key).Scan(&id, &document)
	})
	if store.NotFound(err) {
		return "", nil
	}
	if err == nil && document != string(model.AppendRequest(nil, &t)) {
		return "", fault.WithNext(fault.New(op, fault.Conflict, "This Idempotency-Key was used for another task."), "Use a new one.")
	}
	return id, err
}

// targets reads the tag tres: no tag is every node of the project.
func (s *Service) targets(ctx context.Context, c caller, t model.Task) ([]ProjectNode, error) {
	const op = "hub.targets"
	var p Project
	err := s.DB.View(ctx, func(tx *store.Tx) (err error) {
		p, err = s.project(tx, c.project)
		return err
	})
	if err != nil {
		return nil, err
	}
	var left []string
	nodes := slices.DeleteFunc(p.Nodes, func(n ProjectNode) bool {
		peer, ok := s.book.Peer(wire.KeyID(n.Node))
		if ok && peer.Revoked.IsZero() && !peer.Left.IsZero() {
			left = append(left, n.Name)
		}
		return !ok || peer.Gone()
	})
	tag, named := t.Tags[nodesTag]
	if !named || strings.TrimSpace(tag) == "" {
		if len(nodes) == 0 && len(left) > 0 {
			return nil, fault.WithNext(fault.New(op, fault.Conflict, "No node of the project %s takes tasks: %s revoked this hub.", p.Slug, strings.Join(left, ", ")), "Ask the hub's operator.")
		}
		if len(nodes) == 0 {
			return nil, fault.WithNext(fault.New(op, fault.Conflict, "The project %s has no nodes yet.", p.Slug), "Ask the hub's operator to add some.")
		}
		return nodes, nil
	}
	var chosen []ProjectNode
	for word := range strings.SplitSeq(tag, "|") {
		word = strings.TrimSpace(word)
		i := slices.IndexFunc(nodes, func(n ProjectNode) bool { return strings.EqualFold(n.Name, word) })
		if i < 0 && slices.ContainsFunc(left, func(name string) bool { return strings.EqualFold(name, word) }) {
			return nil, fault.New(op, fault.Conflict, "The node %s has revoked this hub and takes no tasks of it. The project %s has: %s.", word, p.Slug, names(nodes))
		}
		if i < 0 {
			return nil, fault.New(op, fault.Invalid, "The project %s has no node %q. It has: %s.", p.Slug, clip(word, 60), names(nodes))
		}
		if !slices.Contains(chosen, nodes[i]) {
			chosen = append(chosen, nodes[i])
		}
	}
	return chosen, nil
}

func names(nodes []ProjectNode) string {
	if len(nodes) == 0 {
		return "none"
	}
	all := make([]string, len(nodes))
	for i, n := range nodes {
		all[i] = n.Name
	}
	return strings.Join(all, ", ")
}

// keep stores task and orders in one transaction.
func (s *Service) keep(ctx context.Context, op string, c caller, id string, t model.Task, key string, rows []newPart) error {
	document := model.AppendRequest(nil, &t)
	return s.DB.Update(ctx, func(tx *store.Tx) error {
		var open int
		if err := tx.QueryRow(`SELECT count(*) FROM hub_task WHERE project = ? AND ended_at IS NULL`, c.project).Scan(&open); err != nil {
			return err
		}
		if open >= maxOpen {
			return fault.WithNext(fault.New(op, fault.Exhausted, "The project has %d tasks that have not ended.", open), "Wait for some, or cancel them.")
		}
		now := store.Millis(tx.Now())
		_, err := tx.Exec(`INSERT INTO hub_task (id, project, person, person_name, name, state, document, repeat, created_at) VALUES (?, ?, ?, ?, ?, ?, ?, nullif(?, ''), ?)`,
			id, c.project, c.person, c.name, t.Name, string(model.Queued), string(document), key, now)
		if err != nil {
			return err
		}
		for k, v := range t.Tags {
			if _, err := tx.Exec(`INSERT INTO hub_tag (project, key, value, task) VALUES (?, ?, ?, ?)`, c.project, k, v, id); err != nil {
				return err
			}
		}
		if err := s.keepBodies(tx, rows); err != nil {
			return err
		}
		for _, r := range rows {
			_, err := tx.Exec(`INSERT INTO hub_part (task, node, seq, state, tes, envelope, body, changed_at) VALUES (?, ?, ?, 'waiting', ?, ?, ?, ?)`,
				id, r.node, r.seq, string(model.Queued), r.envelope, r.sum(), now)
			if err != nil {
				return err
			}
		}
		s.tell(tx, id)
		return s.note(tx, c.actor(), "task.created", "task:"+id, c.project, "nodes", itoa(len(rows)))
	})
}

// tell lets open pages know of a task.
func (s *Service) tell(tx *store.Tx, id string) {
	if s.Live == nil {
		return
	}
	at := tx.Now()
	tx.AfterCommit(func() {
		s.Live.Publish("hub", live.Event{Type: "hub.task", At: at, Data: map[string]string{"task": id}})
	})
}
