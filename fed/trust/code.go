package trust

import (
	"context"
	"crypto/rand"
	"encoding/base32"
	"strings"
	"time"

	"tresor/fed/wire"
)

// CodeLife is how long an enrolment code works.
const CodeLife = 24 * time.Hour

// Code is an enrolment code that this end made or that was typed here. It works
// the same way whichever end made it: a hub waits for the node that has it, a
// node dials URL with it.
type Code struct {
	ID      string      `json:"id"`
	Secret  wire.Secret `json:"secret"`
	URL     string      `json:"url,omitempty"`  // at a node: the hub to dial
	Name    string      `json:"name,omitempty"` // at a hub: what to call the node; empty: its own name
	Made    time.Time   `json:"made"`
	Expires time.Time   `json:"expires"`
	Used    time.Time   `json:"used,omitzero"`
	UsedBy  wire.KeyID  `json:"used_by,omitempty"` // key that it pinned
}

// codeText is Crockford's base 32: no I, L, O or U to misread.
var codeText = base32.NewEncoding("0123456789ABCDEFGHJKMNPQRSTVWXYZ").WithPadding(base32.NoPadding)

// Text gives the code as people type it: XXXX-XXXX-XXXX-XXXX.
func (c Code) Text() string {
	s := codeText.EncodeToString(c.Secret[:])
	return s[:4] + "-" + s[4:8] + "-" + s[8:12] + "-" + s[12:]
}

// ParseCode reads a typed code: case, spaces and dashes do not matter, and O, I
// and L are read as the digits they look like.
func ParseCode(typed string) (wire.Secret, error) {
	var s wire.Secret
	if len(typed) > 100 {
		return s, wire.Refuse(wire.CodeMalformed, "a code has 16 characters: check what was pasted")
	}
	t := strings.NewReplacer("-", "", " ", "", "\t", "", "\n", "", "\r", "", "O", "0", "I", "1", "L", "1").Replace(strings.ToUpper(typed))
	b, err := codeText.DecodeString(t)
	if err != nil || len(t) != 16 || len(b) != len(s) {
		return s, wire.Refuse(wire.CodeMalformed, "a code has 16 letters and digits like 7K3M-…: type it as it is shown")
	}
	copy(s[:], b)
	return s, nil
}

// NewCode makes a code at this end. url and name are as in Code, each may be empty.
func (b *Book) NewCode(ctx context.Context, url, name string) (Code, error) {
	var s wire.Secret
	rand.Read(s[:])
	return b.addCode(ctx, s, url, name)
}

// TypeCode accepts a code that the other end made.
func (b *Book) TypeCode(ctx context.Context, typed, url, name string) (Code, error) {
	s, err := ParseCode(typed)
	if err != nil {
		return Code{}, err
	}
	return b.addCode(ctx, s, url, name)
}

// UseCode is for a node that brings a code to the hub at url: one that the hub
// made, or one that was made here. Using it again, as after an attempt that
// failed, changes nothing but url and name.
func (b *Book) UseCode(ctx context.Context, typed, url, name string) (Code, error) {
	s, err := ParseCode(typed)
	if err != nil {
		return Code{}, err
	}
	c, err := b.reuse(ctx, s.CodeID(), url, name)
	if err != nil || c.ID != "" {
		return c, err
	}
	return b.addCode(ctx, s, url, name)
}

// reuse gives the code of that ID with its new url and name; the zero Code when
// there is none.
func (b *Book) reuse(ctx context.Context, id, url, name string) (Code, error) {
	if name != "" {
		if err := wire.CheckName(name); err != nil {
			return Code{}, err
		}
	}
	b.change.Lock()
	defer b.change.Unlock()
	c, ok, err := b.code(ctx, id)
	if err != nil || !ok {
		return Code{}, err
	}
	switch {
	case !c.Used.IsZero():
		return Code{}, wire.Refuse(wire.CodeCodeUsed, "this code was used: make a new one")
	case b.now().After(c.Expires):
		return Code{}, wire.Refuse(wire.CodeCodeExpired, "this code is older than %v: make a new one", CodeLife)
	}
	c.URL, c.Name = url, name
	return c, b.store.PutCode(ctx, c)
}

func (b *Book) addCode(ctx context.Context, s wire.Secret, url, name string) (Code, error) {
	if name != "" {
		if err := wire.CheckName(name); err != nil {
			return Code{}, err
		}
	}
	b.change.Lock()
	defer b.change.Unlock()
	if _, ok, err := b.code(ctx, s.CodeID()); err != nil || ok {
		if ok {
			err = wire.Refuse(wire.CodeCodeUsed, "this code was typed here before: make a new one")
		}
		return Code{}, err
	}
	c := Code{ID: s.CodeID(), Secret: s, URL: url, Name: name, Made: b.now(), Expires: b.now().Add(CodeLife)}
	return c, b.store.PutCode(ctx, c)
}

func (b *Book) code(ctx context.Context, id string) (Code, bool, error) {
	all, err := b.store.Codes(ctx)
	for _, c := range all {
		if c.ID == id {
			return c, true, err
		}
	}
	return Code{}, false, err
}
