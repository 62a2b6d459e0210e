package gateway

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"strconv"
	"strings"

	"tresor/app/fault"
	"tresor/plugins/protocol"
)

// Headers that say by which number the operator finds a request, and which code a
// refusal has, whatever a protocol's own error looks like.
const (
	referenceHeader = "Tresor-Correlation"
	refusalHeader   = "Tresor-Refusal"
)

// MaxBody bounds the body of a request, in bytes.
const MaxBody = 2 << 20

// Serve answers one request of a caller through a plugin. A refusal is an answer
// too, with a problem document; the error is for a request that ended before.
func (s *Service) Serve(ctx context.Context, plugins Plugins, who Caller, plugin string, req protocol.Request) (protocol.Response, error) {
	if who.Correlation == "" {
		who.Correlation = s.IDs()
	}
	h := &host{s: s, who: who, plugin: plugin, remote: req.RemoteID, size: int64(len(req.Body)), reads: reads(req.Method)}
	if len(req.Body) > 0 {
		h.sum = digest(append([]byte(req.Method+" "+req.Path+"?"+req.Query+"\n"), req.Body...))
	}
	defer h.close()
	p, err := h.party(ctx)
	if err == nil {
		var leave func()
		if leave, err = s.slots.enter(p.key, mostAtOnce); err == nil {
			defer leave()
		}
	}
	if err == nil {
		s.touch(p.key, s.Now())
		resp, ok, serr := s.ask(ctx, plugins, h, p, req)
		if ok {
			s.settle(ctx, h, p, req, &resp)
			return resp, nil
		}
		err = serr
	}
	if ctx.Err() != nil {
		return protocol.Response{}, ctx.Err()
	}
	s.explain(err, who.Correlation)
	if p == nil { // it was found but may ask for nothing now
		p, _ = s.parties.get(Caller{Kind: who.Kind, ID: who.ID}, s.Now())
	}
	if p != nil && !h.wrote {
		h.account(ctx, p, Entry{What: WhatRefused}, err)
	}
	return problem(err, who.Correlation), nil
}

// ask hands the request to the plugin.
func (s *Service) ask(ctx context.Context, plugins Plugins, h *host, p *party, req protocol.Request) (protocol.Response, bool, error) {
	if len(req.Body) > MaxBody {
		return protocol.Response{}, false, refuse(CodeTooLarge, fault.Invalid, "Send less at once.", "The request is larger than %d MiB.", MaxBody>>20)
	}
	if path, ok := strings.CutPrefix(req.Path, publishedRoute); ok {
		resp, err := s.showDocument(ctx, plugins, h, p, req, path)
		return resp, err == nil, err
	}
	server, err := s.server(ctx, plugins, h.plugin)
	if err != nil {
		return protocol.Response{}, false, err
	}
	req.Caller, req.Correlation = p.wireCaller(), h.who.Correlation
	resp, err := server.ServeRequest(ctx, req, h)
	if err != nil {
		return protocol.Response{}, false, fromPlugin(err)
	}
	if resp.Status < 200 || resp.Status > 599 {
		return protocol.Response{}, false, fault.New("gateway.ask", fault.Internal, "The service gave no valid answer. The operator finds more in the log.")
	}
	return resp, true, nil
}

// server finds the plugin that runs.
func (s *Service) server(ctx context.Context, plugins Plugins, name string) (protocol.Server, error) {
	server, err := plugins.Server(ctx, name)
	if fault.KindOf(err) == fault.NotFound && err != nil {
		return nil, refuse(CodeNotFound, fault.NotFound, "Check the address.", "There is no such service on this server.")
	}
	return server, err
}

// fromPlugin reads an error of a plugin's call. Its text is a stranger's.
func fromPlugin(err error) error {
	var e *protocol.Error
	if !errors.As(err, &e) {
		return fault.Kinded("gateway.ask", fault.Unavailable, err, "The service does not answer now. Try again in a moment.")
	}
	if e.Code == protocol.CodeUnsupported {
		return refuse(CodeNotFound, fault.NotFound, "Check the address.", "There is no such service on this server.")
	}
	for kind, code := range wireCodes {
		if code == e.Code && kind != fault.Internal {
			return fault.New("gateway.ask", kind, "%s", line(e.Text, 300))
		}
	}
	return fault.Kinded("gateway.ask", fault.Internal, err, "The service failed. The operator finds the cause in the log.")
}

// settle writes down what was answered and adds the reference.
func (s *Service) settle(ctx context.Context, h *host, p *party, req protocol.Request, resp *protocol.Response) {
	h.mu.Lock()
	wrote, refusal := h.wrote, h.refusal
	h.mu.Unlock()
	header := http.Header{}
	copyHeaders(header, resp.Header)
	header.Set(referenceHeader, h.who.Correlation)
	if refusal != nil && resp.Status >= 400 {
		header.Set(refusalHeader, codeOf(refusal))
		if codeOf(refusal) == CodeUnknown {
			header.Set("WWW-Authenticate", challenge)
		}
	}
	resp.Header = header
	switch {
	case wrote:
	case resp.Status >= 400 && !reads(req.Method): // the plugin itself refused what it was sent
		code := map[bool]string{true: CodeMalformed, false: CodeUnavailable}[resp.Status < 500]
		header.Set(refusalHeader, code)
		h.account(ctx, p, Entry{What: WhatRefused}, refuse(code, fault.Invalid, "", "The %s service answered with status %d.", h.plugin, resp.Status))
	case resp.Release == nil:
		e := Entry{Principal: p.key, Project: p.bound, Direction: Out, What: WhatRead, Outcome: Answered}
		s.tally.add(e, resp.Body)
	}
}

func reads(method string) bool { return method == http.MethodGet || method == http.MethodHead }

// problemDocument is an error as programs see it (RFC 9457). It holds no cause.
type problemDocument struct {
	Type        string `json:"type"`
	Title       string `json:"title"`
	Status      int    `json:"status"`
	Detail      string `json:"detail"`
	Code        string `json:"code"`
	Next        string `json:"next,omitempty"`
	Correlation string `json:"correlation"`
}

const challenge = `Bearer realm="tresor"`

// problem is the answer to what no plugin was asked about.
func problem(err error, correlation string) protocol.Response {
	status := statusOf(err)
	body, merr := json.Marshal(problemDocument{Type: "about:blank", Title: http.StatusText(status), Status: status, Detail: fault.Message(err),
		Code: codeOf(err), Next: fault.Next(err), Correlation: correlation})
	if merr != nil { // only texts are in it
		panic(merr)
	}
	h := http.Header{}
	h.Set("Content-Type", "application/problem+json")
	h.Set(referenceHeader, correlation)
	h.Set(refusalHeader, codeOf(err))
	switch status {
	case http.StatusUnauthorized:
		h.Set("WWW-Authenticate", challenge)
	case http.StatusTooManyRequests, http.StatusServiceUnavailable:
		h.Set("Retry-After", "30")
	}
	return protocol.Response{Status: status, Header: h, Body: body}
}

// passing are the headers that a plugin may set.
var passing = map[string]bool{"Content-Type": true, "Content-Disposition": true, "Content-Language": true, "Last-Modified": true, "Etag": true, "Link": true,
	"Location": true, "Retry-After": true, "Allow": true, "Cache-Control": true, "Warning": true, "Deprecation": true, "Accept-Ranges": true}

// copyHeaders takes over what a plugin may set, and our own. Values with a line
// break would be headers of their own and are dropped.
func copyHeaders(to http.Header, from map[string][]string) {
	for k, values := range from {
		k = http.CanonicalHeaderKey(k)
		if !passing[k] && k != referenceHeader && k != refusalHeader && k != "Www-Authenticate" {
			continue
		}
		to.Del(k) // what stands there already came from a door that knew less
		for _, v := range values {
			if !strings.ContainsAny(v, "\r\n\x00") && len(v) < 4096 {
				to[k] = append(to[k], v)
			}
		}
	}
}

// writeBody sends an answer that is all in memory.
func writeBody(w http.ResponseWriter, r *http.Request, resp protocol.Response) {
	h := w.Header()
	copyHeaders(h, resp.Header)
	h.Set("X-Content-Type-Options", "nosniff")
	if h.Get("Cache-Control") == "" {
		h.Set("Cache-Control", "no-store")
	}
	if len(resp.Body) > 0 && h.Get("Content-Type") == "" {
		h.Set("Content-Type", "application/octet-stream")
	}
	if resp.Status != http.StatusNoContent && resp.Status != http.StatusNotModified {
		h.Set("Content-Length", strconv.Itoa(len(resp.Body)))
	}
	w.WriteHeader(resp.Status)
	if r.Method != http.MethodHead {
		_, _ = w.Write(resp.Body) // a reader who left sees nothing either way
	}
}

func itoa(n int64) string { return strconv.FormatInt(n, 10) }
