package gateway

import (
	"context"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"tresor/app/access"
	"tresor/app/audit"
	"tresor/app/fault"
	"tresor/app/store"
)

// Principals lists all principals by name. Operators and auditors see all, leads
// those that use their projects. Errors: Denied.
func (s *Service) Principals(ctx context.Context, actor access.Actor) ([]Principal, error) {
	const op = "gateway.Principals"
	if !access.Anywhere(actor, access.FederationRead) {
		return nil, fault.Wrap(op, access.May(actor, access.FederationRead, access.Thing{}))
	}
	list := []Principal{}
	err := s.DB.View(ctx, func(tx *store.Tx) error {
		all, err := s.allPrincipals(tx)
		for _, p := range all {
			if p.Projects, err = s.uses(tx, p.ID); err != nil {
				return err
			}
			if seen, ok := visibleTo(actor, p); ok {
				list = append(list, seen)
			}
		}
		return err
	})
	return list, fault.Wrap(op, err)
}

func (s *Service) allPrincipals(tx *store.Tx) ([]Principal, error) {
	rows, err := tx.Query(`SELECT ` + principalColumns + ` FROM gateway_principal ORDER BY name COLLATE NOCASE, id`)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var all []Principal
	for rows.Next() {
		p, err := scanPrincipal(rows)
		if err != nil {
			return nil, err
		}
		all = append(all, p)
	}
	return all, rows.Err()
}

// visibleTo is the principal as an actor may see it: a lead sees only their own
// projects in it, and a principal that uses none of those does not exist.
func visibleTo(actor access.Actor, p Principal) (Principal, bool) {
	if access.Can(actor, access.FederationRead, access.Thing{}) {
		return p, true
	}
	mine := []Use{}
	for _, u := range p.Projects {
		if access.Can(actor, access.FederationRead, access.Thing{Project: u.Project}) {
			mine = append(mine, u)
		}
	}
	p.Projects = mine
	return p, len(mine) > 0
}

// Principal returns one by id or slug. Errors: NotFound, for those who may not see it too.
func (s *Service) Principal(ctx context.Context, actor access.Actor, id string) (Principal, error) {
	const op = "gateway.Principal"
	var p Principal
	err := s.DB.View(ctx, func(tx *store.Tx) error {
		var err error
		if p, err = s.find(tx, id); err != nil {
			return err
		}
		var ok bool
		if p, ok = visibleTo(actor, p); !ok {
			return fault.New(op, fault.NotFound, access.NotSeen)
		}
		return nil
	})
	if err != nil {
		return Principal{}, fault.Wrap(op, err)
	}
	return p, nil
}

// Create makes a principal without projects. Operators only. Errors: Denied, Invalid, Conflict.
func (s *Service) Create(ctx context.Context, actor access.Actor, d Draft) (Principal, error) {
	const op = "gateway.Create"
	if err := access.May(actor, access.FederationManage, access.Thing{}); err != nil {
		return Principal{}, err
	}
	p := Principal{Name: strings.TrimSpace(d.Name), Kind: d.Kind, State: Active, Approval: ApprovalProject, Airlock: AirlockSubmit, Quotas: defaultQuotas,
		Plugins: tidyPlugins(d.Plugins), Projects: []Use{}, HubKey: d.HubKey, HubURL: d.HubURL, Words: d.Words, Node: d.Node, CreatedBy: actor.Handle}
	if d.Plugins == nil {
		p.Plugins = DefaultPlugins()
	}
	p.Slug = slugOf(p.Name)
	if err := p.check(op); err != nil {
		return Principal{}, err
	}
	err := s.update(ctx, func(tx *store.Tx) error {
		p.ID, p.CreatedAt = s.IDs(), tx.Now()
		if err := insertPrincipal(tx, p, actor.ID); err != nil {
			return err
		}
		_, err := s.Log.Append(tx, audit.By(actor, "gateway.created", Subject(p.ID), "", "kind", string(p.Kind), "slug", p.Slug))
		return err
	})
	if err != nil {
		return Principal{}, fault.Wrap(op, err)
	}
	return p, nil
}

var notSlug = regexp.MustCompile(`[^a-z0-9]+`)

// slugOf is the short name that stands in a job's Via.
func slugOf(name string) string {
	s := strings.Trim(notSlug.ReplaceAllString(strings.ToLower(name), "-"), "-")
	if len(s) > 40 {
		s = strings.Trim(s[:40], "-")
	}
	return s
}

func (p Principal) check(op string) error {
	invalid := func(format string, args ...any) error { return fault.New(op, fault.Invalid, format, args...) }
	switch {
	case p.Name == "" || line(p.Name, 100) != p.Name:
		return invalid("Give a name of at most 100 characters, in one line, that people here recognise.")
	case p.Slug == "":
		return invalid("The name needs at least one letter or digit of the Latin alphabet, for addresses and lists.")
	case p.Kind != Client && p.Kind != Hub:
		return invalid("The kind is \"client\" or \"hub\".")
	case p.Approval != ApprovalProject && p.Approval != ApprovalEvery:
		return invalid("The approval is \"project\" (as each project says) or \"every\" (each job waits for a person).")
	case p.Airlock != AirlockSubmit && p.Airlock != AirlockSponsor:
		return invalid("The airlock policy is \"submit\" (requests are made in the sponsor's name) or \"sponsor\" (the sponsor makes them).")
	case p.Quotas.TasksPerHour < 1 || p.Quotas.OpenTasks < 1 || p.Quotas.Cores < 1 || p.Quotas.TasksPerHour > 1e6 || p.Quotas.OpenTasks > 1e6 || p.Quotas.Cores > 4096:
		return invalid("Quotas are whole numbers from 1 up: tasks in an hour, open tasks, processors of one task.")
	case !pluginNames(p.Plugins):
		return invalid("A plugin's name has small letters, digits and dashes, at most %d; one hub or client reaches at most %d plugins.", mostPluginName, mostPlugins)
	case len(p.HubKey) > 200 || len(p.HubURL) > 500 || len(p.Words) > 500 || len(p.Node) > 100:
		return invalid("The key, the address or a name of the hub is too long.")
	}
	return nil
}

// Change gives a principal new values. Operators only. Errors: Denied, NotFound,
// Invalid, Conflict for a revoked one.
func (s *Service) Change(ctx context.Context, actor access.Actor, id string, c Change) (Principal, error) {
	return s.alter(ctx, actor, access.FederationManage, id, "gateway.changed", "", func(p *Principal) ([]string, error) {
		before := *p
		set(&p.Name, c.Name)
		set(&p.Approval, c.Approval)
		set(&p.Airlock, c.Airlock)
		set(&p.Publishes, c.Publishes)
		set(&p.HubKey, c.HubKey)
		set(&p.HubURL, c.HubURL)
		set(&p.Words, c.Words)
		set(&p.Node, c.Node)
		if c.Plugins != nil {
			p.Plugins = tidyPlugins(*c.Plugins)
			if err := s.newPlugins("gateway.Change", before.Plugins, p.Plugins); err != nil {
				return nil, err
			}
		}
		if c.Quotas != nil {
			p.Quotas = c.Quotas.over(p.Quotas)
		}
		p.Name = strings.TrimSpace(p.Name)
		return before.difference(*p), p.check("gateway.Change")
	})
}

func set[T any](to, from *T) {
	if from != nil {
		*to = *from
	}
}

// over replaces the fields that are given.
func (q Quotas) over(base Quotas) Quotas {
	for to, from := range map[*int]int{&base.TasksPerHour: q.TasksPerHour, &base.OpenTasks: q.OpenTasks, &base.Cores: q.Cores} {
		if from != 0 {
			*to = from
		}
	}
	return base
}

// difference names what changed, for the audit log: fixed words and numbers only.
func (p Principal) difference(q Principal) []string {
	var d []string
	add := func(changed bool, kv ...string) {
		if changed {
			d = append(d, kv...)
		}
	}
	add(p.Approval != q.Approval, "approval", q.Approval)
	add(p.Airlock != q.Airlock, "airlock", q.Airlock)
	add(p.Publishes != q.Publishes, "publishes", strconv.FormatBool(q.Publishes))
	add(!slices.Equal(p.Plugins, q.Plugins), "plugins", strings.Join(q.Plugins, " "))
	add(p.Quotas != q.Quotas, "tasks_per_hour", strconv.Itoa(q.Quotas.TasksPerHour), "open_tasks", strconv.Itoa(q.Quotas.OpenTasks), "cores", strconv.Itoa(q.Quotas.Cores))
	add(p.Name != q.Name, "name", "changed")
	add(p.HubKey != q.HubKey, "key_sha256", digest([]byte(q.HubKey)))
	add(p.HubURL != q.HubURL, "url_sha256", digest([]byte(q.HubURL)))
	return d
}

// alter changes one principal and leaves its audit event. A revoked one stays as it is.
func (s *Service) alter(ctx context.Context, actor access.Actor, action access.Action, id, verb, reason string, fn func(*Principal) ([]string, error)) (Principal, error) {
	if err := access.May(actor, action, access.Thing{}); err != nil {
		return Principal{}, err
	}
	var p Principal
	err := s.update(ctx, func(tx *store.Tx) error {
		var err error
		if p, err = s.find(tx, id); err != nil {
			return err
		}
		if p.State == Revoked {
			return fault.New(verb, fault.Conflict, "%s was revoked for good. Make a new one and have its projects added again.", p.Name)
		}
		detail, err := fn(&p)
		if err != nil {
			return err
		}
		if err := updatePrincipal(tx, p); err != nil {
			return err
		}
		s.bound(tx)
		_, err = s.Log.Append(tx, audit.By(actor, verb, Subject(p.ID), "", detail...).Because(reason))
		return err
	})
	if err != nil {
		return Principal{}, fault.Wrap(verb, err)
	}
	return p, nil
}
