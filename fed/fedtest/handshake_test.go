package fedtest

import (
	"bytes"
	"context"
	"errors"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"tresor/fed/hub"
	"tresor/fed/link"
	"tresor/fed/node"
	"tresor/fed/trust"
	"tresor/fed/wire"
)

// enrolled is a hub and a node that is pinned there and not connected.
func enrolled(t testing.TB, limits link.Limits) (*Hub, *Node) {
	t.Helper()
	NoLeaks(t)
	h, n := StartHub(t, limits), NewNode(t, limits)
	h.Enrol(t, n, "North")
	return h, n
}

func TestEveryRefusalOfAHandshake(t *testing.T) {
	cases := []struct {
		name  string
		spoil func(t *testing.T, h *Hub, n *Node)
		code  wire.Code
	}{
		{"node's clock is ahead", func(t *testing.T, h *Hub, n *Node) { n.Clock.Skew(6 * time.Minute) }, wire.CodeTime},
		{"hub's clock is behind", func(t *testing.T, h *Hub, n *Node) { h.Clock.Skew(-6 * time.Minute) }, wire.CodeTime},
		{"node's key was never enrolled", func(t *testing.T, h *Hub, n *Node) { n.SetKey(NewKey(t)) }, wire.CodeUnknown},
		{"node was revoked", func(t *testing.T, h *Hub, n *Node) { h.Book.Revoke(context.Background(), n.ID, "left") }, wire.CodeRevoked},
		{"node's key was revoked", func(t *testing.T, h *Hub, n *Node) { h.Book.RevokeKey(context.Background(), n.ID, n.ID) }, wire.CodeRevoked},
		{"hub has another key", func(t *testing.T, h *Hub, n *Node) { h.SetKey(NewKey(t)) }, wire.CodeUnknown},
		{"hello was recorded and is played again", func(t *testing.T, h *Hub, n *Node) {
			var kept atomic.Pointer[[]byte]
			h.Relay.Change(func(m Message) [][]byte {
				if m.ToHub && m.N == 0 && !kept.CompareAndSwap(nil, &m.Data) {
					return [][]byte{*kept.Load()}
				}
				return [][]byte{m.Data}
			})
			connect(t, n)
			h.Online(t, n.ID)
			n.Disconnect(n.Hub)
		}, wire.CodeNonce},
		{"welcome was recorded and is played again", func(t *testing.T, h *Hub, n *Node) {
			var kept atomic.Pointer[[]byte]
			h.Relay.Change(func(m Message) [][]byte {
				if !m.ToHub && m.N == 1 && m.Text && !kept.CompareAndSwap(nil, &m.Data) {
					return [][]byte{*kept.Load()}
				}
				return [][]byte{m.Data}
			})
			connect(t, n)
			// The hub calls a node online before its welcome has passed the relay.
			Until(t, "the node has its welcome", func() bool { return n.Health()[0].State == node.Online })
			n.Disconnect(n.Hub)
		}, wire.CodeNonce},
		{"hello names another host", func(t *testing.T, h *Hub, n *Node) { changeFirst(h, h.Relay.Host(), "evil.test") }, wire.CodeHost},
		{"hello was changed", func(t *testing.T, h *Hub, n *Node) { changeFirst(h, `"time":1`, `"time":2`) }, wire.CodeTime},
		{"hello has a field more", func(t *testing.T, h *Hub, n *Node) { changeFirst(h, `{`, `{"x":1,`) }, wire.CodeMalformed},
		{"hello is not JSON", func(t *testing.T, h *Hub, n *Node) { changeFirst(h, `{`, `[`) }, wire.CodeMalformed},
	}
	for _, tc := range cases {
		t.Run(tc.name, func(t *testing.T) {
			h, n := enrolled(t, link.Limits{})
			tc.spoil(t, h, n)
			connect(t, n)
			var last node.Health
			Until(t, "the refusal "+string(tc.code)+" is in the health", func() bool {
				last = n.Health()[0]
				return last.Code == tc.code
			})
			if h.IsOnline(n.ID) && tc.code != wire.CodeNonce {
				t.Errorf("health %+v: the node is online", last)
			}
		})
	}
}

func connect(t *testing.T, n *Node) {
	t.Helper()
	if err := n.Connect(n.Hub, node.Door{Routes: http.HandlerFunc(ok), Execute: (&tally{}).execute}); err != nil {
		t.Fatal(err)
	}
}

// changeFirst changes the text of what nodes say first.
func changeFirst(h *Hub, old, new string) {
	h.Relay.Change(func(m Message) [][]byte {
		if m.ToHub && m.N == 0 {
			return [][]byte{bytes.Replace(m.Data, []byte(old), []byte(new), 1)}
		}
		return [][]byte{m.Data}
	})
}

func TestRefusalsOfAnEnrolmentOnTheWire(t *testing.T) {
	NoLeaks(t)
	h, n := StartHub(t, link.Limits{}), NewNode(t, link.Limits{})
	ctx := ctx5(t)
	made, err := n.Book.NewCode(ctx, h.Relay.URL(), "")
	if err != nil {
		t.Fatal(err)
	}
	_, err = n.Enrol(ctx, made, "North")
	wantCode(t, err, wire.CodeNoCode) // the hub's operator has not typed it yet
	if _, err := h.Book.TypeCode(ctx, made.Text(), "", ""); err != nil {
		t.Fatal(err)
	}
	// Somebody between who answers with a key of their own does not know the code.
	mallory := NewKey(t)
	h.Relay.Change(func(m Message) [][]byte {
		if c, err := wire.DecodeChallenge(m.Data); err == nil {
			c.Hub = wire.KeyOf(mallory)
			return [][]byte{c.Encode()}
		}
		return [][]byte{m.Data}
	})
	_, err = n.Enrol(ctx, made, "North")
	wantCode(t, err, wire.CodeSignature)
	h.Relay.Change(nil)
	if _, err = n.Enrol(ctx, made, strings.Repeat("n", 1<<20)); err == nil {
		t.Error("a name of 1 MB was sent")
	}
	if _, err = n.Enrol(ctx, made, "North"); err != nil {
		t.Fatal(err)
	}
	thief := NewNode(t, link.Limits{})
	_, err = thief.Enrol(ctx, trust.Code{Secret: made.Secret, URL: h.Relay.URL()}, "Thief")
	wantCode(t, err, wire.CodeCodeUsed)
}

func TestARevokedKeyLosesItsLink(t *testing.T) {
	h, n := enrolled(t, link.Limits{})
	connect(t, n)
	h.Online(t, n.ID)
	if err := h.Book.Revoke(context.Background(), n.ID, "left"); err != nil {
		t.Fatal(err)
	}
	if _, _, err := get(h, n.ID, "/"); !errors.Is(err, wire.For(wire.CodeRevoked)) && !errors.Is(err, wire.For(wire.CodeOffline)) {
		t.Errorf("got %v, want that it is revoked, or gone already", err)
	}
	Until(t, "the link is gone", func() bool { return !h.IsOnline(n.ID) })
}

func TestAHubThatWasRevokedAtTheNodeReachesNothing(t *testing.T) {
	h, n := enrolled(t, link.Limits{})
	connect(t, n)
	h.Online(t, n.ID)
	if err := n.Book.Revoke(context.Background(), n.Hub, "compromised"); err != nil {
		t.Fatal(err)
	}
	if code, body, err := get(h, n.ID, "/"); err == nil && (code != 403 || body == "ok") {
		t.Errorf("got %d %q", code, body)
	}
	Until(t, "the node has stopped to try", func() bool { return n.Health()[0].State == node.Revoked })
}

// TestANextKeyThatComesDuringTheHandshake is announced all the same: the link that does
// not know of it is made anew.
func TestANextKeyThatComesDuringTheHandshake(t *testing.T) {
	for _, side := range []string{"node", "hub"} {
		t.Run(side, func(t *testing.T) {
			h, n := enrolled(t, Lively())
			held, goes := make(chan struct{}), make(chan struct{})
			var first atomic.Bool
			h.Relay.Change(func(m Message) [][]byte {
				if !m.ToHub && m.N == 1 && side == "node" || m.ToHub && m.N == 0 && side == "hub" {
					if !first.Swap(true) {
						close(held)
						<-goes
					}
				}
				return [][]byte{m.Data}
			})
			connect(t, n)
			<-held
			next := NewKey(t)
			if side == "node" {
				n.Next.Store(wire.NewSuccession(n.Key, next, time.Now().Add(time.Hour)))
				n.Redial(n.Hub)
			} else {
				h.Next.Store(wire.NewSuccession(h.Key, next, time.Now().Add(time.Hour)))
				h.Drop(n.ID)
			}
			close(goes)
			Until(t, "the next key is known on the other side", func() bool {
				if side == "node" {
					return n.Health()[0].Announced == wire.KeyOf(next).ID()
				}
				return h.Nodes()[0].Announced == wire.KeyOf(next).ID()
			})
		})
	}
}

func TestRotationOfBothKeysOverTheLink(t *testing.T) {
	h, n := enrolled(t, Lively())
	newNode, newHub := NewKey(t), NewKey(t)
	n.Next.Store(wire.NewSuccession(n.Key, newNode, time.Now().Add(time.Hour)))
	h.Next.Store(wire.NewSuccession(h.Key, newHub, time.Now().Add(time.Hour)))
	connect(t, n)
	Until(t, "both have pinned the next key", func() bool {
		return h.Nodes()[0].Announced == wire.KeyOf(newHub).ID() && n.Health()[0].Announced == wire.KeyOf(newNode).ID()
	})
	n.Disconnect(n.Hub)
	Until(t, "offline", func() bool { return !h.IsOnline(n.ID) })
	n.SetKey(newNode, wire.KeyOf(n.Key).ID())
	h.SetKey(newHub)
	n.Next.Store(nil)
	h.Next.Store(nil)
	connect(t, n)
	h.Online(t, n.ID)
	e, err := h.Issue(ctx5(t), n.ID, hub.Order{ID: "rotated", Kind: "k"})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := h.Deliver(ctx5(t), e); err != nil {
		t.Error(err)
	}
}
