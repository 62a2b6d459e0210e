package model

import "strings"

// View is how much of a task an answer holds. It comes from the request and from
// nothing else.
type View string

// The views.
const (
	Minimal View = "MINIMAL" // exactly id and state
	Basic   View = "BASIC"   // all but stdout, stderr, input content and system_logs
	Full    View = "FULL"
)

// ParseView reads the query parameter; empty is MINIMAL. Case does not matter.
func ParseView(s string) (View, bool) {
	switch v := View(strings.ToUpper(s)); v {
	case "":
		return Minimal, true
	case Minimal, Basic, Full:
		return v, true
	}
	return "", false
}
