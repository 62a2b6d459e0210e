package protocol

import (
	"context"
	"encoding/json"
	"strings"
	"testing"
	"time"
)

// say sends a frame as a plugin that keeps to nothing.
func say(t testing.TB, p chanPipe, head, rest string) {
	t.Helper()
	if err := p.Send(append([]byte{0, 0, byte(len(head) >> 8), byte(len(head))}, head+rest...)); err != nil {
		t.Fatal(err)
	}
}

// TestHostileAnswers: what a plugin may answer to a call, and what the caller sees.
func TestHostileAnswers(t *testing.T) {
	for _, c := range []struct {
		name, head, rest string
		code             string
		ends             bool // the connection is given up
	}{
		{"an answer", `{"id":1,"kind":"answer","body":14}`, `{"status":200}`, "", false},
		{"no body", `{"id":1,"kind":"answer"}`, ``, CodeInvalid, false},
		{"another type", `{"id":1,"kind":"answer","body":2}`, `[]`, CodeInvalid, false},
		{"not JSON", `{"id":1,"kind":"answer","body":3}`, `{{{`, CodeInvalid, false},
		{"too many parts", `{"id":1,"kind":"answer","body":2,"parts":[0,0]}`, `{}`, CodeInvalid, false},
		{"a code outside the vocabulary", `{"id":1,"kind":"answer","error":{"code":"root","text":"x"}}`, ``, CodeInternal, false},
		{"an unknown kind", `{"id":1,"kind":"order"}`, ``, CodeUnavailable, true},
		{"a header of another type", `[1]`, ``, CodeUnavailable, true},
		{"a length that lies", `{"id":1,"kind":"answer","body":99}`, `{}`, CodeUnavailable, true},
		{"a negative length", `{"id":1,"kind":"answer","body":-1}`, `{}`, CodeUnavailable, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			r, plugin := ends(t)
			done := make(chan error, 1)
			go func() {
				_, err := r.ServeRequest(context.Background(), Request{}, nothing{})
				done <- err
			}()
			if _, err := plugin.Recv(); err != nil {
				t.Fatal(err)
			}
			say(t, plugin, `{"id":77,"kind":"answer","body":2}`, `{}`) // to a call that was never made: no effect
			say(t, plugin, `{"id":78,"kind":"cancel"}`, ``)
			say(t, plugin, c.head, c.rest)
			if err := <-done; code(err) != c.code {
				t.Errorf("error %v, want %s", err, c.code)
			}
			wait := 20 * time.Millisecond // in which one that goes on could end
			if c.ends {
				wait = time.Minute
			}
			select {
			case <-r.Done():
				if !c.ends {
					t.Errorf("the connection ended: %v", r.Err())
				}
			case <-time.After(wait):
				if c.ends {
					t.Error("the connection goes on")
				}
			}
		})
	}
}

func TestErrorTextIsBounded(t *testing.T) {
	r, plugin := ends(t)
	done := make(chan error, 1)
	go func() {
		_, err := r.ServeRequest(context.Background(), Request{}, nothing{})
		done <- err
	}()
	_, _ = plugin.Recv()
	b, _ := pack(header{ID: 1, Kind: kindAnswer, Error: &Error{Code: CodeDenied, Text: strings.Repeat("\xff€", 1<<19)}}, nil)
	_ = plugin.Send(b)
	if err := <-done; code(err) != CodeDenied || len(err.Error()) > MaxErrorText+20 || !json.Valid([]byte(`"`+strings.TrimPrefix(err.Error(), "denied: ")+`"`)) {
		t.Errorf("%d bytes", len(err.Error()))
	}
}

func TestTooManyHostCalls(t *testing.T) {
	r, plugin := ends(t)
	go func() { _, _ = r.ServeRequest(context.Background(), Request{}, blocks{}) }()
	f, _ := plugin.Recv()
	for i := range maxCalls {
		b, _ := pack(header{ID: uint64(i + 1), Kind: kindCall, Name: "visible", Token: f.Token}, nil)
		if err := plugin.Send(b); err != nil {
			t.Fatal(err)
		}
	}
	b, _ := pack(header{ID: 9999, Kind: kindCall, Name: "visible", Token: f.Token}, nil)
	if err := plugin.Send(b); err != nil {
		t.Fatal(err)
	}
	if f, err := plugin.Recv(); err != nil || f.ID != 9999 || f.Error == nil || f.Error.Code != CodeExhausted {
		t.Errorf("%+v, %v", f.header, err)
	}
	b, _ = pack(header{ID: 1, Kind: kindCall, Name: "visible", Token: f.Token}, nil)
	_ = plugin.Send(b) // a number that is in use
	<-r.Done()
}

// blocks is a Host whose Visible waits for its context.
type blocks struct{ nothing }

func (blocks) Visible(ctx context.Context) (Catalogue, error) {
	<-ctx.Done()
	return Catalogue{}, ctx.Err()
}

// FuzzFrame: every byte string is a frame or a refusal, and a frame's pieces are
// all of it.
func FuzzFrame(f *testing.F) {
	for _, v := range []any{nil, Response{Status: 200, Body: []byte("x")}, JobPage{Jobs: []JobState{{ID: "1", Document: []byte("d")}}}} {
		b, _ := pack(header{ID: 1, Kind: kindAnswer, Name: "n", Token: "t", Error: &Error{Code: "a", Text: "b"}}, v)
		f.Add(b)
	}
	f.Add(frameOf(`{"id":1,"kind":"call","parts":[9223372036854775807,9223372036854775807,2]}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		fr, err := unpack(b)
		if err != nil {
			return
		}
		n := len(fr.body)
		for _, p := range fr.parts {
			n += len(p)
		}
		if n > len(b)-4 || n > MaxMessage {
			t.Fatalf("%d bytes of a frame of %d", n, len(b))
		}
	})
}

// FuzzHostCalls: whatever a plugin asks, the host's side answers or refuses in
// its vocabulary; it never panics.
func FuzzHostCalls(f *testing.F) {
	for _, name := range []string{"visible", "submit", "state", "jobs", "cancel", "read-release", "fetch", "health", "audit", "other"} {
		f.Add(name, []byte(`{}`), []byte("x"), 1)
		f.Add(name, []byte(`"x"`), []byte(nil), 0)
		f.Add(name, []byte(`{"inputs":[{},{}],"document":"eA=="}`), []byte("abc"), 3)
	}
	s := newHosts()
	token := s.lend(context.Background(), nothing{})
	f.Fuzz(func(t *testing.T, name string, body, part []byte, parts int) {
		fr := frame{header: header{Name: name, Token: token}, body: body, stop: func() {}}
		for range min(max(parts, 0), 8) {
			fr.parts = append(fr.parts, part)
		}
		answers(t, s, fr)
	})
}

// FuzzPluginCalls: the same of a plugin that is written with this package.
func FuzzPluginCalls(f *testing.F) {
	for _, name := range []string{"describe", "test", "serve", "run", "publish", "other"} {
		f.Add(name, []byte(`{"settings":{"a":"b"},"request":{"path":"plain"}}`), []byte("x"), 1)
		f.Add(name, []byte(`{"request":null}`), []byte("x"), 1)
		f.Add(name, []byte(`[]`), []byte(nil), 0)
	}
	r, _ := ends(f)
	h := &adapterHandler{adapter: quickEcho{}, link: r.link}
	f.Fuzz(func(t *testing.T, name string, body, part []byte, parts int) {
		fr := frame{header: header{Name: name}, body: body, stop: func() {}}
		for range min(max(parts, 0), 8) {
			fr.parts = append(fr.parts, part)
		}
		answers(t, h, fr)
	})
}

// quickEcho answers without the host and without waiting.
type quickEcho struct{}

func (quickEcho) Describe(context.Context) (Description, error) { return described, nil }

func (quickEcho) TestConnection(_ context.Context, v Settings, _ Host) ([]Step, error) {
	var s Steps
	s.Settings(described, v)
	return s.List(), nil
}

func (quickEcho) ServeRequest(_ context.Context, r Request, _ Host) (Response, error) {
	return Response{Status: 200, Header: r.Header, Body: r.Body}, nil
}

func answers(t *testing.T, a answerer, f frame) {
	v, err := guarded(a, context.Background(), f)
	if err != nil {
		if strings.HasPrefix(err.Error(), "panic") {
			t.Fatal(err)
		}
		return
	}
	if _, err := pack(header{ID: 1, Kind: kindAnswer}, v); err != nil && err != errLarge {
		t.Fatal(err)
	}
}

// FuzzHostileAnswers: whatever a plugin answers, the caller gets a value or an
// error of the vocabulary.
func FuzzHostileAnswers(f *testing.F) {
	f.Add(`"kind":"answer","body":14`, []byte(`{"status":200}`), byte(0))
	f.Add(`"kind":"answer","body":2,"parts":[1]`, []byte(`{}x`), byte(1))
	f.Add(`"kind":"answer","body":4,"parts":[1]`, []byte(`[{}]x`), byte(2))
	f.Add(`"kind":"answer","error":{"code":"denied","text":"no"}`, []byte(nil), byte(3))
	f.Add(`"kind":"call","name":"visible","body":2`, []byte(`{}`), byte(0))
	f.Fuzz(func(t *testing.T, head string, rest []byte, call byte) {
		r, plugin := ends(t)
		ctx, cancel := context.WithTimeout(context.Background(), 50*time.Millisecond)
		defer cancel()
		go func() {
			f, err := plugin.Recv()
			if err != nil {
				return
			}
			_ = f
			h := `{"id":1,` + head + `}`
			if len(h) < 1<<16 {
				_ = plugin.Send(append(append([]byte{0, 0, byte(len(h) >> 8), byte(len(h))}, h...), rest...))
			}
			for {
				if _, err := plugin.Recv(); err != nil {
					return
				}
			}
		}()
		var err error
		switch call % 4 {
		case 0:
			_, err = r.ServeRequest(ctx, Request{}, nothing{})
		case 1:
			_, err = r.Describe(ctx)
		case 2:
			_, err = r.Publish(ctx, nil, nothing{})
		default:
			_, err = r.TestConnection(ctx, nil, nothing{})
		}
		if c := code(err); strings.HasPrefix(c, "not of") {
			t.Fatal(c)
		}
	})
}
