package audit

import (
	"encoding/base64"
	"errors"
	"fmt"
	"math"
	"strings"
	"time"

	"golang.org/x/mod/sumdb/tlog"

	"tresor/app/fault"
	"tresor/app/store"
)

// Filter chooses events; empty fields choose all.
type Filter struct {
	Subject string
	Project string
	Actor   string    // person id
	Verb    string    // whole verb, or "noun." for all of a noun
	Since   time.Time // only events of this moment and later; zero: from the first
	Until   time.Time // only events before this moment; zero: to the newest
	Before  int64     // only events with a smaller number; 0: from the newest
	Limit   int       // at most this many; 0: 50, never over 1000
}

// List returns the chosen events with their reasons, newest first.
func (l *Log) List(tx *store.Tx, f Filter) ([]Event, error) {
	first, end, err := within(tx, f.Since, f.Until)
	if err != nil {
		return nil, err
	}
	if f.Before > 0 {
		end = min(end, f.Before)
	}
	where, args := []string{"1=1"}, []any{}
	add := func(cond string, v any, on bool) {
		if on {
			where, args = append(where, cond), append(args, v)
		}
	}
	add("subject = ?", f.Subject, f.Subject != "")
	add("project = ?", f.Project, f.Project != "")
	add("actor = ?", f.Actor, f.Actor != "")
	add("seq >= ?", first, first > 0)
	add("seq < ?", end, end < math.MaxInt64)
	if noun, ok := strings.CutSuffix(f.Verb, "."); ok {
		named := verbShape.MatchString(noun + ".x")
		add("verb >= ?", noun+".", named)
		add("verb < ?", noun+"/", named) // "/" is the character after "."
	} else {
		add("verb = ?", f.Verb, f.Verb != "")
	}
	limit := min(f.Limit, 1000)
	if limit <= 0 {
		limit = 50
	}
	list, err := events(tx, fmt.Sprintf(`SELECT seq, leaf FROM audit_leaf WHERE %s ORDER BY seq DESC LIMIT %d`, strings.Join(where, " AND "), limit), args...)
	if err == nil {
		err = giveReasons(tx, list)
	}
	return list, fault.Wrap("audit.List", err)
}

// within turns moments into the numbers of the first event that is in and of the first
// that is out again: events are in the order of time, so a number is found in a few
// steps, whatever else is asked for. Where a clock was set back, the events that were
// written meanwhile stand where the log has them.
func within(tx *store.Tx, since, until time.Time) (first, end int64, err error) {
	end = math.MaxInt64
	if !since.IsZero() {
		if first, err = firstAt(tx, since); err != nil {
			return 0, 0, err
		}
	}
	if !until.IsZero() {
		end, err = firstAt(tx, until)
	}
	return first, end, err
}

// firstAt is the number of the first event of the moment or later; one past the newest
// when there is none.
func firstAt(tx *store.Tx, moment time.Time) (int64, error) {
	var low, high int64
	if err := tx.QueryRow(`SELECT COALESCE(MAX(seq), -1) + 1 FROM audit_leaf`).Scan(&high); err != nil {
		return 0, fault.Wrap("audit.first", err)
	}
	for low < high {
		mid := low + (high-low)/2
		at, err := events(tx, `SELECT seq, leaf FROM audit_leaf WHERE seq = ?`, mid)
		if err != nil {
			return 0, err
		}
		if len(at) == 0 {
			return 0, damaged("audit.first", mid, errors.New("missing"))
		}
		if at[0].At.Before(moment) {
			low = mid + 1
		} else {
			high = mid
		}
	}
	return low, nil
}

// Timeline returns every event of one subject, oldest first.
func (l *Log) Timeline(tx *store.Tx, subject string) ([]Event, error) {
	return events(tx, `SELECT seq, leaf FROM audit_leaf WHERE subject = ? ORDER BY seq`, subject)
}

func events(tx *store.Tx, query string, args ...any) ([]Event, error) {
	rows, err := tx.Query(query, args...)
	if err != nil {
		return nil, fault.Wrap("audit.events", err)
	}
	defer rows.Close()
	out := []Event{}
	for rows.Next() {
		var seq int64
		var leaf string
		if err := rows.Scan(&seq, &leaf); err != nil {
			return nil, fault.Wrap("audit.events", err)
		}
		e, err := decode([]byte(leaf))
		if err != nil {
			return nil, damaged("audit.events", seq, err)
		}
		out = append(out, e)
	}
	return out, fault.Wrap("audit.events", rows.Err())
}

func damaged(op string, seq int64, err error) error {
	return fault.WithNext(fault.Kinded(op, fault.Internal, err, "Event %d of the audit log is damaged.", seq), "Run `tresor audit verify` and restore the database from a backup.")
}

// InclusionProof proves, without the database, that an event is in a log whose
// signed checkpoint one holds.
type InclusionProof struct {
	Seq        int64    `json:"seq"`
	Leaf       string   `json:"leaf"`       // the event's canonical JSON
	Hashes     []string `json:"hashes"`     // RFC 6962 audit path, base64
	Checkpoint string   `json:"checkpoint"` // signed note
}

// Proof proves event seq against the newest checkpoint. An event that no
// checkpoint covers yet is fault.Unavailable: call Checkpoint first.
func (l *Log) Proof(tx *store.Tx, seq int64) (InclusionProof, error) {
	const op = "audit.Proof"
	p := InclusionProof{Seq: seq, Hashes: []string{}}
	err := tx.QueryRow(`SELECT leaf FROM audit_leaf WHERE seq = ?`, seq).Scan(&p.Leaf)
	if store.NotFound(err) {
		return p, fault.New(op, fault.NotFound, "There is no event %d.", seq)
	}
	if err != nil {
		return p, fault.Wrap(op, err)
	}
	c, err := l.newest(tx)
	if err != nil && fault.KindOf(err) != fault.NotFound {
		return p, fault.Wrap(op, err)
	}
	if seq >= c.Size {
		return p, fault.New(op, fault.Unavailable, "Event %d is not covered by a signed checkpoint yet. Try again in a minute.", seq)
	}
	proof, err := tlog.ProveRecord(c.Size, seq, stored{tx})
	if err != nil {
		return p, fault.Wrap(op, err)
	}
	for _, h := range proof {
		p.Hashes = append(p.Hashes, base64.StdEncoding.EncodeToString(h[:]))
	}
	p.Checkpoint = string(c.Note)
	return p, nil
}

// Consistency proves that the log of size newSize contains the one of oldSize.
func (l *Log) Consistency(tx *store.Tx, oldSize, newSize int64) ([]string, error) {
	n, err := size(tx)
	if err != nil {
		return nil, fault.Wrap("audit.Consistency", err)
	}
	if oldSize < 1 || newSize < oldSize || newSize > n {
		return nil, fault.New("audit.Consistency", fault.Invalid, "The log has %d events; ask for two sizes in order within it.", n)
	}
	proof, err := tlog.ProveTree(newSize, oldSize, stored{tx})
	if err != nil {
		return nil, fault.Wrap("audit.Consistency", err)
	}
	out := []string{}
	for _, h := range proof {
		out = append(out, base64.StdEncoding.EncodeToString(h[:]))
	}
	return out, nil
}

// Verify checks the proof with the verifier key alone and returns the event and
// the checkpoint it is proved against. An empty key checks the arithmetic with
// the signature left aside, and says so by returning signed false.
func (p InclusionProof) Verify(key string) (e Event, c Checkpoint, signed bool, err error) {
	if e, err = decode([]byte(p.Leaf)); err != nil {
		return e, c, false, fmt.Errorf("the proof's event is %w", err)
	}
	if e.Seq != p.Seq {
		return e, c, false, errors.New("the proof is of another event")
	}
	if key != "" {
		c, err = parse([]byte(p.Checkpoint), key)
	} else {
		c, err = parseUnsigned(p.Checkpoint)
	}
	if err != nil {
		return e, c, false, err
	}
	path := make(tlog.RecordProof, 0, len(p.Hashes))
	for _, s := range p.Hashes {
		raw, err := base64.StdEncoding.DecodeString(s)
		if err != nil || len(raw) != tlog.HashSize {
			return e, c, false, errors.New("the proof's path holds something that is not a hash")
		}
		path = append(path, tlog.Hash(raw))
	}
	if p.Seq < 0 || p.Seq >= c.Size || tlog.CheckRecord(path, c.Size, c.Root, p.Seq, tlog.RecordHash([]byte(p.Leaf))) != nil {
		return e, c, false, errors.New("the event is not in the log that the checkpoint signs")
	}
	return e, c, key != "", nil
}
