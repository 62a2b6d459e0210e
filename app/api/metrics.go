package api

import (
	"fmt"
	"io"
	"maps"
	"slices"
	"strconv"
	"strings"

	"tresor/app/access"
	"tresor/app/airlock"
	"tresor/app/audit"
	"tresor/app/gateway"
	"tresor/app/gateway/plug"
	"tresor/app/job"
	"tresor/app/store"
)

// metricsType is the Prometheus text exposition format 0.0.4, which every collector
// reads.
const metricsType = "text/plain; version=0.0.4; charset=utf-8"

// metrics counts and never names: no project, person, dataset or job. Plugins
// and hubs stand there by their short names, which an operator gave.
func (s *Server) metrics(c *call) error {
	if err := access.May(c.actor(), access.SystemRead, access.Thing{}); err != nil {
		return err
	}
	var m exposition
	for _, part := range []func(*call, *exposition) error{s.auditMetrics, s.workMetrics, s.gatewayMetrics, s.pluginMetrics, s.hubMetrics} {
		if err := part(c, &m); err != nil {
			return err
		}
	}
	h := c.w.Header()
	h.Set("Content-Type", metricsType)
	h.Set("Content-Length", strconv.Itoa(m.b.Len()))
	_, err := io.WriteString(c.w, m.b.String())
	return err
}

func (s *Server) auditMetrics(c *call, m *exposition) error {
	var newest []audit.Event
	err := s.DB.View(c.ctx(), func(tx *store.Tx) (err error) {
		newest, err = s.Audit.List(tx, audit.Filter{Limit: 1})
		return err
	})
	size := int64(0)
	if len(newest) > 0 {
		size = newest[0].Seq + 1
	}
	m.family("tresor_audit_events", "gauge", "Events in the audit log.")
	m.sample("tresor_audit_events", size)
	return err
}

func (s *Server) workMetrics(c *call, m *exposition) error {
	if s.Jobs == nil {
		return nil
	}
	states, err := s.Jobs.Counts(c.ctx())
	if err != nil {
		return err
	}
	m.family("tresor_jobs", "gauge", "Jobs by state.")
	for _, state := range job.States {
		m.sample("tresor_jobs", states[state], "state", string(state))
	}
	waiting, err := s.Airlock.List(c.ctx(), access.System, airlock.Filter{States: []airlock.State{airlock.Submitted, airlock.InReview}, Limit: pageMax})
	m.family("tresor_airlock_waiting", "gauge", "Requests that wait for reviewers, at most 500.")
	m.sample("tresor_airlock_waiting", int64(len(waiting)))
	return err
}

func (s *Server) gatewayMetrics(c *call, m *exposition) error {
	if s.Gateway == nil {
		return nil
	}
	n, err := s.Gateway.Counts(c.ctx())
	if err != nil {
		return err
	}
	m.family("tresor_gateway_accepted_total", "counter", "Tasks that machines sent and that were accepted.")
	m.sample("tresor_gateway_accepted_total", n.Accepted)
	m.family("tresor_gateway_refused_total", "counter", "Requests of machines that were refused, by code.")
	for _, code := range slices.Sorted(maps.Keys(n.Refused)) {
		m.sample("tresor_gateway_refused_total", n.Refused[code], "code", code)
	}
	m.family("tresor_gateway_open_tasks", "gauge", "Tasks of machines that have not ended.")
	m.sample("tresor_gateway_open_tasks", n.Open)
	return nil
}

func (s *Server) pluginMetrics(c *call, m *exposition) error {
	if s.Plugins == nil {
		return nil
	}
	all, err := s.Plugins.List(c.ctx(), access.System)
	if err != nil {
		return err
	}
	// One that only a test starts is down nearly always: that is no news.
	all = slices.DeleteFunc(all, func(p plug.Plugin) bool { return p.OnDemand })
	for _, f := range []struct {
		name, kind, says string
		value            func(plug.Plugin) int64
	}{
		{"tresor_plugin_up", "gauge", "1 when the plugin's process answers.", func(p plug.Plugin) int64 { return one(p.Running) }},
		{"tresor_plugin_well", "gauge", "0 when the plugin says that it is not well, or was ended because it took more than it may.", func(p plug.Plugin) int64 { return one(p.Health == nil || p.Health.OK) }},
		{"tresor_plugin_starts_total", "counter", "Starts of the plugin's process.", func(p plug.Plugin) int64 { return int64(p.Starts) }},
		{"tresor_plugin_calls_total", "counter", "Calls to the plugin.", func(p plug.Plugin) int64 { return p.Calls }},
		{"tresor_plugin_failures_total", "counter", "Calls to the plugin that failed.", func(p plug.Plugin) int64 { return p.Failures }},
	} {
		m.family(f.name, f.kind, f.says)
		for _, p := range all {
			m.sample(f.name, f.value(p), "plugin", p.Name)
		}
	}
	return nil
}

func (s *Server) hubMetrics(c *call, m *exposition) error {
	if s.Links == nil || s.Gateway == nil {
		return nil
	}
	links, err := s.Links.Links(c.ctx(), access.System)
	if err != nil {
		return err
	}
	hubs, err := s.Gateway.Principals(c.ctx(), access.System)
	if err != nil {
		return err
	}
	hubs = slices.DeleteFunc(hubs, func(p gateway.Principal) bool { return p.Kind != gateway.Hub })
	m.family("tresor_hub_up", "gauge", "1 when the link to the hub is open.")
	for _, h := range hubs {
		m.sample("tresor_hub_up", one(links[h.ID].State == "online"), "hub", h.Slug)
	}
	m.family("tresor_hub_last_contact_seconds", "gauge", "When the hub was last in contact, as Unix time.")
	for _, h := range hubs {
		if at := links[h.ID].LastContact; at != nil && !at.IsZero() {
			m.sample("tresor_hub_last_contact_seconds", at.Unix(), "hub", h.Slug)
		}
	}
	m.family("tresor_hub_connects_total", "counter", "Times that the link to the hub was opened.")
	for _, h := range hubs {
		m.sample("tresor_hub_connects_total", links[h.ID].Reconnects, "hub", h.Slug)
	}
	m.family("tresor_hub_attempts", "gauge", "Attempts to reach the hub since it was last online.")
	for _, h := range hubs {
		m.sample("tresor_hub_attempts", links[h.ID].Attempts, "hub", h.Slug)
	}
	return nil
}

func one(yes bool) int64 {
	if yes {
		return 1
	}
	return 0
}

// exposition is a page of metrics in the text format 0.0.4.
type exposition struct{ b strings.Builder }

func (m *exposition) family(name, kind, says string) {
	fmt.Fprintf(&m.b, "# HELP %s %s\n# TYPE %s %s\n", name, says, name, kind)
}

var labelEscapes = strings.NewReplacer(`\`, `\\`, "\n", `\n`, `"`, `\"`)

// sample writes one value with its labels, name and value in turn.
func (m *exposition) sample(name string, value int64, labels ...string) {
	m.b.WriteString(name)
	for i := 0; i+1 < len(labels); i += 2 {
		m.b.WriteByte("{,"[min(i, 1)])
		m.b.WriteString(labels[i] + `="` + labelEscapes.Replace(labels[i+1]) + `"`)
	}
	if len(labels) > 0 {
		m.b.WriteByte('}')
	}
	fmt.Fprintf(&m.b, " %d\n", value)
}
