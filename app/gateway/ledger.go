package gateway

import (
	"context"
	"strconv"

	"tresor/app/access"
	"tresor/app/audit"
	"tresor/app/fault"
	"tresor/app/store"
)

func (s *Service) write(tx *store.Tx, e Entry) error {
	_, err := tx.Exec(`INSERT INTO gateway_ledger (at, principal, project, direction, what, remote_id, task, sha256, bytes, count, outcome, code, text, correlation)
		VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`,
		store.Millis(tx.Now()), e.Principal, e.Project, e.Direction, e.What, cut(e.RemoteID, 200), e.Task, e.SHA256, e.Bytes, max(e.Count, 1), e.Outcome, e.Code, cut(e.Text, 500), e.Correlation)
	return fault.Wrap("gateway.ledger", err)
}

// event is the audit event of an accepted or refused change: ids and digests only.
func (e Entry) event(a access.Actor, via string) audit.Event {
	verb := "gateway." + e.Outcome
	kv := []string{"what", e.What, "count", strconv.FormatInt(max(e.Count, 1), 10)}
	for _, p := range [][2]string{{"principal", e.Principal}, {"request_sha256", e.SHA256}, {"code", e.Code}, {"correlation", e.Correlation}, {"release", e.release}} {
		if p[1] != "" {
			kv = append(kv, p[0], p[1])
		}
	}
	if e.RemoteID != "" {
		kv = append(kv, "remote_sha256", digest([]byte(e.RemoteID)))
	}
	subject := "gateway"
	if e.Task != "" {
		subject = "job:" + e.Task
	}
	a.Via = via
	return audit.By(a, verb, subject, e.Project, kv...)
}

// refused writes down a refusal: a line and an event of its own, or one more in
// the count of this minute.
func (s *Service) refused(ctx context.Context, e Entry, via string) {
	if !s.tally.single(e, s.Now()) {
		s.tally.add(e, nil)
		return
	}
	err := s.update(ctx, func(tx *store.Tx) error {
		if err := s.write(tx, e); err != nil {
			return err
		}
		_, err := s.Log.Append(tx, e.event(access.System, via))
		return err
	})
	if err != nil {
		s.Logger.Error("gateway: writing down a refusal", "correlation", e.Correlation, "err", err)
	}
}

// Ledger returns lines of a principal's ledger, newest first, older than line
// `before` (0: from the newest), at most limit (0: 100, never over 500). Operators
// and auditors read it, and leads the lines of their projects.
func (s *Service) Ledger(ctx context.Context, actor access.Actor, id string, before int64, limit int) ([]Entry, error) {
	const op = "gateway.Ledger"
	if before <= 0 {
		before = 1 << 62
	}
	if limit <= 0 {
		limit = 100
	}
	list := []Entry{}
	err := s.DB.View(ctx, func(tx *store.Tx) error {
		p, err := s.find(tx, id)
		if err != nil {
			return err
		}
		where, args := "principal = ? AND seq < ?", []any{p.ID, before}
		if !access.Can(actor, access.FederationLedger, access.Thing{}) {
			mine, some := "", false
			for project := range actor.Projects {
				if access.Can(actor, access.FederationLedger, access.Thing{Project: project}) {
					mine, some = mine+",?", true
					args = append(args, project)
				}
			}
			if _, sees := visibleTo(actor, p); !some || !sees {
				return fault.New(op, fault.NotFound, access.NotSeen)
			}
			where += " AND project IN (" + mine[1:] + ")"
		}
		list, err = entries(tx, where+" ORDER BY seq DESC LIMIT ?", append(args, min(limit, 500))...)
		return err
	})
	if err != nil {
		return nil, fault.Wrap(op, err)
	}
	return list, nil
}

func entries(tx *store.Tx, rest string, args ...any) ([]Entry, error) {
	rows, err := tx.Query(`SELECT seq, at, principal, project, direction, what, remote_id, task, sha256, bytes, count, outcome, code, text, correlation FROM gateway_ledger WHERE `+rest, args...)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	list := []Entry{}
	for rows.Next() {
		var e Entry
		var at int64
		if err := rows.Scan(&e.Seq, &at, &e.Principal, &e.Project, &e.Direction, &e.What, &e.RemoteID, &e.Task, &e.SHA256, &e.Bytes, &e.Count, &e.Outcome, &e.Code, &e.Text, &e.Correlation); err != nil {
			return nil, err
		}
		e.At = store.Time(at)
		list = append(list, e)
	}
	return list, rows.Err()
}
