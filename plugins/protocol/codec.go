package protocol

import (
	"fmt"

	"google.golang.org/protobuf/proto"
)

// message is a frame as gRPC carries it: bytes.
type message struct{ b []byte }

// codec leaves our frames as the bytes that they are, and the go-plugin library's
// own messages (health, standard streams) as protobuf.
type codec struct{}

func (codec) Name() string { return "tresor" }

func (codec) Marshal(v any) ([]byte, error) {
	switch m := v.(type) {
	case *message:
		return m.b, nil
	case proto.Message:
		return proto.Marshal(m)
	}
	return nil, fmt.Errorf("%T is not a message of the contract", v)
}

func (codec) Unmarshal(b []byte, v any) error {
	switch m := v.(type) {
	case *message:
		m.b = b
		return nil
	case proto.Message:
		return proto.Unmarshal(b, m)
	}
	return fmt.Errorf("%T is not a message of the contract", v)
}
