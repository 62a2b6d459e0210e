package api

import (
	"encoding/json"
	"errors"
	"log/slog"
	"net/http"
	"strconv"
	"syscall"
	"time"

	"tresor/app/fault"
	"tresor/app/identity"
)

// Problem is an error as people and programs see it (RFC 9457). It never holds
// a cause: those stay in the operators' log under the correlation id.
type Problem struct {
	Type        string `json:"type"`
	Title       string `json:"title"`                 // what sort of refusal this is
	Status      int    `json:"status"`                // the HTTP status again
	Detail      string `json:"detail"`                // what happened, for people
	Code        string `json:"code"`                  // stable word for programs
	Next        string `json:"next,omitempty"`        // the one next step
	Correlation string `json:"correlation,omitempty"` // finds the request in the operators' log
}

// Codes that say more than the kind of a fault does.
const (
	codeSignIn   = "sign-in-required"
	codeNeedTOTP = "totp-required"
	codeEnrol    = "enrol-required"
	codeStepUp   = "step-up-required"
	codeOrigin   = "foreign-origin"
	codeRate     = "rate-limited"
	codeTooLarge = "too-large"
	codeMedia    = "unsupported-media-type"
	codeMethod   = "method-not-allowed"
	codeLocal    = "local-only"
	codeGone     = "gone"
)

// refused is an error that the door itself makes: its status and code are
// narrower than the kind of the fault inside.
type refused struct {
	status int
	code   string
	retry  time.Duration // > 0: Retry-After
	err    error
}

func (r *refused) Error() string { return r.code + ": " + r.err.Error() }
func (r *refused) Unwrap() error { return r.err }

func refuse(status int, code string, kind fault.Kind, format string, args ...any) *refused {
	return &refused{status: status, code: code, err: fault.New("api", kind, format, args...)}
}

func (r *refused) next(s string) *refused {
	r.err = fault.WithNext(r.err, "%s", s)
	return r
}

// answers maps every kind to its status and title.
var answers = map[fault.Kind]struct {
	status int
	title  string
}{
	fault.Internal:    {http.StatusInternalServerError, "The server failed"},
	fault.NotFound:    {http.StatusNotFound, "Not found"},
	fault.Invalid:     {http.StatusBadRequest, "The request is not valid"},
	fault.Denied:      {http.StatusForbidden, "Not allowed"},
	fault.Conflict:    {http.StatusConflict, "Not possible in the present state"},
	fault.Unavailable: {http.StatusServiceUnavailable, "Not available now"},
	fault.Exhausted:   {http.StatusTooManyRequests, "A limit is reached"},
}

// problemOf turns an error into what crosses the door. An error that nobody
// classified, or a body cap that net/http enforced, gets its meaning here.
func problemOf(err error, correlation string) (Problem, time.Duration) {
	var big *http.MaxBytesError
	if errors.As(err, &big) {
		err = tooLarge(big.Limit)
	}
	kind := fault.KindOf(err)
	a := answers[kind]
	p := Problem{Type: "about:blank", Title: a.title, Status: a.status, Detail: fault.Message(err),
		Code: kind.String(), Next: fault.Next(err), Correlation: correlation}
	var own *refused
	switch {
	case errors.As(err, &own):
		p.Status, p.Code = own.status, own.code
		return p, own.retry
	case errors.Is(err, identity.ErrNeedTOTP):
		p.Status, p.Code = http.StatusUnauthorized, codeNeedTOTP
	case errors.Is(err, identity.ErrUnauthenticated):
		p.Status, p.Code = http.StatusUnauthorized, codeSignIn
	case diskFull(err):
		p.Status, p.Title = http.StatusInsufficientStorage, "The disk is full"
		if p.Next == "" {
			p.Next = "Ask the operator to free space, then try again."
		}
	}
	return p, identity.RetryAfter(err)
}

// diskFull tells the server's own disk from the limits of the person who asks:
// only an operator can help, so it is answered and logged as the server's failure.
func diskFull(err error) bool {
	return errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT)
}

func tooLarge(limit int64) error {
	return refuse(http.StatusRequestEntityTooLarge, codeTooLarge, fault.Exhausted,
		"The request is larger than the %s that this address takes.", sizeText(limit)).next("Send less at once.")
}

func sizeText(n int64) string {
	switch {
	case n >= 1<<30:
		return strconv.FormatInt(n>>30, 10) + " GiB"
	case n >= 1<<20:
		return strconv.FormatInt(n>>20, 10) + " MiB"
	case n >= 1<<10:
		return strconv.FormatInt(n>>10, 10) + " KiB"
	}
	return strconv.FormatInt(n, 10) + " bytes"
}

// respondError writes err as problem details and returns the status. It is the
// only place where a fault becomes HTTP. Causes are logged here, once.
func (s *Server) respondError(w http.ResponseWriter, r *http.Request, correlation string, err error) int {
	p, retry := problemOf(err, correlation)
	if p.Status >= 500 {
		s.log.LogAttrs(r.Context(), slog.LevelError, "request failed",
			slog.String("correlation", correlation), slog.String("cause", err.Error()))
	}
	if retry > 0 {
		w.Header().Set("Retry-After", strconv.Itoa(int(retry.Round(time.Second)/time.Second)+1))
	}
	w.Header().Set("Content-Type", "application/problem+json")
	w.Header().Del("Content-Disposition")
	w.Header().Del("Content-Length")
	w.WriteHeader(p.Status)
	if r.Method != http.MethodHead {
		_ = json.NewEncoder(w).Encode(p) // a reader who left sees nothing either way
	}
	return p.Status
}

// respondJSON writes v. It encodes before the first byte leaves, so that a value
// that cannot be encoded is still an error and not half an answer.
func respondJSON(w http.ResponseWriter, status int, v any) error {
	b, err := json.Marshal(v)
	if err != nil {
		return fault.Wrap("api.respondJSON", err)
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Content-Length", strconv.Itoa(len(b)+1))
	w.WriteHeader(status)
	_, _ = w.Write(append(b, '\n')) // a reader who left sees nothing either way
	return nil
}
