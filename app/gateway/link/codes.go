package link

import (
	"context"
	"database/sql"
	"time"

	"tresor/app/store"
	"tresor/fed/trust"
	"tresor/fed/wire"
)

// Codes implements trust.Store.
func (p peers) Codes(ctx context.Context) (out []trust.Code, err error) {
	err = p.s.DB.View(ctx, func(tx *store.Tx) error {
		rows, err := tx.Query(`SELECT id, secret, url, name, made_at, expires_at, used_at, used_by FROM link_code`)
		if err != nil {
			return err
		}
		defer rows.Close()
		for rows.Next() {
			c, err := p.scanCode(rows)
			if err != nil {
				return err
			}
			out = append(out, c)
		}
		return rows.Err()
	})
	return out, err
}

func (p peers) scanCode(rows *sql.Rows) (c trust.Code, err error) {
	var sealed []byte
	var made, expires int64
	var used sql.NullInt64
	var usedBy string
	if err := rows.Scan(&c.ID, &sealed, &c.URL, &c.Name, &made, &expires, &used, &usedBy); err != nil {
		return c, err
	}
	c.Made, c.Expires, c.UsedBy = store.Time(made), store.Time(expires), wire.KeyID(usedBy)
	if used.Valid {
		c.Used = store.Time(used.Int64)
	}
	if len(sealed) > 0 {
		// A code that was sealed with a lost key is as good as expired.
		if secret, err := p.s.seal.Open("code/"+c.ID, sealed); err == nil && len(secret) == len(c.Secret) {
			copy(c.Secret[:], secret)
		} else {
			c.Expires = time.Unix(0, 0)
		}
	}
	return c, nil
}

// PutCode implements trust.Store.
func (p peers) PutCode(ctx context.Context, c trust.Code) error {
	return p.s.DB.Update(ctx, func(tx *store.Tx) error {
		if err := p.writeCode(tx, c); err != nil {
			return err
		}
		return p.note(tx, "hub.code-made", "enrolment:"+c.ID)
	})
}

// writeCode keeps a code; the secret of a used one is of no use here any more.
func (p peers) writeCode(tx *store.Tx, c trust.Code) error {
	secret, used := []byte{}, any(nil)
	if c.Used.IsZero() {
		secret = p.s.seal.Seal("code/"+c.ID, c.Secret[:])
	} else {
		used = store.Millis(c.Used)
	}
	_, err := tx.Exec(`INSERT INTO link_code (id, secret, url, name, made_at, expires_at, used_at, used_by) VALUES (?, ?, ?, ?, ?, ?, ?, ?)
		ON CONFLICT (id) DO UPDATE SET secret = excluded.secret, url = excluded.url, name = excluded.name, used_at = excluded.used_at, used_by = excluded.used_by`,
		c.ID, secret, c.URL, c.Name, store.Millis(c.Made), store.Millis(c.Expires), used, string(c.UsedBy))
	return err
}

// sweepCodes drops codes a week after their end.
func sweepCodes(ctx context.Context, db *store.DB) error {
	return db.Update(ctx, func(tx *store.Tx) error {
		_, err := tx.Exec(`DELETE FROM link_code WHERE expires_at < ?`, store.Millis(tx.Now().Add(-7*24*time.Hour)))
		return err
	})
}
