package app_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"tresor/app/apptest"
	"tresor/app/apptest/address"
	"tresor/app/apptest/tesclient"
	"tresor/app/audit"
)

// TestTESKillNine sends 2,000 tasks from 16 clients and kills the server in
// between, twice. Each client sends again what was not acknowledged, under the
// same key, as a careful client does. Afterwards every task is there once, has
// ended, and its command was started once.
func TestTESKillNine(t *testing.T) {
	const clients, each = 16, 125
	dir := apptest.Folder(t)
	s := serveAt(t, filepath.Join(dir, "data"), address.Free(t))
	token := s.token(t)
	c := func() *tesclient.Client {
		return &tesclient.Client{Base: "http://" + s.listen + "/ga4gh/tes/v1", Token: token, HTTP: &http.Client{Timeout: time.Minute}}
	}
	s.untilImage(t)

	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Minute)
	defer cancel()
	ids := make([][each]string, clients)
	var sent atomic.Int64
	var wg sync.WaitGroup
	for n := range clients {
		wg.Go(func() {
			mine := c()
			for i := range each {
				ids[n][i] = mustCreate(ctx, t, mine, fmt.Sprintf("c%02d-%03d", n, i))
				sent.Add(1)
			}
		})
	}
	for _, at := range []int64{500, 1200} {
		for sent.Load() < at && ctx.Err() == nil {
			time.Sleep(5 * time.Millisecond)
		}
		s.kill()
		s.start()
	}
	created := make(chan struct{})
	go func() { wg.Wait(); close(created) }()
	s.untilSent(t, created, &sent)
	s.allEnded(ctx, t, c(), ids[:])
}

// mustCreate sends one task until it is acknowledged.
func mustCreate(ctx context.Context, t *testing.T, c *tesclient.Client, name string) string {
	task := tesclient.Task{Name: name, Executors: []tesclient.Executor{{Image: "tresor/sql", Command: []string{"/tresor", "version"}}}, Tags: map[string]string{"run": "kill"}}
	c.Key = name
	for {
		id, err := c.Create(ctx, task)
		if err == nil {
			return id
		}
		var refused *tesclient.Refused
		if ctx.Err() != nil || errors.As(err, &refused) && refused.Status != http.StatusServiceUnavailable && refused.Status != http.StatusTooManyRequests {
			t.Errorf("%s: %v", name, err)
			return ""
		}
		time.Sleep(20 * time.Millisecond) // the server is gone or coming back
	}
}

// allEnded waits for every task and holds the list and the audit log against
// what was acknowledged.
func (s *server) allEnded(ctx context.Context, t *testing.T, c *tesclient.Client, ids [][125]string) {
	t.Helper()
	want := map[string]bool{}
	for _, some := range ids {
		for _, id := range some {
			if want[id] {
				t.Errorf("two tasks have the id %s", id)
			}
			want[id] = true
		}
	}
	all := s.untilOver(ctx, t, c)
	for _, task := range all {
		if !want[task.ID] {
			t.Errorf("there is a task %s that nobody was told of", task.ID)
		}
		if task.State != tesclient.Complete {
			full, _ := c.Get(ctx, task.ID, "FULL")
			t.Errorf("the task %s is %s: %+v", task.ID, task.State, full)
		}
		delete(want, task.ID)
	}
	for id := range want {
		t.Errorf("the acknowledged task %s is not listed", id)
	}
	s.startedOnce(t, len(all))
}

// stuck is how long no task may end before the server is taken to hang. A task
// takes a fraction of a second; a call to Podman gives up after two minutes.
const stuck = 3 * time.Minute

// untilSent waits until every client is done. When none is answered any more it says
// what the server does.
func (s *server) untilSent(t *testing.T, created <-chan struct{}, sent *atomic.Int64) {
	t.Helper()
	last, moved := sent.Load(), time.Now()
	for {
		select {
		case <-created:
			return
		case <-time.After(time.Second):
		}
		if now := sent.Load(); now != last {
			last, moved = now, time.Now()
		}
		if time.Since(moved) > stuck {
			s.postMortem(t, nil)
			t.Fatalf("%d tasks were sent and none has been taken for %s", last, stuck)
		}
	}
}

// untilOver waits until every task has ended and returns them all. When none ends
// any more it says where the open ones stand and what the server does.
func (s *server) untilOver(ctx context.Context, t *testing.T, c *tesclient.Client) []tesclient.Task {
	t.Helper()
	left, moved := -1, time.Now()
	for {
		all, err := c.Walk(ctx, tesclient.Query{Size: 2000, Keys: []string{"run"}, Values: []string{"kill"}})
		var open []string
		for _, task := range all {
			if !task.State.Over() {
				open = append(open, task.ID)
			}
		}
		if err == nil && len(open) == 0 {
			return all
		}
		if err == nil && len(open) != left {
			left, moved = len(open), time.Now()
		}
		if ctx.Err() != nil || time.Since(moved) > stuck {
			s.postMortem(t, open)
			t.Fatalf("%d of %d tasks are open and none has ended for %s (the last answer: %v)", len(open), len(all), time.Since(moved).Round(time.Second), err)
		}
		time.Sleep(300 * time.Millisecond)
	}
}

// postMortem writes what a person needs who was not there: some of the open jobs,
// the end of the server's log, and where its goroutines stand.
func (s *server) postMortem(t *testing.T, open []string) {
	t.Helper()
	jobs := make([]string, 0, 3)
	for _, id := range open[:min(len(open), cap(jobs))] {
		out, err := s.run("job", "show", id, "--as", "rosa", "--json")
		jobs = append(jobs, fmt.Sprintf("%s %v", strings.Join(strings.Fields(out), " "), err))
	}
	before, _ := os.ReadFile(s.data + ".log")
	_ = s.cmd.Process.Signal(syscall.SIGQUIT) // the runtime writes every goroutine's place
	_ = s.cmd.Wait()
	after, _ := os.ReadFile(s.data + ".log")
	t.Logf("the server's goroutines:\n%s", after[len(before):min(len(after), len(before)+256<<10)])
	t.Logf("its log ended with:\n%s", before[max(0, len(before)-2<<10):])
	for _, j := range jobs {
		t.Logf("open: %.1500s", j)
	}
}

// startedOnce reads in the audit log that every job's command was started once.
func (s *server) startedOnce(t *testing.T, tasks int) {
	t.Helper()
	started, submitted := map[string]int{}, 0
	for line := range strings.Lines(s.must("audit", "export")) {
		var e audit.Event
		if json.Unmarshal([]byte(line), &e) != nil {
			continue // the signed checkpoint at the end
		}
		switch e.Verb {
		case "job.started":
			started[e.Subject]++
		case "job.submitted":
			submitted++
		}
	}
	if submitted != tasks || len(started) != tasks {
		t.Errorf("%d tasks, %d submitted, %d started", tasks, submitted, len(started))
	}
	for job, n := range started {
		if n != 1 {
			t.Errorf("%s was started %d times", job, n)
		}
	}
}

// token makes a token of the demonstration's researcher.
func (s *server) token(t *testing.T) string {
	t.Helper()
	var made struct {
		Token string `json:"token"`
	}
	raw := s.must("token", "new", "test", "--project", "aurora", "--as", "rosa", "--json")
	if err := json.Unmarshal([]byte(raw), &made); err != nil || made.Token == "" {
		t.Fatalf("%v in %s", err, raw)
	}
	return made.Token
}

// untilImage waits for the built-in image.
func (s *server) untilImage(t *testing.T) {
	t.Helper()
	for range 2400 {
		if out, err := s.run("image", "list", "--json"); err == nil && strings.Contains(out, `"approved"`) {
			return
		}
		time.Sleep(100 * time.Millisecond)
	}
	t.Fatal("the built-in image is not there after minutes")
}
