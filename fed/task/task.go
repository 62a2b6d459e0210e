// Package task is what a hub and a node say to each other once they trust each
// other: the body of a signed order and its answer, and the pages that a hub may
// read.
//
// It promises: a decoder takes one JSON value of bounded size without unknown
// fields and nothing after it, and refuses the rest with a wire.Refusal whose
// text can be shown; what Encode makes, the decoder takes.
//
// It never opens a connection, decides nothing and keeps nothing: a crash leaves
// nothing.
package task

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"net/url"
	"strings"

	"tresor/fed/wire"
)

// KindHTTP is the kind of an order that carries one HTTP request to a plugin of
// the node. Whatever changes something comes this way; plain requests over the
// link only read.
const KindHTTP = "http"

// What one order may hold.
const (
	// MaxBody is the largest body of the HTTP request in an order, in bytes: what a
	// node's door takes, too.
	MaxBody = 2 << 20
	// MaxAnswer is the largest body of the HTTP answer to an order, in bytes: in
	// base64 it still fits into a receipt with the rest.
	MaxAnswer = 160 << 10
	// MaxOnBehalf is the longest name of a remote person, in bytes.
	MaxOnBehalf = 100
	maxHeaders  = 32
	maxHeader   = 16 << 10 // bytes of all of them
)

// Request is the body of an order of KindHTTP.
type Request struct {
	Plugin   string              `json:"plugin"` // name of the node's plugin, e.g. "tes"
	Method   string              `json:"method"`
	Path     string              `json:"path"` // below the plugin's door, escaped, with a slash at the front
	Query    string              `json:"query,omitempty"`
	Header   map[string][]string `json:"header,omitempty"`
	Body     []byte              `json:"body,omitempty"`
	OnBehalf string              `json:"on_behalf,omitempty"` // who asked the hub: shown, never trusted
}

// Answer is the answer to a Request.
type Answer struct {
	Status int                 `json:"status"`
	Header map[string][]string `json:"header,omitempty"`
	Body   []byte              `json:"body,omitempty"`
}

// Encode gives the body of the order, or a refusal when it breaks a limit.
func (r Request) Encode() ([]byte, error) {
	if err := r.check(); err != nil {
		return nil, err
	}
	return encode(r, wire.MaxLarge)
}

// DecodeRequest reads the body of an order.
func DecodeRequest(data []byte) (Request, error) {
	var r Request
	if err := decode(data, wire.MaxLarge, &r); err != nil {
		return r, err
	}
	return r, r.check()
}

func (r Request) check() error {
	switch {
	case !nameOK(r.Plugin):
		return wire.Refuse(wire.CodeMalformed, "a plugin's name has lower-case letters, digits and dashes, at most 40")
	case r.Method != http.MethodPost && r.Method != http.MethodPut && r.Method != http.MethodPatch && r.Method != http.MethodDelete:
		return wire.Refuse(wire.CodeMalformed, "an order has the method POST, PUT, PATCH or DELETE: read with a plain request")
	case !pathOK(r.Path):
		return wire.Refuse(wire.CodeMalformed, "an order's path begins with a slash and is written in its one clean form")
	case len(r.Query) > 4<<10:
		return wire.Refuse(wire.CodeSize, "an order's query has at most %d bytes", 4<<10)
	case len(r.Body) > MaxBody:
		return wire.Refuse(wire.CodeSize, "the request in an order has at most %d bytes, this one has %d", MaxBody, len(r.Body))
	case len(r.Header) > maxHeaders || headerSize(r.Header) > maxHeader:
		return wire.Refuse(wire.CodeSize, "an order has at most %d header fields with %d bytes", maxHeaders, maxHeader)
	}
	if r.OnBehalf == "" {
		return nil
	}
	if len(r.OnBehalf) > MaxOnBehalf {
		return wire.Refuse(wire.CodeSize, "the name of a remote person has at most %d bytes", MaxOnBehalf)
	}
	return wire.CheckName(r.OnBehalf)
}

func headerSize(h map[string][]string) (n int) {
	for k, all := range h {
		n += len(k)
		for _, v := range all {
			n += len(v)
		}
	}
	return n
}

// Encode gives the answer as the result of an order, or a refusal when it is too
// large for one.
func (a Answer) Encode() ([]byte, error) {
	if len(a.Body) > MaxAnswer {
		return nil, wire.Refuse(wire.CodeSize, "the answer has %d bytes, an order's has at most %d: read it with a plain request", len(a.Body), MaxAnswer)
	}
	return encode(a, wire.MaxBody)
}

// DecodeAnswer reads the result of an order.
func DecodeAnswer(data []byte) (Answer, error) {
	var a Answer
	err := decode(data, wire.MaxBody, &a)
	if err == nil && (a.Status < 100 || a.Status > 599) {
		err = wire.Refuse(wire.CodeMalformed, "the node answered with the status %d", a.Status)
	}
	return a, err
}

// nameOK allows what stands in an address without escapes.
func nameOK(s string) bool {
	if s == "" || len(s) > 40 {
		return false
	}
	for _, c := range s {
		if (c < 'a' || c > 'z') && (c < '0' || c > '9') && c != '-' {
			return false
		}
	}
	return true
}

// pathOK allows no path that two readers could read as different ones.
func pathOK(p string) bool {
	if len(p) > 2<<10 || !strings.HasPrefix(p, "/") || strings.Contains(p, "//") {
		return false
	}
	u, err := url.ParseRequestURI(p)
	if err != nil || u.EscapedPath() != p {
		return false
	}
	for part := range strings.SplitSeq(u.Path, "/") {
		if part == "." || part == ".." {
			return false
		}
	}
	return !strings.ContainsRune(u.Path, 0)
}

func encode(v any, limit int) ([]byte, error) {
	b, err := json.Marshal(v)
	if err == nil && len(b) > limit {
		err = wire.Refuse(wire.CodeSize, "an order's body has at most %d bytes, this one has %d", limit, len(b))
	}
	return b, err
}

// decode reads exactly one value.
func decode(data []byte, limit int, v any) error {
	if len(data) > limit {
		return wire.Refuse(wire.CodeSize, "the message has %d bytes, at most %d are allowed", len(data), limit)
	}
	dec := json.NewDecoder(bytes.NewReader(data))
	dec.DisallowUnknownFields()
	if err := dec.Decode(v); err != nil {
		return wire.Refuse(wire.CodeMalformed, "the message cannot be read: it is not of this protocol's form")
	}
	if _, err := dec.Token(); err != io.EOF {
		return wire.Refuse(wire.CodeMalformed, "there is something after the message")
	}
	return nil
}
