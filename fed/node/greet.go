package node

import (
	"context"
	"crypto/rand"

	"tresor/fed/link"
	"tresor/fed/trust"
	"tresor/fed/wire"
)

func (n *Node) dial(ctx context.Context, url string) (*link.Conn, string, error) {
	return link.Dial(ctx, link.DialOptions{URL: url, Proxy: n.o.Proxy, TLS: n.o.TLS, NetDial: n.o.NetDial, Limits: n.o.Limits})
}

// challenge reads the hub's first message and checks the clock.
func (n *Node) challenge(c *link.Conn) (wire.Challenge, error) {
	data, err := c.ReadMessage()
	if err != nil {
		return wire.Challenge{}, err
	}
	if wire.IsRefusal(data) {
		r, err := wire.DecodeRefusal(data)
		if err != nil {
			return wire.Challenge{}, err
		}
		return wire.Challenge{}, r
	}
	ch, err := wire.DecodeChallenge(data)
	if err != nil {
		return ch, err
	}
	return ch, wire.CheckTime(ch.Time, n.o.Now())
}

// greet does the node's half of the handshake with the hub that has that ID, and
// gives the key with which the hub proved itself.
func (n *Node) greet(ctx context.Context, c *link.Conn, host string, hub wire.KeyID, id Identity) (wire.KeyID, error) {
	ch, err := n.challenge(c)
	if err != nil {
		return "", err
	}
	p, key, err := n.o.Book.ByKey(ch.Hub.ID())
	if err != nil {
		return "", err
	}
	if p.ID != hub || key != ch.Hub {
		return "", wire.Refuse(wire.CodeSignature, "another hub than the enrolled one answers at %s: check the address", host)
	}
	hello := wire.NewHello(ch, host, id.Key, nonce(), n.o.Now(), id.Next)
	if err := c.WriteMessage(hello.Encode()); err != nil {
		return "", err
	}
	data, err := c.ReadMessage()
	if err != nil {
		return "", err
	}
	w, err := wire.DecodeWelcome(data)
	if err != nil {
		return "", err
	}
	if err := w.Check(hello, n.o.Now()); err != nil {
		return "", err
	}
	if w.Next != nil {
		if err := n.o.Book.Succeed(ctx, key.ID(), w.Next); err != nil {
			return "", err
		}
	}
	return key.ID(), nil
}

// Enrol brings an enrolment code to the hub at its URL and pins the hub. It
// makes one attempt: while the other operator has not typed the code yet the
// answer is CodeNoCode, and the caller may try again later. name is what the hub
// shows for this node.
func (n *Node) Enrol(ctx context.Context, code trust.Code, name string) (trust.Peer, error) {
	if err := wire.CheckName(name); err != nil {
		return trust.Peer{}, err
	}
	c, host, err := n.dial(ctx, code.URL)
	if err != nil {
		return trust.Peer{}, err
	}
	defer c.Close()
	stop := context.AfterFunc(ctx, func() { c.Close() })
	defer stop()
	ch, err := n.challenge(c)
	if err != nil {
		return trust.Peer{}, err
	}
	e := wire.NewEnrol(ch, host, name, code.Secret, n.o.Identity().Key, nonce(), n.o.Now())
	if err := c.WriteMessage(e.Encode()); err != nil {
		return trust.Peer{}, err
	}
	data, err := c.ReadMessage()
	if err != nil {
		return trust.Peer{}, err
	}
	a, err := wire.DecodeEnrolled(data)
	if err != nil {
		return trust.Peer{}, err
	}
	if err := a.Check(e, code.Secret, n.o.Now()); err != nil {
		return trust.Peer{}, err
	}
	return n.o.Book.Join(ctx, code, a)
}

func nonce() (n wire.Nonce) {
	rand.Read(n[:])
	return n
}
