package audit

import (
	"crypto/sha256"
	"encoding/hex"
	"maps"
	"strings"
	"unicode"
	"unicode/utf8"

	"tresor/app/fault"
	"tresor/app/store"
)

const (
	maxReason  = 2000          // characters
	reasonHash = "reason_hash" // the detail that names the text: SHA-256, hex
)

// Reason checks what a person wrote as the reason for ending somebody's access and
// returns it in one line. Errors: Invalid for none, for one that is too long and for
// characters that cannot be seen.
func Reason(op, text string) (string, error) {
	text = strings.Join(strings.Fields(text), " ")
	switch {
	case text == "":
		return "", fault.New(op, fault.Invalid, "The reason is missing. Say why, for those who ask later.")
	case utf8.RuneCountInString(text) > maxReason:
		return "", fault.New(op, fault.Invalid, "The reason is longer than %d characters. Shorten it.", maxReason)
	case !utf8.ValidString(text) || strings.ContainsFunc(text, unseen):
		return "", fault.New(op, fault.Invalid, "The reason holds control or invisible characters. Remove them.")
	}
	return text, nil
}

func unseen(r rune) bool { return !unicode.IsPrint(r) }

// OptionalReason is Reason where none need be given.
func OptionalReason(op, text string) (string, error) {
	if strings.TrimSpace(text) == "" {
		return "", nil
	}
	return Reason(op, text)
}

// Because gives the event its reason, as Reason returned it; "" gives none. Append
// keeps the text beside the log, and the event names its hash.
func (e Event) Because(reason string) Event {
	e.Reason = reason
	return e
}

// named is the event with the hash of its reason among its details.
func (e Event) named() Event {
	if e.Reason == "" {
		return e
	}
	d := maps.Clone(e.Detail)
	if d == nil {
		d = map[string]string{}
	}
	d[reasonHash] = hashOf(e.Reason)
	e.Detail = d
	return e
}

func hashOf(text string) string {
	sum := sha256.Sum256([]byte(text))
	return hex.EncodeToString(sum[:])
}

func keepReason(tx *store.Tx, e Event) error {
	if e.Reason == "" {
		return nil
	}
	_, err := tx.Exec(`INSERT INTO audit_reason (seq, text) VALUES (?, ?)`, e.Seq, e.Reason)
	return err
}

// giveReasons puts the texts to the events that name one.
func giveReasons(tx *store.Tx, list []Event) error {
	for i := range list {
		if list[i].Detail[reasonHash] == "" {
			continue
		}
		err := tx.QueryRow(`SELECT text FROM audit_reason WHERE seq = ?`, list[i].Seq).Scan(&list[i].Reason)
		if err != nil && !store.NotFound(err) {
			return err
		}
	}
	return nil
}

// reasons compares the texts that are kept with the hashes in the log. A copy from
// before there were any has no table, and no event that asks for one.
func (v *verifier) reasons() error {
	if len(v.asked) == 0 {
		return nil
	}
	rows, err := v.tx.QueryContext(v.ctx, `SELECT seq, text FROM audit_reason ORDER BY seq`)
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		var seq int64
		var text string
		if err := rows.Scan(&seq, &text); err != nil {
			return err
		}
		if v.asked[seq] != hashOf(text) {
			return tampered("The reason of event %d was changed.", seq)
		}
		delete(v.asked, seq)
	}
	if err := rows.Err(); err != nil {
		return err
	}
	for seq := range v.asked {
		return tampered("The reason of event %d is missing.", seq)
	}
	return nil
}
