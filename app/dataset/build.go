package dataset

import (
	"context"
	"fmt"
	"sync/atomic"

	"tresor/app/access"
	"tresor/app/fault"
	"tresor/app/store"
)

// buildWork is one presentation being built.
type buildWork struct {
	done  chan struct{}
	err   error // valid when done is closed
	moved atomic.Int64
	total int64
}

func buildKey(dataset string, n int) string { return fmt.Sprintf("%s/%d", dataset, n) }

// build starts to build the presentation of a durable version, once.
func (s *Service) build(v Version) {
	s.mu.Lock()
	defer s.mu.Unlock()
	key := buildKey(v.DatasetID, v.N)
	if s.builds[key] != nil || s.ctx.Err() != nil {
		return
	}
	w := &buildWork{done: make(chan struct{}), total: v.Bytes}
	s.builds[key] = w
	s.works.Go(func() {
		w.err = s.present(v, w)
		close(w.done)
		s.mu.Lock()
		defer s.mu.Unlock()
		if w.err == nil {
			delete(s.builds, key)
		}
	})
}

// present builds the file and records how that went. When the service is being
// closed the state stays "building", and the next Open goes on.
func (s *Service) present(v Version, w *buildWork) error {
	err := buildPresentation(s.ctx, versionDir(s.Dir, v.DatasetID, v.N), v, &w.moved)
	if s.ctx.Err() != nil {
		return fault.Kinded("dataset.present", fault.Unavailable, err, "The server is stopping. The version is safe, and is prepared at the next start.")
	}
	state, verb := Ready, "dataset.presented"
	if err != nil {
		state, verb = Failed, "dataset.presentation-failed"
	}
	noted := s.DB.Update(context.WithoutCancel(s.ctx), func(tx *store.Tx) error {
		_, err := tx.Exec(`UPDATE dataset_version SET presentation = ? WHERE dataset = ? AND n = ?`, state, v.DatasetID, v.N)
		if err != nil {
			return err
		}
		return s.note(tx, access.System, verb, v.DatasetID, "version", itoa(v.N), "state", string(state))
	})
	if err != nil {
		return err
	}
	return noted
}

// resume builds what is not ready, the newest first.
func (s *Service) resume(ctx context.Context) error {
	var todo []Version
	err := s.DB.View(ctx, func(tx *store.Tx) error {
		rows, err := tx.Query(`SELECT `+versionColumns+` FROM dataset_version WHERE presentation <> ? ORDER BY created_at DESC`, Ready)
		if err != nil {
			return err
		}
		return each(rows, func() error {
			v, err := scanVersion(rows)
			todo = append(todo, v)
			return err
		})
	})
	for _, v := range todo {
		s.build(v)
	}
	return err
}

// Await waits until the presentation of a version is ready or has failed, or ctx
// ends; then it answers Building and no error. The error says why it failed; the
// version itself is safe in every case.
func (s *Service) Await(ctx context.Context, dataset string, n int) (Presentation, error) {
	s.mu.Lock()
	w := s.builds[buildKey(dataset, n)]
	s.mu.Unlock()
	if w == nil {
		return s.stateOf(ctx, dataset, n)
	}
	select {
	case <-ctx.Done():
		return Building, nil
	case <-w.done:
	}
	if w.err != nil {
		return Failed, fault.Wrap("dataset.Await", w.err)
	}
	return Ready, nil
}

func (s *Service) stateOf(ctx context.Context, dataset string, n int) (Presentation, error) {
	var p Presentation
	err := s.DB.View(ctx, func(tx *store.Tx) error {
		err := tx.QueryRow(`SELECT presentation FROM dataset_version WHERE dataset = ? AND n = ?`, dataset, n).Scan(&p)
		if store.NotFound(err) {
			return notFound(dataset)
		}
		return err
	})
	return p, fault.Wrap("dataset.Await", err)
}

// percent is how far a presentation is, for people.
func (s *Service) percent(v Version) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	w := s.builds[buildKey(v.DatasetID, v.N)]
	if w == nil || w.total == 0 {
		return ""
	}
	return fmt.Sprintf(" (%d %%)", min(99, 100*w.moved.Load()/w.total))
}
