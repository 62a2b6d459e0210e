package api

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"runtime/debug"
	"time"

	"tresor/app/access"
	"tresor/app/fault"
)

// Deadlines of an ordinary request. Long ones have a deadline between bytes
// instead (patience).
const (
	readWithin  = 30 * time.Second
	writeWithin = 60 * time.Second
)

// Caps of a JSON body, unless the route says otherwise.
const jsonMax = 1 << 20

// serve is the one wrapper around every route.
func (s *Server) serve(rt *Route) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		began := s.now()
		c := &call{s: s, w: &recorder{ResponseWriter: w}, r: r, route: rt, correlation: s.ids()}
		secure(w.Header(), c.correlation)
		stayOnTLS(w, r)
		defer func() { s.logAccess(c, s.now().Sub(began)) }()
		defer s.recovered(c)
		if err := s.run(c); err != nil {
			s.fail(c, err)
		}
	}
}

// run is the order of the questions: each is cheaper than the next, and nothing
// of the body is read before all are answered.
func (s *Server) run(c *call) error {
	for _, ask := range []func(*call) error{s.checkAddress, s.checkOrigin, s.authenticate, s.checkAccess, s.checkStepUp, s.checkRate} {
		if err := ask(c); err != nil {
			return err
		}
	}
	s.bound(c)
	return c.route.serve(c)
}

// fail answers with err, unless the answer has begun: then the connection is cut
// so that nobody takes a half for a whole.
func (s *Server) fail(c *call, err error) {
	p, _ := problemOf(err, c.correlation)
	c.code, c.op = p.Code, originOf(err)
	if c.w.status == 0 {
		s.respondError(c.w, c.r, c.correlation, err)
		c.linger()
		return
	}
	s.log.LogAttrs(c.ctx(), slog.LevelWarn, "answer broke off",
		slog.String("correlation", c.correlation), slog.String("cause", err.Error()))
	if !c.w.hijacked {
		panic(http.ErrAbortHandler)
	}
}

// lingerWithin is how long a refused sender may go on sending before it is cut.
const lingerWithin = 5 * time.Second

// linger reads on after a long body was refused, so that its sender reads the
// answer instead of finding the connection broken in the middle of a write.
func (c *call) linger() {
	if c.raw == nil {
		return
	}
	rc := http.NewResponseController(c.w)
	if rc.Flush() != nil || rc.SetReadDeadline(c.s.now().Add(lingerWithin)) != nil {
		return
	}
	_, _ = io.Copy(io.Discard, c.raw) // until the deadline at the latest
}

// recovered turns a panic into Internal; the stack goes to the operators.
func (s *Server) recovered(c *call) {
	p := recover()
	if p == nil {
		return
	}
	if p == http.ErrAbortHandler {
		panic(p)
	}
	s.log.LogAttrs(c.ctx(), slog.LevelError, "panic in a handler", slog.String("correlation", c.correlation),
		slog.String("route", c.route.pattern()), slog.String("panic", fmt.Sprint(p)), slog.String("stack", string(debug.Stack())))
	s.fail(c, fault.New("api.panic", fault.Internal, ""))
}

// checkAccess asks whether this caller may come through the route at all. Which
// thing is meant, the domain checks by itself.
func (s *Server) checkAccess(c *call) error {
	a := c.route.Access
	switch a.Level {
	case Public:
		return nil
	case Enrol, SignedIn, ByAction:
	default:
		return fault.New("api.guard", fault.Denied, "Nobody may use this address.")
	}
	if !c.who.signedIn() {
		return signIn()
	}
	if a.Level == Enrol {
		return nil
	}
	if c.who.mustEnrol {
		return refuse(http.StatusForbidden, codeEnrol, fault.Denied, "Your account is not set up yet.").
			next("Set your password and your second factor first.")
	}
	if a.Local && !c.who.local {
		return refuse(http.StatusForbidden, codeLocal, fault.Denied, "This is done on the server itself, not through its public address.").
			next("Run the command `tresor` on the server, as root or as the account that runs it.")
	}
	if a.Level == SignedIn {
		return nil
	}
	return anyOf(c.who.actor, a.Actions)
}

func anyOf(actor access.Actor, actions []access.Action) error {
	var first error
	for _, action := range actions {
		if access.Anywhere(actor, action) {
			return nil
		}
		if err := access.May(actor, action, access.Thing{}); err != nil && first == nil {
			first = err
		}
	}
	if first == nil {
		first = fault.New("api.guard", fault.Denied, "Nobody may use this address.")
	}
	return first
}

func signIn() error {
	return refuse(http.StatusUnauthorized, codeSignIn, fault.Denied, "You are not signed in, or your session has ended.").next("Sign in.")
}

func (s *Server) checkStepUp(c *call) error {
	if !c.route.Access.StepUp {
		return nil
	}
	return c.stepUp()
}

// stepUp refuses when the last proof of presence is too old. Demo sessions and
// the local socket, where the kernel vouches, need none.
func (c *call) stepUp() error {
	if c.who.fresh {
		return nil
	}
	return refuse(http.StatusForbidden, codeStepUp, fault.Denied, "This needs a fresh proof that it is you.").
		next("Confirm with your password and your code, then repeat the action.")
}

// bound caps the body and sets the deadlines.
func (s *Server) bound(c *call) {
	rc := http.NewResponseController(c.w)
	if c.route.slow || c.route.Socket {
		_ = rc.SetReadDeadline(time.Time{})
		_ = rc.SetWriteDeadline(time.Time{})
	} else {
		_ = rc.SetReadDeadline(s.now().Add(readWithin)) // a test recorder has no deadlines
		_ = rc.SetWriteDeadline(s.now().Add(writeWithin))
	}
	if c.r.Body == nil || c.r.Body == http.NoBody {
		return
	}
	body := c.r.Body
	if c.route.slow {
		body = &patient{ReadCloser: body, rc: rc, now: s.now}
	}
	if c.route.streams() {
		// An answer may come before the whole body. net/http cannot take another
		// request on the connection after that: its reader and the next request's
		// would meet ("invalid concurrent Body.Read call"). Not everything can do it.
		_ = rc.EnableFullDuplex()
		c.w.Header().Set("Connection", "close")
		c.raw = c.r.Body
	}
	c.r.Body = http.MaxBytesReader(c.w, body, c.route.max())
}

// streams reports whether the body is of any size and read as it comes.
func (rt Route) streams() bool { return rt.body == Multipart || rt.body == Stream }

// max is the cap of the body; a route that reads none takes none.
func (rt Route) max() int64 {
	switch {
	case rt.Max > 0:
		return rt.Max
	case rt.body == JSON:
		return jsonMax
	}
	return 0
}

// logAccess writes one line a request: never a query value, a body or a path as
// typed (it may hold what a person searched for). Reading that went well is for
// debugging only: pages read all the time, and what matters is in the audit log.
// A refusal is logged with its code and the function that refused, both words of
// this program, never with the sentence: that may name what a person typed.
func (s *Server) logAccess(c *call, took time.Duration) {
	level := slog.LevelInfo
	if c.r.Method == http.MethodGet && c.w.code() < 400 {
		level = slog.LevelDebug
	}
	line := []slog.Attr{slog.String("method", c.r.Method), slog.String("route", c.route.Path), slog.Int("status", c.w.code()),
		slog.Int64("ms", took.Milliseconds()), slog.String("correlation", c.correlation), slog.String("actor", c.who.actor.Handle)}
	if c.code != "" {
		line = append(line, slog.String("code", c.code), slog.String("op", c.op))
	}
	s.log.LogAttrs(c.ctx(), level, "request", line...)
}

// originOf is the function where an error was first given meaning.
func originOf(err error) string {
	var e *fault.Error
	op := ""
	for errors.As(err, &e) {
		if e.Op != "" {
			op = e.Op
		}
		err = e.Err
	}
	return op
}

// secure sets what every answer of the API carries.
func secure(h http.Header, correlation string) {
	h.Set("Cache-Control", "no-store")
	h.Set("Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'; sandbox")
	h.Set("Cross-Origin-Resource-Policy", "same-origin")
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("X-Frame-Options", "DENY")
	h.Set("Tresor-Correlation", correlation)
}

// stayOnTLS tells browsers that reached us over TLS to come back that way only.
// They ignore it for addresses that are numbers and for certificates that they
// do not trust.
func stayOnTLS(w http.ResponseWriter, r *http.Request) {
	if r.TLS != nil {
		w.Header().Set("Strict-Transport-Security", "max-age=31536000")
	}
}
