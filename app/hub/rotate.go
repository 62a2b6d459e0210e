package hub

import (
	"context"
	"errors"
	"time"

	"tresor/app/access"
	"tresor/app/fault"
	"tresor/app/store"
)

// Overview shows the hub itself.
func (s *Service) Overview(ctx context.Context, actor access.Actor) (Overview, error) {
	const op = "hub.Overview"
	if err := access.May(actor, access.HubRead, access.Thing{}); err != nil {
		return Overview{}, fault.Wrap(op, err)
	}
	k := s.keys.get()
	o := Overview{Name: s.Name, Key: string(k.id()), Address: s.URL()}
	if k.Next != nil {
		o.Rotation = &Rotation{Next: string(k.Succession.New.ID()), Until: time.UnixMilli(k.Succession.Until).UTC()}
	}
	for _, st := range s.fed().Nodes() {
		if st.Peer.Gone() {
			continue
		}
		o.Nodes++
		if st.Online {
			o.Online++
		}
		if o.Rotation != nil && st.Announced == k.Succession.New.ID() {
			o.Rotation.Known++
		}
	}
	if o.Rotation != nil {
		o.Rotation.Nodes = o.Nodes
	}
	err := s.DB.View(ctx, func(tx *store.Tx) error {
		return tx.QueryRow(`SELECT count(*) FROM hub_task WHERE ended_at IS NULL`).Scan(&o.Open)
	})
	return o, fault.Wrap(op, err)
}

// overlap is how long the old and the new key are both good.
const overlap = 30 * 24 * time.Hour

// Rotate begins to replace the hub's key: nodes learn the new one when they
// connect, and when all have it the hub changes by itself.
func (s *Service) Rotate(ctx context.Context, actor access.Actor) (Overview, error) {
	const op = "hub.Rotate"
	if err := access.May(actor, access.HubManage, access.Thing{}); err != nil {
		return Overview{}, fault.Wrap(op, err)
	}
	if old := s.keys.get(); old.Next == nil {
		next, err := old.begun(s.Now().Add(overlap))
		if err == nil {
			err = s.rekey(ctx, actor, old, next)
		}
		if err != nil {
			return Overview{}, fault.Wrap(op, err)
		}
	}
	for _, st := range s.fed().Nodes() {
		s.fed().Drop(st.Peer.ID) // a node hears of the new key when it dials again
	}
	return s.Overview(ctx, actor)
}

// settle finishes a rotation that every node knows of.
func (s *Service) settle(ctx context.Context) error {
	k := s.keys.get()
	if k.Next == nil {
		return nil
	}
	next := k.Succession.New.ID()
	for _, st := range s.fed().Nodes() {
		if !st.Peer.Gone() && st.Announced != next && s.Now().Before(time.UnixMilli(k.Succession.Until)) {
			return nil
		}
	}
	return s.rekey(ctx, access.System, k, k.finished())
}

// rekey keeps a pair with its event. The file comes last, and the old one is put
// back when the event is not kept; what a crash leaves between the two, recordKeys
// completes.
func (s *Service) rekey(ctx context.Context, actor access.Actor, old, next keyPair) error {
	err := s.DB.Update(ctx, func(tx *store.Tx) error {
		if err := s.noteKeys(tx, actor, next); err != nil {
			return err
		}
		s.tellNodes(tx)
		return s.keys.put(next)
	})
	if err != nil && s.keys.get().same(next) {
		err = errors.Join(err, s.keys.put(old))
	}
	return err
}

// noteKeys appends the event that led to a pair.
func (s *Service) noteKeys(tx *store.Tx, actor access.Actor, k keyPair) error {
	verb, key := k.event()
	return s.note(tx, actor, verb, "hub", "", "key", string(key))
}

// recordKeys appends the event of a change that a crash cut off after its file.
func (s *Service) recordKeys(ctx context.Context) error {
	k := s.keys.get()
	verb, key := k.event()
	return s.DB.Update(ctx, func(tx *store.Tx) error {
		list, err := s.Log.Timeline(tx, "hub")
		if err != nil {
			return err
		}
		announced := false
		for _, e := range list {
			if e.Detail["key"] != string(key) {
				continue
			}
			if e.Verb == verb {
				return nil
			}
			announced = true
		}
		if k.Next == nil && !announced {
			return nil // the first key
		}
		return s.noteKeys(tx, access.System, k)
	})
}
