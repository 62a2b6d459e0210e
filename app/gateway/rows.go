package gateway

import (
	"encoding/json"
	"slices"
	"time"

	"tresor/app/access"
	"tresor/app/fault"
	"tresor/app/identity"
	"tresor/app/project"
	"tresor/app/store"
)

const principalColumns = `id, slug, name, kind, state, reason, paused, approval, airlock, tasks_per_hour, open_tasks, cores, plugins, publishes,
	hub_key, hub_url, words, node, created_at, created_by_handle, last_seen,
	EXISTS (SELECT 1 FROM gateway_token t WHERE t.principal = gateway_principal.id AND t.revoked_at IS NULL)`

type scanner interface{ Scan(...any) error }

func scanPrincipal(row scanner) (Principal, error) {
	p := Principal{Projects: []Use{}}
	var created, seen int64
	var plugins string
	err := row.Scan(&p.ID, &p.Slug, &p.Name, &p.Kind, &p.State, &p.Reason, &p.Paused, &p.Approval, &p.Airlock, &p.Quotas.TasksPerHour, &p.Quotas.OpenTasks,
		&p.Quotas.Cores, &plugins, &p.Publishes, &p.HubKey, &p.HubURL, &p.Words, &p.Node, &created, &p.CreatedBy, &seen, &p.HasToken)
	p.CreatedAt, p.LastSeen = store.Time(created), moment(seen)
	if err == nil {
		err = json.Unmarshal([]byte(plugins), &p.Plugins)
	}
	return p, err
}

// moment reads a time of which 0 means never.
func moment(ms int64) time.Time {
	if ms == 0 {
		return time.Time{}
	}
	return store.Time(ms)
}

// find loads a principal by id or slug with its projects.
func (s *Service) find(tx *store.Tx, idOrSlug string) (Principal, error) {
	p, err := scanPrincipal(tx.QueryRow(`SELECT `+principalColumns+` FROM gateway_principal WHERE id = ? OR slug = ?`, idOrSlug, idOrSlug))
	if store.NotFound(err) {
		return p, fault.New("gateway.find", fault.NotFound, access.NotSeen)
	}
	if err != nil {
		return p, fault.Wrap("gateway.find", err)
	}
	p.Projects, err = s.uses(tx, p.ID)
	return p, fault.Wrap("gateway.find", err)
}

// uses lists the projects of a principal, the oldest first.
func (s *Service) uses(tx *store.Tx, principal string) ([]Use, error) {
	rows, err := tx.Query(`SELECT project, sponsor, datasets, since, added_by_handle FROM gateway_use WHERE principal = ? ORDER BY since, project`, principal)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	list := []Use{}
	for rows.Next() {
		var u Use
		var datasets string
		var since int64
		if err := rows.Scan(&u.Project, &u.Sponsor.ID, &datasets, &since, &u.By); err != nil {
			return nil, err
		}
		if err := json.Unmarshal([]byte(datasets), &u.Datasets); err != nil {
			return nil, err
		}
		u.Since = store.Time(since)
		list = append(list, u)
	}
	if err := rows.Err(); err != nil {
		return nil, err
	}
	_ = rows.Close() // the transaction has one connection
	return list, s.nameUses(tx, list)
}

// shortNames are the short names of datasets.
func shortNames(granted []project.Grant, ids []string) []string {
	names := slices.Clone(ids)
	for i, id := range ids {
		if at := slices.IndexFunc(granted, func(g project.Grant) bool { return g.DatasetID == id }); at >= 0 {
			names[i] = granted[at].Slug
		}
	}
	return names
}

func (s *Service) nameUses(tx *store.Tx, list []Use) error {
	for i := range list {
		p, err := s.Projects.Lookup(tx, list[i].Project)
		if err != nil {
			return err
		}
		list[i].Slug, list[i].Name = p.Slug, p.Name
		list[i].DatasetNames = shortNames(p.Datasets, list[i].Datasets)
		a, err := s.ActorOf(tx, list[i].Sponsor.ID)
		if err != nil && fault.KindOf(err) != fault.NotFound && fault.KindOf(err) != fault.Denied {
			return err
		}
		list[i].Sponsor.Handle, list[i].Sponsor.Name = a.Handle, a.Name
	}
	return nil
}

// actors builds people's actors from identity and their memberships. A disabled
// account is fault.Denied, with the person's names in the actor.
func actors(projects *project.Service) func(tx *store.Tx, person string) (access.Actor, error) {
	return func(tx *store.Tx, person string) (access.Actor, error) {
		p, err := identity.Lookup(tx, person)
		if err != nil {
			return access.Actor{}, err
		}
		a := access.Actor{ID: p.ID, Handle: p.Handle, Name: p.Name}
		if p.Disabled {
			return a, fault.New("gateway.ActorOf", fault.Denied, "This account is disabled.")
		}
		a.Roles = p.Roles
		a.Projects, err = projects.MembershipsOf(tx, person)
		return a, err
	}
}

func insertPrincipal(tx *store.Tx, p Principal, by string) error {
	_, err := tx.Exec(`INSERT INTO gateway_principal (id, slug, name, kind, state, approval, airlock, tasks_per_hour, open_tasks, cores, plugins, publishes,
		hub_key, hub_url, words, node, created_at, created_by, created_by_handle) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`,
		p.ID, p.Slug, p.Name, string(p.Kind), string(p.State), p.Approval, p.Airlock, p.Quotas.TasksPerHour, p.Quotas.OpenTasks, p.Quotas.Cores, mustJSON(p.Plugins), p.Publishes,
		p.HubKey, p.HubURL, p.Words, p.Node, store.Millis(p.CreatedAt), by, p.CreatedBy)
	return duplicate(err)
}

func updatePrincipal(tx *store.Tx, p Principal) error {
	_, err := tx.Exec(`UPDATE gateway_principal SET name = ?, state = ?, reason = ?, paused = ?, approval = ?, airlock = ?, tasks_per_hour = ?, open_tasks = ?,
		cores = ?, plugins = ?, publishes = ?, hub_key = ?, hub_url = ?, words = ?, node = ? WHERE id = ?`,
		p.Name, string(p.State), p.Reason, p.Paused, p.Approval, p.Airlock, p.Quotas.TasksPerHour, p.Quotas.OpenTasks,
		p.Quotas.Cores, mustJSON(p.Plugins), p.Publishes, p.HubKey, p.HubURL, p.Words, p.Node, p.ID)
	return duplicate(err)
}

func duplicate(err error) error {
	if store.Duplicate(err) {
		return fault.Kinded("gateway", fault.Conflict, err, "There is a hub or client with this name or key already. Choose another name, or revoke the other one first.")
	}
	return err
}

func mustJSON(v any) string {
	b, err := json.Marshal(v)
	if err != nil { // only our own plain structs come here
		panic(err)
	}
	return string(b)
}
