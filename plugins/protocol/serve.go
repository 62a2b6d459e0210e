package protocol

import (
	"context"
	"io"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/go-plugin"
	"google.golang.org/grpc"
)

// Handshake is what both sides must agree on. The cookie keeps a person from
// starting a plugin by hand; it is no secret.
var Handshake = plugin.HandshakeConfig{
	ProtocolVersion:  Version,
	MagicCookieKey:   "TRESOR_PLUGIN",
	MagicCookieValue: "c1b8a0a2-translate-and-hold-no-authority",
}

// Name is the one plugin that a plugin process offers.
const Name = "adapter"

// Plugins is the set for go-plugin's two ends. The host's end passes nil.
func Plugins(a Adapter) plugin.PluginSet { return plugin.PluginSet{Name: &glue{adapter: a}} }

// DialOptions are what the host's end dials with.
func DialOptions() []grpc.DialOption {
	return []grpc.DialOption{grpc.WithDefaultCallOptions(grpc.ForceCodec(codec{}), grpc.MaxCallRecvMsgSize(2*MaxMessage))}
}

func newServer(opts []grpc.ServerOption) *grpc.Server {
	return grpc.NewServer(append(opts, grpc.ForceServerCodec(codec{}), grpc.MaxRecvMsgSize(2*MaxMessage), grpc.MaxConcurrentStreams(256))...)
}

// Serve runs the plugin until the host ends it. It never returns.
func Serve(a Adapter) {
	plugin.Serve(&plugin.ServeConfig{
		HandshakeConfig: Handshake,
		Plugins:         Plugins(a),
		GRPCServer:      newServer,
		Logger:          hclog.New(&hclog.LoggerOptions{Output: io.Discard, Level: hclog.Off}),
	})
}

// glue is go-plugin's view of the contract.
type glue struct {
	plugin.NetRPCUnsupportedPlugin
	adapter Adapter
}

func (g *glue) GRPCServer(b *plugin.GRPCBroker, s *grpc.Server) error {
	s.RegisterService(describe(adapterService), &adapterHandler{adapter: g.adapter, broker: b})
	return nil
}

func (g *glue) GRPCClient(_ context.Context, b *plugin.GRPCBroker, c *grpc.ClientConn) (any, error) {
	return &Remote{conn: c, broker: b}, nil
}

var _ plugin.GRPCPlugin = (*glue)(nil)
