package protocoltest

import (
	"encoding/json"
	"maps"
	"slices"
	"strings"
	"testing"
)

// KeysOf gives the sorted keys of a JSON object, with a space between.
func KeysOf(t testing.TB, text string) string {
	t.Helper()
	var m map[string]json.RawMessage
	if err := json.Unmarshal([]byte(text), &m); err != nil {
		t.Fatalf("%v in %.200s", err, text)
	}
	return strings.Join(slices.Sorted(maps.Keys(m)), " ")
}

// At reads one value of a JSON text by keys and positions; nil when it is not there.
func At(t testing.TB, text string, path ...any) any {
	t.Helper()
	var v any
	if err := json.Unmarshal([]byte(text), &v); err != nil {
		t.Fatalf("%v in %.200s", err, text)
	}
	for _, p := range path {
		switch p := p.(type) {
		case string:
			m, _ := v.(map[string]any)
			v = m[p]
		case int:
			l, _ := v.([]any)
			if p >= len(l) {
				return nil
			}
			v = l[p]
		}
	}
	return v
}
