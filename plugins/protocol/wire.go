package protocol

import (
	"context"
	"encoding/json"
	"fmt"

	"google.golang.org/grpc"
)

// call and answer are the two messages of the wire. One method with a name
// inside keeps the service description to a page and the checks in one place.
type call struct {
	Name string          `json:"name"`
	Host uint32          `json:"host,omitempty"` // broker id of the host's side, for calls that carry a Host
	Body json.RawMessage `json:"body,omitempty"`
}

type answer struct {
	Body json.RawMessage `json:"body,omitempty"`
	Err  *Error          `json:"error,omitempty"`
}

// handler answers calls by name.
type handler interface {
	answer(ctx context.Context, c call) (any, error)
}

func describe(service string) *grpc.ServiceDesc {
	return &grpc.ServiceDesc{
		ServiceName: service,
		HandlerType: (*handler)(nil),
		Methods:     []grpc.MethodDesc{{MethodName: "Call", Handler: serveCall}},
	}
}

func serveCall(srv any, ctx context.Context, dec func(any) error, _ grpc.UnaryServerInterceptor) (any, error) {
	var c call
	if err := dec(&c); err != nil {
		return &answer{Err: &Error{Code: CodeInvalid, Text: "the call is not of this contract"}}, nil
	}
	v, err := guarded(srv.(handler), ctx, c)
	if err != nil {
		return &answer{Err: wireError(err)}, nil
	}
	body, err := json.Marshal(v)
	if err != nil || len(body) > MaxMessage {
		return &answer{Err: &Error{Code: CodeExhausted, Text: "the answer is too large"}}, nil
	}
	return &answer{Body: body}, nil
}

// guarded turns a panic of one call into an error of that call.
func guarded(h handler, ctx context.Context, c call) (v any, err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("panic in %s: %v", c.Name, p)
		}
	}()
	return h.answer(ctx, c)
}

// invoke makes one call and decodes its answer into out.
func invoke(ctx context.Context, conn grpc.ClientConnInterface, service, name string, host uint32, in, out any) error {
	body, err := json.Marshal(in)
	if err != nil {
		return err
	}
	var a answer
	if err := conn.Invoke(ctx, "/"+service+"/Call", &call{Name: name, Host: host, Body: body}, &a, grpc.ForceCodec(codec{})); err != nil {
		return &Error{Code: CodeUnavailable, Text: "the other side did not answer: " + err.Error()}
	}
	if a.Err != nil {
		return a.Err
	}
	if out == nil {
		return nil
	}
	if err := json.Unmarshal(a.Body, out); err != nil {
		return &Error{Code: CodeInvalid, Text: "the answer is not of this contract"}
	}
	return nil
}

// decode reads a call's body strictly enough to notice a foreign contract.
func decode[T any](c call) (T, error) {
	var v T
	if err := json.Unmarshal(c.Body, &v); err != nil {
		return v, &Error{Code: CodeInvalid, Text: "the call's body is not of this contract"}
	}
	return v, nil
}
