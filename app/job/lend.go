package job

import (
	"fmt"
	"strings"

	"tresor/app/fault"
	"tresor/app/store"
)

// A program inside may send tasks and wait for them. It holds its cores meanwhile, and
// where all cores are given away its tasks would wait for the very cores that wait for
// them. So a job that runs lends its cores, not its memory, to the tasks that its own
// program sent, and to nobody else: to one at a time at least, even one that needs more
// than it has, so that it always goes on, and to more as long as they need no more than it
// has. Tasks on such a loan lend in turn, MaxNesting deep. A program that computes while it
// waits makes the host busier than its budget: everything gets slower, nothing fails.

// MaxNesting is how many jobs may stand above a task, each of which was sent by a
// program of the one above.
const MaxNesting = 4

// InsideVia begins the Via of a job that a program inside another job sent; that job's
// id follows.
const InsideVia = "inside:"

// parentOf is the job whose program sent one with this Via; "": none.
func parentOf(via string) string {
	id, _ := strings.CutPrefix(via, InsideVia)
	if id == via {
		return ""
	}
	return id
}

// nests refuses a task that stands too deep. Errors: Invalid.
func nests(tx *store.Tx, via string) error {
	for depth, id := 1, parentOf(via); id != ""; depth, id = depth+1, parentOf(via) {
		if depth > MaxNesting {
			return fault.New("job.Submit", fault.Invalid, "Tasks that send tasks are nested at most %d deep here. Send this one from a task higher up.", MaxNesting)
		}
		err := tx.QueryRow(`SELECT via FROM job WHERE id = ?`, id).Scan(&via)
		if store.NotFound(err) {
			return nil
		}
		if err != nil {
			return fault.Wrap("job.Submit", err)
		}
	}
	return nil
}

// borrow starts the earliest task whose parent runs and can lend it cores; the caller
// holds mu. Memory is never lent.
func (q *scheduler) borrow() *entry {
	var first *entry
	for parent, kids := range q.kids {
		p := q.places[parent]
		if p == nil {
			continue
		}
		out := q.lent(parent)
		for _, e := range kids {
			if first != nil && e.seq > first.seq {
				break
			}
			if q.holds(e.memory) && (out == 0 || out+e.cores <= p.cores+dust) {
				first = e
				break
			}
		}
	}
	if first == nil {
		return nil
	}
	q.drop(first)
	q.use(*first, true)
	return first
}

// lent is how many cores a job has lent; the caller holds mu.
func (q *scheduler) lent(parent string) (cores float64) {
	for _, p := range q.places {
		if p.loan && p.parent == parent {
			cores += p.cores
		}
	}
	return cores
}

// why says what a waiting job waits for when that is more than its turn; "" otherwise.
func (q *scheduler) why(id string) string {
	q.mu.Lock()
	defer q.mu.Unlock()
	if a := q.aside[id]; a != nil {
		return a.why
	}
	e := q.known[id]
	if e == nil || q.places[e.parent] == nil || q.fits(e.cores, e.memory) {
		return ""
	}
	if !q.holds(e.memory) {
		return fmt.Sprintf("Waits for %s of memory: running jobs hold %s of %s, and the one that sent it %s of that. Memory is not lent.",
			sizeText(e.memory), sizeText(q.memory), sizeText(q.budget.Memory), sizeText(q.places[e.parent].memory))
	}
	return "Waits for a free core: the job that sent it has lent its own to other tasks of its own."
}
