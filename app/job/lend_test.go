package job

import (
	"context"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"tresor/app/fault"
	"tresor/sandbox/fake"
)

func kid(id, parent string, cores float64, memory int64) entry {
	return entry{id: id, project: "p", parent: parent, cores: cores, memory: memory}
}

// begun are the jobs that start now, in order.
func begun(q *scheduler) string {
	var out []string
	for e := q.next(); e != nil; e = q.next() {
		out = append(out, e.id)
	}
	return strings.Join(out, " ")
}

func TestAJobLendsItsCoresToItsOwnTasks(t *testing.T) {
	for _, c := range []struct {
		name   string
		budget Budget
		runs   []entry // in this order, as if adopted
		waits  []entry
		want   string
	}{
		{"one core, a hundred tasks: one", Budget{Cores: 1}, []entry{kid("engine", "", 1, 0)}, []entry{kid("a", "engine", 1, 0), kid("b", "engine", 1, 0)}, "a"},
		{"no more than it has", Budget{Cores: 4}, []entry{kid("engine", "", 4, 0)}, []entry{kid("a", "engine", 2, 0), kid("b", "engine", 2, 0), kid("c", "engine", 1, 0)}, "a b"},
		{"a smaller one behind one that does not fit", Budget{Cores: 4}, []entry{kid("engine", "", 4, 0)}, []entry{kid("a", "engine", 3, 0), kid("b", "engine", 2, 0), kid("c", "engine", 1, 0)}, "a c"},
		{"one that is larger than its parent", Budget{Cores: 4}, []entry{kid("engine", "", 1, 0), kid("other", "", 3, 0)}, []entry{kid("a", "engine", 4, 0), kid("b", "engine", 1, 0)}, "a"},
		{"nothing to others", Budget{Cores: 1}, []entry{kid("engine", "", 1, 0)}, []entry{kid("stranger", "", 1, 0), kid("orphan", "gone", 1, 0)}, ""},
		{"past others in line", Budget{Cores: 1}, []entry{kid("engine", "", 1, 0)}, []entry{kid("stranger", "", 1, 0), kid("a", "engine", 1, 0)}, "a"},
		{"no memory", Budget{Cores: 1, Memory: 10}, []entry{kid("engine", "", 1, 8)}, []entry{kid("a", "engine", 1, 4), kid("b", "engine", 1, 2)}, "b"},
		{"free cores first", Budget{Cores: 2}, []entry{kid("engine", "", 1, 0)}, []entry{kid("a", "engine", 1, 0), kid("b", "engine", 1, 0), kid("c", "engine", 1, 0)}, "a b"},
		{"tasks of tasks", Budget{Cores: 1}, []entry{kid("engine", "", 1, 0)}, []entry{kid("a", "engine", 1, 0), kid("aa", "a", 1, 0), kid("aaa", "aa", 1, 0)}, "a aa aaa"},
		{"two engines", Budget{Cores: 2}, []entry{kid("x", "", 1, 0), kid("y", "", 1, 0)}, []entry{kid("x1", "x", 2, 0), kid("x2", "x", 1, 0), kid("y1", "y", 2, 0)}, "x1 y1"},
	} {
		t.Run(c.name, func(t *testing.T) {
			q := openQueue(c.budget)
			for _, e := range c.runs {
				q.adopt(e)
			}
			for _, e := range c.waits {
				q.add(e)
			}
			if got := begun(q); got != c.want {
				t.Errorf("%q start, want %q", got, c.want)
			}
		})
	}
}

func TestALoanBecomesAPlaceWhenTheParentEnds(t *testing.T) {
	q := openQueue(Budget{Cores: 1})
	q.adopt(kid("engine", "", 1, 0))
	q.add(kid("a", "engine", 1, 0))
	q.add(kid("stranger", "", 1, 0))
	if got := begun(q); got != "a" {
		t.Fatalf("%q start", got)
	}
	q.release("engine")
	if got := begun(q); got != "" || q.cores != 1 {
		t.Errorf("%q start beside the task that is left, with %v cores in use", got, q.cores)
	}
	q.release("a")
	if got := begun(q); got != "stranger" {
		t.Errorf("%q start", got)
	}
}

func TestWhatATaskOfATaskWaitsFor(t *testing.T) {
	q := openQueue(Budget{Cores: 1, Memory: 10 << 30})
	q.adopt(kid("engine", "", 1, 8<<30))
	q.add(kid("fat", "engine", 1, 4<<30))
	q.add(kid("a", "engine", 1, 1<<30))
	q.add(kid("b", "engine", 1, 1<<30))
	if got := begun(q); got != "a" {
		t.Fatalf("%q start", got)
	}
	for id, want := range map[string]string{"a": "", "b": "has lent its own", "fat": "Waits for 4 GiB of memory: running jobs hold 9 GiB of 10 GiB, and the one that sent it 8 GiB", "nobody": ""} {
		if got := q.why(id); !strings.Contains(got, want) || want == "" && got != "" {
			t.Errorf("%s: %q", id, got)
		}
	}
}

// TestLoansNeverLockUp plays engines that send tasks and wait for them, nested as deep as
// may be, on hosts of any size: all of it ends, and memory is never given away twice.
func TestLoansNeverLockUp(t *testing.T) {
	for seed := range uint64(200) {
		r := rand.New(rand.NewPCG(seed, 1))
		q := openQueue(Budget{Cores: float64(1 + r.IntN(3))})
		open := map[string]int{} // running or waiting -> its open tasks
		depth := map[string]int{}
		parent := map[string]string{}
		made, over := 0, 0
		send := func(from string) {
			made++
			id := fmt.Sprint(made)
			open[id], depth[id], parent[id] = 0, depth[from]+1, from
			if from != "" {
				open[from]++
			}
			q.add(entry{id: id, project: fmt.Sprint(r.IntN(3)), parent: from, cores: float64(1 + r.IntN(2))})
		}
		for range 5 {
			send("")
		}
		running := []string{}
		for made > over {
			for e := q.next(); e != nil; e = q.next() {
				running = append(running, e.id)
				if depth[e.id] <= MaxNesting {
					for range r.IntN(4) {
						send(e.id)
					}
				}
			}
			done := -1
			for i, id := range running {
				if open[id] == 0 && (done < 0 || r.IntN(2) == 0) {
					done = i
				}
			}
			if done < 0 {
				t.Fatalf("seed %d: %d jobs wait for each other for ever: %v", seed, made-over, running)
			}
			id := running[done]
			running = append(running[:done], running[done+1:]...)
			if p := parent[id]; p != "" {
				open[p]--
			}
			delete(open, id)
			q.release(id)
			over++
		}
		if q.cores != 0 || len(q.places)+len(q.known)+len(q.kids)+len(q.ring) != 0 {
			t.Fatalf("seed %d: left behind: %+v", seed, q)
		}
	}
}

// TestAnEngineOnOneCore: a program that sends tasks and waits for them, which do so in
// turn, comes to its end on a host of one core, with everything real but the containers.
func TestAnEngineOnOneCore(t *testing.T) {
	h := newHouse(t)
	h.budget = Budget{Cores: 1, Memory: 64 << 30}
	h.fresh()
	h.runner.Handle("engine", func(ctx context.Context, tk *fake.Task) int {
		var ids []string
		for i := range 3 {
			sub := h.task(tk.Argv[min(1+min(i, 1), len(tk.Argv)-1):]...)
			sub.Name, sub.Via, sub.Outputs = fmt.Sprint(i), InsideVia+jobOf(tk), nil
			j, err := h.job.Submit(ctx, h.in(rosa), sub)
			if err != nil {
				fmt.Fprintln(tk.Log, err)
				return 9
			}
			ids = append(ids, j.ID)
		}
		for _, id := range ids {
			for !h.get(id).State.Terminal() && h.get(id).State != Held {
				if ctx.Err() != nil {
					return 8
				}
				time.Sleep(time.Millisecond)
			}
		}
		return 0
	})
	h.runner.Handle("leaf", func(context.Context, *fake.Task) int { return 0 })
	h.run()
	h.project("beta")
	j := h.submit(h.task("engine", "engine", "engine", "leaf"))
	got := h.until(j.ID, Failed) // its three levels succeed, and leave no output
	if got.Tasks[0].ExitCode == nil || *got.Tasks[0].ExitCode != 0 {
		t.Errorf("%s: %s", got.Reason, h.logOf(j.ID, 0))
	}
	h.wait("nothing runs", func() bool { return h.job.Load().Running == 0 })
}

// jobOf reads a job's id from the name of its container.
func jobOf(tk *fake.Task) string {
	id := strings.TrimPrefix(string(tk.Ref), "tresor-")
	return id[:strings.LastIndex(id[:strings.LastIndex(id, "-")], "-")]
}

func TestNestingIsBounded(t *testing.T) {
	h := newHouse(t)
	via := ""
	for depth := range MaxNesting + 2 {
		sub := h.task("true")
		if sub.Via = via; via != "" {
			sub.Outputs = nil
		}
		j, err := h.job.Submit(context.Background(), h.in(rosa), sub)
		if depth > MaxNesting {
			wantFault(t, err, fault.Invalid, "nested at most 4 deep")
			return
		}
		if err != nil {
			t.Fatalf("depth %d: %v", depth, err)
		}
		via = InsideVia + j.ID
	}
}
