// Command outside is a plugin for the tests of app/gateway/plug: it answers every
// request with its settings, and its poller says so and hangs up.
package main

import (
	"context"
	"errors"

	"tresor/plugins/protocol"
)

type outside struct{}

func main() { protocol.Serve(outside{}) }

func (outside) Describe(context.Context) (protocol.Description, error) {
	return protocol.Description{Name: "outside", Title: "Outside", Version: "2.1", Protocol: "echo", Settings: []protocol.Setting{
		{Key: "url", Label: "Address", Kind: "url", Required: true, Default: "https://hub.test"},
		{Key: "note", Label: "Note", Kind: "text"},
	}}, nil
}

func (outside) TestConnection(ctx context.Context, s protocol.Settings, h protocol.Host) ([]protocol.Step, error) {
	return []protocol.Step{{Name: "settings", OK: true, Detail: "for " + s["url"]}}, nil
}

func (outside) ServeRequest(ctx context.Context, r protocol.Request, h protocol.Host) (protocol.Response, error) {
	return protocol.Response{Status: 200, Body: []byte(r.Settings["url"] + " " + r.Settings["note"])}, nil
}

func (outside) Run(ctx context.Context, s protocol.Settings, h protocol.Host) error {
	_ = h.Health(ctx, protocol.Health{OK: true, Detail: "polled " + s["note"]})
	return errors.New("the other end hung up")
}
