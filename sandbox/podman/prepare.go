package podman

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"tresor/sandbox"
	"tresor/sandbox/agent"
)

// Prepare implements sandbox.Runner.
func (r *Runner) Prepare(ctx context.Context, s sandbox.Spec) error {
	s.Limits = s.Limits.WithDefaults()
	if err := s.Validate(); err != nil {
		return err
	}
	h, err := r.look(ctx)
	if err != nil {
		return err
	}
	if err := r.fit(h); err != nil {
		return err
	}
	img, err := r.image(ctx, s.Image)
	if err != nil {
		return err
	}
	for _, v := range s.Scratch {
		if err := r.makeScratch(ctx, v.Name); err != nil {
			return err
		}
	}
	want := kept{Spec: s, Unlimited: len(h.caps.Unlimited) > 0}
	if want.Unplaced, err = r.makePoints(ctx, h, s); err != nil {
		return err
	}
	k, err := r.keep(s.Ref).write(want, h, r.agentFile(), agentConfig(s, img))
	if err != nil {
		return err
	}
	if k.Unplaced != "" { // its agent says so, and the runtime must not try
		_, k.Spec.Binds = nested(k.Spec)
	}
	return r.create(ctx, r.createBody(h, k.Spec, forTask))
}

// create makes a container; one of that name is taken for the same, because the name says which attempt it is.
func (r *Runner) create(ctx context.Context, b body) error {
	err := r.post(ctx, b)
	var api *apiError
	if errors.As(err, &api) {
		if strings.Contains(api.message, "already in use") || strings.Contains(api.message, "already exists") {
			return nil
		}
		if strings.Contains(api.message, "no such file or directory") || strings.Contains(api.message, "permission denied") {
			return sandbox.Invalid("a mounted path cannot be read by the account %s: %s", r.o.Account, api.message)
		}
	}
	return hostError("create", err)
}

// post sends a create body, one at a time: Podman's reader of /etc/subuid is not safe
// against two creates at once. Then it says now and then that the account has no ranges,
// which fit has seen, or dies of a fault of memory, and all calls with it. Another
// program of the account can still meet ours, and so can the warming of an image, which
// takes too long to be waited for; so what it says is tried again.
func (r *Runner) post(ctx context.Context, b body) (err error) {
	r.creating.Lock()
	defer r.creating.Unlock()
	for try := range 8 {
		err = r.api.do(ctx, request{method: http.MethodPost, path: "/containers/create", body: b})
		var api *apiError
		if !errors.As(err, &api) || !strings.Contains(api.message, "requires additional UIDs or GIDs") {
			return err
		}
		if !pause(ctx, nil, time.Duration(try+1)*5*time.Millisecond) {
			return ctx.Err()
		}
	}
	return err
}

// agentConfig is what the agent is told. The environment is the image's own, because
// programs rely on its PATH, under what the Spec says.
func agentConfig(s sandbox.Spec, img *imageInfo) agent.Config {
	c := agent.ConfigOf(s)
	home := "/tmp"
	if len(c.Scratch) > 0 {
		home = c.Scratch[0]
	}
	if c.Workdir == "" {
		c.Workdir = home
	}
	defaults := []string{"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "LANG=C.UTF-8"}
	ours := []string{"HOME=" + home, "USER=researcher", "TMPDIR=/tmp"}
	c.Env = merge(defaults, img.env, ours, s.Env)
	return c
}

// merge joins environments; a later entry replaces an earlier one of that name.
func merge(lists ...[]string) []string {
	byName := map[string]string{}
	for _, list := range lists {
		for _, e := range list {
			if name, _, ok := strings.Cut(e, "="); ok && name != "" {
				byName[name] = e
			}
		}
	}
	out := make([]string, 0, len(byName))
	for _, e := range byName {
		out = append(out, e)
	}
	slices.Sort(out)
	return out
}

// makeScratch creates a volume that uid 1000 inside can write: its root belongs to what
// Podman's own namespace calls 1001.
func (r *Runner) makeScratch(ctx context.Context, name string) error {
	r.mu.Lock()
	known := r.volumes[name]
	r.mu.Unlock()
	if known {
		return nil
	}
	err := r.api.do(ctx, request{method: http.MethodPost, path: "/volumes/create", body: map[string]any{
		"Name": r.volumeName(name), "Options": map[string]string{"o": "uid=1001,gid=1001"}, "Label": map[string]string{labelOurs: r.instance},
	}})
	var api *apiError
	if errors.As(err, &api) && strings.Contains(api.message, "already exists") {
		err = nil
	}
	if err != nil {
		return hostError("make scratch", err)
	}
	r.mu.Lock()
	r.volumes[name] = true
	r.mu.Unlock()
	return nil
}

// volumeName keeps the volumes of two appliances of one account apart.
func (r *Runner) volumeName(name string) string { return "tresor-" + r.instance + "-" + name }

// RemoveScratch implements sandbox.Runner.
func (r *Runner) RemoveScratch(ctx context.Context, name string) error {
	if !sandbox.ValidVolume(name) {
		return sandbox.Invalid("scratch name %q is not [a-z0-9-]", name)
	}
	err := r.api.do(ctx, request{method: http.MethodDelete, path: "/volumes/%s", args: []string{r.volumeName(name)}, query: url.Values{"force": {"false"}}})
	var api *apiError
	if errors.As(err, &api) && api.status == http.StatusConflict {
		return sandbox.Invalid("scratch %s is in use by a container; remove that first", name)
	}
	if err != nil && !absent(err) {
		return hostError("remove scratch", err)
	}
	r.mu.Lock()
	delete(r.volumes, name)
	r.mu.Unlock()
	return nil
}

// Start implements sandbox.Runner.
func (r *Runner) Start(ctx context.Context, ref sandbox.Ref) error {
	if _, err := r.link(ctx, ref); err != nil { // listen first: the agent dials in its first millisecond
		return err
	}
	// Podman would start a container that has ended once more, and no attempt may run twice.
	r.starting.Lock()
	defer r.starting.Unlock()
	st, err := r.inspect(ctx, string(ref))
	if err != nil {
		return err
	}
	switch st.phase() {
	case sandbox.Absent:
		return fmt.Errorf("%w: %s", sandbox.ErrAbsent, ref)
	case sandbox.Created:
		return r.startContainer(ctx, ref)
	}
	return nil
}

func (r *Runner) startContainer(ctx context.Context, ref sandbox.Ref) error {
	err := r.api.do(ctx, request{method: http.MethodPost, path: "/containers/%s/start", args: []string{string(ref)}})
	return hostError(fmt.Sprintf("start %s", ref), err)
}
