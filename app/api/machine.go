package api

import (
	"crypto/sha256"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"time"

	"tresor/app/fault"
)

// The door for machines stands beside the API: bearer tokens instead of cookies,
// so no page of another site can use it with a person's session, and no question
// of origin arises. What a token may do the handler behind it decides.
const (
	machinePrefix = "/ga4gh/"
	linkPath      = "/fed/v1/link" // where nodes dial a hub
	machineMax    = 2 << 20        // bytes of a request
)

// CorrelationHeader carries the id of a request: set by the door, on the request
// that the handler behind it sees and on the answer.
const CorrelationHeader = "Tresor-Correlation"

// refusalHeader carries the code of a refusal, set by the handler behind the door.
const refusalHeader = "Tresor-Refusal"

// machineDoor guards next: no cookie gets in, bodies and time are bounded, and a
// program that keeps coming with a token that is none has to wait.
func (s *Server) machineDoor(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		began := s.now()
		c := &call{s: s, w: &recorder{ResponseWriter: w}, r: r, route: &Route{Method: r.Method, Path: machinePrefix + "…"}, correlation: s.ids()}
		secure(w.Header(), c.correlation)
		stayOnTLS(w, r)
		defer func() { s.logMachine(c, s.now().Sub(began)) }()
		defer s.recovered(c)
		if err := s.admitMachine(c); err != nil {
			s.fail(c, err)
			return
		}
		next.ServeHTTP(&longAnswer{recorder: c.w, eager: c.long()}, r)
		if c.w.code() == http.StatusUnauthorized {
			s.guesses.take(knock(r), s.now())
		}
	})
}

// admitMachine asks what needs no token, and bounds the rest of the request.
func (s *Server) admitMachine(c *call) error {
	if isLocal(c.ctx()) {
		return fault.WithNext(fault.New("api.machine", fault.NotFound, "The local socket has no door for machines."), "Use the server's public address with a token.")
	}
	if wait, empty := s.guesses.empty(knock(c.r), s.now()); empty {
		return slowDown(wait)
	}
	c.r.Header.Del("Cookie")
	c.r.Header.Set(CorrelationHeader, c.correlation)
	rc := http.NewResponseController(c.w)
	_ = rc.SetWriteDeadline(s.now().Add(idleWithin)) // a test recorder has no deadlines
	if c.r.Body == nil || c.r.Body == http.NoBody {
		_ = rc.SetReadDeadline(time.Time{})
		return nil
	}
	_ = rc.SetReadDeadline(s.now().Add(s.machineRead))
	c.r.Body = &punctual{ReadCloser: http.MaxBytesReader(c.w, c.r.Body, machineMax), rc: rc}
	return nil
}

// knock names who came with which token: one program with a wrong token must not
// shut out the others behind the same address.
func knock(r *http.Request) string {
	token := sha256.Sum256([]byte(r.Header.Get("Authorization")))
	return addressOf(r) + " " + string(token[:16])
}

// punctual is a body that has to come in time as a whole. When it has, the
// deadline is lifted: net/http goes on listening for the end of the connection, and
// a deadline there would end the request while its answer is still on its way.
type punctual struct {
	io.ReadCloser
	rc *http.ResponseController
}

func (p *punctual) Read(b []byte) (int, error) {
	n, err := p.ReadCloser.Read(b)
	if err == io.EOF {
		_ = p.rc.SetReadDeadline(time.Time{}) // a test recorder has no deadlines
	}
	return n, err
}

// logMachine writes refusals, with their code, for everybody and the rest for debugging:
// what was accepted stands in the ledger, as do the words of a refusal.
func (s *Server) logMachine(c *call, took time.Duration) {
	level := slog.LevelDebug
	if c.w.code() >= 400 {
		level = slog.LevelInfo
	}
	if !s.log.Enabled(c.ctx(), level) {
		return
	}
	line := []slog.Attr{slog.String("method", clip(c.r.Method)), slog.String("route", c.route.Path), slog.Int("status", c.w.code()),
		slog.Int64("ms", took.Milliseconds()), slog.String("correlation", c.correlation)}
	if code := c.w.Header().Get(refusalHeader); c.code == "" && isWord(code) {
		line = append(line, slog.String("code", code))
	}
	if c.code != "" {
		line = append(line, slog.String("code", c.code), slog.String("op", c.op))
	}
	s.log.LogAttrs(c.ctx(), level, "machine", line...)
}

// isWord reports whether s can be a code: nothing else of an answer gets into the log.
func isWord(s string) bool {
	return s != "" && len(s) <= 32 && strings.Trim(s, "abcdefghijklmnopqrstuvwxyz-") == ""
}
