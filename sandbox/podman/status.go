package podman

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"tresor/sandbox"
	"tresor/sandbox/agent"
)

// state is the part of Podman's inspect answer that we read.
type state struct {
	Status     string
	CgroupPath string
	OOMKilled  bool
	ExitCode   int
	StartedAt  time.Time
	FinishedAt time.Time
}

// phase translates Podman's word.
func (s state) phase() sandbox.Phase {
	switch s.Status {
	case "":
		return sandbox.Absent
	case "configured", "created", "initialized":
		return sandbox.Created
	case "running", "paused":
		return sandbox.Running
	}
	return sandbox.Exited // exited, stopped, stopping, removing, dead
}

// over says that the container is at its end and its exit code is known. "stopped" is
// that already; "exited" comes 50 ms later, when Podman has tidied up.
func (s state) over() bool { return s.phase() == sandbox.Exited && s.Status != "stopping" }

// inspect answers a zero state for an absent container.
func (r *Runner) inspect(ctx context.Context, name string) (state, error) {
	var out struct{ State state }
	err := r.api.do(ctx, request{method: http.MethodGet, path: "/containers/%s/json", args: []string{name}, out: &out})
	if absent(err) {
		return state{}, nil
	}
	return out.State, hostError("inspect", err)
}

// Status implements sandbox.Runner.
func (r *Runner) Status(ctx context.Context, ref sandbox.Ref) (sandbox.Status, error) {
	if !ref.Valid() {
		return sandbox.Status{Ref: ref, Phase: sandbox.Absent}, nil
	}
	st, err := r.inspect(ctx, string(ref))
	if err != nil {
		return sandbox.Status{}, err
	}
	return r.status(ctx, ref, st), nil
}

// status joins the engine's word with the agent's; on how the container ended only the first counts.
func (r *Runner) status(ctx context.Context, ref sandbox.Ref, st state) sandbox.Status {
	out := sandbox.Status{Ref: ref, Phase: st.phase(), StartedAt: st.StartedAt}
	k, err := r.keep(ref).read()
	if out.Phase == sandbox.Absent || err != nil {
		return out
	}
	out.Labels, out.Unlimited = k.Spec.Labels, k.Unlimited
	word, known := r.keep(ref).lastWord()
	if out.Phase == sandbox.Running {
		word, known = r.word(ctx, ref, word, known)
		if known && word.Ended {
			out.Phase, out.ExitCode = sandbox.Ended, word.ExitCode
		}
	}
	if known {
		out.TimedOut, out.LogTruncated, out.Unplaced = word.TimedOut, word.Dropped > 0, word.Unplaced
	}
	if out.Phase == sandbox.Exited {
		st.OOMKilled = st.OOMKilled || r.keep(ref).outOfMemory()
		settle(&out, st, k.Spec.Limits.Wall)
	}
	return out
}

// word asks a connected agent, or remembers what it said.
func (r *Runner) word(ctx context.Context, ref sandbox.Ref, word agent.Stat, known bool) (agent.Stat, bool) {
	l, err := r.link(ctx, ref)
	if err != nil || !l.Connected(ctx, reconnectWait) {
		return word, known
	}
	s, err := l.Stat(ctx)
	if err != nil {
		return word, known
	}
	if s.Ended {
		r.keep(ref).remember(s)
	}
	return s, true
}

// reconnectWait is how long a question waits for an agent that dials again after our restart.
const reconnectWait = 500 * time.Millisecond

// settle writes down how a container ended. Podman says -1 when its own clock killed it.
func settle(out *sandbox.Status, st state, wall time.Duration) {
	out.ExitCode, out.OOMKilled, out.FinishedAt = st.ExitCode, st.OOMKilled, st.FinishedAt
	ran := st.FinishedAt.Sub(st.StartedAt)
	if st.ExitCode < 0 || st.ExitCode > 128 && !st.OOMKilled && ran >= wall && ran < wall+hardTimeout+time.Minute {
		out.TimedOut = true
	}
	if st.ExitCode < 0 {
		out.ExitCode = 128 + 9
	}
}

// List implements sandbox.Runner. A container about which Podman answers with an error of
// its own is left out and said in the log: one broken container must not hide all others.
func (r *Runner) List(ctx context.Context) ([]sandbox.Status, error) {
	var found []struct {
		Names  []string
		Labels map[string]string
	}
	filter := `{"label":["` + labelOurs + `=` + r.instance + `"]}`
	err := r.api.do(ctx, request{method: http.MethodGet, path: "/containers/json", out: &found, query: url.Values{"all": {"true"}, "filters": {filter}}})
	if err != nil {
		return nil, hostError("list", err)
	}
	var list []sandbox.Status
	for _, f := range found {
		if len(f.Names) == 0 || f.Labels[labelCollector] != "" {
			continue
		}
		s, err := r.Status(ctx, sandbox.Ref(strings.TrimPrefix(f.Names[0], "/")))
		var answered *apiError
		if errors.As(err, &answered) {
			r.o.Log.Warn("podman cannot say how a container is", "container", f.Names[0], "err", err)
			continue
		}
		if err != nil {
			return nil, err
		}
		if s.Phase != sandbox.Absent {
			list = append(list, s)
		}
	}
	slices.SortFunc(list, func(a, b sandbox.Status) int { return strings.Compare(string(a.Ref), string(b.Ref)) })
	return list, nil
}

// Usage implements sandbox.Runner.
func (r *Runner) Usage(ctx context.Context, ref sandbox.Ref) (sandbox.Usage, error) {
	l, err := r.link(ctx, ref)
	if err != nil {
		return sandbox.Usage{}, err
	}
	u, err := l.Usage(ctx)
	if errors.Is(err, agent.ErrGone) { // ended, or about to dial again
		return sandbox.Usage{}, nil
	}
	return u, err
}
