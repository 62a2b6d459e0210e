package protocol

import (
	"errors"
	"slices"
	"strings"
)

// Codes of Error, a fixed vocabulary.
const (
	CodeNotFound    = "not-found"
	CodeInvalid     = "invalid"
	CodeDenied      = "denied"
	CodeConflict    = "conflict"
	CodeUnavailable = "unavailable"
	CodeExhausted   = "exhausted"
	CodeUnsupported = "unsupported" // the plugin does not have this part
	CodeInternal    = "internal"
)

// Codes lists the vocabulary.
func Codes() []string {
	return []string{CodeNotFound, CodeInvalid, CodeDenied, CodeConflict, CodeUnavailable, CodeExhausted, CodeUnsupported, CodeInternal}
}

// MaxErrorText bounds the text of an Error that crosses, in bytes.
const MaxErrorText = 2000

// Error is an error that crosses between plugin and host. Text is for people and
// holds no data of the appliance.
type Error struct {
	Code string `json:"code"`
	Text string `json:"text"`
}

func (e *Error) Error() string { return e.Code + ": " + e.Text }

// wireError turns any error into one that may cross. What is not an *Error was
// not written for the other side, so only its kind crosses.
func wireError(err error) *Error {
	var e *Error
	if errors.As(err, &e) && e != nil {
		return e.clean()
	}
	return &Error{Code: CodeInternal, Text: "the call failed; the server's log has the cause"}
}

// clean keeps an error within the vocabulary and its text within bounds and valid
// UTF-8: the other side is not trusted to.
func (e *Error) clean() *Error {
	c := Error{Code: e.Code, Text: strings.ToValidUTF8(e.Text, "?")}
	if !slices.Contains(Codes(), c.Code) {
		c.Code = CodeInternal
	}
	c.Text = clipTo(c.Text, MaxErrorText)
	return &c
}

// clipTo is at most the first n bytes of a text.
func clipTo(text string, n int) string {
	if len(text) > n {
		return strings.ToValidUTF8(text[:n], "")
	}
	return text
}
