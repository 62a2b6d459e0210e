package podman

import (
	"context"
	"os"
	"strings"
	"time"

	"tresor/sandbox"
	"tresor/sandbox/agent"
)

// nested tells the binds inside scratch volumes from the others.
func nested(s sandbox.Spec) (in, others []sandbox.Bind) {
	for _, b := range s.Binds {
		inside := false
		for _, v := range s.Scratch {
			inside = inside || strings.HasPrefix(b.Target, v.Target+"/")
		}
		if inside {
			in = append(in, b)
		} else {
			others = append(others, b)
		}
	}
	return in, others
}

// makePoints makes the places at which inputs are mounted inside scratch volumes, in a short
// container of its own. Left to the runtime, it would make folders that the command cannot
// write to, follow the links of an earlier task, and wait for ever on its named pipe. It
// answers what is in the way, for the log of a task that then does not run.
func (r *Runner) makePoints(ctx context.Context, h *host, s sandbox.Spec) (unplaced string, err error) {
	in, _ := nested(s)
	if len(in) == 0 {
		return "", nil
	}
	if st, err := r.inspect(ctx, string(s.Ref)); err != nil || st.phase() != sandbox.Absent {
		return "", err // made already: the volume may be in use
	}
	ref := forMaker.of(s.Ref)
	defer r.helpers.lock(ref)()
	c := agent.Config{Ref: string(ref)}
	for _, v := range s.Scratch {
		c.Scratch = append(c.Scratch, v.Target)
	}
	for _, b := range in {
		st, err := os.Stat(b.Source)
		if err != nil {
			return "", sandbox.Invalid("mount source %s is not there", b.Source)
		}
		c.Points = append(c.Points, agent.Point{Path: b.Target, Directory: st.IsDir()})
	}
	code, err := r.make(ctx, h, s, c)
	if err == nil && code != 0 {
		unplaced = "an earlier task left a link or a file where a folder for it belongs"
	}
	return unplaced, err
}

// make runs one maker to its end.
func (r *Runner) make(ctx context.Context, h *host, s sandbox.Spec, c agent.Config) (code int, err error) {
	ref := sandbox.Ref(c.Ref)
	if err := r.removeContainer(ctx, ref); err != nil { // of a Prepare that was cut short
		return 0, err
	}
	defer func() {
		rctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), callTimeout)
		defer cancel()
		if rerr := r.removeContainer(rctx, ref); err == nil {
			err = rerr
		}
	}()
	if _, err := r.keep(ref).write(kept{Spec: s}, h, r.agentFile(), c); err != nil {
		return 0, err
	}
	if err := r.create(ctx, r.createBody(h, s, forMaker)); err != nil {
		return 0, err
	}
	if err := r.startContainer(ctx, ref); err != nil {
		return 0, err
	}
	st, err := r.awaitExit(ctx, string(ref), 30*time.Second)
	return st.ExitCode, err
}
