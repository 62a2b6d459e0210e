// Package gateway is the only door for machines: hubs, outside clients, people's
// tokens and programs inside. It says who asks, what they may do, and writes down
// what arrived and what left.
//
// It owns the principals, their projects, quotas and tokens, the allow-list of
// sources, the list of tasks that came through it, and the ledger. It never
// decides more than the project and its people have: every task is a job in the
// name of a local member, every byte that leaves comes from release.Open (programs
// inside also read and write their project's files, which stay inside), and what a
// caller may not see is answered like what does not exist. A request is accepted
// in one transaction with its job, its ledger line and its audit event, so a crash
// leaves all or none, and the same request again is the same task. Counts of
// reading are kept in memory for up to a minute; a crash loses those.
package gateway

import (
	"context"
	"crypto/x509"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"sync"
	"time"

	"tresor/app/access"
	"tresor/app/airlock"
	"tresor/app/audit"
	"tresor/app/job"
	"tresor/app/keyfile"
	"tresor/app/live"
	"tresor/app/output"
	"tresor/app/project"
	"tresor/app/release"
	"tresor/app/store"
	"tresor/app/tree"
	"tresor/app/vault"
	"tresor/plugins/protocol"
)

// Jobs is what the gateway needs of jobs; *job.Service.
type Jobs interface {
	Submit(ctx context.Context, actor access.Actor, sub job.Submission) (job.Job, error)
	Cancel(ctx context.Context, actor access.Actor, id, reason string) (job.Job, error)
	Find(tx *store.Tx, id string) (job.Job, error)
	Brief(tx *store.Tx, id string) (job.Job, error)
	OutputsOf(tx *store.Tx, id string) ([]job.Found, error)
	TaskOutput(ctx context.Context, id string, task int, stderr bool, max int64) (string, error)
	WaitsFor(id string) string
	Recheck()
}

// Airlock is what the gateway needs of the airlock; *airlock.Service.
type Airlock interface {
	Draft(ctx context.Context, actor access.Actor, job string, t airlock.Text) (airlock.Request, error)
	Submit(ctx context.Context, actor access.Actor, id string) (airlock.Request, error)
	Get(ctx context.Context, actor access.Actor, id string) (airlock.Request, error)
}

// Releases is what the gateway needs of releases; *release.Service.
type Releases interface {
	Make(ctx context.Context, actor access.Actor, request string) (release.Release, error)
	OfJob(tx *store.Tx, job string) (release.Release, error)
	Get(ctx context.Context, actor access.Actor, id string) (release.Release, error)
	Open(ctx context.Context, actor access.Actor, id string) (io.ReadSeekCloser, release.Release, error)
}

// Deps are what a Service works with. The last group may be left out.
type Deps struct {
	DB       *store.DB
	Log      *audit.Log
	Vault    *vault.Vault // for fetched inputs
	Projects *project.Service
	Jobs     Jobs
	Outputs  *output.Service
	Airlock  Airlock
	Releases Releases
	IDs      func() string // UUIDv7
	Now      func() time.Time
	Seal     keyfile.Sealer // of credentials of sources, e.g. by keys/plugins.key

	Tree   *tree.Service // files of projects for programs inside; nil: there are none
	Limits job.Limits    // what a task gets that asks for nothing; zero fields: not known
	Person Quotas        // of one person, over all tokens and the programs of their tasks; zero fields: the default, and no bound of cores
	Live   *live.Hub
	Logger *slog.Logger
	Name   string        // of the appliance, in texts that leave
	Public func() string // public address without a slash at the end; empty: as the request says
	Fetch  FetchOptions
	// ActorOf builds the actor of a person afresh; nil: from identity and Projects.
	// For a disabled account it answers fault.Denied and an actor with names only.
	ActorOf func(tx *store.Tx, person string) (access.Actor, error)
	// Changed hears, after commit, that a principal, its projects or a token changed;
	// app/gateway/link looks then.
	Changed func()
	// Known reports whether there is a plugin of this name that takes requests or
	// publishes; nil: every name is taken.
	Known func(plugin string) bool
	// Health hears what plugins say of themselves; app/gateway/plug.
	Health func(plugin string, h protocol.Health)
}

// FetchOptions bound what is fetched from allow-listed sources.
type FetchOptions struct {
	Transport http.RoundTripper                     // nil: verifies TLS and reaches public addresses only; tests set it
	Proxy     func(*http.Request) (*url.URL, error) // nil: none
	Resolver  *net.Resolver                         // nil: the system's
	Roots     *x509.CertPool                        // nil: the system's
	MaxSize   int64                                 // bytes of one file; 0: 1 GiB
	Timeout   time.Duration                         // of all files of one request; 0: a minute
}

// Service is the gateway. Its methods may be used from any goroutine.
type Service struct {
	Deps
	update  func(context.Context, func(*store.Tx) error) error // DB.Update; tests break it
	parties *parties
	counts  *counts
	tally   *tally
	guesses *buckets // wrong tokens, by address
	probes  *buckets // names of files that are not in a tree, by caller
	vain    *buckets // MiB fetched for requests that were refused then, by caller
	opens   *buckets // of releases, by caller
	slots   *slots
	shelves shelves // what plugins publish
	puts    *allowances
	wake    chan struct{} // holds one value when held jobs should be looked at soon
	times   times

	mu        sync.Mutex
	touched   map[string]time.Time // tokens and principals seen since the last flush; guarded by mu
	unwritten []Entry              // counts of a flush that failed; guarded by mu
}

// times are the pauses of the package; tests shorten them.
type times struct {
	party time.Duration // for which a caller's rights are remembered
	flush time.Duration // between two writes of counts and last-seen times
	way   time.Duration // between two looks at held jobs without news
}

// New returns a Service; nothing runs before Run.
func New(d Deps) *Service {
	if d.Logger == nil {
		d.Logger = slog.New(slog.DiscardHandler)
	}
	if d.ActorOf == nil {
		d.ActorOf = actors(d.Projects)
	}
	d.Person = d.Person.over(DefaultPerson)
	if d.Fetch.MaxSize == 0 {
		d.Fetch.MaxSize = 1 << 30
	}
	if d.Fetch.Timeout == 0 {
		d.Fetch.Timeout = time.Minute
	}
	s := &Service{Deps: d, update: d.DB.Update, parties: newParties(), counts: newCounts(), tally: newTally(), wake: make(chan struct{}, 1),
		guesses: newBuckets(guessEvery, guessBurst), probes: newBuckets(probeEvery, probeBurst), vain: newBuckets(vainEvery, vainBurst), opens: newBuckets(openEvery, openBurst),
		slots: newSlots(), puts: newAllowances(), touched: map[string]time.Time{}}
	s.times = times{party: time.Second, flush: time.Minute, way: 30 * time.Second}
	return s
}

// announce tells open pages that principals or waiting requests changed.
func (s *Service) announce(tx *store.Tx) {
	if s.Live == nil {
		return
	}
	at := tx.Now()
	tx.AfterCommit(func() { s.Live.Publish("federation", live.Event{Type: "federation", At: at}) }) // no data: everybody hears it
}

// changed forgets what was known of callers and tells open pages.
func (s *Service) changed(tx *store.Tx) {
	tx.AfterCommit(s.parties.forget)
	if s.Changed != nil {
		tx.AfterCommit(s.Changed)
	}
	s.announce(tx)
}

// bound is changed for what principals may do: jobs that wait are looked at again too.
func (s *Service) bound(tx *store.Tx) {
	s.changed(tx)
	tx.AfterCommit(s.Jobs.Recheck)
}

// Subject is how the audit log names a principal.
func Subject(id string) string { return "principal:" + id }
