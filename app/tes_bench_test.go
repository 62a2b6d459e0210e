package app_test

import (
	"context"
	"fmt"
	"net/http"
	"sync"
	"testing"
	"time"

	"tresor/app/access"
	"tresor/app/apptest"
	"tresor/app/apptest/tesclient"
	"tresor/app/project"
	"tresor/app/store"
)

// The task service with 10,000 tasks stored: plain HTTP on loopback, a token on
// every request, the plugin process in between.
//
//	scripts/bench tes

const storedTasks = 10_000

// tesDesk is a researcher's task client. Tasks wait for a decision, so that nothing
// runs beside what is measured.
type tesDesk struct {
	rig    *apptest.Rig
	client func() *tesclient.Client
}

func newTESDesk(b *testing.B, mode project.Approval) *tesDesk {
	b.Helper()
	r := apptest.Start(b, apptest.Options{Set: []string{"sandbox.cores=2", "limits.default.cores=1"}})
	rosa := r.SignIn("rosa")
	stefan, err := r.App.Identity.ByHandle(b.Context(), "stefan")
	if err != nil {
		b.Fatal(err)
	}
	steward := access.Actor{ID: stefan.ID, Handle: stefan.Handle, Name: stefan.Name, Roles: stefan.Roles, Via: "web"}
	if _, err := r.App.Projects.Change(b.Context(), steward, "aurora", project.Change{Approval: &mode}); err != nil {
		b.Fatal(err)
	}
	var made struct {
		Token string `json:"token"`
	}
	rosa.Must("POST", "/tokens", map[string]any{"name": "bench", "project": "aurora", "days": 1}, &made)
	shared := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 32}}
	d := &tesDesk{rig: r, client: func() *tesclient.Client {
		return &tesclient.Client{Base: r.URL + "/ga4gh/tes/v1", Token: made.Token, HTTP: shared}
	}}
	for {
		err := r.App.DB.View(b.Context(), func(tx *store.Tx) error {
			_, err := r.App.Images.Resolve(tx, "tresor/sql")
			return err
		})
		if err == nil {
			_, err = d.client().Create(b.Context(), trueTask("first", 0))
		}
		if err == nil {
			return d
		}
		if b.Context().Err() != nil {
			b.Fatal(err)
		}
		time.Sleep(50 * time.Millisecond) // image and plugin are coming up
	}
}

func trueTask(name string, n int) tesclient.Task {
	return tesclient.Task{Name: fmt.Sprintf("%s-%d", name, n), Executors: []tesclient.Executor{{Image: "tresor/sql", Command: []string{"/tresor", "version"}}}, Tags: map[string]string{"kind": name}}
}

// create sends n tasks from so many clients and gives the rate.
func (d *tesDesk) create(b *testing.B, name string, n, clients int) float64 {
	work := make(chan int, n)
	for i := range n {
		work <- i
	}
	close(work)
	begin := time.Now()
	var wg sync.WaitGroup
	for range clients {
		wg.Go(func() {
			c := d.client()
			for i := range work {
				if _, err := c.Create(context.Background(), trueTask(name, i)); err != nil {
					b.Error(err)
					return
				}
			}
		})
	}
	wg.Wait()
	return float64(n) / time.Since(begin).Seconds()
}

// BenchmarkTES prints every figure of one run.
func BenchmarkTES(b *testing.B) {
	d := newTESDesk(b, project.EveryJob)
	d.create(b, "stored", storedTasks, 16)
	b.Run("create", func(b *testing.B) {
		for b.Loop() {
			one := d.create(b, "one", 500, 1)
			many := d.create(b, "many", 3000, 16)
			b.ReportMetric(one, "per-s/1-client")
			b.ReportMetric(many, "per-s/16-clients")
			b.ReportMetric(many/one, "ratio")
		}
	})
	c := d.client()
	id, err := c.Create(b.Context(), trueTask("looked-at", 0))
	if err != nil {
		b.Fatal(err)
	}
	for _, q := range []struct {
		name string
		ask  func() error
	}{
		{"get minimal", func() error { _, err := c.Get(context.Background(), id, "MINIMAL"); return err }},
		{"get full", func() error { _, err := c.Get(context.Background(), id, "FULL"); return err }},
		{"list default", func() error { _, err := c.List(context.Background(), tesclient.Query{}); return err }},
		{"list full 100", func() error {
			_, err := c.List(context.Background(), tesclient.Query{View: "FULL", Size: 100})
			return err
		}},
		{"filter by state without a match", func() error { return none(c.List(context.Background(), tesclient.Query{State: tesclient.Complete})) }},
		{"filter by tag without a match", func() error {
			return none(c.List(context.Background(), tesclient.Query{Keys: []string{"kind"}, Values: []string{"nowhere"}}))
		}},
		{"filter by name without a match", func() error { return none(c.List(context.Background(), tesclient.Query{NamePrefix: "nowhere"})) }},
		{"walk of all", func() error {
			all, err := c.Walk(context.Background(), tesclient.Query{Size: 2000})
			if err == nil && len(all) < storedTasks {
				err = fmt.Errorf("only %d tasks", len(all))
			}
			return err
		}},
	} {
		b.Run(q.name, func(b *testing.B) {
			for b.Loop() {
				if err := q.ask(); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(b.Elapsed().Seconds()*1000/float64(b.N), "ms")
		})
	}
}

func none(p tesclient.Page, err error) error {
	if err == nil && len(p.Tasks) != 0 {
		err = fmt.Errorf("%d tasks match what nothing can match", len(p.Tasks))
	}
	return err
}

// BenchmarkTESTrue: 60 tasks of one command that does nothing, two at a time, from
// the first request to the last COMPLETE, against podman run of the same command.
// Under 1 we are faster than the command line.
func BenchmarkTESTrue(b *testing.B) {
	const tasks = 60
	d := newTESDesk(b, project.ImageOnly)
	plain := podmanRun(b, &desk{rig: d.rig})
	for b.Loop() {
		begin := time.Now()
		d.create(b, "true", tasks, 16)
		for _, state := range []tesclient.State{tesclient.Queued, tesclient.Initializing, tesclient.Running} {
			for {
				p, err := d.client().List(b.Context(), tesclient.Query{State: state, Size: 1})
				if err != nil {
					b.Fatal(err)
				}
				if len(p.Tasks) == 0 {
					break
				}
				time.Sleep(10 * time.Millisecond)
			}
		}
		ours := time.Since(begin)
		begin = time.Now()
		var wg sync.WaitGroup
		for range 2 {
			wg.Go(func() {
				for range tasks / 2 {
					if err := plain(); err != nil {
						b.Error(err)
					}
				}
			})
		}
		wg.Wait()
		theirs := time.Since(begin)
		b.ReportMetric(ours.Seconds(), "s/ours")
		b.ReportMetric(theirs.Seconds(), "s/podman-run")
		b.ReportMetric(ours.Seconds()/theirs.Seconds(), "ratio")
	}
}
