package protocol

import (
	"bytes"
	"encoding/json"
	"math"
	"reflect"
	"testing"
)

// TestHeader: the quick way writes what the slow one writes, and reads it.
func TestHeader(t *testing.T) {
	for _, c := range []struct {
		name string
		h    header
		slow bool // left to encoding/json
	}{
		{name: "an answer", h: header{ID: 1, Kind: kindAnswer, Body: 12}},
		{name: "a call with everything", h: header{ID: 123456789, Kind: kindCall, Name: "serve", Token: "a-token_", Body: 1 << 20, Parts: []int{0, 3, 1000}}},
		{name: "a name alone", h: header{ID: 2, Kind: kindCall, Name: "describe"}},
		{name: "parts alone", h: header{Kind: kindAnswer, Parts: []int{1}}},
		{name: "a refusal", h: header{ID: 3, Kind: kindAnswer, Error: &Error{Code: CodeDenied, Text: `"no"`}}, slow: true},
		{name: "a name with a quote", h: header{ID: 3, Kind: kindCall, Name: `a","error":{}`}, slow: true},
		{name: "a token that is no text", h: header{ID: 3, Kind: kindCall, Token: "\x00\xff"}, slow: true},
		{name: "a letter that JSON in pages escapes", h: header{ID: 3, Kind: kindCall, Token: "<"}, slow: true},
		{name: "a number that is very large", h: header{ID: math.MaxUint64, Kind: kindCall}, slow: true},
		{name: "a number below nothing", h: header{ID: 1, Kind: kindCall, Body: -1}, slow: true},
	} {
		got, err := c.h.append(nil)
		want, _ := json.Marshal(c.h)
		if err != nil || !bytes.Equal(got, want) {
			t.Errorf("%s: %s, not %s (%v)", c.name, got, want, err)
		}
		var back header
		if quick := back.quick(got); quick == c.slow || quick && !reflect.DeepEqual(back, c.h) {
			t.Errorf("%s: quick %t, %+v", c.name, quick, back)
		}
	}
}

// FuzzHeader: what the quick way reads is what the slow one reads.
func FuzzHeader(f *testing.F) {
	for _, s := range []string{`{"id":1,"kind":"call","name":"serve","token":"t","body":2,"parts":[1,2]}`, `{"id":1,"kind":"call","parts":[]}`, `{"id":01,"kind":"call"}`,
		`{"id":1,"kind":"call","parts":[1}`, `{"id":1,"kind":"call"]}`, `{"id":1,"kind":"call","body":1,"name":"n"}`, `{"id":1,"kind":"call","body":}`, `{"id":1,"kind":"call"} `, ``} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		var quick, slow header
		if !quick.quick(b) {
			return
		}
		if err := json.Unmarshal(b, &slow); err != nil || !reflect.DeepEqual(quick, slow) {
			t.Errorf("%q: %+v, and %+v (%v)", b, quick, slow, err)
		}
	})
}

// FuzzPage: what the quick way reads is what the slow one reads.
func FuzzPage(f *testing.F) {
	for _, s := range []string{`{"jobs":[]}`, `{"jobs":[{"id":"1","state":"held"}]}`, `{"jobs":[{"id":"1","state":"held"},{"id":"2","state":"queued"}],"next":"2"}`,
		`{"jobs":[{"id":"1","state":"held"},]}`, `{"jobs":[{"id":"1","state":"held","name":"n"}]}`, `{"jobs":[{"id":"\u0031","state":"held"}]}`, `{"jobs":[],"next":"a"}x`, `{"jobs":[`, ``} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		var quick, slow JobPage
		if !quick.quick(b) {
			return
		}
		if err := json.Unmarshal(b, &slow); err != nil || !reflect.DeepEqual(quick, slow) {
			t.Errorf("%q: %+v, and %+v (%v)", b, quick, slow, err)
		}
	})
}
