package model

import (
	"fmt"
	"math"
	"strconv"
	"strings"
)

// ReadTask reads the body of a create request. It is strict about what the
// schema defines (types, required members, bounds, paths) and lenient about the
// rest: keys that it does not know and keys that belong to the server are
// skipped, so that newer clients work; null is the same as absent; and a key in
// the camel case of Protocol Buffers counts as the schema's. An error is a *Problem.
func ReadTask(body []byte) (Task, error) {
	root, err := parse(body)
	if err != nil {
		return Task{}, err
	}
	r := &reader{}
	t := r.task(root)
	if r.problem != nil {
		return Task{}, r.problem
	}
	return t, nil
}

// reader keeps the first problem; what is read after it is thrown away.
type reader struct{ problem *Problem }

func (r *reader) fail(path, format string, args ...any) {
	if r.problem == nil {
		r.problem = &Problem{Path: path, Text: fmt.Sprintf(format, args...)}
	}
}

func (r *reader) task(v value) Task {
	if v.kind != isObject {
		r.fail("", "The body is %s. Send a task: an object with the member executors.", v.kind)
		return Task{}
	}
	t := Task{
		Name:        r.line(v.get("name"), "name", MaxName),
		Description: r.text(v.get("description"), "description", MaxText),
		Inputs:      list(r, v.get("inputs"), "inputs", MaxFiles, r.input),
		Outputs:     list(r, v.get("outputs"), "outputs", MaxFiles, r.output),
		Resources:   r.resources(v.get("resources")),
		Executors:   list(r, v.get("executors"), "executors", MaxExecutors, r.executor),
		Volumes:     list(r, v.get("volumes"), "volumes", MaxVolumes, r.volume),
		Tags:        r.strings(v.get("tags"), "tags", MaxTags, MaxText),
	}
	if len(t.Executors) == 0 {
		r.fail("executors", "A task needs at least one executor: [{\"image\": …, \"command\": [\"program\", \"argument\"]}].")
	}
	return t
}

// list reads a list of at most most elements; null and absent are an empty one.
func list[T any](r *reader, v value, path string, most int, one func(value, string) T) []T {
	switch {
	case v.kind == isNull:
		return nil
	case v.kind != isArray:
		r.fail(path, "This is %s; write a list: [ … ].", v.kind)
		return nil
	case len(v.items) > most:
		r.fail(path, "There are %d; at most %d are taken. Split the work into several tasks.", len(v.items), most)
		return nil
	}
	var out []T
	for i, item := range v.items {
		if r.problem != nil {
			return nil
		}
		out = append(out, one(item, element(path, i)))
	}
	return out
}

// object checks that v is one.
func (r *reader) object(v value, path string) bool {
	if v.kind != isObject {
		r.fail(path, "This is %s; write an object: { … }.", v.kind)
	}
	return v.kind == isObject
}

// text reads a string of at most most bytes without NUL; null and absent are "".
func (r *reader) text(v value, path string, most int) string {
	switch {
	case v.kind == isNull:
		return ""
	case v.kind != isString:
		r.fail(path, "This is %s; write it as text in quotes.", v.kind)
	case len(v.text) > most:
		r.fail(path, "This has %d bytes; at most %d are taken.", len(v.text), most)
	case strings.ContainsRune(v.text, 0):
		r.fail(path, "This holds a NUL character; remove it.")
	default:
		return v.text
	}
	return ""
}

// line reads a text that may hold no control character.
func (r *reader) line(v value, path string, most int) string {
	s := r.text(v, path, most)
	if strings.IndexFunc(s, control) >= 0 {
		r.fail(path, "This holds a control character such as a line break; remove it.")
	}
	return s
}

// control reports a character that ends a line, steers a terminal, or turns the
// direction of text, so that an approver would read another name.
func control(c rune) bool {
	return c < ' ' || c >= 0x7f && c < 0xa0 || c >= '\u2028' && c <= '\u202e' || c >= '\u2066' && c <= '\u2069'
}

// need reads a line that may not be empty.
func (r *reader) need(v value, path string, most int, example string) string {
	s := r.line(v, path, most)
	if s == "" {
		r.fail(path, "This is required; write for example %s.", example)
	}
	return s
}

func (r *reader) flag(v value, path string) bool {
	if v.kind != isNull && v.kind != isBool {
		r.fail(path, "This is %s; write true or false, without quotes.", v.kind)
	}
	return v.text == "true" && v.kind == isBool
}

// whole reads a whole number from 0 to most. 4.0 is one, as in JSON Schema.
func (r *reader) whole(v value, path string, most int32) int32 {
	if v.kind == isNull {
		return 0
	}
	f, err := strconv.ParseFloat(v.text, 64)
	if v.kind != isNumber || err != nil || f != math.Trunc(f) {
		r.fail(path, "This is %s; write a whole number such as 4, without quotes.", shownNumber(v))
		return 0
	}
	if f < 0 || f > float64(most) {
		r.fail(path, "This is out of range; write a whole number from 0 to %d.", most)
		return 0
	}
	return int32(f)
}

// amount reads a number from 0 to most.
func (r *reader) amount(v value, path string, most float64) float64 {
	if v.kind == isNull {
		return 0
	}
	f, err := strconv.ParseFloat(v.text, 64)
	if v.kind != isNumber || err != nil && !math.IsInf(f, 0) {
		r.fail(path, "This is %s; write a number such as 1.5, without quotes.", v.kind)
		return 0
	}
	if f < 0 || f > most {
		r.fail(path, "This is out of range; write a number from 0 to %.0f.", most)
		return 0
	}
	return f
}

func shownNumber(v value) string {
	if v.kind == isNumber {
		return "no whole number"
	}
	return string(v.kind)
}

// strings reads an object whose values are strings.
func (r *reader) strings(v value, path string, most, size int) map[string]string {
	switch {
	case v.kind == isNull || !r.object(v, path) || len(v.keys) == 0:
		return nil // empty is absent
	case len(v.keys) > most:
		r.fail(path, "There are %d; at most %d are taken.", len(v.keys), most)
		return nil
	}
	out := make(map[string]string, len(v.keys))
	for i, k := range v.keys {
		at := member(path, k)
		if k == "" || len(k) > MaxName || strings.IndexFunc(k, control) >= 0 {
			r.fail(at, "A key has 1 to %d bytes and no control character.", MaxName)
		}
		if v.items[i].kind != isString {
			r.fail(at, "This is %s; write it as text in quotes.", v.items[i].kind)
		}
		out[k] = r.text(v.items[i], at, size)
	}
	return out
}
