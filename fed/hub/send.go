package hub

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"time"

	"tresor/fed/wire"
)

// Sequences gives the next sequence for a node, from 1. A number is durable
// before it is returned and never given twice; gaps do no harm.
type Sequences interface {
	Next(ctx context.Context, node wire.KeyID) (uint64, error)
}

// RoundTripper gives HTTP to one node. The host in a request's URL does not
// matter. While the node is offline requests are refused with CodeOffline.
func (h *Hub) RoundTripper(node wire.KeyID) http.RoundTripper { return nodeTransport{h, node} }

type nodeTransport struct {
	h    *Hub
	node wire.KeyID
}

// RoundTrip sends the request over the node's link.
func (t nodeTransport) RoundTrip(r *http.Request) (*http.Response, error) {
	l, err := t.h.find(t.node)
	if err != nil {
		if r.Body != nil {
			r.Body.Close()
		}
		return nil, err
	}
	out, at := r.WithContext(r.Context()), *r.URL
	at.Scheme, at.Host = "http", "node"
	out.URL = &at
	return l.http.RoundTrip(out)
}

// Order is what to have done.
type Order struct {
	ID   string
	Kind string
	Body []byte        // at most wire.MaxLarge bytes; over wire.MaxBody it travels after the envelope
	Life time.Duration // until it expires; at most wire.MaxLife, an hour when zero
}

// Issue makes a signed envelope for a node. Keep its encoding to send it again:
// the same bytes are executed once, however often they arrive.
func (h *Hub) Issue(ctx context.Context, node wire.KeyID, o Order) (*wire.Envelope, error) {
	if _, ok := h.o.Book.Peer(node); !ok {
		return nil, wire.Refuse(wire.CodeUnknown, "there is no node %s here", node)
	}
	seq, err := h.o.Sequences.Next(ctx, node)
	if err != nil {
		return nil, err
	}
	if o.Life == 0 {
		o.Life = time.Hour
	}
	now := h.o.Now()
	e := &wire.Envelope{Node: node, Seq: seq, ID: o.ID, Kind: o.Kind, Made: now.UnixMilli(), Expires: now.Add(o.Life).UnixMilli()}
	e.SetBody(o.Body)
	e.Sign(h.o.Identity().Key)
	_, err = e.Encode()
	return e, err
}

// Send brings an envelope to its node once, with its body. A *wire.Refusal is the
// node's answer, or CodeOffline, or CodeVersion when the node is too old for a body
// of that size; after any other error the node may or may not have it.
func (h *Hub) Send(ctx context.Context, e *wire.Envelope) (wire.Receipt, error) {
	data, err := e.Encode()
	if err != nil {
		return wire.Receipt{}, err
	}
	path, body := wire.TasksPath, []byte(nil)
	if e.Large() {
		l, err := h.find(e.Node)
		if err != nil {
			return wire.Receipt{}, err
		}
		if l.version < wire.LargeVersion {
			return wire.Receipt{}, wire.Refuse(wire.CodeVersion, "the node's program is too old for an order of %d KiB: update it, or send less at once", e.Size>>10)
		}
		path, data, body = wire.LargePath, append(data, '\n'), e.Content()
	}
	for try := 1; ; try++ {
		answer, err := h.post(ctx, e.Node, path, data, body)
		if err != nil {
			return wire.Receipt{}, err
		}
		r, err := wire.DecodeReceipt(answer, e)
		if err == nil || wire.IsRefusal(answer) || try == strays {
			return r, err
		}
	}
}

// strays is how many answers that are not for an envelope are passed over. A
// stretch of the way that sent bytes twice has answers from before waiting in a
// stream; the node gives the same envelope the same receipt again.
const strays = 5

func (h *Hub) post(ctx context.Context, to wire.KeyID, path string, data, body []byte) ([]byte, error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://node"+path, bytes.NewReader(data))
	if err != nil {
		return nil, err
	}
	r.Header.Set("Content-Type", "application/json")
	if len(body) > 0 {
		r.GetBody = func() (io.ReadCloser, error) {
			return io.NopCloser(io.MultiReader(bytes.NewReader(data), bytes.NewReader(body))), nil
		}
		r.Body, _ = r.GetBody()
		r.ContentLength = int64(len(data) + len(body))
		r.Header.Set("Expect", "100-continue") // a node that refuses does so before the body comes
	}
	resp, err := h.RoundTripper(to).RoundTrip(r)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	return io.ReadAll(io.LimitReader(resp.Body, wire.MaxEnvelope+1))
}
