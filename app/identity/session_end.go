package identity

import (
	"context"
	"database/sql"

	"tresor/app/access"
	"tresor/app/audit"
	"tresor/app/fault"
	"tresor/app/store"
)

// Sessions lists a person's live sessions, newest use first. People see their
// own, operators everybody's. Errors: Denied.
func (s *Service) Sessions(ctx context.Context, actor access.Actor, person string) (all []Session, err error) {
	if err := mayTouch(actor, person); err != nil {
		return nil, err
	}
	err = s.DB.View(ctx, func(tx *store.Tx) error {
		p, err := Lookup(tx, person)
		if err != nil {
			return err
		}
		all, err = s.live(tx, p)
		return err
	})
	return all, fault.Wrap("identity.Sessions", err)
}

func (s *Service) live(tx *store.Tx, p Person) ([]Session, error) {
	rows, err := tx.Query(`SELECT `+sessionColumns+` FROM session WHERE person = ? AND ended_at IS NULL ORDER BY seen_at DESC`, p.ID)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	all := []Session{}
	for rows.Next() {
		x, err := scanSession(rows)
		if err != nil {
			return nil, err
		}
		s.limits(&x, p.Roles)
		if tx.Now().Before(x.ExpiresAt) {
			all = append(all, x)
		}
	}
	return all, rows.Err()
}

func mayTouch(actor access.Actor, person string) error {
	if actor.ID != "" && actor.ID == person {
		return access.May(actor, access.SessionEnd, access.Thing{})
	}
	return access.May(actor, access.PersonManage, access.Thing{Person: person})
}

// SignOut ends the session of a token. An unknown or ended one is no error.
func (s *Service) SignOut(ctx context.Context, token string) error {
	return s.DB.Update(ctx, func(tx *store.Tx) error {
		x, p, err := s.sessionOf(tx, token)
		if err != nil {
			return nil
		}
		actor := access.Actor{ID: p.ID, Handle: p.Handle, Name: p.Name, Session: x.ID, Via: "web"}
		return s.end(tx, actor, `id = ?`, "signed-out", x.ID)
	})
}

// EndSession ends one session: own ones, or anybody's as an operator. Errors:
// Denied, NotFound.
func (s *Service) EndSession(ctx context.Context, actor access.Actor, id string) error {
	return s.DB.Update(ctx, func(tx *store.Tx) error {
		var person string
		err := tx.QueryRow(`SELECT person FROM session WHERE id = ? AND ended_at IS NULL`, id).Scan(&person)
		if err != nil && !store.NotFound(err) {
			return fault.Wrap("identity.EndSession", err)
		}
		if denied := mayTouch(actor, person); denied != nil {
			return denied
		}
		if person == "" {
			return fault.New("identity.EndSession", fault.NotFound, "This session has ended already.")
		}
		return s.end(tx, actor, `id = ?`, "ended", id)
	})
}

// EndSessions ends all sessions of a person. Errors: Denied.
func (s *Service) EndSessions(ctx context.Context, actor access.Actor, person string) error {
	if err := mayTouch(actor, person); err != nil {
		return err
	}
	return s.DB.Update(ctx, func(tx *store.Tx) error { return s.endAll(tx, actor, person, "", "ended") })
}

// endAll ends a person's sessions but one.
func (s *Service) endAll(tx *store.Tx, actor access.Actor, person, keep, why string) error {
	return s.end(tx, actor, `person = ? AND id <> ?`, why, person, keep)
}

// end ends the live sessions that a condition names, with one event each.
func (s *Service) end(tx *store.Tx, actor access.Actor, condition, why string, args ...any) error {
	args = append([]any{store.Millis(tx.Now()), why}, args...)
	rows, err := tx.Query(`UPDATE session SET ended_at = ?, ended_why = ? WHERE ended_at IS NULL AND `+condition+` RETURNING id`, args...)
	if err != nil {
		return fault.Wrap("identity.end", err)
	}
	ids, err := texts(rows)
	if err != nil {
		return fault.Wrap("identity.end", err)
	}
	for _, id := range ids {
		if _, err := s.Log.Append(tx, audit.By(actor, "session.ended", "session:"+id, "", "reason", why)); err != nil {
			return err
		}
	}
	if len(ids) > 0 {
		tx.AfterCommit(func() { s.Ended(ids) })
	}
	return nil
}

func texts(rows *sql.Rows) ([]string, error) {
	defer rows.Close()
	var out []string
	for rows.Next() {
		var s string
		if err := rows.Scan(&s); err != nil {
			return nil, err
		}
		out = append(out, s)
	}
	return out, rows.Err()
}
