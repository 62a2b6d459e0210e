package wire

import (
	"crypto/ed25519"
	"slices"
	"time"
)

// Challenge is the hub's first word on every connection. It is not signed: it
// only gives the node something fresh to sign.
type Challenge struct {
	Type     string `json:"type"`
	Versions []int  `json:"versions"`
	Hub      Key    `json:"hub"`
	Nonce    Nonce  `json:"nonce"`
	Time     int64  `json:"time"` // Unix milliseconds
}

// Hello is the node's answer: who it is, which host it dialled, signed. A farewell
// has the same form and ends with the hub's welcome: no link follows.
type Hello struct {
	Type     string      `json:"type"`
	Version  int         `json:"version"`
	Host     string      `json:"host"` // host[:port] that the node dialled
	Hub      KeyID       `json:"hub"`
	Node     Key         `json:"node"`
	HubNonce Nonce       `json:"hub_nonce"`
	Nonce    Nonce       `json:"nonce"`
	Time     int64       `json:"time"`
	Next     *Succession `json:"next,omitempty"`
	Sig      Sig         `json:"sig"`
}

// Welcome is the hub's proof that it holds the pinned key.
type Welcome struct {
	Type     string      `json:"type"`
	Host     string      `json:"host"`
	Hub      Key         `json:"hub"`
	Node     KeyID       `json:"node"`
	HubNonce Nonce       `json:"hub_nonce"`
	Nonce    Nonce       `json:"nonce"`
	Time     int64       `json:"time"`
	Next     *Succession `json:"next,omitempty"`
	Sig      Sig         `json:"sig"`
}

// NewChallenge makes the hub's first message.
func NewChallenge(hub Key, nonce Nonce, now time.Time) Challenge {
	return Challenge{Type: "challenge", Versions: []int{Oldest, Version}, Hub: hub, Nonce: nonce, Time: now.UnixMilli()}
}

// Encode gives the message.
func (c Challenge) Encode() []byte { return must(c) }

// DecodeChallenge reads a challenge and refuses one without a common version.
func DecodeChallenge(data []byte) (Challenge, error) {
	var c Challenge
	if err := decode(data, MaxMessage, &c); err != nil {
		return c, err
	}
	if c.Type != "challenge" || len(c.Versions) > 16 {
		return c, Refuse(CodeMalformed, "the hub's first message is not a challenge")
	}
	if c.common() == 0 {
		return c, Refuse(CodeVersion, "the hub speaks versions %v, this node speaks %d to %d: update the older of the two", c.Versions, Oldest, Version)
	}
	return c, nil
}

// common is the newest version that both ends speak; 0 when there is none.
func (c Challenge) common() int {
	for v := Version; v >= Oldest; v-- {
		if slices.Contains(c.Versions, v) {
			return v
		}
	}
	return 0
}

// NewHello answers a challenge. next may be nil.
func NewHello(c Challenge, host string, priv ed25519.PrivateKey, nonce Nonce, now time.Time, next *Succession) Hello {
	h := Hello{Type: "hello", Version: c.common(), Host: host, Hub: c.Hub.ID(), Node: KeyOf(priv),
		HubNonce: c.Nonce, Nonce: nonce, Time: now.UnixMilli(), Next: next}
	h.Sig = sign(priv, h.canon())
	return h
}

func (h Hello) canon() []byte {
	return canon(h.Type, int64(h.Version), h.Host, h.Hub, h.Node[:], h.HubNonce[:], h.Nonce[:], h.Time, h.Next.canon())
}

// Encode gives the message.
func (h Hello) Encode() []byte { return must(h) }

// DecodeHello reads a hello or a farewell; it checks its form only.
func DecodeHello(data []byte) (Hello, error) {
	var h Hello
	if err := decode(data, MaxMessage, &h); err != nil {
		return h, err
	}
	if h.Type != "hello" && (!h.Leaves() || h.Next != nil) || !h.Hub.Valid() || len(h.Host) > 300 {
		return h, Refuse(CodeMalformed, "the message is not a hello")
	}
	return h, nil
}

// Check refuses a hello that does not answer this challenge on one of the hub's
// own hosts, is off the clock, or is not signed by the key that it names. The
// caller still has to ask whether that key is enrolled.
func (h Hello) Check(c Challenge, hosts []string, now time.Time) error {
	if err := checkAnswer(h.Version, h.Host, h.Hub, h.HubNonce, h.Time, c, hosts, now); err != nil {
		return err
	}
	return verify(h.Node, h.canon(), h.Sig)
}

func checkAnswer(version int, host string, hub KeyID, nonce Nonce, at int64, c Challenge, hosts []string, now time.Time) error {
	switch {
	case version < Oldest || version > Version:
		return Refuse(CodeVersion, "the node speaks version %d, this hub speaks %d to %d: update the older of the two", version, Oldest, Version)
	case !slices.Contains(hosts, host):
		return Refuse(CodeHost, "the node dialled another host than this hub's: correct the hub's address at the node")
	case hub != c.Hub.ID():
		return Refuse(CodeSignature, "the node answered another hub's key: enrol again or remove the old hub")
	case nonce != c.Nonce:
		return Refuse(CodeNonce, "the answer is not for this connection's challenge")
	}
	return CheckTime(at, now)
}

// NewWelcome accepts a hello.
func NewWelcome(h Hello, priv ed25519.PrivateKey, now time.Time, next *Succession) Welcome {
	w := Welcome{Type: "welcome", Host: h.Host, Hub: KeyOf(priv), Node: h.Node.ID(), HubNonce: h.HubNonce,
		Nonce: h.Nonce, Time: now.UnixMilli(), Next: next}
	w.Sig = sign(priv, w.canon())
	return w
}

func (w Welcome) canon() []byte {
	return canon("welcome", w.Host, w.Hub[:], w.Node, w.HubNonce[:], w.Nonce[:], w.Time, w.Next.canon())
}

// Encode gives the message.
func (w Welcome) Encode() []byte { return must(w) }

// DecodeWelcome reads a welcome; a refusal in its place comes back as the error.
func DecodeWelcome(data []byte) (Welcome, error) {
	var w Welcome
	if IsRefusal(data) {
		return w, refused(data)
	}
	if err := decode(data, MaxMessage, &w); err != nil {
		return w, err
	}
	if w.Type != "welcome" {
		return w, Refuse(CodeMalformed, "the message is not a welcome")
	}
	return w, nil
}

// Check refuses a welcome that does not answer this hello or is not signed by
// the hub key that the node answered.
func (w Welcome) Check(h Hello, now time.Time) error {
	switch {
	case w.Hub.ID() != h.Hub:
		return Refuse(CodeSignature, "the hub answered with another key")
	case w.Host != h.Host:
		return Refuse(CodeHost, "the hub answered for another host")
	case w.Node != h.Node.ID() || w.Nonce != h.Nonce || w.HubNonce != h.HubNonce:
		return Refuse(CodeNonce, "the hub's answer is not for this connection")
	}
	if err := CheckTime(w.Time, now); err != nil {
		return err
	}
	return verify(w.Hub, w.canon(), w.Sig)
}

// refused turns a peer's refusal message into an error.
func refused(data []byte) error {
	r, err := DecodeRefusal(data)
	if err != nil {
		return err
	}
	return r
}

// must encodes a message of this package, which cannot fail: strings were
// checked and the rest is numbers and arrays.
func must(m any) []byte {
	b, err := encode(m)
	if err != nil {
		panic(err)
	}
	return b
}
