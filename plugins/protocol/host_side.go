package protocol

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"sync"
)

// hosts keeps the Host of each running call under a token that only the plugin's
// side of that call was given, and answers the plugin's calls with it.
type hosts struct {
	mu     sync.Mutex
	lent   map[string]loan
	health func(Health)
}

// loan is a Host for the length of one call.
type loan struct {
	host Host
	ctx  context.Context // ends with the call
}

func newHosts() *hosts { return &hosts{lent: map[string]loan{}} }

// lend returns a fresh token for h: 16 random bytes.
func (s *hosts) lend(ctx context.Context, h Host) string {
	var b [16]byte
	_, _ = rand.Read(b[:]) // never fails
	token := base64.RawURLEncoding.EncodeToString(b[:])
	s.mu.Lock()
	s.lent[token] = loan{h, ctx}
	s.mu.Unlock()
	return token
}

func (s *hosts) end(token string) {
	s.mu.Lock()
	delete(s.lent, token)
	s.mu.Unlock()
}

// answer answers a plugin's call with the Host that its token names. The work
// ends when the call that lent the Host ends.
func (s *hosts) answer(ctx context.Context, f frame) (any, error) {
	s.mu.Lock()
	l, ok := s.lent[f.Token]
	s.mu.Unlock()
	if !ok || l.host == nil {
		return nil, &Error{Code: CodeDenied, Text: "this token is not of a running call: a plugin may use the host only until it has answered"}
	}
	defer context.AfterFunc(l.ctx, f.stop)()
	return s.ask(ctx, l.host, f)
}

// ask makes the call that f names.
func (s *hosts) ask(ctx context.Context, h Host, f frame) (any, error) {
	switch f.Name {
	case "visible":
		return h.Visible(ctx)
	case "submit":
		return with(f, func(r JobRequest) (any, error) { return h.Submit(ctx, r) })
	case "state":
		return with(f, func(at stateOf) (any, error) { return h.State(ctx, at.ID, at.View) })
	case "jobs":
		return with(f, func(q JobQuery) (any, error) { return h.Jobs(ctx, q) })
	case "cancel":
		return with(f, func(id string) (any, error) { return struct{}{}, h.Cancel(ctx, id) })
	case "read-release":
		return with(f, func(at releaseAt) (any, error) { return h.ReadRelease(ctx, at.ID, at.Offset) })
	case "fetch":
		return with(f, func(r Request) (any, error) { return h.Fetch(ctx, r) })
	case "health":
		return with(f, func(v Health) (any, error) {
			v.Detail = (&Error{Text: v.Detail}).clean().Text
			if s.health != nil {
				s.health(v)
			}
			return struct{}{}, h.Health(ctx, v)
		})
	case "audit":
		return with(f, func(e auditEvent) (any, error) { return struct{}{}, h.Audit(ctx, e.Verb, e.Detail) })
	}
	return nil, &Error{Code: CodeUnsupported, Text: "the host has no such call"}
}

// with decodes a call's body for ask.
func with[T any](f frame, ask func(T) (any, error)) (any, error) {
	v, err := decode[T](f)
	if err != nil {
		return nil, err
	}
	return ask(v)
}
