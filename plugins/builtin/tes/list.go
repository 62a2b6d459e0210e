package tes

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
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
		if q.After, err = readToken(l.token, mark); err != nil {
			return protocol.Response{}, err
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
		next = writeToken(page.Next, mark)
	}
	return model.AppendListEnd(dst, next)
}

// fingerprint stands for the caller and the conditions of a listing. A token is
// good for both only; the view and the size of pages may change on the way.
func (l listing) fingerprint(c protocol.Caller) []byte {
	b := []byte("tes page 1")
	add := func(s string) {
		b = binary.AppendUvarint(b, uint64(len(s)))
		b = append(b, s...)
	}
	for _, s := range []string{c.Kind, c.Principal, c.Project, l.prefix, string(l.state)} {
		add(s)
	}
	for _, t := range l.tags {
		add(t.Key)
		add(t.Value)
	}
	return b
}

// sumSize is how much of a hash a token carries. It finds mistakes; that a token
// opens nothing is the host's doing, which asks who the caller is on every page.
const sumSize = 12

func tokenSum(mark []byte, next string) []byte {
	h := sha256.New()
	h.Write(binary.AppendUvarint(nil, uint64(len(mark))))
	h.Write(mark)
	h.Write([]byte(next))
	return h.Sum(nil)[:sumSize]
}

func writeToken(next string, mark []byte) string {
	return base64.RawURLEncoding.EncodeToString(append(tokenSum(mark, next), next...))
}

func readToken(token string, mark []byte) (string, error) {
	b, err := base64.RawURLEncoding.Strict().DecodeString(token)
	if err != nil || len(b) <= sumSize || string(tokenSum(mark, string(b[sumSize:]))) != string(b[:sumSize]) {
		return "", invalid("page_token", "This is no token of this list. Use the next_page_token of the page before with the same name_prefix, state and tags, or begin again without one.")
	}
	return string(b[sumSize:]), nil
}
