package protocol

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
)

// The kinds of frames.
const (
	kindCall   = "call"
	kindAnswer = "answer"
	kindCancel = "cancel" // the caller waits no longer
)

// header begins a frame. Each side numbers its own calls; an answer and a cancel
// carry the number of the call that they belong to.
type header struct {
	ID    uint64 `json:"id"`
	Kind  string `json:"kind"`
	Name  string `json:"name,omitempty"`  // of the call
	Token string `json:"token,omitempty"` // names the Host: given with a host's call, sent back with each call to the Host
	Error *Error `json:"error,omitempty"` // of an answer that is a refusal
	Body  int    `json:"body,omitempty"`  // length of the JSON body, bytes
	Parts []int  `json:"parts,omitempty"` // lengths of the raw parts, bytes
}

// frame is one message of the wire: the length of the header as 4 bytes, big
// endian; the header; the body; the parts.
type frame struct {
	header
	body  []byte
	parts [][]byte
	ctx   context.Context // of a call that is being answered
	stop  func()          // ends it
}

// maxParts bounds the raw parts of one frame: a page of jobs has one for each job.
const maxParts = 4096

var errFrame = errors.New("the message is not of this contract")

// errLarge says that a message is over MaxMessage. It crosses as CodeExhausted.
var errLarge = &Error{Code: CodeExhausted, Text: "the message is larger than the contract allows (4 MiB)"}

// pack makes a frame of h and v. The byte fields of v travel raw.
func pack(h header, v any) ([]byte, error) {
	body, parts, err := encode(v)
	if err != nil {
		return nil, err
	}
	size := len(body)
	for _, p := range parts {
		size += len(p)
		h.Parts = append(h.Parts, len(p))
	}
	h.Body = len(body)
	if size > MaxMessage || len(parts) > maxParts {
		return nil, errLarge
	}
	b, err := h.append(make([]byte, 4, 4+128+size+8*len(parts)))
	if err != nil {
		return nil, err
	}
	binary.BigEndian.PutUint32(b, uint32(len(b)-4))
	b = append(b, body...)
	for _, p := range parts {
		b = append(b, p...)
	}
	return b, nil
}

// encode makes the body and the raw parts of v; nil has none.
func encode(v any) (body []byte, parts [][]byte, err error) {
	if s, ok := v.(splitter); ok {
		v, parts = s.split()
	}
	if v != nil {
		body, err = json.Marshal(v)
	}
	return body, parts, err
}

// unpack reads a frame that is all of b. What it returns shares b's memory.
func unpack(b []byte) (frame, error) {
	if len(b) < 4 {
		return frame{}, errFrame
	}
	n := uint64(binary.BigEndian.Uint32(b))
	if b = b[4:]; n > uint64(len(b)) {
		return frame{}, errFrame
	}
	var f frame
	if !f.quick(b[:n]) && json.Unmarshal(b[:n], &f.header) != nil {
		return frame{}, errFrame
	}
	if f.size() != len(b)-int(n) {
		return frame{}, errFrame
	}
	f.fill(b[n:])
	return f, nil
}

// size is how many bytes come after the header; -1: the header lies.
func (h header) size() int {
	size := 0
	for i := -1; i < len(h.Parts); i++ {
		n := h.Body
		if i >= 0 {
			n = h.Parts[i]
		}
		if n < 0 || n > MaxMessage || i >= maxParts {
			return -1
		}
		size += n
	}
	if size > MaxMessage {
		return -1
	}
	return size
}

// fill cuts the body and the parts from what came after the header.
func (f *frame) fill(b []byte) {
	f.body, b = b[:f.Body:f.Body], b[f.Body:]
	if len(f.Parts) > 0 {
		f.parts = make([][]byte, len(f.Parts))
	}
	for i, n := range f.Parts {
		f.parts[i], b = b[:n:n], b[n:]
	}
}

// into decodes the body and the raw parts into v, a pointer.
func (f frame) into(v any) error {
	if q, ok := v.(interface{ quick([]byte) bool }); ok && q.quick(f.body) {
		// it is read
	} else if err := json.Unmarshal(f.body, v); err != nil {
		return &Error{Code: CodeInvalid, Text: "the message's body is not of this contract"}
	}
	if len(f.parts) == 0 {
		return nil // the byte fields came as base64 in the body, or are empty
	}
	j, ok := v.(joiner)
	if !ok || !j.join(f.parts) {
		return &Error{Code: CodeInvalid, Text: "the message's parts are not of this contract"}
	}
	return nil
}

// decode reads a call's body.
func decode[T any](f frame) (v T, err error) {
	err = f.into(&v)
	return v, err
}
