package tes_test

import (
	"bytes"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/getkin/kin-openapi/openapi3filter"
	"github.com/getkin/kin-openapi/routers"

	"tresor/plugins/protocol"
	"tresor/plugins/protocoltest"
)

const specFile = "ga4gh-tes-1.1.openapi.yaml"

// published finds the published specification in a folder shared/specs beside or
// above the project. It is not part of the project; without it these tests are
// skipped, and the strict decoder's table stands alone.
func published(t *testing.T) *openapi3.T {
	t.Helper()
	dir, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	for ; dir != filepath.Dir(dir); dir = filepath.Dir(dir) {
		file := filepath.Join(dir, "shared", "specs", specFile)
		if _, err := os.Stat(file); err == nil {
			return load(t, file)
		}
	}
	t.Skipf("the published specification is not at hand: put %s into a folder shared/specs beside or above the project", specFile)
	return nil
}

func load(t *testing.T, file string) *openapi3.T {
	t.Helper()
	loader := openapi3.NewLoader()
	loader.IsExternalRefsAllowed = true
	doc, err := loader.LoadFromFile(file)
	if err != nil {
		t.Fatal(err)
	}
	doc.Security, doc.Servers = nil, openapi3.Servers{{URL: "/ga4gh/tes/v1"}}
	for _, item := range doc.Paths.Map() {
		for _, op := range item.Operations() {
			op.Security = nil // the door's business
		}
	}
	return doc
}

// operation finds what the specification says of a request to the address path.
func operation(t testing.TB, doc *openapi3.T, r *http.Request, path string) (*routers.Route, map[string]string) {
	t.Helper()
	path, _, _ = strings.Cut(path, "?")
	params := map[string]string{}
	if id, ok := strings.CutPrefix(path, "/tasks/"); ok {
		name, cancel := strings.CutSuffix(id, ":cancel")
		params["id"], path = name, "/tasks/{id}"
		if cancel {
			path += ":cancel"
		}
	}
	item := doc.Paths.Value(path)
	if item == nil || item.GetOperation(r.Method) == nil {
		t.Fatalf("%s %s is not of the specification", r.Method, path)
	}
	return &routers.Route{Spec: doc, Server: doc.Servers[0], Path: path, PathItem: item, Method: r.Method, Operation: item.GetOperation(r.Method)}, params
}

// conforms sends a request and holds it and its answer against the specification.
func (d *door) conforms(doc *openapi3.T, method, path, body string) string {
	d.t.Helper()
	r, err := http.NewRequest(method, d.server.URL+"/ga4gh/tes/v1"+path, strings.NewReader(body))
	if err != nil {
		d.t.Fatal(err)
	}
	if body != "" {
		r.Header.Set("Content-Type", "application/json")
	}
	route, params := operation(d.t, doc, r, path)
	in := &openapi3filter.RequestValidationInput{Request: r, PathParams: params, Route: route}
	if err := openapi3filter.ValidateRequest(d.t.Context(), in); err != nil {
		d.t.Fatalf("%s %s: our request: %v", method, path, err)
	}
	reply := d.send(method, "/v1"+path, body)
	err = openapi3filter.ValidateResponse(d.t.Context(), &openapi3filter.ResponseValidationInput{RequestValidationInput: in, Status: reply.status, Header: reply.header, Body: io.NopCloser(bytes.NewReader([]byte(reply.body)))})
	if err != nil {
		d.t.Errorf("%s %s: %v", method, path, err)
	}
	return reply.body
}

func TestAnswersAreOfThePublishedSpecification(t *testing.T) {
	doc := published(t)
	d := open(t)
	d.conforms(doc, "GET", "/service-info", "")
	d.conforms(doc, "GET", "/tasks?view=BASIC&page_size=3&name_prefix=a&state=QUEUED&tag_key=a&tag_value=b", "")
	id := protocoltest.At(t, d.conforms(doc, "POST", "/tasks", plain), "id").(string)
	other := protocoltest.At(t, d.conforms(doc, "POST", "/tasks", strings.NewReplacer(`"id":"mine","state":"COMPLETE","creation_time":"x",`, "").Replace(rich)), "id").(string)
	for _, kind := range []string{protocol.CallerClient, protocol.CallerInside} {
		d.kind = kind
		for _, l := range append(life, endings...) {
			d.host.move(id, l.step)
			d.host.move(other, l.step)
			for _, v := range []string{"BASIC", "FULL"} {
				d.conforms(doc, "GET", "/tasks/"+id+"?view="+v, "")
				d.conforms(doc, "GET", "/tasks/"+other+"?view="+v, "")
				d.conforms(doc, "GET", "/tasks?page_size=1&view="+v, "")
			}
		}
	}
	d.conforms(doc, "POST", "/tasks/"+id+":cancel", "")
}

// The specification requires executors of a task and forbids them in MINIMAL. So
// a correct MINIMAL answer fails its schema, and is held against its own shape.
func TestMinimalContradictsTheSchemaAndFollowsTheText(t *testing.T) {
	doc := published(t)
	d := open(t)
	id := d.create(rich)
	quiet := &door{t: &silent{TB: t}, host: d.host, server: d.server}
	quiet.conforms(doc, "GET", "/tasks/"+id, "")
	if quiet.t.(*silent).errors == 0 {
		t.Error("the schema takes MINIMAL now: the special case can go")
	}
	if err := strict("minimal", d.get("/v1/tasks/"+id)); err != nil {
		t.Error(err)
	}
}

// silent counts errors instead of failing.
type silent struct {
	testing.TB
	errors int
}

func (s *silent) Errorf(string, ...any) { s.errors++ }
