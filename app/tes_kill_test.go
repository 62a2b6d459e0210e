package app_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"tresor/app/apptest"
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
	s := serveAt(t, filepath.Join(dir, "data"), freeAddress(t))
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
	wg.Wait()
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
	for ctx.Err() == nil {
		open, err := c.List(ctx, tesclient.Query{Size: 1, State: tesclient.Queued}) // one is enough to know
		if err == nil && len(open.Tasks) == 0 {
			break
		}
		time.Sleep(300 * time.Millisecond)
	}
	for id := range want {
		if st, err := c.Wait(ctx, id, 20*time.Millisecond); err != nil || st != tesclient.Complete {
			full, _ := c.Get(context.WithoutCancel(ctx), id, "FULL")
			t.Fatalf("task %s is %s, %v: %+v", id, st, err, full)
		}
	}
	all, err := c.Walk(ctx, tesclient.Query{Size: 2000, Keys: []string{"run"}, Values: []string{"kill"}})
	if err != nil {
		t.Fatal(err)
	}
	for _, task := range all {
		if !want[task.ID] {
			t.Errorf("there is a task %s that nobody was told of", task.ID)
		}
		delete(want, task.ID)
	}
	for id := range want {
		t.Errorf("the acknowledged task %s is not listed", id)
	}
	s.startedOnce(t, len(all))
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
	for range 600 {
		if out, err := s.run("image", "list", "--json"); err == nil && strings.Contains(out, `"approved"`) {
			return
		}
		time.Sleep(100 * time.Millisecond)
	}
	t.Fatal("the built-in image is not there after a minute")
}
