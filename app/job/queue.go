package job

import (
	"slices"
	"sort"
	"sync"
	"time"
)

// patience is how many others may overtake a job that does not fit before the
// host is kept free for it: big jobs wait, but not for ever.
const patience = 8

// entry is one waiting job.
type entry struct {
	id, project string
	parent      string // the job whose program sent it; "": none
	cores       float64
	memory      int64
	since       time.Time // when it was queued
	seq         int64     // order of arrival
	overtaken   int
}

// place is what one job that runs has taken of the host.
type place struct {
	parent string
	cores  float64
	memory int64
	loan   bool // its cores are its parent's, who waits for it
}

// scheduler decides which waiting job starts next: round robin over the projects,
// first come first served inside one, as far as the budget allows. Jobs that may not
// start now stand aside and are in nobody's way. It is pure bookkeeping in memory; the
// truth is in the database.
type scheduler struct {
	mu     sync.Mutex
	budget Budget
	cores  float64 // in use
	memory int64   // in use
	places map[string]*place
	lines  map[string][]*entry // project -> its waiting jobs, by seq
	kids   map[string][]*entry // parent -> those of the waiting jobs that its program sent, by seq
	ring   []string            // projects with a line, in the order of their turn
	known  map[string]*entry
	aside  map[string]*aside
	looks  int64 // how often somebody began to look who stands aside
	seq    int64
	open   bool          // Run has compared the database with the engine
	wake   chan struct{} // holds one value when there may be something to start
}

func newScheduler(b Budget) *scheduler {
	return &scheduler{budget: b, places: map[string]*place{}, lines: map[string][]*entry{}, kids: map[string][]*entry{}, known: map[string]*entry{},
		aside: map[string]*aside{}, wake: make(chan struct{}, 1)}
}

func (q *scheduler) nudge() {
	select {
	case q.wake <- struct{}{}:
	default:
	}
}

// add queues a job and reports whether it was not there; one that waits already keeps its place.
func (q *scheduler) add(e entry) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.known[e.id] != nil || q.aside[e.id] != nil || q.places[e.id] != nil {
		return false
	}
	q.seq++
	e.seq = q.seq
	q.enter(&e)
	return true
}

// enter puts a job in line by its seq; the caller holds mu.
func (q *scheduler) enter(e *entry) {
	q.known[e.id] = e
	if len(q.lines[e.project]) == 0 {
		q.ring = append(q.ring, e.project)
	}
	q.lines[e.project] = slices.Insert(q.lines[e.project], index(q.lines[e.project], e), e)
	if e.parent != "" {
		q.kids[e.parent] = slices.Insert(q.kids[e.parent], index(q.kids[e.parent], e), e)
	}
	q.nudge()
}

// remove takes a job out of the queue; one that does not wait is no error.
func (q *scheduler) remove(id string) {
	q.mu.Lock()
	defer q.mu.Unlock()
	delete(q.aside, id)
	if e := q.known[id]; e != nil {
		q.drop(e)
		q.nudge()
	}
}

// drop forgets a waiting job; the caller holds mu.
func (q *scheduler) drop(e *entry) {
	delete(q.known, e.id)
	if e.parent != "" {
		without(q.kids, e.parent, e)
	}
	if without(q.lines, e.project, e) > 0 {
		return
	}
	if i := slices.Index(q.ring, e.project); i >= 0 {
		q.ring = append(q.ring[:i], q.ring[i+1:]...)
	}
}

// without takes e from the line of key and returns how many are left.
func without(lines map[string][]*entry, key string, e *entry) int {
	line := lines[key]
	i := index(line, e)
	if line = append(line[:i], line[i+1:]...); len(line) == 0 {
		delete(lines, key)
		return 0
	}
	lines[key] = line
	return len(line)
}

func index(line []*entry, e *entry) int {
	return sort.Search(len(line), func(i int) bool { return line[i].seq >= e.seq })
}

// next takes the job whose turn it is out of the queue and reserves its place on
// the host; nil when nothing fits now.
func (q *scheduler) next() *entry {
	q.mu.Lock()
	defer q.mu.Unlock()
	if !q.open {
		return nil
	}
	for i, p := range q.ring {
		e := q.lines[p][0]
		if q.fits(e.cores, e.memory) {
			q.take(e, i)
			return e
		}
		if e.overtaken >= patience {
			break
		}
	}
	return q.borrow()
}

// take removes e, whose project stands at place i of the ring, and moves that
// project to the end; those before it have been overtaken.
func (q *scheduler) take(e *entry, i int) {
	for _, p := range q.ring[:i] {
		q.lines[p][0].overtaken++
	}
	ring := append(q.ring[:i:i], q.ring[i+1:]...)
	q.ring = append(ring, e.project)
	q.drop(e)
	q.use(*e, false)
}

const dust = 1e-9 // sums of fractions

// fits reports whether a job may start now. One job alone always may: a budget
// that was made smaller must not keep a job waiting for ever.
func (q *scheduler) fits(cores float64, memory int64) bool {
	if len(q.places) == 0 {
		return true
	}
	return (q.budget.Cores == 0 || q.cores+cores <= q.budget.Cores+dust) && q.holds(memory)
}

func (q *scheduler) holds(memory int64) bool {
	return q.budget.Memory == 0 || q.memory+memory <= q.budget.Memory
}

func (q *scheduler) use(e entry, loan bool) {
	q.places[e.id] = &place{parent: e.parent, cores: e.cores, memory: e.memory, loan: loan}
	q.memory += e.memory
	if !loan {
		q.cores += e.cores
	}
}

// reserve takes a place on the host at once for a job that need not wait because
// nobody does.
func (q *scheduler) reserve(e entry) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	if !q.open || len(q.known) > 0 || !q.fits(e.cores, e.memory) {
		return false
	}
	q.use(e, false)
	return true
}

// adopt counts a job that runs already, whether it fits or not.
func (q *scheduler) adopt(e entry) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.places[e.id] == nil {
		q.use(e, false)
	}
}

// release gives the place of a job back. What it has lent is from now on its
// children's own, even if that is more than the budget for a while.
func (q *scheduler) release(id string) {
	q.mu.Lock()
	defer q.mu.Unlock()
	p := q.places[id]
	if p == nil {
		return
	}
	delete(q.places, id)
	q.memory -= p.memory
	if !p.loan {
		q.cores -= p.cores
	}
	for _, kid := range q.places {
		if kid.loan && kid.parent == id {
			kid.loan = false
			q.cores += kid.cores
		}
	}
	if len(q.places) == 0 {
		q.cores, q.memory = 0, 0 // no dust from sums of fractions
	}
	q.nudge()
}

// reset opens the queue for a Run, with what waits in it, or closes it.
func (q *scheduler) reset(open bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.open = open
}

// position is a job's place among all that wait; 0 when it does not. With every
// project taking its turn, those ahead are the earlier jobs of its own project and as many of each other.
func (q *scheduler) position(id string) int {
	q.mu.Lock()
	defer q.mu.Unlock()
	e := q.known[id]
	if e == nil {
		return 0
	}
	mine := index(q.lines[e.project], e)
	ahead, before := mine, true
	for _, p := range q.ring {
		if p == e.project {
			before = false
			continue
		}
		rounds := mine
		if before {
			rounds++
		}
		ahead += min(len(q.lines[p]), rounds)
	}
	return ahead + 1
}

// closed reports whether nothing starts because the engine has not answered yet.
func (q *scheduler) closed() bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	return !q.open
}

// waiting is how many jobs of a project wait.
func (q *scheduler) waiting(project string) int {
	q.mu.Lock()
	defer q.mu.Unlock()
	return len(q.lines[project])
}

// Load says how busy the host is, for the system page.
type Load struct {
	Waiting int     `json:"waiting"`
	Running int     `json:"running"`
	Cores   float64 `json:"cores"`  // in use; what jobs lend to tasks of their own counts once
	Memory  int64   `json:"memory"` // in use, bytes
	Budget  Budget  `json:"budget"`
}

// Load returns how many jobs wait and run now and what the running ones may use.
func (s *Service) Load() Load {
	q := s.sched
	q.mu.Lock()
	defer q.mu.Unlock()
	return Load{Waiting: len(q.known) + len(q.aside), Running: len(q.places), Cores: q.cores, Memory: q.memory, Budget: q.budget}
}
