package tes

import (
	"context"
	"errors"

	"tresor/plugins/builtin/tes/model"
	"tresor/plugins/protocol"
)

// maxPage bounds the body of a list, in bytes: an answer travels in one message.
const maxPage = protocol.MaxMessage / 2

// list answers a page of tasks, newest first. When a page would become too large
// it holds fewer tasks than asked for; its token goes on where it ends.
func list(ctx context.Context, r protocol.Request, h protocol.Host) (protocol.Response, error) {
	l, err := readListing(r.Query)
	if err != nil {
		return protocol.Response{}, err
	}
	q := protocol.JobQuery{View: hostView(l.view), NamePrefix: l.prefix, States: l.state.Jobs(), Tags: l.tags, Limit: l.size}
	mark := l.fingerprint(r.Caller)
	if l.token != "" {
		if q.After, err = model.ReadPageToken(l.token, mark); err != nil {
			return protocol.Response{}, invalid("page_token", "This is no token of this list. Use the next_page_token of the page before with the same name_prefix, state and tags, or begin again without one.")
		}
	}
	if l.state != "" && len(q.States) == 0 {
		return answer(model.AppendList(nil, nil, "", l.view), nil) // a state that no task here has
	}
	for {
		page, err := h.Jobs(ctx, q)
		if tooMuch(err) && q.Limit > 1 {
			q.Limit /= 2
			continue
		}
		if err != nil {
			return protocol.Response{}, err
		}
		body := appendPage(page, l.view, r, mark)
		if len(body) <= maxPage || len(page.Jobs) < 2 {
			return answer(body, nil)
		}
		q.Limit = len(page.Jobs) / 2
	}
}

// tooMuch reports whether the host could not send as many jobs as were asked for.
func tooMuch(err error) bool {
	var e *protocol.Error
	return errors.As(err, &e) && e.Code == protocol.CodeExhausted
}

func appendPage(page protocol.JobPage, v model.View, r protocol.Request, mark []byte) []byte {
	size := 64
	if v != model.Minimal {
		size = 1024
	}
	dst := append(make([]byte, 0, 256+len(page.Jobs)*size), `{"tasks":[`...)
	for i := range page.Jobs {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = appendJob(dst, &page.Jobs[i], v, r)
	}
	next := ""
	if page.Next != "" {
		next = model.PageToken(page.Next, mark)
	}
	return model.AppendListEnd(dst, next)
}

// fingerprint stands for the caller and the conditions of a listing. A token is
// good for both only; the view and the size of pages may change on the way.
func (l listing) fingerprint(c protocol.Caller) []byte {
	words := []string{"tes page 1", c.Kind, c.Principal, c.Project, l.prefix, string(l.state)}
	for _, t := range l.tags {
		words = append(words, t.Key, t.Value)
	}
	return model.Mark(words...)
}
