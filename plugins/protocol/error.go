package protocol

import "errors"

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
	if errors.As(err, &e) {
		return e
	}
	return &Error{Code: CodeInternal, Text: "the call failed; the log of the side that answered has the cause"}
}
