package job

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"time"

	"tresor/app/fault"
	"tresor/app/store"
	"tresor/sandbox"
)

// reconcile compares the rows with the engine's containers.
//
//	row          container   what happens
//	active       any         a run adopts the job: it starts, follows, collects or fails it
//	active       old attempt it goes
//	ended, held  any         container and scratch go
//	none         any         container and scratch go: it was made by a database that is gone
//	uncleaned    none        scratch goes
func (s *Service) reconcile(ctx context.Context) error {
	list, err := s.Runner.List(ctx)
	var unfit *sandbox.ErrUnfit
	if err != nil && !errors.As(err, &unfit) {
		return err
	}
	var busy, dirty []Job
	err = s.DB.View(ctx, func(tx *store.Tx) error {
		var err error
		if busy, err = query(tx, `WHERE state IN ('preparing', 'running', 'collecting') ORDER BY id`); err != nil {
			return err
		}
		dirty, err = query(tx, uncleaned)
		return err
	})
	if err != nil {
		return err
	}
	for _, j := range busy {
		s.adopt(j)
	}
	for _, j := range dirty {
		if !s.alive(j.ID) {
			s.cleanLater(j)
		}
	}
	s.removeStrays(ctx, list)
	return nil
}

// uncleaned are the ended jobs that may have left something on the host. The plus keeps
// the database from walking all jobs that have ever ended, by state: few are not cleaned up.
const uncleaned = `WHERE cleaned = 0 AND +state IN ('held', 'released', 'rejected', 'completed', 'failed', 'cancelled', 'refused') ORDER BY id`

// adopt has a run work on an active job, unless one does.
func (s *Service) adopt(j Job) {
	r := s.newRun(j.ID)
	if r == nil {
		return
	}
	r.late = !s.sched.closed()
	s.sched.adopt(j.entry())
	s.spawn(r)
}

func (s *Service) alive(id string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.live[id] != nil
}

// cleanLater loads the tasks of an ended job and cleans up behind it.
func (s *Service) cleanLater(j Job) {
	r := s.newRun(j.ID) // without a place on the host
	if r == nil {
		return
	}
	go func() {
		defer s.forget(r)
		s.brooms <- struct{}{}
		defer func() { <-s.brooms }()
		err := s.DB.View(r.ctx, func(tx *store.Tx) error {
			var err error
			j, err = load(tx, j.ID)
			return err
		})
		if err == nil && !j.State.Active() {
			s.clean(r.ctx, j)
		}
	}()
}

// removeStrays removes containers that no row wants. What fails is tried again next time.
func (s *Service) removeStrays(ctx context.Context, list []sandbox.Status) {
	for _, st := range list {
		id, task, attempt, ours := ownerOf(st)
		if !ours {
			continue
		}
		stray, whole, err := s.stray(ctx, id, task, attempt)
		if stray {
			s.Logger.Info("jobs: removing a container that no job wants", "ref", st.Ref)
			err = s.Runner.Remove(ctx, st.Ref)
		}
		if whole && err == nil {
			err = s.removeVolumes(ctx, id, st.Labels["volumes"])
		}
		if err != nil && ctx.Err() == nil {
			s.Logger.Warn("jobs: looking after stray containers", "ref", st.Ref, "err", err)
		}
	}
}

// removeVolumes removes the scratch of a job that no row names.
func (s *Service) removeVolumes(ctx context.Context, id, volumes string) error {
	err := s.Runner.RemoveScratch(ctx, scratchOf(id))
	n, _ := strconv.Atoi(volumes) // a label of ours; anything else means none
	for i := range min(n, maxVolumes) {
		err = errors.Join(err, s.Runner.RemoveScratch(ctx, fmt.Sprintf("%s-v%d", scratchOf(id), i)))
	}
	return err
}

// stray reports whether a container is wanted by nobody; whole when its job is unknown.
func (s *Service) stray(ctx context.Context, id string, task, attempt int) (stray, whole bool, err error) {
	if s.alive(id) {
		return false, false, nil // its run knows
	}
	err = s.DB.View(ctx, func(tx *store.Tx) error {
		j, err := load(tx, id)
		if fault.KindOf(err) == fault.NotFound {
			stray, whole = true, true
			return nil
		}
		if err != nil {
			return err
		}
		old := task < len(j.Tasks) && attempt < j.Tasks[task].Attempt
		stray = j.State.Active() && old || !j.State.Active()
		return nil
	})
	return stray, whole, err
}

// clean removes what an ended job left on the host. What fails is done by a later
// reconcile: the row stays uncleaned.
func (s *Service) clean(ctx context.Context, j Job) {
	var errs []error
	for _, t := range j.Tasks {
		for a := 1; a <= t.Attempt; a++ {
			errs = append(errs, s.Runner.Remove(ctx, refOf(j.ID, t.N, a)))
		}
	}
	for _, v := range j.scratch() {
		errs = append(errs, s.Runner.RemoveScratch(ctx, v.Name))
	}
	errs = append(errs, os.RemoveAll(filepath.Join(s.folder(j.ID), "in")))
	if err := errors.Join(errs...); err != nil {
		if ctx.Err() == nil {
			s.Logger.Warn("jobs: cleaning up behind a job", "job", j.ID, "err", err)
		}
		return
	}
	s.sweep.add(j.ID)
}

// sweeper notes in one commit now and then which jobs are cleaned up: that is
// worth no commit of its own, since cleaning twice does no harm.
type sweeper struct {
	s    *Service
	mu   sync.Mutex
	done []string
}

func (w *sweeper) add(id string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.done = append(w.done, id)
}

func (w *sweeper) run(ctx context.Context) {
	t := time.NewTicker(w.s.times.sweep)
	defer t.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-t.C:
			w.flush(ctx)
		}
	}
}

func (w *sweeper) flush(ctx context.Context) {
	w.mu.Lock()
	ids := w.done
	w.done = nil
	w.mu.Unlock()
	if len(ids) == 0 {
		return
	}
	err := w.s.update(ctx, func(tx *store.Tx) error {
		for _, id := range ids {
			if _, err := tx.Exec(`UPDATE job SET cleaned = 1 WHERE id = ?`, id); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil && ctx.Err() == nil {
		w.s.Logger.Warn("jobs: noting cleaned jobs", "err", err)
	}
}
