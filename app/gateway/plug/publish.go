package plug

import (
	"context"
	"errors"
	"fmt"

	"tresor/fed/task"
	"tresor/plugins/protocol"
)

// Publish asks the plugin what it publishes to whom h acts for, with the plugin's
// own settings: those that are passed are not used. What breaks a rule makes all of
// it refused, and the plugin's page says why. Errors: *protocol.Error.
func (v *server) Publish(ctx context.Context, _ protocol.Settings, h protocol.Host) ([]protocol.Document, error) {
	if !v.publishes {
		return nil, &protocol.Error{Code: protocol.CodeUnsupported, Text: "the plugin publishes nothing"}
	}
	ctx, cancel := context.WithTimeout(ctx, callWait)
	defer cancel()
	docs, err := v.remote.Publish(ctx, v.set, h)
	if err == nil {
		err = checkDocuments(docs)
	}
	v.s.publishing(v.e, err)
	return docs, err
}

// publishing keeps why the plugin's last documents were refused, for its page.
func (s *Service) publishing(e *entry, err error) {
	text := ""
	var p *protocol.Error
	if errors.As(err, &p) {
		text = "It publishes nothing now: " + clipTo(p.Text, 300)
	} else if err != nil {
		text = "It publishes nothing now: it gave no answer."
	}
	s.mu.Lock()
	news := e.publish != text
	e.publish = text
	s.mu.Unlock()
	if news {
		s.changed()
	}
}

// checkDocuments holds a plugin's documents against the rules; an error names the
// first that breaks one.
func checkDocuments(docs []protocol.Document) error {
	bad := func(format string, args ...any) error {
		return &protocol.Error{Code: protocol.CodeInternal, Text: fmt.Sprintf(format, args...)}
	}
	if len(docs) > task.MaxDocuments {
		return bad("it has %d documents, at most %d are allowed.", len(docs), task.MaxDocuments)
	}
	seen, total := map[string]bool{}, 0
	for i, d := range docs {
		total += len(d.Body)
		switch {
		case !task.DocumentPath(d.Path):
			return bad("the path of document %d, %q, is not one of names of letters, digits, dots, dashes and underscores with single slashes between them.", i+1, clip(d.Path))
		case seen[d.Path]:
			return bad("two documents have the path %q.", clip(d.Path))
		case !task.DocumentType(d.ContentType):
			return bad("the document %q has the type %q: only JSON, plain text, Markdown, CSV, TSV, YAML and Turtle are published.", clip(d.Path), clip(d.ContentType))
		case len(d.Body) > task.MaxDocument:
			return bad("the document %q has %d bytes, at most %d are allowed.", clip(d.Path), len(d.Body), task.MaxDocument)
		case total > protocol.MaxMessage:
			return bad("its documents have more than %d bytes together.", protocol.MaxMessage)
		}
		seen[d.Path] = true
	}
	return nil
}

func clipTo(s string, n int) string {
	if len(s) > n {
		return s[:n] + "…"
	}
	return s
}

var _ protocol.Publisher = (*server)(nil)
