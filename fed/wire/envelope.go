package wire

import (
	"crypto/ed25519"
	"crypto/sha256"
	"time"
)

// Window is how far an envelope may come behind the highest sequence of its hub at a
// node: requests overtake each other, but not without end.
const Window = 4096

// Envelope is one order of a hub to one node. The hub's key signs it, so neither
// a broken transport nor another node can make, change or redirect one; its
// sequence and id let the node execute it at most once.
//
// A body of at most MaxBody bytes lies inside. A larger one makes an envelope of
// LargeVersion, which holds its size and hash; the bytes travel after it, and
// count only once Attach has held them against both.
type Envelope struct {
	Type    string `json:"type"`
	Version int    `json:"version"`
	Hub     KeyID  `json:"hub"`  // key that signed
	Node    KeyID  `json:"node"` // node that it is for
	Seq     uint64 `json:"seq"`  // from 1, per node
	ID      string `json:"id"`
	Kind    string `json:"kind"` // what to do, e.g. "task.create"
	Made    int64  `json:"made"` // Unix milliseconds
	Expires int64  `json:"expires"`
	Body    []byte `json:"body"`
	Size    int64  `json:"size,omitempty"` // of a body that travels after the envelope
	Sum     *Sum   `json:"sum,omitempty"`  // of that body
	Sig     Sig    `json:"sig"`

	large []byte // that body, once it is known to be the one
}

// SetBody puts a body into an envelope that is not signed yet.
func (e *Envelope) SetBody(body []byte) {
	if len(body) <= MaxBody {
		e.Body = body
		return
	}
	sum := Sum(sha256.Sum256(body))
	e.Size, e.Sum, e.large = int64(len(body)), &sum, body
}

// Large reports whether the body travels after the envelope.
func (e *Envelope) Large() bool { return e.Sum != nil }

// Content is the body, wherever it travelled; nil while a large one is not there.
func (e *Envelope) Content() []byte {
	if e.Large() {
		return e.large
	}
	return e.Body
}

// Attach gives a large envelope its body, or refuses bytes that are not the ones
// that were signed.
func (e *Envelope) Attach(body []byte) error {
	if !e.Large() || int64(len(body)) != e.Size || Sum(sha256.Sum256(body)) != *e.Sum {
		return Refuse(CodeBody, "the bytes after the envelope are not those that were signed: send the order again")
	}
	e.large = body
	return nil
}

// Sign completes the envelope with the hub's key.
func (e *Envelope) Sign(priv ed25519.PrivateKey) {
	e.Type, e.Version, e.Hub = "envelope", Oldest, KeyOf(priv).ID()
	if e.Large() {
		e.Version = LargeVersion
	}
	if e.Body == nil {
		e.Body = []byte{}
	}
	e.Sig = sign(priv, e.canon())
}

func (e *Envelope) canon() []byte {
	if e.Large() {
		return canon("large-envelope", int64(e.Version), e.Hub, e.Node, e.Seq, e.ID, e.Kind, e.Made, e.Expires, e.Size, e.Sum[:])
	}
	return canon("envelope", int64(e.Version), e.Hub, e.Node, e.Seq, e.ID, e.Kind, e.Made, e.Expires, e.Body)
}

// Digest names the content of the envelope: two envelopes with one id and
// different digests are different orders.
func (e *Envelope) Digest() [sha256.Size]byte { return sha256.Sum256(e.canon()) }

// Encode gives the message, or a refusal when the envelope breaks a limit.
func (e *Envelope) Encode() ([]byte, error) {
	if err := e.form(); err != nil {
		return nil, err
	}
	return encode(e)
}

// DecodeEnvelope reads an envelope; it checks its form only.
func DecodeEnvelope(data []byte) (*Envelope, error) {
	e := &Envelope{}
	if err := decode(data, MaxEnvelope, e); err != nil {
		return nil, err
	}
	return e, e.form()
}

func (e *Envelope) form() error {
	switch {
	case e.Type != "envelope":
		return Refuse(CodeMalformed, "the message is not an envelope")
	case e.Version < Oldest || e.Version > Version:
		return Refuse(CodeVersion, "the envelope has version %d, this program speaks %d", e.Version, Version)
	case e.Large() != (e.Version == LargeVersion) || e.Large() != (e.Size != 0) || e.Large() && len(e.Body) > 0:
		return Refuse(CodeMalformed, "the envelope does not say in one way where its body is")
	case e.Large() && (e.Size <= MaxBody || e.Size > MaxLarge):
		return Refuse(CodeSize, "the task has %d bytes, at most %d are allowed after an envelope", e.Size, MaxLarge)
	case len(e.Body) > MaxBody:
		return Refuse(CodeSize, "the task has %d bytes, at most %d are allowed", len(e.Body), MaxBody)
	case !e.Hub.Valid() || !e.Node.Valid() || e.Seq == 0 || e.Seq >= 1<<53:
		return Refuse(CodeMalformed, "the envelope names no hub, node or sequence")
	case e.Made <= 0 || e.Expires <= e.Made || e.Expires >= 1<<53 || e.Expires-e.Made > MaxLife.Milliseconds():
		return Refuse(CodeMalformed, "an envelope expires after it was made and within %v", MaxLife)
	}
	if err := CheckID(e.Kind); err != nil {
		return err
	}
	return CheckID(e.ID)
}

// Verify refuses an envelope that key did not sign.
func (e *Envelope) Verify(key Key) error {
	if key.ID() != e.Hub {
		return Refuse(CodeSignature, "the envelope was signed with another key")
	}
	return verify(key, e.canon(), e.Sig)
}

// Fresh refuses an envelope that has expired or was made in the future, with
// MaxSkew of patience on either side.
func (e *Envelope) Fresh(now time.Time) error {
	if e.Made-now.UnixMilli() > MaxSkew.Milliseconds() {
		return Refuse(CodeTime, "the envelope was made in the future: set the clocks of hub and node (NTP)")
	}
	if now.UnixMilli()-e.Expires > MaxSkew.Milliseconds() {
		return Refuse(CodeExpired, "the envelope expired at %s: send the task again under a new id", time.UnixMilli(e.Expires).UTC().Format(time.RFC3339))
	}
	return nil
}
