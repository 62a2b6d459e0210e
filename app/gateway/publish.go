package gateway

import (
	"context"
	"encoding/json"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"tresor/app/fault"
	"tresor/plugins/protocol"
)

// A plugin with the part publisher renders documents for a hub or a client that sees
// what is published here. They are made with that principal's own view, kept for some
// minutes, and read below the plugin's door. Nobody else gets them, and making them
// can do nothing but look.

const (
	publishedRoute = "/published/"
	publishedFor   = 5 * time.Minute  // for which a rendering is good
	failedFor      = 10 * time.Second // for which a failure is
	publishWait    = 20 * time.Second
	mostShelves    = 32 // renderings that are kept; one is at most protocol.MaxMessage
)

// shelves keeps renderings, by principal and plugin.
type shelves struct {
	mu  sync.Mutex
	all map[shelfKey]*shelf
}

type shelfKey struct{ principal, plugin string }

// shelf is one rendering; its lock is held while it is made, so that it is made once.
type shelf struct {
	mu    sync.Mutex
	seen  string // digest of what the principal may name
	until time.Time
	docs  []protocol.Document // by path
	err   error
}

func (s *shelves) of(k shelfKey) *shelf {
	s.mu.Lock()
	defer s.mu.Unlock()
	if got := s.all[k]; got != nil {
		return got
	}
	if len(s.all) >= mostShelves || s.all == nil {
		s.all = map[shelfKey]*shelf{}
	}
	s.all[k] = &shelf{}
	return s.all[k]
}

// Documents are what a plugin publishes to a caller, by path; none for a caller that
// is not shown what is published, and for a plugin that publishes nothing. Who sends
// them on writes that down with Published.
func (s *Service) Documents(ctx context.Context, plugins Plugins, who Caller, plugin string) ([]protocol.Document, error) {
	h := &host{s: s, who: who, plugin: plugin}
	p, err := h.party(ctx)
	if err == nil {
		var docs []protocol.Document
		if docs, err = s.documents(ctx, plugins, h, p); err == nil {
			return docs, nil
		}
	}
	if codeOf(err) == CodeNotFound || codeOf(err) == CodeNoPlugin {
		return nil, nil
	}
	return nil, fault.Wrap("gateway.Documents", err)
}

func (s *Service) documents(ctx context.Context, plugins Plugins, h *host, p *party) ([]protocol.Document, error) {
	if !p.machine() || !p.record.Publishes {
		return nil, nothingPublished()
	}
	server, err := s.server(ctx, plugins, h.plugin)
	if err != nil {
		return nil, err
	}
	publisher, ok := server.(protocol.Publisher)
	if !ok {
		return nil, nothingPublished()
	}
	visible, err := h.Visible(ctx)
	if err != nil {
		return nil, fromPlugin(err)
	}
	raw, err := json.Marshal(visible)
	if err != nil {
		return nil, err
	}
	sh, seen := s.shelves.of(shelfKey{p.key, h.plugin}), digest(raw)
	sh.mu.Lock()
	defer sh.mu.Unlock()
	if sh.seen == seen && s.Now().Before(sh.until) {
		return sh.docs, sh.err
	}
	wait, cancel := context.WithTimeout(ctx, publishWait)
	defer cancel()
	docs, err := publisher.Publish(wait, nil, window{h})
	if ctx.Err() != nil {
		return nil, ctx.Err() // whoever asks next makes it
	}
	sh.fill(seen, docs, err, s.Now())
	return sh.docs, sh.err
}

func (sh *shelf) fill(seen string, docs []protocol.Document, err error, now time.Time) {
	sh.seen, sh.docs, sh.err, sh.until = seen, docs, nil, now.Add(publishedFor)
	slices.SortFunc(sh.docs, func(a, b protocol.Document) int { return strings.Compare(a.Path, b.Path) })
	if err != nil {
		sh.docs, sh.err, sh.until = nil, fromPlugin(err), now.Add(failedFor)
	}
}

func nothingPublished() error {
	return refuse(CodeNotFound, fault.NotFound, "Ask the operator of this server what is published to you.", "There is no such document here, or it is not published to you.")
}

// showDocument answers a request below publishedRoute.
func (s *Service) showDocument(ctx context.Context, plugins Plugins, h *host, p *party, req protocol.Request, path string) (protocol.Response, error) {
	if !reads(req.Method) {
		return protocol.Response{}, refuse(CodeMethod, fault.Invalid, "Read it with GET.", "Published documents are only read.")
	}
	docs, err := s.documents(ctx, plugins, h, p)
	if err != nil {
		return protocol.Response{}, err
	}
	i := slices.IndexFunc(docs, func(d protocol.Document) bool { return d.Path == path })
	if i < 0 {
		return protocol.Response{}, nothingPublished()
	}
	d := docs[i]
	tag := `"` + digest(d.Body) + `"`
	resp := protocol.Response{Status: http.StatusOK, Header: map[string][]string{"Content-Type": {d.ContentType}, "Etag": {tag}}, Body: d.Body}
	if slices.ContainsFunc(req.Header["If-None-Match"], func(v string) bool { return strings.Contains(v, tag) }) {
		resp.Status, resp.Body = http.StatusNotModified, nil
		return resp, nil
	}
	if req.Method == http.MethodHead {
		return resp, nil
	}
	h.mu.Lock()
	h.wrote = true
	h.mu.Unlock()
	return resp, s.shown(context.WithoutCancel(ctx), p.key, d.Body, h.plugin+": "+line(path, 200), h.who.Correlation)
}

// window is the Host of a plugin that renders documents: it sees what the principal
// may name and nothing else, and changes nothing.
type window struct{ h *host }

var errWindow = &protocol.Error{Code: protocol.CodeDenied, Text: "While it publishes, a plugin sees what may be named and nothing else."}

// Visible lists the projects and datasets that the principal may name.
func (w window) Visible(ctx context.Context) (protocol.Catalogue, error) { return w.h.Visible(ctx) }

// Health passes on how the plugin is.
func (w window) Health(ctx context.Context, v protocol.Health) error { return w.h.Health(ctx, v) }

func (window) Submit(context.Context, protocol.JobRequest) (protocol.JobState, error) {
	return protocol.JobState{}, errWindow
}
func (window) State(context.Context, string, protocol.View) (protocol.JobState, error) {
	return protocol.JobState{}, errWindow
}
func (window) Jobs(context.Context, protocol.JobQuery) (protocol.JobPage, error) {
	return protocol.JobPage{}, errWindow
}
func (window) Cancel(context.Context, string) error { return errWindow }
func (window) ReadRelease(context.Context, string, int64) (protocol.Chunk, error) {
	return protocol.Chunk{}, errWindow
}
func (window) Fetch(context.Context, protocol.Request) (protocol.Response, error) {
	return protocol.Response{}, errWindow
}
func (window) Audit(context.Context, string, map[string]string) error { return errWindow }

var _ protocol.Host = window{}
