// Package wire is what a hub and a node say to each other: the handshake, the
// enrolment and the signed task envelope, with their canonical bytes and
// signatures.
//
// It promises: every message has exactly one encoding, and a decoder refuses
// every other one (unknown or repeated field, other order, white space, other
// base64, trailing bytes, anything over its size), so what was signed is what
// was read. Signatures are over length-prefixed fields behind a name of the
// message, so no message can be passed off as another.
//
// It never opens a connection, reads a clock or keeps state: time and nonces
// come from the caller. A crash leaves nothing.
package wire

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"time"
)

const (
	// Version is the newest protocol version that this program speaks. A peer of an
	// older one, from Oldest on, is served as before and gets no large order.
	Version = 2
	// Oldest is the oldest version that this program still speaks.
	Oldest = 1
	// LargeVersion is the first version whose envelopes may leave their body aside.
	LargeVersion = 2
	// MaxSkew is how far the clocks of the two ends may differ.
	MaxSkew = 5 * time.Minute
	// MaxMessage is the largest handshake or enrolment message, in bytes.
	MaxMessage = 16 << 10
	// MaxBody is the largest body inside an envelope, in bytes; a larger one travels
	// after its envelope.
	MaxBody = 256 << 10
	// MaxLarge is the largest body that travels after its envelope, in bytes: a task
	// of 2 MiB in base64 with what is around it.
	MaxLarge = 2<<20/3*4 + 64<<10
	// MaxEnvelope is the largest encoded envelope: the body in base64 and the rest.
	MaxEnvelope = MaxBody/3*4 + 4<<10
	// MaxName is the longest name of a hub or node, in bytes.
	MaxName = 100
	// MaxID is the longest id of a task, in bytes.
	MaxID = 128
	// MaxLife is the longest time between making an envelope and its expiry; a
	// node need not remember an id for longer than this and MaxSkew.
	MaxLife = 7 * 24 * time.Hour
)

// encode gives the one encoding of a message.
func encode(m any) ([]byte, error) {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(m); err != nil {
		return nil, err
	}
	return bytes.TrimSuffix(b.Bytes(), []byte("\n")), nil
}

// decode fills m from data and refuses data that is not m's one encoding.
func decode(data []byte, max int, m any) error {
	if len(data) > max {
		return Refuse(CodeSize, "the message has %d bytes, at most %d are allowed", len(data), max)
	}
	dec := json.NewDecoder(bytes.NewReader(data))
	dec.DisallowUnknownFields()
	if err := dec.Decode(m); err != nil {
		return Refuse(CodeMalformed, "the message cannot be read: %v", short(err))
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return Refuse(CodeMalformed, "the message has bytes after its end")
	}
	again, err := encode(m)
	if err != nil || !bytes.Equal(again, data) {
		return Refuse(CodeMalformed, "the message is not in its canonical form")
	}
	return nil
}

// short keeps an error text that quotes a peer's bytes from filling a log.
func short(err error) string {
	s := err.Error()
	if len(s) > 200 {
		return s[:200] + "…"
	}
	return s
}

// kind reads the type of a message without trusting anything else in it.
func kind(data []byte, max int) (string, error) {
	if len(data) > max {
		return "", Refuse(CodeSize, "the message has %d bytes, at most %d are allowed", len(data), max)
	}
	var head struct {
		Type string `json:"type"`
	}
	if err := json.Unmarshal(data, &head); err != nil {
		return "", Refuse(CodeMalformed, "the message cannot be read: %v", short(err))
	}
	return head.Type, nil
}

// CheckTime refuses a peer's time (Unix milliseconds) that is more than MaxSkew
// away from now, and says by how much.
func CheckTime(peer int64, now time.Time) error {
	// Compared without subtracting first: a hostile time must not overflow into
	// a small difference.
	low, high := now.Add(-MaxSkew).UnixMilli(), now.Add(MaxSkew).UnixMilli()
	if peer >= low && peer <= high {
		return nil
	}
	by := "more than a century"
	const century = 100 * 365 * 24 * 3600 * 1000
	if peer > low-century && peer < high+century {
		by = (time.Duration(now.UnixMilli()-peer) * time.Millisecond).Round(time.Second).Abs().String()
	}
	return Refuse(CodeTime, "the clocks of the two ends differ by %s, at most %v is allowed: set the clock (NTP) and try again", by, MaxSkew)
}
