package api

import (
	"context"

	"tresor/app/access"
	"tresor/app/gateway/link"
	"tresor/app/gateway/plug"
	"tresor/app/hub"
)

// Plugins is what the pages know of plugins and may ask of them.
type Plugins interface {
	List(ctx context.Context, actor access.Actor) ([]plug.Plugin, error)
	Get(ctx context.Context, actor access.Actor, name string) (plug.Plugin, error)
	SetSettings(ctx context.Context, actor access.Actor, name string, values map[string]string) (plug.Plugin, error)
	Enable(ctx context.Context, actor access.Actor, name string, on bool) (plug.Plugin, error)
	Test(ctx context.Context, actor access.Actor, name string) (plug.Report, error)
	// Trust takes a program file into the appliance; sha256 is what the operator
	// agreed to, and a file that has another is refused.
	Trust(ctx context.Context, actor access.Actor, path, sha256 string) (plug.Plugin, error)
	Forget(ctx context.Context, actor access.Actor, name, reason string) error
}

// Links is the node's side of its hubs.
type Links interface {
	Node(ctx context.Context, actor access.Actor) (link.Node, error)
	// Links answers how each hub's link is, by principal.
	Links(ctx context.Context, actor access.Actor) (map[string]link.Link, error)
	// Enrol dials a hub with a code that the hub's operator gave, and returns the
	// id of the new principal, which may do nothing until it is confirmed.
	Enrol(ctx context.Context, actor access.Actor, url, code, name string) (string, error)
	// Code makes a one-time code to be typed at a hub.
	Code(ctx context.Context, actor access.Actor, name string) (link.Code, error)
	Confirm(ctx context.Context, actor access.Actor, principal string) error
	Test(ctx context.Context, actor access.Actor, principal string) (plug.Report, error)
	Rotate(ctx context.Context, actor access.Actor) (link.Node, error)
	// Changed makes the links follow a change of a principal at once.
	Changed()
}

var (
	_ Plugins = (*plug.Service)(nil)
	_ Links   = (*link.Service)(nil)
	_ HubDesk = (*hub.Service)(nil)
)
