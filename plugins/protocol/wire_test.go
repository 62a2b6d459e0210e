package protocol

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"reflect"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// chanPipe is a pipe in memory.
type chanPipe struct {
	in  <-chan []byte
	out chan<- []byte
	end <-chan struct{}
}

func (p chanPipe) Send(b []byte) error {
	select {
	case p.out <- b:
		return nil
	case <-p.end:
		return io.ErrClosedPipe
	}
}

func (p chanPipe) Recv() (frame, error) {
	select {
	case b := <-p.in:
		return unpack(b)
	case <-p.end:
		return frame{}, io.EOF
	}
}

// pair returns the host's end of an adapter that runs in this process.
func pair(t testing.TB, a Adapter) *Remote {
	t.Helper()
	r, plugin := ends(t)
	h := &adapterHandler{adapter: a}
	h.link = newLink(context.Background(), plugin, h)
	go func() { _ = h.link.run() }()
	return r
}

// ends returns a Remote and the plugin's bare end of its pipe.
func ends(t testing.TB) (*Remote, chanPipe) {
	a, b, end := make(chan []byte), make(chan []byte), make(chan struct{})
	t.Cleanup(func() { close(end) })
	return newRemote(context.Background(), chanPipe{a, b, end}), chanPipe{b, a, end}
}

func code(err error) string {
	var e *Error
	if errors.As(err, &e) {
		return e.Code
	}
	if err != nil {
		return "not of the vocabulary: " + err.Error()
	}
	return ""
}

func TestFramesKeepMessages(t *testing.T) {
	at := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	for name, v := range map[string]any{
		"request":             Request{Method: "POST", Path: "/x", Body: []byte("raw \x00\xff"), Header: map[string][]string{"A": {"b"}}},
		"request, no body":    Request{Method: "GET"},
		"response":            Response{Status: 200, Body: []byte("x")},
		"chunk":               Chunk{Data: []byte("y"), Total: 9},
		"chunk, the end":      Chunk{Total: 9},
		"job":                 JobRequest{Name: "n", Document: []byte("{}"), Inputs: []Input{{Path: "/a", HasContent: true, Content: []byte("c")}, {Path: "/b", Source: "tresor://dataset/d"}}},
		"job, empty contents": JobRequest{Name: "n", Inputs: []Input{{Path: "/a", HasContent: true}}},
		"state":               JobState{ID: "1", State: "held", CreatedAt: at, Document: []byte("d")},
		"page":                JobPage{Jobs: []JobState{{ID: "1", Document: []byte("1")}, {ID: "2"}}, Next: "n"},
		"page, minimal":       JobPage{Jobs: []JobState{{ID: "1", State: "x"}}},
		"documents":           documents{{Path: "a", Body: []byte("1")}, {Path: "b"}},
		"work":                work{Request: &Request{Path: "/", Body: []byte("w")}, Settings: Settings{"a": "b"}},
		"work, a job ahead":   work{Request: &Request{Path: "/"}, Ahead: &ahead{State: &stateOf{"1", Full}, answer: [][]byte{[]byte("{}"), []byte("d")}}},
		"work, a page ahead":  work{Request: &Request{Path: "/", Body: []byte("w")}, Ahead: &ahead{Jobs: &JobQuery{Limit: 2}, answer: [][]byte{[]byte("{}")}}},
		"work, an error":      work{Request: &Request{Path: "/"}, Ahead: &ahead{State: &stateOf{"1", Full}, Error: &Error{Code: CodeNotFound, Text: "no"}}},
	} {
		before, _ := json.Marshal(v)
		b, err := pack(header{ID: 7, Kind: kindCall, Name: "n", Token: "t"}, v)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if after, _ := json.Marshal(v); !bytes.Equal(before, after) {
			t.Errorf("%s: packing changed the message", name)
		}
		f, err := unpack(b)
		if err != nil || f.ID != 7 || f.Token != "t" {
			t.Fatalf("%s: %+v, %v", name, f.header, err)
		}
		got := reflect.New(reflect.TypeOf(v))
		if err := f.into(got.Interface()); err != nil || !reflect.DeepEqual(got.Elem().Interface(), v) {
			t.Errorf("%s: %+v came as %+v, error %v", name, v, got.Elem(), err)
		}
		if strings.Contains(string(b), "base64") {
			t.Error(name)
		}
	}
}

func TestFrameRefusals(t *testing.T) {
	if _, err := pack(header{}, Response{Body: make([]byte, MaxMessage+1)}); code(err) != CodeExhausted {
		t.Errorf("an over-large message: %v", err)
	}
	fine, _ := pack(header{ID: 1, Kind: kindCall}, Response{Body: []byte("abc")})
	for name, b := range map[string][]byte{
		"empty":            {},
		"short":            {0, 0},
		"length past end":  {255, 255, 255, 255, '{'},
		"header not JSON":  {0, 0, 0, 1, 'x'},
		"rest left over":   append(bytes.Clone(fine), 'x'),
		"cut off":          fine[:len(fine)-1],
		"negative lengths": frameOf(`{"id":1,"kind":"call","body":-1}`),
		"parts overflow":   frameOf(`{"id":1,"kind":"call","parts":[9223372036854775807,9223372036854775807]}`),
		"too many parts":   frameOf(`{"id":1,"kind":"call","parts":[` + strings.Repeat("0,", maxParts) + `0]}`),
	} {
		if _, err := unpack(b); !errors.Is(err, errFrame) {
			t.Errorf("%s: %v", name, err)
		}
	}
	for name, h := range map[string]string{
		"one part too many":     `{"id":1,"kind":"call","body":2,"parts":[1,1]}{}ab`,
		"parts without a place": `{"id":1,"kind":"call","body":2,"parts":[1]}{}a`,
	} {
		f, err := unpack(frameOf(h))
		if err != nil {
			t.Fatal(name, err)
		}
		var r Response
		var d Description
		if name == "parts without a place" {
			err = f.into(&d)
		} else {
			err = f.into(&r)
		}
		if code(err) != CodeInvalid {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// frameOf makes a frame by hand: the JSON header up to its first closing brace, then the rest.
func frameOf(s string) []byte {
	n := strings.Index(s, "}") + 1
	return append([]byte{0, 0, byte(n >> 8), byte(n)}, s...)
}

func TestBase64InTheBodyIsRead(t *testing.T) {
	f, err := unpack(frameOf(`{"id":1,"kind":"answer","body":32}{"status":200,"body":"aGVsbG8="}`))
	var r Response
	if err != nil || f.into(&r) != nil || string(r.Body) != "hello" {
		t.Errorf("%+v, %v", r, err)
	}
}

// TestAnswersOfAnyKind: errors and panics cross as a code, and nothing else of them does.
func TestAnswersOfAnyKind(t *testing.T) {
	for _, c := range []struct{ path, code string }{
		{"fine", ""}, {"panic", CodeInternal}, {"plain", CodeInternal}, {"coded", CodeDenied}, {"huge", CodeExhausted}, {"odd", CodeInternal},
	} {
		r := pair(t, echo{})
		_, err := r.ServeRequest(context.Background(), Request{Path: c.path}, nothing{})
		if code(err) != c.code || (err != nil && strings.Contains(err.Error(), "secret")) {
			t.Errorf("%s: %v", c.path, err)
		}
		if err != nil && len(err.Error()) > MaxErrorText+100 {
			t.Errorf("%s: %d bytes of text", c.path, len(err.Error()))
		}
	}
	if err := pair(t, echo{}).Run(context.Background(), nil, nothing{}); code(err) != CodeUnsupported {
		t.Errorf("a part that is not there: %v", err)
	}
}

// TestSpareGoroutines: many calls at one time leave no more behind than are worth keeping.
func TestSpareGoroutines(t *testing.T) {
	r, plugin := ends(t)
	h := &crowd{want: 100, all: make(chan struct{})}
	l := newLink(context.Background(), plugin, h)
	go func() { _ = l.run() }()
	var wg sync.WaitGroup
	for range h.want {
		wg.Go(func() {
			if resp, err := r.ServeRequest(context.Background(), Request{}, nothing{}); err != nil || resp.Status != 200 {
				t.Errorf("%+v, %v", resp, err)
			}
		})
	}
	wg.Wait()
	for end := time.Now().Add(time.Minute); l.spare.Load() != maxSpare; time.Sleep(time.Millisecond) { // the others are on their way out
		if time.Now().After(end) {
			t.Fatalf("%d goroutines are spare, not %d", l.spare.Load(), maxSpare)
		}
	}
	if resp, err := r.ServeRequest(context.Background(), Request{}, nothing{}); err != nil || resp.Status != 200 {
		t.Errorf("the next call: %+v, %v", resp, err)
	}
}

// crowd answers when so many calls are there at one time.
type crowd struct {
	want int32
	n    atomic.Int32
	all  chan struct{}
}

func (c *crowd) answer(context.Context, frame) (any, error) {
	if c.n.Add(1) == c.want {
		close(c.all)
	}
	<-c.all
	return Response{Status: 200}, nil
}

// echo answers as the path says.
type echo struct{}

func (echo) Describe(context.Context) (Description, error) { return Description{Name: "echo"}, nil }

func (echo) TestConnection(context.Context, Settings, Host) ([]Step, error) { return nil, nil }

func (echo) ServeRequest(ctx context.Context, r Request, h Host) (Response, error) {
	switch r.Path {
	case "panic":
		panic("secret")
	case "plain":
		return Response{}, errors.New("secret cause")
	case "coded":
		return Response{}, &Error{Code: CodeDenied, Text: "no"}
	case "odd":
		return Response{}, &Error{Code: "made-up", Text: strings.Repeat("x", 1<<20)}
	case "huge":
		return Response{Body: make([]byte, MaxMessage+1)}, nil
	case "hang":
		<-ctx.Done()
		return Response{}, ctx.Err()
	case "host":
		_, err := h.State(ctx, "1", Basic)
		return Response{Status: 200}, err
	}
	return Response{Status: 200}, nil
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
