package wire

import (
	"crypto/ed25519"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"time"
)

// SecretSize is the number of secret bytes in an enrolment code. With 80 random
// bits, seeing the messages of an enrolment does not help to guess the code.
const SecretSize = 10

// Secret is the content of an enrolment code.
type Secret [SecretSize]byte

// CodeID names a code without giving it away.
func (s Secret) CodeID() string {
	sum := sha256.Sum256(canon("code", s[:]))
	return hex.EncodeToString(sum[:8])
}

func (s Secret) mac(msg []byte) (m MAC) {
	h := hmac.New(sha256.New, canon("enrol-key", s[:]))
	h.Write(msg)
	copy(m[:], h.Sum(nil))
	return m
}

// Enrol is a node's request to be pinned: its key and name, proved with the
// code that both operators have, bound to the hub's key and this connection.
type Enrol struct {
	Type     string `json:"type"`
	Version  int    `json:"version"`
	Host     string `json:"host"` // host[:port] that the node dialled
	Hub      KeyID  `json:"hub"`
	Node     Key    `json:"node"`
	Name     string `json:"name"`    // the node's
	CodeID   string `json:"code_id"` // names the code and does not give it away
	HubNonce Nonce  `json:"hub_nonce"`
	Nonce    Nonce  `json:"nonce"`
	Time     int64  `json:"time"` // Unix milliseconds
	MAC      MAC    `json:"mac"`
	Sig      Sig    `json:"sig"`
}

// Enrolled is the hub's answer, proved with the same code, so that the node may
// pin the hub's key.
type Enrolled struct {
	Type  string `json:"type"`
	Hub   Key    `json:"hub"`
	Node  KeyID  `json:"node"`
	Name  string `json:"name"` // the hub's
	Nonce Nonce  `json:"nonce"`
	Time  int64  `json:"time"` // Unix milliseconds
	MAC   MAC    `json:"mac"`
	Sig   Sig    `json:"sig"`
}

// NewEnrol answers a challenge with a request to be pinned.
func NewEnrol(c Challenge, host, name string, code Secret, priv ed25519.PrivateKey, nonce Nonce, now time.Time) Enrol {
	e := Enrol{Type: "enrol", Version: c.common(), Host: host, Hub: c.Hub.ID(), Node: KeyOf(priv), Name: name,
		CodeID: code.CodeID(), HubNonce: c.Nonce, Nonce: nonce, Time: now.UnixMilli()}
	e.MAC = code.mac(e.canon())
	e.Sig = sign(priv, e.canon())
	return e
}

func (e Enrol) canon() []byte {
	return canon("enrol", int64(e.Version), e.Host, e.Hub, e.Node[:], e.Name, e.CodeID, e.HubNonce[:], e.Nonce[:], e.Time)
}

// Encode gives the message.
func (e Enrol) Encode() []byte { return must(e) }

// IsEnrol reports whether a node's first message is an enrolment by its type.
func IsEnrol(data []byte) bool {
	k, err := kind(data, MaxMessage)
	return err == nil && k == "enrol"
}

// DecodeEnrol reads a request; it checks its form only.
func DecodeEnrol(data []byte) (Enrol, error) {
	var e Enrol
	if err := decode(data, MaxMessage, &e); err != nil {
		return e, err
	}
	if e.Type != "enrol" || !e.Hub.Valid() || len(e.CodeID) != 16 || len(e.Host) > 300 {
		return e, Refuse(CodeMalformed, "the message is not an enrolment")
	}
	return e, CheckName(e.Name)
}

// Check refuses a request that does not answer this challenge on one of the
// hub's hosts, is off the clock, or is not signed by its own key.
func (e Enrol) Check(c Challenge, hosts []string, now time.Time) error {
	if err := checkAnswer(e.Version, e.Host, e.Hub, e.HubNonce, e.Time, c, hosts, now); err != nil {
		return err
	}
	return verify(e.Node, e.canon(), e.Sig)
}

// Proves refuses a request whose proof was not made with code.
func (e Enrol) Proves(code Secret) error {
	want := code.mac(e.canon())
	if !hmac.Equal(want[:], e.MAC[:]) {
		return Refuse(CodeNoCode, "the enrolment code does not fit: type it again, or make a new one")
	}
	return nil
}

// NewEnrolled accepts a request that was checked and proved.
func NewEnrolled(e Enrol, name string, code Secret, priv ed25519.PrivateKey, now time.Time) Enrolled {
	a := Enrolled{Type: "enrolled", Hub: KeyOf(priv), Node: e.Node.ID(), Name: name, Nonce: e.Nonce, Time: now.UnixMilli()}
	a.MAC = code.mac(a.canon())
	a.Sig = sign(priv, a.canon())
	return a
}

func (a Enrolled) canon() []byte {
	return canon("enrolled", a.Hub[:], a.Node, a.Name, a.Nonce[:], a.Time)
}

// Encode gives the message.
func (a Enrolled) Encode() []byte { return must(a) }

// DecodeEnrolled reads the answer; a refusal in its place comes back as the error.
func DecodeEnrolled(data []byte) (Enrolled, error) {
	var a Enrolled
	if IsRefusal(data) {
		return a, refused(data)
	}
	if err := decode(data, MaxMessage, &a); err != nil {
		return a, err
	}
	if a.Type != "enrolled" {
		return a, Refuse(CodeMalformed, "the message is not an answer to an enrolment")
	}
	return a, CheckName(a.Name)
}

// Check refuses an answer that is not for this request or was not made by a hub
// that knows the code and holds the key that it names.
func (a Enrolled) Check(e Enrol, code Secret, now time.Time) error {
	if a.Hub.ID() != e.Hub || a.Node != e.Node.ID() || a.Nonce != e.Nonce {
		return Refuse(CodeNonce, "the hub's answer is not for this enrolment")
	}
	if err := CheckTime(a.Time, now); err != nil {
		return err
	}
	want := code.mac(a.canon())
	if !hmac.Equal(want[:], a.MAC[:]) {
		return Refuse(CodeNoCode, "the hub does not know the enrolment code: somebody may stand between; check the hub's address")
	}
	return verify(a.Hub, a.canon(), a.Sig)
}
