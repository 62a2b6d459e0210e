package job

import (
	"context"
	"errors"
	"sync"
	"time"

	"tresor/app/access"
	"tresor/app/fault"
	"tresor/app/store"
	"tresor/sandbox"
)

// loop is one call of Run: its context ends when the server stops.
type loop struct {
	ctx context.Context
	wg  sync.WaitGroup
}

// Run starts what waits and follows what runs, until ctx ends. It first compares
// the database with the engine and adopts what it finds. When ctx ends containers
// go on running; the next Run finds them. It returns nil, or an error when Run is
// called twice at a time.
func (s *Service) Run(ctx context.Context) error {
	l := &loop{ctx: ctx}
	if !s.enter(l) {
		return errors.New("job.Run: it runs already")
	}
	defer s.exit(l)
	if !s.firstLook(ctx) {
		return nil
	}
	l.wg.Add(1)
	go func() { defer l.wg.Done(); s.sweep.run(ctx) }()
	s.wakeOrWarn(ctx)
	every := time.NewTicker(s.times.reconcile)
	defer every.Stop()
	s.sched.nudge()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-s.sched.wake:
			s.startAll()
		case <-s.again:
			s.lookAgain(ctx)
		case <-s.decided:
			s.wakeOrWarn(ctx)
		case <-s.recheck:
			s.recheckAll(ctx)
		case <-every.C:
			s.lookAgain(ctx)
			s.wakeOrWarn(ctx)
			s.recheckHolders(ctx)
		}
	}
}

func (s *Service) enter(l *loop) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.loop != nil {
		return false
	}
	s.loop = l
	return true
}

// exit closes the door for new runs, then waits for those there are.
func (s *Service) exit(l *loop) {
	s.sched.reset(false)
	s.mu.Lock()
	s.loop = nil
	s.mu.Unlock()
	l.wg.Wait()
}

// firstLook opens the queue once database and engine agree. An engine that is not
// up yet is waited for; one that can never run anything lets jobs through, which
// then end with the reason.
func (s *Service) firstLook(ctx context.Context) bool {
	err := s.patiently(ctx, func() error { return s.reconcile(ctx) })
	if ctx.Err() != nil {
		return false
	}
	var unfit *sandbox.ErrUnfit
	if err != nil && !errors.As(err, &unfit) {
		s.Logger.Error("jobs: first comparison with the engine", "err", err)
	}
	if err := s.patiently(ctx, func() error { return s.loadQueue(ctx) }); err != nil {
		return false
	}
	s.sched.reset(true)
	return true
}

// patiently repeats f while the host is to blame: the engine or the database.
func (s *Service) patiently(ctx context.Context, f func() error) error {
	for try := 0; ; try++ {
		err := f()
		var unfit *sandbox.ErrUnfit
		if err == nil || errors.As(err, &unfit) {
			return err
		}
		if try == 0 || try%20 == 0 {
			s.Logger.Warn("jobs: waiting for the host", "err", err)
		}
		if !s.pause(ctx, try) {
			return ctx.Err()
		}
	}
}

// pause waits before try number n+1; false when ctx has ended.
func (s *Service) pause(ctx context.Context, n int) bool {
	t := time.NewTimer(s.times.pauses[min(n, len(s.times.pauses)-1)])
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// wakeOrWarn goes on with jobs whose image was approved, also while no server ran.
func (s *Service) wakeOrWarn(ctx context.Context) {
	if err := s.wakeWaiting(ctx); err != nil && ctx.Err() == nil {
		s.Logger.Warn("jobs: going on with jobs that wait for an image", "err", err)
	}
}

// outOfLine is how long a job may be queued and not in line before that is worth a line in the log.
const outOfLine = time.Minute

// loadQueue lines up what waits in the database; what stands in line already keeps its place.
func (s *Service) loadQueue(ctx context.Context) error {
	var list []entry
	err := s.DB.View(ctx, func(tx *store.Tx) error {
		var err error
		list, err = loadWaiting(tx)
		return err
	})
	for _, e := range list {
		if s.sched.add(e) && !s.sched.closed() && s.Now().Sub(e.since) > outOfLine {
			s.Logger.Warn("jobs: a job waited and did not stand in line; it does now", "job", e.id)
		}
	}
	return err
}

// lookAgain finds what has come apart while Run runs: containers removed behind
// our back, and jobs whose commit was reported as failed and had got through.
func (s *Service) lookAgain(ctx context.Context) {
	if err := errors.Join(s.reconcile(ctx), s.loadQueue(ctx)); err != nil && ctx.Err() == nil {
		s.Logger.Warn("jobs: comparing with the engine", "err", err)
	}
}

// doubt has Run look again when nobody can know whether a commit got through.
func (s *Service) doubt(err error) {
	if k := fault.KindOf(err); err == nil || k != fault.Unavailable && k != fault.Internal {
		return
	}
	select {
	case s.again <- struct{}{}:
	default:
	}
}

func (s *Service) startAll() {
	for e := s.sched.next(); e != nil; e = s.sched.next() {
		r := s.newRun(e.id)
		if r == nil {
			s.sched.release(e.id)
			continue
		}
		s.spawn(r)
	}
}

// newRun registers a run for a job whose place on the host is reserved; nil when
// one works on it already or Run is over.
func (s *Service) newRun(id string) *run {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.loop == nil || s.loop.ctx.Err() != nil || s.live[id] != nil {
		return nil
	}
	s.loop.wg.Add(1)
	r := &run{s: s, id: id, loop: s.loop, ctx: s.loop.ctx, stopped: make(chan struct{})}
	s.live[id] = r
	return r
}

func (s *Service) spawn(r *run) {
	r.spawned = true
	go func() {
		defer s.forget(r)
		r.do()
	}()
}

// forget gives back the place of a run and lets others work on its job.
func (s *Service) forget(r *run) {
	r.leaveHost() // first: from then on another run may take a place for the same job
	s.mu.Lock()
	delete(s.live, r.id)
	s.mu.Unlock()
	if r.aside != nil {
		r.aside()
	}
	r.loop.wg.Done()
}

// trouble is what a running job waits for, or "".
func (s *Service) trouble(id string) string {
	s.mu.Lock()
	r := s.live[id]
	s.mu.Unlock()
	if r == nil {
		return ""
	}
	if text := r.trouble.Load(); text != nil {
		return *text
	}
	return ""
}

// stop tells the run of a job that a person wants it to end.
func (s *Service) stop(id string, by access.Actor, reason string) {
	s.mu.Lock()
	r := s.live[id]
	s.mu.Unlock()
	if r != nil {
		r.cancel(by, reason)
	}
}
