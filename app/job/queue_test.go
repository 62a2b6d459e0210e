package job

import (
	"context"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"

	"tresor/app/access"
	"tresor/app/fault"
	"tresor/sandbox/fake"
)

// order takes everything out of a queue, one at a time.
func order(q *scheduler) string {
	var out []string
	for e := q.next(); e != nil; e = q.next() {
		out = append(out, e.id)
		q.release(e.id)
	}
	return strings.Join(out, " ")
}

func openQueue(b Budget) *scheduler {
	q := newScheduler(b)
	q.reset(true)
	return q
}

func TestProjectsTakeTurns(t *testing.T) {
	q := openQueue(Budget{})
	for _, id := range []string{"a1", "a2", "a3", "b1", "b2", "c1", "a4"} {
		q.add(entry{id: id, project: id[:1], cores: 1})
	}
	want := map[string]int{"a1": 1, "b1": 2, "c1": 3, "a2": 4, "b2": 5, "a3": 6, "a4": 7}
	for id, n := range want {
		if got := q.position(id); got != n {
			t.Errorf("position of %s: %d, want %d", id, got, n)
		}
	}
	if got := order(q); got != "a1 b1 c1 a2 b2 a3 a4" {
		t.Errorf("order %s", got)
	}
}

func TestPositionsAreTheOrder(t *testing.T) {
	q := openQueue(Budget{})
	for i := range 200 {
		q.add(entry{id: fmt.Sprint(i), project: fmt.Sprint(i * i % 7), cores: 1})
	}
	for range 30 { // in the middle of the ring
		e := q.next()
		q.release(e.id)
	}
	q.remove("150")
	positions := map[string]int{}
	for id := range q.known {
		positions[id] = q.position(id)
	}
	for n := 1; len(q.known) > 0; n++ {
		e := q.next()
		q.release(e.id)
		if positions[e.id] != n {
			t.Fatalf("%s started as number %d and was told %d", e.id, n, positions[e.id])
		}
	}
	if q.position("150") != 0 || q.position("nothing") != 0 {
		t.Error("a job that does not wait has a position")
	}
}

func TestTheBudgetBinds(t *testing.T) {
	q := openQueue(Budget{Cores: 2, Memory: 10})
	q.add(entry{id: "a1", project: "a", cores: 1, memory: 4})
	q.add(entry{id: "a2", project: "a", cores: 1, memory: 4})
	q.add(entry{id: "a3", project: "a", cores: 1, memory: 1})
	if q.next().id != "a1" || q.next().id != "a2" {
		t.Fatal("the first two do not start")
	}
	if e := q.next(); e != nil {
		t.Errorf("%s starts over the budget of cores", e.id)
	}
	q.release("a1")
	if e := q.next(); e == nil || e.id != "a3" {
		t.Errorf("%v starts, want a3", e)
	}
}

func TestMemoryBinds(t *testing.T) {
	q := openQueue(Budget{Memory: 10})
	q.add(entry{id: "a1", project: "a", memory: 8})
	q.add(entry{id: "b1", project: "b", memory: 8})
	q.next()
	if e := q.next(); e != nil {
		t.Errorf("%s starts over the budget of memory", e.id)
	}
}

func TestAJobLargerThanTheBudgetRunsAlone(t *testing.T) {
	q := openQueue(Budget{Cores: 1})
	q.add(entry{id: "big", project: "a", cores: 8})
	if e := q.next(); e == nil || e.id != "big" {
		t.Errorf("%v", e)
	}
}

func TestABigJobIsNotOvertakenForEver(t *testing.T) {
	q := openQueue(Budget{Cores: 2})
	q.add(entry{id: "s0", project: "b", cores: 1})
	q.next()
	q.add(entry{id: "big", project: "a", cores: 2})
	for i := range 50 {
		q.add(entry{id: fmt.Sprint("s", i+1), project: "b", cores: 1})
	}
	overtaken := 0
	for e := q.next(); e != nil; e = q.next() {
		overtaken++
		q.release(e.id)
	}
	if overtaken != patience {
		t.Errorf("overtaken %d times", overtaken)
	}
	q.release("s0")
	if e := q.next(); e == nil || e.id != "big" {
		t.Errorf("%v starts, want big", e)
	}
}

func TestQueueBookkeeping(t *testing.T) {
	q := newScheduler(Budget{Cores: 1})
	q.add(entry{id: "a", project: "p", cores: 1})
	q.add(entry{id: "a", project: "p", cores: 1})
	if q.next() != nil {
		t.Error("a closed queue starts something")
	}
	q.reset(true)
	b, c := entry{id: "b", project: "p", cores: 1}, entry{id: "c", project: "p", cores: 1}
	if q.reserve(b) {
		t.Error("somebody overtakes a job that waits")
	}
	q.remove("nothing")
	q.remove("a")
	if len(q.known)+len(q.ring)+len(q.lines) != 0 {
		t.Errorf("left behind: %v %v %v", q.known, q.ring, q.lines)
	}
	if !q.reserve(b) || q.reserve(c) {
		t.Error("reserve does not heed the budget")
	}
	q.adopt(c)
	if q.cores != 2 || len(q.places) != 2 {
		t.Errorf("%v cores, %d running", q.cores, len(q.places))
	}
}

func TestNoMoreRunThanTheBudgetAllows(t *testing.T) {
	h := newHouse(t)
	h.budget = Budget{Cores: 2}
	h.fresh()
	var now, most atomic.Int64
	h.runner.Handle("count", func(_ context.Context, tk *fake.Task) int {
		n := now.Add(1)
		for m := most.Load(); n > m && !most.CompareAndSwap(m, n); m = most.Load() {
		}
		defer now.Add(-1)
		return 1
	})
	h.run()
	var ids []string
	for range 30 {
		ids = append(ids, h.submit(h.task("count")).ID)
	}
	for _, id := range ids {
		h.until(id, Failed)
	}
	if most.Load() > 2 {
		t.Errorf("%d at once", most.Load())
	}
	h.wait("the host is free", func() bool { l := h.job.Load(); return l.Running == 0 && l.Waiting == 0 && l.Cores == 0 })
}

// TestThousandsOfJobs is R10 in small: many queued jobs, list, cancel, restart,
// order within a project.
func TestThousandsOfJobs(t *testing.T) {
	const jobs = 1200
	h := newHouse(t)
	beta := h.project("beta")
	var ids []string
	for i := range jobs {
		sub := h.task("first", fmt.Sprint(i))
		if i%3 == 0 {
			sub.Project = beta.ID
		}
		ids = append(ids, h.submit(sub).ID)
	}
	for i := 0; i < jobs; i += 10 {
		if _, err := h.job.Cancel(context.Background(), h.in(rosa), ids[i], ""); err != nil {
			t.Fatal(err)
		}
	}
	if n := h.count(Queued); n != jobs-jobs/10 {
		t.Errorf("%d wait", n)
	}
	h.budget = Budget{Cores: 1}
	h.fresh() // as after a restart: the queue is read from the database
	last := map[string]string{}
	mixed := false
	h.runner.Handle("first", func(_ context.Context, tk *fake.Task) int {
		line := tk.Argv[1]
		project := "a"
		var n int
		if fmt.Sscan(line, &n); n%3 == 0 {
			project = "b"
		}
		if key := fmt.Sprintf("%08d", n); key < last[project] { // one at a time: no lock needed
			mixed = true
		} else {
			last[project] = key
		}
		return 1
	})
	h.run()
	h.wait("all have run", func() bool { l := h.job.Load(); return l.Waiting == 0 && l.Running == 0 })
	if n := h.count(Failed); n != jobs-jobs/10 {
		t.Errorf("%d have run", n)
	}
	if mixed {
		t.Error("jobs of a project did not run in their order")
	}
}

// count pages through all jobs in a state.
func (h *house) count(st State) int {
	h.t.Helper()
	n, before := 0, ""
	for {
		list, err := h.job.List(context.Background(), h.in(rosa), Filter{States: []State{st}, Before: before, Limit: 500})
		if err != nil {
			h.t.Fatal(err)
		}
		if n += len(list); len(list) < 500 {
			return n
		}
		before = list[len(list)-1].ID
	}
}

func TestWhoSeesWhat(t *testing.T) {
	h := newHouse(t)
	j := h.submit(h.task("true"))
	cases := []struct {
		actor access.Actor
		sees  bool
	}{{rosa, true}, {lena, true}, {olga, true}, {stefan, true}, {paul, false}}
	for _, c := range cases {
		list, err := h.job.List(context.Background(), h.in(c.actor), Filter{})
		if err != nil || (len(list) == 1) != c.sees {
			t.Errorf("%s lists %d jobs, %v", c.actor.Handle, len(list), err)
		}
		if _, err = h.job.Get(context.Background(), h.in(c.actor), j.ID); (err == nil) != c.sees {
			t.Errorf("%s gets: %v", c.actor.Handle, err)
		}
		if _, err = h.job.Usage(context.Background(), h.in(c.actor), j.ID); (err == nil) != c.sees {
			t.Errorf("%s sees the use: %v", c.actor.Handle, err)
		}
	}
	_, err := h.job.List(context.Background(), h.in(paul), Filter{Project: h.alpha.ID})
	wantFault(t, err, fault.NotFound, "")
	_, err = h.job.List(context.Background(), h.in(rosa), Filter{States: []State{"odd"}})
	wantFault(t, err, fault.Invalid, "is not a state")
	list, err := h.job.List(context.Background(), h.in(rosa), Filter{Project: "alpha", States: []State{Queued}, Limit: 1})
	if err != nil || len(list) != 1 || list[0].ProjectName != "Project alpha" || list[0].Queue == nil || list[0].Queue.Position != 1 {
		t.Errorf("%+v, %v", list, err)
	}
	if list, err = h.job.List(context.Background(), h.in(rosa), Filter{Before: j.ID}); err != nil || len(list) != 0 {
		t.Errorf("older than the oldest: %+v, %v", list, err)
	}
}

func TestUsageOfARunningJob(t *testing.T) {
	h := newHouse(t)
	h.run()
	j := h.submit(h.task("sleep"))
	h.until(j.ID, Running)
	if _, err := h.job.Usage(context.Background(), h.in(rosa), j.ID); err != nil {
		t.Error(err)
	}
}
