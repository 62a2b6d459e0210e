// Package link is this appliance as a node of the federation: it keeps the links
// to the hubs that operators enrolled, and brings what a hub asks to the gateway.
//
// It owns the node's key, the hubs' pinned keys, enrolment codes and the list of
// envelopes that were taken. It never decides what a hub may do (app/gateway does)
// and never sends a byte that the gateway did not answer, but for the catalogue:
// names and descriptions that people wrote. Until a person here has compared the
// words, a hub's link exists and nothing passes.
//
// A crash leaves rows and one whole key file: claimed envelopes are known, and one
// whose end is not known is asked of the gateway again, which gives the same task.
// Local work goes on whatever a hub does or does not.
package link

import (
	"context"
	"crypto/tls"
	"errors"
	"log/slog"
	"maps"
	"net"
	"net/http"
	"net/url"
	"sync"
	"time"

	"tresor/app/access"
	"tresor/app/audit"
	"tresor/app/dataset"
	"tresor/app/fault"
	"tresor/app/gateway"
	"tresor/app/keyfile"
	"tresor/app/store"
	fedlink "tresor/fed/link"
	"tresor/fed/node"
	"tresor/fed/trust"
	"tresor/fed/wire"
	"tresor/plugins/protocol"
)

// Gateway is what a link asks of app/gateway.
type Gateway interface {
	Principals(ctx context.Context, actor access.Actor) ([]gateway.Principal, error)
	Create(ctx context.Context, actor access.Actor, d gateway.Draft) (gateway.Principal, error)
	Change(ctx context.Context, actor access.Actor, id string, c gateway.Change) (gateway.Principal, error)
	PausedAll(ctx context.Context) (bool, error)
	Serve(ctx context.Context, plugins gateway.Plugins, who gateway.Caller, plugin string, req protocol.Request) (protocol.Response, error)
	WriteResponse(w http.ResponseWriter, r *http.Request, who gateway.Caller, plugin string, resp protocol.Response)
	Seen(ctx context.Context, principal string)
	Documents(ctx context.Context, plugins gateway.Plugins, who gateway.Caller, plugin string) ([]protocol.Document, error)
	Published(ctx context.Context, principal string, body []byte, correlation string) error
}

// Plugins are the running plugins; app/gateway/plug.
type Plugins interface {
	gateway.Plugins
	Published() []string
}

// Deps are what a Service works with. All but the last group are required.
type Deps struct {
	DB       *store.DB
	Log      *audit.Log
	Gateway  Gateway
	Plugins  Plugins
	Key      string // file of the node's key, e.g. keys/node.key
	CodeKey  string // file of the key that seals enrolment codes, e.g. keys/plugins.key
	IDs      func() string
	Now      func() time.Time
	Logger   *slog.Logger
	Name     string // of this appliance, as hubs show it
	Version  string
	Grants   func(tx *store.Tx, project string) ([]string, error)         // ids of the datasets that a project may use
	Datasets func(tx *store.Tx, idOrSlug string) (dataset.Dataset, error) // with versions

	Proxy   func(*http.Request) (*url.URL, error) // nil: none
	Plain   bool                                  // take hubs at http:// addresses of this machine
	TLS     *tls.Config                           // nil: the system's roots
	NetDial func(ctx context.Context, network, addr string) (net.Conn, error)
	Rand    func() float64 // jitter, in [0, 1)
	Limits  fedlink.Limits
	MinWait time.Duration // between attempts to connect; 1 s
	MaxWait time.Duration // 2 min
	Look    time.Duration // between looks at what changed; 2 s
	Overlap time.Duration // of an old and a new key; 30 days
	News    func()        // a link began, ended or changed; must not block
}

// Service is this appliance as a node. Its methods may be used from any goroutine.
type Service struct {
	Deps
	keys *keyring
	seal keyfile.Sealer
	book *trust.Book
	node *node.Node

	enrol    sync.Mutex // one enrolment at a time
	adopting sync.Mutex // one principal is made at a time
	turn     sync.Mutex // one change of the keys, from the ring that it is made of to its commit

	mu    sync.Mutex // guards what follows
	hubs  map[wire.KeyID]*hub
	all   bool // every hub is paused
	wake  chan struct{}
	trips map[wire.KeyID]time.Duration
	seen  map[wire.KeyID]node.State // states at the last look
}

// Open reads the key, the hubs and the codes. Nothing is dialled before Run.
func Open(ctx context.Context, d Deps) (*Service, error) {
	const op = "link.Open"
	defaults(&d)
	keys, err := openKeys(d.Key)
	if err != nil {
		return nil, fault.Wrap(op, err)
	}
	seal, err := keyfile.NewSealer(d.CodeKey)
	if err != nil {
		return nil, fault.Wrap(op, err)
	}
	s := &Service{Deps: d, keys: keys, seal: seal, hubs: map[wire.KeyID]*hub{}, wake: make(chan struct{}, 1), trips: map[wire.KeyID]time.Duration{}, seen: map[wire.KeyID]node.State{}}
	if s.book, err = trust.Open(ctx, peers{s}, d.Now); err != nil {
		return nil, fault.Wrap(op, err)
	}
	s.node = node.New(node.Options{
		Identity: keys.identity, Book: s.book, Ledger: ledger{d.DB}, Now: d.Now, Log: d.Logger, Rand: d.Rand, Proxy: d.Proxy, TLS: d.TLS,
		NetDial: d.NetDial, Limits: d.Limits, MinWait: d.MinWait, MaxWait: d.MaxWait,
	})
	if err := errors.Join(s.read(ctx), s.record(ctx)); err != nil {
		s.node.Close()
		return nil, fault.Wrap(op, err)
	}
	return s, nil
}

func defaults(d *Deps) {
	if d.Look == 0 {
		d.Look = 2 * time.Second
	}
	if d.Overlap == 0 {
		d.Overlap = 30 * 24 * time.Hour
	}
	if d.Name == "" || wire.CheckName(d.Name) != nil {
		d.Name = "A Tresor appliance"
	}
}

// Run keeps the links until ctx ends: it follows what people decided (paused,
// revoked, confirmed), completes enrolments and rotations, and sweeps.
func (s *Service) Run(ctx context.Context) error {
	look, ping, sweep := time.NewTicker(s.Look), time.NewTicker(30*time.Second), time.NewTicker(time.Hour)
	defer look.Stop()
	defer ping.Stop()
	defer sweep.Stop()
	for {
		if err := s.follow(ctx); err != nil && ctx.Err() == nil {
			s.Logger.Error("the links do not follow what was decided", "error", err)
		}
		select {
		case <-ctx.Done():
			s.Close()
			return nil
		case <-look.C:
			s.tellNews()
		case <-s.wake:
		case <-ping.C:
			s.measure()
		case <-sweep.C:
			if err := s.sweep(ctx); err != nil {
				s.Logger.Error("old envelopes could not be swept", "error", err)
			}
		}
	}
}

// tellNews says when the state of a link is another one than at the last look,
// and tells the gateway which hubs are in contact.
func (s *Service) tellNews() {
	now, online := map[wire.KeyID]node.State{}, map[wire.KeyID]bool{}
	for _, h := range s.node.Health() {
		now[h.Hub] = h.State
		online[h.Hub] = h.State == node.Online
	}
	for _, h := range s.list() {
		if p := h.principal.Load(); p != nil && online[h.peer] {
			s.Gateway.Seen(context.Background(), p.ID)
		}
	}
	s.mu.Lock()
	same := maps.Equal(now, s.seen)
	s.seen = now
	s.mu.Unlock()
	if same {
		return
	}
	s.measure()
	if s.News != nil {
		s.News()
	}
}

// Changed makes Run look at once. Call it when a principal was paused, resumed,
// changed or revoked.
func (s *Service) Changed() {
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

// Close ends all links and waits for the orders that run. It may be called twice.
func (s *Service) Close() { s.node.Close() }

// sweep drops envelopes that can never be taken again and codes that nobody needs.
func (s *Service) sweep(ctx context.Context) error {
	if err := s.node.Sweep(ctx); err != nil {
		return err
	}
	return sweepCodes(ctx, s.DB)
}

// measure asks each hub that is online how far it is.
func (s *Service) measure() {
	for _, h := range s.node.Health() {
		if h.State != node.Online {
			continue
		}
		go func() {
			if d, err := s.node.Ping(h.Hub); err == nil {
				s.mu.Lock()
				s.trips[h.Hub] = d
				s.mu.Unlock()
			}
		}()
	}
}
