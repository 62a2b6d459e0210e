package builtin

import (
	"context"

	"tresor/plugins/protocol"
)

// Loopback is the built-in plugin that proves the plugin machinery on this host:
// its connection test crosses to the plugin process and back to the host. The
// doctor and the conformance suite use it. It speaks to nobody outside.
type Loopback struct{}

// Describe says what it is.
func (Loopback) Describe(context.Context) (protocol.Description, error) {
	return protocol.Description{Name: "loopback", Title: "Plugin self-test", Version: "1", Protocol: "none"}, nil
}

// TestConnection asks the host for its catalogue.
func (Loopback) TestConnection(ctx context.Context, _ protocol.Settings, h protocol.Host) ([]protocol.Step, error) {
	if _, err := h.Visible(ctx); err != nil {
		return []protocol.Step{{Name: "host", Detail: err.Error(), Next: "Restart the server; if it stays, report it with this text."}}, nil
	}
	return []protocol.Step{{Name: "host", OK: true, Detail: "A plugin process starts and reaches the server."}}, nil
}
