// Package doctor says whether this host is fit to run the appliance, in the
// words of an operator: one line a check, each with what was found and, unless
// it is well, what to do. It changes nothing on the host.
//
// A check that cannot be made is reported as such and counts as a warning: the
// doctor never calls well what it did not see.
package doctor

import (
	"context"
	"fmt"
	"time"

	"tresor/sandbox"
)

// State is the verdict of one check.
type State string

// The verdicts. Only Fail makes the host unfit.
const (
	OK   State = "ok"
	Warn State = "warn"
	Fail State = "fail"
)

// Check is one thing looked at.
type Check struct {
	Name   string `json:"name"`
	State  State  `json:"state"`
	Detail string `json:"detail"`         // what was found
	Next   string `json:"next,omitempty"` // what to do about it
}

// Options says what to look at. Engine is nil when Podman could not be reached;
// EngineErr then says why.
type Options struct {
	Data           string // data folder
	Account        string // account that runs Podman when the program runs as root
	AllowUnlimited bool   // sandbox.allow_unlimited
	Engine         interface {
		Capabilities(context.Context) (sandbox.Capabilities, error)
	}
	EngineErr error
	Now       func() time.Time
}

// Run makes all checks, in the order in which an operator would mend them.
func Run(ctx context.Context, o Options) []Check {
	checks := []Check{kernel(), account(o.Account), subordinateIDs(o.Account), cgroups()}
	checks = append(checks, engine(ctx, o)...)
	return append(checks, dataFolder(o.Data), reach(o.Data, o.Account), disk(o.Data), clock(), swap())
}

// Unfit reports whether any check failed.
func Unfit(checks []Check) bool {
	for _, c := range checks {
		if c.State == Fail {
			return true
		}
	}
	return false
}

func ok(name, format string, args ...any) Check {
	return Check{Name: name, State: OK, Detail: fmt.Sprintf(format, args...)}
}

func warn(name, next, format string, args ...any) Check {
	return Check{Name: name, State: Warn, Detail: fmt.Sprintf(format, args...), Next: next}
}

func fail(name, next, format string, args ...any) Check {
	return Check{Name: name, State: Fail, Detail: fmt.Sprintf(format, args...), Next: next}
}
