package audit

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"time"
	"unicode"
	"unicode/utf8"
)

// The vocabulary's shapes.
var (
	verbShape    = regexp.MustCompile(`^[a-z][a-z0-9-]{0,31}\.[a-z][a-z-]{0,31}$`)
	subjectShape = regexp.MustCompile(`^[a-z][a-z-]{0,31}(:[A-Za-z0-9][A-Za-z0-9:._-]{0,127})?$`)
	keyShape     = regexp.MustCompile(`^[a-z][a-z0-9_-]{0,31}$`)
)

const (
	maxValue   = 512      // bytes of one detail value
	maxDetails = 32       // pairs
	maxLeaf    = 64 << 10 // bytes of a leaf, when reading from outside
	timeFormat = "2006-01-02T15:04:05.000Z"
)

// encode writes the event as canonical JSON (RFC 8785): sorted keys, no spaces,
// and only values whose canonical form is what encoding/json writes.
func encode(e Event) ([]byte, error) {
	if err := e.check(); err != nil {
		return nil, err
	}
	m := map[string]any{"seq": e.Seq, "at": e.At.UTC().Format(timeFormat), "actor": e.Actor, "actor_name": e.ActorName, "via": e.Via, "verb": e.Verb, "subject": e.Subject}
	if e.Session != "" {
		m["session"] = e.Session
	}
	if e.Project != "" {
		m["project"] = e.Project
	}
	if len(e.Detail) > 0 {
		m["detail"] = e.Detail
	}
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(m); err != nil {
		return nil, err
	}
	return bytes.TrimRight(b.Bytes(), "\n"), nil
}

// decode reads a leaf and refuses every text that encode would not have written.
func decode(leaf []byte) (Event, error) {
	var e Event
	if len(leaf) > maxLeaf {
		return e, errors.New("too long for an event")
	}
	dec := json.NewDecoder(bytes.NewReader(leaf))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&e); err != nil {
		return e, errors.New("not an event")
	}
	again, err := encode(e)
	if err != nil {
		return e, err
	}
	if !bytes.Equal(again, leaf) {
		return e, errors.New("not in canonical form")
	}
	return e, nil
}

func (e Event) check() error {
	switch {
	case !verbShape.MatchString(e.Verb):
		return fmt.Errorf("verb %q", e.Verb)
	case !subjectShape.MatchString(e.Subject):
		return fmt.Errorf("subject %q", e.Subject)
	case len(e.Detail) > maxDetails:
		return fmt.Errorf("%d details", len(e.Detail))
	case e.At.IsZero() || e.At.Year() > 9999 || !e.At.Equal(e.At.Truncate(time.Millisecond)):
		return fmt.Errorf("time %v", e.At)
	}
	for _, v := range []string{e.Actor, e.ActorName, e.Via, e.Session, e.Project} {
		if !plain(v) {
			return fmt.Errorf("value %q", v)
		}
	}
	for k, v := range e.Detail {
		if !keyShape.MatchString(k) || !plain(v) {
			return fmt.Errorf("detail %q = %q", k, v)
		}
	}
	return nil
}

// plain reports whether s may stand in an event: short, valid, printable.
func plain(s string) bool {
	if len(s) > maxValue || !utf8.ValidString(s) {
		return false
	}
	for _, r := range s {
		if !unicode.IsPrint(r) {
			return false
		}
	}
	return true
}
