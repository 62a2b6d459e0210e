package plug

import (
	"context"
	"slices"
	"time"

	"tresor/app/access"
	"tresor/app/fault"
	"tresor/app/store"
	"tresor/plugins/host"
	"tresor/plugins/protocol"
)

// List returns all plugins by name. Errors: Denied.
func (s *Service) List(ctx context.Context, actor access.Actor) ([]Plugin, error) {
	if err := access.May(actor, access.PluginRead, access.Thing{}); err != nil {
		return nil, err
	}
	out := []Plugin{}
	for _, name := range s.names() {
		if p, ok := s.page(name); ok {
			out = append(out, p)
		}
	}
	return out, nil
}

// Get returns one plugin. Errors: Denied, NotFound.
func (s *Service) Get(ctx context.Context, actor access.Actor, name string) (Plugin, error) {
	if err := access.May(actor, access.PluginRead, access.Thing{}); err != nil {
		return Plugin{}, err
	}
	return s.found("plug.Get", name)
}

func (s *Service) found(op, name string) (Plugin, error) {
	p, ok := s.page(name)
	if !ok {
		return p, fault.WithNext(fault.New(op, fault.NotFound, "There is no plugin %q.", clip(name)), "The list of plugins shows the names.")
	}
	return p, nil
}

// Enable starts a plugin, now and with every start of the server, or stops it until
// it is enabled again; work that it brought goes on. Errors: Denied, NotFound, and
// Conflict with the reason when the plugin's file is not the trusted one.
func (s *Service) Enable(ctx context.Context, actor access.Actor, name string, on bool) (Plugin, error) {
	const op = "plug.Enable"
	verb := "plugin.disabled"
	if on {
		verb = "plugin.enabled"
	}
	return s.alter(ctx, op, actor, name, verb, func(e *entry, r row) (row, error) {
		if e.builtin != nil && e.builtin.OnDemand {
			return r, fault.New(op, fault.Conflict, "The plugin %s is started only when it is tested.", name)
		}
		if on && e.builtin == nil {
			if _, err := s.command(e); err != nil {
				return r, fault.Kinded(op, fault.Conflict, err, "The plugin %s cannot be started. %s", name, reason(err))
			}
		}
		if on && has(r.Description, "poller") && r.Principal == "" && s.Principal != nil {
			id, err := s.Principal(ctx, actor, "plugin "+name)
			if err != nil {
				return r, err
			}
			r.Principal = id
		}
		r.Enabled = on
		return r, nil
	})
}

// SetSettings gives a plugin its settings and starts it again with them. values
// holds every setting that is to stand: a secret that is "" stays as it was, a key
// that is missing goes back to its default. Errors: Denied, NotFound, Invalid.
func (s *Service) SetSettings(ctx context.Context, actor access.Actor, name string, values map[string]string) (Plugin, error) {
	return s.alter(ctx, "plug.SetSettings", actor, name, "plugin.configured", func(_ *entry, r row) (row, error) { return s.put(r, values) })
}

// alter changes the row of a plugin, with its event, and starts the plugin anew.
func (s *Service) alter(ctx context.Context, op string, actor access.Actor, name, verb string, change func(*entry, row) (row, error)) (Plugin, error) {
	if err := access.May(actor, access.PluginManage, access.Thing{}); err != nil {
		return Plugin{}, err
	}
	s.change.Lock()
	defer s.change.Unlock()
	if _, err := s.found(op, name); err != nil {
		return Plugin{}, err
	}
	s.mu.Lock()
	e := s.entries[name]
	s.mu.Unlock()
	old := s.rowOf(e)
	r, err := change(e, old)
	if err != nil {
		return Plugin{}, fault.Wrap(op, err)
	}
	if r.Enabled == old.Enabled && verb != "plugin.configured" {
		return s.found(op, name) // as it was
	}
	if err := s.DB.Update(ctx, func(tx *store.Tx) error {
		if err := r.write(tx); err != nil {
			return err
		}
		return s.note(tx, actor, verb, name)
	}); err != nil {
		return Plugin{}, fault.Wrap(op, err)
	}
	s.stop(name)
	s.mu.Lock()
	e.row, e.set = r, nil
	s.mu.Unlock()
	s.start(name)
	s.changed()
	return s.found(op, name)
}

// page is a plugin as it stands now.
func (s *Service) page(name string) (Plugin, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	e := s.entries[name]
	if e == nil {
		return Plugin{}, false
	}
	r := e.row
	p := Plugin{Name: name, Builtin: e.builtin != nil, OnDemand: e.builtin != nil && e.builtin.OnDemand, Path: r.Path, SHA256: r.SHA256,
		TrustedBy: r.TrustedBy, TrustedAt: moment(r.TrustedAt), Enabled: r.Enabled, Principal: r.Principal, LastError: e.problem,
		Settings: map[string]string{}, Set: []string{}, Parts: []string{}}
	d := r.Description
	health := e.health
	if e.proc != nil {
		st := e.proc.State()
		p.process(st)
		if st.Running {
			d = st.Description
		}
		if st.Health.At.After(health.At) {
			health = st.Health
		}
	}
	if p.LastError == "" {
		p.LastError = e.poll
	}
	if p.LastError == "" {
		p.LastError = e.publish
	}
	if !health.At.IsZero() {
		p.Health = &health
	}
	p.Title, p.Version, p.Protocol = d.Title, d.Version, d.Protocol
	if p.Title == "" {
		p.Title = name
	}
	p.Parts = append(p.Parts, d.Parts...)
	s.form(&p, r)
	p.counts(&e.stats)
	return p, true
}

func (p *Plugin) process(st host.State) {
	p.Confined = st.Confined
	p.Running, p.Starts, p.Since, p.LastError = st.Running, st.Starts, moment(st.Since), st.LastError
}

// moment is a time for a page, nil for none.
func moment(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	t = t.UTC()
	return &t
}

// form fills in the settings without their secrets. The caller holds mu.
func (s *Service) form(p *Plugin, r row) {
	p.Schema = append([]protocol.Setting{}, r.Description.Settings...)
	for k, v := range r.Settings {
		p.Settings[k] = v
	}
	secrets, _ := s.secrets(r) // one that cannot be opened is one that is not set
	for _, f := range r.Description.Settings {
		if f.Kind == "secret" {
			p.Settings[f.Key] = ""
			if secrets[f.Key] != "" {
				p.Set = append(p.Set, f.Key)
			}
		}
	}
	slices.Sort(p.Set)
}

func (p *Plugin) counts(st *stats) {
	p.Calls, p.Failures = st.calls.Load(), st.failures.Load()
	if p.Calls > 0 {
		p.AverageMS = float64(st.nanos.Load()) / float64(p.Calls) / 1e6
	}
}
