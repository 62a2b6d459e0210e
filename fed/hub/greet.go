package hub

import (
	"crypto/rand"
	"errors"
	"net"
	"net/http"

	"tresor/fed/link"
	"tresor/fed/trust"
	"tresor/fed/wire"
)

// ServeHTTP takes one connection of a node: an enrolment, or a link. It returns
// when the handshake is over; the link goes on without the request.
func (h *Hub) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	leave, ok := h.enter(r.RemoteAddr)
	if !ok {
		w.Header().Set("Retry-After", "5")
		http.Error(w, "too many nodes are connecting at once: try again", http.StatusServiceUnavailable)
		return
	}
	defer leave()
	c, err := link.Accept(w, r, h.o.Limits)
	if err != nil {
		h.o.Log.Debug("connection refused", "remote", r.RemoteAddr, "err", err)
		return
	}
	if err := h.talk(r, c); err != nil {
		h.o.Log.Info("handshake refused", "remote", r.RemoteAddr, "err", err)
		c.Refuse(public(err))
	}
}

// enter takes a place for a handshake: one address cannot take them all.
func (h *Hub) enter(remote string) (leave func(), ok bool) {
	host, _, err := net.SplitHostPort(remote)
	if err != nil {
		host = remote
	}
	h.mu.Lock()
	full := h.from[host] >= h.o.PerAddress
	if !full {
		h.from[host]++
	}
	h.mu.Unlock()
	if full {
		return nil, false
	}
	select {
	case h.slots <- struct{}{}:
		return func() { <-h.slots; h.leave(host) }, true
	default:
		h.leave(host)
		return nil, false
	}
}

func (h *Hub) leave(host string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.from[host]--; h.from[host] <= 0 {
		delete(h.from, host)
	}
}

// public is what a stranger may learn of an error.
func public(err error) *wire.Refusal {
	var r *wire.Refusal
	if errors.As(err, &r) {
		return r
	}
	return wire.Refuse(wire.CodeInternal, "the hub could not take this: its operator finds why in its log")
}

func (h *Hub) talk(r *http.Request, c *link.Conn) error {
	id := h.o.Identity()
	ch := wire.NewChallenge(wire.KeyOf(id.Key), nonce(), h.o.Now())
	if err := c.WriteMessage(ch.Encode()); err != nil {
		return err
	}
	data, err := c.ReadMessage()
	if err != nil {
		return err
	}
	if wire.IsEnrol(data) {
		return h.enrol(r, c, id, ch, data)
	}
	return h.welcome(r, c, id, ch, data)
}

func (h *Hub) enrol(r *http.Request, c *link.Conn, id Identity, ch wire.Challenge, data []byte) error {
	e, err := wire.DecodeEnrol(data)
	if err != nil {
		return err
	}
	if err := e.Check(ch, h.o.Hosts, h.o.Now()); err != nil {
		return err
	}
	p, code, err := h.o.Book.Admit(r.Context(), e)
	if err != nil {
		return err
	}
	if h.o.Enrolled != nil {
		h.o.Enrolled(p)
	}
	err = c.WriteMessage(wire.NewEnrolled(e, h.o.Name, code.Secret, id.Key, h.o.Now()).Encode())
	c.Close()
	h.o.Log.Info("node enrolled", "node", p.Name, "words", trust.Words(e.Node), "err", err)
	return nil
}

func (h *Hub) welcome(r *http.Request, c *link.Conn, id Identity, ch wire.Challenge, data []byte) error {
	hello, err := wire.DecodeHello(data)
	if err != nil {
		return err
	}
	if err := hello.Check(ch, h.o.Hosts, h.o.Now()); err != nil {
		return err
	}
	p, key, err := h.o.Book.ByKey(hello.Node.ID())
	if err != nil {
		return err
	}
	if key != hello.Node {
		return wire.Refuse(wire.CodeUnknown, "the key is not enrolled: enrol with a code first")
	}
	if hello.Leaves() {
		return h.farewell(r, c, id, p, hello)
	}
	if hello.Next != nil {
		if err := h.o.Book.Succeed(r.Context(), hello.Node.ID(), hello.Next); err != nil {
			return err
		}
	}
	if err := c.WriteMessage(wire.NewWelcome(hello, id.Key, h.o.Now(), id.Next).Encode()); err != nil {
		return err
	}
	return h.open(p, hello, id.Next, c)
}

// farewell takes the last word of a node, which concerns that node alone. Any key that
// proves the node will do: during a change of keys it still signs with the old one.
func (h *Hub) farewell(r *http.Request, c *link.Conn, id Identity, p trust.Peer, hello wire.Hello) error {
	if err := h.o.Book.Leave(r.Context(), p.ID); err != nil {
		return err
	}
	h.Drop(p.ID)
	err := c.WriteMessage(wire.NewWelcome(hello, id.Key, h.o.Now(), nil).Encode())
	c.Close()
	h.o.Log.Info("node has revoked this hub", "node", p.Name, "err", err)
	return nil
}

func (h *Hub) open(p trust.Peer, hello wire.Hello, next *wire.Succession, c *link.Conn) error {
	s, err := link.Opener(c)
	if err != nil {
		return err
	}
	l := &nodeLink{peer: p.ID, key: hello.Node.ID(), version: hello.Version, session: s, http: s.Transport(), since: h.o.Now(), next: next}
	if !h.attach(l) {
		s.Close()
		return nil
	}
	h.o.Log.Info("node online", "node", p.Name, "remote", s.RemoteAddr())
	go h.watch(l)
	return nil
}

func nonce() (n wire.Nonce) {
	rand.Read(n[:])
	return n
}
