package hub

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"strings"

	"tresor/app/access"
	"tresor/app/fault"
	"tresor/fed/task"
)

// Document is a document that a plugin of a node publishes.
type Document struct {
	task.Document
	Body []byte
}

// Document reads, over the node's link, a document that stands in the node's
// catalogue, and holds it against the hash there. The hub keeps the catalogue and no
// document. node is an id or a name. Errors: NotFound, Unavailable while the node
// cannot be reached, Conflict when the node sent something else.
func (s *Service) Document(ctx context.Context, actor access.Actor, node, plugin, path string) (Document, error) {
	const op = "hub.Document"
	all, err := s.Catalogue(ctx, actor)
	if err != nil {
		return Document{}, fault.Wrap(op, err)
	}
	for _, p := range all {
		if p.Node != node && !strings.EqualFold(p.Name, node) {
			continue
		}
		for _, d := range p.Catalogue.Documents {
			if d.Plugin == plugin && d.Path == path {
				body, err := s.read(ctx, p.Node, d)
				return Document{Document: d, Body: body}, fault.Wrap(op, err)
			}
		}
	}
	return Document{}, fault.WithNext(fault.New(op, fault.NotFound, "No such document stands in the node's catalogue."), "The catalogue lists what the nodes publish.")
}

func (s *Service) read(ctx context.Context, node string, d task.Document) ([]byte, error) {
	const op = "hub.read"
	w := &worker{s: s, node: node}
	body, err := w.get(ctx, task.PublishedPath(d.Plugin, d.Path), task.MaxDocument)
	if err != nil {
		return nil, fault.WithNext(fault.Kinded(op, fault.Unavailable, err, "The node did not give the document: %s", trouble(err)), "Try again when the node is online.")
	}
	sum := sha256.Sum256(body)
	if hex.EncodeToString(sum[:]) != d.SHA256 || int64(len(body)) != d.Size {
		return nil, fault.WithNext(fault.New(op, fault.Conflict, "The node sent another document than its catalogue lists."), "It may have changed: try again in a moment, when the catalogue was read anew.")
	}
	return body, nil
}
