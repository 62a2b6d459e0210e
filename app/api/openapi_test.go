package api

import (
	"encoding/json"
	"net/http"
	"reflect"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/getkin/kin-openapi/openapi3"

	"tresor/app/gateway"
)

// description loads what the server says about itself.
func (w *world) description(t *testing.T) *openapi3.T {
	t.Helper()
	raw := w.as(t, "none", "GET", "/openapi.json", nil).want(t, 200)
	doc, err := openapi3.NewLoader().LoadFromData([]byte(raw.body))
	if err != nil {
		t.Fatal(err)
	}
	return doc
}

func TestTheDescriptionIsValidAndComplete(t *testing.T) {
	t.Run("appliance", func(t *testing.T) { newWorld(t).describesItself(t) })
	t.Run("hub", func(t *testing.T) { newHubWorld(t).describesItself(t) })
}

func (w *world) describesItself(t *testing.T) {
	doc := w.description(t)
	if err := doc.Validate(t.Context()); err != nil {
		t.Fatal(err)
	}
	ids := map[string]bool{}
	for _, rt := range w.server.Routes() {
		item := doc.Paths.Value(rt.Path)
		if item == nil || item.GetOperation(rt.Method) == nil {
			t.Errorf("%s %s is served and not described", rt.Method, rt.Path)
			continue
		}
		op := item.GetOperation(rt.Method)
		if ids[op.OperationID] {
			t.Errorf("two operations are called %s", op.OperationID)
		}
		ids[op.OperationID] = true
		for _, p := range op.Parameters {
			if p.Value.Description == "" {
				t.Errorf("%s %s: parameter %s has no description", rt.Method, rt.Path, p.Value.Name)
			}
		}
		if (op.Security != nil) != (rt.Access.Level != Public) {
			t.Errorf("%s %s: the description is wrong about the session", rt.Method, rt.Path)
		}
	}
}

// conform compares a real answer with the description.
func conform(t *testing.T, doc *openapi3.T, rt Route, r reply) {
	t.Helper()
	op := doc.Paths.Value(rt.Path).GetOperation(rt.Method)
	ref := op.Responses.Value(strconv.Itoa(r.status))
	if ref == nil {
		if r.status < 400 {
			t.Errorf("%s %s answers %d, which is not described", rt.Method, rt.Path, r.status)
			return
		}
		ref = op.Responses.Default()
	}
	media, _, _ := strings.Cut(r.header.Get("Content-Type"), ";")
	content := ref.Value.Content.Get(media)
	if len(ref.Value.Content) == 0 {
		if r.body != "" {
			t.Errorf("%s %s: a body where none is described: %s", rt.Method, rt.Path, r.body)
		}
		return
	}
	if content == nil {
		t.Errorf("%s %s answers %s, which is not described", rt.Method, rt.Path, media)
		return
	}
	if !strings.HasSuffix(media, "json") || rt.media != "" && r.status < 400 {
		return
	}
	var v any
	if err := json.Unmarshal([]byte(r.body), &v); err != nil {
		t.Errorf("%s %s: %v", rt.Method, rt.Path, err)
		return
	}
	if err := content.Schema.Value.VisitJSON(v); err != nil {
		t.Errorf("%s %s %d does not match its description: %v", rt.Method, rt.Path, r.status, err)
	}
}

type schemaSample struct {
	Name  string          `json:"name" doc:"a name"`
	When  *time.Time      `json:"when"`
	Tags  []string        `json:"tags"`
	Map   map[string]int  `json:"map,omitempty"`
	Raw   json.RawMessage `json:"raw,omitempty"`
	Self  *schemaSample   `json:"self,omitempty"`
	State CheckState      `json:"state"`
	Sub   Check           `json:"sub" doc:"a check"`
	Bytes []byte          `json:"bytes,omitempty"`
	//lint:ignore U1000 unexported fields have to be left out
	hidden map[string]string
	Out    string  `json:"-"`
	Any    any     `json:"any,omitempty"`
	Num    float64 `json:"num,omitempty"`
}

func TestSchemas(t *testing.T) {
	b := newSchemas()
	b.ref(reflect.TypeFor[schemaSample]())
	b.ref(reflect.TypeFor[List[schemaSample]]())
	b.request(reflect.TypeFor[schemaSample](), []string{"name"})
	out, ok := b.all["SchemaSample"].(map[string]any)
	if !ok {
		t.Fatalf("names: %v", reflect.ValueOf(b.all).MapKeys())
	}
	if got := out["required"]; !reflect.DeepEqual(got, []any{"name", "when", "tags", "state", "sub"}) {
		t.Errorf("required: %v", got)
	}
	props := out["properties"].(map[string]any)
	for name, want := range map[string]string{
		"name":  `{"description":"a name","type":"string"}`,
		"when":  `{"format":"date-time","nullable":true,"type":"string"}`,
		"self":  `{"allOf":[{"$ref":"#/components/schemas/SchemaSample"}],"nullable":true}`,
		"state": `{"enum":["ok","warn","fail"],"type":"string"}`,
		"sub":   `{"allOf":[{"$ref":"#/components/schemas/Check"}],"description":"a check"}`,
		"bytes": `{"format":"byte","type":"string"}`,
		"raw":   `{}`, "any": `{}`, "num": `{"type":"number"}`,
		"map": `{"additionalProperties":{"format":"int64","type":"integer"},"type":"object"}`,
	} {
		if got, _ := json.Marshal(props[name]); string(got) != want {
			t.Errorf("%s: %s", name, got)
		}
	}
	if props["hidden"] != nil || props["Out"] != nil {
		t.Error("hidden fields are described")
	}
	if b.all["SchemaSampleList"] == nil {
		t.Errorf("generic names: %v", reflect.ValueOf(b.all).MapKeys())
	}
}

// TestRequestSchemasRefuseWhatTheDecoderRefuses: a field that is not described
// is not read, and the other way round.
func TestRequestSchemasRefuseWhatTheDecoderRefuses(t *testing.T) {
	t.Run("appliance", func(t *testing.T) { newWorld(t).decodesWhatItDescribes(t) })
	t.Run("hub", func(t *testing.T) { newHubWorld(t).decodesWhatItDescribes(t) })
}

func (w *world) decodesWhatItDescribes(t *testing.T) {
	doc := w.description(t)
	for _, rt := range w.server.Routes() {
		if rt.body != JSON {
			continue
		}
		schema := doc.Paths.Value(rt.Path).GetOperation(rt.Method).RequestBody.Value.Content.Get("application/json").Schema.Value
		for name := range schema.Properties {
			v := reflect.New(rt.in).Interface()
			if err := decodeJSON(strings.NewReader(`{"`+name+`":null}`), v); err != nil {
				t.Errorf("%s %s: described field %s is refused: %v", rt.Method, rt.Path, name, err)
			}
		}
		for _, name := range strings.Fields(rt.Need) {
			if schema.Properties[name] == nil {
				t.Errorf("%s %s needs %q, which it does not read", rt.Method, rt.Path, name)
			}
		}
		if err := decodeJSON(strings.NewReader(`{"surprise":1}`), reflect.New(rt.in).Interface()); err == nil {
			t.Errorf("%s %s takes an unknown field", rt.Method, rt.Path)
		}
	}
}

// FuzzRequests: no body of any route makes decoding panic or answer anything
// but Invalid.
func FuzzRequests(f *testing.F) {
	appliance := &Server{Deps: Deps{Intake: Intake{Dataset: 1, Image: 1}, Gateway: &gateway.Service{}}}
	rendezvous := &Server{Deps: Deps{Hub: &fakeHub{}}}
	var types []reflect.Type
	for _, rt := range append(appliance.table(), rendezvous.table()...) {
		if rt.body == JSON {
			types = append(types, rt.in)
		}
	}
	for i, body := range []string{`{}`, `{"name":"x","sql":[{"output":"a","sql":"b"}]}`, `{"roles":["operator"]}`, `{"ends_at":"2027-01-01T00:00:00Z"}`, `{"limits":{"memory":-1}}`, `{"quotas":{"cores":1e99}}`, `{"settings":{"a":1}}`, `{"datasets":"*","sponsor":null}`, `[]`, `null`, `{"tasks":[{"argv":[1]}]}`} {
		f.Add(uint8(i), body)
	}
	f.Fuzz(func(t *testing.T, which uint8, body string) {
		v := reflect.New(types[int(which)%len(types)]).Interface()
		if err := decodeJSON(strings.NewReader(body), v); err != nil {
			if p, _ := problemOf(err, ""); p.Status != http.StatusBadRequest {
				t.Errorf("%q: %+v", body, p)
			}
		}
	})
}
