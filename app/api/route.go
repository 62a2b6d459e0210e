package api

import (
	"net/http"
	"reflect"
	"strings"

	"tresor/app/access"
)

// Level says who may come through a route at all. The zero value denies, so a
// route that forgets to choose serves nobody.
type Level uint8

// The levels, from closed to open.
const (
	Nobody   Level = iota
	ByAction       // an actor whom the access matrix allows one of the actions somewhere
	SignedIn       // any signed-in person; lists of this level show each only what they may see
	Enrol          // also a session that still has to set a password or a second factor
	Public         // no session needed
)

// Access is a route's declared access. Which thing is meant only the domain
// knows: it asks access.May again with all the facts.
type Access struct {
	Level   Level
	Actions []access.Action // any one of them opens the door
	StepUp  bool            // needs a recent proof of presence
	Local   bool            // only through the local socket: it is about the server's own disk
}

// by declares the actions that open a route; step-up follows from the matrix.
func by(first access.Action, others ...access.Action) Access {
	return Access{Level: ByAction, Actions: append([]access.Action{first}, others...), StepUp: first.NeedsStepUp()}
}

// local narrows a declaration to the local socket.
func local(a Access) Access {
	a.Local = true
	return a
}

// at declares a level together with the action that it stands for.
func at(l Level, action access.Action) Access {
	return Access{Level: l, Actions: []access.Action{action}}
}

// Body says how a request's body is read.
type Body uint8

// The kinds of request bodies.
const (
	NoBody    Body = iota
	JSON           // strict: one value, unknown fields refused, capped
	Multipart      // streamed part by part
	Stream         // raw bytes, streamed
)

// Route is one entry of the table. Everything about a route stands here: what
// the mux serves, what the guard asks and what the API description says.
type Route struct {
	Method  string
	Path    string // net/http pattern under /api/v1
	Access  Access
	Summary string
	Query   []string // names of query parameters, described in params
	Need    string   // required fields of the request, space separated
	Max     int64    // cap of the body in bytes; 0: the default of its kind
	Socket  bool     // answers 101 and becomes a web socket
	endpoint
}

// endpoint is a handler with the types that it reads and writes.
type endpoint struct {
	in, out reflect.Type // nil: none
	body    Body
	status  int    // of success
	media   string // of a success that is not JSON
	slow    bool   // may take long: no overall deadline, only one between bytes
	serve   func(*call) error
}

// get answers out with 200.
func get[Out any](f func(*call) (Out, error)) endpoint {
	return endpoint{out: reflect.TypeFor[Out](), status: http.StatusOK, serve: func(c *call) error {
		out, err := f(c)
		if err != nil {
			return err
		}
		return c.answer(http.StatusOK, out)
	}}
}

// post decodes in and answers out with 200.
func post[In, Out any](f func(*call, In) (Out, error)) endpoint { return with(http.StatusOK, f) }

// create decodes in and answers out with 201.
func create[In, Out any](f func(*call, In) (Out, error)) endpoint { return with(http.StatusCreated, f) }

func with[In, Out any](status int, f func(*call, In) (Out, error)) endpoint {
	return endpoint{in: reflect.TypeFor[In](), out: reflect.TypeFor[Out](), body: JSON, status: status, serve: func(c *call) error {
		var in In
		if err := c.decode(&in); err != nil {
			return err
		}
		out, err := f(c, in)
		if err != nil {
			return err
		}
		return c.answer(status, out)
	}}
}

// done0 has no request body and answers 204.
func done0(f func(*call) error) endpoint {
	return endpoint{status: http.StatusNoContent, serve: func(c *call) error {
		if err := f(c); err != nil {
			return err
		}
		return c.empty()
	}}
}

// done decodes in and answers 204.
func done[In any](f func(*call, In) error) endpoint {
	return endpoint{in: reflect.TypeFor[In](), body: JSON, status: http.StatusNoContent, serve: func(c *call) error {
		var in In
		if err := c.decode(&in); err != nil {
			return err
		}
		if err := f(c, in); err != nil {
			return err
		}
		return c.empty()
	}}
}

// upload streams a body in and answers out with 201.
func upload[Out any](body Body, f func(*call) (Out, error)) endpoint {
	return endpoint{out: reflect.TypeFor[Out](), body: body, status: http.StatusCreated, slow: true, serve: func(c *call) error {
		out, err := f(c)
		if err != nil {
			return err
		}
		return c.answer(http.StatusCreated, out)
	}}
}

// download writes bytes of a media type by itself.
func download(media string, f func(*call) error) endpoint {
	return endpoint{status: http.StatusOK, media: media, slow: true, serve: f}
}

// either answers a media type, or out as JSON to whoever asks for that.
func either[Out any](media string, f func(*call) error) endpoint {
	return endpoint{out: reflect.TypeFor[Out](), status: http.StatusOK, media: media, serve: f}
}

// List is how every list is answered. Next, when there is more, is what the
// next request passes as `before`.
type List[T any] struct {
	Items []T    `json:"items"`
	Next  string `json:"next,omitempty"`
}

// listOf never answers null: an empty list is [].
func listOf[T any](items []T, next string) List[T] {
	if items == nil {
		items = []T{}
	}
	return List[T]{Items: items, Next: next}
}

// pattern is the route for net/http.ServeMux.
func (rt Route) pattern() string { return rt.Method + " " + prefix + rt.Path }

// wildcards returns the names in the path, in order.
func (rt Route) wildcards() []string {
	var names []string
	for _, part := range strings.Split(rt.Path, "/") {
		if strings.HasPrefix(part, "{") {
			names = append(names, strings.Trim(part, "{}"))
		}
	}
	return names
}

// changes reports whether the method is one that may change something.
func changes(method string) bool {
	return method != http.MethodGet && method != http.MethodHead && method != http.MethodOptions
}

// slowly lifts the overall deadline of an endpoint whose work may take minutes.
func slowly(e endpoint) endpoint {
	e.slow = true
	return e
}
