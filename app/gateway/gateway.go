// Package gateway is the only door for machines: hubs, outside clients, people's
// tokens and programs inside. It says who asks, what they may do, and writes down
// what arrived and what left.
//
// It owns the principals, their projects, quotas and tokens, the allow-list of
// sources, the list of tasks that came through it, and the ledger. It never
// decides more than the project and its people have: every task is a job in the
// name of a local member, every byte that leaves comes from release.Open, and what
// a caller may not see is answered like what does not exist. A request is accepted
// in one transaction with its job, its ledger line and its audit event, so a crash
// leaves all or none, and the same request again is the same task.
package gateway

import (
	"context"
	"log/slog"
	"net/http"
	"time"

	"tresor/app/access"
	"tresor/app/airlock"
	"tresor/app/audit"
	"tresor/app/dataset"
	"tresor/app/image"
	"tresor/app/job"
	"tresor/app/live"
	"tresor/app/output"
	"tresor/app/project"
	"tresor/app/release"
	"tresor/app/store"
	"tresor/app/vault"
	"tresor/plugins/protocol"
)

// Deps are what a Service works with. The last group may be left out.
type Deps struct {
	DB       *store.DB
	Log      *audit.Log
	Vault    *vault.Vault
	Projects *project.Service
	Datasets *dataset.Service
	Images   *image.Service
	Jobs     *job.Service
	Outputs  *output.Service
	Airlock  *airlock.Service
	Releases *release.Service
	IDs      func() string // UUIDv7
	Now      func() time.Time

	Live   *live.Hub
	Logger *slog.Logger
	Name   string        // of the appliance, in texts that leave
	Public func() string // public address without a slash at the end; empty: as the request says
	Fetch  FetchOptions
	// ActorOf builds the actor of a person afresh; nil: from identity and Projects.
	ActorOf func(tx *store.Tx, person string) (access.Actor, error)
	// Health hears what plugins say of themselves; app/gateway/plug.
	Health func(plugin string, h protocol.Health)
}

// FetchOptions bound what is fetched from allow-listed sources.
type FetchOptions struct {
	Client  *http.Client  // nil: one that verifies TLS and reaches public addresses only
	MaxSize int64         // bytes of one file; 0: 1 GiB
	Timeout time.Duration // of one file; 0: 2 minutes
}

// Service is the gateway. Its methods may be used from any goroutine.
type Service struct {
	Deps
}

// New returns a Service; nothing runs before Run.
func New(d Deps) *Service { return &Service{Deps: d} }

// Subject is how the audit log names a principal.
func Subject(id string) string { return "principal:" + id }

// Door answers /ga4gh/<plugin>/…: it finds the principal of the bearer token and
// hands the request to the plugin.
func (s *Service) Door(plugins Plugins) http.Handler { return http.NotFoundHandler() }

// InsideDoor answers a program inside a job, without a token: it acts as the job's
// own submitter in the job's own project, through the plugin called tes. Paths
// may stand below /ga4gh/tes or at the root.
func (s *Service) InsideDoor(plugins Plugins, job string) http.Handler { return http.NotFoundHandler() }

// Serve answers one request of a caller through a plugin. Refusals by the gateway
// are answers with a problem document; an error means that nobody could answer.
func (s *Service) Serve(ctx context.Context, plugins Plugins, who Caller, plugin string, req protocol.Request) (protocol.Response, error) {
	return protocol.Response{}, errStarting
}

// WriteResponse sends an answer of Serve, with the released bytes when it names a
// release. It is the only use of release.Open outside the browser's door.
func (s *Service) WriteResponse(w http.ResponseWriter, r *http.Request, who Caller, plugin string, resp protocol.Response) {
	http.Error(w, "starting", http.StatusServiceUnavailable)
}

// HostFor returns what a plugin may ask for in the name of one caller.
func (s *Service) HostFor(who Caller, plugin string) protocol.Host { return nil }

// Moved notes a job's new state in the transaction that changes it; job.Deps.Moved.
func (s *Service) Moved(tx *store.Tx, j job.Job) error { return nil }

// Run drafts, submits and releases the airlock requests of principals whose policy
// says so, and sweeps, until ctx ends.
func (s *Service) Run(ctx context.Context) error { <-ctx.Done(); return nil }
