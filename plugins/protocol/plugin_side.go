package protocol

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"sync/atomic"
)

// adapterHandler answers the host's calls with an Adapter.
type adapterHandler struct {
	adapter Adapter
	link    *link
}

// work is the body of calls that carry settings or a request.
type work struct {
	Settings Settings `json:"settings,omitempty"`
	Request  *Request `json:"request,omitempty"`
	Ahead    *ahead   `json:"ahead,omitempty"` // what the host looked up for the request
}

// answer answers one call. What the adapter says in an *Error is for the other side;
// any other error, or a panic, is for the plugin's author: it goes to standard error,
// which the host keeps in its log as the plugin's words.
func (a *adapterHandler) answer(ctx context.Context, f frame) (any, error) {
	v, err := guarded(answerFunc(a.ask), ctx, f)
	var meant *Error
	if err != nil && ctx.Err() == nil && !errors.As(err, &meant) {
		fmt.Fprintf(os.Stderr, "%s failed: %s\n", f.Name, strings.Join(strings.Fields(clipTo(err.Error(), MaxErrorText)), " "))
	}
	return v, err
}

type answerFunc func(context.Context, frame) (any, error)

func (a answerFunc) answer(ctx context.Context, f frame) (any, error) { return a(ctx, f) }

func (a *adapterHandler) ask(ctx context.Context, f frame) (any, error) {
	if f.Name == "describe" {
		d, err := a.adapter.Describe(ctx)
		d.Parts = parts(a.adapter)
		return d, err
	}
	w, err := decode[work](f)
	if err != nil {
		return nil, err
	}
	h := &hostClient{link: a.link, token: f.Token}
	h.ahead.Store(w.Ahead)
	switch f.Name {
	case "test":
		return a.adapter.TestConnection(ctx, w.Settings, h)
	case "serve":
		if s, ok := a.adapter.(Server); ok && w.Request != nil {
			return s.ServeRequest(ctx, *w.Request, h)
		}
	case "run":
		if p, ok := a.adapter.(Poller); ok {
			return struct{}{}, p.Run(ctx, w.Settings, h)
		}
	case "publish":
		if p, ok := a.adapter.(Publisher); ok {
			docs, err := p.Publish(ctx, w.Settings, h)
			return documents(docs), err
		}
	}
	return nil, &Error{Code: CodeUnsupported, Text: "this plugin has no part " + f.Name}
}

func parts(a Adapter) []string {
	out := []string{}
	if _, ok := a.(Server); ok {
		out = append(out, "server")
	}
	if _, ok := a.(Poller); ok {
		out = append(out, "poller")
	}
	if _, ok := a.(Publisher); ok {
		out = append(out, "publisher")
	}
	return out
}

// hostClient is the Host that a plugin holds for one call.
type hostClient struct {
	link  *link
	token string
	ahead atomic.Pointer[ahead] // the answer to the first call, if it is the one that was foreseen; later ones ask again
}

func (h *hostClient) do(ctx context.Context, name string, in, out any) error {
	h.ahead.Store(nil)
	return h.link.call(ctx, name, h.token, in, out)
}

func (h *hostClient) Visible(ctx context.Context) (c Catalogue, err error) {
	err = h.do(ctx, "visible", struct{}{}, &c)
	return c, err
}

func (h *hostClient) Submit(ctx context.Context, r JobRequest) (s JobState, err error) {
	err = h.do(ctx, "submit", r, &s)
	return s, err
}

type stateOf struct {
	ID   string `json:"id"`
	View View   `json:"view"`
}

func (h *hostClient) State(ctx context.Context, id string, view View) (s JobState, err error) {
	if s, ok, err := h.ahead.Swap(nil).state(id, view); ok {
		return s, err
	}
	err = h.do(ctx, "state", stateOf{id, view}, &s)
	return s, err
}

func (h *hostClient) Jobs(ctx context.Context, q JobQuery) (p JobPage, err error) {
	if p, ok, err := h.ahead.Swap(nil).jobs(q); ok {
		return p, err
	}
	err = h.do(ctx, "jobs", q, &p)
	return p, err
}

func (h *hostClient) Cancel(ctx context.Context, id string) error {
	return h.do(ctx, "cancel", id, nil)
}

type releaseAt struct {
	ID     string `json:"id"`
	Offset int64  `json:"offset"`
}

func (h *hostClient) ReadRelease(ctx context.Context, id string, offset int64) (c Chunk, err error) {
	err = h.do(ctx, "read-release", releaseAt{id, offset}, &c)
	return c, err
}

func (h *hostClient) Fetch(ctx context.Context, r Request) (resp Response, err error) {
	err = h.do(ctx, "fetch", r, &resp)
	return resp, err
}

func (h *hostClient) Health(ctx context.Context, v Health) error {
	return h.do(ctx, "health", v, nil)
}

type auditEvent struct {
	Verb   string            `json:"verb"`
	Detail map[string]string `json:"detail"`
}

func (h *hostClient) Audit(ctx context.Context, verb string, detail map[string]string) error {
	return h.do(ctx, "audit", auditEvent{verb, detail}, nil)
}

var _ Host = (*hostClient)(nil)
