package sandbox

import (
	"errors"
	"fmt"
)

// The errors of a runner; test with errors.Is.
var (
	ErrAbsent  = errors.New("no such container or image")  // it is not there
	ErrHost    = errors.New("the container engine failed") // try again; says nothing about the job
	ErrInvalid = errors.New("refused")                     // the request is wrong and will stay so
)

// ErrUnfit says that this host cannot run a sandbox safely, and what to do about it.
// Test with errors.As.
type ErrUnfit struct {
	Reason string // what is missing, a sentence without a full stop
	Next   string // what the operator should do, an imperative sentence without a full stop
}

// Error joins the reason and the next step.
func (e *ErrUnfit) Error() string { return e.Reason + "; " + e.Next }

// Unfit makes an *ErrUnfit.
func Unfit(next, reason string, args ...any) error {
	return &ErrUnfit{Reason: fmt.Sprintf(reason, args...), Next: next}
}

// Invalid makes an error that is ErrInvalid and says why.
func Invalid(format string, args ...any) error {
	return fmt.Errorf("%w: %s", ErrInvalid, fmt.Sprintf(format, args...))
}

// Host wraps a failure of the engine so that it is ErrHost.
func Host(op string, err error) error {
	if err == nil || errors.Is(err, ErrHost) {
		return err
	}
	return fmt.Errorf("%w: %s: %w", ErrHost, op, err)
}
