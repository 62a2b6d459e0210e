package hub

import (
	"context"
	"crypto/ed25519"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"tresor/fed/trust"
	"tresor/fed/wire"
)

var errDisk = errors.New("/var/lib/secret: the disk is full")

// desk is a store with one node, and sequences that may fail.
type desk struct {
	peer trust.Peer
	seq  uint64
	fail bool
}

func (d *desk) Peers(context.Context) ([]trust.Peer, error)          { return []trust.Peer{d.peer}, nil }
func (d *desk) PutPeer(context.Context, trust.Peer) error            { return nil }
func (d *desk) Codes(context.Context) ([]trust.Code, error)          { return nil, nil }
func (d *desk) PutCode(context.Context, trust.Code) error            { return nil }
func (d *desk) Redeem(context.Context, trust.Code, trust.Peer) error { return nil }

func (d *desk) Next(context.Context, wire.KeyID) (uint64, error) {
	if d.fail {
		return 0, errDisk
	}
	d.seq++
	return d.seq, nil
}

func newKey(t *testing.T) ed25519.PrivateKey {
	t.Helper()
	_, key, err := ed25519.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func newHub(t *testing.T, change func(*Options)) (*Hub, *desk) {
	t.Helper()
	key, node := newKey(t), wire.KeyOf(newKey(t))
	d := &desk{peer: trust.Peer{ID: node.ID(), Name: "north", Pins: []trust.Pin{{Key: node}}}}
	book, err := trust.Open(t.Context(), d, time.Now)
	if err != nil {
		t.Fatal(err)
	}
	o := Options{Name: "hub", Identity: func() Identity { return Identity{Key: key} }, Book: book, Sequences: d, Now: time.Now, Log: slog.New(slog.NewTextHandler(io.Discard, nil))}
	if change != nil {
		change(&o)
	}
	h := New(o)
	t.Cleanup(h.Close)
	return h, d
}

// TestPlacesForHandshakes: neither one address nor all together take more than there
// are, and each place comes back.
func TestPlacesForHandshakes(t *testing.T) {
	h, _ := newHub(t, func(o *Options) { o.Handshakes, o.PerAddress = 3, 2 })
	var leave []func()
	for i, c := range []struct {
		remote string
		ok     bool
	}{
		{"10.0.0.1:1", true}, {"10.0.0.1:2", true}, {"10.0.0.1:3", false}, // its own places are taken
		{"[fd00::1]:1", true}, {"unix", false}, {"10.0.0.2:1", false}, // all are taken
	} {
		l, ok := h.enter(c.remote)
		if ok != c.ok {
			t.Errorf("%d: %s got in: %v", i, c.remote, ok)
		}
		if ok {
			leave = append(leave, l)
		}
	}
	for _, l := range leave {
		l()
	}
	if len(h.from) != 0 || len(h.slots) != 0 {
		t.Errorf("places stay taken: %v, %d", h.from, len(h.slots))
	}
	w := httptest.NewRecorder()
	h.o.PerAddress = 0
	h.ServeHTTP(w, httptest.NewRequest("GET", wire.LinkPath, nil))
	if w.Code != http.StatusServiceUnavailable || w.Header().Get("Retry-After") == "" {
		t.Errorf("%d %s", w.Code, w.Body)
	}
}

// TestWhatAStrangerLearns: the texts of this protocol, and nothing from within.
func TestWhatAStrangerLearns(t *testing.T) {
	if r := public(errDisk); r.Code != wire.CodeInternal || strings.Contains(r.Text, "secret") {
		t.Errorf("%+v", r)
	}
	if r := public(errors.Join(errDisk, wire.Refuse(wire.CodeHost, "no"))); r.Code != wire.CodeHost || r.Text != "no" {
		t.Errorf("%+v", r)
	}
}

func TestIssuing(t *testing.T) {
	for name, c := range map[string]struct {
		order Order
		to    wire.KeyID // "": the node
		fail  bool
		code  wire.Code // "": issued; "error": no refusal
	}{
		"good":                        {Order{ID: "a", Kind: "http", Body: []byte("x")}, "", false, ""},
		"the largest body":            {Order{ID: "a", Kind: "http", Body: make([]byte, wire.MaxLarge)}, "", false, ""},
		"a body over the limit":       {Order{ID: "a", Kind: "http", Body: make([]byte, wire.MaxLarge+1)}, "", false, wire.CodeSize},
		"a life over the limit":       {Order{ID: "a", Kind: "http", Life: wire.MaxLife + time.Second}, "", false, wire.CodeMalformed},
		"a life that is over":         {Order{ID: "a", Kind: "http", Life: -time.Second}, "", false, wire.CodeMalformed},
		"no id":                       {Order{Kind: "http"}, "", false, wire.CodeMalformed},
		"to nobody":                   {Order{ID: "a", Kind: "http"}, wire.KeyID(strings.Repeat("a", 32)), false, wire.CodeUnknown},
		"the sequence is not durable": {Order{ID: "a", Kind: "http"}, "", true, "error"},
	} {
		h, d := newHub(t, nil)
		d.fail = c.fail
		to := c.to
		if to == "" {
			to = d.peer.ID
		}
		e, err := h.Issue(t.Context(), to, c.order)
		switch {
		case c.code == "" && (err != nil || e.Seq != 1 || e.Verify(wire.KeyOf(h.o.Identity().Key)) != nil):
			t.Errorf("%s: %v", name, err)
		case c.code == "error" && !errors.Is(err, errDisk), c.code != "" && c.code != "error" && !errors.Is(err, wire.For(c.code)):
			t.Errorf("%s: %v, want %s", name, err, c.code)
		}
	}
}

// TestNobodyIsThere: without a link everything is refused, and a body is closed.
func TestNobodyIsThere(t *testing.T) {
	h, d := newHub(t, nil)
	body := &closes{Reader: strings.NewReader("x")}
	r, _ := http.NewRequestWithContext(t.Context(), "POST", "http://node/x", body)
	if _, err := h.RoundTripper(d.peer.ID).RoundTrip(r); !errors.Is(err, wire.For(wire.CodeOffline)) || !body.closed {
		t.Errorf("%v, closed %v", err, body.closed)
	}
	e, err := h.Issue(t.Context(), d.peer.ID, Order{ID: "a", Kind: "http", Body: make([]byte, wire.MaxBody+1)})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := h.Send(t.Context(), e); !errors.Is(err, wire.For(wire.CodeOffline)) {
		t.Error(err)
	}
	if all := h.Nodes(); len(all) != 1 || all[0].Online || !all[0].LastSeen.IsZero() {
		t.Errorf("%+v", all)
	}
	h.Drop(d.peer.ID) // nothing to end
}

type closes struct {
	io.Reader
	closed bool
}

func (c *closes) Close() error { c.closed = true; return nil }
