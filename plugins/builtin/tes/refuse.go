package tes

import (
	"encoding/json"
	"errors"
	"net/http"
	"strings"

	"tresor/plugins/builtin/tes/model"
	"tresor/plugins/protocol"
)

// problem is the body of every refusal (RFC 9457). The specification names none.
type problem struct {
	Type        string `json:"type"`
	Title       string `json:"title"`
	Status      int    `json:"status"`
	Detail      string `json:"detail"`                // what happened and what to do
	Code        string `json:"code"`                  // for programs
	Field       string `json:"field,omitempty"`       // where in the task
	Correlation string `json:"correlation,omitempty"` // finds the request in the operator's log
	allow       string
	retry       string // seconds
}

var statuses = map[string]int{
	protocol.CodeNotFound:    http.StatusNotFound,
	protocol.CodeInvalid:     http.StatusBadRequest,
	protocol.CodeDenied:      http.StatusForbidden,
	protocol.CodeConflict:    http.StatusConflict,
	protocol.CodeUnavailable: http.StatusServiceUnavailable,
	protocol.CodeExhausted:   http.StatusTooManyRequests,
	protocol.CodeUnsupported: http.StatusNotImplemented,
	protocol.CodeInternal:    http.StatusInternalServerError,
}

var retries = map[string]string{protocol.CodeUnavailable: "5", protocol.CodeExhausted: "30"}

var noAddress = problem{Status: http.StatusNotFound, Code: protocol.CodeNotFound,
	Detail: "There is no such address in this service. It has service-info, tasks, tasks/{id} and tasks/{id}:cancel, each also behind v1."}

func wrongMethod(allow []string) problem {
	list := strings.Join(allow, ", ")
	return problem{Status: http.StatusMethodNotAllowed, Code: "method", Detail: "This address takes " + list + ".", allow: list}
}

// asProblem turns an error of the reader or the host into an answer. The text of
// an error that was not written for callers stays here.
func asProblem(err error) problem {
	var read *model.Problem
	if errors.As(err, &read) {
		p := problem{Status: http.StatusBadRequest, Code: protocol.CodeInvalid, Detail: read.Error(), Field: read.Path}
		if read.Large {
			p.Status, p.Code = http.StatusRequestEntityTooLarge, "too-large"
		}
		return p
	}
	var e *protocol.Error
	if errors.As(err, &e) {
		if status, ok := statuses[e.Code]; ok {
			return problem{Status: status, Code: e.Code, Detail: e.Text, retry: retries[e.Code]}
		}
	}
	return problem{Status: http.StatusInternalServerError, Code: protocol.CodeInternal,
		Detail: "The request failed here. Try again; if it stays, tell the operator the correlation id."}
}

func refuse(r protocol.Request, p problem) protocol.Response {
	p.Type, p.Title, p.Correlation = "about:blank", http.StatusText(p.Status), r.Correlation
	body, err := json.Marshal(p)
	if err != nil {
		body = []byte(`{}`)
	}
	head := map[string][]string{"Content-Type": {"application/problem+json"}, "Cache-Control": {"no-store"}}
	if p.allow != "" {
		head["Allow"] = []string{p.allow}
	}
	if p.retry != "" {
		head["Retry-After"] = []string{p.retry}
	}
	return protocol.Response{Status: p.Status, Header: head, Body: body}
}

func invalid(path, text string) error { return &model.Problem{Path: path, Text: text} }
