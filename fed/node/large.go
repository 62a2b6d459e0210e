package node

import (
	"bufio"
	"errors"
	"io"
	"net/http"
	"time"

	"tresor/fed/trust"
	"tresor/fed/wire"
)

// MaxLargeAtOnce is how many large orders of one hub a node holds at once: what
// they cost in memory is bounded, whatever the hub sends.
const MaxLargeAtOnce = 4

// serveLarge takes one envelope whose body travels after it.
func (x *executor) serveLarge(w http.ResponseWriter, r *http.Request, hub trust.Peer, d Door) {
	if !posted(w, r) {
		return
	}
	places := x.deskOf(hub.ID).large
	if err := x.enter(r, places); err != nil {
		refuse(w, err)
		return
	}
	e, err := x.receive(w, r, hub)
	x.reply(w, r, hub, e, d, err)
	leave := func() { <-places }
	// An order that runs on keeps its body, and so its place.
	if e != nil {
		if run := x.runs(hub.ID, e.ID); run != nil {
			go func() { <-run.done; leave() }()
			return
		}
	}
	leave()
}

// enter waits for a place. Until there is one, the body waits at the hub: a stream
// carries no more than its window ahead of its reader.
func (x *executor) enter(r *http.Request, places chan struct{}) error {
	t := time.NewTimer(x.o.Patience)
	defer t.Stop()
	select {
	case places <- struct{}{}:
		return nil
	case <-r.Context().Done():
		return r.Context().Err()
	case <-t.C:
		return wire.Refuse(wire.CodeBusy, "the node takes %d large orders of this hub now: send the envelope again later", MaxLargeAtOnce)
	}
}

// receive reads the envelope and believes it before it reads the body, then holds
// the body against it. Nothing is claimed before the last byte was there.
func (x *executor) receive(w http.ResponseWriter, r *http.Request, hub trust.Peer) (*wire.Envelope, error) {
	// A hub that brings its bytes slowly keeps a place of its own for a while and no longer.
	control := http.NewResponseController(w)
	_ = control.SetReadDeadline(time.Now().Add(largeWait))
	defer control.SetReadDeadline(time.Time{})
	in := bufio.NewReaderSize(r.Body, wire.MaxMessage)
	line, err := in.ReadSlice('\n')
	if errors.Is(err, bufio.ErrBufferFull) {
		return nil, wire.Refuse(wire.CodeSize, "an envelope without its body has less than %d bytes", wire.MaxMessage)
	}
	if err != nil {
		return nil, cutShort(err)
	}
	e, err := x.verified(hub, line[:len(line)-1])
	if err != nil {
		return nil, err
	}
	if !e.Large() {
		return nil, wire.Refuse(wire.CodeMalformed, "the envelope's body lies inside: it comes by another path")
	}
	body := make([]byte, e.Size)
	if _, err := io.ReadFull(in, body); err != nil {
		return nil, cutShort(err)
	}
	if n, _ := in.Read(make([]byte, 1)); n > 0 {
		return nil, wire.Refuse(wire.CodeBody, "there are bytes after the body: send the order again")
	}
	return e, e.Attach(body)
}

// largeWait bounds how long one envelope with its body may take on its way.
const largeWait = 2 * time.Minute

// cutShort is what a hub hears of a body that ended too early.
func cutShort(err error) error {
	return wire.Refuse(wire.CodeBody, "the order broke off on its way: send it again (%v)", err)
}
