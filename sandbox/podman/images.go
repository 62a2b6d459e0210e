package podman

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"tresor/sandbox"
)

// imageInfo is what we remember of an image: an id never changes its meaning.
type imageInfo struct {
	image sandbox.Image
	env   []string
}

// image inspects an image once.
func (r *Runner) image(ctx context.Context, id string) (*imageInfo, error) {
	r.mu.Lock()
	known := r.images[id]
	r.mu.Unlock()
	if known != nil {
		return known, nil
	}
	img, err := r.inspectImage(ctx, id)
	if err != nil {
		return nil, err
	}
	r.mu.Lock()
	r.images[id] = img
	r.mu.Unlock()
	return img, nil
}

func (r *Runner) inspectImage(ctx context.Context, id string) (*imageInfo, error) {
	if !strings.HasPrefix(id, "sha256:") { // a name could be resolved, even pulled
		return nil, sandbox.Invalid("image %q is not an id or digest", sandbox.Printable(id))
	}
	name, err := r.imageName(ctx, id)
	if err != nil {
		return nil, err
	}
	var out struct {
		Id, Digest, Architecture string
		RepoTags                 []string
		Size                     int64
		Config                   struct{ Env []string }
	}
	err = r.api.do(ctx, request{method: http.MethodGet, path: "/images/%s/json", args: []string{name}, out: &out})
	if err != nil {
		return nil, hostError("inspect image", err)
	}
	return &imageInfo{image: sandbox.Image{ID: "sha256:" + out.Id, Digest: out.Digest, Ref: first(out.RepoTags), Size: out.Size, Arch: out.Architecture}, env: out.Config.Env}, nil
}

func first(list []string) string {
	if len(list) == 0 {
		return ""
	}
	return list[0]
}

// imageName answers the bare id for an id or digest: Podman finds images by bare id, by
// "name@digest", but not by a digest alone.
func (r *Runner) imageName(ctx context.Context, id string) (string, error) {
	list, err := r.ListImages(ctx)
	if err != nil {
		return "", err
	}
	for _, img := range list {
		if img.ID == id || img.Digest == id {
			return strings.TrimPrefix(img.ID, "sha256:"), nil
		}
	}
	return "", fmt.Errorf("%w: image %s", sandbox.ErrAbsent, sandbox.Printable(id))
}

// Inspect implements sandbox.Images. It asks anew each time: the image may be gone.
func (r *Runner) Inspect(ctx context.Context, id string) (sandbox.Image, error) {
	img, err := r.inspectImage(ctx, id)
	if err != nil {
		return sandbox.Image{}, err
	}
	return img.image, nil
}

// ListImages implements sandbox.Images.
func (r *Runner) ListImages(ctx context.Context) ([]sandbox.Image, error) {
	var found []struct {
		Id, Digest     string
		RepoTags       []string
		Size           int64
		Arch           string
		IsManifestList bool
	}
	err := r.api.do(ctx, request{method: http.MethodGet, path: "/images/json", out: &found})
	for try := 1; err != nil && vanished(err) && try <= 6 && pause(ctx, nil, time.Duration(try)*50*time.Millisecond); try++ {
		found = nil
		err = r.api.do(ctx, request{method: http.MethodGet, path: "/images/json", out: &found})
	}
	if err != nil {
		return nil, hostError("list images", err)
	}
	var list []sandbox.Image
	for _, f := range found {
		list = append(list, sandbox.Image{ID: "sha256:" + f.Id, Digest: f.Digest, Ref: first(f.RepoTags), Size: f.Size, Arch: f.Arch})
	}
	slices.SortFunc(list, func(a, b sandbox.Image) int { return strings.Compare(a.ID, b.ID) })
	return list, nil
}

// vanished says that Podman failed to list its images because one was erased between its two looks at it.
func vanished(err error) bool {
	var api *apiError
	return errors.As(err, &api) && strings.Contains(api.message, "you may need to remove the image to resolve the error")
}

// loadTimeout is for the largest images on slow disks.
const loadTimeout = 2 * time.Hour

// Load implements sandbox.Images. The archive is checked while it is sent; Podman gets
// the end of it only when the check has passed.
func (r *Runner) Load(ctx context.Context, in io.Reader) (sandbox.Image, error) {
	h, err := r.look(ctx)
	if err != nil {
		return sandbox.Image{}, err
	}
	g := newGate(in, h.caps.Arch)
	defer g.close()
	err = r.api.do(ctx, request{method: http.MethodPost, path: "/images/load", stream: g, timeout: loadTimeout})
	archive, verdict := g.verdict()
	if verdict != nil {
		return sandbox.Image{}, verdict
	}
	if err != nil {
		var api *apiError
		if errors.As(err, &api) {
			return sandbox.Image{}, loadError(api)
		}
		return sandbox.Image{}, err
	}
	return r.Inspect(ctx, archive.ID)
}

func loadError(api *apiError) error {
	if strings.Contains(api.message, "no space left") {
		return sandbox.Host("load image: the disk of the sandbox account is full; free space and try again", api)
	}
	return sandbox.Invalid("Podman cannot read the image archive: %s", sandbox.Printable(api.message))
}

// RemoveImage implements sandbox.Images.
func (r *Runner) RemoveImage(ctx context.Context, id string) error {
	name, err := r.imageName(ctx, id)
	if absent(err) {
		return nil
	}
	if err != nil {
		return err
	}
	err = r.api.do(ctx, request{method: http.MethodDelete, path: "/images/%s", args: []string{name}, query: url.Values{"force": {"false"}}})
	var api *apiError
	if errors.As(err, &api) && api.status == http.StatusConflict {
		return sandbox.Invalid("image %s is in use by a container, or has more than one name: %s", id, sandbox.Printable(api.message))
	}
	if err != nil && !absent(err) {
		return hostError("remove image", err)
	}
	r.mu.Lock()
	delete(r.images, id)
	r.mu.Unlock()
	return nil
}

// Warm implements sandbox.Images: the first start of an image under the no-map mapping
// copies and re-owns its layers, so one container is created and erased.
func (r *Runner) Warm(ctx context.Context, id string, progress func(done, total int64)) error {
	img, err := r.image(ctx, id)
	if err != nil {
		return err
	}
	h, err := r.look(ctx)
	if err != nil {
		return err
	}
	if progress == nil {
		progress = func(int64, int64) {}
	}
	progress(0, img.image.Size)
	if err := r.warm(ctx, h, id); err != nil {
		return err
	}
	progress(img.image.Size, img.image.Size)
	return nil
}

func (r *Runner) warm(ctx context.Context, h *host, id string) error {
	ref := sandbox.Ref("tresor-warm-" + strings.TrimPrefix(id, "sha256:")[:24])
	s := sandbox.Spec{Ref: ref, Image: id, Argv: []string{"warm"}, Limits: sandbox.Limits{}.WithDefaults()}
	b := r.hardened(h, string(ref))
	b.Image, b.Labels, b.Rlimits = id, map[string]string{labelOurs: r.instance, labelCollector: string(ref)}, rlimits(s.Limits, h)
	if err := r.api.do(ctx, request{method: http.MethodPost, path: "/containers/create", body: b, timeout: loadTimeout}); err != nil {
		var api *apiError
		if !errors.As(err, &api) || !strings.Contains(api.message, "already in use") {
			return hostError("warm image", err)
		}
	}
	return r.removeContainer(ctx, ref)
}
