package wire

import (
	"crypto/ed25519"
	"time"
)

const farewell = "farewell"

// NewFarewell answers a challenge with a node's last word: it has revoked the hub
// and dials it no more. Its signature is over another name than that of a hello, so
// neither can be made of the other.
func NewFarewell(c Challenge, host string, priv ed25519.PrivateKey, nonce Nonce, now time.Time) Hello {
	h := NewHello(c, host, priv, nonce, now, nil)
	h.Type = farewell
	h.Sig = sign(priv, h.canon())
	return h
}

// Leaves reports whether the message is a farewell.
func (h Hello) Leaves() bool { return h.Type == farewell }
