package fedtest

import (
	"context"
	"testing"

	"tresor/fed/link"
	"tresor/fed/trust"
	"tresor/fed/wire"
)

func (h *Hub) peer(t *testing.T, id wire.KeyID) trust.Peer {
	t.Helper()
	p, ok := h.Book.Peer(id)
	if !ok {
		t.Fatal("the hub does not know the node")
	}
	return p
}

// TestTheLastWordOfANode: the hub hears that it was revoked, believes it of that node
// alone, and takes the node again with a new code.
func TestTheLastWordOfANode(t *testing.T) {
	h, n := enrolled(t, link.Limits{})
	other := NewNode(t, link.Limits{})
	h.Enrol(t, other, "East")
	connect(t, n)
	connect(t, other)
	h.Online(t, n.ID)
	h.Online(t, other.ID)

	wantCode(t, <-n.Leave(n.Hub), wire.CodeConflict) // not revoked: nothing is said
	if err := n.Book.Revoke(context.Background(), n.Hub, "compromised"); err != nil {
		t.Fatal(err)
	}
	n.Disconnect(n.Hub)
	if err := <-n.Leave(n.Hub); err != nil {
		t.Fatal(err)
	}
	_, _, err := h.Book.ByKey(n.ID)
	wantCode(t, err, wire.CodeRevoked)
	wantCode(t, <-n.Leave(n.Hub), wire.CodeRevoked) // said twice
	if p := h.peer(t, other.ID); p.Gone() || !h.IsOnline(other.ID) {
		t.Errorf("the other node: %+v", p)
	}
	Until(t, "its link has ended", func() bool { return !h.IsOnline(n.ID) })
	if !h.peer(t, n.ID).Gone() || !h.peer(t, n.ID).Revoked.IsZero() {
		t.Errorf("%+v", h.peer(t, n.ID))
	}

	back := NewNode(t, link.Limits{})
	back.Key = n.Key
	p, err := back.Book.TypeCode(context.Background(), codeOf(t, h), h.Relay.URL(), "")
	if err != nil {
		t.Fatal(err)
	}
	hub, err := back.Enrol(context.Background(), p, "North") // a new code: it is back
	if err != nil {
		t.Fatal(err)
	}
	back.Hub, back.ID = hub.ID, n.ID
	if h.peer(t, n.ID).Gone() {
		t.Error("a node that enrolled again is gone")
	}
	connect(t, back)
	h.Online(t, n.ID)
	if err := h.Book.Leave(context.Background(), n.ID); err != nil {
		t.Fatal(err)
	}
	h.Drop(n.ID) // as a node that was put back from a copy of before its last word
	Until(t, "its greeting is refused", func() bool { return back.Health()[0].Code == wire.CodeRevoked })
}

func (n *Node) peer(t *testing.T) trust.Peer {
	t.Helper()
	p, ok := n.Book.Peer(n.Hub)
	if !ok {
		t.Fatal("the node does not know the hub")
	}
	return p
}

func codeOf(t *testing.T, h *Hub) string {
	t.Helper()
	c, err := h.Book.NewCode(context.Background(), "", "")
	if err != nil {
		t.Fatal(err)
	}
	return c.Text()
}

// TestALastWordThatNobodyTakes: a stranger's changes nothing, one that the hub cannot
// keep is not confirmed, and a hub that is down costs the node nothing.
func TestALastWordThatNobodyTakes(t *testing.T) {
	h, n := enrolled(t, link.Limits{})
	thief := NewNode(t, link.Limits{})
	stored, _ := n.Store.Peers(context.Background())
	if err := thief.Store.PutPeer(context.Background(), stored[0]); err != nil {
		t.Fatal(err)
	}
	thief.Restart(t)
	for _, x := range []*Node{thief, n} {
		if err := x.Book.Revoke(context.Background(), n.Hub, "left"); err != nil {
			t.Fatal(err)
		}
	}
	wantCode(t, <-thief.Leave(n.Hub), wire.CodeUnknown)
	h.Store.Fail(Fails)
	wantCode(t, <-n.Leave(n.Hub), wire.CodeInternal)
	impostor := StartHub(t, link.Limits{})
	p := n.peer(t)
	p.URL = impostor.Relay.URL()
	if err := n.Store.PutPeer(context.Background(), p); err != nil {
		t.Fatal(err)
	}
	n.Restart(t)
	wantCode(t, <-n.Leave(n.Hub), wire.CodeSignature)
	impostor.Relay.Close()
	if err := <-n.Leave(n.Hub); err == nil {
		t.Error("a hub that is down has answered")
	}
	n.Node.Close()
	if err := <-n.Leave(n.Hub); err == nil {
		t.Error("a node that is closed has spoken")
	}
	if p := h.peer(t, n.ID); p.Gone() {
		t.Errorf("%+v", p)
	}
}
