package protocol

import (
	"context"

	"github.com/hashicorp/go-plugin"
	"google.golang.org/grpc"
)

// hostHandler answers a plugin's calls with a Host.
type hostHandler struct{ host Host }

func (h *hostHandler) answer(ctx context.Context, c call) (any, error) {
	switch c.Name {
	case "visible":
		return h.host.Visible(ctx)
	case "submit":
		r, err := decode[JobRequest](c)
		if err != nil {
			return nil, err
		}
		return h.host.Submit(ctx, r)
	case "state":
		at, err := decode[stateOf](c)
		if err != nil {
			return nil, err
		}
		return h.host.State(ctx, at.ID, at.View)
	case "jobs":
		q, err := decode[JobQuery](c)
		if err != nil {
			return nil, err
		}
		return h.host.Jobs(ctx, q)
	case "cancel":
		id, err := decode[string](c)
		if err != nil {
			return nil, err
		}
		return struct{}{}, h.host.Cancel(ctx, id)
	case "read-release":
		at, err := decode[releaseAt](c)
		if err != nil {
			return nil, err
		}
		return h.host.ReadRelease(ctx, at.ID, at.Offset)
	case "fetch":
		r, err := decode[Request](c)
		if err != nil {
			return nil, err
		}
		return h.host.Fetch(ctx, r)
	case "health":
		v, err := decode[Health](c)
		if err != nil {
			return nil, err
		}
		return struct{}{}, h.host.Health(ctx, v)
	case "audit":
		e, err := decode[auditEvent](c)
		if err != nil {
			return nil, err
		}
		return struct{}{}, h.host.Audit(ctx, e.Verb, e.Detail)
	}
	return nil, &Error{Code: CodeUnsupported, Text: "the host has no call " + c.Name}
}

// Remote is the Adapter that the host holds: the other end is a plugin process.
// Beside Adapter it has the optional parts; a part that the plugin lacks answers
// an *Error with CodeUnsupported. The Host of each call is served for that call only.
type Remote struct {
	conn   grpc.ClientConnInterface
	broker *plugin.GRPCBroker
}

// Describe asks the plugin what it is.
func (r *Remote) Describe(ctx context.Context) (d Description, err error) {
	err = invoke(ctx, r.conn, adapterService, "describe", 0, struct{}{}, &d)
	return d, err
}

// TestConnection asks the plugin to try its settings.
func (r *Remote) TestConnection(ctx context.Context, s Settings, h Host) (steps []Step, err error) {
	err = r.with(ctx, "test", work{Settings: s}, h, &steps)
	return steps, err
}

// ServeRequest hands one HTTP request to the plugin.
func (r *Remote) ServeRequest(ctx context.Context, req Request, h Host) (resp Response, err error) {
	err = r.with(ctx, "serve", work{Request: &req}, h, &resp)
	return resp, err
}

// Run lets the plugin poll until ctx ends.
func (r *Remote) Run(ctx context.Context, s Settings, h Host) error {
	return r.with(ctx, "run", work{Settings: s}, h, nil)
}

// Publish asks the plugin for its documents.
func (r *Remote) Publish(ctx context.Context, s Settings, h Host) (docs []Document, err error) {
	err = r.with(ctx, "publish", work{Settings: s}, h, &docs)
	return docs, err
}

// with serves h on a broker stream for the length of one call.
func (r *Remote) with(ctx context.Context, name string, w work, h Host, out any) error {
	id := r.broker.NextId()
	started := make(chan *grpc.Server, 1)
	go r.broker.AcceptAndServe(id, func(opts []grpc.ServerOption) *grpc.Server {
		s := newServer(opts)
		s.RegisterService(describe(hostService), &hostHandler{host: h})
		started <- s
		return s
	})
	defer func() {
		select {
		case s := <-started:
			s.Stop()
		default:
		}
	}()
	return invoke(ctx, r.conn, adapterService, name, id, w, out)
}

var (
	_ Adapter   = (*Remote)(nil)
	_ Server    = (*Remote)(nil)
	_ Poller    = (*Remote)(nil)
	_ Publisher = (*Remote)(nil)
)
