package gateway

import (
	"context"
	"encoding/base64"
	"errors"
	"io"
	"net/http"
	"strings"
	"time"

	"tresor/app/access"
	"tresor/app/audit"
	"tresor/app/fault"
	"tresor/app/store"
	"tresor/plugins/protocol"
)

// deadline bounds one request, released bytes aside.
const deadline = 2 * time.Minute

// Door answers /ga4gh/<plugin>/…: it finds whom the token belongs to and hands the
// request to the plugin. It reads no cookie and sets none.
func (s *Service) Door(plugins Plugins) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		correlation := r.Header.Get(referenceHeader) // the door before this one gave it
		if !isID(correlation) {
			correlation = s.IDs()
		}
		w.Header().Set(referenceHeader, correlation)
		who, err := s.admit(r)
		if err != nil {
			s.explain(err, correlation)
			writeBody(w, r, problem(err, correlation))
			return
		}
		who.Correlation = correlation
		plugin, path, ok := split(r.URL.EscapedPath())
		if !ok {
			s.noService(w, r, who)
			return
		}
		s.pass(w, r, plugins, who, plugin, path, s.base(r)+"/ga4gh/"+plugin)
	})
}

// isID reports whether s has the form of an id: nothing else may stand in the ledger.
func isID(s string) bool {
	return len(s) == 36 && strings.Trim(s, "0123456789abcdef-") == ""
}

// InsideDoor answers a program inside a job, without a token: it acts as the job's
// own submitter in the job's own project. Paths stand below /ga4gh/tes as outside,
// or at the root, which is the plugin tes; the project's files at ProjectPath.
func (s *Service) InsideDoor(plugins Plugins, job string) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		who := Caller{Kind: Inside, ID: job, Correlation: s.IDs()}
		if strings.HasPrefix(r.URL.Path, ProjectPath) {
			s.projectFiles(w, r, who)
			return
		}
		plugin, path, ok := split(r.URL.EscapedPath())
		if !ok {
			plugin, path = insidePlugin, r.URL.EscapedPath()
		}
		base := "http://" + line(r.Host, 100)
		if ok {
			base += "/ga4gh/" + plugin
		}
		if plugin != insidePlugin {
			s.noService(w, r, who)
			return
		}
		s.pass(w, r, plugins, who, plugin, path, base)
	})
}

// insidePlugin is the only plugin that programs in containers reach. Another one may
// have a way to the outside, and a request is bytes of a program that has read data.
const insidePlugin = "tes"

// noService answers an address at which no plugin can be.
func (s *Service) noService(w http.ResponseWriter, r *http.Request, who Caller) {
	s.turnAway(w, r, who, refuse(CodeNotFound, fault.NotFound, "Check the address.", "There is no such service on this server."))
}

// split takes /ga4gh/<plugin>/rest apart.
func split(escaped string) (plugin, path string, ok bool) {
	rest, ok := strings.CutPrefix(escaped, "/ga4gh/")
	if !ok {
		return "", "", false
	}
	plugin, path, _ = strings.Cut(rest, "/")
	if plugin == "" || len(plugin) > 32 || strings.Trim(plugin, "abcdefghijklmnopqrstuvwxyz0123456789-") != "" {
		return "", "", false
	}
	return plugin, "/" + path, true
}

// base is the address of this server as the caller sees it.
func (s *Service) base(r *http.Request) string {
	if s.Public != nil {
		if u := s.Public(); u != "" {
			return u
		}
	}
	scheme := "http"
	if r.TLS != nil {
		scheme = "https"
	}
	return scheme + "://" + line(r.Host, 200)
}

// admit finds whom a request's token belongs to. An address that guesses learns no more
// than that it has to wait; a good token behind the same address is as good as ever.
func (s *Service) admit(r *http.Request) (Caller, error) {
	token, err := bearer(r)
	if err != nil {
		return Caller{}, err
	}
	who, err := s.authenticate(r.Context(), token)
	if err == nil || codeOf(err) != CodeUnknown || token == "" {
		return who, err
	}
	now, from := s.Now(), addressOf(r)
	if s.guesses.dry(from, now) {
		return Caller{}, refuse(CodeQuota, fault.Exhausted, "Wait some minutes, and check the token.", "Too many wrong tokens came from this address.")
	}
	s.guesses.spend(from, now, 1)
	s.guessed(r.Context())
	return Caller{}, err
}

// guessed writes the 1st, 10th, 100th … wrong token of an hour into the audit log.
func (s *Service) guessed(ctx context.Context) {
	n := s.tally.guess(s.Now())
	for m := n; m > 1; m /= 10 {
		if m%10 != 0 {
			return
		}
	}
	err := s.update(context.WithoutCancel(ctx), func(tx *store.Tx) error {
		_, err := s.Log.Append(tx, audit.By(access.System, "gateway.token-refused", "gateway", "", "count", itoa(int64(n))))
		return err
	})
	if err != nil {
		s.Logger.Error("gateway: writing down a wrong token", "err", err)
	}
}

// bearer reads the token of a request: Bearer, or Basic with the token as password,
// because some clients can send nothing else.
func bearer(r *http.Request) (string, error) {
	values := r.Header.Values("Authorization")
	if len(values) != 1 {
		return "", unknown()
	}
	scheme, rest, _ := strings.Cut(values[0], " ")
	rest = strings.TrimSpace(rest)
	switch strings.ToLower(scheme) {
	case "bearer":
		return rest, nil
	case "basic":
		raw, err := base64.StdEncoding.DecodeString(rest)
		if _, password, ok := strings.Cut(string(raw), ":"); err == nil && ok {
			return password, nil
		}
	}
	return "", unknown()
}

// forwarded are the headers that a plugin gets to see.
var forwarded = []string{"Accept", "Accept-Language", "Content-Type", "Content-Encoding", "If-None-Match", "If-Modified-Since", "Range", "User-Agent"}

// pass reads the request, asks the plugin and writes the answer.
func (s *Service) pass(w http.ResponseWriter, r *http.Request, plugins Plugins, who Caller, plugin, path, base string) {
	var req protocol.Request
	p, err := s.party(r.Context(), who)
	if err == nil {
		var leave func()
		if leave, err = s.slots.enter("door:"+p.key, mostArrived); err == nil {
			defer leave()
			req, err = readRequest(w, r, path, base)
		}
	}
	if err != nil {
		s.turnAway(w, r, who, err)
		return
	}
	ctx, cancel := context.WithTimeout(r.Context(), deadline)
	resp, err := s.Serve(ctx, plugins, who, plugin, req)
	cancel()
	if err != nil {
		err = fault.Kinded("gateway.pass", fault.Unavailable, err, "The answer took too long. Try again in a moment.")
		s.explain(err, who.Correlation)
		resp = problem(err, who.Correlation)
	}
	s.WriteResponse(w, r, who, plugin, resp)
}

// turnAway refuses a request that no plugin was asked about, and writes that down.
func (s *Service) turnAway(w http.ResponseWriter, r *http.Request, who Caller, err error) {
	s.explain(err, who.Correlation)
	if p, perr := s.party(r.Context(), who); perr == nil {
		h := &host{s: s, who: who}
		h.account(r.Context(), p, Entry{What: WhatRefused}, err)
	}
	writeBody(w, r, problem(err, who.Correlation))
}

var methods = []string{http.MethodGet, http.MethodHead, http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete}

func readRequest(w http.ResponseWriter, r *http.Request, path, base string) (protocol.Request, error) {
	if !has(methods, r.Method) {
		w.Header().Set("Allow", strings.Join(methods, ", "))
		return protocol.Request{}, refuse(CodeMethod, fault.Invalid, "Use one of "+strings.Join(methods, ", ")+".", "This server does not answer %s.", quoted(r.Method))
	}
	if len(path) > 4096 || len(r.URL.RawQuery) > 16<<10 {
		return protocol.Request{}, malformed("The address is too long.")
	}
	if e := r.Header.Get("Content-Encoding"); e != "" && e != "identity" {
		return protocol.Request{}, refuse(CodeUnsupportedType, fault.Invalid, "Send it without Content-Encoding.", "The body is encoded as %s, which this server does not read.", quoted(e))
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, MaxBody))
	var big *http.MaxBytesError
	if errors.As(err, &big) {
		return protocol.Request{}, refuse(CodeTooLarge, fault.Invalid, "Send less at once.", "The request is larger than %d MiB.", MaxBody>>20)
	}
	if err != nil {
		return protocol.Request{}, malformed("The request ended before all of it was here.")
	}
	remote, err := remoteID(r)
	if err != nil {
		return protocol.Request{}, err
	}
	req := protocol.Request{Method: r.Method, Path: path, Query: r.URL.RawQuery, Header: map[string][]string{}, Body: body, Base: base, RemoteID: remote}
	for _, k := range forwarded {
		if v := r.Header.Values(k); len(v) > 0 && len(v) < 10 {
			req.Header[k] = v
		}
	}
	return req, nil
}

// remoteID is the caller's own id for the request (draft-ietf-httpapi-idempotency-key-header).
// It is taken as it stands or not at all: two ids that were cut would be one.
func remoteID(r *http.Request) (string, error) {
	values := r.Header.Values("Idempotency-Key")
	if len(values) == 0 {
		return "", nil
	}
	id := values[0]
	if len(values) > 1 || len(id) > maxRemote || line(id, maxRemote) != id {
		return "", malformed("The header Idempotency-Key is one line of at most %d bytes without control characters, given once.", maxRemote)
	}
	return id, nil
}
