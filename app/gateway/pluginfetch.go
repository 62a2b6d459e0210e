package gateway

import (
	"context"
	"io"
	"net/http"
	"strings"

	"tresor/plugins/protocol"
)

const mostAnswer = 1 << 20 // bytes of an answer to a plugin

// Fetch does HTTP for the plugin, to addresses that an operator has allowed it.
func (h *host) Fetch(ctx context.Context, r protocol.Request) (protocol.Response, error) {
	if h.who.Kind == Inside {
		return protocol.Response{}, h.fail(fetchedInside())
	}
	resp, err := h.s.fetchFor(ctx, h.plugin, r)
	return resp, h.fail(err)
}

// FetchFor does HTTP for a plugin that acts for nobody, while an operator tests it: to
// the addresses that an operator has allowed it, and to no others. An error is a *protocol.Error.
func (s *Service) FetchFor(ctx context.Context, plugin string, r protocol.Request) (protocol.Response, error) {
	resp, err := s.fetchFor(ctx, plugin, r)
	if err == nil {
		return resp, nil
	}
	correlation := s.IDs()
	s.explain(err, correlation)
	return protocol.Response{}, wire(err, correlation)
}

func (s *Service) fetchFor(ctx context.Context, plugin string, r protocol.Request) (protocol.Response, error) {
	all, err := s.sources(ctx)
	if err != nil {
		return protocol.Response{}, err
	}
	return s.fetcher(all, plugin).do(ctx, r)
}

func (f *fetcher) do(ctx context.Context, r protocol.Request) (protocol.Response, error) {
	raw := r.Path
	if r.Query != "" {
		raw += "?" + r.Query
	}
	u, err := plainURL(raw)
	if err != nil {
		return protocol.Response{}, sourceRefused(raw)
	}
	if _, err := f.covering(u); err != nil {
		return protocol.Response{}, err
	}
	ctx, cancel := context.WithTimeout(ctx, f.s.Fetch.Timeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, r.Method, u.String(), strings.NewReader(string(r.Body)))
	if err != nil {
		return protocol.Response{}, malformed("The request to %s is not valid.", quoted(shown(raw)))
	}
	for k, v := range r.Header {
		if !hopHeader(k) {
			req.Header[http.CanonicalHeaderKey(k)] = v
		}
	}
	client, err := f.client(Source{}) // a plugin's secrets are its own
	if err != nil {
		return protocol.Response{}, err
	}
	resp, err := client.Do(req)
	if err != nil {
		return protocol.Response{}, failed(raw, err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, mostAnswer+1))
	if err != nil {
		return protocol.Response{}, unreachable(raw, err)
	}
	if len(body) > mostAnswer {
		return protocol.Response{}, tooLarge(raw, mostAnswer)
	}
	return protocol.Response{Status: resp.StatusCode, Header: resp.Header, Body: body}, nil
}

// hopHeader reports headers that belong to the connection, not to the request.
func hopHeader(k string) bool {
	switch http.CanonicalHeaderKey(k) {
	case "Host", "Connection", "Proxy-Authorization", "Proxy-Connection", "Te", "Trailer", "Transfer-Encoding", "Upgrade", "Content-Length", "Accept-Encoding", "Keep-Alive":
		return true
	}
	return false
}
