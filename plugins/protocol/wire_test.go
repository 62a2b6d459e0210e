package protocol

import (
	"context"
	"encoding/json"
	"errors"
	"testing"
)

type echo struct{}

func (echo) answer(_ context.Context, c call) (any, error) {
	switch c.Name {
	case "panic":
		panic("no")
	case "plain":
		return nil, errors.New("secret cause")
	case "coded":
		return nil, &Error{Code: CodeDenied, Text: "no"}
	}
	return c.Name, nil
}

func TestServeCall(t *testing.T) {
	for _, c := range []struct{ name, code string }{{"fine", ""}, {"panic", CodeInternal}, {"plain", CodeInternal}, {"coded", CodeDenied}} {
		v, err := serveCall(echo{}, context.Background(), func(x any) error { x.(*call).Name = c.name; return nil }, nil)
		a := v.(*answer)
		if err != nil || (a.Err == nil) != (c.code == "") || (a.Err != nil && a.Err.Code != c.code) {
			t.Errorf("%s: answer %+v, error %v", c.name, a, err)
		}
		if a.Err != nil && a.Err.Text == "secret cause" {
			t.Errorf("%s: a cause crossed the wire", c.name)
		}
	}
	v, _ := serveCall(echo{}, context.Background(), func(any) error { return errors.New("bad") }, nil)
	if a := v.(*answer); a.Err == nil || a.Err.Code != CodeInvalid {
		t.Errorf("an undecodable call: %+v", a)
	}
}

// FuzzHostCalls: whatever a plugin sends, the host's side answers or refuses; it never panics.
func FuzzHostCalls(f *testing.F) {
	for _, name := range []string{"visible", "submit", "state", "cancel", "read-release", "fetch", "health", "audit", "other"} {
		f.Add([]byte(`{"name":"` + name + `","body":{}}`))
		f.Add([]byte(`{"name":"` + name + `","body":"x"}`))
		f.Add([]byte(`{"name":"` + name + `"}`))
	}
	h := &hostHandler{host: nothing{}}
	f.Fuzz(func(t *testing.T, b []byte) {
		var c call
		if (codec{}).Unmarshal(b, &c) != nil {
			return
		}
		v, err := h.answer(context.Background(), c)
		if err == nil {
			if _, err := json.Marshal(v); err != nil {
				t.Fatal(err)
			}
		}
	})
}

// nothing is a Host that answers with zero values.
type nothing struct{}

func (nothing) Visible(context.Context) (c Catalogue, err error)              { return }
func (nothing) Submit(context.Context, JobRequest) (s JobState, err error)    { return }
func (nothing) State(context.Context, string, View) (s JobState, err error)   { return }
func (nothing) Jobs(context.Context, JobQuery) (p JobPage, err error)         { return }
func (nothing) Cancel(context.Context, string) error                          { return nil }
func (nothing) ReadRelease(context.Context, string, int64) (c Chunk, e error) { return }
func (nothing) Fetch(context.Context, Request) (r Response, err error)        { return }
func (nothing) Health(context.Context, Health) error                          { return nil }
func (nothing) Audit(context.Context, string, map[string]string) error        { return nil }
