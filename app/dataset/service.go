package dataset

import (
	"context"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"

	"tresor/app/access"
	"tresor/app/audit"
	"tresor/app/fault"
	"tresor/app/project"
	"tresor/app/store"
)

// Deps is what the service works with.
type Deps struct {
	DB       *store.DB
	Log      *audit.Log
	Projects *project.Service
	Dir      string        // <data>/datasets
	IDs      func() string // UUIDv7 texts
}

// Service does everything with datasets.
type Service struct {
	Deps
	disk disk

	ctx   context.Context // of the builders; ends with Close
	end   context.CancelFunc
	works sync.WaitGroup

	mu     sync.Mutex
	taking map[string]bool       // dataset ids that are being ingested
	builds map[string]*buildWork // by build key
}

// Open makes the service: it sweeps what a crash left in Dir and starts to build
// the presentations that are not ready. Close ends that.
func Open(ctx context.Context, d Deps) (*Service, error) {
	s := newService(d, realDisk{})
	if err := s.disk.mkdir(d.Dir); err != nil {
		return nil, diskFault("dataset.Open", err)
	}
	if err := s.sweep(ctx); err != nil {
		return nil, fault.Wrap("dataset.Open", err)
	}
	return s, fault.Wrap("dataset.Open", s.resume(ctx))
}

func newService(d Deps, k disk) *Service {
	s := &Service{Deps: d, disk: k, taking: map[string]bool{}, builds: map[string]*buildWork{}}
	s.ctx, s.end = context.WithCancel(context.Background())
	return s
}

// Close stops building presentations and waits. They go on at the next Open.
func (s *Service) Close() error {
	s.mu.Lock() // no build begins beside the waiting
	s.end()
	s.mu.Unlock()
	s.works.Wait()
	return nil
}

// sweep removes the folders that no row names: begun versions, and versions that
// were renamed to their place a moment before a crash.
func (s *Service) sweep(ctx context.Context) error {
	known := map[string]bool{}
	err := s.DB.View(ctx, func(tx *store.Tx) error {
		rows, err := tx.Query(`SELECT dataset, n FROM dataset_version`)
		if err != nil {
			return err
		}
		return each(rows, func() error {
			var id string
			var n int
			err := rows.Scan(&id, &n)
			known[filepath.Join(id, itoa(n))] = true
			return err
		})
	})
	if err != nil {
		return err
	}
	folders, err := filepath.Glob(filepath.Join(s.Dir, "*", "*"))
	if err != nil {
		return err
	}
	for _, f := range folders {
		rel, err := filepath.Rel(s.Dir, f)
		if err != nil {
			return err
		}
		if known[rel] || !ours(f) {
			continue
		}
		if err := s.disk.remove(f); err != nil {
			return diskFault("dataset.sweep", err)
		}
	}
	return nil
}

// ours reports whether a folder has the name of a version or a begun one: the
// sweep touches nothing else that somebody may have put there.
func ours(path string) bool {
	name := strings.TrimSuffix(filepath.Base(path), stagingSuffix)
	n, err := strconv.Atoi(name)
	info, statErr := os.Lstat(path)
	return err == nil && n > 0 && statErr == nil && info.IsDir()
}

func (s *Service) note(tx *store.Tx, actor access.Actor, verb, id string, kv ...string) error {
	_, err := s.Log.Append(tx, audit.By(actor, verb, Subject(id), "", kv...))
	return err
}

func itoa(n int) string { return strconv.Itoa(n) }
