package task

import (
	"bytes"
	"errors"
	"reflect"
	"strings"
	"testing"

	"tresor/fed/wire"
)

func good() Request {
	return Request{Plugin: "tes", Method: "POST", Path: "/v1/tasks", Body: []byte(`{"name":"x"}`), OnBehalf: "Ada"}
}

func TestAnOrderComesBackAsItWasSent(t *testing.T) {
	r := good()
	r.Query, r.Header = "view=FULL", map[string][]string{"Content-Type": {"application/json"}}
	b, err := r.Encode()
	if err != nil {
		t.Fatal(err)
	}
	got, err := DecodeRequest(b)
	if err != nil || !reflect.DeepEqual(got, r) {
		t.Errorf("got %+v, %v", got, err)
	}
	a := Answer{Status: 200, Body: bytes.Repeat([]byte{0}, MaxAnswer)}
	if b, err = a.Encode(); err != nil {
		t.Fatal(err)
	}
	if back, err := DecodeAnswer(b); err != nil || !reflect.DeepEqual(back, a) {
		t.Errorf("the largest answer: %v", err)
	}
	r.Body = bytes.Repeat([]byte{0xff}, MaxBody)
	if b, err = r.Encode(); err != nil || len(b) > wire.MaxLarge {
		t.Errorf("the largest order has %d bytes, %v", len(b), err)
	}
}

func TestOrdersThatAreRefused(t *testing.T) {
	cases := map[string]struct {
		change func(*Request)
		code   wire.Code
	}{
		"no plugin":                {func(r *Request) { r.Plugin = "" }, wire.CodeMalformed},
		"plugin with a slash":      {func(r *Request) { r.Plugin = "tes/../x" }, wire.CodeMalformed},
		"plugin in capitals":       {func(r *Request) { r.Plugin = "TES" }, wire.CodeMalformed},
		"plugin of 1 MB":           {func(r *Request) { r.Plugin = strings.Repeat("a", 1<<20) }, wire.CodeMalformed},
		"method CONNECT":           {func(r *Request) { r.Method = "CONNECT" }, wire.CodeMalformed},
		"an order that only reads": {func(r *Request) { r.Method = "GET" }, wire.CodeMalformed},
		"path without a slash":     {func(r *Request) { r.Path = "v1/tasks" }, wire.CodeMalformed},
		"path that climbs":         {func(r *Request) { r.Path = "/v1/../../etc" }, wire.CodeMalformed},
		"path that climbs hidden":  {func(r *Request) { r.Path = "/v1/%2e%2e/x" }, wire.CodeMalformed},
		"path with two slashes":    {func(r *Request) { r.Path = "//host/x" }, wire.CodeMalformed},
		"path with a query":        {func(r *Request) { r.Path = "/v1/tasks?x=1" }, wire.CodeMalformed},
		"path with a zero":         {func(r *Request) { r.Path = "/v1/%00" }, wire.CodeMalformed},
		"path of 1 MB":             {func(r *Request) { r.Path = "/" + strings.Repeat("a", 1<<20) }, wire.CodeMalformed},
		"query of 1 MB":            {func(r *Request) { r.Query = strings.Repeat("a", 1<<20) }, wire.CodeSize},
		"body over the limit":      {func(r *Request) { r.Body = make([]byte, MaxBody+1) }, wire.CodeSize},
		"name over the limit":      {func(r *Request) { r.OnBehalf = strings.Repeat("a", MaxOnBehalf+1) }, wire.CodeSize},
		"name with a line break":   {func(r *Request) { r.OnBehalf = "a\nb" }, wire.CodeMalformed},
		"a thousand headers": {func(r *Request) {
			r.Header = map[string][]string{}
			for i := range 1000 {
				r.Header[strings.Repeat("a", i+1)] = nil
			}
		}, wire.CodeSize},
		"headers of 1 MB": {func(r *Request) { r.Header = map[string][]string{"A": {strings.Repeat("a", 1<<20)}} }, wire.CodeSize},
	}
	for name, c := range cases {
		r := good()
		c.change(&r)
		if _, err := r.Encode(); !errors.Is(err, wire.For(c.code)) {
			t.Errorf("%s: %v, want %s", name, err, c.code)
		}
	}
}

func TestBytesThatAreNoOrder(t *testing.T) {
	for name, data := range map[string]string{
		"nothing":           "",
		"no JSON":           "\xff\x00",
		"list":              "[]",
		"unknown field":     `{"plugin":"tes","method":"POST","path":"/","more":1}`,
		"two values":        `{"plugin":"tes","method":"POST","path":"/"}{}`,
		"something after":   `{"plugin":"tes","method":"POST","path":"/"} x`,
		"body not base64":   `{"plugin":"tes","method":"POST","path":"/","body":"%%"}`,
		"number for method": `{"plugin":"tes","method":7,"path":"/"}`,
	} {
		if _, err := DecodeRequest([]byte(data)); !errors.Is(err, wire.For(wire.CodeMalformed)) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := DecodeRequest(make([]byte, wire.MaxLarge+1)); !errors.Is(err, wire.For(wire.CodeSize)) {
		t.Errorf("over the limit: %v", err)
	}
	for name, data := range map[string]string{"no status": `{}`, "status 7": `{"status":7}`, "status 1000": `{"status":1000}`} {
		if _, err := DecodeAnswer([]byte(data)); !errors.Is(err, wire.For(wire.CodeMalformed)) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := (Answer{Status: 200, Body: make([]byte, MaxBody+1)}).Encode(); !errors.Is(err, wire.For(wire.CodeSize)) {
		t.Errorf("answer over the limit: %v", err)
	}
}

func FuzzDecodeRequest(f *testing.F) {
	b, _ := good().Encode()
	f.Add(b)
	f.Add([]byte(`{"plugin":"tes","method":"DELETE","path":"/a%20b"}`))
	f.Add([]byte(`{}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		r, err := DecodeRequest(data)
		if err != nil {
			return
		}
		again, err := r.Encode()
		if err != nil {
			return // escapes may make it larger than it was
		}
		back, err := DecodeRequest(again)
		if err != nil || back.Path != r.Path || !bytes.Equal(back.Body, r.Body) {
			t.Errorf("%q came back as %q, %v", data, again, err)
		}
	})
}

func FuzzDecodePages(f *testing.F) {
	f.Add([]byte(`{"node":"A","projects":[{"slug":"a","name":"A"}],"datasets":[]}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		_, _ = DecodeCatalogue(data)
		_, _ = DecodePing(data)
		_, _ = DecodeAnswer(data)
	})
}
