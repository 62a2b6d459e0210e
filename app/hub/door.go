package hub

import (
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/url"
	"strings"

	"tresor/app/fault"
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
		if _, err := s.Cancel(r.Context(), c.actor(), to.id); err != nil {
			return err
		}
		return writeJSON(w, struct{}{})
	}
	return s.result(w, r, c, to)
}

func (s *Service) post(w http.ResponseWriter, r *http.Request, c caller) error {
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, model.MaxBody))
	var long *http.MaxBytesError
	if errors.As(err, &long) {
		return &refusal{status: http.StatusRequestEntityTooLarge, code: "too-large", detail: "The request is larger than 2 MiB, and a task has at most 1 MiB. Put large inputs into a dataset of the nodes."}
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
