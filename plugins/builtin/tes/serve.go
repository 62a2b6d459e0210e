package tes

import (
	"context"
	"encoding/json"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"tresor/plugins/builtin/tes/model"
	"tresor/plugins/protocol"
)

// ServeRequest answers one request at the door. A refusal is an answer with a
// status and a problem document, never an error of the call.
func (a Adapter) ServeRequest(ctx context.Context, r protocol.Request, h protocol.Host) (protocol.Response, error) {
	to := route(r.Path)
	if allow, ok := methods[to.what]; !ok {
		return refuse(r, noAddress), nil
	} else if !slices.Contains(allow, method(r)) {
		return refuse(r, wrongMethod(allow)), nil
	}
	resp, err := a.serve(ctx, r, to, h)
	if err != nil {
		return refuse(r, asProblem(err)), nil
	}
	return resp, nil
}

func (a Adapter) serve(ctx context.Context, r protocol.Request, to target, h protocol.Host) (protocol.Response, error) {
	switch to.what {
	case toInfo:
		return answer(json.Marshal(info(r)))
	case toTasks:
		if r.Method == http.MethodPost {
			return create(ctx, r, h)
		}
		return list(ctx, r, h)
	case toTask:
		return get(ctx, r, to.id, h)
	case toCancel:
		if err := h.Cancel(ctx, to.id); err != nil {
			return protocol.Response{}, err
		}
		return answer([]byte("{}"), nil)
	default:
		return release(to), nil
	}
}

func get(ctx context.Context, r protocol.Request, id string, h protocol.Host) (protocol.Response, error) {
	q, err := readQuery(r.Query)
	if err != nil {
		return protocol.Response{}, err
	}
	view, err := q.view()
	if err != nil {
		return protocol.Response{}, err
	}
	job, err := h.State(ctx, id, hostView(view))
	if err != nil {
		return protocol.Response{}, err
	}
	return answer(appendJob(nil, &job, view, r), nil)
}

// places of the service.
const (
	toInfo    = "service-info"
	toTasks   = "tasks"
	toTask    = "task"
	toCancel  = "cancel"
	toRelease = "release"
)

var methods = map[string][]string{
	toInfo:    {http.MethodGet, http.MethodHead},
	toTasks:   {http.MethodGet, http.MethodHead, http.MethodPost},
	toTask:    {http.MethodGet, http.MethodHead},
	toCancel:  {http.MethodPost},
	toRelease: {http.MethodGet, http.MethodHead},
}

func method(r protocol.Request) string {
	if r.Method == "" {
		return http.MethodGet
	}
	return r.Method
}

// target is what an address names.
type target struct{ what, id, path string }

// route reads an address. Clients build it in several ways: with and without v1,
// with and without the door's own path, with slashes doubled or at the end; all of
// them mean the same, so that a 404 is about the task and not about the spelling.
func route(escaped string) target {
	parts := strings.FieldsFunc(escaped, func(c rune) bool { return c == '/' })
	for i, p := range parts {
		s, err := url.PathUnescape(p)
		if err != nil || !fitting(s) {
			return target{}
		}
		parts[i] = s
	}
	if len(parts) > 2 && parts[0] == "ga4gh" && parts[1] == "tes" {
		parts = parts[2:]
	}
	if len(parts) > 1 && parts[0] == "v1" {
		parts = parts[1:]
	}
	switch {
	case len(parts) == 1 && parts[0] == "service-info",
		len(parts) == 2 && parts[0] == "tasks" && parts[1] == "service-info": // the Funnel command line asks there
		return target{what: toInfo}
	case len(parts) == 1 && parts[0] == "tasks":
		return target{what: toTasks}
	case len(parts) == 2 && parts[0] == "tasks":
		return task(parts[1])
	case len(parts) >= 2 && parts[0] == "releases" && isID(parts[1]):
		to := target{what: toRelease, id: parts[1]}
		if len(parts) > 2 {
			to.path = "/" + strings.Join(parts[2:], "/")
		}
		return to
	}
	return target{}
}

// fitting refuses parts of an address that no address of ours holds.
func fitting(part string) bool {
	return part != "." && part != ".." && !strings.ContainsAny(part, "/\\\x00") && len(part) <= model.MaxPath
}

func task(last string) target {
	id, cancel := strings.CutSuffix(last, ":cancel")
	switch {
	case !isID(id):
		return target{}
	case cancel:
		return target{what: toCancel, id: id}
	}
	return target{what: toTask, id: id}
}

// isID reports whether s can be the id of a task or release.
func isID(s string) bool {
	return s != "" && len(s) <= model.MaxID && strings.IndexFunc(s, func(c rune) bool {
		return !(c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '-' || c == '_' || c == '.')
	}) < 0
}

// answer is a success: always 200, also for a task that was made.
func answer(body []byte, err error) (protocol.Response, error) {
	return protocol.Response{Status: http.StatusOK, Header: map[string][]string{
		"Content-Type":  {"application/json"},
		"Cache-Control": {"no-store"},
	}, Body: body}, err
}

// release names released bytes; the host finds out whether the caller may have
// them and sends them. A whole release is a zip.
func release(to target) protocol.Response {
	name, kind := "release.zip", "application/zip"
	if to.path != "" {
		name, kind = to.path[strings.LastIndexByte(to.path, '/')+1:], "application/octet-stream"
	}
	return protocol.Response{Status: http.StatusOK, Release: &protocol.ReleaseFile{ID: to.id, Path: to.path}, Header: map[string][]string{
		"Content-Type":           {kind},
		"Content-Disposition":    {"attachment; filename*=UTF-8''" + url.PathEscape(name)},
		"X-Content-Type-Options": {"nosniff"},
		"Cache-Control":          {"no-store"},
	}}
}
