package api

import (
	"context"
	"net"
	"syscall"

	"tresor/app/fault"
	"tresor/app/identity"
)

// peer is the process at the other end of the local socket, as the kernel names it.
type peer struct {
	uid   uint32
	known bool
}

type peerKey struct{}

// LocalConn is the ConnContext of the http.Server behind the local socket: it
// asks the kernel who dialled. A connection whose peer cannot be read is marked
// unknown and refused later, where the refusal can be audited.
func LocalConn(ctx context.Context, conn net.Conn) context.Context {
	p := peer{}
	if u, ok := conn.(syscall.Conn); ok {
		p = readPeer(u)
	}
	return context.WithValue(ctx, peerKey{}, p)
}

func readPeer(conn syscall.Conn) peer {
	raw, err := conn.SyscallConn()
	if err != nil {
		return peer{}
	}
	var p peer
	err = raw.Control(func(fd uintptr) {
		cred, err := syscall.GetsockoptUcred(int(fd), syscall.SOL_SOCKET, syscall.SO_PEERCRED)
		if err == nil {
			p = peer{uid: cred.Uid, known: true}
		}
	})
	if err != nil {
		return peer{}
	}
	return p
}

// isLocal reports whether the request came through the local socket.
func isLocal(ctx context.Context) bool {
	_, ok := ctx.Value(localKey{}).(bool)
	return ok
}

type localKey struct{}

// mayLocal reports whether a uid is trusted at the local socket: root, and the
// account that runs the server, which can read the database anyway.
func (s *Server) mayLocal(p peer) bool {
	return p.known && (p.uid == 0 || p.uid == s.uid)
}

// authenticateLocal finds the actor behind the local socket: the operator, or
// with the header Tresor-As the person it names. Events then carry Via "local"
// and the uid as session, so acting for somebody is never silent.
func (s *Server) authenticateLocal(c *call) error {
	p, _ := c.ctx().Value(peerKey{}).(peer)
	if !s.mayLocal(p) {
		s.noteLocalRefusal(c.ctx(), p)
		return fault.WithNext(fault.New("api.local", fault.Denied, "This account may not use the server's local socket."),
			"Run the command as root or as the account that runs the server.")
	}
	operator := identity.LocalOperator(int(p.uid))
	c.who.actor, c.who.session, c.who.fresh = operator, operator.Session, true
	handle := c.r.Header.Get("Tresor-As")
	if handle == "" {
		return nil
	}
	person, err := s.Identity.ActFor(c.ctx(), operator, handle)
	if err != nil {
		return err
	}
	c.who.actor = person
	return nil
}
