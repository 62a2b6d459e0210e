package link

import (
	"context"
	"fmt"
	"strings"
	"time"

	"tresor/app/access"
	"tresor/app/gateway/plug"
	"tresor/fed/node"
	"tresor/fed/wire"
	"tresor/plugins/protocol"
)

// testWait bounds a connection test.
const testWait = 45 * time.Second

// Test walks the way to a hub step by step and looks at the link that is kept. The
// report is the same as text to copy; it holds no secret. Errors: Denied, NotFound.
func (s *Service) Test(ctx context.Context, actor access.Actor, principal string) (plug.Report, error) {
	const op = "link.Test"
	if err := access.May(actor, access.FederationTest, access.Thing{}); err != nil {
		return plug.Report{}, err
	}
	h, err := s.byPrincipal(op, principal)
	if err != nil {
		return plug.Report{}, err
	}
	// The link may not have followed yet what was decided a moment ago.
	known, err := s.Gateway.Principals(ctx, access.System)
	if err != nil {
		return plug.Report{}, err
	}
	for _, p := range known {
		if p.ID == h.principal.Load().ID {
			h.principal.Store(&p)
		}
	}
	ctx, cancel := context.WithTimeout(ctx, testWait)
	defer cancel()
	began := s.Now()
	steps := s.walk(ctx, h)
	return plug.Report{Steps: steps, Report: s.report(h, steps, began)}, nil
}

func (s *Service) walk(ctx context.Context, h *hub) []protocol.Step {
	peer, _ := s.book.Peer(h.peer)
	var steps []protocol.Step
	for _, st := range s.node.Probe(ctx, peer.URL, h.peer) {
		steps = append(steps, protocol.Step{Name: st.Name, OK: st.OK, Detail: st.Detail, Next: st.Next})
		if !st.OK {
			return append(steps, s.decisions(h)...)
		}
	}
	return append(append(steps, s.kept(h)...), s.decisions(h)...)
}

// kept looks at the link that is kept: whether the hub takes this node's key, and
// how far it is.
func (s *Service) kept(h *hub) []protocol.Step {
	health, ok := s.healthOf(h)
	switch {
	case !ok:
		return []protocol.Step{{Name: "link", Detail: "No link is kept to this hub.", Next: "It is revoked, or the server is starting."}}
	case health.State != node.Online:
		return []protocol.Step{{Name: "link", Detail: sentence(health.Error) + ".", Next: nextOf(health.Code, false)}}
	}
	steps := []protocol.Step{{Name: "link", OK: true, Detail: fmt.Sprintf("The hub took this appliance's key; the link is up since %s UTC.", health.Since.UTC().Format("2 January 2006, 15:04:05"))}}
	d, err := s.node.Ping(h.peer)
	if err != nil {
		return append(steps, protocol.Step{Name: "round trip", Detail: "The hub did not answer over the link.", Next: "Test again: the link is made anew by itself."})
	}
	s.mu.Lock()
	s.trips[h.peer] = d
	s.mu.Unlock()
	return append(steps, protocol.Step{Name: "round trip", OK: true, Detail: fmt.Sprintf("%.1f ms to the hub and back.", float64(d.Microseconds())/1000)})
}

// decisions are what people here have decided that keeps the hub from working.
func (s *Service) decisions(h *hub) []protocol.Step {
	p := h.principal.Load()
	switch {
	case h.confirmed.Load() == 0:
		return []protocol.Step{{Name: "words", Detail: "Nobody here has compared the words yet.", Next: "Compare them with the hub's operator, then confirm."}}
	case p.Paused || s.allPaused():
		return []protocol.Step{{Name: "pause", Detail: "The hub is paused here: it hears that, and nothing else.", Next: nextOf(wire.CodePaused, false)}}
	case len(p.Projects) == 0:
		return []protocol.Step{{Name: "projects", Detail: "No project is lent to this hub, so every task is refused.", Next: "Ask the lead of a project to add it."}}
	}
	return []protocol.Step{{Name: "projects", OK: true, Detail: fmt.Sprintf("Projects that take work from this hub: %d.", len(p.Projects))}}
}

func (s *Service) report(h *hub, steps []protocol.Step, began time.Time) string {
	peer, _ := s.book.Peer(h.peer)
	var b strings.Builder
	fmt.Fprintf(&b, "Test of the link to the hub %s, %s\n", h.name, began.UTC().Format(time.RFC3339))
	fmt.Fprintf(&b, "tresor %s, link protocol %d, address %s\n", s.Version, wire.Version, peer.URL)
	fmt.Fprintf(&b, "key of this appliance %s, pinned key of the hub %s\n", s.keys.public().ID(), peer.Current().ID())
	b.WriteString(plug.Steps(steps))
	fmt.Fprintf(&b, "took %d ms\n", s.Now().Sub(began).Milliseconds())
	return b.String()
}
