package tes_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

// The strict decoder stands in for clients that make their objects from the keys
// they get and so refuse an unknown key, null, or a time that is none. Its table
// was written from the published schema. A key with ! is required.
var schema = map[string]map[string]string{
	"task": {"id!": "string", "state!": "state", "name": "string", "description": "string", "inputs": "[]input", "outputs": "[]output",
		"resources": "resources", "executors!": "[]executor", "volumes": "[]string", "tags": "map", "logs": "[]log", "creation_time": "time"},
	"minimal":   {"id!": "string", "state!": "state"},
	"input":     {"name": "string", "description": "string", "url": "string", "path!": "path", "type": "type", "content": "string", "streamable": "bool"},
	"output":    {"name": "string", "description": "string", "url!": "string", "path!": "path", "path_prefix": "string", "type": "type"},
	"executor":  {"image!": "string", "command!": "[]string", "workdir": "path", "stdin": "path", "stdout": "path", "stderr": "path", "env": "map", "ignore_error": "bool"},
	"resources": {"cpu_cores": "int", "preemptible": "bool", "ram_gb": "number", "disk_gb": "number", "zones": "[]string", "backend_parameters": "map", "backend_parameters_strict": "bool"},
	"log":       {"logs!": "[]exit", "metadata": "map", "start_time": "time", "end_time": "time", "outputs!": "[]file", "system_logs": "[]string"},
	"exit":      {"start_time": "time", "end_time": "time", "stdout": "string", "stderr": "string", "exit_code!": "int"},
	"file":      {"url!": "string", "path!": "path", "size_bytes!": "digits"},
	"list":      {"tasks!": "[]task", "next_page_token": "string"},
	"minimals":  {"tasks!": "[]minimal", "next_page_token": "string"},
	"created":   {"id!": "string"},
	"cancelled": {},
	"info": {"id!": "string", "name!": "string", "type!": "service", "description": "string", "organization!": "organization", "contactUrl": "url",
		"documentationUrl": "url", "version!": "string", "storage": "[]string", "tesResources_backend_parameters": "[]string"},
	"service":      {"group!": "string", "artifact!": "string", "version!": "string"},
	"organization": {"name!": "string", "url!": "url"},
}

var states = []string{"UNKNOWN", "QUEUED", "INITIALIZING", "RUNNING", "PAUSED", "COMPLETE", "EXECUTOR_ERROR", "SYSTEM_ERROR", "CANCELED", "PREEMPTED", "CANCELING"}

// strict checks a JSON text against a type of the schema.
func strict(kind, text string) error {
	d := json.NewDecoder(strings.NewReader(text))
	d.UseNumber()
	var v any
	if err := d.Decode(&v); err != nil {
		return fmt.Errorf("%w in %.200s", err, text)
	}
	if d.More() {
		return errors.New("something stands behind the answer")
	}
	return check(kind, kind, v)
}

func check(at, kind string, v any) error {
	if v == nil {
		return fmt.Errorf("%s is null", at)
	}
	if elem, ok := strings.CutPrefix(kind, "[]"); ok {
		return checkList(at, elem, v)
	}
	if keys, ok := schema[kind]; ok {
		return checkObject(at, keys, v)
	}
	return checkScalar(at, kind, v)
}

func checkList(at, elem string, v any) error {
	items, ok := v.([]any)
	if !ok {
		return fmt.Errorf("%s is %T, no list", at, v)
	}
	for i, item := range items {
		if err := check(fmt.Sprintf("%s[%d]", at, i), elem, item); err != nil {
			return err
		}
	}
	return nil
}

func checkObject(at string, keys map[string]string, v any) error {
	m, ok := v.(map[string]any)
	if !ok {
		return fmt.Errorf("%s is %T, no object", at, v)
	}
	for k, item := range m {
		kind, ok := keys[k]
		if !ok {
			kind, ok = keys[k+"!"]
		}
		if !ok {
			return fmt.Errorf("%s has the unknown key %s", at, k)
		}
		if err := check(at+"."+k, kind, item); err != nil {
			return err
		}
	}
	for k := range keys {
		if need, ok := strings.CutSuffix(k, "!"); ok && m[need] == nil {
			return fmt.Errorf("%s lacks %s", at, need)
		}
	}
	return nil
}

func checkScalar(at, kind string, v any) error {
	bad := fmt.Errorf("%s is %T %.100v, no %s", at, v, v, kind)
	switch x := v.(type) {
	case bool:
		if kind == "bool" {
			return nil
		}
	case json.Number:
		f, err := x.Float64()
		if err == nil && (kind == "number" || kind == "int" && !strings.ContainsAny(x.String(), ".eE") && f == math.Trunc(f)) {
			return nil
		}
	case map[string]any:
		if kind != "map" {
			return bad
		}
		for k, item := range x {
			if _, ok := item.(string); !ok {
				return fmt.Errorf("%s[%q] is no string", at, k)
			}
		}
		return nil
	case string:
		return checkString(at, kind, x, bad)
	}
	return bad
}

func checkString(at, kind, s string, bad error) error {
	ok := false
	switch kind {
	case "string":
		ok = true
	case "state":
		ok = slices.Contains(states, s)
	case "type":
		ok = s == "FILE" || s == "DIRECTORY"
	case "path":
		ok = strings.HasPrefix(s, "/")
	case "url":
		ok = strings.Contains(s, "://") || strings.HasPrefix(s, "mailto:")
	case "digits":
		_, err := strconv.ParseUint(s, 10, 63)
		ok = err == nil
	case "time":
		_, err := time.Parse(time.RFC3339Nano, s)
		ok = err == nil && strings.HasSuffix(s, "Z")
	}
	if !ok {
		return bad
	}
	return nil
}

func TestTheStrictDecoderIsStrict(t *testing.T) {
	good := `{"id":"a","state":"QUEUED","executors":[{"image":"i","command":["a"]}]}`
	if err := strict("task", good); err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{
		"unknown key":      `{"id":"a","state":"QUEUED","executors":[],"egress":"held"}`,
		"null":             `{"id":"a","state":"QUEUED","executors":[],"resources":null}`,
		"null list":        `{"id":"a","state":"QUEUED","executors":[],"logs":[{"logs":null,"outputs":[]}]}`,
		"missing list":     `{"id":"a","state":"QUEUED","executors":[],"logs":[{"logs":[]}]}`,
		"empty time":       `{"id":"a","state":"QUEUED","executors":[],"creation_time":""}`,
		"other state":      `{"id":"a","state":"WAITING","executors":[]}`,
		"size as a number": `{"id":"a","state":"QUEUED","executors":[],"logs":[{"logs":[],"outputs":[{"url":"u","path":"/p","size_bytes":1}]}]}`,
		"cores as a float": `{"id":"a","state":"QUEUED","executors":[],"resources":{"cpu_cores":1.0}}`,
		"no exit code":     `{"id":"a","state":"QUEUED","executors":[],"logs":[{"logs":[{}],"outputs":[]}]}`,
		"more behind it":   good + "{}",
	} {
		if strict("task", text) == nil {
			t.Errorf("%s is taken", name)
		}
	}
	if strict("minimal", good) == nil {
		t.Error("a task with executors is taken for MINIMAL")
	}
}
