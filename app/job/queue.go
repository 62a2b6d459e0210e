package job

import (
	"sort"
	"sync"
)

// patience is how many others may overtake a job that does not fit before the
// host is kept free for it: big jobs wait, but not for ever.
const patience = 8

// entry is one waiting job.
type entry struct {
	id, project string
	cores       float64
	memory      int64
	seq         int64 // order of arrival
	overtaken   int
}

// scheduler decides which waiting job starts next: round robin over the projects,
// first come first served inside one, as far as the budget allows. It is pure
// bookkeeping in memory; the truth is in the database.
type scheduler struct {
	mu      sync.Mutex
	budget  Budget
	cores   float64 // in use
	memory  int64   // in use
	running int
	lines   map[string][]*entry // project -> its waiting jobs, by seq
	ring    []string            // projects with a line, in the order of their turn
	known   map[string]*entry
	seq     int64
	open    bool          // Run has compared the database with the engine
	wake    chan struct{} // holds one value when there may be something to start
}

func newScheduler(b Budget) *scheduler {
	return &scheduler{budget: b, lines: map[string][]*entry{}, known: map[string]*entry{}, wake: make(chan struct{}, 1)}
}

func (q *scheduler) nudge() {
	select {
	case q.wake <- struct{}{}:
	default:
	}
}

// add queues a job; one that waits already keeps its place.
func (q *scheduler) add(e entry) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.known[e.id] != nil {
		return
	}
	q.seq++
	e.seq = q.seq
	q.known[e.id] = &e
	if len(q.lines[e.project]) == 0 {
		q.ring = append(q.ring, e.project)
	}
	q.lines[e.project] = append(q.lines[e.project], &e)
	q.nudge()
}

// remove takes a job out of the queue; one that does not wait is no error.
func (q *scheduler) remove(id string) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if e := q.known[id]; e != nil {
		q.drop(e)
		q.nudge()
	}
}

// drop forgets a waiting job; the caller holds mu.
func (q *scheduler) drop(e *entry) {
	delete(q.known, e.id)
	line := q.lines[e.project]
	i := index(line, e)
	line = append(line[:i], line[i+1:]...)
	q.lines[e.project] = line
	if len(line) > 0 {
		return
	}
	delete(q.lines, e.project)
	for i, p := range q.ring {
		if p == e.project {
			q.ring = append(q.ring[:i], q.ring[i+1:]...)
			return
		}
	}
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
			return nil
		}
	}
	return nil
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
	q.use(e.cores, e.memory)
}

// fits reports whether a job may start now. One job alone always may: a budget
// that was made smaller must not keep a job waiting for ever.
func (q *scheduler) fits(cores float64, memory int64) bool {
	if q.running == 0 {
		return true
	}
	const dust = 1e-9 // sums of fractions
	return (q.budget.Cores == 0 || q.cores+cores <= q.budget.Cores+dust) && (q.budget.Memory == 0 || q.memory+memory <= q.budget.Memory)
}

func (q *scheduler) use(cores float64, memory int64) {
	q.running++
	q.cores += cores
	q.memory += memory
}

// reserve takes a place on the host at once for a job that need not wait because
// nobody does.
func (q *scheduler) reserve(cores float64, memory int64) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	if !q.open || len(q.known) > 0 || !q.fits(cores, memory) {
		return false
	}
	q.use(cores, memory)
	return true
}

// adopt counts a job that runs already, whether it fits or not.
func (q *scheduler) adopt(cores float64, memory int64) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.use(cores, memory)
}

// release gives a place back.
func (q *scheduler) release(cores float64, memory int64) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.running--
	q.cores -= cores
	q.memory -= memory
	if q.running == 0 {
		q.cores, q.memory = 0, 0 // no dust from sums of fractions
	}
	q.nudge()
}

// reset opens the queue for a new Run, empty, or closes it.
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
	Cores   float64 `json:"cores"`  // in use
	Memory  int64   `json:"memory"` // in use, bytes
	Budget  Budget  `json:"budget"`
}

// Load returns how many jobs wait and run now and what the running ones may use.
func (s *Service) Load() Load {
	q := s.sched
	q.mu.Lock()
	defer q.mu.Unlock()
	return Load{Waiting: len(q.known), Running: q.running, Cores: q.cores, Memory: q.memory, Budget: q.budget}
}
