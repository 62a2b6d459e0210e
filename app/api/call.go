package api

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"mime"
	"net/http"
	"strconv"
	"strings"
	"time"

	"tresor/app/access"
	"tresor/app/fault"
)

// call is one request on its way through a handler.
type call struct {
	s           *Server
	w           *recorder
	r           *http.Request
	route       *Route
	who         caller
	correlation string
	raw         io.Reader // long body without its cap; nil: none
	code, op    string    // of the refusal, for the log
}

// ctx ends when the requester leaves or the server stops.
func (c *call) ctx() context.Context { return c.r.Context() }

// actor is who asks.
func (c *call) actor() access.Actor { return c.who.actor }

// path returns a wildcard of the route.
func (c *call) path(name string) string { return c.r.PathValue(name) }

// query returns a query parameter, or "".
func (c *call) query(name string) string { return c.r.URL.Query().Get(name) }

// number reads a query parameter from low to high; without one it is def.
func (c *call) number(name string, def, low, high int64) (int64, error) {
	raw := c.query(name)
	if raw == "" {
		return def, nil
	}
	n, err := strconv.ParseInt(raw, 10, 64)
	if err != nil || n < low || n > high {
		return 0, fault.New("api.query", fault.Invalid, "The parameter %s has to be a whole number from %d to %d.", name, low, high)
	}
	return n, nil
}

// moment reads a query parameter that is a time (RFC 3339); without one it is zero.
func (c *call) moment(name string) (time.Time, error) {
	raw := c.query(name)
	if raw == "" {
		return time.Time{}, nil
	}
	t, err := time.Parse(time.RFC3339, raw)
	if err != nil {
		return time.Time{}, fault.WithNext(fault.New("api.query", fault.Invalid, "The parameter %s has to be a time.", name), "Write it as 2026-11-24T15:04:05Z.")
	}
	return t, nil
}

// pathNumber reads a wildcard that is a number.
func (c *call) pathNumber(name string) (int64, error) {
	n, err := strconv.ParseInt(c.path(name), 10, 63)
	if err != nil || n < 0 {
		return 0, fault.New("api.path", fault.NotFound, "Not found, or not visible to you.")
	}
	return n, nil
}

const (
	pageDefault = 50
	pageMax     = 500
)

// limit reads the limit of a list.
func (c *call) limit() (int, error) {
	n, err := c.number("limit", pageDefault, 1, pageMax)
	return int(n), err
}

// window reads the offset and limit of a page of bytes.
func (c *call) window() (offset, limit int64, err error) {
	if offset, err = c.number("offset", 0, 0, 1<<40); err != nil {
		return 0, 0, err
	}
	limit, err = c.number("limit", 100, 1, pageMax)
	return offset, limit, err
}

// decode reads one strict JSON value: the right media type, no unknown field,
// nothing after it, never more than the cap. An empty body is an empty object.
func (c *call) decode(into any) error {
	if err := c.wantMedia("application/json"); err != nil {
		return err
	}
	return decodeJSON(c.r.Body, into)
}

func decodeJSON(body io.Reader, into any) error {
	d := json.NewDecoder(body)
	d.DisallowUnknownFields()
	err := d.Decode(into)
	if errors.Is(err, io.EOF) {
		return nil
	}
	if err != nil {
		return notJSON(err)
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		if err != nil && isTooLarge(err) {
			return err
		}
		return fault.New("api.decode", fault.Invalid, "The request holds more than one JSON value. Send exactly one.")
	}
	return nil
}

func isTooLarge(err error) bool {
	var big *http.MaxBytesError
	return errors.As(err, &big)
}

// notJSON says what is wrong with a body in the sender's words, without echoing
// values: field names and positions only.
func notJSON(err error) error {
	var wrong *json.UnmarshalTypeError
	var bad *json.SyntaxError
	switch {
	case isTooLarge(err):
		return err
	case errors.As(err, &wrong) && wrong.Field != "":
		return invalidBody(err, "The field %q has the wrong type: it has to be %s.", clip(wrong.Field), jsonWord(wrong.Type.Kind().String()))
	case errors.As(err, &wrong):
		return invalidBody(err, "The request has to be a JSON object.")
	case errors.As(err, &bad):
		return invalidBody(err, "The request is not JSON: there is a mistake at byte %d.", bad.Offset)
	case errors.Is(err, io.ErrUnexpectedEOF):
		return invalidBody(err, "The request is not JSON: it ends too early.")
	case strings.HasPrefix(err.Error(), "json: unknown field "):
		return invalidBody(err, "There is no field %s here.", clip(strings.TrimPrefix(err.Error(), "json: unknown field ")))
	case strings.HasPrefix(err.Error(), "parsing time "):
		return invalidBody(err, "A time in the request is not RFC 3339, such as 2027-01-31T00:00:00Z.")
	}
	return invalidBody(err, "The request could not be read.")
}

func invalidBody(err error, format string, args ...any) error {
	e := fault.Kinded("api.decode", fault.Invalid, err, format, args...)
	return fault.WithNext(e, "The fields are described in %s/openapi.json.", prefix)
}

func jsonWord(kind string) string {
	switch {
	case kind == "string":
		return "text"
	case kind == "bool":
		return "true or false"
	case kind == "slice" || kind == "array":
		return "a list"
	case kind == "struct" || kind == "map":
		return "an object"
	}
	return "a number"
}

func clip(s string) string {
	if r := []rune(s); len(r) > 80 {
		return string(r[:80]) + "…"
	}
	return s
}

// wantMedia refuses a body of another media type. A body-less request may leave
// the header out.
func (c *call) wantMedia(want string) error {
	got := c.r.Header.Get("Content-Type")
	if got == "" && c.r.ContentLength == 0 {
		return nil
	}
	if media, _, err := mime.ParseMediaType(got); err == nil && media == want {
		return nil
	}
	return refuse(http.StatusUnsupportedMediaType, codeMedia, fault.Invalid, "This address takes %s.", want)
}

// wantsJSON reports whether the requester named JSON as what it takes.
func (c *call) wantsJSON() bool {
	return strings.Contains(c.r.Header.Get("Accept"), "application/json")
}

// answer sends v as JSON.
func (c *call) answer(status int, v any) error { return respondJSON(c.w, status, v) }

// empty sends 204.
func (c *call) empty() error {
	c.w.WriteHeader(http.StatusNoContent)
	return nil
}
