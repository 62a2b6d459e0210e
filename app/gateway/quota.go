package gateway

import (
	"sync"
	"time"

	"tresor/app/fault"
	"tresor/app/store"
)

// insideQuotas bound what one running job may ask for from inside.
var insideQuotas = Quotas{TasksPerHour: 1000, OpenTasks: 200}

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
	switch {
	case n.open >= q.OpenTasks:
		return nil, refuse(CodeQuota, fault.Exhausted, "Wait until some have ended, or cancel some.", "You have %d open tasks, which is as many as you may have.", n.open)
	case n.hour() >= q.TasksPerHour:
		return nil, refuse(CodeQuota, fault.Exhausted, "Try again in some minutes.", "You have sent %d tasks in the last hour, which is as many as you may send.", n.hour())
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

// of fills the count of a key from the table; the caller holds mu.
func (c *counts) of(tx *store.Tx, key string, minute int64) (*count, error) {
	if n, ok := c.all[key]; ok {
		return n, nil
	}
	n := &count{newest: minute}
	if err := tx.QueryRow(`SELECT count(*) FROM gateway_task WHERE principal = ? AND ended_at IS NULL`, key).Scan(&n.open); err != nil {
		return nil, err
	}
	rows, err := tx.Query(`SELECT created_at / 60000, count(*) FROM gateway_task WHERE principal = ? AND created_at >= ? GROUP BY 1`, key, (minute-59)*60000)
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

// ended notes that a task of the key is over.
func (c *counts) ended(key string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if n, ok := c.all[key]; ok && n.open > 0 {
		n.open--
	}
}
