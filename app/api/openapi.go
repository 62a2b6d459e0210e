package api

import (
	"encoding/json"
	"net/http"
	"reflect"
	"strconv"
	"strings"
)

// document describes the API for programs (OpenAPI 3.0). It is made from the
// route table and the Go types that the handlers really read and write, so it
// cannot say something else than the server does.
func document(name, version string, routes []Route) map[string]any {
	b := newSchemas()
	paths := map[string]any{}
	for i := range routes {
		rt := &routes[i]
		item, ok := paths[rt.Path].(map[string]any)
		if !ok {
			item = map[string]any{}
			paths[rt.Path] = item
		}
		item[strings.ToLower(rt.Method)] = operation(b, rt)
	}
	problem := b.ref(reflect.TypeFor[Problem]())
	return map[string]any{
		"openapi": "3.0.3",
		"info": map[string]any{
			"title": name + ": Tresor API", "version": version,
			"description": "Everything that the pages do goes through this API. Sign in with POST /session; the answer sets a cookie. " +
				"Times are RFC 3339 in UTC, sizes are bytes.",
		},
		"servers": []any{map[string]any{"url": prefix}},
		"paths":   paths,
		"components": map[string]any{
			"schemas": b.all,
			"responses": map[string]any{"Problem": map[string]any{
				"description": "What went wrong, for people and programs (RFC 9457).",
				"content":     map[string]any{"application/problem+json": map[string]any{"schema": problem}},
			}},
			"securitySchemes": map[string]any{"session": map[string]any{"type": "apiKey", "in": "cookie", "name": cookieName}},
		},
	}
}

func operation(b *schemas, rt *Route) map[string]any {
	op := map[string]any{
		"operationId": operationID(rt),
		"summary":     rt.Summary,
		"tags":        []any{strings.SplitN(strings.TrimPrefix(rt.Path, "/"), "/", 2)[0]},
		"description": accessText(rt.Access),
		"responses":   responses(b, rt),
	}
	if params := parameters(rt); len(params) > 0 {
		op["parameters"] = params
	}
	if body := requestBody(b, rt); body != nil {
		op["requestBody"] = body
	}
	if rt.Access.Level != Public {
		op["security"] = []any{map[string]any{"session": []any{}}}
	}
	return op
}

// operationID is a stable name such as postJobsJobCancel.
func operationID(rt *Route) string {
	id := strings.ToLower(rt.Method)
	for _, word := range strings.FieldsFunc(rt.Path, func(r rune) bool { return r < 'A' || r > 'Z' && r < 'a' || r > 'z' }) {
		id += strings.ToUpper(word[:1]) + word[1:]
	}
	return id
}

func accessText(a Access) string {
	var s string
	switch a.Level {
	case Public:
		s = "No session needed."
	case Enrol:
		s = "Any session, also one that is not set up yet."
	case SignedIn:
		s = "Any signed-in person."
	default:
		var words []string
		for _, action := range a.Actions {
			words = append(words, string(action))
		}
		s = "Needs the right " + strings.Join(words, " or ") + "."
	}
	if a.Local {
		s += " Only through the server's local socket."
	}
	if a.StepUp {
		s += " Needs a fresh proof of presence (POST /session/step-up)."
	}
	return s
}

func parameters(rt *Route) []any {
	var out []any
	for _, name := range rt.wildcards() {
		schema := map[string]any{"type": "string"}
		if name == "n" || name == "seq" || name == "place" {
			schema = map[string]any{"type": "integer", "minimum": 0}
		}
		out = append(out, map[string]any{"name": name, "in": "path", "required": true, "schema": schema, "description": pathParams[name]})
	}
	for _, name := range rt.Query {
		p := params[strings.TrimSuffix(name, "!")]
		schema := map[string]any{"type": "string"}
		if p.number {
			schema = map[string]any{"type": "integer", "minimum": 0}
		}
		out = append(out, map[string]any{"name": strings.TrimSuffix(name, "!"), "in": "query",
			"required": strings.HasSuffix(name, "!"), "schema": schema, "description": p.says})
	}
	return out
}

func requestBody(b *schemas, rt *Route) map[string]any {
	content := map[string]any{}
	switch rt.body {
	case JSON:
		content["application/json"] = map[string]any{"schema": b.request(rt.in, strings.Fields(rt.Need))}
	case Multipart:
		content["multipart/form-data"] = map[string]any{"schema": uploadForm}
	case Stream:
		content["application/x-tar"] = map[string]any{"schema": map[string]any{"type": "string", "format": "binary"}}
	default:
		return nil
	}
	return map[string]any{"required": rt.body != JSON || rt.Need != "", "content": content}
}

var uploadForm = map[string]any{
	"type": "object", "required": []any{"file"},
	"properties": map[string]any{
		"file":       map[string]any{"type": "array", "items": map[string]any{"type": "string", "format": "binary"}, "description": "CSV or TSV files, each becomes one table"},
		"dictionary": map[string]any{"type": "string", "description": "JSON that describes tables and columns"},
		"note":       map[string]any{"type": "string", "description": "what is new in this version"},
	},
}

func responses(b *schemas, rt *Route) map[string]any {
	all := map[string]any{"default": map[string]any{"$ref": "#/components/responses/Problem"}}
	ok := map[string]any{"description": http.StatusText(rt.status)}
	if rt.Socket {
		all["101"] = map[string]any{"description": "The connection becomes a web socket that sends events as JSON."}
		return all
	}
	content := map[string]any{}
	if rt.media != "" {
		content[rt.media] = map[string]any{"schema": map[string]any{"type": "string", "format": "binary"}}
	}
	if rt.out != nil {
		content["application/json"] = map[string]any{"schema": b.ref(rt.out)}
	}
	if len(content) > 0 {
		ok["content"] = content
	}
	all[strconv.Itoa(rt.status)] = ok
	return all
}

func encodeDocument(name, version string, routes []Route) ([]byte, error) {
	return json.Marshal(document(name, version, routes))
}
