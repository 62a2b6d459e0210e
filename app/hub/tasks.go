package hub

import (
	"context"
	"encoding/json"
	"strconv"
	"time"

	"tresor/app/access"
	"tresor/app/fault"
	"tresor/app/store"
	"tresor/plugins/builtin/tes/model"
)

func itoa(n int) string { return strconv.Itoa(n) }

// Tasks lists tasks that the actor sees, newest first.
func (s *Service) Tasks(ctx context.Context, actor access.Actor, f TaskFilter) (all []Task, err error) {
	const op = "hub.Tasks"
	if err := access.May(actor, access.HubRead, access.Thing{}); err != nil {
		return nil, fault.Wrap(op, err)
	}
	if f.State != "" && !model.State(f.State).Valid() {
		return nil, fault.WithNext(fault.New(op, fault.Invalid, "%q is not a state of a task.", clip(f.State, 40)), "Ask for one such as RUNNING or COMPLETE.")
	}
	if f.Limit <= 0 {
		f.Limit = 50
	}
	f.Limit = min(f.Limit, 500)
	all = []Task{}
	online := s.online()
	err = s.DB.View(ctx, func(tx *store.Tx) error {
		projects, err := s.visibleProjects(tx, actor, f.Project)
		if err != nil || len(projects) == 0 {
			return err
		}
		list, err := json.Marshal(projects)
		if err != nil {
			return err
		}
		ids, err := texts(tx, `SELECT id FROM hub_task WHERE project IN (SELECT value FROM json_each(?)) AND (? = '' OR state = ?) AND (? = '' OR id < ?)
			ORDER BY id DESC LIMIT ?`, string(list), f.State, f.State, f.Before, f.Before, f.Limit)
		if err != nil {
			return err
		}
		for _, id := range ids {
			t, err := s.task(tx, actor, id, online)
			if err != nil {
				return err
			}
			all = append(all, t)
		}
		return nil
	})
	return all, fault.Wrap(op, err)
}

func (s *Service) visibleProjects(tx *store.Tx, actor access.Actor, only string) ([]string, error) {
	if only != "" {
		p, err := s.visibleProject(tx, actor, only)
		return []string{p.ID}, err
	}
	ids, err := texts(tx, `SELECT id FROM hub_project`)
	var seen []string
	for _, id := range ids {
		if access.Can(actor, access.HubTasks, access.Thing{Project: id}) {
			seen = append(seen, id)
		}
	}
	return seen, err
}

// Task shows one task with its parts.
func (s *Service) Task(ctx context.Context, actor access.Actor, id string) (t Task, err error) {
	online := s.online()
	err = s.DB.View(ctx, func(tx *store.Tx) error {
		t, err = s.task(tx, actor, id, online)
		return err
	})
	return t, fault.Wrap("hub.Task", err)
}

func (s *Service) task(tx *store.Tx, actor access.Actor, id string, online map[string]bool) (Task, error) {
	const op = "hub.Task"
	t := Task{Parts: []Part{}, Executors: []string{}}
	var document string
	var created int64
	var end, cancel *int64
	err := tx.QueryRow(`SELECT t.id, t.name, t.project, p.slug, t.person, t.person_name, t.state, t.document, t.created_at, t.ended_at, t.cancel_at
		FROM hub_task t JOIN hub_project p ON p.id = t.project WHERE t.id = ?`, id).
		Scan(&t.ID, &t.Name, &t.Project, &t.ProjectSlug, &t.Owner, &t.OwnerName, &t.State, &document, &created, &end, &cancel)
	if store.NotFound(err) {
		return t, s.noTask(op, access.NotSeen)
	}
	if err != nil {
		return t, err
	}
	thing := access.Thing{Project: t.Project, Owner: t.Owner}
	if err := access.May(actor, access.HubTasks, thing); err != nil {
		return Task{}, s.noTask(op, access.NotSeen)
	}
	t.CreatedAt, t.EndedAt, t.CancelAt, t.KeepUntil = store.Time(created), when(end), when(cancel), s.tasksUntil(end)
	t.CanCancel = end == nil && cancel == nil && access.Can(actor, access.HubCancel, thing)
	t.CanEnd = end == nil && cancel != nil && access.Can(actor, access.HubCancel, thing)
	t.CanOpen = access.Can(actor, access.HubResults, thing)
	var doc model.Task
	if err := json.Unmarshal([]byte(document), &doc); err != nil {
		return t, err
	}
	for _, e := range doc.Executors {
		t.Executors = append(t.Executors, e.Image)
	}
	if t.Parts, err = s.partViews(tx, id, online); err != nil {
		return t, err
	}
	for _, p := range t.Parts {
		t.CanErase = t.CanErase || p.Result != nil && p.Result.State == "stored" && access.Can(actor, access.HubErase, thing)
	}
	return t, nil
}

func (s *Service) partViews(tx *store.Tx, id string, online map[string]bool) ([]Part, error) {
	all, err := parts(tx, `JOIN hub_node n ON n.id = p.node WHERE p.task = ? ORDER BY n.name, n.id`, id)
	if err != nil {
		return nil, err
	}
	results, err := s.resultViews(tx, id)
	if err != nil {
		return nil, err
	}
	names, contacts, err := nodeNames(tx, id)
	if err != nil {
		return nil, err
	}
	out := []Part{}
	for _, p := range all {
		v := Part{Node: p.node, Name: names[p.node], Online: online[p.node], State: string(p.tes), Delivery: p.state, Remote: p.remote, Code: p.code, Text: p.text,
			Correlation: p.correlation, Trouble: p.trouble, LastSeen: when(p.seen), Messages: p.log.Messages, Result: results[p.node]}
		v.Turn = p.turn(v.Name, contacts[p.node], v.Online, v.Result != nil && v.Result.State == "wanted")
		if v.Messages == nil {
			v.Messages = []string{}
		}
		out = append(out, v)
	}
	return out, nil
}

// nodeNames gives the names of a task's nodes and when each was last seen.
func nodeNames(tx *store.Tx, id string) (all map[string]string, seen map[string]*time.Time, err error) {
	rows, err := tx.Query(`SELECT n.id, n.name, n.seen_at FROM hub_node n JOIN hub_part p ON p.node = n.id WHERE p.task = ?`, id)
	if err != nil {
		return nil, nil, err
	}
	defer rows.Close()
	all, seen = map[string]string{}, map[string]*time.Time{}
	for rows.Next() {
		var id, name string
		var at *int64
		if err := rows.Scan(&id, &name, &at); err != nil {
			return nil, nil, err
		}
		all[id], seen[id] = name, when(at)
	}
	return all, seen, rows.Err()
}

func (s *Service) resultViews(tx *store.Tx, id string) (map[string]*Result, error) {
	rows, err := tx.Query(`SELECT r.node, r.state, r.release, r.sha256, r.size, r.files, r.signer, r.trouble, r.stored_at, r.deleted_at, r.deleted_by, t.ended_at
		FROM hub_result r JOIN hub_task t ON t.id = r.task WHERE r.task = ?`, id)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	all := map[string]*Result{}
	for rows.Next() {
		r, node, files := &Result{}, "", ""
		var stored, deleted, end *int64
		if err := rows.Scan(&node, &r.State, &r.Release, &r.SHA256, &r.Size, &files, &r.Root, &r.Trouble, &stored, &deleted, &r.DeletedBy, &end); err != nil {
			return nil, err
		}
		if err := json.Unmarshal([]byte(files), &r.Files); err != nil {
			return nil, err
		}
		if r.Files == nil {
			r.Files = []File{}
		}
		r.StoredAt, r.DeletedAt = when(stored), when(deleted)
		switch {
		case deleted != nil:
			r.State = "deleted"
		case r.State == "stored":
			r.KeepUntil = s.keepUntil(end, stored)
		}
		all[node] = r
	}
	return all, rows.Err()
}
