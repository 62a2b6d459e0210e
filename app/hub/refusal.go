package hub

import (
	"encoding/json"
	"errors"
	"net/http"

	"tresor/app/fault"
	"tresor/fed/wire"
	"tresor/plugins/builtin/tes/model"
)

// refusal is a refusal that is no fault of a kind.
type refusal struct {
	status       int
	code, detail string
	allow        string
}

func (e *refusal) Error() string { return e.detail }

var statuses = map[fault.Kind]int{
	fault.NotFound: http.StatusNotFound, fault.Invalid: http.StatusBadRequest, fault.Denied: http.StatusForbidden, fault.Conflict: http.StatusConflict,
	fault.Unavailable: http.StatusServiceUnavailable, fault.Exhausted: http.StatusTooManyRequests, fault.Internal: http.StatusInternalServerError,
}

// refuse answers with a problem document (RFC 9457).
func (s *Service) refuse(w http.ResponseWriter, r *http.Request, err error) {
	e := s.asRefusal(w, err)
	p := map[string]any{"type": "about:blank", "title": http.StatusText(e.status), "status": e.status, "detail": e.detail, "code": e.code}
	if id := r.Header.Get("Tresor-Correlation"); id != "" { // set by the server, never by the caller
		p["correlation"] = id
	}
	body, _ := json.Marshal(p) // texts and a number
	h := w.Header()
	h.Set("Content-Type", "application/problem+json")
	if e.allow != "" {
		h.Set("Allow", e.allow)
	}
	w.WriteHeader(e.status)
	_, _ = w.Write(body)
}

func (s *Service) asRefusal(w http.ResponseWriter, err error) *refusal {
	var e *refusal
	var p *model.Problem
	switch {
	case errors.As(err, &e):
		return e
	case errors.As(err, &p) && p.Large:
		return &refusal{status: http.StatusRequestEntityTooLarge, code: "too-large", detail: p.Error()}
	case errors.As(err, &p):
		return &refusal{status: http.StatusBadRequest, code: fault.Invalid.String(), detail: p.Error()}
	case errors.Is(err, ErrDeleted):
		return &refusal{status: http.StatusGone, code: "gone", detail: fault.Message(err)}
	case errors.Is(err, errToken):
		w.Header().Set("WWW-Authenticate", `Bearer realm="tresor hub"`)
		return &refusal{status: http.StatusUnauthorized, code: "unauthenticated", detail: fault.Message(err)}
	}
	kind := fault.KindOf(err)
	if kind == fault.Internal {
		s.Logger.Error("the hub's door broke", "error", err)
	}
	if kind == fault.Unavailable || kind == fault.Exhausted {
		w.Header().Set("Retry-After", "5")
	}
	detail := fault.Message(err)
	if next := fault.Next(err); next != "" {
		detail += " " + next
	}
	return &refusal{status: statuses[kind], code: kind.String(), detail: detail}
}

// refused makes a refusal of the federation an error that people can act on.
func refused(op string, err error) error {
	var r *wire.Refusal
	if !errors.As(err, &r) {
		return fault.Wrap(op, err)
	}
	kind := fault.Conflict
	switch r.Code {
	case wire.CodeMalformed, wire.CodeSize:
		kind = fault.Invalid
	case wire.CodeUnknown:
		kind = fault.NotFound
	case wire.CodeOffline, wire.CodeBusy:
		kind = fault.Unavailable
	}
	return fault.Kinded(op, kind, err, "%s", sentence(r.Text))
}
