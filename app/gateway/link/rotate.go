package link

import (
	"context"

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
	err := s.DB.Update(by(ctx, actor), func(tx *store.Tx) error {
		// The file last: when it cannot be written, the event goes with it.
		if err := (peers{s}).note(tx, "node.rotation-begun", "node", "key", string(s.keys.public().ID())); err != nil {
			return err
		}
		_, err := s.keys.begin(s.Now().Add(s.Overlap))
		return err
	})
	if err != nil {
		return Node{}, fault.Wrap(op, err)
	}
	s.redialAll() // a hub hears of the next key when a link begins
	s.Changed()
	return s.facts(), nil
}

// rotated completes a rotation when its time has come.
func (s *Service) rotated(ctx context.Context) error {
	next, until, ok := s.keys.pending()
	if !ok || !s.ripe(next) && s.Now().Before(until.Add(-2*wire.MaxSkew)) {
		return nil
	}
	err := s.DB.Update(ctx, func(tx *store.Tx) error {
		if err := (peers{s}).note(tx, "node.rekeyed", "node", "key", string(next)); err != nil {
			return err
		}
		_, err := s.keys.complete()
		return err
	})
	if err != nil {
		return err
	}
	s.Logger.Info("the node's key was replaced", "key", next)
	s.redialAll()
	return nil
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
