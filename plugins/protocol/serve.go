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

// Plugins is the set for the host's end of go-plugin; Dispense(Name) returns a *Remote.
func Plugins() plugin.PluginSet { return plugin.PluginSet{Name: &glue{}} }

// service and method name the one stream that the host opens at the plugin.
const (
	service = "tresor.v1.Plugin"
	method  = "Link"
)

// window is how much of a stream may be unread, in bytes.
const window = 1 << 20

// DialOptions are what the host's end dials with.
func DialOptions() []grpc.DialOption {
	return []grpc.DialOption{
		grpc.WithDefaultCallOptions(grpc.ForceCodec(codec{}), grpc.MaxCallRecvMsgSize(2*MaxMessage)),
		grpc.WithInitialWindowSize(window), grpc.WithInitialConnWindowSize(2 * window),
	}
}

func newServer(opts []grpc.ServerOption) *grpc.Server {
	return grpc.NewServer(append(opts, grpc.ForceServerCodec(codec{}), grpc.MaxRecvMsgSize(2*MaxMessage),
		grpc.InitialWindowSize(window), grpc.InitialConnWindowSize(2*window), grpc.MaxConcurrentStreams(16))...)
}

// Serve runs the plugin until the host ends it. It never returns.
func Serve(a Adapter) {
	plugin.Serve(&plugin.ServeConfig{
		HandshakeConfig: Handshake,
		Plugins:         plugin.PluginSet{Name: &glue{adapter: a}},
		GRPCServer:      newServer,
		Logger:          hclog.New(&hclog.LoggerOptions{Output: io.Discard, Level: hclog.Off}),
	})
}

// glue is go-plugin's view of the contract.
type glue struct {
	plugin.NetRPCUnsupportedPlugin
	adapter Adapter // nil on the host's end
}

// GRPCServer is the plugin's end: it answers the stream.
func (g *glue) GRPCServer(_ *plugin.GRPCBroker, s *grpc.Server) error {
	s.RegisterService(&grpc.ServiceDesc{
		ServiceName: service, HandlerType: (*any)(nil),
		Streams: []grpc.StreamDesc{{StreamName: method, ServerStreams: true, ClientStreams: true, Handler: func(_ any, s grpc.ServerStream) error {
			h := &adapterHandler{adapter: g.adapter}
			h.link = newLink(s.Context(), streamPipe{s}, h)
			return h.link.run()
		}}},
	}, g)
	return nil
}

// GRPCClient is the host's end: it opens the stream. The library's own way for
// connections back to the host is closed: a plugin has nothing to dial.
func (g *glue) GRPCClient(ctx context.Context, b *plugin.GRPCBroker, c *grpc.ClientConn) (any, error) {
	_ = b.Close()
	ctx, cancel := context.WithCancel(ctx)
	s, err := c.NewStream(ctx, &grpc.StreamDesc{StreamName: method, ServerStreams: true, ClientStreams: true}, "/"+service+"/"+method)
	if err != nil {
		cancel()
		return nil, err
	}
	r := newRemote(ctx, streamPipe{s})
	context.AfterFunc(r.link.ctx, cancel)
	return r, nil
}

// streamPipe is a pipe over a gRPC stream of either end.
type streamPipe struct {
	s interface {
		SendMsg(any) error
		RecvMsg(any) error
	}
}

func (p streamPipe) Send(b []byte) error { return p.s.SendMsg(&message{b}) }

func (p streamPipe) Recv() (frame, error) {
	var m message
	if err := p.s.RecvMsg(&m); err != nil {
		return frame{}, err
	}
	return unpack(m.b)
}

var _ plugin.GRPCPlugin = (*glue)(nil)
