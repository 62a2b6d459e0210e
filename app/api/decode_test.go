package api

import (
	"net/http/httptest"
	"strings"
	"testing"

	"tresor/app/fault"
)

type decoded struct {
	Name  string   `json:"name"`
	Count int      `json:"count"`
	List  []string `json:"list"`
}

func TestDecodeJSON(t *testing.T) {
	cases := []struct {
		name, body, says string
	}{
		{"ok", `{"name":"a","count":3,"list":["x"]}`, ""},
		{"ok: empty body is an empty object", ``, ""},
		{"ok: spaces around", " {} \n", ""},
		{"unknown field", `{"nmae":"a"}`, `There is no field "nmae" here`},
		{"wrong type", `{"count":"three"}`, `The field "count" has the wrong type: it has to be a number`},
		{"wrong list", `{"list":"x"}`, `has to be a list`},
		{"not an object", `[1]`, "has to be a JSON object"},
		{"not JSON", `{"name":`, "ends too early"},
		{"syntax", `{"name":}`, "mistake at byte"},
		{"two values", `{} {}`, "more than one JSON value"},
		{"rubbish after the value", `{} x`, "more than one JSON value"},
	}
	for _, tc := range cases {
		t.Run(tc.name, func(t *testing.T) {
			var v decoded
			err := decodeJSON(strings.NewReader(tc.body), &v)
			if tc.says == "" {
				if err != nil {
					t.Errorf("got %v", err)
				}
				return
			}
			if fault.KindOf(err) != fault.Invalid || !strings.Contains(fault.Message(err), tc.says) {
				t.Errorf("got %v: %s", fault.KindOf(err), fault.Message(err))
			}
		})
	}
}

func TestDecodeNeverEchoesValues(t *testing.T) {
	var v decoded
	for _, body := range []string{`{"count":"hunter2"}`, `{"name":"hunter2"`, `"hunter2"`, `{"name":hunter2}`} {
		if err := decodeJSON(strings.NewReader(body), &v); err == nil || strings.Contains(fault.Message(err), "hunter2") {
			t.Errorf("%s: %s", body, fault.Message(err))
		}
	}
}

func TestWantMedia(t *testing.T) {
	cases := []struct {
		name, header, body string
		ok                 bool
	}{
		{"ok", "application/json", "{}", true},
		{"ok: with charset", "application/json; charset=utf-8", "{}", true},
		{"ok: nothing at all", "", "", true},
		{"form", "application/x-www-form-urlencoded", "a=b", false},
		{"text, which needs no preflight", "text/plain", "{}", false},
		{"body without a type", "", "{}", false},
		{"broken header", "application/json;;=", "{}", false},
	}
	for _, tc := range cases {
		t.Run(tc.name, func(t *testing.T) {
			r := httptest.NewRequest("POST", "/x", strings.NewReader(tc.body))
			if tc.header != "" {
				r.Header.Set("Content-Type", tc.header)
			}
			c := &call{r: r}
			if err := c.wantMedia("application/json"); (err == nil) != tc.ok {
				t.Errorf("got %v", err)
			}
		})
	}
}

func TestQueryNumbers(t *testing.T) {
	for raw, ok := range map[string]bool{"": true, "1": true, "500": true, "0": false, "501": false, "-1": false, "1e2": false, "99999999999999999999": false, "x": false} {
		c := &call{r: httptest.NewRequest("GET", "/x?limit="+raw, nil)}
		if _, err := c.limit(); (err == nil) != ok {
			t.Errorf("limit %q: %v", raw, err)
		}
	}
}

// FuzzDecodeJSON: whatever comes, decoding never panics and never says more than
// a name of a field.
func FuzzDecodeJSON(f *testing.F) {
	for _, s := range []string{`{"name":"a","count":3}`, `{"a":{"b":[1,2,{}]}}`, `[[[[`, `{"name":"\ud800"}`, "\x00", `{"count":1e999}`} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, body string) {
		var v decoded
		err := decodeJSON(strings.NewReader(body), &v)
		if err != nil && fault.KindOf(err) != fault.Invalid {
			t.Errorf("%q: %v", body, err)
		}
	})
}
