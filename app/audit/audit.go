// Package audit is the appliance's memory of who did what.
//
// It owns an append-only Merkle log (RFC 6962 hashes, golang.org/x/mod/sumdb/tlog)
// in the appliance's own database. A caller appends inside its own transaction,
// so a change and its event are there together or not at all. Signed checkpoints
// (C2SP tlog-checkpoint) make a changed, removed or reordered event visible to
// anyone who holds the verifier key, without this program's help; what was
// appended after the newest checkpoint that somebody kept elsewhere is the one
// thing that a thief of the whole machine could cut off unseen.
//
// Events hold a fixed vocabulary - verbs, ids, digests, numbers - and never free
// text, data values or secrets. The reason that a person gives for ending somebody's
// access is kept beside the log, and its event holds the hash. Nothing here changes or
// removes an event or a reason, and the database's triggers refuse it too.
package audit

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"

	"tresor/app/access"
	"tresor/app/fault"
	"tresor/app/store"
)

// Event is one thing that happened.
type Event struct {
	Seq       int64             `json:"seq"` // from 0, without gaps
	At        time.Time         `json:"at"`  // the transaction's moment, UTC, milliseconds
	Actor     string            `json:"actor"`
	ActorName string            `json:"actor_name"` // sign-in name
	Via       string            `json:"via"`        // door: web, local, system
	Session   string            `json:"session,omitempty"`
	Verb      string            `json:"verb"`    // noun.participle
	Subject   string            `json:"subject"` // kind:id
	Project   string            `json:"project,omitempty"`
	Detail    map[string]string `json:"detail,omitempty"`
	Reason    string            `json:"reason,omitempty"` // in a person's words; beside the leaf, see Because
}

// By makes an event of actor a; kv are pairs for Detail.
func By(a access.Actor, verb, subject, project string, kv ...string) Event {
	e := Event{Actor: a.ID, ActorName: a.Handle, Via: a.Via, Session: a.Session, Verb: verb, Subject: subject, Project: project}
	for i := 0; i+1 < len(kv); i += 2 {
		if e.Detail == nil {
			e.Detail = make(map[string]string, len(kv)/2)
		}
		e.Detail[kv[i]] = kv[i+1]
	}
	return e
}

// Log is the log of one database. Its methods may be used from any goroutine.
type Log struct {
	db       *store.DB
	signer   note.Signer
	origin   string
	verifier string // the verifier key's text
	keys     string // folder of the key files

	mu   sync.Mutex
	head int64 // size of the checkpoint in the head file; guarded by mu
}

// Open opens the log. At the first start it makes the signing key (keyFile, mode
// 0600), puts the verifier key beside it (audit.pub) and appends event 0, which
// names the key. origin names the log in its checkpoints and never changes
// afterwards: the key carries it.
func Open(ctx context.Context, db *store.DB, keyFile, origin string) (*Log, error) {
	const op = "audit.Open"
	if err := keyGone(ctx, db, keyFile); err != nil {
		return nil, fault.Wrap(op, err)
	}
	signer, verifier, err := loadKey(keyFile, origin)
	if err != nil {
		return nil, fault.Wrap(op, err)
	}
	l := &Log{db: db, signer: signer, origin: signer.Name(), verifier: verifier, keys: filepath.Dir(keyFile)}
	if err := l.begin(ctx); err != nil {
		return nil, fault.Wrap(op, err)
	}
	if err := l.compareHead(ctx); err != nil {
		return nil, fault.Wrap(op, err)
	}
	return l, nil
}

// VerifierKey is the public key that checkpoints are verified with, as text.
func (l *Log) VerifierKey() string { return l.verifier }

const opened = "log.opened"

// keyGone refuses to make a new key for a log that was signed with another:
// nobody could verify its checkpoints together any more.
func keyGone(ctx context.Context, db *store.DB, keyFile string) error {
	if _, err := os.Stat(keyFile); !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return db.View(ctx, func(tx *store.Tx) error {
		n, err := size(tx)
		if err != nil || n == 0 {
			return err
		}
		return fault.WithNext(
			fault.New("audit.Open", fault.Conflict, "The audit log has %d events, but its signing key %s is missing.", n, filepath.Base(keyFile)),
			"Restore the keys folder from the same backup as the database.")
	})
}

// begin appends the event that names the key, once. A log that names another
// key does not belong to this keys folder.
func (l *Log) begin(ctx context.Context) error {
	return l.db.Update(ctx, func(tx *store.Tx) error {
		var last string
		err := tx.QueryRow(`SELECT leaf ->> '$.detail.key' FROM audit_leaf WHERE verb = ? ORDER BY seq DESC LIMIT 1`, opened).Scan(&last)
		if err == nil && last == l.verifier {
			return nil
		}
		if err == nil {
			return fault.WithNext(
				fault.New("audit.Open", fault.Conflict, "The audit log is signed with the key %s, but the keys folder holds %s.", short(last), short(l.verifier)),
				"Restore the keys folder from the same backup as the database.")
		}
		if !store.NotFound(err) {
			return err
		}
		_, err = l.Append(tx, By(access.System, opened, "log", "", "key", l.verifier))
		return err
	})
}

// Append adds e to the log in the caller's transaction and returns its number.
// Seq and At are set here. An event outside the vocabulary is fault.Internal:
// the caller has a defect, and its transaction fails.
func (l *Log) Append(tx *store.Tx, e Event) (int64, error) {
	const op = "audit.Append"
	n, err := size(tx)
	if err != nil {
		return 0, fault.Wrap(op, err)
	}
	e.Seq, e.At = n, tx.Now()
	leaf, err := encode(e.named())
	if err != nil {
		return 0, fault.Kinded(op, fault.Internal, err, "The change was not made, because its entry in the audit log is malformed.")
	}
	hashes, err := tlog.StoredHashes(n, leaf, stored{tx})
	if err != nil {
		return 0, fault.Wrap(op, err)
	}
	if _, err := tx.Exec(`INSERT INTO audit_leaf (seq, leaf) VALUES (?, ?)`, n, string(leaf)); err != nil {
		return 0, fault.Wrap(op, err)
	}
	if err := keepReason(tx, e); err != nil {
		return 0, fault.Wrap(op, err)
	}
	at := tlog.StoredHashIndex(0, n)
	for i := range hashes {
		if _, err := tx.Exec(`INSERT INTO audit_hash (idx, hash) VALUES (?, ?)`, at+int64(i), hashes[i][:]); err != nil {
			return 0, fault.Wrap(op, err)
		}
	}
	return n, nil
}

// size is the number of events.
func size(tx *store.Tx) (n int64, err error) {
	err = tx.QueryRow(`SELECT COALESCE(MAX(seq) + 1, 0) FROM audit_leaf`).Scan(&n)
	return n, err
}

// stored reads subtree hashes within a transaction.
type stored struct{ tx *store.Tx }

// ReadHashes implements tlog.HashReader.
func (s stored) ReadHashes(indexes []int64) ([]tlog.Hash, error) {
	out := make([]tlog.Hash, len(indexes))
	for i, idx := range indexes {
		var b []byte
		if err := s.tx.QueryRow(`SELECT hash FROM audit_hash WHERE idx = ?`, idx).Scan(&b); err != nil {
			return nil, err
		}
		copy(out[i][:], b)
	}
	return out, nil
}

// short cuts a verifier key to its name and id, for messages.
func short(key string) string {
	if i := strings.LastIndexByte(key, '+'); i > 0 {
		return key[:i]
	}
	return key
}
