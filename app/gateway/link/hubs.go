package link

import (
	"context"
	"database/sql"
	"errors"
	"sync/atomic"
	"time"

	"tresor/app/access"
	"tresor/app/fault"
	"tresor/app/gateway"
	"tresor/app/store"
	"tresor/fed/node"
	"tresor/fed/trust"
	"tresor/fed/wire"
)

// hub is one enrolled hub, with what people here decided about it. Names are
// those of its enrolment; what may change is atomic.
type hub struct {
	peer       wire.KeyID
	name, node string
	enrolled   time.Time
	by         string // person who enrolled it

	principal atomic.Pointer[gateway.Principal] // nil: between two steps of an enrolment
	words     atomic.Pointer[string]
	confirmed atomic.Int64 // Unix milliseconds; 0: nobody has compared the words
	kept      atomic.Bool  // whether a link is kept
}

// read brings the hubs of the table into memory.
func (s *Service) read(ctx context.Context) error {
	return s.DB.View(ctx, func(tx *store.Tx) error {
		rows, err := tx.Query(`SELECT peer, principal, name, node, words, enrolled_by, enrolled_at, confirmed_at FROM link_hub`)
		if err != nil {
			return err
		}
		defer rows.Close()
		s.mu.Lock()
		defer s.mu.Unlock()
		for rows.Next() {
			h := &hub{}
			var principal, words string
			var at int64
			var confirmed sql.NullInt64
			if err := rows.Scan(&h.peer, &principal, &h.name, &h.node, &words, &h.by, &at, &confirmed); err != nil {
				return err
			}
			if s.hubs[h.peer] != nil {
				continue
			}
			h.enrolled = store.Time(at)
			h.words.Store(&words)
			h.confirmed.Store(confirmed.Int64)
			if principal != "" {
				h.principal.Store(&gateway.Principal{ID: principal, Name: h.name, Kind: gateway.Hub})
			}
			s.hubs[h.peer] = h
		}
		return rows.Err()
	})
}

func (s *Service) list() []*hub {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := make([]*hub, 0, len(s.hubs))
	for _, h := range s.hubs {
		out = append(out, h)
	}
	return out
}

func (s *Service) allPaused() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.all
}

// byPrincipal finds a hub. Errors: NotFound.
func (s *Service) byPrincipal(op, principal string) (*hub, error) {
	for _, h := range s.list() {
		if p := h.principal.Load(); p != nil && (p.ID == principal || p.Slug == principal) {
			return h, nil
		}
	}
	return nil, fault.WithNext(fault.New(op, fault.NotFound, "There is no hub of this name here."), "The Federation page lists the hubs.")
}

// follow makes the links be as people decided, and as keys have changed.
func (s *Service) follow(ctx context.Context) error {
	all, err := s.Gateway.PausedAll(ctx)
	if err != nil {
		return err
	}
	s.mu.Lock()
	s.all = all
	s.mu.Unlock()
	s.node.PauseAll(all)
	principals, err := s.Gateway.Principals(ctx, access.System)
	if err != nil {
		return err
	}
	known := map[string]gateway.Principal{}
	for _, p := range principals {
		known[p.ID] = p
	}
	var errs []error
	for _, h := range s.list() {
		errs = append(errs, s.followOne(ctx, h, known))
	}
	return errors.Join(append(errs, s.rotated(ctx))...)
}

func (s *Service) followOne(ctx context.Context, h *hub, known map[string]gateway.Principal) error {
	peer, ok := s.book.Peer(h.peer)
	if !ok || !peer.Revoked.IsZero() {
		s.drop(h)
		return nil
	}
	if h.principal.Load() == nil {
		if err := s.adopt(ctx, access.System, h); err != nil {
			return err
		}
	}
	p, ok := known[h.principal.Load().ID]
	if !ok {
		return nil // made a moment ago
	}
	h.principal.Store(&p)
	if p.State == gateway.Revoked {
		err := s.book.Revoke(ctx, h.peer, p.Reason)
		s.drop(h)
		s.node.Leave(h.peer) // told after the cut, and not waited for
		return err
	}
	s.node.Pause(h.peer, p.Paused)
	if !h.kept.Swap(true) {
		if err := s.node.Connect(h.peer, s.door(h)); err != nil {
			h.kept.Store(false)
			return err
		}
		s.node.Pause(h.peer, p.Paused)
	}
	return s.keepWords(ctx, h, peer, p)
}

// drop ends a hub's link for good.
func (s *Service) drop(h *hub) {
	if h.kept.Swap(false) {
		s.node.Disconnect(h.peer)
	}
}

// adopt gives an enrolled hub its principal. An enrolment that a crash cut short
// is completed here: a principal with the hub's key is its own.
func (s *Service) adopt(ctx context.Context, actor access.Actor, h *hub) error {
	s.adopting.Lock()
	defer s.adopting.Unlock()
	if h.principal.Load() != nil {
		return nil // by the other of Enrol and follow
	}
	known, err := s.Gateway.Principals(ctx, access.System)
	if err != nil {
		return err
	}
	peer, _ := s.book.Peer(h.peer)
	key := string(peer.Current().ID())
	var mine *gateway.Principal
	for _, p := range known {
		if p.Kind == gateway.Hub && p.HubKey == key && p.State == gateway.Active {
			mine = &p
		}
	}
	if mine == nil {
		p, err := s.newPrincipal(ctx, actor, h, gateway.Draft{Kind: gateway.Hub, HubKey: key, HubURL: peer.URL, Words: *h.words.Load(), Node: h.node})
		if err != nil {
			return err
		}
		mine = &p
	}
	err = s.DB.Update(ctx, func(tx *store.Tx) error {
		_, err := tx.Exec(`UPDATE link_hub SET principal = ? WHERE peer = ?`, mine.ID, string(h.peer))
		return err
	})
	if err == nil {
		h.principal.Store(mine)
	}
	return err
}

// newPrincipal makes a hub's principal under its name, or under one with a part of its
// key when the name is taken or cannot stand in an address: the hub is pinned, and
// a name is no reason to leave it without a principal.
func (s *Service) newPrincipal(ctx context.Context, actor access.Actor, h *hub, d gateway.Draft) (p gateway.Principal, err error) {
	for _, name := range []string{h.name, h.name + " " + d.HubKey[:6], "Hub " + d.HubKey[:8]} {
		d.Name = name
		p, err = s.Gateway.Create(ctx, actor, d)
		if kind := fault.KindOf(err); err == nil || kind != fault.Conflict && kind != fault.Invalid {
			break
		}
	}
	return p, err
}

// keepWords writes the words and the key anew after either end has changed its key.
func (s *Service) keepWords(ctx context.Context, h *hub, peer trust.Peer, p gateway.Principal) error {
	words, key := trust.PairWords(s.keys.public(), peer.Current()), string(peer.Current().ID())
	if *h.words.Load() == words && p.HubKey == key && p.Words == words && p.HubURL == peer.URL {
		return nil
	}
	err := s.DB.Update(ctx, func(tx *store.Tx) error {
		_, err := tx.Exec(`UPDATE link_hub SET words = ? WHERE peer = ?`, words, string(h.peer))
		return err
	})
	if err != nil {
		return err
	}
	h.words.Store(&words)
	_, err = s.Gateway.Change(ctx, access.System, p.ID, gateway.Change{HubKey: &key, Words: &words, HubURL: &peer.URL})
	return err
}

// healthOf is how a hub's link is; ok is false when none is kept.
func (s *Service) healthOf(h *hub) (node.Health, bool) {
	for _, one := range s.node.Health() {
		if one.Hub == h.peer {
			return one, true
		}
	}
	return node.Health{}, false
}
