package hub

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"tresor/fed/fedtest"
	"tresor/fed/link"
)

// TestFlapping cuts the links again and again, and kills the hub twice, while
// clients send tasks: none is lost and none runs twice.
func TestFlapping(t *testing.T) {
	r := newRig(t)
	nodes := r.three()
	const tasks = 40
	stop := make(chan struct{})
	var flaps, clients sync.WaitGroup
	flaps.Go(func() {
		for {
			select {
			case <-stop:
				return
			case <-time.After(time.Duration(10+rand.IntN(60)) * time.Millisecond):
				r.relay.Cut()
			}
		}
	})
	var mu sync.Mutex
	var made []string
	for w := range 4 {
		clients.Go(func() {
			for i := range tasks / 4 {
				c := r.client()
				c.Key = fmt.Sprintf("w%d-%d", w, i) // the hub may die before it has answered
				for {
					id, err := c.Create(context.Background(), r.task())
					if err == nil {
						mu.Lock()
						made = append(made, id)
						mu.Unlock()
						break
					}
					time.Sleep(5 * time.Millisecond)
				}
				time.Sleep(20 * time.Millisecond)
			}
		})
	}
	for range 2 {
		time.Sleep(150 * time.Millisecond)
		r.restart()
	}
	clients.Wait()
	finish := make(chan struct{})
	var finisher sync.WaitGroup
	finisher.Go(func() { // nodes end what they have
		for {
			select {
			case <-finish:
				return
			case <-time.After(10 * time.Millisecond):
			}
			for _, n := range nodes {
				n.do(func() {
					for _, x := range n.tasks {
						x.state = "EXECUTOR_ERROR"
					}
				})
			}
		}
	})
	time.Sleep(300 * time.Millisecond)
	close(stop)
	flaps.Wait()
	for _, id := range made {
		r.until(id, "EXECUTOR_ERROR")
	}
	close(finish)
	finisher.Wait()
	for _, n := range nodes {
		n.do(func() {
			if n.creates != tasks || len(n.tasks) != tasks {
				t.Errorf("%s: %d created, %d tasks, want %d", n.name, n.creates, len(n.tasks), tasks)
			}
		})
	}
}

// TestIdle keeps 200 nodes on one hub; with the nodes themselves in the same
// process it stays under 300 MB.
func TestIdle(t *testing.T) {
	if testing.Short() || underRace {
		t.Skip("200 nodes; the race detector needs memory of its own")
	}
	r := newRig(t, func(r *rig) { r.limits, r.pace = link.Limits{}, Pace{} })
	before := resident(t)
	nodes := make([]*fakeNode, 200)
	for i := range nodes {
		nodes[i] = newFakeNodeOf(t, fmt.Sprintf("n%03d", i), link.Limits{})
		r.enrol(nodes[i])
		nodes[i].dial()
	}
	fedtest.Until(t, "all are online", func() bool {
		o, err := r.s.Overview(context.Background(), r.operator)
		return err == nil && o.Online == len(nodes)
	})
	id := r.create("")
	fedtest.Until(t, "all have the task", func() bool {
		got := 0
		for _, n := range nodes {
			got += n.count()
		}
		return got == len(nodes)
	})
	if after := resident(t); after > 300 {
		t.Errorf("%d MB with 200 nodes (%d MB before)", after, before)
	} else {
		t.Logf("%d MB before, %d MB with 200 nodes and one task on each", before, after)
	}
	if _, err := r.s.Cancel(context.Background(), r.operator, id); err != nil {
		t.Error(err)
	}
	r.until(id, "CANCELED")
}

// resident is the memory of this process in MB.
func resident(t *testing.T) int {
	t.Helper()
	b, err := os.ReadFile("/proc/self/status")
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(b)) {
		if rest, ok := strings.CutPrefix(line, "VmRSS:"); ok {
			kb, err := strconv.Atoi(strings.Fields(rest)[0])
			if err != nil {
				t.Fatal(err)
			}
			return kb >> 10
		}
	}
	t.Fatal("no VmRSS")
	return 0
}
