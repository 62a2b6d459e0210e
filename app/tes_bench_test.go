package app_test

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
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
	r := apptest.Start(b, apptest.Options{Set: []string{"sandbox.cores=2", "limits.default.cores=1", "limits.person.tasks_per_hour=1000000", "limits.person.open_tasks=1000000"}})
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
	for _, q := range []struct{ name, path, has string }{
		{"get minimal", "/tasks/" + id, `"QUEUED"`},
		{"get full", "/tasks/" + id + "?view=FULL", `"looked-at-0"`},
		{"list default", "/tasks", `"next_page_token"`},
		{"list full 100", "/tasks?view=FULL&page_size=100", `"next_page_token"`},
		{"filter by state without a match", "/tasks?state=COMPLETE", `"tasks":[]`},
		{"filter by tag without a match", "/tasks?tag_key=kind&tag_value=nowhere", `"tasks":[]`},
		{"filter by name without a match", "/tasks?name_prefix=nowhere", `"tasks":[]`},
	} {
		b.Run(q.name, func(b *testing.B) {
			w := newRawConn(b, c)
			for b.Loop() {
				if body := w.get(b, q.path); !bytes.Contains(body, []byte(q.has)) {
					b.Fatalf("%.300s", body)
				}
			}
			b.ReportMetric(b.Elapsed().Seconds()*1000/float64(b.N), "ms")
		})
	}
	b.Run("walk of all", func(b *testing.B) {
		for b.Loop() {
			all, err := c.Walk(context.Background(), tesclient.Query{Size: 2000})
			if err != nil || len(all) < storedTasks {
				b.Fatalf("%d tasks, %v", len(all), err)
			}
		}
		b.ReportMetric(b.Elapsed().Seconds()*1000/float64(b.N), "ms")
	})
}

// rawConn is one kept connection that asks in the benchmark's own goroutine, as a load
// generator does: Go's client would add its own goroutines to every figure.
type rawConn struct {
	conn  net.Conn
	in    *bufio.Reader
	token string
	base  string
}

func newRawConn(b *testing.B, c *tesclient.Client) *rawConn {
	b.Helper()
	u, err := url.Parse(c.Base)
	if err != nil {
		b.Fatal(err)
	}
	conn, err := net.Dial("tcp", u.Host)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = conn.Close() })
	return &rawConn{conn: conn, in: bufio.NewReader(conn), token: c.Token, base: u.Path}
}

func (w *rawConn) get(b *testing.B, path string) []byte {
	if _, err := fmt.Fprintf(w.conn, "GET %s%s HTTP/1.1\r\nHost: tres.example\r\nAuthorization: Bearer %s\r\n\r\n", w.base, path, w.token); err != nil {
		b.Fatal(err)
	}
	resp, err := http.ReadResponse(w.in, nil)
	if err != nil {
		b.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode != http.StatusOK {
		b.Fatalf("%d %v %s", resp.StatusCode, err, body)
	}
	return body
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
