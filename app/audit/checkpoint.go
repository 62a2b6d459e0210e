package audit

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"

	"tresor/app/fault"
	"tresor/app/store"
)

// Checkpoint is the signed state of the log at one size.
type Checkpoint struct {
	Size int64     `json:"size"`
	Root tlog.Hash `json:"root"`
	Note []byte    `json:"note"` // C2SP tlog-checkpoint, signed
}

// RootText is the root in standard base64.
func (c Checkpoint) RootText() string { return base64.StdEncoding.EncodeToString(c.Root[:]) }

// Checkpoint signs the log's present state and keeps it. Where the newest
// checkpoint covers every event already, it is returned as it is.
func (l *Log) Checkpoint(ctx context.Context) (Checkpoint, error) {
	const op = "audit.Checkpoint"
	var c Checkpoint
	err := l.db.View(ctx, func(tx *store.Tx) (err error) { c, err = l.newest(tx); return err })
	if err == nil {
		var n int64
		err = l.db.View(ctx, func(tx *store.Tx) (err error) { n, err = size(tx); return err })
		if err == nil && n == c.Size {
			return c, fault.Wrap(op, l.keepHead(c)) // an earlier try may have failed here
		}
	}
	if err != nil && fault.KindOf(err) != fault.NotFound {
		return c, fault.Wrap(op, err)
	}
	if err := l.db.Update(ctx, func(tx *store.Tx) (err error) { c, err = l.sign(tx); return err }); err != nil {
		return c, fault.Wrap(op, err)
	}
	return c, fault.Wrap(op, l.keepHead(c))
}

// sign makes and keeps the checkpoint of the transaction's state.
func (l *Log) sign(tx *store.Tx) (Checkpoint, error) {
	n, err := size(tx)
	if err != nil {
		return Checkpoint{}, err
	}
	root, err := tlog.TreeHash(n, stored{tx})
	if err != nil {
		return Checkpoint{}, err
	}
	c := Checkpoint{Size: n, Root: root}
	if c.Note, err = note.Sign(&note.Note{Text: body(l.origin, n, root)}, l.signer); err != nil {
		return Checkpoint{}, err
	}
	_, err = tx.Exec(`INSERT INTO audit_checkpoint (size, note) VALUES (?, ?) ON CONFLICT (size) DO NOTHING`, n, string(c.Note))
	return c, err
}

// newest returns the newest kept checkpoint; fault.NotFound when there is none.
func (l *Log) newest(tx *store.Tx) (Checkpoint, error) {
	var text string
	err := tx.QueryRow(`SELECT note FROM audit_checkpoint ORDER BY size DESC LIMIT 1`).Scan(&text)
	if store.NotFound(err) {
		return Checkpoint{}, fault.New("audit.newest", fault.NotFound, "The audit log has no checkpoint yet.")
	}
	if err != nil {
		return Checkpoint{}, err
	}
	return parse([]byte(text), l.verifier)
}

func body(origin string, n int64, root tlog.Hash) string {
	return fmt.Sprintf("%s\n%d\n%s\n", origin, n, base64.StdEncoding.EncodeToString(root[:]))
}

// parse reads a checkpoint and verifies its signature with key.
func parse(text []byte, key string) (Checkpoint, error) {
	v, err := note.NewVerifier(key)
	if err != nil {
		return Checkpoint{}, fmt.Errorf("the verifier key %q is not a key", short(key))
	}
	n, err := note.Open(text, note.VerifierList(v))
	if err != nil {
		return Checkpoint{}, fmt.Errorf("the checkpoint is not signed by %s", short(key))
	}
	if string(text) != signed(n) {
		return Checkpoint{}, errors.New("the checkpoint has something beside its one signature")
	}
	lines := strings.Split(n.Text, "\n")
	if len(lines) < 4 || lines[0] != v.Name() {
		return Checkpoint{}, errors.New("the checkpoint is of another log")
	}
	size, err := strconv.ParseInt(lines[1], 10, 64)
	if err != nil || size < 0 || strconv.FormatInt(size, 10) != lines[1] {
		return Checkpoint{}, errors.New("the checkpoint's size is not a number")
	}
	raw, err := base64.StdEncoding.DecodeString(lines[2])
	if err != nil || len(raw) != tlog.HashSize {
		return Checkpoint{}, errors.New("the checkpoint's root is not a hash")
	}
	return Checkpoint{Size: size, Root: tlog.Hash(raw), Note: text}, nil
}

// signed writes an opened note anew with its one known signature. It differs
// from what was opened where that holds more signatures, or has its base64 in a
// second spelling: the unused bits of the last character.
func signed(n *note.Note) string {
	s := n.Sigs[0]
	raw, err := base64.StdEncoding.DecodeString(s.Base64)
	if err != nil {
		return ""
	}
	return fmt.Sprintf("%s\n\u2014 %s %s\n", n.Text, s.Name, base64.StdEncoding.EncodeToString(raw))
}
