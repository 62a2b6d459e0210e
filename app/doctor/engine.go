package doctor

import (
	"context"
	"errors"
	"strings"

	"tresor/sandbox"
)

// engine asks Podman what it can enforce. What binds is read from its answer
// and not from the host, because the two differ where controllers are not
// delegated.
func engine(ctx context.Context, o Options) []Check {
	if o.Engine == nil {
		return []Check{unfit("podman", o.EngineErr)}
	}
	caps, err := o.Engine.Capabilities(ctx)
	if err != nil {
		return []Check{unfit("podman", err)}
	}
	return []Check{
		ok("podman", "version %s, rootless, %s storage", caps.Version, caps.Storage),
		limits(caps, o.AllowUnlimited),
	}
}

func unfit(name string, err error) Check {
	var u *sandbox.ErrUnfit
	if errors.As(err, &u) {
		return fail(name, u.Next, "%s", u.Reason)
	}
	if err == nil {
		err = errors.New("it was not asked")
	}
	return fail(name, "Install Podman: run scripts/sandbox-account as root.", "does not answer: %v", err)
}

func limits(caps sandbox.Capabilities, allowed bool) Check {
	if len(caps.Unlimited) == 0 {
		return ok("limits", "memory, processor and process limits bind")
	}
	reasons := strings.Join(caps.Unlimited, "; ")
	if allowed {
		return warn("limits", "Use this only with data that may be lost to a runaway job; then set sandbox.allow_unlimited back to false.",
			"do NOT bind (%s); jobs run all the same because sandbox.allow_unlimited is set.", reasons)
	}
	return fail("limits", "Use a host with cgroup v2 and systemd (Debian 12 and 13, Ubuntu 24.04 have both), or set sandbox.allow_unlimited = true and accept that a job can take the whole machine.",
		"cannot be enforced (%s), so no job is started.", reasons)
}
