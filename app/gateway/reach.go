package gateway

import (
	"slices"
	"strings"

	"tresor/app/fault"
)

// Which plugins a caller reaches. A hub or a client reaches those that an operator
// listed for it, and a new one the default. A person's token and a program inside
// reach the task service only: a plugin from outside may carry what it hears to the
// world, so who is to use it gets a client of its own, which an operator makes.

const (
	mostPlugins    = 32
	mostPluginName = 32
)

// DefaultPlugins are what a new principal reaches.
func DefaultPlugins() []string { return []string{insidePlugin} }

// reaches reports whether the party may ask a plugin at all.
func (p *party) reaches(plugin string) bool {
	if p.machine() {
		return slices.Contains(p.record.Plugins, plugin)
	}
	return plugin == insidePlugin
}

// noPlugin is the one answer for a plugin that is not there and for one that the
// party does not reach: it does not say which.
func noPlugin(p *party) error {
	next := "Check the address, or ask the operator of this server to open the service to you."
	if !p.machine() {
		next = "Use the task service (tes), or ask the operator of this server for a client of your own that reaches the other service."
	}
	return refuse(CodeNoPlugin, fault.NotFound, next, "You reach no such service on this server.")
}

// tidyPlugins is a list of names in order, each once.
func tidyPlugins(names []string) []string {
	out := []string{}
	for _, n := range names {
		out = append(out, strings.TrimSpace(n))
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// pluginNames reports whether all can be names of plugins, as they stand in addresses.
func pluginNames(names []string) bool {
	for _, n := range names {
		if n == "" || len(n) > mostPluginName || strings.Trim(n, "abcdefghijklmnopqrstuvwxyz0123456789-") != "" {
			return false
		}
	}
	return len(names) <= mostPlugins
}

// newPlugins refuses a name that is new in the list and that no plugin has, so that
// a slip is not taken for a decision. Errors: Invalid.
func (s *Service) newPlugins(op string, before, after []string) error {
	for _, n := range after {
		if s.Known != nil && !slices.Contains(before, n) && !s.Known(n) {
			return fault.WithNext(fault.New(op, fault.Invalid, "There is no plugin %s that answers requests.", quoted(n)), "The list of plugins shows the names: tresor plugin list.")
		}
	}
	return nil
}
