// Command example is the smallest external plugin: an inbound HTTP protocol with
// two addresses, /hello and /projects. Build it with `go build ./plugins/example`
// and trust the file to use it. Every plugin of your own starts as a copy of this page.
package main

import (
	"context"
	"encoding/json"
	"strings"

	"tresor/plugins/protocol"
)

func main() { protocol.Serve(Adapter{}) }

// Adapter translates the example protocol.
type Adapter struct{}

// Describe names the protocol and its one setting.
func (Adapter) Describe(context.Context) (protocol.Description, error) {
	return protocol.Description{
		Name: "example", Title: "Example protocol", Version: "1.0", Protocol: "example 1",
		Settings: []protocol.Setting{{Key: "greeting", Label: "Greeting", Kind: "text", Default: "hello", Required: true}},
	}, nil
}

// TestConnection has one step, which checks the setting and asks the host.
func (Adapter) TestConnection(ctx context.Context, s protocol.Settings, h protocol.Host) ([]protocol.Step, error) {
	if strings.TrimSpace(s["greeting"]) == "" {
		return []protocol.Step{{Name: "settings", Detail: "There is no greeting.", Next: "Enter one under Settings."}}, nil
	}
	steps := []protocol.Step{{Name: "settings", OK: true, Detail: "The greeting is set."}}
	if _, err := h.Visible(ctx); err != nil {
		return append(steps, protocol.Step{Name: "host", Detail: err.Error(), Next: "Ask the operator which projects this plugin may use."}), nil
	}
	return append(steps, protocol.Step{Name: "host", OK: true, Detail: "The appliance answers."}), nil
}

// ServeRequest answers the two addresses.
func (Adapter) ServeRequest(ctx context.Context, r protocol.Request, h protocol.Host) (protocol.Response, error) {
	switch r.Path {
	case "/hello":
		return protocol.Response{Status: 200, Body: []byte("hello\n")}, nil
	case "/projects":
		c, err := h.Visible(ctx)
		if err != nil {
			return protocol.Response{}, err
		}
		body, err := json.Marshal(c.Projects)
		return protocol.Response{Status: 200, Header: map[string][]string{"Content-Type": {"application/json"}}, Body: body}, err
	}
	return protocol.Response{Status: 404, Body: []byte("There is no such address in the example protocol.\n")}, nil
}
