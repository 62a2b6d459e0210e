package plug

import (
	"context"
	"errors"
	"reflect"
	"strings"
	"sync/atomic"
	"time"

	"tresor/app/fault"
	"tresor/plugins/host"
	"tresor/plugins/protocol"
)

// Waits for a plugin that is being started, and for one answer.
const (
	startWait = 10 * time.Second
	callWait  = 60 * time.Second
)

// stats count what passed through a plugin.
type stats struct {
	calls, failures, nanos atomic.Int64
}

// Server returns the plugin of this name, ready to answer. Errors: NotFound when
// there is none, it is not enabled or it has no such part; Unavailable when it
// does not run.
func (s *Service) Server(ctx context.Context, name string) (protocol.Server, error) {
	const op = "plug.Server"
	s.mu.Lock()
	e := s.entries[name]
	if e == nil || !e.row.Enabled || (e.builtin != nil && e.builtin.OnDemand) {
		s.mu.Unlock()
		return nil, fault.New(op, fault.NotFound, "There is no plugin %q here, or it is not enabled.", clip(name))
	}
	proc, problem := e.proc, e.problem
	s.mu.Unlock()
	if proc == nil {
		if problem == "" {
			problem = "It is being started."
		}
		return nil, fault.WithNext(fault.New(op, fault.Unavailable, "The plugin %s does not run. %s", name, problem), "Try again in a moment; an operator sees more on the Federation page.")
	}
	wait, cancel := context.WithTimeout(ctx, startWait)
	defer cancel()
	remote, err := proc.Adapter(wait)
	if err != nil {
		return nil, fault.WithNext(fault.Kinded(op, fault.Unavailable, err, "The plugin %s does not run.", name), "Try again in a moment; an operator sees more on the Federation page.")
	}
	d := proc.State().Description
	if !has(d, "server") && !has(d, "publisher") {
		return nil, fault.New(op, fault.NotFound, "The plugin %s takes no requests and publishes nothing.", name)
	}
	if !s.settled(e) { // its defaults stand in what it says of itself
		if err := s.remember(ctx, e, d); err != nil {
			return nil, fault.Wrap(op, err)
		}
	}
	set, err := s.values(e)
	if err != nil {
		return nil, fault.Wrap(op, err)
	}
	return &server{s: s, e: e, remote: remote, set: set, now: s.Now, publishes: has(d, "publisher")}, nil
}

// settled reports whether the plugin's settings are known already.
func (s *Service) settled(e *entry) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return e.set != nil
}

// Published lists the plugins that answer requests or publish documents now, by name.
func (s *Service) Published() []string {
	var out []string
	for _, name := range s.names() {
		s.mu.Lock()
		e := s.entries[name]
		up := e != nil && e.proc != nil && e.row.Enabled
		var proc *host.Plugin
		if up {
			proc = e.proc
		}
		s.mu.Unlock()
		if up {
			if st := proc.State(); st.Running && (has(st.Description, "server") || has(st.Description, "publisher")) {
				out = append(out, name)
			}
		}
	}
	return out
}

// Known reports whether there is a plugin of this name that others can be let to:
// enabled or not, and not one that only a test starts.
func (s *Service) Known(name string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	e := s.entries[name]
	return e != nil && (e.builtin == nil || !e.builtin.OnDemand)
}

// server is a plugin's door, with its settings and its counts.
type server struct {
	s         *Service
	e         *entry
	remote    *protocol.Remote
	set       protocol.Settings
	now       func() time.Time
	publishes bool
}

// ServeRequest hands the request on.
func (v *server) ServeRequest(ctx context.Context, r protocol.Request, h protocol.Host) (protocol.Response, error) {
	ctx, cancel := context.WithTimeout(ctx, callWait)
	defer cancel()
	began := v.now()
	r.Settings = v.set
	resp, err := v.remote.ServeRequest(ctx, r, h)
	v.e.stats.calls.Add(1)
	v.e.stats.nanos.Add(int64(v.now().Sub(began)))
	var own *protocol.Error
	if err != nil && (!errors.As(err, &own) || own.Code == protocol.CodeUnavailable || own.Code == protocol.CodeInternal) {
		v.e.stats.failures.Add(1)
	}
	return resp, err
}

// Health takes what a plugin says of itself; gateway.Deps.Health.
func (s *Service) Health(plugin string, h protocol.Health) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if e := s.entries[plugin]; e != nil {
		if len(h.Detail) > 500 {
			h.Detail = strings.ToValidUTF8(h.Detail[:500], "")
		}
		h.At = s.Now()
		e.health = h
	}
}

// host is what a plugin may ask for on its own account.
func (s *Service) host(e *entry) protocol.Host {
	r := s.rowOf(e)
	if s.Host == nil || r.Principal == "" {
		return nobody{s: s, plugin: r.Name}
	}
	return s.Host(r.Principal, r.Name)
}

func equal(a, b protocol.Description) bool { return reflect.DeepEqual(a, b) }

func clip(s string) string {
	if len(s) > 40 {
		return strings.ToValidUTF8(s[:40], "") + "…"
	}
	return s
}

// nobody is the Host of a plugin without a principal: it sees nothing.
type nobody struct {
	s      *Service
	plugin string
}

// tested is the Host of a plugin without a principal while an operator tests it: what
// its test asks outside is the operator's question.
type tested struct{ nobody }

func (t tested) Fetch(ctx context.Context, r protocol.Request) (protocol.Response, error) {
	return t.s.Fetch(ctx, t.plugin, r)
}

// testHost is what a plugin may ask for while it is tested.
func (s *Service) testHost(e *entry) protocol.Host {
	h := s.host(e)
	if n, ok := h.(nobody); ok && s.Fetch != nil {
		return tested{n}
	}
	return h
}

var errNobody = &protocol.Error{Code: protocol.CodeDenied, Text: "This plugin acts for nobody: it can only answer those who ask it."}

func (nobody) Visible(context.Context) (protocol.Catalogue, error) {
	return protocol.Catalogue{Projects: []protocol.Named{}, Datasets: []protocol.Named{}}, nil
}
func (nobody) Submit(context.Context, protocol.JobRequest) (protocol.JobState, error) {
	return protocol.JobState{}, errNobody
}
func (nobody) State(context.Context, string, protocol.View) (protocol.JobState, error) {
	return protocol.JobState{}, errNobody
}
func (nobody) Jobs(context.Context, protocol.JobQuery) (protocol.JobPage, error) {
	return protocol.JobPage{Jobs: []protocol.JobState{}}, nil
}
func (nobody) Cancel(context.Context, string) error { return errNobody }
func (nobody) ReadRelease(context.Context, string, int64) (protocol.Chunk, error) {
	return protocol.Chunk{}, errNobody
}
func (nobody) Fetch(context.Context, protocol.Request) (protocol.Response, error) {
	return protocol.Response{}, errNobody
}
func (n nobody) Health(_ context.Context, h protocol.Health) error {
	n.s.Health(n.plugin, h)
	return nil
}
func (nobody) Audit(context.Context, string, map[string]string) error { return errNobody }

var _ protocol.Host = nobody{}
