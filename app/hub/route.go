package hub

import (
	"net/http"
	"net/url"
	"strings"
)

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
	if len(words) > 2 && words[0] == "ga4gh" && words[1] == "tes" { // py-tes adds the whole way to what it was given
		words = words[2:]
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
