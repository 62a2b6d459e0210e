package gateway

import (
	"sync"
	"time"

	"tresor/app/fault"
	"tresor/app/store"
)

// insideQuotas bound what one running job may ask for from inside.
var insideQuotas = Quotas{TasksPerHour: 1000, OpenTasks: 200}

// DefaultPerson bounds what one person sends with tokens where the operator sets
// nothing else: enough for large pipelines, and a bound for a program that has run wild.
var DefaultPerson = Quotas{TasksPerHour: 10_000, OpenTasks: 5_000}

// counts knows, for each principal that has a quota, how many tasks are open and
// when the last ones came. It is filled from the table at first use, so a crash
// loses nothing, and it is exact: a task is counted in its own transaction, which
// runs alone, and uncounted when that fails.
type counts struct {
	mu  sync.Mutex
	all map[string]*count
}

type count struct {
	open    int
	minutes [60]int // tasks that came in each of the last 60 minutes
	newest  int64   // the minute of the last one
}

func newCounts() *counts { return &counts{all: map[string]*count{}} }

// move drops the minutes that are more than an hour old.
func (c *count) move(minute int64) {
	for ; c.newest < minute; c.newest++ {
		if minute-c.newest > 60 {
			c.minutes, c.newest = [60]int{}, minute
			return
		}
		c.minutes[(c.newest+1)%60] = 0
	}
}

func (c *count) hour() int {
	n := 0
	for _, m := range c.minutes {
		n += m
	}
	return n
}

func minuteOf(t time.Time) int64 { return t.Unix() / 60 }

// take counts one task of the key, or refuses it. give takes it back.
func (c *counts) take(tx *store.Tx, key string, q Quotas) (give func(), err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	minute := minuteOf(tx.Now())
	n, err := c.of(tx, key, minute)
	if err != nil {
		return nil, err
	}
	n.move(minute)
	if err := n.room(q); err != nil {
		return nil, err
	}
	n.open++
	n.minutes[minute%60]++
	return func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		n.open--
		n.minutes[minute%60]--
	}, nil
}

// family are the tasks of a key and those that their programs made inside.
const family = `WITH RECURSIVE family(id, created_at, ended_at) AS (
	SELECT id, created_at, ended_at FROM gateway_task WHERE principal = ?
	UNION ALL SELECT t.id, t.created_at, t.ended_at FROM family f JOIN gateway_task t ON t.principal = 'inside:' || f.id) `

// room refuses one more task than there may be.
func (c *count) room(q Quotas) error {
	switch {
	case c.open >= q.OpenTasks:
		return refuse(CodeQuota, fault.Exhausted, "Wait until some have ended, or cancel some.", "You have %d open tasks, which is as many as you may have.", c.open)
	case c.hour() >= q.TasksPerHour:
		return refuse(CodeQuota, fault.Exhausted, "Try again in some minutes.", "You have sent %d tasks in the last hour, which is as many as you may send.", c.hour())
	}
	return nil
}

// room looks, before anything costly is done for a task, whether it would be refused
// now. The task is counted, exactly, in its own transaction; a count that is not
// there yet is filled there.
func (s *Service) room(p *party) error {
	s.counts.mu.Lock()
	defer s.counts.mu.Unlock()
	minute := minuteOf(s.Now())
	for _, c := range p.counts {
		if n, ok := s.counts.all[c.key]; ok {
			n.move(minute)
			if err := n.room(c.quotas); err != nil {
				return err
			}
		}
	}
	return nil
}

// of fills the count of a key from the table; the caller holds mu.
func (c *counts) of(tx *store.Tx, key string, minute int64) (*count, error) {
	if n, ok := c.all[key]; ok {
		return n, nil
	}
	n := &count{newest: minute}
	if err := tx.QueryRow(family+`SELECT count(*) FROM family WHERE ended_at IS NULL`, key).Scan(&n.open); err != nil {
		return nil, err
	}
	rows, err := tx.Query(family+`SELECT created_at / 60000, count(*) FROM family WHERE created_at >= ? GROUP BY 1`, key, (minute-59)*60000)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	for rows.Next() {
		var m int64
		var k int
		if err := rows.Scan(&m, &k); err != nil {
			return nil, err
		}
		if m <= minute {
			n.minutes[m%60] += k
		}
	}
	if err := rows.Err(); err != nil {
		return nil, err
	}
	if len(c.all) >= mostParties { // programs inside come and go
		c.all = map[string]*count{}
	}
	c.all[key] = n
	return n, nil
}

// ended is called in the transaction that ends a task of these keys, and what it returns
// after the commit. A count that is filled in between has read the table, where the task
// is over already: it must not go down once more.
func (c *counts) ended(keys ...string) (done func()) {
	c.mu.Lock()
	defer c.mu.Unlock()
	var there []*count
	for _, key := range keys {
		if n, ok := c.all[key]; ok {
			there = append(there, n)
		}
	}
	return func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		for _, n := range there {
			n.open--
		}
	}
}
