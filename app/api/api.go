// Package api is the door for browsers and scripts: one JSON API under /api/v1,
// served to the network with session cookies and to the host over a unix socket
// whose peer the kernel names.
//
// It owns the route table, the guard in front of every route, the translation of
// errors into answers, the API description and the web sockets. It decides
// nothing: the access level of a route only says who may ask, the domain method
// behind it asks again with the thing in hand. Bytes of data pass through three
// functions of other packages and no others: workspace.Attach, airlock.View and
// release.Open.
//
// It keeps no state that matters: uploads stream into the domain's own staging,
// and a crash only cuts answers off.
package api

import (
	"context"
	"log/slog"
	"net/http"
	"sync"
	"time"

	"tresor/app/fault"
	"tresor/app/store"
)

const (
	prefix     = "/api/v1"
	cookieName = "__Host-tresor"
)

// Server answers the API. Its methods may be used from any goroutine.
type Server struct {
	Deps
	log         *slog.Logger
	now         func() time.Time
	ids         func() string
	uid         uint32
	csrf        *http.CrossOriginProtection
	routes      []Route
	mux         *http.ServeMux
	doc         []byte
	sessions    *buckets
	addresses   *buckets
	signIns     *buckets
	guesses     *buckets // answers 401 of the machines' door, by address
	sockets     *sockets
	machineRead time.Duration // for the body of a machine's request; tests shorten it
	pingEvery   time.Duration // between two pings of a web socket; tests shorten it
	verifying   sync.Mutex    // held while the audit log is verified
}

// New checks what it is given and builds the routes.
func New(d Deps) (*Server, error) {
	if err := d.check(); err != nil {
		return nil, err
	}
	l := d.Limits.withDefaults()
	s := &Server{
		Deps: d, log: d.Logger, now: d.Now, ids: d.IDs, uid: d.UID, csrf: http.NewCrossOriginProtection(),
		sessions: newBuckets(l.PerSession, l.SessionBurst), addresses: newBuckets(l.PerAddress, l.AddressBurst),
		signIns: newBuckets(l.SignIn, l.SignInBurst), guesses: newBuckets(l.SignIn, l.SignInBurst), sockets: newSockets(l.Sockets), pingEvery: socketPing, machineRead: readWithin,
	}
	s.routes = s.table()
	doc, err := encodeDocument(d.Name, d.Version, s.routes)
	if err != nil {
		return nil, fault.Wrap("api.New", err)
	}
	s.doc = doc
	s.mux = s.newMux()
	return s, nil
}

// Routes returns a copy of the route table.
func (s *Server) Routes() []Route { return append([]Route(nil), s.routes...) }

// Handler is the public door: the API, the health answer, and the pages for
// every other address.
func (s *Server) Handler() http.Handler { return s.mux }

// LocalHandler is the same API for the local socket. Its http.Server needs
// LocalConn as ConnContext; without it every request is refused.
func (s *Server) LocalHandler() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.mux.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), localKey{}, true)))
	})
}

// Close ends all web sockets and refuses new ones.
func (s *Server) Close() { s.sockets.closeAll() }

// SessionsEnded ends the web sockets of sessions that are over. The composition
// root hands it to identity.
func (s *Server) SessionsEnded(ids []string) {
	for _, id := range ids {
		s.sockets.closeSession(id)
	}
}

func (s *Server) newMux() *http.ServeMux {
	mux := http.NewServeMux()
	for i := range s.routes {
		rt := &s.routes[i]
		mux.HandleFunc(rt.pattern(), s.serve(rt))
	}
	mux.HandleFunc("GET /healthz", s.health)
	mux.HandleFunc(prefix+"/", s.serve(s.nothingHere()))
	if s.Machine != nil {
		mux.Handle(machinePrefix, s.machineDoor(s.Machine))
	}
	if s.Link != nil {
		mux.Handle("GET "+linkPath, s.Link)
	}
	if s.UI != nil {
		mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
			stayOnTLS(w, r)
			s.UI.ServeHTTP(w, r)
		})
	}
	return mux
}

// health says that the server answers and the database can be read. It is for
// machines and names nothing.
func (s *Server) health(w http.ResponseWriter, r *http.Request) {
	h := w.Header()
	secure(h, "")
	h.Del("Tresor-Correlation")
	ctx, cancel := context.WithTimeout(r.Context(), 2*time.Second)
	defer cancel()
	status, word := http.StatusOK, "ok"
	if err := s.alive(ctx); err != nil {
		s.log.LogAttrs(ctx, slog.LevelError, "health", slog.String("cause", err.Error()))
		status, word = http.StatusServiceUnavailable, "unavailable"
	}
	_ = respondJSON(w, status, map[string]string{"status": word})
}

func (s *Server) alive(ctx context.Context) error {
	return s.DB.View(ctx, func(tx *store.Tx) error {
		var one int
		return tx.QueryRow(`SELECT 1`).Scan(&one)
	})
}

// nothingHere answers for every address under /api/v1 that is no route, and for
// a route asked with another method, so that programs never get a page.
func (s *Server) nothingHere() *Route {
	return &Route{Path: "/…", Access: Access{Level: Public}, endpoint: endpoint{status: http.StatusNotFound, serve: func(c *call) error {
		if allow := s.methodsOf(c.r.URL.Path); allow != "" {
			c.w.Header().Set("Allow", allow)
			return refuse(http.StatusMethodNotAllowed, codeMethod, fault.Invalid, "This address does not take %s.", clip(c.r.Method)).
				next("It takes: " + allow + ".")
		}
		if s.Hub != nil {
			return fault.WithNext(fault.New("api.route", fault.NotFound, "There is no such address: this is a hub, without projects and data of its own."), "The addresses are described in %s/openapi.json.", prefix)
		}
		return fault.WithNext(fault.New("api.route", fault.NotFound, "There is no such address."), "The addresses are described in %s/openapi.json.", prefix)
	}}}
}

// methodsOf returns the methods of the routes that match a path.
func (s *Server) methodsOf(path string) string {
	var allow string
	for _, method := range []string{http.MethodGet, http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete} {
		probe := &http.Request{Method: method, URL: cleanURL(path), Host: "x"}
		if _, pattern := s.mux.Handler(probe); pattern != "" && pattern != prefix+"/" && pattern != "/" {
			if allow != "" {
				allow += ", "
			}
			allow += method
		}
	}
	return allow
}
