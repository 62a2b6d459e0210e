package link

import (
	"context"
	"errors"

	"tresor/app/access"
	"tresor/app/fault"
	"tresor/app/store"
	"tresor/fed/wire"
)

// Rotate begins to replace the node's key: the hubs are told of the next one, which
// becomes the key when all of them have it, or when the overlap ends. Errors:
// Denied, Conflict while a rotation is under way.
func (s *Service) Rotate(ctx context.Context, actor access.Actor) (Node, error) {
	const op = "link.Rotate"
	if err := access.May(actor, access.FederationManage, access.Thing{}); err != nil {
		return Node{}, err
	}
	if err := s.begin(by(ctx, actor)); err != nil {
		return Node{}, fault.Wrap(op, err)
	}
	s.redialAll() // a hub hears of the next key when a link begins
	s.Changed()
	return s.facts(), nil
}

func (s *Service) begin(ctx context.Context) error {
	s.turn.Lock()
	defer s.turn.Unlock()
	old := s.keys.now()
	next, err := old.begun(s.Now().Add(s.Overlap))
	if err != nil {
		return err
	}
	return s.change(ctx, old, next)
}

// rotated completes a rotation when its time has come.
func (s *Service) rotated(ctx context.Context) error {
	s.turn.Lock()
	defer s.turn.Unlock()
	next, until, ok := s.keys.pending()
	if !ok || !s.ripe(next) && s.Now().Before(until.Add(-2*wire.MaxSkew)) {
		return nil
	}
	old := s.keys.now()
	if err := s.change(ctx, old, old.completed()); err != nil {
		return err
	}
	s.Logger.Info("the node's key was replaced", "key", next)
	s.redialAll()
	return nil
}

// change keeps a ring with its event. The file comes last, and is put back when the
// event is not kept; what a crash leaves between the two, record completes. The caller
// holds turn: who read the ring in between would build on one that may be taken back.
func (s *Service) change(ctx context.Context, old, next ring) error {
	err := s.DB.Update(ctx, func(tx *store.Tx) error {
		if err := s.noteKeys(tx, next); err != nil {
			return err
		}
		return s.keys.put(next)
	})
	if err != nil && s.keys.now().id() == next.id() && s.keys.now().nextID() == next.nextID() {
		err = errors.Join(err, s.keys.put(old))
	}
	return err
}

// noteKeys appends the event that led to a ring.
func (s *Service) noteKeys(tx *store.Tx, r ring) error {
	if next := r.nextID(); next != "" {
		return peers{s}.note(tx, "node.rotation-begun", "node", "key", string(r.id()), "next", string(next))
	}
	return peers{s}.note(tx, "node.rekeyed", "node", "key", string(r.id()))
}

// record appends the event of a change that a crash cut off after its file.
func (s *Service) record(ctx context.Context) error {
	r := s.keys.now()
	if r.nextID() == "" && len(r.Past) == 0 {
		return nil // the first key
	}
	return s.DB.Update(ctx, func(tx *store.Tx) error {
		list, err := s.Log.Timeline(tx, "node")
		if err != nil {
			return err
		}
		for _, e := range list {
			if e.Detail["key"] == string(r.id()) && e.Detail["next"] == string(r.nextID()) {
				return nil
			}
		}
		return s.noteKeys(tx, r)
	})
}

// ripe reports whether every hub that is believed has the next key.
func (s *Service) ripe(next wire.KeyID) bool {
	for _, h := range s.list() {
		if !s.active(h) {
			continue
		}
		if health, ok := s.healthOf(h); !ok || health.Announced != next {
			return false
		}
	}
	return true
}

func (s *Service) redialAll() {
	for _, h := range s.list() {
		s.node.Redial(h.peer)
	}
}
