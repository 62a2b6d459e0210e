package node

import (
	"errors"
	"io"
	"net/http"

	"tresor/fed/link"
	"tresor/fed/trust"
	"tresor/fed/wire"
)

// handler is everything that the hub with that key reaches on this link.
func (l *hubLink) handler(key wire.KeyID, s *link.Session) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		hub, _, err := l.n.o.Book.ByKey(key)
		if err != nil {
			refuse(w, err)
			go s.Close() // after this answer would be too late: the key is bad now
			return
		}
		if l.paused.Load() || l.n.allPaused() {
			refuse(w, wire.Refuse(wire.CodePaused, "the node's operator has paused this hub: ask them"))
			return
		}
		if l.door.Closed != nil {
			if why := l.door.Closed(); why != nil {
				refuse(w, why)
				return
			}
		}
		switch {
		case r.URL.Path == wire.TasksPath && l.door.Execute != nil:
			l.n.exec.serve(w, r, hub, l.door)
		case r.URL.Path == wire.LargePath && l.door.Execute != nil:
			l.n.exec.serveLarge(w, r, hub, l.door)
		case l.door.Routes != nil:
			read(w, r, l.door.Routes)
		default:
			http.NotFound(w, r)
		}
	})
}

// read lets a plain request pass that changes nothing and brings nothing.
func read(w http.ResponseWriter, r *http.Request, routes http.Handler) {
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		w.Header().Set("Allow", "GET, HEAD")
		refuse(w, wire.Refuse(wire.CodeMethod, "a plain request over the link only reads: send what changes something as a signed order"))
		return
	}
	if r.ContentLength != 0 || len(r.TransferEncoding) > 0 {
		refuse(w, wire.Refuse(wire.CodeSize, "a plain request over the link brings no body: send it as a signed order"))
		return
	}
	r.Body = http.NoBody
	routes.ServeHTTP(w, r)
}

// posted refuses what does not bring an envelope.
func posted(w http.ResponseWriter, r *http.Request) bool {
	if r.Method == http.MethodPost {
		return true
	}
	w.Header().Set("Allow", http.MethodPost)
	http.Error(w, "an envelope comes with POST", http.StatusMethodNotAllowed)
	return false
}

// serve takes one envelope.
func (x *executor) serve(w http.ResponseWriter, r *http.Request, hub trust.Peer, d Door) {
	if !posted(w, r) {
		return
	}
	data, err := io.ReadAll(http.MaxBytesReader(w, r.Body, wire.MaxEnvelope))
	if err != nil {
		var big *http.MaxBytesError
		if errors.As(err, &big) {
			err = wire.Refuse(wire.CodeSize, "an envelope has at most %d bytes", wire.MaxEnvelope)
		}
		refuse(w, err)
		return
	}
	e, err := x.verified(hub, data)
	if err == nil && e.Large() {
		err = wire.Refuse(wire.CodeMalformed, "the envelope's body does not lie inside: it comes by another path")
	}
	x.reply(w, r, hub, e, d, err)
}

// reply takes an envelope that is whole, and answers.
func (x *executor) reply(w http.ResponseWriter, r *http.Request, hub trust.Peer, e *wire.Envelope, d Door, err error) {
	var receipt []byte
	if err == nil {
		receipt, err = x.take(r.Context(), hub, e, d)
	}
	if err != nil {
		refuse(w, err)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.Write(receipt)
}

// statuses gives the HTTP status of a refusal; every other code is a 400.
var statuses = map[wire.Code]int{
	wire.CodeMethod: 405, wire.CodeSize: 413, wire.CodeSignature: 403, wire.CodeUnknown: 403, wire.CodeRevoked: 403, wire.CodeKeyExpired: 403,
	wire.CodeOther: 403, wire.CodeOtherHub: 403, wire.CodeExpired: 410, wire.CodeStale: 409, wire.CodeConflict: 409,
	wire.CodeInterrupted: 409, wire.CodeRunning: 503, wire.CodePaused: 503, wire.CodeBusy: 503, wire.CodeBody: 422, wire.CodeInternal: 500,
}

// refuse writes why. A hub learns codes and texts of this protocol and nothing
// of an error from within.
func refuse(w http.ResponseWriter, err error) {
	var r *wire.Refusal
	if !errors.As(err, &r) {
		r = wire.Refuse(wire.CodeInternal, "the node could not take this: its operator finds why in its log")
	}
	status, ok := statuses[r.Code]
	if !ok {
		status = http.StatusBadRequest
	}
	w.Header().Set("Content-Type", "application/json")
	if status == 503 {
		w.Header().Set("Retry-After", "5")
	}
	w.WriteHeader(status)
	w.Write(r.Encode())
}
