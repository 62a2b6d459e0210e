package node

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"tresor/fed/trust"
	"tresor/fed/wire"
)

// TestReading: a plain request reads and brings nothing, whatever its route is.
func TestReading(t *testing.T) {
	routes := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		w.Write(append([]byte("read"), body...))
	})
	for name, c := range map[string]struct {
		method string
		body   io.Reader
		status int
	}{
		"GET": {"GET", nil, 200}, "HEAD": {"HEAD", nil, 200},
		"POST": {"POST", nil, 405}, "DELETE": {"DELETE", nil, 405}, "a word of its own": {"STEAL", nil, 405},
		"GET with a body":                   {"GET", strings.NewReader("x"), 413},
		"GET with a body of unknown length": {"GET", io.MultiReader(strings.NewReader("x")), 413},
	} {
		w := httptest.NewRecorder()
		read(w, httptest.NewRequest(c.method, "/ping", c.body), routes)
		if w.Code != c.status || c.status == 200 && w.Body.String() != "read" {
			t.Errorf("%s: %d %s", name, w.Code, w.Body)
		}
		if c.status == 405 && w.Header().Get("Allow") != "GET, HEAD" {
			t.Errorf("%s: %v", name, w.Header())
		}
	}
}

func TestRefusing(t *testing.T) {
	for name, c := range map[string]struct {
		err    error
		status int
		code   wire.Code
	}{
		"a refusal":                  {wire.Refuse(wire.CodeConflict, "no"), 409, wire.CodeConflict},
		"one without a status":       {wire.Refuse(wire.CodeMalformed, "no"), 400, wire.CodeMalformed},
		"one for a time":             {wire.Refuse(wire.CodePaused, "no"), 503, wire.CodePaused},
		"an error from within":       {errors.New("/var/lib/secret: permission denied"), 500, wire.CodeInternal},
		"a refusal in another error": {errors.Join(errors.New("/var/lib/secret"), wire.Refuse(wire.CodeSize, "no")), 413, wire.CodeSize},
	} {
		w := httptest.NewRecorder()
		refuse(w, c.err)
		r, err := wire.DecodeRefusal(w.Body.Bytes())
		if err != nil || w.Code != c.status || r.Code != c.code || strings.Contains(r.Text, "secret") || (w.Header().Get("Retry-After") != "") != (c.status == 503) {
			t.Errorf("%s: %d %+v %v", name, w.Code, r, err)
		}
	}
}

// TestReceivingLarge: the body counts only when it is, byte for byte, what was signed.
func TestReceivingLarge(t *testing.T) {
	b := newBench(t)
	b.o.Identity = func() Identity { return Identity{Key: b.key} }
	b.o.Book = bookOf(t, b)
	body := bytes.Repeat([]byte("x"), wire.MaxBody+1)
	encoded := func(e *wire.Envelope) []byte {
		data, err := e.Encode()
		if err != nil {
			t.Fatal(err)
		}
		return data
	}
	large := encoded(b.envelope(1, "a", string(body)))
	small := encoded(b.envelope(1, "a", "small"))
	join := func(parts ...[]byte) []byte { return bytes.Join(parts, nil) }
	nl := []byte("\n")
	for name, c := range map[string]struct {
		sent []byte
		code wire.Code // "": taken
	}{
		"whole":                        {join(large, nl, body), ""},
		"nothing":                      {nil, wire.CodeBody},
		"a line without an end":        {bytes.Repeat([]byte("x"), 2*wire.MaxMessage), wire.CodeSize},
		"no line break":                {large, wire.CodeBody},
		"no envelope":                  {join([]byte("{}"), nl, body), wire.CodeMalformed},
		"a body that lies inside":      {join(small, nl), wire.CodeMalformed},
		"no body":                      {join(large, nl), wire.CodeBody},
		"a byte less":                  {join(large, nl, body[1:]), wire.CodeBody},
		"a byte more":                  {join(large, nl, body, nl), wire.CodeBody},
		"another byte":                 {join(large, nl, body[1:], []byte("y")), wire.CodeBody},
		"an envelope with two bodies":  {join(bytes.Replace(large, []byte(`"body":""`), []byte(`"body":"eA"`), 1), nl, body), wire.CodeMalformed},
		"another size than was signed": {join(bytes.Replace(large, []byte(`"size":262145`), []byte(`"size":262146`), 1), nl, body, []byte("x")), wire.CodeSignature},
	} {
		r := httptest.NewRequest("POST", wire.LargePath, bytes.NewReader(c.sent))
		e, err := b.receive(httptest.NewRecorder(), r, b.hub)
		if c.code == "" {
			if err != nil || !bytes.Equal(e.Content(), body) {
				t.Errorf("%s: %v", name, err)
			}
		} else if !errors.Is(err, wire.For(c.code)) {
			t.Errorf("%s: %v, want %s", name, err, c.code)
		}
	}
}

// bookOf believes the bench's hub.
func bookOf(t *testing.T, b *bench) *trust.Book {
	t.Helper()
	b.hub.Pins = []trust.Pin{{Key: wire.KeyOf(b.key), From: time.Now()}}
	book, err := trust.Open(t.Context(), onePeer{b.hub}, time.Now)
	if err != nil {
		t.Fatal(err)
	}
	return book
}

// onePeer is a store with one peer, which nobody changes.
type onePeer struct{ peer trust.Peer }

func (o onePeer) Peers(context.Context) ([]trust.Peer, error)          { return []trust.Peer{o.peer}, nil }
func (o onePeer) PutPeer(context.Context, trust.Peer) error            { return errDisk }
func (o onePeer) Codes(context.Context) ([]trust.Code, error)          { return nil, errDisk }
func (o onePeer) PutCode(context.Context, trust.Code) error            { return errDisk }
func (o onePeer) Redeem(context.Context, trust.Code, trust.Peer) error { return errDisk }

// TestVerifying: only the hub of the link, with a good key, to this node, in time.
func TestVerifying(t *testing.T) {
	b := newBench(t)
	b.o.Book = bookOf(t, b)
	past := wire.KeyID(strings.Repeat("a", 32))
	b.o.Identity = func() Identity { return Identity{Key: b.key, Past: []wire.KeyID{past}} }
	other := newBench(t)
	for name, c := range map[string]struct {
		change func(e *wire.Envelope)
		key    *bench // who signs
		hub    wire.KeyID
		code   wire.Code
	}{
		"good":                        {nil, b, b.hub.ID, ""},
		"to a key that this node had": {func(e *wire.Envelope) { e.Node = past }, b, b.hub.ID, ""},
		"to another node":             {func(e *wire.Envelope) { e.Node = other.hub.ID }, b, b.hub.ID, wire.CodeOther},
		"of a stranger":               {nil, other, b.hub.ID, wire.CodeUnknown},
		"over another hub's link":     {nil, b, other.hub.ID, wire.CodeOtherHub},
		"from the future":             {func(e *wire.Envelope) { e.Made += 3600e3; e.Expires += 3600e3 }, b, b.hub.ID, wire.CodeTime},
		"too late":                    {func(e *wire.Envelope) { e.Made -= 2 * 3600e3; e.Expires -= 2 * 3600e3 }, b, b.hub.ID, wire.CodeExpired},
	} {
		e := b.envelope(1, "a", "body")
		if c.change != nil {
			c.change(e)
		}
		e.Sign(c.key.key)
		data, err := e.Encode()
		if err != nil {
			t.Fatal(err)
		}
		_, err = b.verified(trust.Peer{ID: c.hub}, data)
		if (c.code == "") != (err == nil) || c.code != "" && !errors.Is(err, wire.For(c.code)) {
			t.Errorf("%s: %v, want %s", name, err, c.code)
		}
	}
	e := b.envelope(1, "a", "body")
	e.Sign(other.key)
	e.Hub = b.hub.ID
	data, _ := e.Encode()
	if _, err := b.verified(b.hub, data); !errors.Is(err, wire.For(wire.CodeSignature)) {
		t.Errorf("signed by another in the hub's name: %v", err)
	}
}
