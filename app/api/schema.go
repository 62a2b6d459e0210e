package api

import (
	"encoding/json"
	"path"
	"reflect"
	"strings"
	"time"
)

// schemas collects the named types that the document refers to.
type schemas struct {
	all   map[string]any
	names map[schemaKey]string
}

// schemaKey: a type that is both asked for and answered has two schemas, because
// only an answer promises that every field is there.
type schemaKey struct {
	t     reflect.Type
	input bool
}

func newSchemas() *schemas { return &schemas{all: map[string]any{}, names: map[schemaKey]string{}} }

var (
	timeType = reflect.TypeFor[time.Time]()
	rawType  = reflect.TypeFor[json.RawMessage]()
)

// ref returns the schema of t as it is answered: every field that is always
// there is required, and one that may be null says so.
func (b *schemas) ref(t reflect.Type) map[string]any { return b.of(t, false) }

// request returns the schema of a request type, with its own required fields.
func (b *schemas) request(t reflect.Type, need []string) map[string]any {
	if t.Kind() != reflect.Struct {
		return b.of(t, true)
	}
	s := b.object(t, true)
	delete(s, "required")
	if len(need) > 0 {
		s["required"] = toAny(need)
	}
	return s
}

func (b *schemas) of(t reflect.Type, input bool) map[string]any {
	if values, ok := enums[t]; ok {
		return map[string]any{"type": "string", "enum": toAny(values)}
	}
	switch t {
	case timeType:
		return map[string]any{"type": "string", "format": "date-time"}
	case rawType:
		return map[string]any{}
	}
	switch t.Kind() {
	case reflect.Pointer:
		return nullable(b.of(t.Elem(), input))
	case reflect.Struct:
		return b.structRef(t, input)
	case reflect.Map:
		return map[string]any{"type": "object", "additionalProperties": b.of(t.Elem(), input)}
	case reflect.Slice, reflect.Array:
		if t.Elem().Kind() == reflect.Uint8 {
			return map[string]any{"type": "string", "format": "byte"}
		}
		s := map[string]any{"type": "array", "items": b.of(t.Elem(), input)}
		if !input {
			s["nullable"] = true // Go writes a nil list as null
		}
		return s
	}
	return scalar(t.Kind())
}

func scalar(k reflect.Kind) map[string]any {
	switch k {
	case reflect.Bool:
		return map[string]any{"type": "boolean"}
	case reflect.String:
		return map[string]any{"type": "string"}
	case reflect.Float32, reflect.Float64:
		return map[string]any{"type": "number"}
	case reflect.Interface:
		return map[string]any{}
	}
	return map[string]any{"type": "integer", "format": "int64"}
}

// nullable wraps a reference, because a sibling of $ref counts for nothing.
func nullable(s map[string]any) map[string]any {
	if _, isRef := s["$ref"]; isRef {
		return map[string]any{"nullable": true, "allOf": []any{s}}
	}
	s["nullable"] = true
	return s
}

func (b *schemas) structRef(t reflect.Type, input bool) map[string]any {
	if t.Name() == "" {
		return b.object(t, input)
	}
	name, known := b.names[schemaKey{t, input}]
	if !known {
		name = b.nameOf(t)
		if input {
			name += "Input"
		}
		b.names[schemaKey{t, input}] = name
		b.all[name] = map[string]any{} // a type that holds itself finds its name
		b.all[name] = b.object(t, input)
	}
	return map[string]any{"$ref": "#/components/schemas/" + name}
}

// nameOf makes "project.Member" into ProjectMember and List[job.Job] into JobJobList.
func (b *schemas) nameOf(t reflect.Type) string {
	name := t.Name()
	if base, arg, generic := strings.Cut(name, "["); generic {
		arg = strings.TrimSuffix(arg, "]")
		arg = strings.TrimPrefix(arg[strings.LastIndexByte(arg, '/')+1:], "api.")
		return camel(arg) + base
	}
	if p := path.Base(t.PkgPath()); p != "api" {
		return camel(p + "." + name)
	}
	return strings.ToUpper(name[:1]) + name[1:]
}

func camel(s string) string {
	var out strings.Builder
	for _, w := range strings.FieldsFunc(s, func(r rune) bool { return r == '.' || r == '/' || r == '_' || r == '-' }) {
		out.WriteString(strings.ToUpper(w[:1]) + w[1:])
	}
	return out.String()
}

func (b *schemas) object(t reflect.Type, input bool) map[string]any {
	props := map[string]any{}
	var required []any
	b.fields(t, input, props, &required)
	s := map[string]any{"type": "object", "properties": props}
	if len(required) > 0 && !input {
		s["required"] = required
	}
	if input {
		s["additionalProperties"] = false
	}
	return s
}

func (b *schemas) fields(t reflect.Type, input bool, props map[string]any, required *[]any) {
	for i := range t.NumField() {
		f := t.Field(i)
		name, opts, _ := strings.Cut(f.Tag.Get("json"), ",")
		if f.Anonymous && name == "" && f.Type.Kind() == reflect.Struct {
			b.fields(f.Type, input, props, required)
			continue
		}
		if !f.IsExported() || name == "-" {
			continue
		}
		if name == "" {
			name = f.Name
		}
		s := b.of(f.Type, input)
		if doc := f.Tag.Get("doc"); doc != "" {
			s = described(s, doc)
		}
		props[name] = s
		if !strings.Contains(opts, "omitempty") && !strings.Contains(opts, "omitzero") {
			*required = append(*required, name)
		}
	}
}

func described(s map[string]any, doc string) map[string]any {
	if _, isRef := s["$ref"]; isRef {
		s = map[string]any{"allOf": []any{s}}
	}
	s["description"] = doc
	return s
}

func toAny(words []string) []any {
	out := make([]any, len(words))
	for i, w := range words {
		out[i] = w
	}
	return out
}
