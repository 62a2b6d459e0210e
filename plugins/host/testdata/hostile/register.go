package main

import (
	"context"

	"github.com/hashicorp/go-plugin"
	"google.golang.org/grpc"
)

type glue struct {
	plugin.NetRPCUnsupportedPlugin
	*wire
}

func (g glue) GRPCServer(_ *plugin.GRPCBroker, s *grpc.Server) error {
	s.RegisterService(&grpc.ServiceDesc{
		ServiceName: "tresor.v1.Plugin", HandlerType: (*any)(nil),
		Streams: []grpc.StreamDesc{{StreamName: "Link", ServerStreams: true, ClientStreams: true, Handler: func(_ any, s grpc.ServerStream) error { return g.link(s) }}},
	}, g)
	return nil
}

func (g glue) GRPCClient(context.Context, *plugin.GRPCBroker, *grpc.ClientConn) (any, error) {
	return nil, nil
}
