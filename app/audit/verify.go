package audit

import (
	"context"
	"database/sql"
	"encoding/base64"
	"errors"
	"sort"

	"golang.org/x/mod/sumdb/tlog"

	"tresor/app/fault"
	"tresor/app/store"
)

// Report is what a verification found when nothing was wrong.
type Report struct {
	Events      int64  `json:"events"`
	Root        string `json:"root"`        // of all events, standard base64
	Checkpoints int    `json:"checkpoints"` // how many signed states were compared
	Signed      int64  `json:"signed"`      // events that the newest of them covers
	Key         string `json:"key"`         // verifier key's name and id
	KeyPinned   bool   `json:"key_pinned"`  // the key came from outside the log
}

// tampered words a mismatch for people; the number is the first wrong event.
func tampered(format string, args ...any) error {
	return fault.New("audit.Verify", fault.Conflict, format, args...)
}

// VerifyDB recomputes the log of a database, live or copied, and compares every
// hash and every signed checkpoint. It opens the file for reading only. key is
// the verifier key; without it the one that the log itself names is used, which
// finds accidents but not a thief who signs anew. A mismatch is fault.Conflict
// and names the first wrong event. known are checkpoints that were kept outside
// the database, such as Head's: they alone show that a whole older database was
// put back.
func VerifyDB(ctx context.Context, path, key string, known ...[]byte) (Report, error) {
	db, err := store.OpenShared(path)
	if err != nil {
		return Report{}, fault.Wrap("audit.VerifyDB", err)
	}
	defer db.Close()
	tx, err := db.BeginTx(ctx, &sql.TxOptions{ReadOnly: true}) // one state, also of a live database
	if err != nil {
		return Report{}, unreadable(err)
	}
	defer func() { _ = tx.Rollback() }()
	if err := integrity(ctx, tx); err != nil {
		return Report{}, err
	}
	r, err := (&verifier{tx: tx, ctx: ctx, key: key}).run(known)
	var worded *fault.Error
	if err != nil && !errors.As(err, &worded) {
		err = unreadable(err)
	}
	return r, err
}

func unreadable(err error) error {
	return fault.Kinded("audit.VerifyDB", fault.Conflict, err, "The database cannot be read as one that holds an audit log: %v.", err)
}

func integrity(ctx context.Context, tx *sql.Tx) error {
	var word string
	if err := tx.QueryRowContext(ctx, `PRAGMA integrity_check(1)`).Scan(&word); err != nil {
		return unreadable(err)
	}
	if word != "ok" {
		return tampered("The database file is damaged: %s.", word)
	}
	return nil
}

type verifier struct {
	tx    *sql.Tx
	ctx   context.Context
	key   string
	tree  frontier
	notes []Checkpoint     // to be met, by size
	asked map[int64]string // event -> hash of the reason that it names
	rep   Report
}

func (v *verifier) run(known [][]byte) (Report, error) {
	v.rep.KeyPinned = v.key != ""
	if err := v.findKey(); err != nil {
		return v.rep, err
	}
	if err := v.loadCheckpoints(); err != nil {
		return v.rep, err
	}
	if err := v.admit(known); err != nil {
		return v.rep, err
	}
	v.asked = map[int64]string{}
	if err := v.walk(); err != nil {
		return v.rep, err
	}
	if err := v.reasons(); err != nil {
		return v.rep, err
	}
	if len(v.notes) > 0 {
		return v.rep, tampered("Event %d is missing: the log has %d events, yet a signed checkpoint covers %d. Events were cut off, or an older database was put back.", v.tree.n, v.tree.n, v.notes[0].Size)
	}
	root := v.tree.root()
	v.rep.Events, v.rep.Root, v.rep.Key = v.tree.n, base64.StdEncoding.EncodeToString(root[:]), short(v.key)
	return v.rep, nil
}

// findKey takes the key that the log names in its newest opening, unless one was given.
func (v *verifier) findKey() error {
	if v.key != "" {
		return nil
	}
	err := v.tx.QueryRowContext(v.ctx, `SELECT leaf ->> '$.detail.key' FROM audit_leaf WHERE verb = ? ORDER BY seq LIMIT 1`, opened).Scan(&v.key)
	if errors.Is(err, sql.ErrNoRows) {
		return tampered("The log does not name its key: event 0 is missing.")
	}
	return err
}

func (v *verifier) loadCheckpoints() error {
	rows, err := v.tx.QueryContext(v.ctx, `SELECT size, note FROM audit_checkpoint ORDER BY size`)
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		var n int64
		var text string
		if err := rows.Scan(&n, &text); err != nil {
			return err
		}
		c, err := parse([]byte(text), v.key)
		if err != nil {
			return tampered("The checkpoint of %d events does not verify: %v.", n, err)
		}
		if c.Size != n {
			return tampered("The checkpoint kept for %d events is one of %d.", n, c.Size)
		}
		v.notes = append(v.notes, c)
		v.rep.Checkpoints, v.rep.Signed = v.rep.Checkpoints+1, n
	}
	return rows.Err()
}

// admit adds the checkpoints that were kept outside, in the order of size.
func (v *verifier) admit(known [][]byte) error {
	for _, text := range known {
		c, err := parse(text, v.key)
		if err != nil {
			return tampered("A checkpoint that was kept outside the database does not verify: %v.", err)
		}
		v.notes = append(v.notes, c)
	}
	sort.SliceStable(v.notes, func(i, j int) bool { return v.notes[i].Size < v.notes[j].Size })
	return nil
}

// walk goes through leaves and stored hashes side by side.
func (v *verifier) walk() error {
	leaves, err := v.tx.QueryContext(v.ctx, `SELECT seq, leaf FROM audit_leaf ORDER BY seq`)
	if err != nil {
		return err
	}
	defer leaves.Close()
	hashes, err := v.tx.QueryContext(v.ctx, `SELECT idx, hash FROM audit_hash ORDER BY idx`)
	if err != nil {
		return err
	}
	defer hashes.Close()
	if err := v.meet(); err != nil {
		return err
	}
	var next int64
	for leaves.Next() {
		var seq int64
		var leaf string
		if err := leaves.Scan(&seq, &leaf); err != nil {
			return err
		}
		if err := v.leaf(seq, []byte(leaf)); err != nil {
			return err
		}
		for _, want := range v.tree.add([]byte(leaf)) {
			if err := sameHash(hashes, next, want, seq); err != nil {
				return err
			}
			next++
		}
		if err := v.meet(); err != nil {
			return err
		}
	}
	if err := leaves.Err(); err != nil {
		return err
	}
	if hashes.Next() {
		return tampered("Event %d was removed: its hash is still there.", v.tree.n)
	}
	return hashes.Err()
}

func (v *verifier) leaf(seq int64, leaf []byte) error {
	if seq != v.tree.n {
		return tampered("Event %d is missing.", v.tree.n)
	}
	e, err := decode(leaf)
	if err != nil {
		return tampered("Event %d was changed: it is %v.", seq, err)
	}
	if e.Seq != seq {
		return tampered("Event %d was changed: it calls itself %d.", seq, e.Seq)
	}
	if hash := e.Detail[reasonHash]; hash != "" {
		v.asked[seq] = hash
	}
	return nil
}

func sameHash(rows *sql.Rows, idx int64, want tlog.Hash, seq int64) error {
	if !rows.Next() {
		if err := rows.Err(); err != nil {
			return err
		}
		return tampered("The hash of event %d is missing.", seq)
	}
	var at int64
	var got []byte
	if err := rows.Scan(&at, &got); err != nil {
		return err
	}
	if at != idx || string(got) != string(want[:]) {
		return tampered("Event %d does not match its hash: the event or the hash was changed.", seq)
	}
	return nil
}

// meet compares the checkpoints of the size that the tree has now.
func (v *verifier) meet() error {
	for len(v.notes) > 0 && v.notes[0].Size == v.tree.n {
		if v.notes[0].Root != v.tree.root() {
			return tampered("The first %d events are not the ones that were signed.", v.tree.n)
		}
		v.notes = v.notes[1:]
	}
	return nil
}
