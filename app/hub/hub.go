// Package hub is the reference hub: it enrols nodes, shows which are online and
// what they publish, and gives researchers one task service that spans them.
//
// It owns the hub_* tables, the key file hub.key and the folder of released
// results. A task is split into one signed order per node, and all of them are in
// the database before the task is acknowledged; each order is sent as the same
// bytes until the node has answered, so a crash of either end neither loses a
// task nor runs it twice.
//
// Results stay for a time and may be deleted sooner. A row says so before the file
// goes, so after a crash nothing is given out that was deleted, and the file goes later.
// Ended tasks stay for a time too; then they go whole, and the audit log keeps their
// events.
//
// It never decides what a node does: a node may refuse, and its refusal is shown.
// It never stores a byte that a node has not released: of what a node answers it
// keeps states, times, exit codes and the node's own messages, and drops what
// programs wrote. It trusts no answer: sizes, names, states and zips are checked,
// and one that lies is shown as trouble of that node and of no other.
package hub

import (
	"context"
	"crypto/ed25519"
	"io"
	"log/slog"
	"net/http"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"tresor/app/audit"
	"tresor/app/fault"
	"tresor/app/live"
	"tresor/app/store"
	fed "tresor/fed/hub"
	"tresor/fed/link"
	"tresor/fed/trust"
	"tresor/fed/wire"
)

// LinkPath is where nodes dial.
const LinkPath = wire.LinkPath

// Deps is what a Service works with. All but Live and Limits are required.
type Deps struct {
	DB      *store.DB
	Log     *audit.Log
	Live    *live.Hub
	Keys    string        // folder of the key file
	Results string        // folder of released results
	Keep    time.Duration // how long results stay after their task has ended; 0: for ever
	// KeepTasks is how long an ended task without a result here stays; 0: for ever.
	KeepTasks time.Duration
	Name      string          // of the hub, shown to nodes
	Version   string          // of the program
	URL       func() string   // public address, without a slash at the end
	Hosts     func() []string // host[:port] under which nodes may dial; asked once, at first use
	IDs       func() string
	Now       func() time.Time
	Logger    *slog.Logger
	Limits    link.Limits
	Pace      Pace
	Verify    func(zip io.ReaderAt, size int64) (Verified, error) // of a released zip; nil: as `tresor release verify` does
}

// Pace says how often nodes are asked, and how much is taken from them. The zero value of a field means its default.
type Pace struct {
	PollMin   time.Duration // after a task's state changed; 500 ms
	PollMax   time.Duration // while it stays; 30 s
	Retry     time.Duration // longest wait after trouble; 30 s
	Catalogue time.Duration // between two looks at what a node publishes, when it cannot say whether that has changed; 5 min
	Glance    time.Duration // the same when it can; 15 s
	Call      time.Duration // one question; 30 s
	Tick      time.Duration // between two rounds of small work; 10 s
	Forget    time.Duration // between two looks for tasks whose time is over; 1 h
	MaxResult int64         // bytes of a zip; 4 GiB
	Reserve   int64         // bytes of the disk that results leave free; 1 GiB
	MaxBodies int64         // bytes of large orders that wait for their nodes, all together; 1 GiB
}

func (p Pace) withDefaults() Pace {
	for _, d := range []struct {
		at  *time.Duration
		def time.Duration
	}{{&p.PollMin, 500 * time.Millisecond}, {&p.PollMax, 30 * time.Second}, {&p.Retry, 30 * time.Second}, {&p.Catalogue, 5 * time.Minute}, {&p.Glance, 15 * time.Second}, {&p.Call, 30 * time.Second}, {&p.Tick, 10 * time.Second}, {&p.Forget, time.Hour}} {
		if *d.at == 0 {
			*d.at = d.def
		}
	}
	if p.MaxResult == 0 {
		p.MaxResult = 4 << 30
	}
	if p.Reserve == 0 {
		p.Reserve = 1 << 30
	}
	if p.MaxBodies == 0 {
		p.MaxBodies = 1 << 30
	}
	return p
}

// Service is the hub. Its methods may be used from any goroutine.
type Service struct {
	Deps
	book *trust.Book
	fed  func() *fed.Hub // made at first use: the address is known only when the server listens
	keys *keyFile

	verify func(io.ReaderAt, int64) (Verified, error)

	counting sync.Mutex // held while up is made anew, so that the newest stays
	up       atomic.Pointer[map[string]bool]

	mu      sync.Mutex         // guards what follows
	workers map[string]*worker // by node
	run     context.Context    // of Run; nil before
	wg      sync.WaitGroup

	forgot time.Time // when tasks were last looked through; of Run
}

// New opens the hub on its database and folders. It takes links from then on,
// but sends nothing before Run.
func New(ctx context.Context, d Deps) (*Service, error) {
	const op = "hub.New"
	d.Pace = d.Pace.withDefaults()
	keys, err := openKeys(filepath.Join(d.Keys, "hub.key"))
	if err != nil {
		return nil, fault.Wrap(op, err)
	}
	if err := makeFolder(d.Results); err != nil {
		return nil, fault.Wrap(op, err)
	}
	s := &Service{Deps: d, keys: keys, workers: map[string]*worker{}, verify: d.Verify}
	if s.verify == nil {
		s.verify = verifyRelease
	}
	if s.book, err = trust.Open(ctx, bookStore{s}, d.Now); err != nil {
		return nil, fault.Wrap(op, err)
	}
	s.fed = sync.OnceValue(func() *fed.Hub {
		return fed.New(fed.Options{
			Name: d.Name, Identity: s.identity, Hosts: d.Hosts(), Book: s.book, Sequences: bookStore{s}, Now: d.Now, Log: d.Logger, Limits: d.Limits,
			Enrolled: s.enrolled, Seen: s.seen,
		})
	})
	return s, nil
}

func (s *Service) identity() fed.Identity {
	k := s.keys.get()
	return fed.Identity{Key: ed25519.PrivateKey(k.Key), Next: k.Succession}
}

// Link is the door that nodes dial, at LinkPath.
func (s *Service) Link() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { s.fed().ServeHTTP(w, r) })
}

// Close ends all links.
func (s *Service) Close() { s.fed().Close() }
