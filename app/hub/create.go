package hub

import (
	"context"
	"maps"
	"net/http"
	"slices"
	"strings"

	"golang.org/x/sync/errgroup"

	"tresor/app/access"
	"tresor/app/fault"
	"tresor/app/live"
	"tresor/app/store"
	fed "tresor/fed/hub"
	"tresor/fed/task"
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
	if !c.open {
		return "", fault.New(op, fault.Conflict, "The project %s is closed: it takes no new tasks.", c.projectSlug)
	}
	if p := t.Tags["project"]; p != "" && p != c.projectSlug && p != c.project {
		return "", fault.New(op, fault.Invalid, "The tag project names %q, but this token is for the project %s. Leave the tag out.", clip(p, 60), c.projectSlug)
	}
	if len(key) > 200 {
		return "", fault.New(op, fault.Invalid, "The Idempotency-Key is longer than 200 bytes.")
	}
	if id, err := s.repeated(ctx, op, c, t, key); err != nil || id != "" {
		return id, err
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

// orders signs one order per node, many at a time: their sequences then share
// what it costs to make them durable.
func (s *Service) orders(ctx context.Context, c caller, id string, t model.Task, nodes []ProjectNode) ([]newPart, error) {
	rows := make([]newPart, len(nodes))
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(64)
	for i, n := range nodes {
		g.Go(func() error {
			req := task.Request{Plugin: "tes", Method: http.MethodPost, Path: "/v1/tasks", Body: bodyFor(t, n),
				Header: map[string][]string{"Content-Type": {"application/json"}}, OnBehalf: clip(c.name+" ("+c.handle+")", task.MaxOnBehalf)}
			e, text, err := s.issue(ctx, n.Node, id, req)
			if err == nil {
				rows[i] = newPart{node: n.Node, seq: e.Seq, envelope: text}
			}
			return err
		})
	}
	return rows, g.Wait()
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
		return "", fault.New(op, fault.Conflict, "This Idempotency-Key was used for another task. Use a new one.")
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
	nodes := slices.DeleteFunc(p.Nodes, func(n ProjectNode) bool {
		peer, ok := s.book.Peer(wire.KeyID(n.Node))
		return !ok || !peer.Revoked.IsZero()
	})
	tag, named := t.Tags[nodesTag]
	if !named || strings.TrimSpace(tag) == "" {
		if len(nodes) == 0 {
			return nil, fault.New(op, fault.Conflict, "The project %s has no nodes yet. Ask the hub's operator to add some.", p.Slug)
		}
		return nodes, nil
	}
	var chosen []ProjectNode
	for word := range strings.SplitSeq(tag, "|") {
		word = strings.TrimSpace(word)
		i := slices.IndexFunc(nodes, func(n ProjectNode) bool { return strings.EqualFold(n.Name, word) })
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

// bodyFor is the task as one node gets it.
func bodyFor(t model.Task, n ProjectNode) []byte {
	t.Tags = maps.Clone(t.Tags)
	if t.Tags == nil {
		t.Tags = map[string]string{}
	}
	delete(t.Tags, nodesTag)
	t.Tags["project"] = n.Remote
	return model.AppendRequest(nil, &t)
}

// issue makes a signed order for a node and gives its encoding too.
func (s *Service) issue(ctx context.Context, node, id string, req task.Request) (*wire.Envelope, string, error) {
	body, err := req.Encode()
	if err != nil {
		return nil, "", err
	}
	e, err := s.fed().Issue(ctx, wire.KeyID(node), fed.Order{ID: id, Kind: task.KindHTTP, Body: body, Life: orderLife})
	if err != nil {
		return nil, "", err
	}
	text, err := e.Encode()
	return e, string(text), err
}

type newPart struct {
	node     string
	seq      uint64
	envelope string
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
			return fault.New(op, fault.Exhausted, "The project has %d tasks that have not ended. Wait for some, or cancel them.", open)
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
		for _, r := range rows {
			_, err := tx.Exec(`INSERT INTO hub_part (task, node, seq, state, tes, envelope, changed_at) VALUES (?, ?, ?, 'waiting', ?, ?, ?)`,
				id, r.node, r.seq, string(model.Queued), r.envelope, now)
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

// Cancel asks all nodes for the end of a task, also those that are offline: they
// are told when they are back. A part that was not sent yet never will be.
// Cancelling a task that has ended changes nothing.
func (s *Service) Cancel(ctx context.Context, actor access.Actor, id string) (Task, error) {
	const op = "hub.Cancel"
	var nodes []string
	err := s.DB.Update(ctx, func(tx *store.Tx) error {
		var project, owner string
		var end, cancel *int64
		err := tx.QueryRow(`SELECT project, person, ended_at, cancel_at FROM hub_task WHERE id = ?`, id).Scan(&project, &owner, &end, &cancel)
		if store.NotFound(err) {
			return fault.New(op, fault.NotFound, access.NotSeen)
		}
		if err != nil {
			return err
		}
		if err := access.May(actor, access.HubCancel, access.Thing{Project: project, Owner: owner}); err != nil {
			return err
		}
		if end != nil || cancel != nil {
			return nil
		}
		nodes, err = s.stopParts(tx, actor, id, project)
		return err
	})
	if err != nil {
		return Task{}, fault.Wrap(op, err)
	}
	for _, n := range nodes {
		s.wake(n)
	}
	return s.Task(ctx, actor, id)
}

func (s *Service) stopParts(tx *store.Tx, actor access.Actor, id, project string) (nodes []string, err error) {
	if _, err := tx.Exec(`UPDATE hub_task SET cancel_at = ?, cancel_by = ? WHERE id = ?`, store.Millis(tx.Now()), actor.Handle, id); err != nil {
		return nil, err
	}
	if err := s.note(tx, actor, "task.cancelled", "task:"+id, project); err != nil {
		return nil, err
	}
	all, err := parts(tx, `WHERE p.task = ?`, id)
	if err != nil {
		return nil, err
	}
	for _, p := range all {
		nodes = append(nodes, p.node)
		if p.state != waiting {
			continue
		}
		p.state, p.tes, p.trouble = cancelled, model.Canceled, ""
		if err := s.put(tx, p); err != nil {
			return nil, err
		}
	}
	return nodes, s.follow(tx, id)
}
