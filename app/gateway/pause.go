package gateway

import (
	"context"

	"tresor/app/access"
	"tresor/app/audit"
	"tresor/app/fault"
	"tresor/app/store"
)

// Pause stops or resumes one principal: its requests are refused and what waits does not
// start, work that runs goes on. After a resume what waited goes on where it stood. A
// reason is kept and not asked for: the brake has to be quick.
func (s *Service) Pause(ctx context.Context, actor access.Actor, id string, on bool, reason string) (Principal, error) {
	reason, err := audit.OptionalReason("gateway.Pause", reason)
	if err != nil {
		return Principal{}, err
	}
	action, verb := access.FederationManage, "gateway.resumed"
	if on {
		action, verb = access.FederationPause, "gateway.paused"
	}
	return s.alter(ctx, actor, action, id, verb, reason, func(p *Principal) ([]string, error) {
		p.Paused, p.Reason = on, reason
		if !on {
			p.Reason = ""
		}
		return nil, nil
	})
}

// Revoke ends a principal for good; its tokens stop working at once, its jobs that wait
// end as refused, those that run go on.
func (s *Service) Revoke(ctx context.Context, actor access.Actor, id, reason string) (Principal, error) {
	reason, err := audit.Reason("gateway.Revoke", reason)
	if err != nil {
		return Principal{}, err
	}
	p, err := s.alter(ctx, actor, access.FederationManage, id, "gateway.revoked", reason, func(p *Principal) ([]string, error) {
		p.State, p.Reason, p.Publishes = Revoked, reason, false
		return nil, nil
	})
	p.HasToken = false
	return p, err
}

// PauseAll does what Pause does to all hubs and outside clients at once.
func (s *Service) PauseAll(ctx context.Context, actor access.Actor, on bool, reason string) error {
	action, verb, value := access.FederationManage, "gateway.resumed", ""
	if on {
		action, verb, value = access.FederationPause, "gateway.paused", "1"
	}
	if err := access.May(actor, action, access.Thing{}); err != nil {
		return err
	}
	reason, err := audit.OptionalReason("gateway.PauseAll", reason)
	if err != nil {
		return err
	}
	return fault.Wrap("gateway.PauseAll", s.update(ctx, func(tx *store.Tx) error {
		_, err := tx.Exec(`INSERT INTO gateway_setting (key, value) VALUES ('paused', ?) ON CONFLICT (key) DO UPDATE SET value = excluded.value`, value)
		if err != nil {
			return err
		}
		s.bound(tx)
		_, err = s.Log.Append(tx, audit.By(actor, verb, "gateway", "", "all", "true").Because(reason))
		return err
	}))
}

// PausedAll reports whether all are stopped.
func (s *Service) PausedAll(ctx context.Context) (on bool, err error) {
	err = s.DB.View(ctx, func(tx *store.Tx) error { on, err = pausedAll(tx); return err })
	return on, fault.Wrap("gateway.PausedAll", err)
}

func pausedAll(tx *store.Tx) (bool, error) {
	var v string
	err := tx.QueryRow(`SELECT value FROM gateway_setting WHERE key = 'paused'`).Scan(&v)
	if store.NotFound(err) {
		return false, nil
	}
	return v == "1", err
}
