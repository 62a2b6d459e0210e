package hub

import (
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/url"
	"strings"

	"tresor/app/fault"
	"tresor/fed/task"
	"tresor/plugins/builtin/tes/model"
)

// DoorPath is where the task service lies; Door takes everything below it.
const DoorPath = "/ga4gh/tes/"

// Door is the one task service of the hub (GA4GH TES 1.1) and the way to results.
// It asks for a researcher's token at every request and takes no cookie.
func (s *Service) Door() http.Handler { return http.HandlerFunc(s.serve) }

func (s *Service) serve(w http.ResponseWriter, r *http.Request) {
	h := w.Header()
	h.Set("Cache-Control", "no-store")
	h.Set("X-Content-Type-Options", "nosniff")
	to := route(r.URL.EscapedPath())
	if err := to.check(r.Method); err != nil {
		s.refuse(w, r, err)
		return
	}
	c, err := s.callerOf(r.Context(), bearer(r))
	if err == nil {
		err = s.answer(w, r, c, to)
	}
	if err != nil {
		s.refuse(w, r, err)
	}
}

func (s *Service) answer(w http.ResponseWriter, r *http.Request, c caller, to place) error {
	switch to.what {
	case atInfo:
		return writeJSON(w, s.info())
	case atTasks:
		if r.Method == http.MethodPost {
			return s.post(w, r, c)
		}
		return s.list(w, r, c)
	case atTask:
		return s.show(w, r, c, to.id)
	case atCancel:
		if err := s.inProject(r.Context(), c, to.id); err != nil {
			return err
		}
		if _, err := s.Cancel(r.Context(), c.lead(), to.id); err != nil {
			return err
		}
		return writeJSON(w, struct{}{})
	}
	return s.result(w, r, c, to)
}

func (s *Service) post(w http.ResponseWriter, r *http.Request, c caller) error {
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, task.MaxBody))
	var long *http.MaxBytesError
	if errors.As(err, &long) {
		return &refusal{status: http.StatusRequestEntityTooLarge, code: "too-large", detail: "A task for several nodes may have at most 160 KiB. Put large inputs into a dataset of the nodes."}
	}
	if err != nil {
		return fault.Kinded("hub.post", fault.Invalid, err, "The body of the request broke off.")
	}
	t, err := model.ReadTask(body)
	if err != nil {
		return err
	}
	id, err := s.create(r.Context(), c, t, r.Header.Get("Idempotency-Key"))
	if err != nil {
		return err
	}
	return writeJSON(w, model.CreateTaskResponse{ID: id})
}

func (s *Service) info() model.ServiceInfo {
	host, origin := "localhost", s.URL()
	if u, err := url.Parse(origin); err == nil && u.Hostname() != "" {
		host = u.Hostname()
	}
	return model.ServiceInfo{ID: "tresor.hub." + host, Name: s.Name, Type: model.TES11, Version: s.Version,
		Description:  "A federation hub. A task runs at every node that its tag tres names, or at all nodes of the project; it ends when every node has released its results or refused.",
		Organization: model.Organization{Name: s.Name, URL: origin}, DocumentationURL: origin + "/docs/pages/hub", BackendParameters: []string{}}
}

// The places of the door.
const (
	atInfo   = "service-info"
	atTasks  = "tasks"
	atTask   = "task"
	atCancel = "cancel"
	atResult = "result"
)

// place is what an address names.
type place struct{ what, id, node, path string }

// route reads an address below DoorPath, with v1 or without, however many
// slashes: a 404 is about the task and not about the spelling.
func route(escaped string) place {
	below, ok := strings.CutPrefix(escaped, strings.TrimSuffix(DoorPath, "/"))
	if !ok {
		return place{}
	}
	words := strings.FieldsFunc(below, func(c rune) bool { return c == '/' })
	for i, word := range words {
		plain, err := url.PathUnescape(word)
		if err != nil || len(plain) > maxPath || plain == "." || plain == ".." || strings.ContainsAny(plain, "/\\\x00") {
			return place{}
		}
		words[i] = plain
	}
	if len(words) > 1 && words[0] == "v1" {
		words = words[1:]
	}
	switch {
	case len(words) == 1 && words[0] == "service-info", len(words) == 2 && words[0] == "tasks" && words[1] == "service-info":
		return place{what: atInfo}
	case len(words) == 1 && words[0] == "tasks":
		return place{what: atTasks}
	case len(words) == 2 && words[0] == "tasks":
		if id, cancel := strings.CutSuffix(words[1], ":cancel"); cancel {
			return place{what: atCancel, id: id}
		}
		return place{what: atTask, id: words[1]}
	case len(words) >= 3 && words[0] == "results":
		return place{what: atResult, id: words[1], node: words[2], path: strings.Join(words[3:], "/")}
	}
	return place{}
}

func (p place) check(method string) error {
	allow := "GET, HEAD"
	switch p.what {
	case "":
		return &refusal{status: http.StatusNotFound, code: "not-found",
			detail: "There is no such address in this service. It has service-info, tasks, tasks/{id} and tasks/{id}:cancel, each also behind v1, and results/{id}/{node}."}
	case atTasks:
		allow = "GET, HEAD, POST"
	case atCancel:
		allow = "POST"
	}
	for word := range strings.SplitSeq(allow, ", ") {
		if word == method {
			return nil
		}
	}
	return &refusal{status: http.StatusMethodNotAllowed, code: "method", detail: "This address takes " + allow + ".", allow: allow}
}

// bearer reads the token; some clients can send it as the password of Basic only.
func bearer(r *http.Request) string {
	if _, password, ok := r.BasicAuth(); ok {
		return password
	}
	kind, token, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	if !strings.EqualFold(kind, "Bearer") {
		return ""
	}
	return strings.TrimSpace(token)
}

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

func writeJSON(w http.ResponseWriter, v any) error {
	body, err := json.Marshal(v)
	if err != nil {
		return err
	}
	return writeBody(w, body)
}

func writeBody(w http.ResponseWriter, body []byte) error {
	w.Header().Set("Content-Type", "application/json")
	_, _ = w.Write(body) // the other end is gone: nobody to tell
	return nil
}
