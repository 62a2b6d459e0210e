package podman

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"tresor/sandbox"
	"tresor/sandbox/agent"
)

// Probe runs the probe in a sandbox like any job's and answers its report: JSON with
// sorted keys. The image may be any; the probe is the agent's own program.
func Probe(ctx context.Context, r *Runner, image string) ([]byte, error) {
	name := "probe-" + strings.ToLower(rand.Text()[:12])
	s := sandbox.Spec{
		Ref: sandbox.Ref("tresor-" + name), Image: image, Argv: []string{agent.Dir + "/" + agent.BinaryName, "probe"},
		Binds:   []sandbox.Bind{{Source: r.seccompFile(), Target: "/data/probe"}},
		Scratch: []sandbox.Scratch{{Name: name, Target: "/work"}}, Limits: sandbox.Limits{Wall: time.Minute},
		Inside: true, // the widest sandbox that a job gets
	}
	out, err := r.probe(ctx, s)
	cctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), callTimeout)
	defer cancel()
	return out, errors.Join(err, r.Remove(cctx, s.Ref), r.RemoveScratch(cctx, name))
}

func (r *Runner) probe(ctx context.Context, s sandbox.Spec) ([]byte, error) {
	if err := r.Prepare(ctx, s); err != nil {
		return nil, err
	}
	if err := r.Start(ctx, s.Ref); err != nil {
		return nil, err
	}
	var out bytes.Buffer
	if err := r.Logs(ctx, s.Ref, 0, func(c sandbox.Chunk) error { out.Write(c.Data); return nil }); err != nil {
		return nil, err
	}
	c, err := r.Collect(ctx, s.Ref, func(sandbox.File, io.Reader) error { return nil })
	if err == nil && c.Status.ExitCode != 0 {
		err = sandbox.Host("probe", fmt.Errorf("exit code %d: %.200s", c.Status.ExitCode, out.String()))
	}
	return out.Bytes(), err
}
