package hub

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"tresor/app/fault"
	"tresor/app/store"
	"tresor/fed/trust"
	"tresor/fed/wire"
)

// worker does everything that concerns one node, in three loops that do not wait
// for each other: a long result holds up neither orders nor questions. A node
// that is slow, silent or hostile so disturbs no other.
type worker struct {
	s    *Service
	node string
	wake [3]chan struct{} // orders, questions, results
	link atomic.Int64     // when a link began or ended, Unix ms; 0: told already
	news atomic.Bool      // a link began: ask everything at once

	large sync.Mutex // held while a large order is sent

	// What the node last said of itself; of the loop that asks.
	met  facts
	tag  string    // entity tag of its catalogue; "": it gave none
	kept time.Time // when that was last written down

	mu    sync.Mutex      // guards hurry
	hurry map[string]bool // tasks to ask about at once
}

// Run sends, asks and fetches until ctx ends.
func (s *Service) Run(ctx context.Context) error {
	s.sweepResults()
	if err := s.recordKeys(ctx); err != nil && ctx.Err() == nil {
		return fault.Wrap("hub.Run", err)
	}
	s.mu.Lock()
	s.run = ctx
	s.mu.Unlock()
	for _, p := range s.book.Peers() {
		if !p.Gone() {
			s.employ(string(p.ID))
		}
	}
	tick := time.NewTicker(s.Pace.Tick)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			s.wg.Wait()
			return nil
		case <-tick.C:
			if err := s.keepHouse(ctx); err != nil && ctx.Err() == nil {
				s.Logger.Error("the hub's small work was not done", "error", err)
			}
		}
	}
}

// keepHouse finishes a rotation that all know of, ends what is left at nodes that are
// gone, deletes results and drops tasks whose time is over, and forgets old codes.
func (s *Service) keepHouse(ctx context.Context) error {
	for _, work := range []func(context.Context) error{s.settle, s.endGone, s.retire} {
		if err := work(ctx); err != nil {
			return err
		}
	}
	s.eraseAll(ctx)
	if now := s.Now(); now.Sub(s.forgot) >= s.Pace.Forget {
		if err := s.forget(ctx); err != nil {
			return err
		}
		s.forgot = now
	}
	return s.DB.Update(ctx, func(tx *store.Tx) error {
		_, err := tx.Exec(`DELETE FROM hub_code WHERE expires < ?`, store.Millis(tx.Now().Add(-7*24*time.Hour)))
		return fault.Wrap("hub.keepHouse", err)
	})
}

// employ starts the worker of a node, once.
func (s *Service) employ(node string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.run == nil || s.workers[node] != nil || s.run.Err() != nil {
		return
	}
	w := &worker{s: s, node: node, hurry: map[string]bool{}}
	for i := range w.wake {
		w.wake[i] = make(chan struct{}, 1)
	}
	w.news.Store(true)
	s.workers[node] = w
	s.wg.Go(func() { w.loop(s.run, w.wake[0], s.Pace.PollMin/50, w.orders()) })
	s.wg.Go(func() { w.loop(s.run, w.wake[1], s.Pace.PollMin/5, w.questions()) })
	s.wg.Go(func() { w.loop(s.run, w.wake[2], 0, w.results()) })
}

// loop calls pass whenever it is due or something happened, with a rest between: what
// happens meanwhile, a thousand answers perhaps, is one pass.
func (w *worker) loop(ctx context.Context, wake chan struct{}, rest time.Duration, pass func(context.Context) time.Duration) {
	sleep := func(d time.Duration, wake chan struct{}) {
		t := time.NewTimer(d)
		defer t.Stop()
		select {
		case <-ctx.Done():
		case <-wake:
		case <-t.C:
		}
	}
	for ctx.Err() == nil {
		next := pass(ctx)
		sleep(rest, nil)
		sleep(next-rest, wake)
	}
}

// idle is how long a loop without work sleeps; whatever brings work wakes it.
const idle = time.Hour

// wake says that there may be work for a node.
func (s *Service) wake(node string) {
	s.mu.Lock()
	w := s.workers[node]
	s.mu.Unlock()
	if w == nil {
		return
	}
	for _, c := range w.wake {
		poke(c)
	}
}

func poke(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// soon lets a task be asked about at once, whatever its pace.
func (w *worker) soon(task string) {
	w.mu.Lock()
	w.hurry[task] = true
	w.mu.Unlock()
	w.s.wake(w.node)
}

// hurried gives the tasks to ask about at once, and forgets them.
func (w *worker) hurried() map[string]bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	all := w.hurry
	w.hurry = map[string]bool{}
	return all
}

// enrolled hears of a new node.
func (s *Service) enrolled(p trust.Peer) { s.employ(string(p.ID)) }

// seen hears that a link began or ended.
func (s *Service) seen(node wire.KeyID, at time.Time) {
	s.recount()
	s.mu.Lock()
	w := s.workers[string(node)]
	s.mu.Unlock()
	if w == nil {
		return
	}
	w.link.Store(at.UnixMilli())
	w.news.Store(true)
	s.wake(string(node))
}

// ready reports whether the node may be asked now.
func (w *worker) ready(ctx context.Context) bool {
	if !w.s.online()[w.node] {
		return false
	}
	var confirmed bool
	err := w.s.DB.View(ctx, func(tx *store.Tx) error {
		return tx.QueryRow(`SELECT confirmed_at IS NOT NULL FROM hub_node WHERE id = ?`, w.node).Scan(&confirmed)
	})
	return err == nil && confirmed
}
