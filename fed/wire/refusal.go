package wire

import "fmt"

// Code is the machine's word for why something was refused.
type Code string

// The reasons for a refusal. They are part of the protocol: never reuse one.
const (
	CodeMalformed   Code = "malformed"    // cannot be read, or not canonical
	CodeSize        Code = "size"         // over a size limit
	CodeVersion     Code = "version"      // no common protocol version
	CodeHost        Code = "host"         // meant for another host
	CodeTime        Code = "time"         // clocks too far apart
	CodeNonce       Code = "nonce"        // not an answer to this challenge
	CodeSignature   Code = "signature"    // signature does not fit
	CodeUnknown     Code = "unknown"      // key was never enrolled
	CodeRevoked     Code = "revoked"      // key or peer was revoked
	CodeKeyExpired  Code = "key_expired"  // key was replaced and its overlap is over
	CodeNoCode      Code = "code_unknown" // no such enrolment code, or not typed yet
	CodeCodeUsed    Code = "code_used"    // enrolment code was used by another key
	CodeCodeExpired Code = "code_expired" // enrolment code is too old
	CodeOther       Code = "other_node"   // envelope for another node
	CodeOtherHub    Code = "other_hub"    // envelope of a hub that is not this link's
	CodeExpired     Code = "expired"      // envelope is too old
	CodeStale       Code = "stale"        // sequence fell out of the window
	CodeConflict    Code = "conflict"     // id or sequence was used for something else
	CodeRunning     Code = "running"      // this envelope is being executed
	CodeInterrupted Code = "interrupted"  // execution began before a restart; its end is not known
	CodePaused      Code = "paused"       // the node's operator paused this hub
	CodeBusy        Code = "busy"         // too many at once; try again
	CodeFlood       Code = "flood"        // rate limit of frames, streams or pings
	CodeMethod      Code = "method"       // plain request that would change something
	CodeOffline     Code = "offline"      // node is not connected
	CodeBody        Code = "body"         // bytes after an envelope are not those that were signed
	CodeFailed      Code = "failed"       // the task was executed and broke; it is not executed again
	CodeInternal    Code = "internal"     // the other end broke before it began; its log says why
)

// Refusal says no: a code for programs, a text for people. It is an error and,
// encoded, a message. Two refusals are the same error when their codes are equal.
// A refusal is not signed, so it is a hint and never a reason to forget a peer.
type Refusal struct {
	Type string `json:"type"`
	Code Code   `json:"code"`
	Text string `json:"text"`
}

// Refuse makes a refusal. The text says what happened and what to do next.
func Refuse(code Code, format string, args ...any) *Refusal {
	return &Refusal{Type: "refusal", Code: code, Text: fmt.Sprintf(format, args...)}
}

// Error gives the text with the code.
func (r *Refusal) Error() string { return fmt.Sprintf("%s (%s)", r.Text, r.Code) }

// Is reports whether target is a refusal with the same code.
func (r *Refusal) Is(target error) bool {
	t, ok := target.(*Refusal)
	return ok && t.Code == r.Code
}

// Final reports whether asking again with the same bytes cannot change the answer.
func (c Code) Final() bool {
	switch c {
	case CodeOffline, CodeRunning, CodePaused, CodeBusy, CodeInternal, CodeTime, CodeFlood, CodeBody:
		return false
	}
	return true
}

// For gives a refusal of that code to compare with errors.Is.
func For(code Code) error { return &Refusal{Type: "refusal", Code: code} }

// Encode gives the message; texts over 500 bytes are cut.
func (r *Refusal) Encode() []byte {
	c := *r
	c.Type = "refusal"
	if len(c.Text) > 500 {
		c.Text = c.Text[:500]
	}
	c.Text = clean(c.Text)
	b, _ := encode(c)
	return b
}

// DecodeRefusal reads a refusal that a peer sent.
func DecodeRefusal(data []byte) (*Refusal, error) {
	r := &Refusal{}
	if err := decode(data, MaxMessage, r); err != nil {
		return nil, err
	}
	if r.Type != "refusal" || r.Code == "" || len(r.Code) > 40 || len(r.Text) > 600 {
		return nil, Refuse(CodeMalformed, "the message is not a refusal")
	}
	r.Text = clean(r.Text)
	return r, nil
}

// IsRefusal reports whether data is a refusal by its type.
func IsRefusal(data []byte) bool {
	k, err := kind(data, MaxMessage)
	return err == nil && k == "refusal"
}
