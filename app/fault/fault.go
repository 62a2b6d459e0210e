// Package fault is the one error vocabulary of the appliance.
//
// Every package below a door returns a *fault.Error when a person can act on
// what went wrong. It carries two texts: Msg is for the person who asked and
// says what happened and what to do next; Err is the cause, for operators, and
// never crosses a door. Only app/api turns a Kind into an HTTP status and only
// app/cli turns one into an exit code. An error that is not a *fault.Error is
// Internal, and people see nothing of its text.
package fault

import (
	"context"
	"errors"
	"fmt"
)

// Kind says what sort of refusal an error is. The zero Kind is Internal, so
// that an error nobody classified is never shown to a person.
type Kind uint8

// The kinds, each with what the caller may conclude.
const (
	Internal    Kind = iota // a defect or a broken host: nothing the caller can change
	NotFound                // no such thing, or not visible to this actor
	Invalid                 // the request itself is wrong
	Denied                  // the actor may not do this
	Conflict                // the thing is in another state than the request assumes
	Unavailable             // try again later: something this needs is down
	Exhausted               // a limit is reached: quota, size, disk
)

var names = [...]string{"internal", "not-found", "invalid", "denied", "conflict", "unavailable", "exhausted"}

// String returns the wire name of the kind, as in problem details.
func (k Kind) String() string {
	if int(k) < len(names) {
		return names[k]
	}
	return names[Internal]
}

// Error is an error with an operation, a kind and a text for people.
type Error struct {
	Op   string // package.Function where it arose or was last given meaning
	Kind Kind
	Msg  string // for people: what happened and the next step; may be empty
	Next string // optional: the one next step, when Msg does not hold it
	Err  error  // the cause; operators only
}

// Error returns the operators' text: operation, message and cause.
func (e *Error) Error() string {
	s := e.Op
	if e.Msg != "" {
		s += ": " + e.Msg
	}
	if e.Err != nil {
		s += ": " + e.Err.Error()
	}
	return s
}

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }

// New returns an error of kind k whose text for people is format with args.
func New(op string, k Kind, format string, args ...any) error {
	return &Error{Op: op, Kind: k, Msg: fmt.Sprintf(format, args...)}
}

// Kinded wraps the cause err as kind k with a text for people.
func Kinded(op string, k Kind, err error, format string, args ...any) error {
	return &Error{Op: op, Kind: k, Msg: fmt.Sprintf(format, args...), Err: err}
}

// Wrap adds an operation to err and keeps its kind and text. Wrap(op, nil) is nil.
func Wrap(op string, err error) error {
	if err == nil {
		return nil
	}
	return &Error{Op: op, Kind: KindOf(err), Err: err}
}

// WithNext attaches the one next step to err, for people. WithNext(nil, ...) is nil.
func WithNext(err error, format string, args ...any) error {
	if err == nil {
		return nil
	}
	return &Error{Op: opOf(err), Kind: KindOf(err), Next: fmt.Sprintf(format, args...), Err: err}
}

// KindOf returns the kind of the outermost *Error in err's chain. A cancelled
// or expired context that nobody classified is Unavailable.
func KindOf(err error) Kind {
	var e *Error
	if errors.As(err, &e) {
		return e.Kind
	}
	if errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return Unavailable
	}
	return Internal
}

// Message returns the outermost text for people in err's chain, or a neutral
// sentence when there is none.
func Message(err error) string {
	if s := find(err, func(e *Error) string { return e.Msg }); s != "" {
		return s
	}
	switch KindOf(err) {
	case NotFound:
		return "Not found, or not visible to you."
	case Denied:
		return "You may not do this."
	case Unavailable:
		return "Something this needs is not available now. Try again in a moment."
	default:
		return "Something went wrong inside the server. The operator finds the cause in the log under the correlation id."
	}
}

// Next returns the outermost next step in err's chain, or "".
func Next(err error) string {
	return find(err, func(e *Error) string { return e.Next })
}

func opOf(err error) string {
	return find(err, func(e *Error) string { return e.Op })
}

func find(err error, field func(*Error) string) string {
	for err != nil {
		var e *Error
		if !errors.As(err, &e) {
			return ""
		}
		if s := field(e); s != "" {
			return s
		}
		err = e.Err
	}
	return ""
}
