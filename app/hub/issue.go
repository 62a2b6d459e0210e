package hub

import (
	"context"
	"maps"
	"net/http"

	"golang.org/x/sync/errgroup"

	fed "tresor/fed/hub"
	"tresor/fed/task"
	"tresor/fed/wire"
	"tresor/plugins/builtin/tes/model"
	"tresor/plugins/protocol"
)

// orders signs one order per node, many at a time: their sequences then share
// what it costs to make them durable.
func (s *Service) orders(ctx context.Context, c caller, id string, t model.Task, nodes []ProjectNode) ([]newPart, error) {
	rows := make([]newPart, len(nodes))
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(64)
	for i, n := range nodes {
		body := bodyFor(t, n)
		if len(body) > protocol.MaxDocument { // every node would say so
			return nil, &model.Problem{Large: true, Text: "The task is larger than 1 MiB. Put its files in a dataset of the nodes and name them as inputs by url."}
		}
		g.Go(func() error {
			req := task.Request{Plugin: "tes", Method: http.MethodPost, Path: "/v1/tasks", Body: body,
				Header: map[string][]string{"Content-Type": {"application/json"}}, OnBehalf: clip(c.name+" ("+c.handle+")", task.MaxOnBehalf)}
			e, text, err := s.issue(ctx, n.Node, id, req)
			if err == nil {
				rows[i] = newPart{node: n.Node, seq: e.Seq, envelope: text, body: largeOf(e)}
			}
			return err
		})
	}
	return rows, g.Wait()
}

// bodyFor is the task as one node gets it.
func bodyFor(t model.Task, n ProjectNode) []byte {
	t.Tags = maps.Clone(t.Tags)
	if t.Tags == nil {
		t.Tags = map[string]string{}
	}
	delete(t.Tags, nodesTag)
	t.Tags["project"] = n.Remote
	return model.AppendRequest(nil, &t)
}

// issue makes a signed order for a node and gives its encoding too.
func (s *Service) issue(ctx context.Context, node, id string, req task.Request) (*wire.Envelope, string, error) {
	body, err := req.Encode()
	if err != nil {
		return nil, "", err
	}
	e, err := s.fed().Issue(ctx, wire.KeyID(node), fed.Order{ID: id, Kind: task.KindHTTP, Body: body, Life: orderLife})
	if err != nil {
		return nil, "", err
	}
	text, err := e.Encode()
	return e, string(text), err
}

type newPart struct {
	node     string
	seq      uint64
	envelope string
	body     *large // nil: it lies in the envelope
}
