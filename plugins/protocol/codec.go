package protocol

import (
	"encoding/json"
	"fmt"

	"google.golang.org/protobuf/proto"
)

// codec writes our messages as JSON and leaves the go-plugin library's own
// messages (health, broker, standard streams) as protobuf.
type codec struct{}

func (codec) Name() string { return "tresor" }

func (codec) Marshal(v any) ([]byte, error) {
	if m, ok := v.(proto.Message); ok {
		return proto.Marshal(m)
	}
	return json.Marshal(v)
}

func (codec) Unmarshal(b []byte, v any) error {
	if m, ok := v.(proto.Message); ok {
		return proto.Unmarshal(b, m)
	}
	if err := json.Unmarshal(b, v); err != nil {
		return fmt.Errorf("message is not JSON of the contract: %w", err)
	}
	return nil
}
