// Package plug keeps the plugins: which there are, which file an operator trusted,
// their settings, and their processes.
//
// It owns the table plugin, the sealed secrets in it, and the folder plugins/. A
// plugin is started only when it is enabled and, for one from outside, when its
// file still is the trusted one; otherwise it is down and its page says why. What a
// plugin may ask for is decided by the protocol.Host that comes with each call,
// never here.
//
// A crash leaves the rows; the processes die with the server and are started again
// with it. Local work goes on without any plugin.
package plug

import (
	"context"
	"log/slog"
	"path/filepath"
	"sync"
	"time"

	"tresor/app/access"
	"tresor/app/audit"
	"tresor/app/fault"
	"tresor/app/keyfile"
	"tresor/app/store"
	"tresor/plugins/host"
	"tresor/plugins/protocol"
)

// Builtin is a plugin inside this program.
type Builtin struct {
	Name    string
	Enabled bool // until an operator says otherwise
	// OnDemand: only a connection test starts it.
	OnDemand bool
}

// Builtins are the plugins inside this program.
func Builtins() []Builtin {
	return []Builtin{{Name: "loopback", OnDemand: true}, {Name: "tes", Enabled: true}}
}

// Deps are what a Service works with. All but the last group are required.
type Deps struct {
	DB     *store.DB
	Log    *audit.Log
	Key    string // file of the key that seals secrets, e.g. keys/plugins.key
	Dir    string // folder for copies and working directories
	Exe    string // this program's file
	Now    func() time.Time
	Logger *slog.Logger

	// Host gives what a plugin may ask for while it tests its settings or polls, as
	// one principal; nil, and for an empty principal: nothing.
	Host func(principal, plugin string) protocol.Host
	// Fetch does HTTP for a plugin without a principal while an operator tests it,
	// within the addresses that are allowed it; nil: it asks nothing.
	Fetch func(ctx context.Context, plugin string, r protocol.Request) (protocol.Response, error)
	// Principal makes the principal that a polling plugin acts for and gives its
	// id; nil: polling plugins act for nobody.
	Principal func(ctx context.Context, actor access.Actor, name string) (string, error)
	Builtins  []Builtin // nil: Builtins()
	Version   string    // of this program, for reports
	Changed   func()    // a plugin started, ended or was changed; must not block
}

// Service keeps the plugins. Its methods may be used from any goroutine.
type Service struct {
	Deps
	seal keyfile.Sealer

	change sync.Mutex // one change of rows and processes at a time

	mu      sync.Mutex // guards what follows
	run     context.Context
	entries map[string]*entry
}

// entry is one plugin with what runs of it.
type entry struct {
	row     row
	builtin *Builtin // nil: from outside
	proc    *host.Plugin
	stop    context.CancelFunc // ends the poller; nil when there is none
	polled  chan struct{}      // closed when the poller ended
	problem string             // why it is not started
	health  protocol.Health
	poll    string            // why the poller last ended
	publish string            // why its documents are refused
	set     protocol.Settings // as the plugin gets them; nil: to be made
	stats   stats
}

// Open reads the plugins. Nothing is started before Run.
func Open(ctx context.Context, d Deps) (*Service, error) {
	if d.Builtins == nil {
		d.Builtins = Builtins()
	}
	seal, err := keyfile.NewSealer(d.Key)
	if err != nil {
		return nil, fault.Wrap("plug.Open", err)
	}
	s := &Service{Deps: d, seal: seal, entries: map[string]*entry{}}
	for _, b := range d.Builtins {
		s.entries[b.Name] = &entry{row: row{Name: b.Name, Enabled: b.Enabled}, builtin: &b}
	}
	err = d.DB.View(ctx, func(tx *store.Tx) error {
		rows, err := readAll(tx)
		for _, r := range rows {
			e := s.entries[r.Name]
			switch {
			case e == nil && r.Path == "":
				continue // a built-in of another version of this program
			case e == nil:
				e = &entry{}
				s.entries[r.Name] = e
			}
			e.row = r
		}
		return err
	})
	return s, fault.Wrap("plug.Open", err)
}

// Run keeps the enabled plugins running until ctx ends.
func (s *Service) Run(ctx context.Context) error {
	s.change.Lock()
	s.mu.Lock()
	s.run = ctx
	s.mu.Unlock()
	for _, name := range s.names() {
		s.start(name)
	}
	s.change.Unlock()
	<-ctx.Done()
	s.change.Lock()
	defer s.change.Unlock()
	s.mu.Lock()
	s.run = nil
	s.mu.Unlock()
	var wg sync.WaitGroup
	for _, name := range s.names() {
		wg.Go(func() { s.stop(name) })
	}
	wg.Wait()
	return nil
}

// files is where private copies lie.
func (s *Service) files() string { return filepath.Join(s.Dir, "files") }

// Plugin is one plugin for a page.
type Plugin struct {
	Name      string             `json:"name"`
	Title     string             `json:"title"`
	Version   string             `json:"version"`
	Protocol  string             `json:"protocol"`
	Parts     []string           `json:"parts" doc:"server: answers requests; poller: asks outside for work; publisher"`
	Builtin   bool               `json:"builtin" doc:"part of the server's own program"`
	OnDemand  bool               `json:"on_demand" doc:"runs only while it is tested"`
	Path      string             `json:"path" doc:"where the trusted file was taken from"`
	SHA256    string             `json:"sha256" doc:"of the trusted file"`
	TrustedBy string             `json:"trusted_by" doc:"person"`
	TrustedAt *time.Time         `json:"trusted_at"`
	Enabled   bool               `json:"enabled"`
	Running   bool               `json:"running"`
	Starts    int                `json:"starts"`
	Since     *time.Time         `json:"since" doc:"of the last start"`
	LastError string             `json:"last_error"`
	Health    *protocol.Health   `json:"health" doc:"what it says of itself"`
	Principal string             `json:"principal" doc:"whom it acts for while it polls"`
	Schema    []protocol.Setting `json:"settings_schema"`
	Settings  map[string]string  `json:"settings" doc:"a secret is always empty"`
	Set       []string           `json:"set" doc:"keys of the secrets that have a value"`
	Confined  Confined           `json:"confined"`
	Calls     int64              `json:"calls" doc:"since the server started"`
	Failures  int64              `json:"failures" doc:"calls without an answer"`
	AverageMS float64            `json:"average_ms" doc:"of one call"`
}

// Confined is how far the kernel holds a plugin's process. Checked says that the
// process itself tried what it must not do and could not.
type Confined = host.Confined

// Report is how a connection test went: its steps, and the same as text to copy.
type Report struct {
	Steps  []protocol.Step `json:"steps"`
	Report string          `json:"report"`
}

// Subject is how the audit log names a plugin.
func Subject(name string) string { return "plugin:" + name }
