package fedtest

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gorilla/websocket"
	"tresor/fed/hub"
	"tresor/fed/link"
	"tresor/fed/node"
	"tresor/fed/wire"
)

func TestTheSameEnvelopeAtOnceFromManySides(t *testing.T) {
	var c tally
	h, n := pair(t, link.Limits{}, node.Door{Execute: func(ctx context.Context, o node.Order) ([]byte, error) {
		time.Sleep(50 * time.Millisecond)
		return c.execute(ctx, o)
	}})
	e, err := h.Issue(ctx5(t), n.ID, hub.Order{ID: "many", Kind: "k"})
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	for range 32 {
		wg.Go(func() {
			if r, err := h.Send(ctx5(t), e); err != nil || string(r.Result) != "did " {
				t.Errorf("%q %v", r.Result, err)
			}
		})
	}
	wg.Wait()
	if c.of("many") != 1 {
		t.Errorf("executed %d times", c.of("many"))
	}
}

func TestAnswersOfATask(t *testing.T) {
	cases := map[string]struct {
		do   node.Execute
		code wire.Code
	}{
		"refusal":                {func(context.Context, node.Order) ([]byte, error) { return nil, wire.Refuse("quota", "too many") }, "quota"},
		"refusal that says wait": {func(context.Context, node.Order) ([]byte, error) { return nil, wire.Refuse(wire.CodeBusy, "x") }, wire.CodeFailed},
		"error":                  {func(context.Context, node.Order) ([]byte, error) { return nil, errors.New("secret-4711") }, wire.CodeFailed},
		"panic":                  {func(context.Context, node.Order) ([]byte, error) { panic("secret-4711") }, wire.CodeFailed},
		"answer over the limit":  {func(context.Context, node.Order) ([]byte, error) { return make([]byte, wire.MaxBody+1), nil }, wire.CodeSize},
		"answer at the limit":    {func(context.Context, node.Order) ([]byte, error) { return make([]byte, wire.MaxBody), nil }, ""},
	}
	h, n := pair(t, link.Limits{}, node.Door{Execute: func(ctx context.Context, o node.Order) ([]byte, error) { return cases[string(o.Body)].do(ctx, o) }})
	i := 0
	for name, tc := range cases {
		i++
		e, err := h.Issue(ctx5(t), n.ID, hub.Order{ID: "answer-" + string(rune('a'+i)), Kind: "k", Body: []byte(name)})
		if err != nil {
			t.Fatal(err)
		}
		for range 2 {
			_, err = h.Send(ctx5(t), e)
			if tc.code == "" && err != nil || tc.code != "" && !errors.Is(err, wire.For(tc.code)) {
				t.Errorf("%s: %v", name, err)
			}
			if err != nil && strings.Contains(err.Error(), "4711") {
				t.Errorf("%s: an error from within reached the hub: %v", name, err)
			}
		}
	}
}

func TestANewerLinkTakesThePlaceOfTheOld(t *testing.T) {
	h, n := enrolled(t, link.Limits{})
	connect(t, n)
	h.Online(t, n.ID)
	twin := NewNode(t, link.Limits{})
	twin.Key, twin.Store, twin.Hub = n.Key, n.Store, n.Hub
	twin.Restart(t)
	n.Disconnect(n.Hub)
	connect(t, twin)
	Until(t, "the new link answers", func() bool { _, body, err := get(h, n.ID, "/"); return err == nil && body == "ok" })
	if up := h.Nodes(); len(up) != 1 || !up[0].Online {
		t.Errorf("nodes %+v", up)
	}
}

func TestRestartOfTheHub(t *testing.T) {
	var c tally
	h, n := pair(t, link.Limits{}, node.Door{Execute: c.execute})
	before, _ := h.Issue(ctx5(t), n.ID, hub.Order{ID: "before", Kind: "k"})
	if _, err := h.Send(ctx5(t), before); err != nil {
		t.Fatal(err)
	}
	h.Hub.Close()
	again := hub.New(hub.Options{Name: "Hub of the test", Identity: func() hub.Identity { return hub.Identity{Key: h.Key} },
		Hosts: []string{h.Relay.Host()}, Book: h.Book, Sequences: h.Store, Now: h.Clock.Now, Log: Log()})
	srv := httptest.NewServer(again)
	t.Cleanup(srv.Close)
	t.Cleanup(again.Close)
	h.Relay.Target("ws" + srv.URL[len("http"):])
	h.Relay.Cut()
	if r, err := Deliver(ctx5(t), again, h.Clock.Now, before); err != nil || r.ID != "before" {
		t.Errorf("the envelope of before: %v", err)
	}
	after, err := again.Issue(ctx5(t), n.ID, hub.Order{ID: "after", Kind: "k"})
	if err != nil || after.Seq <= before.Seq {
		t.Fatalf("sequence %d after %d, %v", after.Seq, before.Seq, err)
	}
	if _, err := Deliver(ctx5(t), again, h.Clock.Now, after); err != nil || c.of("before") != 1 || c.of("after") != 1 {
		t.Errorf("%v %v", err, c.runs)
	}
}

func TestDeliveryEnds(t *testing.T) {
	h, n := enrolled(t, link.Limits{})
	e, err := h.Issue(ctx5(t), n.ID, hub.Order{ID: "never", Kind: "k", Life: time.Minute})
	if err != nil {
		t.Fatal(err)
	}
	_, err = h.Send(ctx5(t), e)
	wantCode(t, err, wire.CodeOffline)
	short, cancel := context.WithTimeout(context.Background(), 100*time.Millisecond)
	defer cancel()
	if _, err = h.Deliver(short, e); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("got %v", err)
	}
	h.Clock.Skew(time.Hour)
	_, err = h.Deliver(ctx5(t), e)
	wantCode(t, err, wire.CodeExpired)
	h.Store.Fail(Fails)
	if _, err = h.Issue(ctx5(t), n.ID, hub.Order{ID: "x", Kind: "k"}); !errors.Is(err, ErrStore) {
		t.Errorf("a sequence that was not kept was given: %v", err)
	}
	_, err = h.Issue(ctx5(t), "0123456789abcdef0123456789abcdef", hub.Order{ID: "x", Kind: "k"})
	wantCode(t, err, wire.CodeUnknown)
}

// TestANodeThatOpensStreamsLosesItsLink: only the hub asks.
func TestANodeThatOpensStreamsLosesItsLink(t *testing.T) {
	h, n := enrolled(t, link.Limits{})
	ws, _, err := (&websocket.Dialer{Subprotocols: []string{link.Protocol}}).Dial("ws"+h.Server.URL[len("http"):], nil)
	if err != nil {
		t.Fatal(err)
	}
	defer ws.Close()
	_, data, err := ws.ReadMessage()
	if err != nil {
		t.Fatal(err)
	}
	ch, err := wire.DecodeChallenge(data)
	if err != nil {
		t.Fatal(err)
	}
	host := h.Server.Listener.Addr().String()
	ws.WriteMessage(websocket.TextMessage, wire.NewHello(ch, host, n.Key, wire.Nonce{1}, time.Now(), nil).Encode())
	h.Online(t, n.ID)
	ws.WriteMessage(websocket.BinaryMessage, frame(1, 1, 2, 0))
	Until(t, "the hub cuts", func() bool { return !h.IsOnline(n.ID) })
}

func TestAFullHubSaysSo(t *testing.T) {
	NoLeaks(t)
	s := NewStore()
	h, open := StartHub(t, link.Limits{}), link.Limits{Handshake: time.Minute}
	one := hub.New(hub.Options{Name: "x", Identity: func() hub.Identity { return hub.Identity{Key: h.Key} }, Book: h.Book, Sequences: s,
		Now: time.Now, Log: Log(), Handshakes: 1, Limits: open})
	srv := httptest.NewServer(one)
	defer srv.Close()
	d := websocket.Dialer{Subprotocols: []string{link.Protocol}}
	ws, _, err := d.Dial("ws"+srv.URL[len("http"):], nil)
	if err != nil {
		t.Fatal(err)
	}
	defer ws.Close()
	_, resp, err := d.Dial("ws"+srv.URL[len("http"):], nil)
	if err == nil || resp.StatusCode != http.StatusServiceUnavailable || resp.Header.Get("Retry-After") == "" {
		t.Errorf("a second handshake: %v", err)
	}
}
