package link

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"slices"
	"strings"
	"time"

	"tresor/app/fault"
	"tresor/app/gateway"
	"tresor/fed/node"
	"tresor/fed/task"
	"tresor/fed/wire"
	"tresor/plugins/protocol"
)

// base is this appliance as a hub sees it over the link.
const base = "http://node"

// door is what one hub reaches.
func (s *Service) door(h *hub) node.Door {
	execute := func(ctx context.Context, o node.Order) ([]byte, error) { return s.execute(ctx, h, o) }
	return node.Door{
		Routes:  s.routes(h),
		Execute: execute,
		// The gateway knows an order by its id: the same order again is the same task.
		Again:  execute,
		Closed: func() *wire.Refusal { return closed(h) },
	}
}

func closed(h *hub) *wire.Refusal {
	if h.principal.Load() == nil || h.confirmed.Load() == 0 {
		return wire.Refuse(wire.CodePaused, "the node's operator has not compared the words yet: call them")
	}
	return nil
}

func (s *Service) caller(h *hub, onBehalf string) gateway.Caller {
	return gateway.Caller{Kind: gateway.Hub, ID: h.principal.Load().ID, OnBehalf: onBehalf, Correlation: s.IDs()}
}

// routes answer plain requests, which only read. Everything else is not there.
func (s *Service) routes(h *hub) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET "+task.PathPing, func(w http.ResponseWriter, r *http.Request) {
		s.Gateway.Seen(r.Context(), h.principal.Load().ID)
		reply(w, http.StatusOK, task.Ping{Name: s.Name, Version: s.Version, Time: s.Now().UTC(), Plugins: s.reached(h.principal.Load()), Paused: s.allPaused()})
	})
	mux.HandleFunc("GET "+task.PathCatalogue, func(w http.ResponseWriter, r *http.Request) { s.showCatalogue(w, r, h) })
	mux.HandleFunc("GET /ga4gh/{plugin}/{path...}", func(w http.ResponseWriter, r *http.Request) { s.forward(w, r, h) })
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		reply(w, http.StatusNotFound, wire.Refuse(wire.CodeUnknown, "a hub reaches the routes of the node's plugins, its catalogue and its ping: nothing else is here"))
	})
	return mux
}

// reached lists the plugins that run and that the hub was let to. The gateway
// decides again, afresh, with each request.
func (s *Service) reached(p *gateway.Principal) []string {
	out := []string{}
	for _, name := range s.Plugins.Published() {
		if slices.Contains(p.Plugins, name) {
			out = append(out, name)
		}
	}
	return out
}

func reply(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(v)
}

// forward hands a plain request to a plugin, in the hub's name.
func (s *Service) forward(w http.ResponseWriter, r *http.Request, h *hub) {
	plugin := r.PathValue("plugin")
	who := s.caller(h, "")
	path := strings.TrimPrefix(r.URL.EscapedPath(), task.PluginPath(plugin))
	resp, err := s.Gateway.Serve(r.Context(), s.Plugins, who, plugin, protocol.Request{
		Method: r.Method, Path: path, Query: r.URL.RawQuery, Header: passed(r.Header), Base: base + task.PluginPath(plugin), Correlation: who.Correlation,
	})
	if err != nil {
		status, text := unanswered(err)
		s.Logger.Warn("a hub's request could not be answered", "hub", h.name, "plugin", plugin, "error", err)
		reply(w, status, wire.Refuse(wire.CodeBusy, "%s (reference %s)", text, who.Correlation))
		return
	}
	s.Gateway.WriteResponse(w, r, who, plugin, resp)
}

// passed keeps the header fields that a plugin may need.
func passed(h http.Header) map[string][]string {
	out := map[string][]string{}
	for _, k := range []string{"Accept", "Accept-Language", "Content-Type", "If-None-Match", "If-Modified-Since", "Range", "User-Agent"} {
		if v := h.Values(k); len(v) > 0 {
			out[k] = v
		}
	}
	return out
}

// Waits while nobody can answer an order, such as between two starts of a plugin.
const (
	firstPause = 200 * time.Millisecond
	lastPause  = 10 * time.Second
	answerWait = 15 * time.Second
)

// execute does what an order asks. An order that was answered is never asked again,
// so while nobody can answer, or the hub has its fill of open tasks, it waits, and
// then has the hub send it again.
func (s *Service) execute(ctx context.Context, h *hub, o node.Order) ([]byte, error) {
	if o.Kind != task.KindHTTP {
		return nil, wire.Refuse(wire.CodeMalformed, "this node knows orders of the kind %q only", task.KindHTTP)
	}
	req, err := task.DecodeRequest(o.Body)
	if err != nil {
		return nil, err
	}
	who := s.caller(h, req.OnBehalf)
	end := s.Now().Add(answerWait)
	for pause := firstPause; ; pause = min(2*pause, lastPause) {
		resp, err := s.Gateway.Serve(ctx, s.Plugins, who, req.Plugin, protocol.Request{
			Method: req.Method, Path: req.Path, Query: req.Query, Header: passed(req.Header), Body: req.Body,
			Base: base + task.PluginPath(req.Plugin), RemoteID: o.ID, Correlation: who.Correlation,
		})
		if !later(resp, err) {
			if err != nil {
				status, text := unanswered(err)
				s.Logger.Warn("a hub's order could not be answered", "hub", h.name, "id", o.ID, "error", err)
				resp = protocol.Response{Status: status, Body: []byte(text + "\n"), Header: map[string][]string{"Content-Type": {"text/plain"}}}
			}
			return answer(resp)
		}
		if s.Now().After(end) {
			return nil, node.ErrLater
		}
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-time.After(pause):
		}
	}
}

// later reports whether the same order may well be answered another time.
func later(resp protocol.Response, err error) bool {
	if err != nil {
		return fault.KindOf(err) == fault.Unavailable
	}
	return resp.Status == http.StatusServiceUnavailable || resp.Status == http.StatusBadGateway || resp.Status == http.StatusTooManyRequests
}

// answer makes a plugin's answer that of an order. Released bytes are read with a
// plain request: they have no place in an order.
func answer(resp protocol.Response) ([]byte, error) {
	if resp.Release != nil {
		return nil, wire.Refuse(wire.CodeSize, "released files are read with a plain request, not with an order")
	}
	return task.Answer{Status: resp.Status, Header: resp.Header, Body: resp.Body}.Encode()
}

// unanswered is what a hub hears when nobody could answer.
func unanswered(err error) (int, string) {
	var f *fault.Error
	if !errors.As(err, &f) {
		return http.StatusInternalServerError, "The node could not answer; its operator finds why in its log."
	}
	switch fault.KindOf(err) {
	case fault.NotFound:
		return http.StatusNotFound, fault.Message(err)
	case fault.Unavailable:
		return http.StatusServiceUnavailable, fault.Message(err)
	}
	return http.StatusInternalServerError, "The node could not answer; its operator finds why in its log."
}
